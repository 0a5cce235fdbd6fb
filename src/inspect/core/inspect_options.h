/* SPDX-License-Identifier: MIT */
/* What the command line asks for. main() fills it; the commands read it. */
#ifndef ROSTERD_INSPECT_CORE_INSPECT_OPTIONS_H
#define ROSTERD_INSPECT_CORE_INSPECT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/labels.h"

enum { INSPECT_OPERANDS = 2 }; /* the most that a command has, repeated ones not counted */

/** The values of an option that may be given several times, as typed. */
struct inspect_list {
    size_t count;
    const char *values[USER_LABELS_MAX];
};

struct inspect_options {
    char *const *argv;   /* the whole command line, to execute the program again */
    const char *segment; /* "/NAME" */
    uint64_t limit;      /* list, tail, find: the most to print; UINT64_MAX: all */
    uint64_t after;      /* list: only users with a greater sequence number */
    uint64_t from;       /* tail: changes after this version */
    /* get, find: the user to look for; create, update: what the user gets. NULL: not given. */
    const char *username, *email;
    const char *filter;                     /* find: AIP-160; NULL: not given */
    const char *roles;                      /* create, update: "a,b", "": none; NULL: not given */
    const char *if_etag;                    /* update: only if the user has it; NULL: any */
    struct inspect_list labels;             /* create, update: "KEY=VALUE" */
    struct inspect_list remove_labels;      /* update: keys */
    const char *output;                     /* dump: the file's path; NULL: stdout */
    const char *data_file;                  /* backup, restore: its path; NULL: the segment's */
    const char *operands[INSPECT_OPERANDS]; /* as typed; NULL: not given */
    char *const *all_operands;              /* all of them, repeated ones too, NULL at the end */
    bool json;
    bool all;             /* stats: also counters and methods that are zero */
    bool raw;             /* stats: the counters as they are */
    bool from_now;        /* tail: --from was not given */
    bool keep_going;      /* load: continue after a refused line */
    bool with_secrets;    /* dump: print the hashes of passwords */
    bool disable, enable; /* update; create: only the first */
};

#endif
