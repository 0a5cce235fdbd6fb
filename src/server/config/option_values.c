/* SPDX-License-Identifier: MIT */
#include "server/config/option_values.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "server/os/cpus.h"

/* ---- fields ---- */

static const void *option_field(const struct option *option, const struct options *options)
{
    return (const char *)options + option->offset;
}

static uint64_t *option_number(const struct option *option, const struct options *options)
{
    assert(option->holds == OPTION_HOLDS_NUMBER);
    return (uint64_t *)(uintptr_t)option_field(option, options);
}

static const char **option_text(const struct option *option, const struct options *options)
{
    assert(option->holds == OPTION_HOLDS_TEXT);
    return (const char **)(uintptr_t)option_field(option, options);
}

static bool *option_flag(const struct option *option, const struct options *options)
{
    assert(option->holds == OPTION_HOLDS_BOOL);
    return (bool *)(uintptr_t)option_field(option, options);
}

static struct listen_addresses *option_addresses(const struct option *option,
                                                 const struct options *options)
{
    assert(option->holds == OPTION_HOLDS_ADDRESSES);
    return (struct listen_addresses *)(uintptr_t)option_field(option, options);
}

static struct option_paths *option_path_list(const struct option *option,
                                             const struct options *options)
{
    assert(option->holds == OPTION_HOLDS_PATHS);
    return (struct option_paths *)(uintptr_t)option_field(option, options);
}

/* A copy that lives as long as the options. @return NULL: out of memory */
static const char *option_keep_text(struct options *options, const char *value)
{
    char **strings =
        realloc(options->strings, (options->num_strings + 1) * sizeof(*options->strings));
    if (strings == NULL)
        return NULL;
    options->strings = strings;
    char *copy = strdup(value);
    if (copy != NULL)
        options->strings[options->num_strings++] = copy;
    return copy;
}

/* ---- reading ---- */

static bool option_refuse(const struct option *option, const char *value, const char *expected,
                          struct fault *fault)
{
    char bounds[OPTION_TEXT];
    option_format_bounds(option, bounds, sizeof(bounds));
    return fault_set(fault, "%s: '%.200s' is not %s%s%s", option->name, value, expected,
                     bounds[0] != '\0' ? " " : "", bounds);
}

static bool option_set_text(struct options *options, const struct option *option, const char *value,
                            struct fault *fault)
{
    const char *copy = option_keep_text(options, value);
    *option_text(option, options) = copy;
    return copy != NULL || fault_set(fault, "out of memory");
}

static bool option_set_number(struct options *options, const struct option *option,
                              const char *value, bool (*parse)(const char *, uint64_t *),
                              const char *expected, struct fault *fault)
{
    uint64_t number;
    if (!parse(value, &number) || number < option->min || number > option->max)
        return option_refuse(option, value, expected, fault);
    *option_number(option, options) = number;
    return true;
}

/* Zero stands for `never`, so that a time of zero becomes the shortest time. */
static bool option_set_lifetime(struct options *options, const struct option *option,
                                const char *value, const char *expected, struct fault *fault)
{
    uint64_t *number = option_number(option, options);
    if (strcmp(value, "never") == 0) {
        *number = OPTIONS_NEVER;
        return true;
    }
    if (!option_set_number(options, option, value, units_parse_time, expected, fault))
        return false;
    if (*number == 0)
        *number = 1;
    return true;
}

/* "interval:100ms", or "interval 100ms" */
static bool option_set_durability(struct options *options, const struct option *option,
                                  const char *value, struct fault *fault)
{
    static const char interval[] = "interval";
    size_t len = strlen(interval);
    uint64_t *number = option_number(option, options);
    if (strcmp(value, "sync") == 0)
        *number = OPTIONS_SYNC;
    else if (strcmp(value, "none") == 0)
        *number = OPTIONS_NO_SYNC;
    else if (strncmp(value, interval, len) == 0 && (value[len] == ':' || value[len] == ' '))
        return option_set_number(options, option, value + len + 1, units_parse_time,
                                 "a time such as 100ms,", fault);
    else
        return option_refuse(option, value, "one of", fault);
    return true;
}

static bool option_set_choice(struct options *options, const struct option *option,
                              const char *value, struct fault *fault)
{
    for (const struct option_word *word = option->words; word->word != NULL; word++) {
        if (strcmp(value, word->word) == 0) {
            *option_number(option, options) = word->value;
            return true;
        }
    }
    return option_refuse(option, value, "one of", fault);
}

static bool option_add_one_address(struct options *options, const struct option *option,
                                   const char *value, bool optional, struct fault *fault)
{
    struct listen_addresses *to = option_addresses(option, options);
    if (to->count == LISTEN_MAX)
        return fault_set(fault, "%s: more than %d addresses", option->name, LISTEN_MAX);
    if (!listen_parse(&to->all[to->count], value))
        return option_refuse(
            option, value,
            "an address: ADDR:PORT, localhost:PORT, :PORT, [ADDR]:PORT[,ipv6only=on] or "
            "unix:PATH[,mode=0660]",
            fault);
    to->all[to->count++].optional = optional;
    return true;
}

static bool option_add_address(struct options *options, const struct option *option,
                               const char *value, struct fault *fault)
{
    char four[LISTEN_TEXT], six[LISTEN_TEXT];
    if (!listen_expand(value, four, six))
        return option_add_one_address(options, option, value, false, fault);
    return option_add_one_address(options, option, four, false, fault) &&
           option_add_one_address(options, option, six, true, fault);
}

static bool option_add_path(struct options *options, const struct option *option, const char *value,
                            struct fault *fault)
{
    struct option_paths *to = option_path_list(option, options);
    if (to->count == OPTION_PATHS_MAX)
        return fault_set(fault, "%s: more than %d files", option->name, OPTION_PATHS_MAX);
    const char *copy = option_keep_text(options, value);
    if (copy == NULL)
        return fault_set(fault, "out of memory");
    to->all[to->count++] = copy;
    return true;
}

/* The counters of segment NAME are in NAME.stats, which therefore is no name of a segment. */
static bool option_is_segment_name(const char *value)
{
    static const char stats[] = ".stats";
    size_t len = strlen(value), tail = sizeof(stats) - 1;
    const char *slash = len >= 2 ? strchr(value + 1, '/') : NULL;
    return value[0] == '/' && len >= 2 && len <= 200 && value[1] != '.' &&
           (slash == NULL || (slash != value + 1 && slash[1] != '\0' && slash[1] != '.' &&
                              strchr(slash + 1, '/') == NULL)) &&
           (len < tail || strcmp(value + len - tail, stats) != 0);
}

static bool option_set_value(struct options *options, const struct option *option,
                             const char *value, struct fault *fault)
{
    static const char count[] = "a whole number", size[] = "a size such as 64K, 4M or 16G,",
                      time[] = "a time such as 500ms, 30s or 5m,";
    switch (option->type) {
    case OPTION_LISTEN:
        return option_add_address(options, option, value, fault);
    case OPTION_COUNT:
        return option_set_number(options, option, value, units_parse_number, count, fault);
    case OPTION_PID:
        return option_set_number(options, option, value, units_parse_count, count, fault);
    case OPTION_SIZE:
        return option_set_number(options, option, value, units_parse_size, size, fault);
    case OPTION_LIFETIME:
        return option_set_lifetime(options, option, value, time, fault);
    case OPTION_TIME:
        return option_set_number(options, option, value, units_parse_time, time, fault);
    case OPTION_DURABILITY:
        return option_set_durability(options, option, value, fault);
    case OPTION_SEGMENT:
        if (!option_is_segment_name(value))
            return option_refuse(option, value,
                                 "a name: /NAME or /DIRECTORY/NAME, at most 200 characters, no "
                                 "dot after a slash, and no .stats at the end",
                                 fault);
        return option_set_text(options, option, value, fault);
    case OPTION_CHOICE:
        return option_set_choice(options, option, value, fault);
    case OPTION_CPUS:
        if (!cpus_is_list(value))
            return option_refuse(option, value, "off, auto or a list of CPUs such as 0,2-3", fault);
        return option_set_text(options, option, value, fault);
    case OPTION_PATH:
    case OPTION_PATHS:
        if (value[0] == '\0')
            return option_refuse(option, value, "the path of a file", fault);
        return option->type == OPTION_PATH ? option_set_text(options, option, value, fault)
                                           : option_add_path(options, option, value, fault);
    case OPTION_FLAG:
        *option_flag(option, options) = true;
        return true;
    }
    return false;
}

static void option_empty_list(struct options *options, const struct option *option)
{
    if (option->holds == OPTION_HOLDS_ADDRESSES)
        option_addresses(option, options)->count = 0;
    else if (option->holds == OPTION_HOLDS_PATHS)
        option_path_list(option, options)->count = 0;
}

bool option_set(struct options *options, const struct option *option, const char *value, int origin,
                struct fault *fault)
{
    int *before = &options->origin[option_index(option)];
    if (origin == OPTION_FROM_COMMAND_LINE && *before > 0)
        option_empty_list(options, option);
    *before = origin;
    return option_set_value(options, option, value, fault);
}

bool option_set_default(struct options *options, const struct option *option, struct fault *fault)
{
    char value[128];
    const char *at = option->value;
    while (at != NULL && *at != '\0') {
        size_t len = option_is_list(option) ? strcspn(at, " ") : strlen(at);
        assert(len < sizeof(value));
        memcpy(value, at, len);
        value[len] = '\0';
        if (!option_set(options, option, value, OPTION_FROM_DEFAULT, fault))
            return false;
        at += len + (at[len] == ' ');
    }
    return true;
}

/* ---- comparing and copying ---- */

bool option_is_same(const struct option *option, const struct options *a, const struct options *b)
{
    assert(!option_is_list(option));
    if (option->holds == OPTION_HOLDS_NUMBER)
        return *option_number(option, a) == *option_number(option, b);
    if (option->holds == OPTION_HOLDS_BOOL)
        return *option_flag(option, a) == *option_flag(option, b);
    const char *one = *option_text(option, a), *other = *option_text(option, b);
    return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

bool option_copy(const struct option *option, struct options *to, const struct options *from)
{
    assert(!option_is_list(option));
    if (option->holds == OPTION_HOLDS_NUMBER) {
        *option_number(option, to) = *option_number(option, from);
    } else if (option->holds == OPTION_HOLDS_BOOL) {
        *option_flag(option, to) = *option_flag(option, from);
    } else {
        const char *text = *option_text(option, from);
        const char *copy = text != NULL ? option_keep_text(to, text) : NULL;
        if (text != NULL && copy == NULL)
            return false;
        *option_text(option, to) = copy;
    }
    return true;
}

/* ---- writing ---- */

size_t option_count(const struct option *option, const struct options *options)
{
    switch (option->holds) {
    case OPTION_HOLDS_ADDRESSES:
        return option_addresses(option, options)->count;
    case OPTION_HOLDS_PATHS:
        return option_path_list(option, options)->count;
    case OPTION_HOLDS_TEXT:
        return *option_text(option, options) != NULL;
    default:
        return 1;
    }
}

static void option_format_number(const struct option *option, uint64_t number, char *text,
                                 size_t size)
{
    size_t used;
    switch (option->type) {
    case OPTION_CHOICE:
        for (const struct option_word *word = option->words; word->word != NULL; word++) {
            if (word->value == number) {
                snprintf(text, size, "%s", word->word);
                return;
            }
        }
        break;
    case OPTION_SIZE:
        units_format_size(text, size, number);
        return;
    case OPTION_DURABILITY:
        if (number == OPTIONS_SYNC || number == OPTIONS_NO_SYNC) {
            snprintf(text, size, "%s", number == OPTIONS_SYNC ? "sync" : "none");
            return;
        }
        used = (size_t)snprintf(text, size, "interval:");
        units_format_time(text + used, size - used, number);
        return;
    case OPTION_LIFETIME:
        if (number == OPTIONS_NEVER) {
            snprintf(text, size, "never");
            return;
        }
        __attribute__((fallthrough));
    case OPTION_TIME:
        units_format_time(text, size, number);
        return;
    default:
        break;
    }
    snprintf(text, size, "%llu", (unsigned long long)number);
}

void option_format(const struct option *option, const struct options *options, size_t index,
                   char *text, size_t size)
{
    assert(index < option_count(option, options));
    switch (option->holds) {
    case OPTION_HOLDS_ADDRESSES:
        snprintf(text, size, "%s", option_addresses(option, options)->all[index].text);
        return;
    case OPTION_HOLDS_PATHS:
        snprintf(text, size, "%s", option_path_list(option, options)->all[index]);
        return;
    case OPTION_HOLDS_TEXT:
        snprintf(text, size, "%s", *option_text(option, options));
        return;
    case OPTION_HOLDS_BOOL:
        snprintf(text, size, "%s", *option_flag(option, options) ? "on" : "off");
        return;
    case OPTION_HOLDS_NUMBER:
        option_format_number(option, *option_number(option, options), text, size);
        return;
    }
}
