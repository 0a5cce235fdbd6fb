/* SPDX-License-Identifier: MIT */
#include "inspect/guard.h"

#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

#include "inspect/inspect.h"

enum { PATIENCE = 2 }; /* seconds of computing; a commit takes less than a thousandth of one */

static void damaged(int signal_number)
{
    static const char nowhere[] = "shm-inspect: the segment is corrupt: a pointer in it leads "
                                  "nowhere (see: verify)\n";
    static const char endless[] = "shm-inspect: the segment is corrupt: a list in it has no end "
                                  "(see: verify)\n";
    ssize_t ignored = signal_number == SIGVTALRM
                          ? write(STDERR_FILENO, endless, sizeof(endless) - 1)
                          : write(STDERR_FILENO, nowhere, sizeof(nowhere) - 1);

    (void)ignored;
    _exit(INSPECT_BAD_SEGMENT);
}

void guard_progress(void)
{
    struct itimerval patience = {.it_value.tv_sec = PATIENCE};

    setitimer(ITIMER_VIRTUAL, &patience, NULL);
}

void guard_damage(void)
{
    struct sigaction action = {.sa_handler = damaged};

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGVTALRM, &action, NULL);
    guard_progress();
}

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

void guard_stop(void)
{
    struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART: a read() is to end */

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

bool guard_stopped(void)
{
    return stopped != 0;
}
