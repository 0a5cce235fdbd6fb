/* SPDX-License-Identifier: MIT */
/* The master watches whether the table has room for more users. It warns at a start, and once for
 * the whole server when users begin and cease to be refused. */
#ifndef ROSTERD_SERVER_MASTER_ROOM_WATCH_H
#define ROSTERD_SERVER_MASTER_ROOM_WATCH_H

#include "server/master/master_state.h"

/** Warns if max-users will not fit. From then on refusals are noticed. Called once, when the server
 * begins to serve. */
void room_watch_begin(struct master *master);
/** Logs a change, sets the gauges and has systemd told. To be called at least once per second. */
void room_watch_check(struct master *master, uint64_t now);

#endif
