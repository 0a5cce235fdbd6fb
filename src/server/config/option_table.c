/* SPDX-License-Identifier: MIT */
#include "server/config/option_table.h"

#include <stdio.h>
#include <string.h>

#include "base/spelling.h"
#include "base/units.h"
#include "grpc/grpc.h"
#include "server/os/log.h"
#include "shm/store.h"
#include "user/user.h"

/* ---- macros for the rows ---- */

#define KIB    (UINT64_C(1) << 10)
#define MIB    (UINT64_C(1) << 20)
#define GIB    (UINT64_C(1) << 30)
#define TIB    (UINT64_C(1) << 40)
#define SECOND UINT64_C(1000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

enum { UNIQUE_USERNAME = 1 << USER_KEY_USERNAME, UNIQUE_EMAIL = 1 << USER_KEY_EMAIL };
static const struct option_word option_on_off[] = {{"on", 1}, {"off", 0}, {NULL, 0}};

/* A field of any other type does not compile. */
#define OPTION_HOLDS(field)                                                                        \
    _Generic(((struct options *)0)->field,                                                         \
        uint64_t: OPTION_HOLDS_NUMBER,                                                             \
        const char *: OPTION_HOLDS_TEXT,                                                           \
        bool: OPTION_HOLDS_BOOL,                                                                   \
        struct listen_addresses: OPTION_HOLDS_ADDRESSES,                                           \
        struct option_paths: OPTION_HOLDS_PATHS)

const struct option option_table[OPTIONS_COUNT] = {
#define OPTION(type, field, ...)                                                                   \
    {.offset = offsetof(struct options, field), .holds = OPTION_HOLDS(field), __VA_ARGS__},
#include "server/config/options.def"
#undef OPTION
};

const char option_units_text[] = "Sizes take K, M, G or T (powers of 1024); numbers K, M or G "
                                 "(powers of 1000); times ms, s, m, h "
                                 "or d (a bare number is seconds).";

/* ---- one option ---- */

const char *option_argument(const struct option *option)
{
    static const char *const arguments[] = {
        [OPTION_LISTEN] = "ADDRESS",  [OPTION_COUNT] = "N",       [OPTION_SIZE] = "SIZE",
        [OPTION_TIME] = "TIME",       [OPTION_LIFETIME] = "TIME", [OPTION_SEGMENT] = "NAME",
        [OPTION_CHOICE] = "WORD",     [OPTION_CPUS] = "CPUS",     [OPTION_PATH] = "FILE",
        [OPTION_PATHS] = "FILE",      [OPTION_PID] = "PID",       [OPTION_FLAG] = "",
        [OPTION_DURABILITY] = "WORD",
    };
    return option->argument != NULL ? option->argument : arguments[option->type];
}

void option_format_default(const struct option *option, char *text, size_t size)
{
    const char *value = option->value != NULL ? option->value : "", *between = "";
    size_t used = 0;
    text[0] = '\0';
    while (*value != '\0' && used < size) {
        size_t len = option_is_list(option) ? strcspn(value, " ") : strlen(value);
        used += (size_t)snprintf(text + used, size - used, "%s%.*s", between, (int)len, value);
        between = " and ";
        value += len + (value[len] == ' ');
    }
}

/* Whether an earlier word has the same value: "email,username" after "username,email". */
static bool option_word_is_alias(const struct option *option, const struct option_word *word)
{
    for (const struct option_word *other = option->words; other != word; other++)
        if (other->value == word->value)
            return true;
    return false;
}

/* "none, username, email or username,email" */
static void option_format_words(const struct option *option, char *text, size_t size)
{
    const struct option_word *last = option->words;
    for (const struct option_word *word = last; word->word != NULL; word++)
        if (!option_word_is_alias(option, word))
            last = word;
    size_t len = 0;
    for (const struct option_word *word = option->words; word <= last && len < size; word++) {
        if (option_word_is_alias(option, word))
            continue;
        const char *between = word == option->words ? "" : word == last ? " or " : ", ";
        len += (size_t)snprintf(text + len, size - len, "%s%s", between, word->word);
    }
}

static void option_format_bound(const struct option *option, uint64_t bound, char *text,
                                size_t size)
{
    bool is_time = option->type == OPTION_TIME || option->type == OPTION_LIFETIME ||
                   option->type == OPTION_DURABILITY;
    if (is_time && bound != 0)
        units_format_time(text, size, bound);
    else if (option->type == OPTION_SIZE)
        units_format_size(text, size, bound);
    else
        snprintf(text, size, "%llu", (unsigned long long)bound);
}

void option_format_bounds(const struct option *option, char *text, size_t size)
{
    char min[32], max[32];
    text[0] = '\0';
    if (option->type == OPTION_CHOICE) {
        option_format_words(option, text, size);
    } else if (option->holds == OPTION_HOLDS_NUMBER) {
        const char *before =
            option->type == OPTION_DURABILITY ? "sync, none, or interval:TIME with a time " : "";
        option_format_bound(option, option->min, min, sizeof(min));
        option_format_bound(option, option->max, max, sizeof(max));
        snprintf(text, size, "%sfrom %s to %s%s", before, min, max,
                 option->type == OPTION_LIFETIME ? ", or never" : "");
    }
}

/* ---- names ---- */

const struct option *option_find(const char *name, size_t len)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++)
        if (strlen(option_table[i].name) == len && memcmp(option_table[i].name, name, len) == 0)
            return &option_table[i];
    return NULL;
}

static const char *option_name_at(size_t index)
{
    return option_table[index].name;
}

const struct option *option_nearest(const char *name)
{
    size_t nearest = spelling_nearest(name, OPTIONS_COUNT, option_name_at);
    return nearest == OPTIONS_COUNT ? NULL : &option_table[nearest];
}
