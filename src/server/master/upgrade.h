/* SPDX-License-Identifier: MIT */
/* Upgrade: what the master does while a new program takes its place (handover.h). When the new
 * program fails, this one continues to serve. */
#ifndef ROSTERD_SERVER_MASTER_UPGRADE_H
#define ROSTERD_SERVER_MASTER_UPGRADE_H

#include "server/master/master_state.h"

/** Starts the new program, or logs why it cannot be started now. */
void upgrade_begin(struct master *master);
/** To be called when the successor's channel is readable. When the successor serves, this server
 * stops. */
void upgrade_read_channel(struct master *master);
/** The successor's process has ended before it served. @param status waitpid()'s */
void upgrade_fail(struct master *master, int status);
/** Kills a successor that has taken too long to serve, or to end. To be called regularly. */
void upgrade_check_deadline(struct master *master);

#endif
