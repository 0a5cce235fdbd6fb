/* SPDX-License-Identifier: MIT */
/* Whose a segment is. Any user may make files in /dev/shm: those of users who have nothing to do
 * with it are not offered to anybody. */
#ifndef ROSTERD_INSPECT_CORE_SEGMENT_USER_H
#define ROSTERD_INSPECT_CORE_SEGMENT_USER_H

#include <stdbool.h>
#include <sys/types.h>

/** @return the user whose segment it is; -1: there is none, or this process may not see it */
uid_t segment_user(const char *name);
/** Whether there is such a segment, of this user or of the system's. */
bool segment_is_meant(const char *name, uid_t user);

#endif
