/* SPDX-License-Identifier: MIT */
/* The change feed: its order, and how far behind a follower may be. */
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "tests/shm/changes.h"

void (*shm_test_hook)(const char *point);

/* ---- order ---- */

static void changes_come_in_the_order_of_commits(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    assert_int_equal(shm_feed_follow(f->actor, &follower, 0), SHM_OK);
    expect_none(f->actor, &follower);
    assert_int_equal(commit(f->actor, SHM_CREATED, 1, 1), SHM_OK);
    expect(f->actor, &follower, 1, SHM_CREATED, 1);
    expect_none(f->actor, &follower);
    assert_int_equal(commit(f->actor, SHM_CREATED, 2, 1), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_UPDATED, 1, 1), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_DELETED, 2, 1), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_DELETED, 2, 1), SHM_ENOENT); /* this is no commit */
    assert_int_equal(commit(f->actor, SHM_CREATED, 2, 1), SHM_OK);
    expect(f->actor, &follower, 2, SHM_CREATED, 2);
    expect(f->actor, &follower, 3, SHM_UPDATED, 1);
    expect(f->actor, &follower, 4, SHM_DELETED, 2);
    expect(f->actor, &follower, 5, SHM_CREATED, 2);
    expect_none(f->actor, &follower);
}

static void changes_of_one_commit_share_its_version(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    static const enum shm_change_kind kinds[] = {SHM_CREATED, SHM_UPDATED, SHM_DELETED};
    assert_int_equal(shm_feed_follow(f->actor, &follower, 0), SHM_OK);
    for (uint64_t k = 0; k < 3; k++)
        assert_int_equal(commit(f->actor, kinds[k], 0, SHM_BATCH_MAX), SHM_OK);
    for (uint64_t k = 0; k < 3; k++)
        for (uint64_t n = 0; n < SHM_BATCH_MAX; n++)
            expect(f->actor, &follower, k + 1, kinds[k], n);
    expect_none(f->actor, &follower);
}

static void follower_of_a_version_starts_just_after_it(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    uint64_t versions = 0, n = 0;
    for (; n < USERS; n += versions++ % 7 + 1)
        assert_int_equal(commit(f->actor, SHM_CREATED, n, versions % 7 + 1), SHM_OK);
    n = 0;
    for (uint64_t version = 0; version < versions; version++) {
        assert_int_equal(shm_feed_follow(f->actor, &follower, version), SHM_OK);
        expect(f->actor, &follower, version + 1, SHM_CREATED, n);
        n += version % 7 + 1;
    }
    assert_int_equal(shm_feed_follow(f->actor, &follower, versions), SHM_OK);
    expect_none(f->actor, &follower);
    assert_int_equal(shm_feed_follow(f->actor, &follower, versions + 1), SHM_ERESYNC);
    assert_int_equal(shm_feed_follow(f->actor, &follower, UINT64_MAX), SHM_ERESYNC);
}

/* ---- how far behind a follower may be ---- */

static void follower_reads_at_every_lag_that_the_ring_covers(void **state)
{
    struct fixture *f = *state;
    struct shm_change change;
    uint64_t head = fill_ring(f);
    for (uint64_t lag = 1; lag <= KEPT; lag++) {
        struct shm_follower follower = {head - lag};
        expect(f->actor, &follower, head - lag + 1, SHM_UPDATED, (head - lag) % USERS);
        assert_int_equal(follower.next, head - lag + 1);
    }
    for (uint64_t lag = KEPT + 1; lag <= head; lag++) {
        struct shm_follower follower = {head - lag};
        assert_int_equal(shm_feed_next(f->actor, &follower, &change), SHM_ERESYNC);
        assert_int_equal(follower.next, head - lag);
    }
    struct shm_follower elsewhere = {head + 1}; /* of a segment that no longer exists */
    assert_int_equal(shm_feed_next(f->actor, &elsewhere, &change), SHM_ERESYNC);
}

/* The ring serves one version less than it holds: only the entry before the first wanted one
 * proves that nothing was lost. */
static void follow_finds_every_version_in_the_ring(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    uint64_t head = fill_ring(f); /* the version is equal to head */
    for (uint64_t lag = 0; lag < KEPT; lag++) {
        assert_int_equal(shm_feed_follow(f->actor, &follower, head - lag), SHM_OK);
        assert_int_equal(follower.next, head - lag);
    }
    for (uint64_t lag = KEPT; lag <= head; lag++)
        assert_int_equal(shm_feed_follow(f->actor, &follower, head - lag), SHM_ERESYNC);
}

static void follow_needs_the_whole_batch(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    assert_int_equal(commit(f->actor, SHM_CREATED, 0, SHM_BATCH_MAX), SHM_OK);
    for (int i = 0; i < KEPT / SHM_BATCH_MAX; i++)
        assert_int_equal(commit(f->actor, SHM_UPDATED, 0, SHM_BATCH_MAX), SHM_OK);
    /* The ring holds 63 complete updates and nothing else. */
    assert_int_equal(shm_feed_follow(f->actor, &follower, 0), SHM_ERESYNC);
    assert_int_equal(shm_feed_follow(f->actor, &follower, 2), SHM_OK);
    expect(f->actor, &follower, 3, SHM_UPDATED, 0);
    /* Overwrites one entry of update 2. */
    assert_int_equal(commit(f->actor, SHM_UPDATED, 0, 1), SHM_OK);
    assert_int_equal(shm_feed_follow(f->actor, &follower, 1), SHM_ERESYNC);
    assert_int_equal(shm_feed_follow(f->actor, &follower, 2), SHM_OK);
    expect(f->actor, &follower, 3, SHM_UPDATED, 0);
}

/* A commit stores feed_head some words before `version`; here it has got just that far. */
static void change_is_delivered_when_lookups_show_it_and_not_earlier(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    for (uint64_t n = 0; n < 20; n += 10)
        assert_int_equal(commit(f->actor, SHM_CREATED, n, 10), SHM_OK);
    shm_control()->published = 1;
    assert_int_equal(shm_feed_follow(f->actor, &follower, 0), SHM_OK);
    for (uint64_t n = 0; n < 10; n++)
        expect(f->actor, &follower, 1, SHM_CREATED, n);
    expect_none(f->actor, &follower);
    assert_int_equal(shm_feed_follow(f->actor, &follower, 1), SHM_OK);
    expect_none(f->actor, &follower);
    shm_control()->published = 2;
    for (uint64_t n = 10; n < 20; n++)
        expect(f->actor, &follower, 2, SHM_CREATED, n);
}

static void feed_continues_with_the_next_owner(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    assert_int_equal(commit(f->actor, SHM_CREATED, 1, 1), SHM_OK);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_DELETED, 1, 1), SHM_OK);
    assert_int_equal(shm_feed_follow(f->actor, &follower, 0), SHM_OK);
    expect(f->actor, &follower, 1, SHM_CREATED, 1);
    expect(f->actor, &follower, 2, SHM_DELETED, 1);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(changes_come_in_the_order_of_commits),
        WITH(changes_of_one_commit_share_its_version),
        WITH(follower_of_a_version_starts_just_after_it),
        WITH(follower_reads_at_every_lag_that_the_ring_covers),
        WITH(follow_finds_every_version_in_the_ring),
        WITH(follow_needs_the_whole_batch),
        WITH(change_is_delivered_when_lookups_show_it_and_not_earlier),
        WITH(feed_continues_with_the_next_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
