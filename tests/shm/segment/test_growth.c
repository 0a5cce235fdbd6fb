/* SPDX-License-Identifier: MIT */
/* When the arena grows, which process grows it, and what remains if that process dies. Refused
 * growth is tested in tests/torture/space.c. */
#include "tests/shm/support.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/table_size.h"
#include "shm/core/test_points.h"

void (*shm_test_hook)(const char *point);

enum { LARGE = 4000 };

static unsigned allocations;

static void count_allocations(const char *point)
{
    allocations += strcmp(point, "allocated") == 0;
}

static void die_when_allocated(const char *point)
{
    if (strcmp(point, "allocated") == 0)
        raise(SIGKILL);
}

static int setup(void **state)
{
    allocations = 0;
    shm_test_hook = count_allocations;
    return fixture_setup(state);
}

static int teardown(void **state)
{
    shm_test_hook = NULL;
    return fixture_teardown(state);
}

static uint64_t file_size(const struct fixture *f)
{
    struct stat st;
    assert_int_equal(fstat(shm_store_fd(f->store), &st), 0);
    return (uint64_t)st.st_size;
}

static uint64_t arena_size(void)
{
    return shm_control()->arena_end - SHM_BASE;
}

/* @return the number of the first user that does not exist */
static uint64_t fill_until_it_grows(struct fixture *f, uint64_t n)
{
    uint64_t before = arena_size();
    while (arena_size() == before)
        assert_int_equal(user_insert(f->actor, n++, LARGE), SHM_OK);
    return n;
}

static void writer_grows_the_arena_itself(void **state)
{
    struct fixture *f = *state;
    uint64_t n = fill_until_it_grows(f, 0);
    assert_int_equal(allocations, 1);
    n = fill_until_it_grows(f, n);
    assert_int_equal(allocations, 2); /* one per step */
    segment_check(f->store, n);
}

/* After the master's maintenance, a writer can fill two steps before it must grow the arena. */
static void maintenance_grows_the_arena_ahead_of_the_writers(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 0; n < 900; n++) {
        shm_maintain(f->actor);
        unsigned before = allocations;
        assert_true(shm_control()->arena_end >=
                    shm_control()->alloc[SHM_ALLOC_ARENA_CUR] + 2 * SHM_HUGE);
        assert_int_equal(user_insert(f->actor, n, LARGE), SHM_OK);
        assert_int_equal(allocations, before);
    }
    assert_true(allocations > 1);
}

static void insert_until_dead(struct fixture *f, int first)
{
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(2);
    shm_test_hook = die_when_allocated;
    for (uint64_t n = (uint64_t)first; user_insert(actor, n, LARGE) == SHM_OK; n++) {
    }
}

static void death_during_growth_leaves_a_file_longer_than_recorded(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(file_size(f), arena_size());
    int status = in_child(insert_until_dead, f, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    shm_actor_reap(f->store);
    uint64_t users = shm_control()->users, size = file_size(f), end = arena_size();
    assert_true(size > end);
    fixture_close(f); /* the next owner accepts this */
    assert_int_equal(fixture_reopen(f), SHM_OK);
    segment_check(f->store, users);
    assert_int_equal(arena_size(), end);
    uint64_t n = fill_until_it_grows(f, users);
    assert_int_equal(file_size(f), size); /* the next growth uses it */
    segment_check(f->store, n);
}

static void file_never_shrinks(void **state)
{
    struct fixture *f = *state;
    uint8_t id[1][SHM_ID_SIZE];
    uint64_t n = fill_until_it_grows(f, fill_until_it_grows(f, 0));
    uint64_t size = file_size(f);
    while (n-- > 0) {
        user_id(id[0], n);
        assert_int_equal(shm_users_delete(f->actor, (const uint8_t(*)[SHM_ID_SIZE])id, 1, NULL),
                         SHM_OK);
    }
    for (int i = 0; i < 20; i++)
        shm_maintain(f->actor);
    assert_int_equal(shm_control()->retired.count + shm_control()->unlinked.count, 0);
    assert_true(file_size(f) >= size);
    size = file_size(f);
    fixture_close(f);
    f->config.size = size + SHM_HUGE; /* a limit that just suffices */
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(file_size(f), size);
}

static void start_that_needs_larger_tables_grows_once(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 100, 10);
    uint64_t before = arena_size();
    fixture_close(f);
    allocations = 0;
    f->config.max_users = 2000000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(allocations, 1);
    assert_true(arena_size() >= before + shm_table_size(shm_bucket_count(2000000)) - SHM_HUGE);
    segment_check(f->store, 100);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(writer_grows_the_arena_itself),
        WITH(maintenance_grows_the_arena_ahead_of_the_writers),
        WITH(death_during_growth_leaves_a_file_longer_than_recorded),
        WITH(file_never_shrinks),
        WITH(start_that_needs_larger_tables_grows_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
