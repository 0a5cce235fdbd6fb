/* SPDX-License-Identifier: MIT */
#include "server/config/option_print.h"

#include <limits.h>
#include <string.h>

#include "server/config/option_values.h"

/* ---- --help ---- */

enum {
    HELP_WIDTH = 80,
    HELP_INDENT = 31, /* of what an option is; its name and value stand before it, or above */
};

/* Writes the words of a text in lines of HELP_WIDTH characters.
 * @param column where the first line begins @param indent where the others begin */
static void put_words(FILE *out, const char *text, int column, int indent)
{
    bool first = true;
    for (const char *word = text; *word != '\0';) {
        int len = (int)strcspn(word, " ");
        if (!first && column + 1 + len > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", len, word);
        column += len;
        first = false;
        word += len;
        word += strspn(word, " ");
    }
    fputc('\n', out);
}

static void print_help_line(FILE *out, const struct option *option)
{
    char head[64], text[1024], bounds[OPTION_TEXT] = "", usual[OPTION_TEXT];
    int len = snprintf(head, sizeof(head), "  --%s %s", option->name, option_argument(option));
    if (option->type == OPTION_CHOICE)
        option_format_bounds(option, bounds, sizeof(bounds));
    option_format_default(option, usual, sizeof(usual));
    snprintf(text, sizeof(text), "%s%s%s%s%s%s", option->help, bounds[0] != '\0' ? ": " : "",
             bounds, usual[0] != '\0' ? " (default " : "", usual, usual[0] != '\0' ? ")" : "");
    if (len < HELP_INDENT)
        fprintf(out, "%-*s", HELP_INDENT, head);
    else
        fprintf(out, "%s\n%*s", head, HELP_INDENT, "");
    put_words(out, text, HELP_INDENT, HELP_INDENT);
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
    fputc('\n', out);
    put_words(out, option_units_text, 0, 0);
    put_words(
        out,
        "TERM and INT stop the server at once; QUIT stops it when the running calls are done; "
        "HUP reloads the configuration; USR1 reopens the log files; USR2 starts the program "
        "again and hands over to the new process.",
        0, 0);
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
