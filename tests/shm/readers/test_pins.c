/* SPDX-License-Identifier: MIT */
/* Pins that end, and are taken again, while a reclaim is about to hand bodies to them; and many
 * pins. */
#include "tests/shm/support.h"

#include <string.h>

#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/readers/readers.h"
#include "shm/readers/reclaim.h"

void (*shm_test_hook)(const char *point);

static struct shm_actor *reader;
static struct shm_snapshot listing;
static struct shm_store *store;
static const char *the_point;
static int looks;

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    store = f->store;
    looks = 0;
    users_insert(f->actor, 0, 500, 100);
    return shm_actor_join(&reader, f->store, SHM_ACTOR_WORKER, 1, &f->fault) == SHM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    shm_test_hook = NULL;
    shm_actor_leave(reader);
    return fixture_teardown(state);
}

static void update(struct shm_actor *actor, uint64_t from, uint64_t to)
{
    static const uint8_t body[64];
    for (uint64_t n = from; n < to; n++) {
        struct shm_new_user user = {.body = body, .body_len = sizeof(body)};
        user_id(user.id, n);
        assert_int_equal(shm_users_update(actor, &user, 1, NULL), SHM_OK);
    }
}

static void reclaim(struct shm_actor *actor, unsigned max)
{
    unsigned steps;
    assert_int_equal(shm_reclaim(actor, max, &steps), SHM_OK);
}

static void begin(void)
{
    assert_int_equal(shm_snapshot_begin(reader, &listing), SHM_OK);
    shm_actor_offline(reader);
}

/* Ends the listing, and takes the same pin for a listing of the current table. */
static void begin_anew(const char *point)
{
    if (strcmp(point, the_point) != 0)
        return;
    shm_test_hook = NULL;
    shm_snapshot_end(reader, &listing);
    begin();
}

static void begin_anew_at(const char *point)
{
    the_point = point;
    shm_test_hook = begin_anew;
}

/* ---- a pin that ends ---- */

static void reused_pin_gets_nothing_of_its_former_version(void **state)
{
    struct fixture *f = *state;
    begin();
    update(f->actor, 0, 60); /* too few for the writer to reclaim on its own */
    begin_anew_at("before seal");
    reclaim(f->actor, 1000);
    assert_null(shm_test_hook);
    assert_int_equal(shm_control()->held_count, 1); /* the body that was on its way */
    segment_check(f->store, 500);
    reclaim(f->actor, 1000);
    assert_int_equal(shm_control()->held_count, 0);
    assert_false(shm_snapshot_revoked(reader, &listing));
    shm_snapshot_end(reader, &listing);
    segment_check(f->store, 500);
}

/* The bodies of its former version are released first; then the pin holds what it needs. */
static void reused_pin_holds_what_its_version_needs(void **state)
{
    struct fixture *f = *state;
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t count = 0;
    begin();
    update(f->actor, 0, 1);
    begin_anew_at("before seal");
    reclaim(f->actor, 1000);
    assert_int_equal(shm_control()->held_count, 1);
    update(f->actor, 0, 60);
    reclaim(f->actor, 1000);
    reclaim(f->actor, 1000);
    assert_int_equal(shm_control()->held_count, 60);
    segment_check(f->store, 500);
    shm_cursor_first(&cursor, reader, &listing);
    while (next_user(&cursor, &user) == SHM_OK) {
        assert_true(user.version <= listing.version);
        count++;
    }
    assert_int_equal(count, 500);
    shm_snapshot_end(reader, &listing);
    shm_actor_offline(reader);
    reclaim(f->actor, 1000);
    assert_int_equal(shm_control()->held_count, 0);
}

/* The pin's former version held too much, and is revoked at the moment when it ends. */
static void revocation_of_a_former_version_hits_no_new_listing(void **state)
{
    struct fixture *f = *state;
    struct shm_cursor cursor;
    struct shm_user user;
    begin();
    update(f->actor, 0, 60);
    reclaim(f->actor, 1000);
    assert_int_equal(shm_control()->held_count, 60);
    shm_control()->held_max = 1;
    update(f->actor, 60, 61);
    /* The last transaction's "before seal" is that of the revocation. */
    reclaim(f->actor, 1);
    struct shm_pin *pin = &shm_slot(shm_actor_slot(reader))->pins[listing.pin];
    assert_int_not_equal(pin->revoked, 0);
    uint64_t revoked = pin->revoked;
    shm_snapshot_end(reader, &listing);
    for (int i = 0; i < 4; i++)
        reclaim(f->actor, 1000);
    assert_int_equal(shm_control()->held_count, 0);
    begin();
    pin = &shm_slot(shm_actor_slot(reader))->pins[listing.pin];
    pin->revoked = revoked; /* as if that store arrived only now */
    assert_false(shm_snapshot_revoked(reader, &listing));
    shm_cursor_first(&cursor, reader, &listing);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
    shm_actor_offline(reader);
    shm_control()->held_max = 1 << 20;
    update(f->actor, 0, 10); /* the pin holds what it needs, despite that word */
    reclaim(f->actor, 1000);
    assert_int_equal(shm_control()->held_count, 10);
    assert_false(shm_snapshot_revoked(reader, &listing));
    shm_snapshot_end(reader, &listing);
}

/* A new listing is not affected by another listing that has held too much. */
static void new_listing_is_not_revoked_for_what_another_held(void **state)
{
    struct fixture *f = *state;
    shm_control()->held_max = 40 * 128;
    for (int round = 0; round < 10; round++) {
        begin();
        update(f->actor, 0, 60);
        begin_anew_at("before seal");
        for (int i = 0; i < 6; i++) {
            reclaim(f->actor, 1000);
            assert_false(shm_snapshot_revoked(reader, &listing));
        }
        shm_snapshot_end(reader, &listing);
        shm_test_hook = NULL;
    }
    segment_check(f->store, 500);
}

/* ---- many pins ---- */

static void look_at_the_lock(const char *point)
{
    if (strcmp(point, "half looked") != 0)
        return;
    looks++;
    assert_int_equal(shm_writer_lock(store), SHM_OK);
    shm_writer_unlock();
}

static void lock_is_free_during_the_look_at_the_readers(void **state)
{
    struct fixture *f = *state;
    begin();
    shm_test_hook = look_at_the_lock;
    update(f->actor, 0, 100);
    shm_maintain(f->actor);
    assert_true(looks >= 2); /* of the writer, and of the maintenance */
    shm_snapshot_end(reader, &listing);
}

enum { HOLDERS = 9, MANY = HOLDERS * SHM_PINS };

static struct shm_actor *holders[HOLDERS];
static struct shm_snapshot many[MANY];

static void pin_many(struct fixture *f)
{
    for (int i = 0; i < HOLDERS; i++)
        assert_int_equal(
            shm_actor_join(&holders[i], f->store, SHM_ACTOR_WORKER, (unsigned)i, &f->fault),
            SHM_OK);
    for (int i = 0; i < MANY; i++) {
        update(f->actor, (uint64_t)i % 500, (uint64_t)i % 500 + 1);
        /* Consecutive pins lie in different slots. */
        assert_int_equal(shm_snapshot_begin(holders[i % HOLDERS], &many[i]), SHM_OK);
        shm_actor_offline(holders[i % HOLDERS]);
    }
}

static void leave_many(void)
{
    for (int i = 0; i < HOLDERS; i++)
        shm_actor_leave(holders[i]);
}

static uint64_t visible_at(struct shm_actor *actor, const struct shm_snapshot *snapshot)
{
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t count = 0, newest = 0;
    shm_cursor_first(&cursor, actor, snapshot);
    for (; next_user(&cursor, &user) == SHM_OK; count++)
        newest = user.version > newest ? user.version : newest;
    shm_actor_offline(actor);
    assert_int_equal(count, 500);
    return newest;
}

static void each_of_a_thousand_pinned_versions_is_kept(void **state)
{
    struct fixture *f = *state;
    pin_many(f);
    for (int i = 0; i < 4; i++) {
        update(f->actor, 0, 500);
        shm_maintain(f->actor);
    }
    segment_check(f->store, 500);
    for (int i = 0; i < MANY; i += 7)
        assert_int_equal(visible_at(holders[i % HOLDERS], &many[i]), many[i].version);
    for (int i = 0; i < MANY; i += 2) /* every other pin ends, unnoticed by the look */
        shm_snapshot_end(holders[i % HOLDERS], &many[i]);
    update(f->actor, 0, 500);
    for (int i = 1; i < MANY; i += 2)
        assert_int_equal(visible_at(holders[i % HOLDERS], &many[i]), many[i].version);
    segment_check(f->store, 500);
    leave_many();
    for (int i = 0; i < 20; i++)
        shm_maintain(f->actor);
    assert_int_equal(shm_control()->held_count + shm_control()->retired.count, 0);
    segment_check(f->store, 500);
}

/* Each pin needs each body: no body is handed from a revoked pin to the next. */
static void limit_holds_if_a_thousand_pins_need_the_same_bodies(void **state)
{
    struct fixture *f = *state;
    const struct shm_control *control = shm_control();
    pin_many(f);
    shm_control()->held_max = UINT64_C(100) * 128;
    for (int i = 0; i < 20; i++) {
        update(f->actor, 0, 500);
        shm_maintain(f->actor);
        assert_true(control->held_bytes <= control->held_max + UINT64_C(500) * 128);
        assert_true(control->retired.count < 500);
    }
    assert_true(control->held_bytes <= control->held_max);
    assert_true(shm_snapshot_revoked(holders[0], &many[0]));
    segment_check(f->store, 500);
    leave_many();
}

/* No more pins are revoked than necessary. */
static void oldest_pins_are_revoked_until_the_rest_is_within_the_limit(void **state)
{
    enum { PINS = 100, KEPT = 20 };
    struct fixture *f = *state;
    struct shm_snapshot listings[PINS];
    for (uint64_t i = 0; i < PINS; i++) { /* each pin holds a body that no other pin needs */
        assert_int_equal(shm_snapshot_begin(reader, &listings[i]), SHM_OK);
        shm_actor_offline(reader);
        update(f->actor, 7, 8);
    }
    for (int i = 0; i < 4; i++)
        reclaim(f->actor, 1000);
    uint64_t body = shm_control()->held_bytes / shm_control()->held_count;
    assert_int_equal(shm_control()->held_count, PINS);
    shm_control()->held_max = KEPT * body;
    for (int i = 0; i < 8; i++)
        reclaim(f->actor, 1000);
    assert_int_equal(shm_control()->held_count, KEPT);
    for (unsigned i = 0; i < PINS; i++) {
        assert_int_equal(shm_snapshot_revoked(reader, &listings[i]), i < PINS - KEPT);
        shm_snapshot_end(reader, &listings[i]);
    }
    segment_check(f->store, 500);
}

static void end_many(const char *point)
{
    if (strcmp(point, "looked") != 0)
        return;
    shm_test_hook = NULL;
    for (int i = 0; i < MANY; i++)
        shm_snapshot_end(holders[i % HOLDERS], &many[i]);
}

/* They are passed one by one under the lock. After 64 of them, another look is due. */
static void pins_that_ended_since_the_look_are_passed_64_at_a_time(void **state)
{
    struct fixture *f = *state;
    pin_many(f);
    update(f->actor, 0, 60);
    shm_test_hook = end_many;
    reclaim(f->actor, 1000);
    assert_null(shm_test_hook);
    assert_in_range(f->actor->readers->ended, 60, 65);
    for (int i = 0; i < 4; i++)
        reclaim(f->actor, 10000);
    assert_int_equal(shm_control()->held_count + shm_control()->retired.count, 0);
    segment_check(f->store, 500);
    leave_many();
}

/* The cost of a look grows with the number of pins, so with many pins a writer looks less often. */
static void writers_look_at_no_more_than_16_pins_for_each_body(void **state)
{
    struct fixture *f = *state;
    enum { UPDATES = 5000 };
    pin_many(f);
    shm_test_hook = look_at_the_lock;
    for (int i = 0; i < UPDATES; i += 500)
        update(f->actor, 0, 500);
    assert_true(looks > 0);
    assert_true(looks * MANY <= 16 * UPDATES + 2 * MANY);
    shm_test_hook = NULL;
    leave_many();
}

/* ---- how much at a time ---- */

static void writer_looks_after_retiring_64_bodies(void **state)
{
    struct fixture *f = *state;
    shm_actor_leave(f->actor); /* bodies that it has retired are counted from the start */
    assert_int_equal(shm_actor_join(&f->actor, f->store, SHM_ACTOR_MASTER, 0, &f->fault), SHM_OK);
    shm_test_hook = look_at_the_lock;
    update(f->actor, 0, 63);
    assert_int_equal(looks, 0);
    update(f->actor, 63, 64);
    assert_true(looks > 0);
}

static unsigned steps, steps_max;

static void count_steps(const char *point)
{
    if (strcmp(point, "lock taken") == 0)
        steps = 0;
    if (strcmp(point, "replayed") == 0 && ++steps > steps_max)
        steps_max = steps;
}

static void reclaim_holds_the_lock_for_32_steps_at_most(void **state)
{
    struct fixture *f = *state;
    shm_actor_online(reader); /* retired bodies wait for this reader */
    update(f->actor, 0, 500);
    shm_actor_offline(reader);
    assert_true(shm_control()->retired.count >= 400);
    steps_max = 0;
    shm_test_hook = count_steps;
    for (int i = 0; i < 4; i++)
        shm_maintain(f->actor);
    assert_int_equal(shm_control()->retired.count, 0);
    assert_int_equal(steps_max, 32);
}

/* Another writer takes the lock, for one of many holds. */
static void take_the_lock(const char *point)
{
    if (strcmp(point, the_point) != 0)
        return;
    shm_test_hook = NULL;
    assert_int_equal(shm_writer_lock(store), SHM_OK);
}

static void maintenance_that_finds_the_lock_taken_comes_back_soon(void **state)
{
    struct fixture *f = *state;
    shm_actor_online(reader);
    update(f->actor, 0, 500);
    shm_actor_offline(reader);
    the_point = "looked";
    shm_test_hook = take_the_lock;
    unsigned soon = shm_maintain(f->actor);
    assert_null(shm_test_hook);
    shm_writer_unlock();
    assert_true(shm_control()->retired.count >= 400);
    assert_true(soon < 100);
    while (shm_maintain(f->actor) < 100) {
    }
    assert_int_equal(shm_control()->retired.count, 0);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(reused_pin_gets_nothing_of_its_former_version),
        WITH(reused_pin_holds_what_its_version_needs),
        WITH(revocation_of_a_former_version_hits_no_new_listing),
        WITH(new_listing_is_not_revoked_for_what_another_held),
        WITH(lock_is_free_during_the_look_at_the_readers),
        WITH(each_of_a_thousand_pinned_versions_is_kept),
        WITH(limit_holds_if_a_thousand_pins_need_the_same_bodies),
        WITH(oldest_pins_are_revoked_until_the_rest_is_within_the_limit),
        WITH(pins_that_ended_since_the_look_are_passed_64_at_a_time),
        WITH(writers_look_at_no_more_than_16_pins_for_each_body),
        WITH(writer_looks_after_retiring_64_bodies),
        WITH(reclaim_holds_the_lock_for_32_steps_at_most),
        WITH(maintenance_that_finds_the_lock_taken_comes_back_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
