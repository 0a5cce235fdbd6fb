/* SPDX-License-Identifier: MIT */
/*
 * How a process that hashes gives way to the workers. A hash takes a whole CPU for tens of
 * milliseconds, and a call takes one for microseconds; where both share a CPU, a worker that wakes
 * up is to get it at once.
 *
 * A nice value alone does not do that: from Linux 6.6 on, a process mostly uses up its slice of
 * some 3 ms first. SCHED_IDLE (sched(7)) does, but where others would use up the CPU it leaves a
 * hash a three-hundredth of it, and nobody could log in. So a hash begins as SCHED_IDLE. One that
 * has got less than half of its time on the CPU goes on with a nice value, which gives it a tenth,
 * and so do those after it, until one of them had the CPU most of the time.
 *
 * To leave SCHED_IDLE needs a right: CAP_SYS_NICE, or an RLIMIT_NICE that allows a nice value one
 * lower than the one here. A process without it always has the nice value.
 */
#ifndef ROSTERD_PASSWORD_GIVE_WAY_H
#define ROSTERD_PASSWORD_GIVE_WAY_H

/** Raises this process's nice value, finds out what it may do, and takes SIGALRM and
 * setitimer(2)'s ITIMER_REAL for itself. */
void give_way_prepare(void);
/** Around each hash. */
void give_way_begin(void);
void give_way_end(void);

#endif
