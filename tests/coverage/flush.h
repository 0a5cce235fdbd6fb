/* SPDX-License-Identifier: MIT */
/*
 * Included into every file of a build with --enable-coverage. gcov writes a process's counters when
 * the process calls exit(). Most of rosterd's processes end in another way, so this header writes
 * them in two more places:
 * - before _exit();
 * - before one process kills another by SIGKILL: the sender first sends SIGRTMAX, on which the
 *   receiver writes its counters, and waits a moment. A stopped process does not answer, and its
 *   counters are lost, as are those of a process that a test kills.
 */
#ifndef ROSTERD_TESTS_COVERAGE_FLUSH_H
#define ROSTERD_TESTS_COVERAGE_FLUSH_H

#include <signal.h>
#include <time.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);

/* Not async-signal-safe; good enough for processes of one thread in a test. */
__attribute__((weak)) void coverage_on_signal(int number);
__attribute__((weak)) void coverage_on_signal(int number)
{
    (void)number;
    __gcov_dump();
    __gcov_reset();
}

__attribute__((weak, constructor)) void coverage_begin(void);
__attribute__((weak, constructor)) void coverage_begin(void)
{
    struct sigaction action = {.sa_handler = coverage_on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGRTMAX, &action, NULL);
}

static inline _Noreturn void coverage_exit(int status)
{
    __gcov_dump();
    (_exit)(status);
}

static inline int coverage_kill(pid_t pid, int number)
{
    if (number == SIGKILL && (kill)(pid, SIGRTMAX) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    return (kill)(pid, number);
}

#define _exit(status)     coverage_exit(status)
#define kill(pid, number) coverage_kill(pid, number)

#endif
