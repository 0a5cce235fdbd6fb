/* SPDX-License-Identifier: MIT */
/*
 * Gives the temporary file of a dump or a backup its final name.
 *
 * When root dumps into a file, shm-inspect becomes the segment's user (identity.h), who may have no
 * right to rename a file in root's directory. So before that it forks a keeper: a process that
 * keeps root's rights and maps nothing of the segment. On keeper_commit() it renames the file; if
 * the program ends first, it removes the file.
 */
#ifndef ROSTERD_INSPECT_CORE_KEEPER_H
#define ROSTERD_INSPECT_CORE_KEEPER_H

#include <stdbool.h>

#include "base/fault.h"

/**
 * Writes the file to disk and renames it, in this process. Removes the temporary file if it could
 * not be renamed.
 * @param fd open to the file at `temporary`
 * @param replace whether a file of the name `path` may be replaced
 */
bool keeper_finish(int fd, const char *temporary, const char *path, bool replace,
                   struct fault *fault);

/**
 * Forks a keeper.
 * @return a descriptor for keeper_commit() or keeper_abandon(); -1 with errno set
 */
int keeper_start(int fd, const char *temporary, const char *path, bool replace);
/** Has the keeper call keeper_finish() and waits for its end. Closes the descriptor. */
bool keeper_commit(int keeper, const char *path, struct fault *fault);
/** Has the keeper remove the file and waits for its end. Closes the descriptor. */
void keeper_abandon(int keeper);

#endif
