/* SPDX-License-Identifier: MIT */
/* Prepares a process, independent of the state in which it was started. */
#ifndef ROSTERD_BASE_PROCESS_H
#define ROSTERD_BASE_PROCESS_H

/**
 * To be called first in main().
 *
 * Opens /dev/null on those of the descriptors 0 to 2 that are closed. Otherwise our first sockets
 * and files would get these numbers, and messages for standard error would be written into them.
 *
 * Ignores SIGPIPE and SIGXFSZ: a reader that has gone and a file at its limit (RLIMIT_FSIZE) are
 * errors of the system call that meets them, like a full disk. Both settings survive an exec.
 *
 * Without /dev/null the process exits with status 1, silently, since it has no standard error.
 */
void process_prepare(void);

#endif
