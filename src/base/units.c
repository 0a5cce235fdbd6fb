/* SPDX-License-Identifier: MIT */
#include "base/units.h"

#include <stdio.h>
#include <string.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* Parses a number and the suffix of one of the units. */
static bool parse_with_unit(const char *text, const struct unit *units, size_t num_units,
                            uint64_t *number)
{
    uint64_t value = 0;
    size_t len = strspn(text, "0123456789");
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    for (size_t i = 0; i < num_units; i++)
        if (strcmp(text + len, units[i].suffix) == 0)
            return !__builtin_mul_overflow(value, units[i].factor, number);
    return false;
}

/* Uses the largest unit that divides the value. */
static void format_with_unit(char *text, size_t size, uint64_t value, const struct unit *units,
                             size_t num_units)
{
    const struct unit *best = &units[0];
    for (size_t i = 0; i < num_units; i++)
        if (value != 0 && value % units[i].factor == 0 && units[i].factor >= best->factor)
            best = &units[i];
    snprintf(text, size, "%llu%s", (unsigned long long)(value / best->factor), best->suffix);
}

static const struct unit size_units[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
};
/* The last row, seconds without a suffix, is used for parsing only. */
static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"", 1000},
};
enum {
    NUM_SIZES = sizeof(size_units) / sizeof(size_units[0]),
    NUM_TIMES = sizeof(time_units) / sizeof(time_units[0])
};

bool units_parse_count(const char *text, uint64_t *number)
{
    static const struct unit none[] = {{"", 1}};
    return parse_with_unit(text, none, 1, number);
}

bool units_parse_number(const char *text, uint64_t *number)
{
    static const struct unit thousands[] = {
        {"", 1}, {"K", 1000}, {"M", 1000 * 1000}, {"G", 1000 * 1000 * 1000}};
    return parse_with_unit(text, thousands, sizeof(thousands) / sizeof(thousands[0]), number);
}

bool units_parse_size(const char *text, uint64_t *bytes)
{
    return parse_with_unit(text, size_units, NUM_SIZES, bytes);
}

bool units_parse_time(const char *text, uint64_t *ms)
{
    return parse_with_unit(text, time_units, NUM_TIMES, ms);
}

void units_format_size(char *text, size_t size, uint64_t bytes)
{
    format_with_unit(text, size, bytes, size_units, NUM_SIZES);
}

void units_format_time(char *text, size_t size, uint64_t ms)
{
    format_with_unit(text, size, ms, time_units, NUM_TIMES - 1);
}
