/* SPDX-License-Identifier: MIT */
/*
 * The file that holds the master's process id, as decimal digits and a newline, for programs that
 * signal the server. It appears when the server serves, in one step, so that no reader finds a part
 * of it. In an upgrade the new program puts its own in the place of the old program's, which
 * therefore leaves it alone.
 */
#ifndef ROSTERD_SERVER_OS_PID_FILE_H
#define ROSTERD_SERVER_OS_PID_FILE_H

#include <limits.h>
#include <stdbool.h>

#include "base/fault.h"

/** Zeroed: there is none. */
struct pid_file {
    char path[PATH_MAX];
    char next[PATH_MAX + sizeof(".new")]; /* the file that becomes `path` */
    bool prepared;                        /* `next` exists */
};

/**
 * Whether a file of process ids may be written at the path: nothing is there, or a regular file
 * that is empty or holds a process id. Any other file was named by mistake. Changes nothing.
 * @param path NULL: there is no file, which is good
 * @return false: the reason, with the path
 */
bool pid_file_check(const char *path, struct fault *fault);
/**
 * Checks the path and writes this process's id to a file beside it.
 * @param path NULL: does nothing
 * @return false: the reason, with the path; the server must not start
 */
bool pid_file_prepare(struct pid_file *file, const char *path, struct fault *fault);
/** Gives that file its name. @return false: the reason, with the path */
bool pid_file_publish(struct pid_file *file, struct fault *fault);
/** Removes what this process has written, unless another process has replaced it. */
void pid_file_remove(struct pid_file *file);

#endif
