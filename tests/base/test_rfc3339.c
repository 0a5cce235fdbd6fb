/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rfc3339.h"

/* Parses a copy of exactly these bytes, so that ASan finds a read past them. */
static bool parse(const char *text, int64_t *seconds, uint32_t *nanos)
{
    const size_t len = strlen(text);
    uint8_t *copy = malloc(len + (len == 0));
    memcpy(copy, text, len);
    bool good = rfc3339_parse(copy, len, seconds, nanos);
    free(copy);
    return good;
}

static void assert_time(const char *text, int64_t seconds, uint32_t nanos)
{
    int64_t has_seconds;
    uint32_t has_nanos;
    if (!parse(text, &has_seconds, &has_nanos))
        fail_msg("%s is refused", text);
    assert_int_equal(has_seconds, seconds);
    assert_int_equal(has_nanos, nanos);
}

/* The expected figures are those of `date -u -d TEXT +%s`. */
static void times_in_utc_are_read(void **state)
{
    (void)state;
    assert_time("1970-01-01T00:00:00Z", 0, 0);
    assert_time("1969-12-31T23:59:59Z", -1, 0);
    assert_time("2026-11-26T22:34:05Z", 1795732445, 0);
    assert_time("2026-11-26t22:34:05z", 1795732445, 0);
    assert_time("2024-02-29T00:00:00Z", 1709164800, 0);
    assert_time("0001-01-01T00:00:00Z", -62135596800, 0);
    assert_time("9999-12-31T23:59:59Z", 253402300799, 0);
}

static void offsets_are_subtracted(void **state)
{
    (void)state;
    assert_time("1970-01-01T01:00:00+01:00", 0, 0);
    assert_time("1969-12-31T19:30:00-04:30", 0, 0);
    assert_time("2012-04-21T11:30:00-04:00", 1335022200, 0);
    assert_time("1970-01-01T00:00:00-00:00", 0, 0);
}

static void fractions_have_one_to_nine_digits(void **state)
{
    (void)state;
    assert_time("1970-01-01T00:00:00.5Z", 0, 500000000);
    assert_time("1970-01-01T00:00:00.000000001Z", 0, 1);
    assert_time("1970-01-01T00:00:00.123456789+00:00", 0, 123456789);
    /* Before the epoch, too, nanoseconds count forwards. */
    assert_time("1969-12-31T23:59:59.25Z", -1, 250000000);
}

static void other_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00Z",
        "2026-01-01 00:00:00Z",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z ",
        "2026-1-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-12-31T23:59:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+01",
        "20260101T000000Z",
        "-026-01-01T00:00:00Z",
        "+2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00UTC",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        int64_t seconds;
        uint32_t nanos;
        if (parse(texts[i], &seconds, &nanos))
            fail_msg("%s is read", texts[i]);
    }
}

/* Every day of four centuries, beside a calendar that counts days. */
static void each_day_follows_the_one_before(void **state)
{
    static const int days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t expected = -11644473600; /* 1601-01-01 */
    (void)state;
    for (int year = 1601; year <= 2001; year++) {
        const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= days_of[month - 1] + (month == 2 && leap); day++) {
                char text[32];
                snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", year, month, day);
                assert_time(text, expected, 0);
                expected += 86400;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_in_utc_are_read),
        cmocka_unit_test(offsets_are_subtracted),
        cmocka_unit_test(fractions_have_one_to_nine_digits),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(each_day_follows_the_one_before),
    };
    return cmocka_run_group_tests_name("rfc3339", tests, NULL, NULL);
}
