/* SPDX-License-Identifier: MIT */
/* The careful reader on the chain of bodies of a user that changes all the time: how many steps
 * it takes, and what it returns if the chain changes during the walk. */
#include <string.h>

#include "shm/careful.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "tests/shm/support.h"

enum { NEWER = 1000, BODY = 64, HOT = 1, OTHER = 2, CHANGES_MAX = 100000 };

void (*shm_test_hook)(const char *point);

static struct fixture *fixture;
static struct shm_actor *stopped; /* keeps retired memory from being freed */

static int setup(void **state)
{
    shm_test_hook = NULL;
    if (fixture_setup(state) != 0)
        return -1;
    fixture = *state;
    return shm_actor_join(&stopped, fixture->store, SHM_ACTOR_WORKER, 1, NULL) == SHM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    shm_test_hook = NULL;
    shm_actor_leave(stopped);
    return fixture_teardown(state);
}

static struct shm_reader *reader_open(struct shm_store *look, bool protected)
{
    struct shm_reader *reader;
    *look = *fixture->store;
    look->locked_out = !protected;
    assert_int_equal(shm_reader_open(&reader, look, &fixture->fault), SHM_OK);
    assert_true((shm_reader_unprotected(reader) == NULL) == protected);
    return reader;
}

/* ---- users whose body names its owner ---- */

static uint64_t stamp;

static void make_user(struct shm_new_user *user, uint8_t body[BODY], uint64_t n)
{
    memset(body, (int)(++stamp % 251), BODY);
    memcpy(body, &n, sizeof(n));
    user_id(user->id, n);
    user->body = body;
    user->body_len = BODY;
}

static void insert(uint64_t n)
{
    uint8_t body[BODY];
    struct shm_new_user user = {0};
    make_user(&user, body, n);
    assert_int_equal(shm_users_insert(fixture->actor, &user, 1, NULL), SHM_OK);
    shm_actor_offline(fixture->actor);
}

static void update(uint64_t n, unsigned times)
{
    uint8_t body[BODY];
    struct shm_new_user user = {0};
    for (; times > 0; times--) {
        make_user(&user, body, n);
        assert_int_equal(shm_users_update(fixture->actor, &user, 1, NULL), SHM_OK);
        shm_actor_offline(fixture->actor);
    }
}

/* Frees all memory that no reader needs. */
static void reclaim(void)
{
    for (int i = 0; i < 40; i++) {
        shm_maintain(fixture->actor);
        shm_actor_offline(fixture->actor);
    }
}

static void check_record(const struct shm_record *record, uint64_t n)
{
    uint64_t is;
    uint8_t id[SHM_ID_SIZE];
    memcpy(&is, record->body, sizeof(is));
    user_id(id, n);
    assert_int_equal(is, n);
    assert_memory_equal(record->id, id, SHM_ID_SIZE);
}

static int find_hot(struct shm_reader *reader, struct shm_record *record)
{
    uint8_t id[SHM_ID_SIZE];
    user_id(id, HOT);
    return shm_reader_find(reader, id, record, &fixture->fault);
}

static struct shm_node *node_at(struct cds_list_head *order)
{
    return caa_container_of(order, struct shm_node, order);
}

/* ---- number of steps ---- */

static unsigned steps;

static void count_steps(const char *point)
{
    steps += strcmp(point, "careful body") == 0 || strcmp(point, "careful detour") == 0;
}

static void listing_takes_one_step_for_each_newer_body(void **state)
{
    struct shm_store look;
    struct shm_record record;
    struct shm_reader *reader = reader_open(&look, true);
    (void)state;
    insert(HOT);
    uint64_t version = shm_control()->version;
    assert_int_equal(shm_reader_begin(reader, 0, &fixture->fault), SHM_OK);
    shm_reader_rest(reader);
    shm_actor_online(stopped);
    update(HOT, NEWER);
    steps = 0;
    shm_test_hook = count_steps;
    assert_int_equal(shm_reader_next(reader, &record, &fixture->fault), SHM_OK);
    assert_int_equal(record.version, version);
    assert_in_range(steps, NEWER, NEWER + 10);
    shm_reader_close(reader);
}

static const char *awaited;
static void (*at_point)(void);
static unsigned skipped; /* passes of the point to skip */

static void once(const char *point)
{
    count_steps(point);
    if (awaited == NULL || strcmp(point, awaited) != 0 || skipped-- > 0)
        return;
    awaited = NULL;
    at_point();
}

static void wait_for(const char *point, unsigned after, void (*run)(void))
{
    steps = 0;
    awaited = point;
    skipped = after;
    at_point = run;
    shm_test_hook = once;
}

static void many_updates(void)
{
    update(HOT, NEWER);
}

/* The chain grows after the reader has read its version: the second look is as long as the
 * first. */
static void unprotected_lookup_takes_two_steps_for_each_newer_body(void **state)
{
    struct shm_store look;
    struct shm_record record;
    struct shm_reader *reader = reader_open(&look, false);
    (void)state;
    insert(HOT);
    uint64_t version = shm_control()->version;
    shm_actor_online(stopped);
    wait_for("careful lookup", 0, many_updates);
    assert_int_equal(find_hot(reader, &record), SHM_OK);
    assert_int_equal(record.version, version);
    assert_in_range(steps, 2 * NEWER, 2 * NEWER + 20);
    shm_reader_close(reader);
}

/* ---- changes during the walk ---- */

static void free_all(void)
{
    shm_actor_offline(stopped);
    reclaim();
}

static void free_all_and_update(void)
{
    free_all();
    update(HOT, 100);
}

/* The reader stands in the middle of newer bodies; they are unlinked, and it continues. */
static void protected_listing_continues_from_an_unlinked_body(void **state)
{
    static void (*const changes[])(void) = {free_all, free_all_and_update, many_updates};
    struct shm_store look;
    struct shm_record record;
    struct shm_reader *reader = reader_open(&look, true);
    (void)state;
    insert(HOT);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned after = 0; after < NEWER; after += NEWER / 4 - 1) {
            uint64_t version = shm_control()->version;
            assert_int_equal(shm_reader_begin(reader, 0, &fixture->fault), SHM_OK);
            shm_reader_rest(reader);
            shm_actor_online(stopped);
            update(HOT, NEWER);
            wait_for("careful body", after, changes[i]);
            int rc = shm_reader_next(reader, &record, &fixture->fault);
            if (rc != SHM_OK)
                fail_msg("change %u after %u bodies: %d: %s", i, after, rc, fixture->fault.text);
            assert_null(awaited);
            assert_int_equal(record.version, version);
            check_record(&record, HOT);
            assert_in_range(steps, 1, 4 * NEWER);
            shm_test_hook = NULL;
            shm_reader_end(reader);
            shm_reader_rest(reader);
            free_all();
        }
    shm_reader_close(reader);
}

/* At each step the user changes, and another user gets the memory of its old body. */
static unsigned changes_left;

static void change_and_reuse(const char *point)
{
    static bool busy;
    if (busy || changes_left == 0 ||
        (strcmp(point, "careful body") != 0 && strcmp(point, "careful copy") != 0))
        return;
    busy = true;
    changes_left--;
    update(HOT, 2);
    reclaim();
    update(OTHER, 2);
    busy = false;
}

static void unprotected_read_of_a_changing_user_is_busy_and_not_corrupt(void **state)
{
    struct shm_store look;
    struct shm_record record;
    struct shm_reader *reader = reader_open(&look, false);
    (void)state;
    insert(HOT);
    insert(OTHER);
    shm_test_hook = change_and_reuse;
    changes_left = CHANGES_MAX;
    int rc = find_hot(reader, &record);
    if (rc != SHM_EBUSY)
        fail_msg("%d: %s", rc, fixture->fault.text);
    changes_left = 20; /* then the user stays unchanged */
    assert_int_equal(find_hot(reader, &record), SHM_OK);
    check_record(&record, HOT);
    assert_int_equal(changes_left, 0);
    shm_reader_close(reader);
}

/* The reader stands on a body of its user that is newer than its version. The memory of the
 * body goes to another user: from there on everything is valid, but belongs to the other user. */
static void give_to_another(void)
{
    const struct shm_body *newer = node_at(shm_control()->order.next)->body;
    update(HOT, 1);
    reclaim();
    update(OTHER, 1);
    const struct shm_node *last = node_at(shm_control()->order.prev);
    assert_ptr_equal(last->body, newer); /* otherwise the test tests nothing */
}

static void change_twice(void)
{
    update(HOT, 1);
    wait_for("careful body", 1, give_to_another);
}

static void body_that_now_leads_to_another_user_is_read_again(void **state)
{
    struct shm_store look;
    struct shm_record record;
    struct shm_reader *reader = reader_open(&look, false);
    (void)state;
    insert(HOT);
    insert(OTHER);
    wait_for("careful lookup", 0, change_twice);
    assert_int_equal(find_hot(reader, &record), SHM_OK);
    assert_null(awaited);
    check_record(&record, HOT);
    shm_reader_close(reader);
}

/* ---- damage ---- */

static void body_of_another_user_is_found(void **state)
{
    struct shm_store look;
    struct shm_record record;
    (void)state;
    insert(HOT);
    insert(OTHER);
    struct shm_node *hot = node_at(shm_control()->order.next);
    struct shm_node *other = node_at(shm_control()->order.prev);
    for (int protected = 0; protected < 2; protected ++) {
        struct shm_reader *reader = reader_open(&look, protected != 0);
        struct shm_body *own = hot->body;
        hot->body = other->body;
        assert_int_equal(find_hot(reader, &record), SHM_ECORRUPT);
        assert_non_null(strstr(fixture->fault.text, "its chain of bodies is broken"));
        hot->body = own;
        shm_reader_close(reader);
    }
}

static void long_detours_on_each_body_are_reported_as_damage(void **state)
{
    struct shm_store look;
    struct shm_record record;
    struct shm_reader *reader = reader_open(&look, true);
    (void)state;
    insert(HOT);
    assert_int_equal(shm_reader_begin(reader, 0, &fixture->fault), SHM_OK);
    shm_reader_rest(reader);
    shm_actor_online(stopped);
    update(HOT, NEWER);
    struct shm_body *newest = node_at(shm_control()->order.next)->body;
    /* Each body but the first claims that the body before its newer one leads to it. */
    struct shm_body *before = newest;
    for (struct shm_body *body = newest->prev->prev; body != NULL; body = body->prev) {
        body->from = &before->prev;
        before = before->prev;
    }
    steps = 0;
    shm_test_hook = count_steps;
    assert_int_equal(shm_reader_next(reader, &record, &fixture->fault), SHM_ECORRUPT);
    assert_in_range(steps, 1, 64 * NEWER);
    shm_reader_close(reader);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(listing_takes_one_step_for_each_newer_body),
        WITH(unprotected_lookup_takes_two_steps_for_each_newer_body),
        WITH(protected_listing_continues_from_an_unlinked_body),
        WITH(unprotected_read_of_a_changing_user_is_busy_and_not_corrupt),
        WITH(body_that_now_leads_to_another_user_is_read_again),
        WITH(body_of_another_user_is_found),
        WITH(long_detours_on_each_body_are_reported_as_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
