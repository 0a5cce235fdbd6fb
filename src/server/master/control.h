/* SPDX-License-Identifier: MIT */
/*
 * How `rosterd --reload PID` learns the outcome of the reload. The master listens at an abstract
 * unix address that is made of its pid. The command connects, then sends HUP; when the reload has
 * ended, the master answers every command that had connected before the reload began.
 *
 * The master closes connections of users other than root and its own. The command checks that the
 * process at the address is the one that it was asked to reload.
 */
#ifndef ROSTERD_SERVER_MASTER_CONTROL_H
#define ROSTERD_SERVER_MASTER_CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/fault.h"

enum {
    CONTROL_WAITERS = 16,               /* commands that wait at the same time */
    CONTROL_POLL = 1 + CONTROL_WAITERS, /* descriptors of control_poll_set() at most */
    CONTROL_TEXT = 1024,                /* bytes of an answer, with its end */
};

/** A `rosterd --reload` that waits for the outcome. */
struct control_waiter {
    int fd;
    bool due; /* it connected before the current reload began, so it is answered when that ends */
};

struct control {
    int listener; /* -1: there is none */
    struct control_waiter waiters[CONTROL_WAITERS];
    size_t count;
};

/* ---- for the master ---- */

/** Listens. If that fails, a warning is logged; a reload is still possible by signal. */
void control_open(struct control *control);
void control_close(struct control *control);
/** Adds at most CONTROL_POLL descriptors. @return how many were added to `fds` */
size_t control_poll_set(const struct control *control, struct pollfd *fds);
/** Accepts commands that have connected, and forgets those that have left. */
void control_accept(struct control *control);
/** A reload begins: the commands that are connected now will be answered. */
void control_begin(struct control *control);
/** The reload has ended. @param text one line for the commands */
void control_end(struct control *control, bool done, const char *text);

/* ---- for the command ---- */

/** Tells process `pid` to reload, and waits for the outcome.
 * @param text set to the server's answer, one line, when the reload has succeeded */
bool control_reload(pid_t pid, char text[CONTROL_TEXT], struct fault *fault);

#endif
