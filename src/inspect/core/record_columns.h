/* SPDX-License-Identifier: MIT */
/*
 * Users as rows of CSV. The first row names the columns, in any order: the fields of a line of JSON
 * (record.h), and a column labels.KEY for each label. Roles are parted by commas in their cell.
 * created_at is in seconds since the epoch, or a time of RFC 3339.
 */
#ifndef ROSTERD_INSPECT_CORE_RECORD_COLUMNS_H
#define ROSTERD_INSPECT_CORE_RECORD_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#include "base/fault.h"
#include "inspect/core/csv.h"

enum { RECORD_COLUMN_SIZE = 384 }; /* of a name with its NUL: the longest key of a label fits */

/** Zeroed: they have not been read. */
struct record_columns {
    size_t count;
    char names[CSV_CELLS_MAX][RECORD_COLUMN_SIZE];
};

/** Reads the first row. @return false: it names no columns of users */
bool record_columns_read(struct record_columns *columns, const char *line, size_t len,
                         struct fault *fault);
/**
 * Makes of a row the object that a line of JSON has. Empty cells are left out, but for those of
 * email and roles.
 * @param line UTF-8
 * @return NULL with the fault filled; else the caller owns the object, which may have a secret
 */
struct json_object *record_columns_object(const struct record_columns *columns, const char *line,
                                          size_t len, struct fault *fault);

#endif
