/* SPDX-License-Identifier: MIT */
/* The answer to --version. */
#ifndef ROSTERD_BASE_VERSION_H
#define ROSTERD_BASE_VERSION_H

#include <stdio.h>

/** The commit that the program was built from, as git describes it; empty if it is unknown. The
 * build makes commit.c, which defines it. */
extern const char version_commit[];

struct version_library {
    const char *name, *version;
};

/**
 * Prints "PROGRAM VERSION", then the commit, the libraries that the program runs with, and those of
 * which only the version at build time is known.
 * @param runs_with, built_with end with a NULL name
 */
void version_print(FILE *out, const char *program, const struct version_library *runs_with,
                   const struct version_library *built_with);

#endif
