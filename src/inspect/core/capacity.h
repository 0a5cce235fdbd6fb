/* SPDX-License-Identifier: MIT */
/* Whether the users of a dump fit into the table; load checks it before the first user. */
#ifndef ROSTERD_INSPECT_CORE_CAPACITY_H
#define ROSTERD_INSPECT_CORE_CAPACITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "inspect/core/table_writer.h"

/**
 * Checks that the table has room for the users of the dump that are not in it yet.
 * @param fd the dump. If its users fit only because some of them are in the table already, a
 *   regular file is read once to count the new ones; its file offset does not change. Other files
 *   cannot be read twice and are then accepted unchecked
 * @param users the number of users that the dump's header states
 */
bool capacity_check_dump(struct table_writer *writer, int fd, uint64_t users, struct fault *fault);

#endif
