/* SPDX-License-Identifier: MIT */
/*
 * Where a dump goes: stdout, or a file that takes its name when all of it is on disk, so that
 * who finds the file finds a whole one.
 */
#ifndef ROSTERD_INSPECT_SINK_H
#define ROSTERD_INSPECT_SINK_H

#include <stdbool.h>
#include <stdio.h>

#include "inspect/core/inspect.h"

struct sink {
    FILE *file;
    const char *path; /* NULL: stdout */
    char *temporary;  /* "PATH.tmp" */
    char *buffer;
    int keeper; /* 0, or who gives the file its name in our place: keeper.h */
};

/**
 * As root: before inspect_become_user(). The file is root's then, though we are not any more.
 * @param path NULL for stdout. A file of that name is replaced; what is no regular file is refused
 * @return INSPECT_DONE, or what the command returns: the reason has been told
 */
enum inspect_exit sink_open(struct sink *sink, const char *path);
/** Whether so much has gathered that sink_flush() should be called: stdio does not write by itself
 * before that. */
bool sink_is_full(const struct sink *sink);
/** Writes out what has gathered. @return whether to go on; where not, *code is what to return */
bool sink_flush(struct sink *sink, enum inspect_exit *code);
/** The file is whole: to disk, and into its place. Closed in any case. */
enum inspect_exit sink_commit(struct sink *sink);
/** Nothing is left of the file. */
void sink_abandon(struct sink *sink);

#endif
