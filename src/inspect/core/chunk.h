/* SPDX-License-Identifier: MIT */
/*
 * The users that load commits at once: up to SHM_BATCH_MAX consecutive users of the file. Those
 * that are not in the table are inserted, or those that are there with other contents are updated;
 * one chunk never does both. A user whose user name or e-mail changes is a chunk of its own,
 * because the store changes the keys of one user at a time. So each chunk is all or nothing, and
 * chunks are committed in the order of the file, but for users who have to make room for
 * others (moves.h).
 */
#ifndef ROSTERD_INSPECT_CORE_CHUNK_H
#define ROSTERD_INSPECT_CORE_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/core/moves.h"
#include "inspect/core/record.h"
#include "inspect/core/record_merge.h"
#include "inspect/core/table_writer.h"

/** What a user of the file is to the table: there with the same contents, there since its line was
 * loaded before its turn, not there, there with other contents, there with another key, or refused
 * by the table. */
enum chunk_kind {
    CHUNK_SAME,
    CHUNK_EARLY,
    CHUNK_NEW,
    CHUNK_CHANGED,
    CHUNK_RENAMED,
    CHUNK_REFUSED,
};

struct chunk_entry {
    uint64_t line; /* its number in the file */
    enum chunk_kind kind;
    struct record record;
    unsigned rooms;   /* how often other users have made room for it */
    uint64_t version; /* of a user that is there: the one that the merge is of */
    struct merged_hidden merged;
};

/** Called for each user that the table refuses, mostly because of a unique key.
 * @return whether to go on without this user */
typedef bool chunk_refuse(void *data, uint64_t line, const struct fault *fault);

/** The caller zeroes it and sets the first four members. */
struct chunk {
    struct table_writer *writer;
    struct moves *moves;
    chunk_refuse *refuse;
    void *data; /* passed to refuse() */
    /* Totals of all commits so far, and the line of the last user that they count. */
    uint64_t inserted, updated, unchanged;
    uint64_t without_password; /* had one when they were dumped, and have none now */
    uint64_t last_line;
    /** Why a function returned false: an error of the store, or SHM_OK if refuse() did. */
    int error;
    size_t count;
    enum chunk_kind kind; /* of what is to be committed; CHUNK_SAME: nothing */
    struct chunk_entry entries[SHM_BATCH_MAX + 1]; /* the last one for the user being read */
};

/** The place for the next user. The caller fills it and then calls chunk_add(). */
struct record *chunk_next(struct chunk *chunk);

/**
 * Adds the user at chunk_next(). First commits the users before it if the two cannot be committed
 * together; commits a chunk that has become full.
 * @return false if the load must end; chunk->error says why
 */
bool chunk_add(struct chunk *chunk, uint64_t line);
/** Commits the users of the chunk. @return as chunk_add() */
bool chunk_commit(struct chunk *chunk);

#endif
