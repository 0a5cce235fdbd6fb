/* SPDX-License-Identifier: MIT */
#include "inspect/core/guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "inspect/core/inspect.h"

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

/* Blocked, and seen by poll() like input: no moment is left in which one could be missed. */
static int signals = -1;

void guard_stop(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals >= 0) /* else they end us as ever */
        sigprocmask(SIG_BLOCK, &set, NULL);
}

bool guard_stopped(void)
{
    struct pollfd entry = {.fd = signals, .events = POLLIN};

    return poll(&entry, 1, 0) == 1;
}

int guard_fd(void)
{
    return signals;
}

bool guard_readable(int fd)
{
    struct pollfd entries[] = {{.fd = fd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};

    guard_progress(); /* all that was read before has been worked off */
    if (poll(entries, 2, -1) < 0)
        return false;
    if (entries[1].revents == 0)
        return true;
    errno = EINTR;
    return false;
}
