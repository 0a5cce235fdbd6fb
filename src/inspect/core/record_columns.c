/* SPDX-License-Identifier: MIT */
#include "inspect/core/record_columns.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/rfc3339.h"
#include "base/utf8.h"
#include "inspect/core/object.h"

#define LABEL_PREFIX "labels."

/* Adds a cell that is not empty to the object. */
typedef bool add_cell(struct json_object *object, const char *name, const struct csv_cell *cell,
                      struct fault *fault);

static bool add_text_cell(struct json_object *object, const char *name, const struct csv_cell *cell,
                          struct fault *fault)
{
    (void)fault;
    object_add(object, name, object_new_text(cell->text, cell->len));
    return true;
}

static bool add_truth_cell(struct json_object *object, const char *name,
                           const struct csv_cell *cell, struct fault *fault)
{
    bool yes = strcmp(cell->text, "true") == 0;
    if ((!yes && strcmp(cell->text, "false") != 0) || strlen(cell->text) != cell->len)
        return fault_set(fault, "%s must be true or false", name);
    object_add_bool(object, name, yes);
    return true;
}

static bool add_time_cell(struct json_object *object, const char *name, const struct csv_cell *cell,
                          struct fault *fault)
{
    int64_t seconds;
    uint32_t nanos;
    char *end;
    if (rfc3339_parse((const uint8_t *)cell->text, cell->len, &seconds, &nanos)) {
        object_add_signed(object, name, seconds);
        return true;
    }
    errno = 0;
    long long number = strtoll(cell->text, &end, 10);
    if (end != cell->text + cell->len || strchr("-0123456789", cell->text[0]) == NULL)
        return fault_set(fault, "%s must be an integer, or a time such as 2026-01-31T23:59:59Z",
                         name);
    if (errno != 0)
        return fault_set(fault, "%s does not fit 64 bits", name);
    object_add_signed(object, name, number);
    return true;
}

static bool add_roles_cell(struct json_object *object, const char *name,
                           const struct csv_cell *cell, struct fault *fault)
{
    struct json_object *roles = object_new_array();
    const char *at = cell->text, *end = cell->text + cell->len;
    (void)fault;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;
        object_append(roles, object_new_text(at, (size_t)(stop - at)));
        at = stop + 1;
        if (at == end) /* a comma at the end: an empty role, which is refused */
            object_append(roles, object_new_text("", 0));
    }
    object_add(object, name, roles);
    return true;
}

static const struct column {
    const char *name;
    add_cell *add;
    bool empty; /* an empty cell means something */
} known[] = {
    {"id", add_text_cell, false},
    {"username", add_text_cell, true},
    {"email", add_text_cell, true},
    {"created_at", add_time_cell, false},
    {"roles", add_roles_cell, true},
    {"disabled", add_truth_cell, false},
    {"update_time", add_text_cell, false},
    {"has_password", add_truth_cell, false},
    {"password_hash", add_text_cell, false},
};

/* NULL: there is no such column, but it may be one of a label. */
static const struct column *find_column(const char *name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, name) == 0)
            return &known[i];
    return NULL;
}

static bool is_label(const char *name)
{
    return strncmp(name, LABEL_PREFIX, sizeof(LABEL_PREFIX) - 1) == 0;
}

/* ---- the first row ---- */

static bool take_column(struct record_columns *columns, const struct csv_cell *cell,
                        struct fault *fault)
{
    const char *name = cell->text;
    if (strlen(name) != cell->len)
        return fault_set(fault, "the name of a column contains U+0000");
    if ((find_column(name) == NULL && !is_label(name)) || cell->len >= RECORD_COLUMN_SIZE)
        return fault_set(fault,
                         "unknown column \"%.64s\" (a file of users is JSON, or CSV with the "
                         "names of its columns in the first row)",
                         name);
    for (size_t i = 0; i < columns->count; i++)
        if (strcmp(columns->names[i], name) == 0)
            return fault_set(fault, "there are two columns %s", name);
    memcpy(columns->names[columns->count++], name, cell->len + 1);
    return true;
}

static bool take_columns(struct record_columns *columns, const struct csv_row *row,
                         struct fault *fault)
{
    bool named = false;
    columns->count = 0;
    for (size_t i = 0; i < row->count; i++) {
        if (!take_column(columns, &row->cells[i], fault))
            return false;
        named = named || strcmp(row->cells[i].text, "username") == 0;
    }
    return named || fault_set(fault, "the column username is missing");
}

bool record_columns_read(struct record_columns *columns, const char *line, size_t len,
                         struct fault *fault)
{
    static struct csv_row row;
    bool good = utf8_valid((const uint8_t *)line, len) || fault_set(fault, "the line is not UTF-8");
    good = good && csv_split(&row, line, len, fault) && take_columns(columns, &row, fault);
    if (!good)
        columns->count = 0;
    return good;
}

/* ---- rows ---- */

/* Labels are given if there is a column of one, so that an empty cell removes the label. */
static void add_label(struct json_object *object, const char *name, const struct csv_cell *cell)
{
    struct json_object *labels;
    if (!json_object_object_get_ex(object, "labels", &labels)) {
        labels = object_new();
        object_add(object, "labels", labels);
    }
    if (cell->len != 0)
        object_add(labels, name + sizeof(LABEL_PREFIX) - 1, object_new_text(cell->text, cell->len));
}

static bool add_cells(struct json_object *object, const struct record_columns *columns,
                      const struct csv_row *row, struct fault *fault)
{
    if (row->count != columns->count)
        return fault_set(fault, "there are %zu cells, but %zu columns", row->count, columns->count);
    for (size_t i = 0; i < row->count; i++) {
        const char *name = columns->names[i];
        const struct csv_cell *cell = &row->cells[i];
        const struct column *column = find_column(name);
        if (column == NULL)
            add_label(object, name, cell);
        else if ((cell->len != 0 || column->empty) && !column->add(object, name, cell, fault))
            return false;
    }
    return true;
}

struct json_object *record_columns_object(const struct record_columns *columns, const char *line,
                                          size_t len, struct fault *fault)
{
    static struct csv_row row;
    struct json_object *object = object_new();
    bool good = csv_split(&row, line, len, fault) && add_cells(object, columns, &row, fault);
    explicit_bzero(&row, sizeof(row)); /* it may have a secret */
    if (good)
        return object;
    json_object_put(object);
    return NULL;
}
