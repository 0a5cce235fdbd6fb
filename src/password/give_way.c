/* SPDX-License-Identifier: MIT */
#include "password/give_way.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    NICER = 10,              /* this much; a tenth of a CPU beside a process that uses it up */
    LOOK_US = 100 * 1000,    /* between two looks at whether a hash gets its time */
    LOOK_MIN_NS = 50 * 1000, /* a shorter time says nothing */
};

/* The argument of sched_setattr(2), which the C library does not name before version 2.41. */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static struct {
    bool may_return; /* from SCHED_IDLE */
    int nice;
    uint64_t began_ns, began_cpu_ns;
    volatile sig_atomic_t idle;
} way;

/* For the handler of a signal, too. */
static void set_policy(int policy)
{
    struct scheduling wanted = {
        .size = sizeof(wanted), .policy = (uint32_t)policy, .nice = way.nice};
    if (syscall(SYS_sched_setattr, 0, &wanted, 0U) == 0)
        way.idle = policy == SCHED_IDLE;
}

static uint64_t cpu_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * UINT64_C(1000000000) + (uint64_t)at.tv_nsec;
}

/* Whether this hash has had the CPU for less than half of its time. */
static bool is_late(void)
{
    uint64_t took = clock_monotonic_ns() - way.began_ns;
    return took >= LOOK_MIN_NS && 2 * (cpu_ns() - way.began_cpu_ns) < took;
}

static void on_look(int signal)
{
    (void)signal;
    int saved = errno;
    if (way.idle && is_late())
        set_policy(SCHED_BATCH);
    errno = saved;
}

static void look_every(suseconds_t us)
{
    const struct itimerval every = {.it_interval.tv_usec = us, .it_value.tv_usec = us};
    setitimer(ITIMER_REAL, &every, NULL);
}

/* To leave SCHED_IDLE takes the same right as to lower the nice value. */
static bool may_lower_nice(void)
{
    if (setpriority(PRIO_PROCESS, 0, way.nice - 1) != 0)
        return false;
    return setpriority(PRIO_PROCESS, 0, way.nice) == 0;
}

void give_way_prepare(void)
{
    const struct sigaction action = {.sa_handler = on_look, .sa_flags = SA_RESTART};
    sigset_t set;
    (void)!nice(NICER); /* may be forbidden, and then hashing is as urgent as calls */
    way.nice = getpriority(PRIO_PROCESS, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    way.may_return = sigaction(SIGALRM, &action, NULL) == 0 &&
                     sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 && may_lower_nice();
    set_policy(way.may_return ? SCHED_IDLE : SCHED_BATCH);
}

void give_way_begin(void)
{
    if (!way.may_return)
        return;
    way.began_ns = clock_monotonic_ns();
    way.began_cpu_ns = cpu_ns();
    look_every(LOOK_US);
}

void give_way_end(void)
{
    if (!way.may_return)
        return;
    look_every(0);
    if (!way.idle && !is_late())
        set_policy(SCHED_IDLE);
}
