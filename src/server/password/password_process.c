/* SPDX-License-Identifier: MIT */
#include "server/password/password_process.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "server/os/log.h"

enum { POOL_TURN_MS = 1000 };

/* process-wide, like the handlers */
static volatile sig_atomic_t must_end, must_reopen;

static void on_pool_signal(int signal)
{
    if (signal == SIGTERM)
        must_end = 1;
    else
        must_reopen = 1;
}

/* A handler, which ends the wait for a request. A signal that comes just before the wait is seen
 * after it, a second later at most. */
static void take_pool_signals(void)
{
    const struct sigaction action = {.sa_handler = on_pool_signal};
    sigset_t set;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void reopen_pool_log(void)
{
    struct fault fault;
    must_reopen = 0;
    if (!log_reopen(&fault))
        log_error("log-file: %s; the old file stays in use", fault.text);
}

int password_process_run(struct pool_channels *channels, struct pool_board *board)
{
    struct fault fault;
    pid_t master = getppid();
    prctl(PR_SET_NAME, "rosterd-passwd");
    take_pool_signals();
    struct pool_server *server = pool_server_open(channels, board, &fault);
    if (server == NULL) {
        log_error("password-processes: %s", fault.text);
        return EXIT_FAILURE;
    }
    /* The kernel tells of the master's end, unless a security module forbids it. */
    while (!must_end && getppid() == master) {
        pool_server_turn(server, POOL_TURN_MS);
        if (must_reopen)
            reopen_pool_log();
    }
    pool_server_close(server);
    return EXIT_SUCCESS;
}
