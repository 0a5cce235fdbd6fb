/* SPDX-License-Identifier: MIT */
/*
 * What the master does when a worker has died: it logs the death, frees what the worker held (its
 * slot in the segment, and with it snapshots and locks; its place in the admission; its counts) and
 * schedules the next worker.
 */
#ifndef ROSTERD_SERVER_MASTER_WORKER_DEATH_H
#define ROSTERD_SERVER_MASTER_WORKER_DEATH_H

#include "base/fault.h"
#include "server/master/master_state.h"

/** Worker `number` of the generation, which had this pid, has ended and is marked dead.
 * @param status waitpid()'s */
void worker_death_handle(struct master *master, struct generation *generation, unsigned number,
                         pid_t pid, int status);
/** Gives up a generation of which a worker cannot start: for the first generation the server ends,
 * for a later one the reload fails. */
void worker_death_give_up(struct master *master, struct generation *generation,
                          struct fault *fault);

#endif
