/* SPDX-License-Identifier: MIT */
/*
 * The rights of shm-inspect when root starts it. The segment and the data file belong to the
 * server's user, whom an attacker may have taken over, and the C library writes through pointers
 * that lie in the segment (robust mutexes). So shm-inspect never maps a segment with more rights
 * than the segment's user.
 */
#ifndef ROSTERD_INSPECT_CORE_IDENTITY_H
#define ROSTERD_INSPECT_CORE_IDENTITY_H

#include "inspect/core/report.h"

/**
 * As root: becomes the segment's user for the rest of the process. To be called after the files of
 * the command line have been opened with root's rights, and before anything is mapped. Does
 * nothing for another user, for a segment of root, and if there is no such segment.
 * @return INSPECT_DONE, or the exit status of a failure that has been reported
 */
enum inspect_exit identity_become_user(const char *segment);
/**
 * The same for a data file that is named by its path: becomes the user whom the file belongs to,
 * or its directory if there is no such file. A symbolic link belongs to who has made it.
 */
enum inspect_exit identity_become_owner(const char *path);

#endif
