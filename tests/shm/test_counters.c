/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/shm/support.h"

#include <string.h>

#include "shm/counters.h"

static const char *const names[] = {"started_total", "handled_total{code=\"OK\"}", "bytes_total"};

static void sums_run_over_rows_and_survive_a_restart(void **state)
{
    struct fixture *f = *state;
    struct shm_counters *counters;
    assert_int_equal(shm_counters_open(&counters, f->name, names, 3, &f->fault), SHM_OK);
    shm_counter_add(&shm_counters_row(counters, 0)[1], 5);
    shm_counter_add(&shm_counters_row(counters, SHM_SLOTS - 1)[1], 7);
    assert_int_equal(shm_counters_sum(counters, 1), 12);
    assert_int_equal(shm_counters_sum(counters, 0), 0);
    shm_counters_close(counters);
    assert_int_equal(shm_counters_open(&counters, f->name, names, 3, &f->fault), SHM_OK);
    assert_int_equal(shm_counters_sum(counters, 1), 12);
    assert_int_equal(shm_counters_count(counters), 3);
    assert_string_equal(shm_counters_name(counters, 1), names[1]);
    shm_counters_close(counters);
}

static void other_names_start_anew(void **state)
{
    struct fixture *f = *state;
    struct shm_counters *counters;
    assert_int_equal(shm_counters_open(&counters, f->name, names, 3, &f->fault), SHM_OK);
    shm_counter_add(&shm_counters_row(counters, 3)[2], 1);
    shm_counters_close(counters);
    assert_int_equal(shm_counters_open(&counters, f->name, names, 2, &f->fault), SHM_OK);
    assert_int_equal(shm_counters_count(counters), 2);
    assert_int_equal(shm_counters_sum(counters, 0), 0);
    shm_counters_close(counters);
}

static void tool_reads_them_without_the_names(void **state)
{
    struct fixture *f = *state;
    struct shm_counters *counters, *tool;
    assert_int_equal(shm_counters_attach(&tool, f->name, &f->fault), SHM_ENOSEG);
    assert_int_equal(shm_counters_open(&counters, f->name, names, 3, &f->fault), SHM_OK);
    assert_int_equal(shm_counters_attach(&tool, f->name, &f->fault), SHM_OK);
    shm_counter_add(&shm_counters_row(counters, 9)[0], 41);
    assert_int_equal(shm_counters_sum(tool, 0), 41);
    assert_string_equal(shm_counters_name(tool, 2), "bytes_total");
    shm_counters_close(tool);
    shm_counters_close(counters);
}

static void overlong_name_is_refused(void **state)
{
    struct fixture *f = *state;
    struct shm_counters *counters;
    char name[400];
    const char *const bad[] = {name};
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(shm_counters_open(&counters, f->name, bad, 1, &f->fault), SHM_EINVAL);
    assert_non_null(strstr(f->fault.text, "too long"));
}

static void every_error_has_a_text(void **state)
{
    (void)state;
    for (int error = SHM_OK; error >= SHM_ESYS; error--)
        assert_string_not_equal(shm_strerror(error), "unknown error");
    assert_string_equal(shm_strerror(-99), "unknown error");
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(sums_run_over_rows_and_survive_a_restart), WITH(other_names_start_anew),
        WITH(tool_reads_them_without_the_names),        WITH(overlong_name_is_refused),
        cmocka_unit_test(every_error_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
