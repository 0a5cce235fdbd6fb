/* SPDX-License-Identifier: MIT */
/* A data file without users. The server writes its first one from the table, as it writes any
 * other. */
#ifndef ROSTERD_TESTS_JOURNAL_DATA_CREATE_H
#define ROSTERD_TESTS_JOURNAL_DATA_CREATE_H

#include <stddef.h>

#include "journal/data_file.h"

/** Makes a file without users, in place of an old one, and opens it. */
static inline enum data_result data_file_create(struct data_file **file, const char *path,
                                                enum data_sync sync, const struct data_meta *meta,
                                                struct fault *fault)
{
    struct data_rewrite *rewrite;
    struct data_meta found;
    *file = NULL;
    enum data_result result = data_rewrite_begin(&rewrite, path, meta, fault);
    if (result == DATA_OK)
        result = data_rewrite_finish(rewrite, fault);
    if (result == DATA_OK)
        result = data_file_open(file, path, sync, &found, fault);
    return result;
}

#endif
