/* SPDX-License-Identifier: MIT */
/* The file under a segment, or under its counters: a tmpfs file in /dev/shm, or in a directory
 * there that only the segment's user may write. */
#ifndef ROSTERD_SHM_SEGMENT_SEGMENT_FILE_H
#define ROSTERD_SHM_SEGMENT_SEGMENT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/error.h"

#define SHM_DIRECTORY "/dev/shm"

/** What a process opens a file for; decides whose files it may open. */
enum shm_access {
    SHM_AS_OWNER,
    SHM_AS_TOOL,
    SHM_AS_READER,  /* falls back to a read-only descriptor: see shm_file_writable() */
    SHM_AS_REMOVER, /* changes the file's names and maps nothing: root may, for any user's file */
};

/** The path of a name, which is /NAME or /DIRECTORY/NAME: "/dev/shm" and the name.
 * @return SHM_EINVAL for a bad name */
int shm_file_path(char path[300], const char *name, struct shm_fault *fault);
/** The path of a file beside that of a valid name, with a name that no segment has:
 * ".NAME.suffix" */
void shm_file_hidden_path(char path[300], const char *name, const char *suffix);
/** Makes the name's directory, if it has one that is missing, with the mode 0750.
 * @return SHM_EPERM: others may write it, or it is no directory; SHM_ESPACE, SHM_ESYS */
int shm_file_make_directory(const char *name, struct shm_fault *fault);
/** As shm_file_path(), but refuses names that end in .stats: NAME.stats holds the counters of the
 * segment NAME. */
int shm_segment_path(char path[300], const char *name, struct shm_fault *fault);
/** Opens a file and checks its type, its owner and its mode. Symbolic links are not followed.
 * @param fd set to the descriptor, which the caller closes
 * @return SHM_ENOSEG, SHM_EPERM, SHM_EINVAL, SHM_ESYS */
int shm_file_open(int *fd, const char *name, enum shm_access access, struct shm_fault *fault);
/** Whether another user made the file, in a directory that belongs to this user now. It is no
 * segment that a server could have, so it may be moved without a look at it. */
bool shm_file_is_foreign_in_own_directory(const char *name);
/** Creates a file that has no name yet and that no other user can open, in the directory of the
 * name that it will have. If this process dies the kernel removes it.
 * @return SHM_ESPACE, SHM_ESYS, and what shm_file_make_directory() returns */
int shm_file_create(int *fd, const char *name, struct shm_fault *fault);
/** Gives such a file its name. @return SHM_EEXIST: another file has the name by now */
int shm_file_publish(int fd, const char *name, struct shm_fault *fault);
/** Allocates memory for [at, at + length), if the process's control groups have room for it
 * (cgroup_room.h). @return SHM_ESPACE, SHM_ESYS */
int shm_file_allocate(int fd, uint64_t at, uint64_t length, struct shm_fault *fault);
/** As shm_file_allocate(), without the check of the control groups: for a caller that has called
 * shm_room_for() already, or that may use the margin which shm_room_for() leaves. */
int shm_file_fallocate(int fd, uint64_t at, uint64_t length, struct shm_fault *fault);
/** Whether this path leads to the file directly, not through a symbolic link. */
bool shm_file_is_at(int fd, const char *path);
/** Whether the descriptor was opened for writing. */
bool shm_file_writable(int fd);

#endif
