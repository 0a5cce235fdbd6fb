/* SPDX-License-Identifier: MIT */
/* What the master tells a process that has no event loop, such as the journal: TERM to end, USR1 to
 * open its log again. */
#ifndef ROSTERD_SERVER_OS_ORDERS_H
#define ROSTERD_SERVER_OS_ORDERS_H

#include <stdbool.h>

/**
 * Takes the signals from now on, in a process that was forked with signals blocked; the others stay
 * blocked. They end a sleep on a futex. One that comes just before the sleep is seen after it.
 */
void orders_take(void);
/** Whether the process was told to end. */
bool orders_to_end(void);
/** Opens the log again if the process was told so. */
void orders_follow(void);

#endif
