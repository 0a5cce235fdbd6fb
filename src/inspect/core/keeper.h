/* SPDX-License-Identifier: MIT */
/*
 * Root's dump into a file: the program becomes the segment's user (inspect_become_user()), who may
 * have no right to rename a file in root's directory. So a process is left behind that keeps
 * root's rights, maps nothing of the segment and knows one thing: give this file its name, or,
 * where it is not told to before the program ends, remove it.
 */
#ifndef ROSTERD_INSPECT_KEEPER_H
#define ROSTERD_INSPECT_KEEPER_H

#include <stdbool.h>

/** What was tried last, and how that ended. */
struct keeper_result {
    enum { KEEPER_ASK, KEEPER_DISK, KEEPER_RENAME, KEEPER_DIRECTORY } step;
    int error; /* errno; 0: all is done */
};

/** Gives the file its name, all of it on disk: here and now. Where the name could not be given,
 * the temporary is removed. @param fd open to the file at temporary */
struct keeper_result keeper_finish(int fd, const char *temporary, const char *path);

/** Starts the process. @return a descriptor to ask it by, -1: errno says why */
int keeper_start(int fd, const char *temporary, const char *path);
/** Has it give the file its name, and waits for that. The descriptor is closed. */
struct keeper_result keeper_commit(int keeper);
/** Has it remove the file, and waits for that. The descriptor is closed. */
void keeper_abandon(int keeper);

#endif
