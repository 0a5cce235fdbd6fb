/* SPDX-License-Identifier: MIT */
#include "server/config/option_documents.h"

#include <stdbool.h>
#include <string.h>

/* ---- manuals ---- */

/* roff takes a plain "-" for a hyphen. */
static void print_roff_char(FILE *out, char c)
{
    if (c == '-')
        fputs("\\-", out);
    else
        fputc(c, out);
}

/* A phrase, or sentences: adds the capital letter and the full stop. */
static void print_roff_sentence(FILE *out, const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        bool small = i == 0 && text[i] >= 'a' && text[i] <= 'z';
        print_roff_char(out, small ? (char)(text[i] - 'a' + 'A') : text[i]);
    }
    size_t len = strlen(text);
    if (len != 0 && text[len - 1] != '.')
        fputc('.', out);
    fputc('\n', out);
}

static void print_roff_entry(FILE *out, const struct option *option, bool keys_only)
{
    char text[OPTION_TEXT];
    fputs(".TP\n.BI ", out);
    fputs(keys_only ? "" : "\\-\\-", out);
    for (const char *c = option->name; *c != '\0'; c++)
        print_roff_char(out, *c);
    if (option->type != OPTION_FLAG)
        fprintf(out, keys_only ? " \" = %s\"" : " \" %s\"", option_argument(option));
    fputc('\n', out);
    print_roff_sentence(out, option->help);
    option_format_bounds(option, text, sizeof(text));
    if (text[0] != '\0')
        fprintf(out, "Allowed: %s.\n", text);
    option_format_default(option, text, sizeof(text));
    if (text[0] != '\0')
        fprintf(out, "Default: %s.\n", text);
    if (option->more != NULL)
        print_roff_sentence(out, option->more);
    if (option->rule == OPTION_RESTARTS)
        fputs("A change takes effect at the next start, not at a reload.\n", out);
}

static void print_roff(FILE *out, bool keys_only)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &option_table[i];
        if (keys_only && !option_is_key(option))
            continue;
        if (option->group != NULL)
            fprintf(out, ".SS %s\n", option->group);
        print_roff_entry(out, option, keys_only);
    }
}

void option_print_manual(FILE *out)
{
    print_roff(out, false);
}

void option_print_keys(FILE *out)
{
    print_roff(out, true);
}

/* ---- the sample ---- */

static void print_comment(FILE *out, const char *text)
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

/* A line for each entry of a list, else one line. */
static void print_sample_values(FILE *out, const struct option *option)
{
    const char *at = option->value;
    if (at == NULL)
        fprintf(out, "\n#%s =\n", option->name);
    while (at != NULL && *at != '\0') {
        size_t len = option_is_list(option) ? strcspn(at, " ") : strlen(at);
        fprintf(out, "%s#%s = %.*s\n", at == option->value ? "\n" : "", option->name, (int)len, at);
        at += len + (at[len] == ' ');
    }
}

void option_print_sample(FILE *out)
{
    char bounds[OPTION_TEXT];
    fprintf(out,
            "# Configuration of rosterd: see rosterd.conf(5). Lines that are commented out show "
            "the default.\n# %s\n",
            option_units_text);
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &option_table[i];
        if (!option_is_key(option))
            continue;
        if (option->group != NULL)
            fprintf(out, "\n# ---- %s ----\n", option->group);
        print_comment(out, option->help);
        option_format_bounds(option, bounds, sizeof(bounds));
        if (bounds[0] != '\0')
            fprintf(out, "%s%s", option->type == OPTION_CHOICE ? ": " : "; ", bounds);
        print_sample_values(out, option);
    }
}

/* ---- completion ---- */

void option_print_words(FILE *out)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &option_table[i];
        bool is_file = option->type == OPTION_PATH || option->type == OPTION_PATHS;
        const char *kind = option->type == OPTION_FLAG ? "-" : is_file ? "file" : "value";
        fprintf(out, "%s %s", option->name, kind);
        for (const struct option_word *word = option->words; word != NULL && word->word != NULL;
             word++)
            fprintf(out, " %s", word->word);
        fputc('\n', out);
    }
}
