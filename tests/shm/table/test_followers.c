/* SPDX-License-Identifier: MIT */
/* Followers of the change feed: writers die, followers are stopped, all run at once. */
#include "tests/shm/changes.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/grace.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"

void (*shm_test_hook)(const char *point);

static struct shm_actor *join(struct fixture *f, unsigned number)
{
    struct shm_actor *actor = NULL;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, number, &f->fault) != SHM_OK)
        _exit(98);
    return actor;
}

/* ---- a writer dies ---- */

static const char *kill_point;

static void kill_at_point(const char *point)
{
    if (strcmp(point, kill_point) == 0)
        kill(getpid(), SIGKILL);
}

static void commit_and_die(struct fixture *f, int kind)
{
    struct shm_actor *actor = join(f, 1);
    shm_test_hook = kill_at_point;
    commit(actor, (enum shm_change_kind)kind, kind == SHM_CREATED ? 300 : 0, 200);
}

/* After the writer's death: the follower sees nothing or all of the commit once it is visible,
 * and then the next changes. */
static void check_feed(struct fixture *f, struct shm_follower *follower, int kind, bool committed)
{
    uint64_t seen = shm_version();
    for (uint64_t i = 0; seen == 2 && i < 200; i++)
        expect(f->actor, follower, 2, (enum shm_change_kind)kind,
               kind == SHM_CREATED ? 300 + i : i);
    expect_none(f->actor, follower);
    /* This commit recovers the dead writer's. */
    assert_int_equal(commit(f->actor, SHM_CREATED, 900, 1), SHM_OK);
    for (uint64_t i = 0; committed && seen == 1 && i < 200; i++)
        expect(f->actor, follower, 2, (enum shm_change_kind)kind,
               kind == SHM_CREATED ? 300 + i : i);
    expect(f->actor, follower, committed ? 3 : 2, SHM_CREATED, 900);
    expect_none(f->actor, follower);
}

static void killed_writer_leaves_its_changes_or_none(void **state)
{
    static const struct {
        const char *name;
        bool committed;
    } points[] = {
        {"locked", false},       {"before seal", false}, {"sealed", true},
        {"half replayed", true}, {"replayed", true},     {"applied", true},
    };
    for (size_t p = 0; p < sizeof(points) / sizeof(*points); p++) {
        for (int kind = SHM_CREATED; kind <= SHM_DELETED; kind++) {
            struct shm_follower follower;
            assert_int_equal(fixture_setup(state), 0);
            struct fixture *f = *state;
            assert_int_equal(commit(f->actor, SHM_CREATED, 0, 200), SHM_OK);
            assert_int_equal(shm_feed_follow(f->actor, &follower, 1), SHM_OK);
            kill_point = points[p].name;
            assert_true(WIFSIGNALED(in_child(commit_and_die, f, kind)));
            check_feed(f, &follower, kind, points[p].committed);
            fixture_teardown(state);
        }
    }
}

static void overwritten_entries_of_a_killed_writer_are_never_read(void **state)
{
    struct fixture *f = *state;
    struct shm_change change;
    uint64_t head = fill_ring(f);
    kill_point = "before seal";
    shm_test_hook = NULL;
    for (int i = 0; i < 2; i++) { /* 200 entries of scratch space, and the longest batch's 256 */
        struct shm_follower oldest = {head - KEPT}, lost = {head - KEPT - 1};
        expect(f->actor, &oldest, head - KEPT + 1, SHM_UPDATED, (head - KEPT) % USERS);
        assert_int_equal(shm_feed_next(f->actor, &lost, &change), SHM_ERESYNC);
        if (i == 0)
            assert_true(WIFSIGNALED(in_child(commit_and_die, f, SHM_UPDATED)));
    }
}

/* ---- a follower is stopped in the middle of a copy ---- */

static void stop_in_copy(const char *point)
{
    if (strcmp(point, "half copied") == 0)
        raise(SIGSTOP);
}

/* Exits with 0 if the follower got the change that it began to copy, with 1 if it must resync. */
static void follow_and_stop(struct fixture *f, int version)
{
    struct shm_follower follower;
    struct shm_change change = {.version = 12345};
    uint8_t id[SHM_ID_SIZE];
    struct shm_actor *actor = join(f, 1);
    if (shm_feed_follow(actor, &follower, (uint64_t)version) != SHM_OK)
        _exit(2);
    shm_test_hook = stop_in_copy;
    int rc = shm_feed_next(actor, &follower, &change);
    user_id(id, (uint64_t)version);
    if (rc == SHM_ERESYNC)
        _exit(change.version == 12345 ? 1 : 3);
    _exit(rc == SHM_OK && change.version == (uint64_t)version + 1 && change.kind == SHM_CREATED &&
                  memcmp(change.id, id, SHM_ID_SIZE) == 0
              ? 0
              : 4);
}

/* Stops the follower for `count` more changes. @return its exit status */
static int stopped_for(struct fixture *f, size_t count, size_t step)
{
    int status;
    for (uint64_t n = 0; n < 10; n++)
        assert_int_equal(commit(f->actor, SHM_CREATED, n, 1), SHM_OK);
    pid_t pid = start_child(follow_and_stop, f, 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    if (step > 1) /* entry 0 of the ring is overwritten in the middle of a batch */
        assert_int_equal(commit(f->actor, SHM_CREATED, 10, 100), SHM_OK);
    for (size_t i = 0; i < count; i += step)
        assert_int_equal(commit(f->actor, SHM_UPDATED, step > 1 ? 10 : i % 10, step), SHM_OK);
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void follower_stopped_in_a_copy_continues_if_the_ring_still_has_the_entry(void **state)
{
    assert_int_equal(stopped_for(*state, KEPT - 10, 1), 0);
}

static void follower_stopped_in_a_copy_for_one_change_too_many_must_resync(void **state)
{
    assert_int_equal(stopped_for(*state, KEPT - 9, 1), 1);
}

static void follower_stopped_in_a_copy_for_a_round_of_the_ring_must_resync(void **state)
{
    assert_int_equal(stopped_for(*state, SHM_FEED_SIZE, 1), 1);
}

static void follower_stopped_in_a_copy_for_a_round_of_batches_must_resync(void **state)
{
    assert_int_equal(stopped_for(*state, 3 * SHM_FEED_SIZE, 100), 1);
}

/* The writer has taken the entries for a batch, but has not committed yet. */
static void follower_stopped_in_a_copy_returns_no_overwritten_entry(void **state)
{
    struct fixture *f = *state;
    int status;
    struct shm_control *control = shm_control();
    assert_int_equal(commit(f->actor, SHM_CREATED, 0, 1), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_CREATED, 1, 200), SHM_OK);
    pid_t pid = start_child(follow_and_stop, f, 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    while (control->feed_head < SHM_FEED_SIZE - 200)
        assert_int_equal(commit(f->actor, SHM_UPDATED, 1, 1), SHM_OK);
    assert_int_equal(shm_feed()[0].version, 1);
    kill_point = "before seal";
    assert_true(WIFSIGNALED(in_child(commit_and_die, f, SHM_UPDATED)));
    /* Not overwritten yet: the next batch of 201 would overwrite it. */
    assert_int_equal(shm_feed()[0].version, 1);
    assert_int_equal(commit(f->actor, SHM_UPDATED, 1, 1), SHM_OK);
    assert_true(WIFSIGNALED(in_child(commit_and_die, f, SHM_UPDATED)));
    assert_true(shm_feed()[0].version != 1); /* overwritten, and never committed */
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 1 << 8);
}

/* ---- followers and writers at full speed ---- */

/* How far a follower of the test lags behind. */
enum habit {
    PROMPT,  /* reads everything at once */
    LATE,    /* repeatedly waits until the ring has lost what it wants */
    ON_EDGE, /* reads entries that the ring is about to lose */
    HABITS
};
enum { WRITERS = 2, OWN = 400, CHANGES = 1000000 };

/* Memory that the processes of a test share. */
struct shared {
    uint64_t writing; /* number of writers that still run */
    uint64_t changes[HABITS], resyncs[HABITS];
};
static struct shared *shared;

static unsigned draw(uint64_t *seed, unsigned below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*seed >> 33) % below;
}

/* Users [from, from + OWN) belong to this writer, which creates, updates and deletes random
 * ranges of them. */
static void write_changes(struct fixture *f, int number)
{
    struct shm_actor *actor = join(f, (unsigned)number);
    uint64_t from = (uint64_t)number * OWN, seed = (uint64_t)number + 1;
    bool there[OWN + 1] = {false};
    for (unsigned done = 0; done < CHANGES;) {
        unsigned n = draw(&seed, OWN), count = 1, most = 1;
        if (draw(&seed, 32) == 0)
            most = 1 + draw(&seed, SHM_BATCH_MAX);
        while (count < most && n + count < OWN && there[n + count] == there[n])
            count++;
        enum shm_change_kind kind = !there[n]             ? SHM_CREATED
                                    : draw(&seed, 3) == 0 ? SHM_DELETED
                                                          : SHM_UPDATED;
        if (commit(actor, kind, from + n, count) != SHM_OK)
            _exit(2);
        memset(&there[n], kind != SHM_DELETED, count);
        done += count;
        if (done > CHANGES / 2 && done % 500 < count)
            usleep(100);
    }
    __atomic_sub_fetch(&shared->writing, 1, __ATOMIC_RELEASE);
    shm_actor_leave(actor);
}

/* What a follower knows: the last change of each user, 0 if the user does not exist. */
struct model {
    uint64_t version[WRITERS * OWN];
    uint64_t last; /* version of the last change or of the last resync */
};

static void read_table(struct shm_actor *actor, struct model *model)
{
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t n;
    if (shm_snapshot_begin(actor, &snapshot) != SHM_OK)
        _exit(3);
    memset(model, 0, sizeof(*model));
    model->last = snapshot.version;
    shm_cursor_first(&cursor, actor, &snapshot);
    while (next_user(&cursor, &user) == SHM_OK) {
        memcpy(&n, user.id + 8, sizeof(n));
        if (n >= WRITERS * OWN)
            _exit(4);
        model->version[n] = user.version;
    }
    shm_snapshot_end(actor, &snapshot);
    shm_actor_offline(actor);
}

static void resync(struct shm_actor *actor, struct model *model, struct shm_follower *follower)
{
    do {
        read_table(actor, model);
    } while (shm_feed_follow(actor, follower, model->last) != SHM_OK);
}

/* Applies a change. One that does not fit to the previous state means that a change was lost or
 * invented. */
static void apply(struct model *model, const struct shm_change *change)
{
    uint64_t n, words[2];
    uint8_t id[SHM_ID_SIZE];
    memcpy(words, change->id, sizeof(words));
    n = words[1];
    user_id(id, n);
    if (n >= WRITERS * OWN || memcmp(id, change->id, SHM_ID_SIZE) != 0)
        _exit(5);
    if (change->version != model->last && change->version != model->last + 1)
        _exit(6);
    if (change->kind < SHM_CREATED || change->kind > SHM_DELETED ||
        (change->kind == SHM_CREATED) != (model->version[n] == 0))
        _exit(7);
    model->last = change->version;
    model->version[n] = change->kind == SHM_DELETED ? 0 : change->version;
}

static void wait_for_lag(const struct shm_follower *follower, uint64_t lag)
{
    while (__atomic_load_n(&shared->writing, __ATOMIC_ACQUIRE) != 0 &&
           __atomic_load_n(&shm_control()->feed_head, __ATOMIC_RELAXED) - follower->next < lag)
        sched_yield();
}

static void follow_changes(struct fixture *f, int habit)
{
    static struct model model, table;
    struct shm_actor *actor = join(f, WRITERS + (unsigned)habit);
    struct shm_follower follower;
    uint64_t changes = 0, resyncs = 0, rest = 0;
    resync(actor, &model, &follower);
    for (;;) {
        struct shm_change change;
        /* Read before the look at the feed: after the last commit nothing more comes. */
        bool over = __atomic_load_n(&shared->writing, __ATOMIC_ACQUIRE) == 0;
        if (habit == ON_EDGE)
            wait_for_lag(&follower, KEPT - 2 * SHM_BATCH_MAX);
        else if (habit == LATE && changes >= rest)
            wait_for_lag(&follower, KEPT + 1);
        int rc = shm_feed_next(actor, &follower, &change);
        if (rc == SHM_ERESYNC) {
            resync(actor, &model, &follower);
            resyncs++;
            rest = changes + 2000;
        } else if (rc == SHM_OK) {
            apply(&model, &change);
            changes++;
        } else if (over) {
            break;
        }
    }
    read_table(actor, &table);
    if (memcmp(model.version, table.version, sizeof(table.version)) != 0)
        _exit(8);
    shared->changes[habit] = changes;
    shared->resyncs[habit] = resyncs;
    shm_actor_leave(actor);
}

static void followers_lose_no_change_under_writers_at_full_speed(void **state)
{
    struct fixture *f = *state;
    pid_t pids[WRITERS + HABITS];
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    shared->writing = WRITERS;
    for (int i = 0; i < HABITS; i++)
        pids[WRITERS + i] = start_child(follow_changes, f, i);
    for (int i = 0; i < WRITERS; i++)
        pids[i] = start_child(write_changes, f, i);
    for (int i = 0; i < WRITERS + HABITS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < HABITS; i++)
        print_message("follower %d: %llu changes, %llu resyncs\n", i,
                      (unsigned long long)shared->changes[i],
                      (unsigned long long)shared->resyncs[i]);
    assert_true(shared->changes[PROMPT] > 0 && shared->changes[ON_EDGE] > 0);
    assert_true(shared->changes[LATE] > 0 && shared->resyncs[LATE] > 0);
    munmap(shared, sizeof(*shared));
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_writer_leaves_its_changes_or_none),
        WITH(overwritten_entries_of_a_killed_writer_are_never_read),
        WITH(follower_stopped_in_a_copy_continues_if_the_ring_still_has_the_entry),
        WITH(follower_stopped_in_a_copy_for_one_change_too_many_must_resync),
        WITH(follower_stopped_in_a_copy_for_a_round_of_the_ring_must_resync),
        WITH(follower_stopped_in_a_copy_for_a_round_of_batches_must_resync),
        WITH(follower_stopped_in_a_copy_returns_no_overwritten_entry),
        WITH(followers_lose_no_change_under_writers_at_full_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
