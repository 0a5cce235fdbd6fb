/* SPDX-License-Identifier: MIT */
/* A reclaim acts on what it saw of the readers: tests of what it did not see, or saw too long
 * ago. */
#include "tests/shm/support.h"

#include <stdlib.h>
#include <string.h>

#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/readers/readers.h"
#include "shm/readers/reclaim.h"

void (*shm_test_hook)(const char *point);

enum { USERS = 500, ACTORS = SHM_SLOTS_STEP };

static struct fixture *fixture;
static struct shm_actor *first, *second, *other; /* two readers, and one more that reclaims */
static struct shm_snapshot older, newer;
static const char *the_point;
static void (*meanwhile)(void);
static int reallocs; /* number of calls that succeed from now on; below 0: all of them */

void *__real_realloc(void *at, size_t size);
void *__wrap_realloc(void *at, size_t size);

void *__wrap_realloc(void *at, size_t size)
{
    if (reallocs == 0)
        return NULL;
    reallocs--;
    return __real_realloc(at, size);
}

static struct shm_actor *join(void)
{
    struct shm_actor *actor;
    assert_int_equal(shm_actor_join(&actor, fixture->store, SHM_ACTOR_WORKER, 1, &fixture->fault),
                     SHM_OK);
    return actor;
}

static int setup(void **state)
{
    reallocs = -1;
    if (fixture_setup(state) != 0)
        return -1;
    fixture = *state;
    users_insert(fixture->actor, 0, USERS, 100);
    first = join();
    second = join();
    other = join();
    return 0;
}

static int teardown(void **state)
{
    shm_test_hook = NULL;
    reallocs = -1;
    shm_actor_leave(first);
    shm_actor_leave(second);
    shm_actor_leave(other);
    return fixture_teardown(state);
}

static void update(uint64_t n)
{
    static const uint8_t body[64];
    struct shm_new_user user = {.body = body, .body_len = sizeof(body)};
    user_id(user.id, n);
    assert_int_equal(shm_users_update(other, &user, 1, NULL), SHM_OK);
}

static void reclaim(struct shm_actor *actor)
{
    unsigned steps;
    assert_int_equal(shm_reclaim(actor, 1000, &steps), SHM_OK);
}

static void begin(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    assert_int_equal(shm_snapshot_begin(actor, snapshot), SHM_OK);
    shm_actor_offline(actor);
}

static void end(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    shm_snapshot_end(actor, snapshot);
}

static void check_newer(void)
{
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t count = 0;
    shm_cursor_first(&cursor, second, &newer);
    for (; next_user(&cursor, &user) == SHM_OK; count++)
        assert_true(user.version <= newer.version);
    shm_actor_offline(second);
    assert_int_equal(count, USERS);
}

static void at_point(const char *point)
{
    if (strcmp(point, the_point) != 0)
        return;
    shm_test_hook = NULL;
    meanwhile();
}

static void run_at(const char *point, void (*run)(void))
{
    the_point = point;
    meanwhile = run;
    shm_test_hook = at_point;
}

/* ---- a slot that was created meanwhile ---- */

static struct shm_actor *late;

static void come_late(void)
{
    late = join();
    assert_true(shm_actor_slot(late) >= ACTORS);
    shm_actor_online(late);
    update(1);
}

static void reader_whose_slot_is_created_during_the_look_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *more[ACTORS];
    unsigned count = 0;
    do
        more[count++] = join();
    while (shm_actor_slot(more[count - 1]) + 1 < ACTORS);
    assert_int_equal(shm_control()->slots_ready, ACTORS);
    update(0); /* gives the reclaim something to do */
    run_at("looking", come_late);
    reclaim(f->actor);
    assert_null(shm_test_hook);
    assert_int_equal(shm_control()->retired.count, 1); /* the reader may stand on it */
    shm_actor_leave(late);
    reclaim(f->actor);
    assert_int_equal(shm_control()->retired.count, 0);
    while (count > 0)
        shm_actor_leave(more[--count]);
}

/* ---- the list of an ended pin, refilled since the look ---- */

static void fill_anew(void)
{
    uint32_t pin = older.pin;
    reclaim(other);
    assert_int_equal(shm_control()->held_count, 0);
    first->pins_free = 0; /* as if it had taken and ended many pins meanwhile */
    begin(first, &older);
    assert_int_equal(older.pin, pin);
    update(1);
    begin(second, &newer);
    update(2);
    reclaim(other);
    assert_int_equal(shm_control()->held_count, 2);
    end(first, &older);
}

static void bodies_held_since_the_look_are_not_judged_by_it(void **state)
{
    struct fixture *f = *state;
    begin(first, &older);
    update(0);
    reclaim(other);
    assert_int_equal(shm_control()->held_count, 1);
    end(first, &older);
    run_at("looked", fill_anew);
    reclaim(f->actor);
    assert_null(shm_test_hook);
    check_newer();
    segment_check(f->store, USERS);
    reclaim(f->actor);
    assert_int_equal(shm_control()->held_count, 1); /* user 2's body, for the newer pin */
    check_newer();
    end(second, &newer);
    reclaim(f->actor);
    assert_int_equal(shm_control()->held_count, 0);
    segment_check(f->store, USERS);
}

/* ---- out of memory ---- */

static void look_without_memory_frees_nothing(void **state)
{
    struct fixture *f = *state;
    begin(first, &older);
    update(0);
    begin(second, &newer);
    update(1);
    reclaim(other);
    assert_int_equal(shm_control()->held_count, 2);
    end(first, &older);
    for (int succeed = 0; succeed < 2; succeed++) {
        reallocs = succeed; /* for the list of ended pins, and for that of the others */
        reclaim(f->actor);
        reallocs = -1;
        assert_int_equal(shm_control()->held_count, 2);
        check_newer();
    }
    reclaim(f->actor);
    assert_int_equal(shm_control()->held_count, 1);
    check_newer();
    end(second, &newer);
    segment_check(f->store, USERS);
}

/* ---- a revocation of an earlier version of a pin ---- */

static void hold_one(void)
{
    unsigned steps;
    assert_int_equal(shm_reclaim(other, 1, &steps), SHM_OK);
    assert_int_equal(shm_control()->held_count, 1);
}

/* The revocation is cleared, and the pin's list begins for its new version, between two steps
 * of this look. */
static void late_revocation_of_a_former_version_does_not_hit_the_new_one(void **state)
{
    struct fixture *f = *state;
    begin(second, &newer);
    struct shm_pin *pin = &shm_slot(shm_actor_slot(second))->pins[newer.pin];
    pin->revoked = 1;
    update(0);
    update(1);
    run_at("half void", hold_one);
    reclaim(f->actor);
    assert_null(shm_test_hook);
    check_newer();
    reclaim(f->actor);
    assert_int_equal(shm_control()->held_count, 2);
    end(second, &newer);
    segment_check(f->store, USERS);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(reader_whose_slot_is_created_during_the_look_is_waited_for),
        WITH(bodies_held_since_the_look_are_not_judged_by_it),
        WITH(look_without_memory_frees_nothing),
        WITH(late_revocation_of_a_former_version_does_not_hit_the_new_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
