/* SPDX-License-Identifier: MIT */
/* Rows of CSV (RFC 4180): cells between commas, in quotes if they have commas, quotes, or
 * newlines in them; a quote inside of quotes is written twice. */
#ifndef ROSTERD_INSPECT_CORE_CSV_H
#define ROSTERD_INSPECT_CORE_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

enum { CSV_CELLS_MAX = 64, CSV_ROW_MAX = 64 << 10 };

struct csv_row {
    size_t count;
    struct csv_cell {
        char *text; /* in `bytes`, followed by a NUL; it may have others */
        size_t len;
    } cells[CSV_CELLS_MAX];
    char bytes[CSV_ROW_MAX + CSV_CELLS_MAX];
};

/** Parts a row into its cells. @param len at most CSV_ROW_MAX; a CR at the end is left out */
bool csv_split(struct csv_row *row, const char *line, size_t len, struct fault *fault);

#endif
