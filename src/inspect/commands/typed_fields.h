/* SPDX-License-Identifier: MIT */
/* The fields of a user as options give them, for the commands that make and change users. The texts
 * stay those of the command line. A wrong one is reported, with the name of the command. */
#ifndef ROSTERD_INSPECT_COMMANDS_TYPED_FIELDS_H
#define ROSTERD_INSPECT_COMMANDS_TYPED_FIELDS_H

#include <stddef.h>

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"
#include "user/labels.h"
#include "user/user.h"

struct typed_roles {
    struct user_text roles[USER_ROLES_MAX];
    size_t count;
};

struct typed_labels {
    struct user_label labels[USER_LABELS_MAX];
    size_t count;
};

/** A C string as a text of a user. */
struct user_text typed_text(const char *string);

/* @return INSPECT_DONE, or the exit status of a failure that has been reported */

/** Checks the options --username and --email; one that is not given is good. */
enum inspect_exit typed_check_texts(const char *command, const struct inspect_options *options);
/** @param text "a,b,c"; "": no roles */
enum inspect_exit typed_parse_roles(struct typed_roles *list, const char *command,
                                    const char *text);
/** @param given "KEY=VALUE" each */
enum inspect_exit typed_parse_labels(struct typed_labels *list, const char *command,
                                     const struct inspect_list *given);

#endif
