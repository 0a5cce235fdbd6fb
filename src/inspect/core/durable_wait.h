/* SPDX-License-Identifier: MIT */
/* A command that has written says so when the server has its commits on disk. */
#ifndef ROSTERD_INSPECT_CORE_DURABLE_WAIT_H
#define ROSTERD_INSPECT_CORE_DURABLE_WAIT_H

#include "inspect/core/report.h"
#include "inspect/core/table_writer.h"

/**
 * Waits until all that was written is published, which it is at once where the table is in memory
 * only. Where the segment has no server, nobody can do that: a line on stderr says what happens.
 * @return INSPECT_DONE; INSPECT_FAILED: it is not on disk after a time, and the reason has been
 *   reported. The commits are in the table all the same
 */
enum inspect_exit durable_wait(const struct table_writer *writer);

#endif
