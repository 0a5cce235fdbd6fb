/* SPDX-License-Identifier: MIT */
/* The line that `systemctl status` shows: users, workers, connections, calls, and what is wrong. */
#ifndef ROSTERD_SERVER_MASTER_STATUS_LINE_H
#define ROSTERD_SERVER_MASTER_STATUS_LINE_H

#include "server/master/master_state.h"

void status_line_update(const struct master *master, uint64_t now);

#endif
