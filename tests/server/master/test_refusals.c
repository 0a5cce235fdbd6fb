/* SPDX-License-Identifier: MIT */
/* When the server says that it refuses users, and when that it accepts them again. */
#include "server/master/refusals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* What the next look sees; each test changes what it is about. */
static struct refusals refusals;
static struct refusals_counts counts;
static struct shm_info info;
static struct shm_headroom headroom;
static uint64_t now;

static int setup(void **state)
{
    (void)state;
    counts = (struct refusals_counts){.users = 7, .segment = 8, .memory = 9}; /* of old servers */
    info = (struct shm_info){.users_newest = 100, .max_users = 1000};
    headroom = (struct shm_headroom){
        .files_free = 1000, .memory_left = UINT64_MAX, .user_bytes = 256, .bytes = 500};
    now = 1000000;
    refusals_begin(&refusals, &counts);
    return 0;
}

static enum refusals_news pass(uint64_t ms)
{
    now += ms;
    if (!refusals_pending(&refusals, &counts))
        return REFUSALS_SAME;
    return refusals_note(&refusals, &counts, &info, &headroom, now);
}

static void counts_of_earlier_servers_are_no_news(void **state)
{
    (void)state;
    assert_false(refusals_pending(&refusals, &counts));
    assert_int_equal(pass(60000), REFUSALS_SAME);
    assert_false(refusals.refused);
}

static void refusal_begins_once_however_many_writes_are_refused(void **state)
{
    (void)state;
    counts.memory += 5;
    assert_int_equal(pass(500), REFUSALS_BEGUN);
    assert_true(refusals.refused);
    for (int i = 0; i < 100; i++) {
        counts.memory += 5;
        assert_int_equal(pass(500), REFUSALS_SAME);
    }
    assert_int_equal(refusals_writes(&refusals), 505);
}

static void each_reason_has_its_bound(void **state)
{
    (void)state;
    counts.users++;
    pass(500);
    assert_int_equal(refusals.bound, SHM_BOUND_USERS);
    counts.segment++;
    pass(500);
    assert_int_equal(refusals.bound, SHM_BOUND_SEGMENT);
    counts.memory++;
    pass(500);
    assert_int_equal(refusals.bound, SHM_BOUND_FILES);
    counts.memory++;
    headroom.memory_left = 999;
    pass(500);
    assert_int_equal(refusals.bound, SHM_BOUND_MEMORY);
}

static void silence_alone_is_no_room(void **state)
{
    (void)state;
    counts.memory++;
    assert_int_equal(pass(500), REFUSALS_BEGUN);
    assert_int_equal(pass(3600000), REFUSALS_SAME);
    headroom.bytes += REFUSALS_ROOM_USERS * headroom.user_bytes - 1;
    assert_int_equal(pass(500), REFUSALS_SAME);
    headroom.bytes++;
    assert_int_equal(pass(500), REFUSALS_ENDED);
    assert_false(refusals.refused);
}

/* Something took the room for a moment: it was there again before the first look. */
static void room_that_is_there_at_the_first_look_ends_it(void **state)
{
    (void)state;
    counts.memory++;
    headroom.bytes = info.bytes_free + REFUSALS_ROOM_STEP - 1;
    assert_int_equal(pass(500), REFUSALS_BEGUN);
    assert_int_equal(pass(3600000), REFUSALS_SAME);
    headroom.bytes++;
    assert_int_equal(pass(500), REFUSALS_ENDED);
}

static void room_does_not_count_while_writes_are_refused(void **state)
{
    (void)state;
    counts.memory++;
    assert_int_equal(pass(500), REFUSALS_BEGUN);
    headroom.bytes += 1 << 20;
    assert_int_equal(pass(REFUSALS_CALM_MS - 1), REFUSALS_SAME);
    counts.memory++;
    assert_int_equal(pass(1), REFUSALS_SAME);
    info.users_newest++; /* a small user has found a place */
    assert_int_equal(pass(REFUSALS_CALM_MS - 1), REFUSALS_SAME);
    assert_int_equal(pass(1), REFUSALS_ENDED);
}

static void user_who_was_created_ends_it(void **state)
{
    (void)state;
    counts.segment++;
    assert_int_equal(pass(500), REFUSALS_BEGUN);
    info.users_newest -= 2; /* two are deleted, and one is created in their place */
    assert_int_equal(pass(REFUSALS_CALM_MS), REFUSALS_SAME);
    info.users_newest++;
    assert_int_equal(pass(500), REFUSALS_ENDED);
}

static void deletion_makes_room_below_max_users(void **state)
{
    (void)state;
    info.users_newest = info.max_users;
    counts.users++;
    assert_int_equal(pass(500), REFUSALS_BEGUN);
    headroom.bytes += 1 << 20; /* is of no use */
    assert_int_equal(pass(REFUSALS_CALM_MS), REFUSALS_SAME);
    info.users_newest--;
    assert_int_equal(pass(500), REFUSALS_ENDED);
}

/* @return the ms from the beginning of a refusal to its end, though room comes up at once */
static uint64_t length_of_a_refusal(void)
{
    counts.memory++;
    assert_int_equal(pass(500), REFUSALS_BEGUN);
    uint64_t begun = now;
    info.users_newest++;
    while (pass(500) != REFUSALS_ENDED)
        assert_true(now < begun + 600000);
    return now - begun;
}

static void hovering_at_the_bound_is_told_ever_less_often(void **state)
{
    (void)state;
    uint64_t last = length_of_a_refusal();
    assert_int_equal(last, REFUSALS_CALM_MS);
    for (int i = 0; i < 5; i++) {
        uint64_t length = length_of_a_refusal();
        assert_int_equal(length, 2 * last);
        last = length;
    }
    assert_int_equal(last, REFUSALS_CALM_MAX_MS);
    assert_int_equal(length_of_a_refusal(), REFUSALS_CALM_MAX_MS);
    pass(REFUSALS_SOON_MS);
    assert_int_equal(length_of_a_refusal(), REFUSALS_CALM_MS);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup(test, setup)
    const struct CMUnitTest tests[] = {
        WITH(counts_of_earlier_servers_are_no_news),
        WITH(refusal_begins_once_however_many_writes_are_refused),
        WITH(each_reason_has_its_bound),
        WITH(silence_alone_is_no_room),
        WITH(room_that_is_there_at_the_first_look_ends_it),
        WITH(room_does_not_count_while_writes_are_refused),
        WITH(user_who_was_created_ends_it),
        WITH(deletion_makes_room_below_max_users),
        WITH(hovering_at_the_bound_is_told_ever_less_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
