/* SPDX-License-Identifier: MIT */
/* The links of a segment's file, as shm/name.h explains them: NAME and the kept link .NAME.kept.
 * Names must be valid for shm_file_path(). */
#ifndef ROSTERD_SHM_SEGMENT_NAME_LINKS_H
#define ROSTERD_SHM_SEGMENT_NAME_LINKS_H

#include <stdbool.h>

#include "shm/error.h"
#include "shm/name.h"

/** Refuses the name while a live owner of another file still has a right to it: that owner's file
 * is at the kept link. @return SHM_OK, SHM_EOWNED */
int shm_name_check_claim(int fd, const char *name, struct shm_fault *fault);
/** Makes the kept link if it is missing, and restores the name if it is gone. For the file's owner,
 * at any time. */
enum shm_name_state shm_name_hold(int fd, const char *name);
/** Removes the kept link if it leads to this file. For the owner, at its end.
 * @return false: the link stays, because it is the file's last one and the users would be lost */
bool shm_name_release(int fd, const char *name);
/** "/dev/shm/.NAME.kept", or "/dev/shm/DIRECTORY/.NAME.kept" */
void shm_name_kept_path(char path[300], const char *name);
/** Removes a kept link that a dead owner left, unless it is the last link of its file. */
void shm_name_remove_kept(const char *name);
/** Removes a kept link that a dead owner left, also if it is the last link of its file. For a name
 * that no file has. */
void shm_name_remove_stale(const char *name);

enum { SHM_ASIDE_MAX = 100 };
/** Another name for a segment whose own is taken: NAME.20261123T063000Z for i = 0; for greater i
 * "-i" follows, for further tries within one second. @return false: too long */
bool shm_name_aside(char aside[256], const char *name, int i);

#endif
