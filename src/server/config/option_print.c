/* SPDX-License-Identifier: MIT */
#include "server/config/option_print.h"

#include <limits.h>

#include "server/config/option_values.h"

/* ---- --help ---- */

static void print_help_line(FILE *out, const struct option *option)
{
    char head[64], text[OPTION_TEXT];
    snprintf(head, sizeof(head), "--%s %s", option->name, option_argument(option));
    fprintf(out, "  %-34s %s", head, option->help);
    if (option->type == OPTION_CHOICE) {
        option_format_bounds(option, text, sizeof(text));
        fprintf(out, ": %s", text);
    }
    option_format_default(option, text, sizeof(text));
    if (text[0] != '\0')
        fprintf(out, " (default %s)", text);
    fputc('\n', out);
}

void option_print_help(FILE *out)
{
    fputs("Usage: rosterd [--config FILE] [--OPTION VALUE]...\n"
          "Serves userservice.UserService over gRPC from a table in shared memory.\n",
          out);
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        if (option_table[i].group != NULL)
            fprintf(out, "\n%s:\n", option_table[i].group);
        print_help_line(out, &option_table[i]);
    }
    fprintf(out,
            "\n%s\n"
            "TERM and INT stop the server at once; QUIT stops it when the running calls are done;\n"
            "HUP reloads the configuration; USR1 reopens the log files; USR2 starts the program\n"
            "again and hands over to the new process.\n",
            option_units_text);
}

/* ---- --dump-config ---- */

static void print_config_line(FILE *out, const struct options *options, const struct option *option,
                              const char *value)
{
    int origin = options->origin[option_index(option)];
    if (value == NULL)
        fprintf(out, "# %s has no value", option->name);
    else
        fprintf(out, "%s = %s", option->name, value);
    if (origin == OPTION_FROM_DEFAULT)
        fputs(" ; default\n", out);
    else if (origin == OPTION_FROM_COMMAND_LINE)
        fputs(" ; command line\n", out);
    else
        fprintf(out, " ; %s:%d\n", options->config, origin);
}

void option_print_config(const struct options *options, FILE *out)
{
    char value[PATH_MAX];
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &option_table[i];
        if (!option_is_key(option))
            continue;
        size_t count = option_count(option, options);
        for (size_t k = 0; k < count; k++) {
            option_format(option, options, k, value, sizeof(value));
            print_config_line(out, options, option, value);
        }
        if (count == 0)
            print_config_line(out, options, option, NULL);
    }
}
