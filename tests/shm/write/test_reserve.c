/* SPDX-License-Identifier: MIT */
/* Large batches, whose bodies are copied before the writer lock is taken. */
#include "tests/shm/support.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/segment/grow.h"

void (*shm_test_hook)(const char *point);

enum { LARGE = 4000 };

static uint8_t bodies[SHM_BATCH_MAX][LARGE];
static struct shm_new_user users[SHM_BATCH_MAX];
static struct fixture *fixture;
static const char *the_point;
static unsigned met;
static bool is_filled, die_filled; /* only after the reserve has been filled */

static int setup(void **state)
{
    int rc = fixture_setup(state);
    fixture = *state;
    met = 0;
    is_filled = die_filled = false;
    return rc;
}

static int teardown(void **state)
{
    shm_test_hook = NULL;
    return fixture_teardown(state);
}

static void prepare(uint64_t from, uint8_t fill, uint32_t len)
{
    for (uint64_t i = 0; i < SHM_BATCH_MAX; i++) {
        memset(bodies[i], (int)((fill + i) % 251), sizeof(bodies[i]));
        user_id(users[i].id, from + i);
        users[i].body = bodies[i];
        users[i].body_len = len - (uint32_t)(i % 3);
    }
}

static int insert(struct shm_actor *actor)
{
    return shm_users_insert(actor, users, SHM_BATCH_MAX, NULL);
}

static void check_users(struct shm_actor *actor)
{
    for (unsigned i = 0; i < SHM_BATCH_MAX; i++) {
        struct shm_user user;
        assert_int_equal(shm_user_find(actor, users[i].id, &user), SHM_OK);
        assert_int_equal(user.body_len, users[i].body_len);
        assert_memory_equal(user.body, users[i].body, users[i].body_len);
    }
    shm_actor_offline(actor);
}

static uint64_t bytes_used(void)
{
    return shm_control()->alloc[SHM_ALLOC_BYTES_USED];
}

static uint64_t reserved(const struct shm_actor *actor)
{
    return shm_slot(shm_actor_slot(actor))->reserve_count;
}

/* ---- the copy ---- */

static void look(const char *point)
{
    if (strcmp(point, "filled") != 0)
        return;
    const struct shm_slot *slot = shm_slot(shm_actor_slot(fixture->actor));
    met++;
    assert_int_equal(slot->reserve_count, SHM_BATCH_MAX);
    assert_memory_equal(slot->reserve->bytes, users[0].body, users[0].body_len);
    assert_int_equal(shm_writer_lock(fixture->store), SHM_OK); /* the lock is free */
    shm_writer_unlock();
    segment_check(fixture->store, shm_control()->users);
}

static void large_batch_is_copied_before_the_lock_is_taken(void **state)
{
    struct fixture *f = *state;
    shm_test_hook = look;
    prepare(0, 1, LARGE);
    assert_int_equal(insert(f->actor), SHM_OK);
    check_users(f->actor);
    prepare(0, 7, LARGE - 100);
    assert_int_equal(shm_users_update(f->actor, users, SHM_BATCH_MAX, NULL), SHM_OK);
    check_users(f->actor);
    assert_int_equal(met, 2);
    assert_int_equal(reserved(f->actor), 0);
    segment_check(f->store, SHM_BATCH_MAX);
}

/* 256 nodes of 128 bytes, and as many blocks of 256 bytes, take 96 KiB. */
static void batch_of_more_than_96_kib_gets_a_reserve(void **state)
{
    struct fixture *f = *state;
    shm_test_hook = look;
    prepare(0, 1, 200);
    assert_int_equal(insert(f->actor), SHM_OK);
    check_users(f->actor);
    assert_int_equal(met, 0);
    prepare(SHM_BATCH_MAX, 1, 200);
    users[0].body_len = 201; /* makes 16 bytes more */
    assert_int_equal(insert(f->actor), SHM_OK);
    check_users(f->actor);
    assert_int_equal(met, 1);
}

/* ---- batches that fail ---- */

static void check_between(const char *point)
{
    if (strcmp(point, "unlocking") != 0 || reserved(fixture->actor) == 0)
        return;
    if (met++ == 0) /* the reserve exists by now */
        return;
    shm_test_hook = NULL;
    shm_writer_unlock();
    segment_check(fixture->store, shm_control()->users);
    assert_int_equal(shm_writer_lock(fixture->store), SHM_OK);
}

/* At that point the bodies have been built and are still reserved. */
static void verify_accepts_a_refused_batch_that_still_holds_its_memory(void **state)
{
    struct fixture *f = *state;
    prepare(0, 1, LARGE);
    assert_int_equal(user_insert(f->actor, 200, 64), SHM_OK);
    shm_test_hook = check_between;
    assert_int_equal(insert(f->actor), SHM_EEXIST);
    assert_null(shm_test_hook);
    segment_check(f->store, 1);
}

static void refused_batch_returns_its_memory(void **state)
{
    struct fixture *f = *state;
    struct shm_conflict conflict;
    prepare(0, 1, LARGE);
    assert_int_equal(user_insert(f->actor, 200, 64), SHM_OK);
    uint64_t before = bytes_used();
    assert_int_equal(shm_users_insert(f->actor, users, SHM_BATCH_MAX, &conflict), SHM_EEXIST);
    assert_int_equal(conflict.which, 200);
    assert_int_equal(bytes_used(), before);
    assert_int_equal(shm_users_update(f->actor, users, SHM_BATCH_MAX, &conflict), SHM_ENOENT);
    assert_int_equal(conflict.which, 0);
    assert_int_equal(bytes_used(), before);
    users_insert(f->actor, 1000, 1800, 100);
    before = bytes_used();
    uint64_t end = shm_control()->arena_end;
    assert_int_equal(insert(f->actor), SHM_EFULL); /* limit of 1,000 users */
    assert_int_equal(bytes_used(), before);
    assert_int_equal(shm_control()->arena_end, end);
    segment_check(f->store, 801);
}

static void hold_the_lock(struct fixture *f, int argument)
{
    (void)argument;
    if (shm_writer_lock(f->store) != SHM_OK)
        _exit(1);
    raise(SIGSTOP);
    shm_writer_unlock();
}

static pid_t holder;

static void start_holder(const char *point)
{
    int status;
    if (strcmp(point, the_point) != 0)
        return;
    shm_test_hook = NULL;
    holder = start_child(hold_the_lock, fixture, 0);
    assert_int_equal(waitpid(holder, &status, WUNTRACED), holder);
    assert_true(WIFSTOPPED(status));
}

static void end_holder(void)
{
    int status;
    kill(holder, SIGCONT);
    assert_int_equal(waitpid(holder, &status, 0), holder);
    assert_int_equal(status, 0);
}

static void batch_that_finds_the_lock_taken_keeps_its_memory_for_the_retry(void **state)
{
    struct fixture *f = *state;
    prepare(0, 1, LARGE);
    the_point = "filled";
    shm_test_hook = start_holder;
    assert_int_equal(insert(f->actor), SHM_EBUSY);
    assert_int_equal(reserved(f->actor), SHM_BATCH_MAX);
    uint64_t used = bytes_used(), nodes = SHM_BATCH_MAX * sizeof(struct shm_node);
    const struct shm_body *first = shm_slot(shm_actor_slot(f->actor))->reserve;
    end_holder();
    segment_check(f->store, 0);
    assert_int_equal(insert(f->actor), SHM_OK);
    check_users(f->actor);
    struct shm_user user;
    assert_int_equal(shm_user_find(f->actor, users[0].id, &user), SHM_OK);
    assert_ptr_equal(user.body, first->bytes);
    assert_true(bytes_used() - used - nodes < 16 * sizeof(struct shm_tower) * SHM_LEVELS);
    segment_check(f->store, SHM_BATCH_MAX);
}

/* The second batch has bodies of the same length, but other hidden parts. */
static void reserve_of_other_hidden_parts_is_not_used(void **state)
{
    static const uint32_t hidden_lens[] = {300, 7, 299};
    static uint8_t hidden[300];
    struct fixture *f = *state;
    prepare(0, 1, LARGE - 300);
    for (size_t i = 0; i < sizeof(hidden_lens) / sizeof(hidden_lens[0]); i++) {
        memset(hidden, (int)(100 + i), sizeof(hidden));
        for (size_t k = 0; k < SHM_BATCH_MAX; k++) {
            users[k].hidden = hidden;
            users[k].hidden_len = hidden_lens[i];
        }
        the_point = "filled";
        shm_test_hook = i < 2 ? start_holder : NULL;
        assert_int_equal(insert(f->actor), i < 2 ? SHM_EBUSY : SHM_OK);
        if (i < 2)
            end_holder();
        segment_check(f->store, i < 2 ? 0 : SHM_BATCH_MAX);
    }
    check_users(f->actor);
    for (size_t k = 0; k < SHM_BATCH_MAX; k++) {
        struct shm_user user;
        assert_int_equal(shm_user_find(f->actor, users[k].id, &user), SHM_OK);
        assert_int_equal(user.hidden_len, 299);
        assert_memory_equal(shm_user_hidden(&user), hidden, 299);
        users[k].hidden_len = 0;
    }
    shm_actor_offline(f->actor);
}

static void reserve_of_an_abandoned_batch_is_not_used_by_another(void **state)
{
    struct fixture *f = *state;
    prepare(0, 1, LARGE);
    the_point = "filled";
    shm_test_hook = start_holder;
    assert_int_equal(insert(f->actor), SHM_EBUSY);
    end_holder();
    users_insert(f->actor, 1000, 1100, 50); /* small batches are not affected */
    assert_int_equal(reserved(f->actor), SHM_BATCH_MAX);
    prepare(0, 9, LARGE - 500);
    assert_int_equal(insert(f->actor), SHM_OK);
    check_users(f->actor);
    assert_int_equal(reserved(f->actor), 0);
    segment_check(f->store, 100 + SHM_BATCH_MAX);
}

static void leaving_actor_returns_its_reserve(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *other;
    assert_int_equal(shm_actor_join(&other, f->store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    uint64_t before = bytes_used();
    prepare(0, 1, LARGE);
    the_point = "reserved";
    shm_test_hook = start_holder;
    assert_int_equal(insert(other), SHM_EBUSY);
    end_holder();
    assert_true(bytes_used() > before);
    shm_actor_leave(other);
    assert_int_equal(bytes_used(), before);
    segment_check(f->store, 0);
}

/* ---- dead processes ---- */

static void die_there(const char *point)
{
    is_filled = is_filled || strcmp(point, "filled") == 0;
    if (strcmp(point, the_point) == 0 && (is_filled || !die_filled))
        kill(getpid(), SIGKILL);
}

static void insert_and_die(struct fixture *f, int argument)
{
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(2);
    shm_test_hook = die_there;
    if (argument == 0)
        (void)insert(actor);
    else
        (void)shm_users_update(actor, users, SHM_BATCH_MAX, NULL);
}

static void killed_batch_leaks_nothing(void **state)
{
    static const char *const points[] = {"reserved",      "filled",   "locked",
                                         "before seal",   "sealed",   "half published",
                                         "half replayed", "replayed", "applied"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
        prepare(0, 1, LARGE);
        uint64_t before = bytes_used();
        the_point = points[i];
        int status = in_child(insert_and_die, f, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        shm_actor_reap(f->store);
        segment_check(f->store, shm_control()->users);
        shm_maintain(f->actor);
        for (unsigned slot = 0; slot < shm_control()->slots_ready; slot++)
            assert_null(shm_slot(slot)->reserve);
        if (shm_control()->users == 0) {
            assert_int_equal(bytes_used(), before);
            continue;
        }
        check_users(f->actor);
        uint8_t ids[SHM_BATCH_MAX][SHM_ID_SIZE];
        for (unsigned n = 0; n < SHM_BATCH_MAX; n++)
            memcpy(ids[n], users[n].id, SHM_ID_SIZE);
        assert_int_equal(
            shm_users_delete(f->actor, (const uint8_t(*)[SHM_ID_SIZE])ids, SHM_BATCH_MAX, NULL),
            SHM_OK);
        for (int times = 0; times < 4; times++)
            shm_maintain(f->actor);
        assert_int_equal(bytes_used(), before);
    }
    segment_check(f->store, 0);
}

/* Kills the writer when its bodies have been built; then the next owner takes the segment over. */
static void batch_killed_before_its_commit_is_taken_over(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, SHM_BATCH_MAX, 64);
    uint64_t before = bytes_used();
    the_point = "before seal";
    die_filled = true;
    for (int updates = 0; updates < 2; updates++) {
        prepare(updates != 0 ? 0 : 500, 1, LARGE);
        int status = in_child(insert_and_die, f, updates);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(bytes_used() > before);
        fixture_close(f); /* a verify would take the dead process's slot, and return its memory */
        assert_int_equal(fixture_reopen(f), SHM_OK);
        shm_maintain(f->actor);
        assert_int_equal(bytes_used(), before);
        segment_check(f->store, SHM_BATCH_MAX);
    }
}

/* The next owner returns what the dead process had reserved; so does the next process in the
 * slot. */
static void reserve_of_a_dead_server_goes_to_the_next_server(void **state)
{
    struct fixture *f = *state;
    prepare(0, 1, LARGE);
    uint64_t before = bytes_used();
    the_point = "filled";
    for (int next = 0; next < 2; next++) {
        (void)in_child(insert_and_die, f, 0);
        assert_true(bytes_used() > before);
        if (next == 0) {
            fixture_close(f);
            assert_int_equal(fixture_reopen(f), SHM_OK);
            shm_maintain(f->actor);
        } else {
            struct shm_actor *heir;
            shm_actor_reap(f->store);
            assert_int_equal(shm_actor_join(&heir, f->store, SHM_ACTOR_WORKER, 2, &f->fault),
                             SHM_OK);
            assert_int_equal(reserved(heir), 0);
            shm_actor_leave(heir);
        }
        assert_int_equal(bytes_used(), before);
        segment_check(f->store, 0);
    }
}

/* The tool cannot write to the blocks, and leaves them to the next process. */
static void tool_that_reads_may_get_the_slot_of_a_dead_batch(void **state)
{
    struct fixture *f = *state;
    struct shm_store *tool;
    struct shm_actor *actor[2]; /* the dead process had the second slot */
    prepare(0, 1, LARGE);
    uint64_t before = bytes_used();
    the_point = "filled";
    (void)in_child(insert_and_die, f, 0);
    fixture_close(f);
    assert_int_equal(shm_store_attach(&tool, f->name, SHM_ATTACH_READ, NULL, &f->fault), SHM_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(shm_actor_join(&actor[i], tool, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    assert_int_equal(reserved(actor[1]), SHM_BATCH_MAX);
    for (int i = 0; i < 2; i++)
        shm_actor_leave(actor[i]);
    assert_true(bytes_used() > before);
    shm_store_close(tool);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    shm_maintain(f->actor);
    assert_int_equal(bytes_used(), before);
    segment_check(f->store, 0);
}

/* The dead process's reserve is only in the log when the next process gets its slot. */
static void next_process_in_the_slot_returns_an_unfinished_reserve(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *heir;
    prepare(0, 1, LARGE);
    uint64_t before = bytes_used();
    the_point = "sealed";
    (void)in_child(insert_and_die, f, 0);
    assert_int_equal(bytes_used(), before);
    assert_int_equal(shm_actor_join(&heir, f->store, SHM_ACTOR_WORKER, 2, &f->fault), SHM_OK);
    assert_int_equal(shm_actor_slot(heir), 1); /* the dead process's slot */
    assert_true(shm_writer_reap(f->store));
    assert_int_equal(reserved(heir), SHM_BATCH_MAX);
    shm_maintain(heir);
    assert_int_equal(reserved(heir), 0);
    assert_int_equal(bytes_used(), before);
    shm_actor_leave(heir);
    segment_check(f->store, 0);
}

/* The same if no process has finished the log before the next process's own batch does. */
static void next_process_whose_batch_finishes_a_reserve_returns_it(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *heir;
    assert_int_equal(shm_grow(f->store), SHM_OK); /* grows for both batches */
    prepare(0, 1, LARGE);
    the_point = "sealed";
    (void)in_child(insert_and_die, f, 0);
    assert_int_equal(shm_actor_join(&heir, f->store, SHM_ACTOR_WORKER, 2, &f->fault), SHM_OK);
    assert_int_equal(shm_actor_slot(heir), 1); /* the dead process's slot */
    assert_int_equal(reserved(heir), 0);
    assert_int_equal(insert(heir), SHM_OK);
    assert_int_equal(reserved(heir), 0);
    check_users(heir);
    shm_actor_leave(heir);
    segment_check(f->store, SHM_BATCH_MAX);
}

static void verify_sees_a_wrong_reserve(void **state)
{
    struct fixture *f = *state;
    struct shm_verify_report report;
    prepare(0, 1, LARGE);
    the_point = "filled";
    shm_test_hook = start_holder;
    assert_int_equal(insert(f->actor), SHM_EBUSY);
    end_holder();
    struct shm_slot *slot = shm_slot(shm_actor_slot(f->actor));
    assert_int_equal(slot->reserve_count, SHM_BATCH_MAX);
    segment_check(f->store, 0);
    slot->reserve_count--;
    assert_int_equal(shm_store_verify(f->store, &report, NULL, NULL), SHM_ECORRUPT);
    slot->reserve_count++;
    slot->reserve->state = SHM_BODY_UNLINKED;
    assert_int_equal(shm_store_verify(f->store, &report, NULL, NULL), SHM_ECORRUPT);
    slot->reserve->state = SHM_BODY_RESERVED;
    segment_check(f->store, 0);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(large_batch_is_copied_before_the_lock_is_taken),
        WITH(batch_of_more_than_96_kib_gets_a_reserve),
        WITH(refused_batch_returns_its_memory),
        WITH(verify_accepts_a_refused_batch_that_still_holds_its_memory),
        WITH(batch_that_finds_the_lock_taken_keeps_its_memory_for_the_retry),
        WITH(reserve_of_other_hidden_parts_is_not_used),
        WITH(reserve_of_an_abandoned_batch_is_not_used_by_another),
        WITH(leaving_actor_returns_its_reserve),
        WITH(killed_batch_leaks_nothing),
        WITH(batch_killed_before_its_commit_is_taken_over),
        WITH(reserve_of_a_dead_server_goes_to_the_next_server),
        WITH(tool_that_reads_may_get_the_slot_of_a_dead_batch),
        WITH(next_process_in_the_slot_returns_an_unfinished_reserve),
        WITH(next_process_whose_batch_finishes_a_reserve_returns_it),
        WITH(verify_sees_a_wrong_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
