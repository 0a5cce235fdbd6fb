/* SPDX-License-Identifier: MIT */
/* Whether a dump's users fit into the table: told before the first one is loaded. */
#ifndef ROSTERD_INSPECT_ROOM_H
#define ROSTERD_INSPECT_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "inspect/core/writer.h"

enum { ROOM_REASON_SIZE = 160 };

/**
 * @param fd of the dump, which is read once more where its users would only fit if some are
 *   there already; what is no regular file is not, and is taken as it comes
 * @param users of it, as its first line tells
 * @return false: reason says in one line what is wanting
 */
bool room_for_dump(struct writer *writer, int fd, uint64_t users, char reason[ROOM_REASON_SIZE]);

#endif
