/* SPDX-License-Identifier: MIT */
/* The second reading of a file that is loaded: which of its lines change unique keys (moves.h). */
#ifndef ROSTERD_INSPECT_CORE_MOVES_FILE_H
#define ROSTERD_INSPECT_CORE_MOVES_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/core/record.h"
#include "inspect/core/record_columns.h"
#include "inspect/core/table_writer.h"

enum { MOVES_MAX = 1000000 }; /* users of a file whose keys change; what follows is not seen */

/** A line that gives a user other keys. */
struct move {
    uint8_t id[UUID_SIZE];
    uint64_t line, offset; /* its number, and where it begins in the file */
    size_t len;            /* bytes */
    uint32_t walk;         /* the last look at a chain that came by */
    bool open;             /* it waits until those after it in the chain have made room */
    bool applied;          /* the line is loaded */
    bool stuck;            /* somebody who keeps a key is in its way */
    struct move *wanted;   /* who made the last look come by; NULL: the record that is loaded */
};

/** Zeroed but for the descriptor: nothing has been read. */
struct moves_file {
    int fd;                               /* -1: it cannot be read a second time */
    const struct record_columns *columns; /* of CSV; NULL: the file is JSON */
    struct move *all;                     /* by id; the caller frees them */
    size_t count, capacity;
};

/** Reads the whole file, and notes the lines after line `after` by which keys of users in the table
 * change: the first one of each user. */
void moves_gather(struct moves_file *file, struct table_writer *writer, uint64_t after);
/** @return NULL: no line moves this user */
struct move *move_find(const struct moves_file *file, const uint8_t id[UUID_SIZE]);
/** Reads the line of a move again. @param record may have a secret, as everywhere
 * @return false: the file has changed */
bool move_read(const struct moves_file *file, const struct move *move, struct record *record);

#endif
