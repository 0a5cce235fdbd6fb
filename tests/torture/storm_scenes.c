/* SPDX-License-Identifier: MIT */
/*
 * Scenes: what a storm meets now and then, each brought about on purpose. Processes stop or die at
 * the library's points, while others do what would hurt them if the store did not wait.
 */
#include "config.h"

#include "tests/torture/storm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

void (*shm_test_hook)(const char *point);

enum { FIRST_SHARED = MODEL_WRITERS * MODEL_ACCOUNTS, SOME = 64 };

static struct shm_actor *me; /* the scene's own process */

/* ---- processes that stop or die somewhere ---- */

static const char *the_point;
static int the_signal;

static void signal_at_point(const char *point)
{
    storm_hook(point);
    if (the_point != NULL && strcmp(point, the_point) == 0) {
        the_point = NULL;
        raise(the_signal);
    }
}

/* In a child: it gets this signal when it comes to the point. */
static void signal_at(const char *point, int signal)
{
    the_point = point;
    the_signal = signal;
    shm_test_hook = signal_at_point;
}

static pid_t start(void (*run)(struct shm_actor *actor))
{
    pid_t pid = storm_fork();
    if (pid == 0) {
        storm_op.head.count = 0;
        struct shm_actor *actor = storm_join(SHM_ACTOR_WORKER, 1);
        run(actor);
        shm_actor_leave(actor);
        _exit(0);
    }
    return pid;
}

static void wait_until_stopped(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
        storm_fail("the process did not come to \"%s\": wait status %#x",
                   the_point != NULL ? the_point : "", (unsigned)status);
}

static pid_t start_until_stopped(void (*run)(struct shm_actor *actor))
{
    pid_t pid = start(run);
    wait_until_stopped(pid);
    return pid;
}

static void go_on_to_the_end(pid_t pid)
{
    int status;
    kill(pid, SIGCONT);
    if (waitpid(pid, &status, 0) != pid)
        storm_fail("wait: %s", strerror(errno));
    if (WIFSIGNALED(status))
        storm_fail("the process crashed with signal %d", WTERMSIG(status));
    if (status != 0)
        storm_fail("the process ended with status %d", WEXITSTATUS(status));
}

static void wait_until_killed(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        storm_fail("the process was not killed at \"%s\": wait status %#x",
                   the_point != NULL ? the_point : "", (unsigned)status);
    atomic_fetch_add(&storm->kills, 1);
}

/* ---- writing ---- */

static int commit(struct shm_actor *actor, enum shm_change_kind kind, uint32_t from, uint32_t count)
{
    storm_op_begin(MODEL_PARENT, kind);
    for (uint32_t id = from; id < from + count; id++) {
        const struct model_row *row = &storm_model.row[id];
        storm_op_add(id, id, id + 1, row->there ? row->is.amount : 0);
    }
    return storm_op_do(actor);
}

static void must_commit(enum shm_change_kind kind, uint32_t from, uint32_t count)
{
    int rc = commit(me, kind, from, count);
    if (rc != SHM_OK)
        storm_fail("kind %d of %u users: %s", (int)kind, count, shm_strerror(rc));
}

static void begin(uint64_t snapshot_max_bytes)
{
    storm_open(1000, 3, snapshot_max_bytes);
    me = storm_join(SHM_ACTOR_MASTER, 0);
    shm_test_hook = storm_hook;
    must_commit(SHM_CREATED, FIRST_SHARED, SOME);
}

static void reclaim(int times)
{
    for (int i = 0; i < times; i++) {
        shm_maintain(me);
        shm_actor_offline(me);
    }
}

/* All users change, come and go, and what that frees is used again. */
static void churn(int times)
{
    for (int i = 0; i < times; i++) {
        must_commit(SHM_UPDATED, 0, FIRST_SHARED);
        must_commit(SHM_DELETED, FIRST_SHARED, SOME);
        reclaim(2);
        must_commit(SHM_CREATED, FIRST_SHARED, SOME);
        reclaim(2);
    }
}

static void end(void)
{
    storm_check();
    shm_actor_leave(me);
    shm_store_close(storm_store);
}

/* ---- readers ---- */

static void read_and_rest_in_section(struct shm_actor *actor)
{
    struct shm_user user;
    struct model_row before, after;
    uint8_t id[SHM_ID_SIZE];
    storm_id(id, FIRST_SHARED);
    if (shm_user_find(actor, id, &user) != SHM_OK)
        storm_fail("the first user is not there");
    storm_read(&user, &before);
    raise(SIGSTOP);
    storm_read(&user, &after);
    if (!storm_same(&before, &after))
        storm_fail("%s became %s under its reader", storm_row_text(&before),
                   storm_row_text(&after));
}

static void reader_stopped_in_its_section_is_waited_for(void)
{
    begin(0);
    pid_t pid = start_until_stopped(read_and_rest_in_section);
    churn(30);
    if (shm_control()->retired.count == 0)
        storm_fail("a stopped reader was not waited for");
    go_on_to_the_end(pid);
    end();
}

static void pass_by_and_rest(struct shm_actor *actor)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    storm_id(id, FIRST_SHARED);
    signal_at("reading", SIGSTOP);
    if (shm_user_find(actor, id, &user) != SHM_ENOENT)
        storm_fail("a deleted user was found");
}

/* It came after the delete, so the user may leave the lists; but it stands on it. */
static void user_whom_a_reader_passes_by_is_not_freed_under_it(void)
{
    begin(0);
    must_commit(SHM_DELETED, FIRST_SHARED, 1); /* too few for the writer to reclaim by itself */
    pid_t pid = start_until_stopped(pass_by_and_rest);
    reclaim(20);
    go_on_to_the_end(pid);
    end();
}

static void list_and_rest(struct shm_actor *actor)
{
    storm_list_begin(actor);
    storm_list_some(10);
    shm_actor_offline(actor);
    raise(SIGSTOP);
    storm_list_end(actor);
}

static void resting_listing_shows_its_version(void)
{
    begin(0);
    pid_t pid = start_until_stopped(list_and_rest);
    churn(30);
    go_on_to_the_end(pid);
    end();
}

static void pin_late(struct shm_actor *actor)
{
    signal_at("version loaded", SIGSTOP);
    storm_list_begin(actor);
    shm_actor_offline(actor);
    raise(SIGSTOP);
    storm_list_end(actor);
}

static void snapshot_stopped_before_its_pin_shows_its_version(void)
{
    begin(0);
    pid_t pid = start_until_stopped(pin_late);
    churn(10);
    kill(pid, SIGCONT);
    wait_until_stopped(pid);
    churn(10);
    go_on_to_the_end(pid);
    end();
}

static void list_till_revoked(struct shm_actor *actor)
{
    storm_list_begin(actor);
    storm_list_some(10);
    shm_actor_offline(actor);
    raise(SIGSTOP);
    signal_at("reading", SIGSTOP); /* in the next step, after it saw that the snapshot stands */
    storm_list_end(actor);
    if (atomic_load(&storm->revoked) != 1)
        storm_fail("the listing was not revoked");
}

static void listing_revoked_in_a_step_reads_nothing_freed(void)
{
    begin(1 << 10);
    pid_t pid = start_until_stopped(list_till_revoked);
    must_commit(SHM_UPDATED, 0, MODEL_ACCOUNTS); /* too few to be reclaimed at once */
    kill(pid, SIGCONT);
    wait_until_stopped(pid);
    churn(10); /* past the cap, now */
    go_on_to_the_end(pid);
    end();
}

/* ---- the dead ---- */

static void hold_all_and_rest(struct shm_actor *actor)
{
    read_and_rest_in_section(actor);
}

static void pin_and_rest(struct shm_actor *actor)
{
    storm_list_begin(actor);
    shm_actor_offline(actor);
    raise(SIGSTOP);
}

static void the_dead_hold_nothing_up(void)
{
    enum { DEAD = 10 };
    pid_t pid[DEAD];
    begin(0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < DEAD; i++)
            pid[i] = start_until_stopped(i % 2 == 0 ? hold_all_and_rest : pin_and_rest);
        churn(3);
        for (int i = 0; i < DEAD; i++) {
            kill(pid[i], SIGKILL);
            wait_until_killed(pid[i]);
        }
        storm_check();
    }
    if (shm_control()->slots_ready != SHM_SLOTS_STEP)
        storm_fail("the slots of the dead are not used again");
    end();
}

/* ---- writers that die or stop within a commit ---- */

static enum shm_change_kind the_kind;

static void commit_to_the_point(struct shm_actor *actor)
{
    signal_at_point(""); /* the hook is there already: signal_at() came before the fork */
    if (the_kind == SHM_CREATED)
        commit(actor, the_kind, FIRST_SHARED + SOME, SOME);
    else
        commit(actor, the_kind, FIRST_SHARED, SOME);
}

static const struct {
    const char *name;
    bool committed;
} points[] = {
    {"locked", false},   {"before seal", false},  {"sealed", true},   {"half published", true},
    {"published", true}, {"half replayed", true}, {"replayed", true}, {"applied", true},
};
enum { POINTS = sizeof(points) / sizeof(*points) };

/* A delete has no list calls: the replay of its log is all. */
static bool comes_to(enum shm_change_kind kind, const char *point)
{
    return kind != SHM_DELETED || strstr(point, "published") == NULL;
}

static void recover_and_die(struct shm_actor *actor)
{
    (void)actor;
    signal_at("half replayed", SIGKILL);
    shm_writer_lock(storm_store);
}

static void die_in_commit(size_t point, bool twice)
{
    uint64_t version = storm_version();
    storm_replay(&storm_model, version);
    signal_at(points[point].name, SIGKILL);
    wait_until_killed(start(commit_to_the_point));
    signal_at(NULL, 0);
    if (twice && points[point].committed && strcmp(points[point].name, "replayed") != 0 &&
        strcmp(points[point].name, "applied") != 0)
        wait_until_killed(start(recover_and_die));
    shm_actor_reap(storm_store);
    if (storm_version() != version + (points[point].committed ? 1 : 0))
        storm_fail("a writer killed at \"%s\": version is %llu and was %llu", points[point].name,
                   (unsigned long long)storm_version(), (unsigned long long)version);
    storm_check();
    if (points[point].committed && the_kind == SHM_CREATED)
        must_commit(SHM_DELETED, FIRST_SHARED + SOME, SOME);
    if (points[point].committed && the_kind == SHM_DELETED)
        must_commit(SHM_CREATED, FIRST_SHARED, SOME);
}

static void commit_of_a_dead_writer_is_whole_or_not_at_all(void)
{
    begin(0);
    for (the_kind = SHM_CREATED; the_kind <= SHM_DELETED; the_kind++)
        for (size_t point = 0; point < POINTS; point++)
            for (int twice = 0; twice < 2; twice++)
                if (comes_to(the_kind, points[point].name))
                    die_in_commit(point, twice != 0);
    end();
}

static void check_table(struct shm_actor *actor)
{
    storm_check_table(actor);
}

static void half_a_commit_is_seen_by_nobody(void)
{
    static const char *const within[] = {"sealed", "published", "half replayed"};
    begin(0);
    for (the_kind = SHM_CREATED; the_kind <= SHM_DELETED; the_kind++)
        for (size_t i = 0; i < sizeof(within) / sizeof(*within); i++) {
            if (!comes_to(the_kind, within[i]))
                continue;
            storm_replay(&storm_model, storm_version());
            signal_at(within[i], SIGSTOP);
            pid_t pid = start_until_stopped(commit_to_the_point);
            signal_at(NULL, 0);
            go_on_to_the_end(start(check_table));
            go_on_to_the_end(pid);
            storm_check();
            if (the_kind == SHM_CREATED)
                must_commit(SHM_DELETED, FIRST_SHARED + SOME, SOME);
            if (the_kind == SHM_DELETED)
                must_commit(SHM_CREATED, FIRST_SHARED, SOME);
        }
    end();
}

/* ---- followers ---- */

static void follow_half_an_entry(struct shm_actor *actor)
{
    struct storm_place place;
    storm_follow_begin(actor, &place);
    raise(SIGSTOP); /* there is something to follow when it goes on */
    signal_at("half copied", SIGSTOP);
    storm_follow(actor, &place);
    if (atomic_load(&storm->resyncs) != 1)
        storm_fail("a follower that was overtaken went on");
    storm_follow(actor, &place);
}

static void follower_overtaken_by_the_ring_notices(void)
{
    begin(0);
    pid_t pid = start_until_stopped(follow_half_an_entry);
    must_commit(SHM_UPDATED, 0, 1);
    kill(pid, SIGCONT);
    wait_until_stopped(pid);
    for (uint32_t changes = 0; changes < SHM_FEED_SIZE; changes += FIRST_SHARED) {
        must_commit(SHM_UPDATED, 0, FIRST_SHARED);
        reclaim(1);
    }
    go_on_to_the_end(pid);
    end();
}

const struct storm_scene storm_scenes[] = {
    {"reader_stopped_in_its_section_is_waited_for", reader_stopped_in_its_section_is_waited_for},
    {"user_whom_a_reader_passes_by_is_not_freed_under_it",
     user_whom_a_reader_passes_by_is_not_freed_under_it},
    {"resting_listing_shows_its_version", resting_listing_shows_its_version},
    {"snapshot_stopped_before_its_pin_shows_its_version",
     snapshot_stopped_before_its_pin_shows_its_version},
    {"listing_revoked_in_a_step_reads_nothing_freed",
     listing_revoked_in_a_step_reads_nothing_freed},
    {"the_dead_hold_nothing_up", the_dead_hold_nothing_up},
    {"commit_of_a_dead_writer_is_whole_or_not_at_all",
     commit_of_a_dead_writer_is_whole_or_not_at_all},
    {"half_a_commit_is_seen_by_nobody", half_a_commit_is_seen_by_nobody},
    {"follower_overtaken_by_the_ring_notices", follower_overtaken_by_the_ring_notices},
    {"killed_at_random_they_lose_nothing_acknowledged", storm_storm},
    {0},
};
