/* SPDX-License-Identifier: MIT */
#include "server/config/command_line.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/spelling.h"
#include "server/config/option_values.h"

/* Whether the argument is --NAME, or -LETTER where the option has a letter. */
static bool argument_is_flag(const char *argument, const char *name)
{
    const struct option *option = option_find(name, strlen(name));
    assert(option != NULL && option->type == OPTION_FLAG);
    if (strncmp(argument, "--", 2) == 0)
        return strcmp(argument + 2, name) == 0;
    return option->letters != NULL && argument[0] == '-' && argument[1] != '\0' &&
           argument[2] == '\0' && strchr(option->letters, argument[1]) != NULL;
}

static bool refuse_unknown(const char *argument, size_t len, struct fault *fault)
{
    char name[SPELLING_MAX + 2] = ""; /* a longer name is near to none */
    if (argument[1] == '-' && len > 2)
        snprintf(name, sizeof(name), "%.*s", (int)len - 2, argument + 2);
    const struct option *nearest = name[0] != '\0' ? option_nearest(name) : NULL;
    return fault_set(fault, "unknown option '%.*s'%s%s%s (see rosterd --help)",
                     len < 200 ? (int)len : 200, argument, nearest != NULL ? "; is it --" : "",
                     nearest != NULL ? nearest->name : "", nearest != NULL ? "?" : "");
}

static void add_argument(struct command_line *line, const struct option *option, const char *value)
{
    line->entries[line->count++] = (struct command_line_entry){option, value};
}

/* One argument that begins an option.
 * @param waiting set to the option if its value is the next argument */
static bool read_argument(struct command_line *line, const char *argument,
                          const struct option **waiting, struct fault *fault)
{
    if (argument[0] != '-')
        return fault_set(fault, "unexpected argument '%.200s' (see rosterd --help)", argument);
    size_t len = strcspn(argument, "=");
    bool has_value = argument[len] == '=', is_long = len > 2 && argument[1] == '-';
    const struct option *option = is_long ? option_find(argument + 2, len - 2) : NULL;
    if (option == NULL)
        return refuse_unknown(argument, len, fault);
    if (option->type == OPTION_FLAG && has_value)
        return fault_set(fault, "%s: takes no value", option->name);
    if (option->type == OPTION_FLAG)
        add_argument(line, option, "");
    else if (has_value)
        add_argument(line, option, argument + len + 1);
    else
        *waiting = option;
    return true;
}

bool command_line_read(struct command_line *line, int argc, char *const *argv, struct fault *fault)
{
    const struct option *waiting = NULL;
    *line = (struct command_line){.entries = calloc((size_t)argc + 1, sizeof(*line->entries))};
    if (line->entries == NULL)
        return fault_set(fault, "out of memory");
    bool good = true;
    for (int i = 1; i < argc; i++) { /* to the end, because --help wins over a fault */
        line->help |= argument_is_flag(argv[i], "help");
        line->version |= argument_is_flag(argv[i], "version");
        if (!good)
            continue;
        if (waiting != NULL) {
            add_argument(line, waiting, argv[i]);
            waiting = NULL;
        } else {
            good = read_argument(line, argv[i], &waiting, fault);
        }
    }
    if (good && waiting != NULL)
        good = fault_set(fault,
                         waiting->type == OPTION_PID
                             ? "%s: needs a value: the process id of the server's master"
                             : "%s: needs a value",
                         waiting->name);
    return good || line->help || line->version;
}

const char *command_line_value(const struct command_line *line, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < line->count; i++)
        if (strcmp(line->entries[i].option->name, name) == 0)
            value = line->entries[i].value;
    return value;
}

bool command_line_apply(const struct command_line *line, struct options *options,
                        struct fault *fault)
{
    for (size_t i = 0; i < line->count; i++)
        if (!option_set(options, line->entries[i].option, line->entries[i].value,
                        OPTION_FROM_COMMAND_LINE, fault))
            return false;
    return true;
}

void command_line_free(struct command_line *line)
{
    free(line->entries);
    *line = (struct command_line){.entries = NULL};
}
