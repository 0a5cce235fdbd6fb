/* SPDX-License-Identifier: MIT */
/*
 * No space is left on /dev/shm, at each point where the store asks for memory. The tests expect a
 * clean error, nothing left behind, no SIGBUS, and normal service as soon as there is space again.
 * The program mounts a small file system over /dev/shm that only it sees, and also makes
 * fallocate() fail.
 */
#include "tests/torture/space.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/counters.h"

enum { PAGE = 4096, ENOUGH_MB = 64, BIG_BODY = 3000, FIRST = 100000 };

static unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

/* Reads every page below the arena's end. Each must have memory; otherwise the read raises
 * SIGBUS. */
static void touch_all(void)
{
    const volatile uint64_t *at = (const volatile uint64_t *)(uintptr_t)SHM_BASE;
    uint64_t sum = 0;
    for (uint64_t offset = 0; offset < SHM_CONTROL_END; offset += PAGE)
        sum += at[offset / 8];
    uint64_t slots = shm_control()->slots_ready * sizeof(struct shm_slot);
    for (uint64_t offset = 0; offset < slots; offset += PAGE)
        sum += at[(SHM_SLOTS_AT + offset) / 8];
    for (uint64_t offset = SHM_ARENA_AT; offset < shm_control()->arena_end - SHM_BASE;
         offset += PAGE)
        sum += at[offset / 8];
    (void)sum;
}

static int setup(void **state)
{
    space_fail_from(0, 0, false);
    if (space_mounts)
        space_set_size((uint64_t)ENOUGH_MB << 20);
    return fixture_setup(state);
}

static int teardown(void **state)
{
    space_fail_from(0, 0, false);
    if (space_mounts)
        space_set_size((uint64_t)ENOUGH_MB << 20);
    return fixture_teardown(state);
}

static void need_mounts(void)
{
    if (!space_mounts) {
        print_message("not permitted to mount, not even in a user namespace\n");
        skip();
    }
}

/* Inserts large bodies until the store refuses. @return how many were inserted */
static uint64_t fill(struct fixture *f, uint64_t from, int expected)
{
    uint64_t n = from;
    int rc;
    while ((rc = user_insert(f->actor, n, BIG_BODY)) == SHM_OK || rc == SHM_EBUSY)
        n += rc == SHM_OK ? 1 : 0;
    assert_int_equal(rc, expected);
    return n - from;
}

/* The table still works for everything that needs no more memory. */
static void check_reads(struct fixture *f, uint64_t users)
{
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t count = 0;
    touch_all();
    assert_user(f->actor, 5);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    while (next_user(&cursor, &user) == SHM_OK)
        count++;
    shm_snapshot_end(f->actor, &snapshot);
    shm_actor_offline(f->actor);
    assert_int_equal(count, users);
    segment_check(f->store, users);
}

static void delete_some(struct fixture *f, uint64_t from, uint64_t count)
{
    for (uint64_t n = from; n < from + count; n++) {
        uint8_t id[1][SHM_ID_SIZE];
        user_id(id[0], n);
        assert_int_equal(shm_users_delete(f->actor, (const uint8_t(*)[SHM_ID_SIZE])id, 1, NULL),
                         SHM_OK);
    }
    shm_actor_offline(f->actor);
    for (int i = 0; i < 10; i++)
        shm_maintain(f->actor);
}

/* ---- creation ---- */

static void check_creation(struct fixture *f, int rc, unsigned fds, bool enough)
{
    if (enough || rc == SHM_OK) {
        assert_int_equal(rc, SHM_OK);
        touch_all();
        shm_store_close(f->store);
        f->store = NULL;
        assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    } else {
        if (rc != SHM_ESPACE)
            fail_msg("creation returned %d: %s", rc, f->fault.text);
        assert_non_null(strstr(f->fault.text, "No space left"));
    }
    assert_int_equal(entries("/dev/shm"), 0);
    assert_int_equal(entries("/proc/self/fd"), fds);
    assert_int_equal(space_used(), 0);
}

/* Tries each size, page by page, from one page to enough. */
static void creation_in_too_little_space_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    need_mounts();
    fixture_close(f);
    shm_store_unlink(f->name, &f->fault);
    unsigned fds = entries("/proc/self/fd"), refused = 0;
    bool enough = false;
    for (uint64_t size = PAGE; size < 8 << 20; size += PAGE) {
        space_set_size(size);
        int rc = shm_store_open(&f->store, &f->config, &f->fault);
        check_creation(f, rc, fds, enough);
        refused += rc != SHM_OK;
        enough = rc == SHM_OK;
        if (enough)
            size += 100 * PAGE; /* larger sizes behave alike */
    }
    assert_true(enough);
    assert_true(refused > 100);
}

/* Makes call number n of fallocate fail, for each n. */
static void creation_without_an_allocation_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    need_mounts();
    fixture_close(f);
    shm_store_unlink(f->name, &f->fault);
    unsigned fds = entries("/proc/self/fd"), n = 0;
    for (int rc = SHM_ESPACE; rc == SHM_ESPACE && n < 100;) {
        n++;
        space_fail_from(n, ENOSPC, n % 2 == 0);
        rc = shm_store_open(&f->store, &f->config, &f->fault);
        check_creation(f, rc, fds, false);
    }
    assert_true(n > 3 && n < 100);
}

static void interrupted_allocation_is_tried_again(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    shm_store_unlink(f->name, &f->fault);
    for (unsigned n = 1; n < 6; n++) {
        space_fail_from(n, EINTR, true);
        assert_int_equal(shm_store_open(&f->store, &f->config, &f->fault), SHM_OK);
        shm_store_close(f->store);
        f->store = NULL;
        shm_store_unlink(f->name, &f->fault);
    }
}

/* ---- growth ---- */

static void full_dev_shm_refuses_inserts_and_serves_reads(void **state)
{
    struct fixture *f = *state;
    need_mounts();
    f->config.max_users = 100000;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, 50, 10);
    space_set_size(space_used() + (5 << 20)); /* room to grow, but not by whole steps */
    uint64_t users = 50 + fill(f, FIRST, SHM_ESPACE);
    assert_true(users > 500);
    space_set_full();
    check_reads(f, users);
    /* Deletes by other processes make room without growth. */
    delete_some(f, FIRST, 100);
    uint64_t again = fill(f, 2 * FIRST, SHM_ESPACE);
    assert_true(again >= 90);
    check_reads(f, users - 100 + again);
    space_set_size((uint64_t)ENOUGH_MB << 20);
    for (uint64_t n = 0; n < 2000; n++)
        assert_int_equal(user_insert(f->actor, 3 * FIRST + n, BIG_BODY), SHM_OK);
    check_reads(f, users - 100 + again + 2000);
}

static void update_and_delete_in_a_full_dev_shm_are_whole_or_refused(void **state)
{
    struct fixture *f = *state;
    need_mounts();
    uint8_t body[SHM_BODY_MAX] = {1};
    struct shm_new_user update = {.body = body, .body_len = BIG_BODY};
    f->config.max_users = 100000;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, 50, 10);
    space_set_full();
    uint64_t users = 50 + fill(f, FIRST, SHM_ESPACE);
    struct shm_snapshot snapshot; /* holds the old bodies, so that updates need memory */
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    shm_actor_offline(f->actor);
    int rc = SHM_OK;
    for (uint64_t n = FIRST; rc == SHM_OK && n < FIRST + users - 50; n++) {
        user_id(update.id, n);
        rc = shm_users_update(f->actor, &update, 1, NULL);
        shm_actor_offline(f->actor);
    }
    assert_int_equal(rc, SHM_ESPACE);
    check_reads(f, users);
    delete_some(f, FIRST, 10); /* needs no memory */
    check_reads(f, users - 10);
    shm_snapshot_end(f->actor, &snapshot);
    for (int i = 0; i < 50; i++)
        shm_maintain(f->actor);
    user_id(update.id, FIRST + 20);
    assert_int_equal(shm_users_update(f->actor, &update, 1, NULL), SHM_OK);
    check_reads(f, users - 10);
}

/* Makes each call of fallocate in growth fail, once and permanently. */
static void growth_without_an_allocation_is_refused_and_works_again(void **state)
{
    struct fixture *f = *state;
    uint64_t users = 10, next = FIRST;
    f->config.max_users = 100000;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, 10, 10);
    for (unsigned n = 1; n <= 8; n++) {
        space_fail_from(n, ENOSPC, false);
        uint64_t went_in = fill(f, next, SHM_ESPACE);
        check_reads(f, users + went_in);
        users += went_in;
        next += went_in;
        space_fail_from(n, ENOSPC, true);
        /* Needs 2 MiB and more: growth by less than a step. */
        for (int i = 0; i < 900; i++, next++, users++) {
            int rc = user_insert(f->actor, next, BIG_BODY);
            space_pass_ms(rc == SHM_ESPACE ? REMEMBERED_MS : 0);
            if (rc == SHM_ESPACE)
                rc = user_insert(f->actor, next, BIG_BODY);
            assert_int_equal(rc, SHM_OK);
        }
        check_reads(f, users);
    }
}

/* Makes inserts, all of which are refused. @return how often they asked for memory */
static unsigned refuse(struct fixture *f, unsigned inserts, uint64_t next)
{
    unsigned before = space_calls();
    for (unsigned i = 0; i < inserts; i++)
        assert_int_equal(user_insert(f->actor, next, BIG_BODY), SHM_ESPACE);
    return space_calls() - before;
}

static void insert_in_another_process(struct fixture *f, int next)
{
    struct shm_actor *actor;
    shm_actor_abandon(f->actor);
    unsigned before = space_calls();
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(1);
    int rc = user_insert(actor, (uint64_t)next, BIG_BODY);
    shm_actor_leave(actor);
    _exit(rc != SHM_ESPACE ? 2 : space_calls() != before ? 3 : 0);
}

static void refused_inserts_ask_for_memory_ten_times_a_second_at_most(void **state)
{
    struct fixture *f = *state;
    f->config.max_users = 100000;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    space_fail_from(1, ENOSPC, false);
    space_stop_clock(true);
    uint64_t next = FIRST + fill(f, FIRST, SHM_ESPACE);
    assert_true(space_calls() > 0);
    unsigned quiet = refuse(f, 100, next);
    unsigned before = space_calls();
    shm_maintain(f->actor);
    quiet += space_calls() - before;
    /* All processes know what one found. */
    int other = in_child(insert_in_another_process, f, (int)next);
    space_pass_ms(REMEMBERED_MS);
    unsigned again = refuse(f, 100, next);
    space_stop_clock(false);
    assert_int_equal(quiet, 0);
    assert_int_equal(other, 0);
    /* One for a whole step, one for the least that suffices. */
    assert_true(again >= 1 && again <= 2);
}

static void growth_resumes_100_ms_after_memory_is_available(void **state)
{
    struct fixture *f = *state;
    f->config.max_users = 100000;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    space_stop_clock(true);
    space_fail_from(1, ENOSPC, false);
    uint64_t next = FIRST + fill(f, FIRST, SHM_ESPACE);
    space_fail_from(0, 0, false);
    space_pass_ms(-1); /* 1 ms less than the 100 ms that have passed there */
    int early = user_insert(f->actor, next, BIG_BODY);
    space_pass_ms(1);
    int late = user_insert(f->actor, next, BIG_BODY);
    space_stop_clock(false);
    assert_int_equal(early, SHM_ESPACE);
    assert_int_equal(late, SHM_OK);
}

static void no_value_of_the_hint_stops_growth_for_long(void **state)
{
    struct fixture *f = *state;
    uint64_t next = FIRST;
    f->config.max_users = 100000;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    const uint64_t us = clock_monotonic_us();
    const uint64_t values[] = {1, us - 100000, us + 60000000, UINT64_MAX / 2, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint64_t end = shm_control()->arena_end;
        shm_control()->full_at = values[i];
        while (shm_control()->arena_end == end)
            assert_int_equal(user_insert(f->actor, next++, BIG_BODY), SHM_OK);
    }
}

/* The next owner's tables: the owner cannot do without them. */
static void larger_tables_are_not_refused_for_an_earlier_refusal(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 50, 10);
    space_fail_from(1, ENOSPC, false);
    shm_maintain(f->actor);
    (void)fill(f, FIRST, SHM_ESPACE);
    space_fail_from(0, 0, false);
    space_stop_clock(true);
    space_pass_ms(-REMEMBERED_MS);
    fixture_close(f);
    f->config.max_users = 1000000;
    int rc = fixture_reopen(f);
    space_stop_clock(false);
    assert_int_equal(rc, SHM_OK);
}

static void maintenance_in_a_full_dev_shm_harms_nothing(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 50, 10);
    for (unsigned n = 1; n < 5; n++) {
        space_fail_from(n, n % 2 == 0 ? ENOSPC : ENOMEM, false);
        for (int i = 0; i < 10; i++)
            shm_maintain(f->actor);
        check_reads(f, 50);
    }
}

/* ---- slots ---- */

static void join_without_memory_for_its_slot_fails_cleanly(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *actors[SHM_SLOTS_STEP + 1];
    users_insert(f->actor, 0, 10, 10);
    for (int i = 1; i < SHM_SLOTS_STEP; i++)
        assert_int_equal(
            shm_actor_join(&actors[i], f->store, SHM_ACTOR_WORKER, (unsigned)i, &f->fault), SHM_OK);
    space_fail_from(1, ENOSPC, false);
    assert_int_equal(
        shm_actor_join(&actors[SHM_SLOTS_STEP], f->store, SHM_ACTOR_WORKER, 99, &f->fault),
        SHM_ESPACE);
    assert_non_null(strstr(f->fault.text, "full"));
    assert_int_equal(shm_control()->slots_ready, SHM_SLOTS_STEP);
    touch_all(); /* (a verify uses a slot) */
    assert_user(f->actor, 5);
    if (space_mounts) { /* permanently, too */
        space_fail_from(0, 0, false);
        space_set_full();
        assert_int_equal(
            shm_actor_join(&actors[SHM_SLOTS_STEP], f->store, SHM_ACTOR_WORKER, 99, &f->fault),
            SHM_ESPACE);
        touch_all();
        assert_user(f->actor, 5);
        space_set_size((uint64_t)ENOUGH_MB << 20);
    }
    space_fail_from(0, 0, false);
    assert_int_equal(
        shm_actor_join(&actors[SHM_SLOTS_STEP], f->store, SHM_ACTOR_WORKER, 99, &f->fault), SHM_OK);
    for (int i = 1; i <= SHM_SLOTS_STEP; i++)
        shm_actor_leave(actors[i]);
    check_reads(f, 10);
}

/* ---- the next owner's tables ---- */

static void larger_tables_without_memory_leave_the_segment_as_it_was(void **state)
{
    struct fixture *f = *state;
    need_mounts();
    users_insert(f->actor, 0, 50, 10);
    space_set_full();
    for (unsigned i = 0; i < 2; i++) {
        fixture_close(f);
        f->config.max_users = 3000000; /* 4 Mi buckets of 8 bytes */
        assert_int_equal(shm_store_open(&f->store, &f->config, &f->fault), SHM_ESPACE);
        assert_true(strlen(f->fault.text) > 10);
        f->config.max_users = 1000;
        assert_int_equal(fixture_reopen(f), SHM_OK);
        check_reads(f, 50);
        /* Once more, with a part of the memory that it needs. */
        space_set_size(space_used() + (3 << 20));
    }
    space_set_size((uint64_t)ENOUGH_MB << 20);
    fixture_close(f);
    f->config.max_users = 3000000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_reads(f, 50);
}

static void each_allocation_of_larger_tables_may_fail(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 50, 10);
    unsigned n = 0;
    int rc;
    do {
        fixture_close(f);
        space_fail_from(++n, ENOSPC, false);
        f->config.max_users = 1000000;
        rc = shm_store_open(&f->store, &f->config, &f->fault);
        space_fail_from(0, 0, false);
        if (rc == SHM_OK)
            break;
        assert_int_equal(rc, SHM_ESPACE);
        f->config.max_users = 1000;
        assert_int_equal(fixture_reopen(f), SHM_OK);
        check_reads(f, 50);
    } while (n < 200);
    assert_int_equal(rc, SHM_OK);
    assert_true(n > 1);
    assert_int_equal(shm_actor_join(&f->actor, f->store, SHM_ACTOR_MASTER, 0, &f->fault), SHM_OK);
    check_reads(f, 50);
}

/* ---- the counters' segment ---- */

static void counters_without_memory_cost_the_users_nothing(void **state)
{
    static const char *const names[] = {"one", "two"};
    struct fixture *f = *state;
    struct shm_counters *counters;
    char stats[128];
    snprintf(stats, sizeof(stats), "/dev/shm%s.stats", f->name);
    users_insert(f->actor, 0, 10, 10);
    space_fail_from(1, ENOSPC, false);
    assert_int_equal(shm_counters_open(&counters, f->name, names, 2, &f->fault), SHM_ESPACE);
    assert_int_not_equal(access(stats, F_OK), 0);
    space_fail_from(0, 0, false);
    if (space_mounts) {
        space_set_full();
        assert_int_equal(shm_counters_open(&counters, f->name, names, 2, &f->fault), SHM_ESPACE);
        assert_int_not_equal(access(stats, F_OK), 0);
        check_reads(f, 10);
        space_set_size((uint64_t)ENOUGH_MB << 20);
    }
    assert_int_equal(shm_counters_open(&counters, f->name, names, 2, &f->fault), SHM_OK);
    shm_counters_close(counters);
    check_reads(f, 10);
}

int main(void)
{
    space_enter();
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(creation_in_too_little_space_leaves_nothing),
        TEST(creation_without_an_allocation_leaves_nothing),
        TEST(interrupted_allocation_is_tried_again),
        TEST(full_dev_shm_refuses_inserts_and_serves_reads),
        TEST(update_and_delete_in_a_full_dev_shm_are_whole_or_refused),
        TEST(growth_without_an_allocation_is_refused_and_works_again),
        TEST(refused_inserts_ask_for_memory_ten_times_a_second_at_most),
        TEST(growth_resumes_100_ms_after_memory_is_available),
        TEST(no_value_of_the_hint_stops_growth_for_long),
        TEST(larger_tables_are_not_refused_for_an_earlier_refusal),
        TEST(maintenance_in_a_full_dev_shm_harms_nothing),
        TEST(join_without_memory_for_its_slot_fails_cleanly),
        TEST(larger_tables_without_memory_leave_the_segment_as_it_was),
        TEST(each_allocation_of_larger_tables_may_fail),
        TEST(counters_without_memory_cost_the_users_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
