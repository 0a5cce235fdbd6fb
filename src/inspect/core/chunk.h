/* SPDX-License-Identifier: MIT */
/*
 * What load gathers for one commit: up to SHM_BATCH_MAX users in a row of whom all that are not
 * there yet are inserted, or all that are there with other contents updated, never both. So each
 * chunk is all or nothing, and chunks happen in the order of the file.
 */
#ifndef ROSTERD_INSPECT_CHUNK_H
#define ROSTERD_INSPECT_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/core/record.h"
#include "inspect/core/writer.h"

enum chunk_kind { CHUNK_SAME, CHUNK_NEW, CHUNK_CHANGED, CHUNK_REFUSED };

struct chunk_entry {
    uint64_t line;
    enum chunk_kind kind;
    struct record record;
};

/** A user that the table does not take. @return whether to go on without it */
typedef bool chunk_refuse(void *data, uint64_t line, const char *reason);

struct chunk {
    struct writer *writer;
    chunk_refuse *refuse;
    void *data;
    uint64_t inserted, updated, unchanged; /* so far, by all commits */
    uint64_t last_line;                    /* of those users */
    size_t count;
    enum chunk_kind kind; /* of its entries; CHUNK_SAME where nothing is to be done */
    /* one more, which is being read */
    struct chunk_entry entries[SHM_BATCH_MAX + 1];
};

/** Where the next user goes, before chunk_add(). */
struct record *chunk_next(struct chunk *chunk);

enum { CHUNK_STOPPED = 1 }; /* beside the store's errors: refuse() did not want to go on */

/**
 * Adds the user that chunk_next() has; commits what was there before it where the two do not
 * go together, and all of it where it is full.
 * @return SHM_OK, CHUNK_STOPPED, or the store's error that ends the load
 */
int chunk_add(struct chunk *chunk, uint64_t line);
/** Commits what is there. @return as chunk_add() */
int chunk_commit(struct chunk *chunk);

#endif
