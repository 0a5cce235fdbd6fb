/* SPDX-License-Identifier: MIT */
#include "inspect/core/guard.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "inspect/core/report.h"

/* Seconds of CPU time; a commit takes less than a millisecond. */
enum { CPU_PATIENCE_S = 2 };

/* A signal handler: only async-signal-safe calls. */
static void end_by_damage(int signal_number)
{
    static const char pointer[] = "shm-inspect: the segment is corrupt: it contains a bad pointer "
                                  "(see: verify)\n";
    static const char endless[] = "shm-inspect: the segment is corrupt: it contains an endless "
                                  "list (see: verify)\n";
    ssize_t ignored = signal_number == SIGVTALRM
                          ? write(STDERR_FILENO, endless, sizeof(endless) - 1)
                          : write(STDERR_FILENO, pointer, sizeof(pointer) - 1);
    (void)ignored;
    _exit(INSPECT_BAD_SEGMENT);
}

void guard_progress(void)
{
    struct itimerval patience = {.it_value.tv_sec = CPU_PATIENCE_S};
    setitimer(ITIMER_VIRTUAL, &patience, NULL);
}

void guard_against_damage(void)
{
    struct sigaction action = {.sa_handler = end_by_damage};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGVTALRM, &action, NULL);
    guard_progress();
}

void guard_against_cores(void)
{
    prctl(PR_SET_DUMPABLE, 0);
}

/* A signalfd of blocked signals. poll() sees a signal like input, so none can be missed between a
 * check and the wait that follows it. -1: not open. */
static int signal_fd = -1;

void guard_hold_signals(void)
{
    sigset_t set;
    assert(signal_fd < 0); /* called once */
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd >= 0)
        sigprocmask(SIG_BLOCK, &set, NULL);
}

bool guard_stopped(void)
{
    struct pollfd entry = {.fd = signal_fd, .events = POLLIN};
    return poll(&entry, 1, 0) == 1;
}

int guard_signal_fd(void)
{
    return signal_fd;
}

bool guard_wait_readable(int fd)
{
    struct pollfd entries[] = {{.fd = fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
    guard_progress(); /* everything read so far has been processed */
    if (poll(entries, 2, -1) < 0)
        return false;
    if (entries[1].revents == 0)
        return true;
    errno = EINTR;
    return false;
}
