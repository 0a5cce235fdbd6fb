/* SPDX-License-Identifier: MIT */
/*
 * Where a dump or a backup goes: stdout, or a file. A file is written under a temporary name and
 * gets its own name when all of it is on disk, so a file of that name is always whole.
 */
#ifndef ROSTERD_INSPECT_CORE_SINK_H
#define ROSTERD_INSPECT_CORE_SINK_H

#include <stdbool.h>
#include <stdio.h>

#include "inspect/core/report.h"

struct sink {
    FILE *file;       /* stdout, or the temporary file */
    const char *path; /* NULL: stdout */
    char *temporary;  /* "PATH.tmp" */
    char *buffer;     /* of `file`, unless that is stdout */
    bool new_file;    /* nothing of that name may be replaced */
    int keeper;       /* descriptor of the process that renames the file (keeper.h); 0: none */
};

/**
 * Opens the sink. As root, call it before identity_become_user(): the file then belongs to root.
 * @param path NULL for stdout. A regular file of that name will be replaced; anything else is
 *   refused
 * @return INSPECT_DONE, or the exit status of a failure that has been reported
 */
enum inspect_exit sink_open(struct sink *sink, const char *path);
/** The same for a file that must not exist, also when it gets its name. The temporary file must not
 * exist either. It can be read, too, by fileno(sink->file). */
enum inspect_exit sink_open_new(struct sink *sink, const char *path);
/** Whether sink_flush() should be called. stdio does not write on its own before that. */
bool sink_is_full(const struct sink *sink);
/** Writes the buffered output.
 * @return true, or false if the command must end with the exit status *code */
bool sink_flush(struct sink *sink, enum inspect_exit *code);
/** Writes the file to disk, gives it its name and closes the sink, also after a failure.
 * @return as sink_open() */
enum inspect_exit sink_commit(struct sink *sink);
/** Removes the temporary file and closes the sink. */
void sink_abandon(struct sink *sink);

#endif
