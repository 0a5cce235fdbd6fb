/* SPDX-License-Identifier: MIT */
/* The workers of all generations: which are started, which have died, which must be killed. */
#ifndef ROSTERD_SERVER_MASTER_WORKERS_H
#define ROSTERD_SERVER_MASTER_WORKERS_H

#include "server/master/master_state.h"

/** Starts the workers that are due. Returns in each worker's process, too, when the worker has
 * ended: master->is_worker is set there. */
void workers_spawn_due(struct master *master);
/** Starts the journal if it is due. Returns in both processes, as workers_spawn_due(). */
void workers_spawn_journal(struct master *master);
/** A child process has ended: a worker (worker_death.h), the successor of an upgrade, or an orphan.
 * @param status waitpid()'s */
void workers_bury(struct master *master, pid_t pid, int status);
/** Kills workers that make no progress, and workers that should have stopped but still run. Feeds
 * systemd's watchdog. To be called at master->check_workers_at; sets the next such time. */
void workers_check(struct master *master);
/** Whether any worker runs. */
bool workers_running(const struct master *master);
/** Closes generations that were stopped and of which no worker runs any more. One generation always
 * stays. */
void workers_close_generations(struct master *master);

#endif
