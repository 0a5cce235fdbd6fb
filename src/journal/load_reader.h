/* SPDX-License-Identifier: MIT */
/* A thread that reads the rows of a data file ahead of the one that loads them. */
#ifndef ROSTERD_JOURNAL_LOAD_READER_H
#define ROSTERD_JOURNAL_LOAD_READER_H

#include <stddef.h>

#include "base/fault.h"
#include "journal/data_file.h"
#include "journal/history_rows.h"
#include "shm/disk.h"

/** Users that are loaded in one call. */
struct load_block {
    struct shm_loaded_user users[SHM_BATCH_MAX];
    size_t count;
    uint8_t *bodies; /* the users' */
};

struct load_reader;

/** @return NULL with fault set */
struct load_reader *load_reader_start(const char *path, struct fault *fault);
/**
 * The next users, in order. A block is valid until the next call.
 * @return DATA_OK, DATA_NONE: the end, and the file is as it should be; else the fault says why
 */
enum data_result load_reader_next(struct load_reader *reader, const struct load_block **block,
                                  struct fault *fault);
/** What the file has beside the users, after load_reader_next() has returned DATA_NONE. */
const struct history_rows *load_reader_history(const struct load_reader *reader);
/** Ends the thread. The parameter may be NULL. */
void load_reader_stop(struct load_reader *reader);

#endif
