/* SPDX-License-Identifier: MIT */
#include "inspect/commands/commands.h"

#include <string.h>

#include "base/spelling.h"
#include "inspect/commands/actor_commands.h"
#include "inspect/commands/backup.h"
#include "inspect/commands/dump.h"
#include "inspect/commands/edit_commands.h"
#include "inspect/commands/load.h"
#include "inspect/commands/restore.h"
#include "inspect/commands/segment_commands.h"
#include "inspect/commands/tail.h"
#include "inspect/commands/user_commands.h"
#include "inspect/screen/watch.h"

static const struct command commands[] = {
    {"status", {NULL}, 0, command_status},
    {"list", {NULL}, COMMAND_LIMIT | COMMAND_AFTER, command_list},
    {"get", {"ID"}, COMMAND_USERNAME, command_get},
    {"verify", {NULL}, 0, command_verify},
    {"workers", {NULL}, 0, command_workers},
    {"readers", {NULL}, 0, command_readers},
    {"stats", {NULL}, COMMAND_ALL, command_stats},
    {"watch", {"[INTERVAL]"}, 0, command_watch},
    {"tail", {NULL}, COMMAND_FROM | COMMAND_LIMIT, command_tail},
    {"dump", {NULL}, COMMAND_OUTPUT, command_dump},
    {"load", {"FILE"}, COMMAND_KEEP_GOING, command_load},
    {"backup", {"FILE"}, COMMAND_DATA_FILE, command_backup},
    {"restore", {"FILE"}, COMMAND_DATA_FILE, command_restore},
    {"delete", {"ID", "[ID]..."}, 0, command_delete},
    {"set-roles", {"ID", "ROLE,..."}, 0, command_set_roles},
    {"unlink", {NULL}, 0, command_unlink},
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
