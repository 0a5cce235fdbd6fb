/* SPDX-License-Identifier: MIT */
/* What a program does before anything else, in whatever state it was started. */
#ifndef ROSTERD_BASE_PROCESS_H
#define ROSTERD_BASE_PROCESS_H

/**
 * First of all in main(). Opens /dev/null on those of the descriptors 0 to 2 that are closed, or
 * the first sockets and files of ours would have their numbers, and be written to as standard
 * error. Ignores SIGPIPE and SIGXFSZ: a reader that went away and a file at its limit
 * (RLIMIT_FSIZE) are errors of the call that met them, as a full disk is. An exec hands both on.
 * Where there is no /dev/null the process ends, with status 1: it has nowhere to say so.
 */
void process_prepare(void);

#endif
