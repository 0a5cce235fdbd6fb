/* SPDX-License-Identifier: MIT */
#include "tests/shm/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/counters.h"
#include "shm/name.h"

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

static void other_names_start_from_zero(void **state)
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

static void path_of_stats(const struct fixture *f, char path[300])
{
    snprintf(path, 300, "/dev/shm%s.stats", f->name);
}

static void a_file_without_counters_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct shm_counters *counters;
    char path[300];
    struct stat before, after;
    path_of_stats(f, path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(shm_counters_open(&counters, f->name, names, 3, &f->fault), SHM_EEXIST);
    assert_non_null(strstr(f->fault.text, ".stats: the file of this name holds no counters"));
    assert_int_equal(shm_counters_succeed(&counters, f->name, names, 3, &f->fault), SHM_EEXIST);
    shm_counters_move(f->name, NULL);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_size, 1 << 20);
    close(fd);
}

static void damaged_counters_are_replaced(void **state)
{
    struct fixture *f = *state;
    struct shm_counters *counters;
    char path[300];
    path_of_stats(f, path);
    assert_int_equal(shm_counters_open(&counters, f->name, names, 3, &f->fault), SHM_OK);
    shm_counters_close(counters);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(shm_counters_open(&counters, f->name, names, 3, &f->fault), SHM_OK);
    assert_int_equal(shm_counters_sum(counters, 0), 0);
    shm_counters_close(counters);
}

/* The users' segment cannot show that the server lives: it has no owner here. */
static void other_names_do_not_replace_a_live_servers_counters(void **state)
{
    struct fixture *f = *state;
    struct shm_counters *live, *other;
    char path[300];
    path_of_stats(f, path);
    assert_int_equal(shm_counters_open(&live, f->name, names, 3, &f->fault), SHM_OK);
    assert_int_equal(shm_counters_open(&other, f->name, names, 2, &f->fault), SHM_EOWNED);
    assert_int_equal(shm_counters_open(&other, f->name, names, 3, &f->fault), SHM_OK);
    shm_counters_close(other);
    shm_counters_move(f->name, NULL);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(shm_counters_succeed(&other, f->name, names, 2, &f->fault), SHM_OK);
    /* The live server continues to count, unseen. */
    shm_counter_add(&shm_counters_row(live, 0)[0], 1);
    assert_int_equal(shm_counters_sum(other, 0), 0);
    assert_int_equal(shm_counters_hold_name(live), SHM_NAME_TAKEN);
    assert_int_equal(shm_counters_hold_name(other), SHM_NAME_OURS);
    shm_counters_close(live);
    shm_counters_release_name(other);
    shm_counters_close(other);
    shm_counters_move(f->name, NULL);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void tool_reads_counters_without_their_names(void **state)
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
        WITH(sums_run_over_rows_and_survive_a_restart),
        WITH(other_names_start_from_zero),
        WITH(a_file_without_counters_is_left_alone),
        WITH(damaged_counters_are_replaced),
        WITH(other_names_do_not_replace_a_live_servers_counters),
        WITH(tool_reads_counters_without_their_names),
        WITH(overlong_name_is_refused),
        cmocka_unit_test(every_error_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
