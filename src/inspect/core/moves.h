/* SPDX-License-Identifier: MIT */
/*
 * User names and e-mails that change hands between users of a file that is loaded.
 *
 * load commits users in the order of the file. A user may want a name that another user still has,
 * who gets another name by a later line. So when the table refuses a user because of a unique key,
 * load asks this module for the key. It finds out who has it, and whether a later line of the file
 * gives that user another one, whoever has that one, and so on. If all of them can have what the
 * file says, their lines are loaded now, the last of the chain first. Where the chain is a ring, as
 * when two users swap their names, one of its users gets a name that nobody has, "load-" and a UUID
 * (as an e-mail: at load.invalid), until the name that it wants is free.
 *
 * Nothing is changed if one user of the chain cannot have its key, or if two of them want the same
 * one. If the load is killed inside a ring, or another program changes its users meanwhile, one
 * user may be left with such a name, and loading the file again puts it right.
 *
 * The file is read a second time for that, when a key is refused first. What cannot be read twice,
 * a pipe, has no keys that change hands against the order of its lines.
 */
#ifndef ROSTERD_INSPECT_CORE_MOVES_H
#define ROSTERD_INSPECT_CORE_MOVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/core/moves_file.h"
#include "inspect/core/record.h"
#include "inspect/core/table_writer.h"

enum { MOVES_CHAIN_MAX = 10000 }; /* users that have to make room for one */

/** The caller zeroes it and sets `writer` and `file.fd`. */
struct moves {
    struct table_writer *writer;
    struct moves_file file;
    uint32_t walk;       /* how many looks at chains there were */
    struct move **stack; /* of MOVES_CHAIN_MAX */
    uint64_t *wants;     /* hashes of the keys that a chain's users want */
};

/**
 * Makes the unique keys of a record free, which another user has.
 * @param line the record's
 * @return SHM_OK: they are free, and if the user is in the table, its version may have changed;
 *   SHM_EKEY: the other user keeps its key; other errors of a commit
 */
int moves_make_room(struct moves *moves, const struct record *record, uint64_t line);
/** Whether moves_make_room() has loaded this line. */
bool moves_have_applied(const struct moves *moves, const uint8_t id[UUID_SIZE], uint64_t line);
void moves_free(struct moves *moves);

#endif
