/* SPDX-License-Identifier: MIT */
/* When the journal waits for more changes before it writes, with a simulated clock. */
#include "journal/gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/param.h>

#include <cmocka.h>

enum { SYNC_NS = 200000, LOOK_NS = 1000 };

static uint64_t now_ns = 1000; /* the simulated clock */

/* A window. Changes come one each `every_ns` from its begin on, up to `most`.
 * @return how many are in it when it is closed */
static uint64_t run_window(struct gather *gather, uint64_t at_first, uint64_t most,
                           uint64_t every_ns)
{
    uint64_t begin = now_ns, changes = at_first;
    gather_begin_window(gather);
    while (gather_wants_more(gather, changes, now_ns)) {
        now_ns += LOOK_NS;
        changes = MIN(most, at_first + (now_ns - begin) / every_ns);
    }
    return changes;
}

/* A commit of the window, which takes `commit_ns`. */
static void commit(struct gather *gather, uint64_t changes, uint64_t pending, uint64_t commit_ns)
{
    const struct gathered window = {changes, pending, now_ns, commit_ns};
    now_ns += commit_ns;
    gather_note_window(gather, &window);
}

static void nothing_is_waited_for_at_first_or_by_one_client(void **state)
{
    struct gather gather = {0};
    (void)state;
    assert_false(gather_wants_more(&gather, 1, now_ns));
    for (int i = 0; i < 10; i++) {
        commit(&gather, 1, 0, SYNC_NS);
        assert_false(gather_wants_more(&gather, 1, now_ns));
    }
}

/* 100 clients that wait for their answers; one of them comes first and wakes the journal. */
static void clients_that_wait_for_answers_share_a_window(void **state)
{
    struct gather gather = {0};
    (void)state;
    assert_false(gather_wants_more(&gather, 1, now_ns));
    commit(&gather, 1, 99, SYNC_NS); /* the others came during the sync */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(run_window(&gather, 1, 100, 1500), 100);
        commit(&gather, 100, 0, SYNC_NS);
    }
}

/* Some of them are slow, or have gone: the last few are waited for only while they come. */
static void last_few_are_not_waited_for_long(void **state)
{
    struct gather gather = {0};
    (void)state;
    commit(&gather, 100, 0, SYNC_NS);
    uint64_t begin = now_ns;
    assert_int_equal(run_window(&gather, 1, 90, 1000), 90);
    assert_in_range(now_ns - begin, 89 * 1000, 89 * 1000 + SYNC_NS / 8 + LOOK_NS);
    commit(&gather, 90, 0, SYNC_NS);
    assert_int_equal(gather.failures, 0);
}

static void wait_lasts_no_longer_than_a_commit_and_has_a_bound(void **state)
{
    static const uint64_t commits[] = {200000, 1000000, 4000000, UINT64_C(60000000000)};
    (void)state;
    for (unsigned i = 0; i < sizeof(commits) / sizeof(*commits); i++) {
        struct gather gather = {0};
        commit(&gather, 10, 10, commits[i]);
        uint64_t begin = now_ns;
        assert_int_equal(run_window(&gather, 10, 12, 1000), 12);
        uint64_t most = MIN(commits[i], UINT64_C(20000000));
        assert_in_range(now_ns - begin, most, most + LOOK_NS);
    }
}

/* Each change that comes does not make the wait longer. */
static void steady_changes_do_not_keep_a_window_open(void **state)
{
    struct gather gather = {0};
    (void)state;
    commit(&gather, 1000, 1000, SYNC_NS);
    uint64_t begin = now_ns;
    (void)run_window(&gather, 1, 2000, SYNC_NS / 20);
    assert_in_range(now_ns - begin, SYNC_NS, SYNC_NS + LOOK_NS);
}

/* Windows of one change between them, which do not wait, say nothing about waits. */
static void windows_that_do_not_wait_do_not_forgive(void **state)
{
    struct gather gather = {0};
    unsigned waits = 0, windows = 10000;
    (void)state;
    for (unsigned i = 0; i < windows; i++) {
        commit(&gather, 1, i % 2 == 0 ? 3 : 0, SYNC_NS);
        uint64_t begin = now_ns;
        (void)run_window(&gather, 1, 2, 1000);
        waits += now_ns != begin;
    }
    assert_in_range(waits, 1, windows / 100);
}

/* The next one has its whole time. */
static void window_behind_one_that_failed_waits_anew(void **state)
{
    struct gather gather = {0};
    (void)state;
    commit(&gather, 10, 0, SYNC_NS);
    (void)run_window(&gather, 1, 2, 1000); /* nothing is noted */
    assert_int_equal(run_window(&gather, 1, 10, 5000), 10);
}

/* Clients that send at a fixed rate never reach what is expected: waits become rare. The disk is so
 * slow that commits are far apart anyway. */
static void waits_in_vain_become_rare(void **state)
{
    enum { SLOW_NS = 1000000 };
    struct gather gather = {0};
    unsigned waits = 0, windows = 10000;
    (void)state;
    commit(&gather, 4, 4, SLOW_NS);
    for (unsigned i = 0; i < windows; i++) {
        uint64_t begin = now_ns, changes = run_window(&gather, 4, 6, 1000);
        waits += now_ns != begin;
        commit(&gather, changes, 8 - changes, SLOW_NS);
    }
    assert_in_range(waits, 10, windows / 100);
    /* and are taken up again when they help */
    for (unsigned i = 0; i < 300 && gather.failures != 0; i++) {
        uint64_t changes = run_window(&gather, 4, 8, 1000);
        commit(&gather, changes, 8 - changes, SLOW_NS);
    }
    assert_int_equal(gather.failures, 0);
}

/* ---- clients that do not wait for each other ---- */

/* Changes that have come so far, of so many each second. */
static uint64_t come(uint64_t since_ns, uint64_t rate)
{
    return (now_ns - since_ns) * rate / 1000000000;
}

/* Writes what comes at this rate for a second, one sync of SYNC_NS after the other.
 * @param mean_us how long a change waited for its window's commit to begin
 * @return commits */
static unsigned write_for_a_second(struct gather *gather, uint64_t rate, uint64_t *mean_us)
{
    uint64_t begin = now_ns, written = 0, wait_ns = 0;
    unsigned commits = 0;
    while (now_ns - begin < 1000000000) {
        if (come(begin, rate) == written) { /* the journal sleeps */
            now_ns += LOOK_NS;
            continue;
        }
        gather_begin_window(gather);
        while (gather_wants_more(gather, come(begin, rate) - written, now_ns))
            now_ns += gather_look_ns(gather);
        uint64_t changes = come(begin, rate) - written, commit_at_ns = now_ns;
        for (uint64_t i = 1; i <= changes; i++)
            wait_ns += commit_at_ns - (begin + (written + i) * 1000000000 / rate);
        written += changes;
        now_ns += SYNC_NS;
        const struct gathered window = {changes, come(begin, rate) - written, commit_at_ns,
                                        SYNC_NS};
        gather_note_window(gather, &window);
        commits++;
    }
    *mean_us = wait_ns / MAX(written, (uint64_t)1) / 1000;
    return commits;
}

static void many_changes_at_a_fixed_rate_share_a_sync(void **state)
{
    struct gather gather = {0};
    uint64_t mean_us;
    (void)state;
    /* back to back, there would be 5,000 syncs */
    assert_in_range(write_for_a_second(&gather, 10000, &mean_us), 1000, 1600);
    assert_in_range(mean_us, 1, 500);
    assert_in_range(write_for_a_second(&gather, 40000, &mean_us), 1000, 1600);
    assert_in_range(mean_us, 1, 500);
}

/* So many that each sync is well used: they are not put off. */
static void full_windows_are_not_put_off(void **state)
{
    struct gather gather = {0};
    uint64_t mean_us;
    (void)state;
    assert_in_range(write_for_a_second(&gather, 400000, &mean_us), 2500, 5000);
    assert_in_range(mean_us, 1, 200);
}

/* So few that there is nothing to share: none waits for others. */
static void few_changes_are_not_put_off(void **state)
{
    struct gather gather = {0};
    uint64_t mean_us;
    (void)state;
    assert_in_range(write_for_a_second(&gather, 2000, &mean_us), 1900, 2000);
    assert_in_range(mean_us, 0, 20);
}

/* Eight clients, one of which is late once: the others do not pay for it for long. */
static void clients_that_wait_for_answers_are_not_put_off(void **state)
{
    struct gather gather = {0};
    (void)state;
    for (int i = 0; i < 10; i++) {
        (void)run_window(&gather, 1, 8, 1500);
        commit(&gather, 8, 0, SYNC_NS);
    }
    assert_int_equal(run_window(&gather, 1, 5, 1500), 5);
    commit(&gather, 5, 3, SYNC_NS);
    assert_int_not_equal(gather.skip, 0);
    uint64_t begin = now_ns;
    assert_int_equal(run_window(&gather, 3, 8, 1500), 8);
    assert_in_range(now_ns - begin, 0, 300000); /* all are there, and nothing comes */
    commit(&gather, 8, 0, SYNC_NS);
    for (int i = 0; i < 10; i++) {
        begin = now_ns;
        assert_int_equal(run_window(&gather, 1, 8, 1500), 8);
        assert_in_range(now_ns - begin, 0, 8 * 1500);
        commit(&gather, 8, 0, SYNC_NS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_waited_for_at_first_or_by_one_client),
        cmocka_unit_test(clients_that_wait_for_answers_share_a_window),
        cmocka_unit_test(last_few_are_not_waited_for_long),
        cmocka_unit_test(wait_lasts_no_longer_than_a_commit_and_has_a_bound),
        cmocka_unit_test(steady_changes_do_not_keep_a_window_open),
        cmocka_unit_test(windows_that_do_not_wait_do_not_forgive),
        cmocka_unit_test(window_behind_one_that_failed_waits_anew),
        cmocka_unit_test(waits_in_vain_become_rare),
        cmocka_unit_test(many_changes_at_a_fixed_rate_share_a_sync),
        cmocka_unit_test(full_windows_are_not_put_off),
        cmocka_unit_test(few_changes_are_not_put_off),
        cmocka_unit_test(clients_that_wait_for_answers_are_not_put_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
