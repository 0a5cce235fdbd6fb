/* SPDX-License-Identifier: MIT */
/* A reclaim goes by what it saw of the readers: what it did not see, or saw too long ago. */
#include "config.h"

#include "tests/shm/support.h"

#include <string.h>

#include "shm/readers.h"

void (*shm_test_hook)(const char *point);

enum { USERS = 500, ACTORS = SHM_SLOTS_STEP };

static struct fixture *fixture;
static struct shm_actor *other;
static const char *the_point;
static void (*meanwhile)(void);

static struct shm_actor *join(void)
{
    struct shm_actor *actor;
    assert_int_equal(shm_actor_join(&actor, fixture->store, SHM_ACTOR_WORKER, 1, &fixture->fault),
                     SHM_OK);
    return actor;
}

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    fixture = *state;
    users_insert(fixture->actor, 0, USERS, 100);
    other = join();
    return 0;
}

static int teardown(void **state)
{
    shm_test_hook = NULL;
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

/* ---- a slot that was made meanwhile ---- */

static struct shm_actor *late;

static void come_late(void)
{
    late = join();
    assert_true(shm_actor_slot(late) >= ACTORS);
    shm_actor_online(late);
    update(1);
}

static void reader_whose_slot_is_made_while_we_look_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *more[ACTORS];
    unsigned count = 0;
    do
        more[count++] = join();
    while (shm_actor_slot(more[count - 1]) + 1 < ACTORS);
    assert_int_equal(shm_control()->slots_ready, ACTORS);
    update(0); /* something to look for */
    run_at("looking", come_late);
    reclaim(f->actor);
    assert_null(shm_test_hook);
    assert_int_equal(shm_control()->retired.count, 1); /* he may stand on it */
    shm_actor_leave(late);
    reclaim(f->actor);
    assert_int_equal(shm_control()->retired.count, 0);
    while (count > 0)
        shm_actor_leave(more[--count]);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(reader_whose_slot_is_made_while_we_look_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
