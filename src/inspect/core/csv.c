/* SPDX-License-Identifier: MIT */
#include "inspect/core/csv.h"

#include <assert.h>
#include <string.h>

/* The next cell of a row. */
struct csv_reader {
    const char *at, *end;
    char *to; /* where the cell's text is written */
};

static bool read_quoted(struct csv_reader *reader, size_t number, struct fault *fault)
{
    reader->at++;
    for (;;) {
        const char *quote = memchr(reader->at, '"', (size_t)(reader->end - reader->at));
        if (quote == NULL)
            return fault_set(fault, "cell %zu has no quote at its end", number);
        bool twice = quote + 1 < reader->end && quote[1] == '"';
        size_t len = (size_t)(quote - reader->at) + twice;
        memcpy(reader->to, reader->at, len);
        reader->to += len;
        reader->at = quote + 1 + twice;
        if (!twice)
            break;
    }
    return reader->at == reader->end || *reader->at == ',' ||
           fault_set(fault, "cell %zu goes on behind its quotes", number);
}

static bool read_plain(struct csv_reader *reader, size_t number, struct fault *fault)
{
    const char *comma = memchr(reader->at, ',', (size_t)(reader->end - reader->at));
    size_t len = (size_t)((comma != NULL ? comma : reader->end) - reader->at);
    if (len != 0 && memchr(reader->at, '"', len) != NULL)
        return fault_set(fault, "cell %zu has a quote in its middle, and is not in quotes", number);
    memcpy(reader->to, reader->at, len);
    reader->to += len;
    reader->at += len;
    return true;
}

bool csv_split(struct csv_row *row, const char *line, size_t len, struct fault *fault)
{
    assert(len <= CSV_ROW_MAX);
    if (len > 0 && line[len - 1] == '\r')
        len--;
    struct csv_reader reader = {line, line + len, row->bytes};
    for (row->count = 0;;) {
        if (row->count == CSV_CELLS_MAX)
            return fault_set(fault, "there are more than %d cells", CSV_CELLS_MAX);
        struct csv_cell *cell = &row->cells[row->count++];
        cell->text = reader.to;
        bool quoted = reader.at < reader.end && *reader.at == '"';
        if (!(quoted ? read_quoted : read_plain)(&reader, row->count, fault))
            return false;
        cell->len = (size_t)(reader.to - cell->text);
        *reader.to++ = '\0';
        if (reader.at == reader.end)
            return true;
        reader.at++; /* the comma */
    }
}
