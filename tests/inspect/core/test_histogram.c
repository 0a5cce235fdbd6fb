/* SPDX-License-Identifier: MIT */
/* Percentiles of durations in buckets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inspect/core/histogram.h"

static void assert_near(double is, double expected)
{
    if (!(fabs(is - expected) < 1e-9))
        fail_msg("%f is not %f", is, expected);
}

static void a_percentile_lies_between_the_bounds_of_its_bucket(void **state)
{
    struct histogram times = {0};
    (void)state;
    histogram_add(&times, 1, 50);
    histogram_add(&times, 2, 90);
    histogram_add(&times, 10, 90); /* an empty bucket */
    histogram_add(&times, 20, 100);
    assert_near(histogram_percentile(&times, 0.25), 0.5);
    assert_near(histogram_percentile(&times, 0.5), 1);
    assert_near(histogram_percentile(&times, 0.7), 1.5);
    assert_near(histogram_percentile(&times, 0.9), 2);
    assert_near(histogram_percentile(&times, 0.95), 15);
    assert_near(histogram_percentile(&times, 1), 20);
}

static void what_has_not_been_counted_has_no_percentile(void **state)
{
    struct histogram times = {0};
    char text[HISTOGRAM_MS_SIZE];
    (void)state;
    assert_true(isnan(histogram_percentile(&times, 0.5)));
    histogram_add(&times, 1, 0);
    assert_true(isnan(histogram_percentile(&times, 0.5)));
    assert_string_equal(histogram_format(text, &times, 0.5), "-");
}

static void a_percentile_beyond_the_last_bound_is_only_known_to_be_longer(void **state)
{
    struct histogram times = {0};
    char text[HISTOGRAM_MS_SIZE];
    (void)state;
    histogram_add(&times, 10000, 98);
    histogram_add(&times, INFINITY, 100);
    assert_true(isinf(histogram_percentile(&times, 0.99)));
    assert_near(histogram_longest(&times), 10000);
    assert_string_equal(histogram_format(text, &times, 0.99), ">10000");
    assert_string_equal(histogram_format(text, &times, 0.98), "10000");
}

static void damaged_buckets_are_left_out(void **state)
{
    struct histogram times = {0};
    (void)state;
    histogram_add(&times, NAN, 1);
    histogram_add(&times, -1, 1);
    histogram_add(&times, 2, 10);
    histogram_add(&times, 1, 5);
    assert_int_equal(times.count, 1);
    histogram_add(&times, 4, 5); /* fewer than there were: as many */
    assert_near(histogram_percentile(&times, 1), 2);
    for (unsigned i = 0; i < 2 * HISTOGRAM_BUCKETS_MAX; i++)
        histogram_add(&times, 100 + i, 10);
    assert_int_equal(times.count, HISTOGRAM_BUCKETS_MAX);
}

static void milliseconds_have_as_many_digits_as_matter(void **state)
{
    static const struct {
        double ms;
        const char *text;
    } cases[] = {{0.01, "0.010"},   {9.9994, "9.999"}, {9.9996, "10.00"},
                 {99.996, "100.0"}, {999.96, "1000"},  {1234.5, "1234"}};
    char text[HISTOGRAM_MS_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct histogram times = {0};
        histogram_add(&times, cases[i].ms, 1);
        assert_string_equal(histogram_format(text, &times, 1), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_percentile_lies_between_the_bounds_of_its_bucket),
        cmocka_unit_test(what_has_not_been_counted_has_no_percentile),
        cmocka_unit_test(a_percentile_beyond_the_last_bound_is_only_known_to_be_longer),
        cmocka_unit_test(damaged_buckets_are_left_out),
        cmocka_unit_test(milliseconds_have_as_many_digits_as_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
