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
    const struct spacing_window window = {changes, now_ns, commit_ns};
    now_ns += commit_ns;
    gather_note_window(gather, &window, pending);
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
        gather.spacing = (struct spacing){0}; /* it would try to put commits off */
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
 * slow that spacing has nothing to do. */
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
