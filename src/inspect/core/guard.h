/* SPDX-License-Identifier: MIT */
/* What may end a command from outside: a damaged segment, a signal to stop. */
#ifndef ROSTERD_INSPECT_GUARD_H
#define ROSTERD_INSPECT_GUARD_H

#include <stdbool.h>

/**
 * The write path follows the segment's pointers unchecked for the sake of its speed. From here
 * on a pointer that leads nowhere and a list that has no end (2 seconds of computing with no
 * guard_progress() between) end this process with one line and INSPECT_BAD_SEGMENT; what it held
 * in the segment is recovered by the next one, as after any death.
 */
void guard_damage(void);
void guard_progress(void);

/** From here on INT, TERM and HUP wait for guard_stopped() and guard_readable() to see them. */
void guard_stop(void);
bool guard_stopped(void);
/** For a poll() of one's own: readable where such a signal has come; -1: guard_stop() was not
 * called.
 */
int guard_fd(void);
/** Waits until there is something to read or such a signal. @return false: the signal; errno is
 * EINTR then, or what else was wrong */
bool guard_readable(int fd);

#endif
