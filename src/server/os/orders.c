/* SPDX-License-Identifier: MIT */
#include "server/os/orders.h"

#include <signal.h>
#include <stddef.h>

#include "server/os/log.h"

/* process-wide, like the handlers */
static volatile sig_atomic_t must_end, must_reopen;

static void on_order(int signal)
{
    if (signal == SIGTERM)
        must_end = 1;
    else
        must_reopen = 1;
}

/* A handler, and no signalfd, because it ends a sleep. */
void orders_take(void)
{
    const struct sigaction action = {.sa_handler = on_order};
    sigset_t set;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

bool orders_to_end(void)
{
    return must_end != 0;
}

void orders_follow(void)
{
    struct fault fault;
    if (!must_reopen)
        return;
    must_reopen = 0;
    if (!log_reopen(&fault))
        log_error("log-file: %s; the old file stays in use", fault.text);
}
