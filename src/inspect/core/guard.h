/* SPDX-License-Identifier: MIT */
/* What may end a command from outside: a damaged segment, or a signal. */
#ifndef ROSTERD_INSPECT_CORE_GUARD_H
#define ROSTERD_INSPECT_CORE_GUARD_H

#include <stdbool.h>

/**
 * For commands that write. The store's write path does not check the segment's pointers, because
 * it is made for speed. After this call, a bad pointer (SIGSEGV, SIGBUS) or an endless list (2
 * seconds of CPU time without a call of guard_progress()) ends the process with a one-line message
 * and INSPECT_BAD_SEGMENT. Other processes then recover its slot and locks, as after any death.
 */
void guard_against_damage(void);
/** Restarts the 2 seconds of CPU time. */
void guard_progress(void);

/** The process leaves no core, and no other process of the same user may look into it: users have
 * hashes of passwords. */
void guard_against_cores(void);

/**
 * Blocks SIGINT, SIGTERM and SIGHUP. From now on they are seen only by guard_stopped(),
 * guard_signal_fd() and guard_wait_readable(). If this fails, the signals end the process as they
 * do by default.
 */
void guard_hold_signals(void);
/** Whether one of those signals has arrived. */
bool guard_stopped(void);
/** A descriptor that poll() reports readable when such a signal has arrived; -1 if
 * guard_hold_signals() was not called. */
int guard_signal_fd(void);
/** Waits until `fd` is readable or such a signal arrives. Like a system call, returns false with
 * errno set; EINTR means a signal. */
bool guard_wait_readable(int fd);

#endif
