/* SPDX-License-Identifier: MIT */
/* Reload: another configuration comes into force while clients are served. Until all workers of the
 * new generation accept connections, the previous generation serves; when anything fails, it stays.
 */
#ifndef ROSTERD_SERVER_MASTER_RELOAD_H
#define ROSTERD_SERVER_MASTER_RELOAD_H

#include "base/fault.h"
#include "server/master/master_state.h"

/** Reads the configuration and opens a generation for it, whose workers are started next. The
 * newest generation must be serving. */
void reload_begin(struct master *master);
/** All workers of the new generation accept connections: it serves, and the previous one drains. */
void reload_finish(struct master *master, struct generation *next);
/** Gives up a new generation that cannot start: its workers are killed. */
void reload_give_up(struct master *master, struct generation *next, const struct fault *fault);

#endif
