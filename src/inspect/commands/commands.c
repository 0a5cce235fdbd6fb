/* SPDX-License-Identifier: MIT */
#include "inspect/commands/commands.h"

#include <string.h>

#include "base/spelling.h"
#include "inspect/commands/actor_commands.h"
#include "inspect/commands/backup.h"
#include "inspect/commands/create_command.h"
#include "inspect/commands/delete_command.h"
#include "inspect/commands/dump.h"
#include "inspect/commands/load.h"
#include "inspect/commands/restore.h"
#include "inspect/commands/segment_commands.h"
#include "inspect/commands/stats_command.h"
#include "inspect/commands/tail.h"
#include "inspect/commands/update_commands.h"
#include "inspect/commands/user_commands.h"
#include "inspect/screen/watch.h"

static const struct command commands[] = {
    {"status", {NULL}, 0, 0, command_status},
    {"list", {NULL}, COMMAND_LIMIT | COMMAND_AFTER, 0, command_list},
    {"get", {"USER"}, COMMAND_USERNAME, COMMAND_USERNAME, command_get},
    {"find",
     {"USER"},
     COMMAND_USERNAME | COMMAND_EMAIL | COMMAND_FILTER | COMMAND_LIMIT,
     COMMAND_USERNAME | COMMAND_EMAIL | COMMAND_FILTER,
     command_find},
    {"verify", {NULL}, 0, 0, command_verify},
    {"workers", {NULL}, 0, 0, command_workers},
    {"readers", {NULL}, 0, 0, command_readers},
    {"stats", {NULL}, COMMAND_ALL | COMMAND_RAW, 0, command_stats},
    {"watch", {"[INTERVAL]"}, 0, 0, command_watch},
    {"tail", {NULL}, COMMAND_FROM | COMMAND_LIMIT, 0, command_tail},
    {"dump", {NULL}, COMMAND_OUTPUT | COMMAND_WITH_SECRETS, 0, command_dump},
    {"load", {"FILE"}, COMMAND_KEEP_GOING, 0, command_load},
    {"backup", {"FILE"}, COMMAND_DATA_FILE, 0, command_backup},
    {"restore", {"FILE"}, COMMAND_DATA_FILE, 0, command_restore},
    {"create", {NULL}, COMMAND_USERNAME | COMMAND_EMAIL | COMMAND_FIELDS, 0, command_create},
    {"update",
     {"USER"},
     COMMAND_USERNAME | COMMAND_EMAIL | COMMAND_FIELDS | COMMAND_CHANGES | COMMAND_IF_ETAG,
     0,
     command_update},
    {"disable", {"USER", "[USER]..."}, 0, 0, command_disable},
    {"enable", {"USER", "[USER]..."}, 0, 0, command_enable},
    {"set-roles", {"USER", "ROLE,..."}, 0, 0, command_set_roles},
    {"delete", {"USER", "[USER]..."}, 0, 0, command_delete},
    {"unlink", {NULL}, 0, 0, command_unlink},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

const struct command *commands_find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static const char *command_name(size_t index)
{
    return index < COMMANDS ? commands[index].name : NULL;
}

const char *commands_nearest_name(const char *name)
{
    return command_name(spelling_nearest(name, COMMANDS, command_name));
}
