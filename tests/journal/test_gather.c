/* SPDX-License-Identifier: MIT */
/* When the journal waits for more changes before it writes, with a simulated clock. */
#include "journal/gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/param.h>

#include <cmocka.h>

enum { SYNC_NS = 2000000 };

static void nothing_is_waited_for_at_first_or_by_one_client(void **state)
{
    struct gather gather = {0};
    (void)state;
    assert_int_equal(gather_begin(&gather, 1), 0);
    for (int i = 0; i < 10; i++) {
        gather_note_window(&gather, 1, 0, SYNC_NS);
        assert_int_equal(gather_begin(&gather, 1), 0);
    }
}

/* 100 clients that wait for their answers; one of them comes first and wakes the journal. */
static void clients_that_wait_for_answers_share_a_window(void **state)
{
    struct gather gather = {0};
    (void)state;
    assert_int_equal(gather_begin(&gather, 1), 0);
    gather_note_window(&gather, 1, 99, SYNC_NS); /* the others came during the sync */
    assert_true(gather_begin(&gather, 99) != 0); /* the first comes back soon */
    assert_true(gather_reached(&gather, 100));
    gather_end(&gather, 100);
    for (int i = 0; i < 10; i++) {
        gather_note_window(&gather, 100, 0, SYNC_NS);
        assert_true(gather_begin(&gather, 1) != 0);
        assert_false(gather_reached(&gather, 80));
        assert_true(gather_reached(&gather, 90)); /* some may be late */
        gather_end(&gather, 90);
    }
}

static void wait_lasts_no_longer_than_a_sync_and_has_bounds(void **state)
{
    static const uint64_t syncs[] = {200000, 1000000, 4000000, UINT64_C(60000000000)};
    (void)state;
    for (unsigned i = 0; i < sizeof(syncs) / sizeof(*syncs); i++) {
        struct gather gather = {0};
        gather_note_window(&gather, 10, 10, syncs[i]);
        assert_int_equal(gather_begin(&gather, 10), MIN(syncs[i] / 2, UINT64_C(2000000)));
    }
}

/* Clients that send at a fixed rate never reach what is expected: waits become rare. */
static void waits_in_vain_become_rare(void **state)
{
    struct gather gather = {0};
    unsigned waits = 0, windows = 10000;
    (void)state;
    for (unsigned i = 0; i < windows; i++) {
        gather_note_window(&gather, 4, 4, SYNC_NS);
        if (gather_begin(&gather, 4) != 0) {
            waits++;
            gather_end(&gather, 6);
        }
    }
    assert_in_range(waits, 10, windows / 200);
    /* and are taken up again when they help */
    for (unsigned i = 0; i < 300 && gather.failures != 0; i++) {
        gather_note_window(&gather, 4, 4, SYNC_NS);
        if (gather_begin(&gather, 4) != 0)
            gather_end(&gather, 8);
    }
    assert_int_equal(gather.failures, 0);
}

/* The time that the calls take in the processors is not spent waiting for the disk. */
static void fast_disk_or_many_calls_are_not_waited_for(void **state)
{
    struct gather gather = {0};
    (void)state;
    gather_note_window(&gather, 50, 50, 200000);
    assert_int_equal(gather_begin(&gather, 50), 0);
    gather_note_window(&gather, 4096, 0, SYNC_NS);
    assert_int_equal(gather_begin(&gather, 256), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_waited_for_at_first_or_by_one_client),
        cmocka_unit_test(clients_that_wait_for_answers_share_a_window),
        cmocka_unit_test(wait_lasts_no_longer_than_a_sync_and_has_bounds),
        cmocka_unit_test(waits_in_vain_become_rare),
        cmocka_unit_test(fast_disk_or_many_calls_are_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
