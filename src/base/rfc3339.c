/* SPDX-License-Identifier: MIT */
#include "base/rfc3339.h"

#include <time.h>

/* The text that is left to read. */
struct rfc3339_text {
    const uint8_t *at, *end;
};

static bool take_char(struct rfc3339_text *text, uint8_t upper)
{
    /* "T" and "Z" may alternatively be lower case (5.6). */
    if (text->at == text->end ||
        (*text->at != upper && !(upper >= 'A' && *text->at == upper + ('a' - 'A'))))
        return false;
    text->at++;
    return true;
}

/* Reads a number of exactly this many digits. */
static bool take_number(struct rfc3339_text *text, unsigned digits, int low, int high, int *number)
{
    *number = 0;
    for (; digits != 0; digits--, text->at++) {
        if (text->at == text->end || *text->at < '0' || *text->at > '9')
            return false;
        *number = *number * 10 + (*text->at - '0');
    }
    return *number >= low && *number <= high;
}

static bool take_date(struct rfc3339_text *text, struct tm *tm)
{
    if (!take_number(text, 4, 0, 9999, &tm->tm_year) || !take_char(text, '-') ||
        !take_number(text, 2, 1, 12, &tm->tm_mon) || !take_char(text, '-') ||
        !take_number(text, 2, 1, 31, &tm->tm_mday))
        return false;
    tm->tm_year -= 1900;
    tm->tm_mon -= 1;
    return true;
}

static bool take_clock(struct rfc3339_text *text, struct tm *tm)
{
    return take_number(text, 2, 0, 23, &tm->tm_hour) && take_char(text, ':') &&
           take_number(text, 2, 0, 59, &tm->tm_min) && take_char(text, ':') &&
           take_number(text, 2, 0, 59, &tm->tm_sec);
}

static bool take_fraction(struct rfc3339_text *text, uint32_t *nanos)
{
    *nanos = 0;
    if (!take_char(text, '.'))
        return true;
    uint32_t unit = 100000000;
    for (; text->at != text->end && *text->at >= '0' && *text->at <= '9'; text->at++, unit /= 10) {
        if (unit == 0)
            return false;
        *nanos += (uint32_t)(*text->at - '0') * unit;
    }
    return unit != 100000000;
}

/* @param offset seconds that the clock is ahead of UTC */
static bool take_offset(struct rfc3339_text *text, int64_t *offset)
{
    *offset = 0;
    if (take_char(text, 'Z'))
        return true;
    int hours, minutes;
    bool behind = take_char(text, '-');
    if ((!behind && !take_char(text, '+')) || !take_number(text, 2, 0, 23, &hours) ||
        !take_char(text, ':') || !take_number(text, 2, 0, 59, &minutes))
        return false;
    *offset = (hours * 60 + minutes) * (behind ? -60 : 60);
    return true;
}

bool rfc3339_parse(const uint8_t *text, size_t len, int64_t *seconds, uint32_t *nanos)
{
    static const int64_t year_1 = -62135596800, year_10000 = 253402300800;
    struct rfc3339_text rest = {.at = text, .end = text + len};
    struct tm tm = {0};
    int64_t offset;
    if (!take_date(&rest, &tm) || !take_char(&rest, 'T') || !take_clock(&rest, &tm) ||
        !take_fraction(&rest, nanos) || !take_offset(&rest, &offset) || rest.at != rest.end)
        return false;
    int day = tm.tm_mday;
    *seconds = timegm(&tm) - offset;
    /* timegm() makes 3 March of 31 February. */
    return tm.tm_mday == day && *seconds >= year_1 && *seconds < year_10000;
}
