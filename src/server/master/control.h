/* SPDX-License-Identifier: MIT */
/*
 * How `rosterd --reload PID` learns what came of it: the master listens at an abstract unix
 * address that is made of its pid, and tells all who came before a reload began how it ended. Who
 * is neither root nor the master's user is not let in; who connects checks that it is that process.
 */
#ifndef ROSTERD_SERVER_MASTER_CONTROL_H
#define ROSTERD_SERVER_MASTER_CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { CONTROL_WAITERS = 16, CONTROL_POLL = 1 + CONTROL_WAITERS, CONTROL_TEXT = 1024 };

struct control {
    int listener; /* -1: there is none */
    struct {
        int fd;
        bool due; /* came before the reload that runs */
    } waiters[CONTROL_WAITERS];
    size_t count;
};

/** Where it cannot listen there is a warning, and reloads are by signal alone. */
void control_open(struct control *control);
void control_close(struct control *control);
size_t control_poll_set(const struct control *control, struct pollfd *fds);
/** Lets in who waits, and forgets who left. */
void control_accept(struct control *control);
/** A reload begins: who is here now will hear of it. */
void control_begin(struct control *control);
/** It has ended. */
void control_end(struct control *control, bool done, const char *text);

/**
 * The other side: tells process `pid` to reload and waits for the outcome.
 * @param text takes it, in one line. @return whether it was done
 */
bool control_reload(pid_t pid, char text[CONTROL_TEXT]);

#endif
