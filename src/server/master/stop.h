/* SPDX-License-Identifier: MIT */
/* Stops the server, or one generation of its workers. */
#ifndef ROSTERD_SERVER_MASTER_STOP_H
#define ROSTERD_SERVER_MASTER_STOP_H

#include "server/master/master_state.h"

/**
 * Tells a generation's workers to end. From now on they take no new connection.
 * @param signal SIGQUIT: running calls may finish; SIGHUP: likewise, and other workers serve from
 * now on; SIGTERM or SIGKILL: they are cut off
 * @param patience ms; workers that still run a few seconds after it are killed (workers_check())
 */
void stop_generation(struct generation *generation, int signal, uint64_t patience);
/** Tells the whole server to end: closes listening sockets, and stops all generations and a
 * successor that does not serve yet. @param fast running calls are cut off, also in a stop that
 * began slowly */
void stop_server(struct master *master, bool fast);

#endif
