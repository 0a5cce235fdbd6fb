/* SPDX-License-Identifier: MIT */
/* What the table of options says, to people and to other programs. */
#include <string.h>

#include "base/units.h"
#include "server/config/options_table.h"

static const char units_text[] =
    "Sizes take K, M, G or T (powers of 1024); times ms, s, m, h or d (a bare number is seconds).";

static bool is_key(const struct option *option)
{
    return option->rule != OPTION_COMMAND_LINE;
}

/* ---- --help ---- */

static void print_help_line(FILE *out, const struct option *option)
{
    char head[64];
    snprintf(head, sizeof(head), "--%s %s", option->name, option_argument(option));
    fprintf(out, "  %-34s %s", head, option->help);
    if (option->choices != NULL)
        fprintf(out, ": %s", option->bounds);
    if (option->value != NULL)
        fprintf(out, " (default %s)", option->value);
    fputc('\n', out);
}

void options_print_help(FILE *out)
{
    fputs("Usage: rosterd [--config FILE] [--OPTION VALUE]...\n"
          "Serves userservice.UserService over gRPC from one table in shared memory.\n",
          out);
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        if (options_table[i].group != NULL)
            fprintf(out, "\n%s:\n", options_table[i].group);
        print_help_line(out, &options_table[i]);
    }
    fprintf(out,
            "\n%s\n"
            "TERM and INT stop the server at once, QUIT when its running calls are done; HUP\n"
            "reloads the configuration, USR1 reopens log files, USR2 starts the program anew\n"
            "beside this one and hands over to it.\n",
            units_text);
}

/* ---- --dump-config ---- */

static void format_value(const struct options *options, const struct option *option, char *text,
                         size_t size)
{
    const void *at = (const char *)options + option->at;
    uint64_t number = 0;
    if (option->type == OPTION_PATH || option->type == OPTION_SEGMENT ||
        option->type == OPTION_CPUS) {
        const char *path = *(const char *const *)at;
        snprintf(text, size, "%s", path != NULL ? path : "");
        return;
    }
    memcpy(&number, at, sizeof(number));
    if (option->type == OPTION_SIZE)
        units_format_size(text, size, number);
    else if (option->type == OPTION_LIFETIME && number == OPTIONS_NEVER)
        snprintf(text, size, "never");
    else if (option->type == OPTION_TIME || option->type == OPTION_LIFETIME)
        units_format_time(text, size, number);
    else
        snprintf(text, size, "%llu", (unsigned long long)number);
    for (const struct choice *choice = option->choices; choice != NULL && choice->word != NULL;
         choice++) {
        if (choice->value == number) {
            snprintf(text, size, "%s", choice->word);
            break;
        }
    }
}

static void dump_line(const struct options *options, FILE *out, const struct option *option,
                      const char *value)
{
    int origin = options->origin[option - options_table];
    if (value[0] == '\0')
        fprintf(out, "# %s has no value", option->name);
    else
        fprintf(out, "%s = %s", option->name, value);
    if (origin == 0)
        fputs(" ; default\n", out);
    else if (origin < 0)
        fputs(" ; command line\n", out);
    else
        fprintf(out, " ; %s:%d\n", options->config, origin);
}

void options_dump(const struct options *options, FILE *out)
{
    char value[512];
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &options_table[i];
        const void *at = (const char *)options + option->at;
        const struct listen_addresses *addresses = at;
        const struct option_paths *paths = at;
        if (!is_key(option))
            continue;
        if (option->type == OPTION_LISTEN) {
            for (size_t k = 0; k < addresses->count; k++)
                dump_line(options, out, option, addresses->all[k].text);
            if (addresses->count == 0)
                dump_line(options, out, option, "");
        } else if (option->type == OPTION_PATHS) {
            for (size_t k = 0; k < paths->count; k++)
                dump_line(options, out, option, paths->all[k]);
            if (paths->count == 0)
                dump_line(options, out, option, "");
        } else {
            format_value(options, option, value, sizeof(value));
            dump_line(options, out, option, value);
        }
    }
}

/* ---- documents ---- */

/* A sentence of help or more: with a capital, and a full stop. */
static void print_sentence(FILE *out, const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        char c = text[i];
        if (i == 0 && c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (c == '-')
            fputs("\\-", out);
        else
            fputc(c, out);
    }
    size_t len = strlen(text);
    if (len != 0 && text[len - 1] != '.')
        fputc('.', out);
    fputc('\n', out);
}

static void print_bold(FILE *out, const char *prefix, const char *name)
{
    fputs(prefix, out);
    for (const char *c = name; *c != '\0'; c++)
        fputs(*c == '-' ? "\\-" : (const char[]){*c, '\0'}, out);
}

static void print_entry(FILE *out, const struct option *option, bool keys_only)
{
    fputs(".TP\n.BI ", out);
    print_bold(out, keys_only ? "" : "\\-\\-", option->name);
    if (option->type != OPTION_FLAG)
        fprintf(out, keys_only ? " \" = %s\"" : " \" %s\"", option_argument(option));
    fputc('\n', out);
    print_sentence(out, option->help);
    if (option->bounds != NULL && option->type != OPTION_PID) {
        char text[128];
        snprintf(text, sizeof(text), "it is %s", option->bounds);
        print_sentence(out, text);
    }
    if (option->value != NULL)
        fprintf(out, "Default %s.\n", option->value);
    if (option->more != NULL)
        print_sentence(out, option->more);
    if (option->rule == OPTION_RESTARTS)
        fputs("A reload leaves it as it is.\n", out);
}

void options_print_manual(FILE *out, bool keys_only)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &options_table[i];
        if (keys_only && !is_key(option))
            continue;
        if (option->group != NULL)
            fprintf(out, ".SS %s\n", option->group);
        print_entry(out, option, keys_only);
    }
}

static void print_wrapped(FILE *out, const char *text)
{
    enum { WIDTH = 92 };
    size_t column = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (column != 0 && column + 1 + len > WIDTH)
            column = 0;
        fprintf(out, "%s%.*s", column == 0 ? "\n# " : " ", (int)len, text);
        column += (column != 0) + len;
        text += len + (text[len] == ' ');
    }
}

void options_print_sample(FILE *out)
{
    fprintf(out,
            "# Configuration of rosterd: see rosterd.conf(5). What is commented out is the "
            "default.\n# %s\n",
            units_text);
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &options_table[i];
        if (!is_key(option))
            continue;
        if (option->group != NULL)
            fprintf(out, "\n# ---- %s ----\n", option->group);
        print_wrapped(out, option->help);
        if (option->choices != NULL)
            fprintf(out, ": %s", option->bounds);
        else if (option->bounds != NULL)
            fprintf(out, "; %s", option->bounds);
        fprintf(out, "\n#%s =%s%s\n", option->name, option->value != NULL ? " " : "",
                option->type == OPTION_LISTEN && option->value != NULL
                    ? "127.0.0.1:50051\n#listen = [::1]:50051"
                : option->value != NULL ? option->value
                                        : "");
    }
}

void options_print_words(FILE *out)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &options_table[i];
        const char *takes = option->type == OPTION_FLAG                                   ? "-"
                            : option->type == OPTION_PATH || option->type == OPTION_PATHS ? "file"
                                                                                          : "value";
        fprintf(out, "%s %s", option->name, takes);
        for (const struct choice *choice = option->choices; choice != NULL && choice->word != NULL;
             choice++)
            fprintf(out, " %s", choice->word);
        fputc('\n', out);
    }
}
