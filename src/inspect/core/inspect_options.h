/* SPDX-License-Identifier: MIT */
/* What the command line asks for. main() fills it; the commands read it. */
#ifndef ROSTERD_INSPECT_CORE_INSPECT_OPTIONS_H
#define ROSTERD_INSPECT_CORE_INSPECT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { INSPECT_OPERANDS = 2 }; /* the most that a command has, repeated ones not counted */

struct inspect_options {
    char *const *argv;   /* the whole command line, to execute the program again */
    const char *segment; /* "/rosterd" */
    bool json;
    bool all;                               /* stats: also counters that are zero */
    uint64_t limit;                         /* list, tail: the most to print; UINT64_MAX: all */
    uint64_t after;                         /* list: only users with a greater sequence number */
    const char *username;                   /* get: the name to look for; NULL: look for the id */
    uint64_t from;                          /* tail: changes after this version */
    bool from_now;                          /* tail: --from was not given */
    const char *output;                     /* dump: the file's path; NULL: stdout */
    const char *data_file;                  /* backup, restore: its path; NULL: the segment's */
    bool keep_going;                        /* load: continue after a refused line */
    const char *operands[INSPECT_OPERANDS]; /* as typed; NULL: not given */
    char *const *all_operands;              /* all of them, repeated ones too, NULL at the end */
};

#endif
