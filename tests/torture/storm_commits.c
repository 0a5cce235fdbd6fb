/* SPDX-License-Identifier: MIT */
/* Scenes of writers that die or stop within a commit. */
#include "tests/torture/storm_stage.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/store.h"

/* ---- dead writers ---- */

static enum shm_change_kind the_kind;

static void commit_to_the_point(struct shm_actor *actor)
{
    if (the_kind == SHM_CREATED)
        stage_commit(actor, the_kind, STAGE_FIRST + STAGE_SOME, STAGE_SOME);
    else
        stage_commit(actor, the_kind, STAGE_FIRST, STAGE_SOME);
}

static const struct {
    const char *name;
    bool committed;
} points[] = {
    {"locked", false},   {"before seal", false},  {"sealed", true},   {"half published", true},
    {"published", true}, {"half replayed", true}, {"replayed", true}, {"applied", true},
};
enum { POINTS = sizeof(points) / sizeof(*points) };

/* A delete makes no list calls: the replay of its log does everything. */
static bool comes_to(enum shm_change_kind kind, const char *point)
{
    return kind != SHM_DELETED || strstr(point, "published") == NULL;
}

static void recover_and_die(struct shm_actor *actor)
{
    (void)actor;
    stage_signal_at("half replayed", SIGKILL);
    shm_writer_lock(storm_store);
}

static void die_in_commit(size_t point, bool twice)
{
    uint64_t version = storm_version();
    storm_replay(&storm_model, version);
    stage_signal_at(points[point].name, SIGKILL);
    stage_wait_until_killed(stage_start(commit_to_the_point));
    stage_signal_at(NULL, 0);
    if (twice && points[point].committed && strcmp(points[point].name, "replayed") != 0 &&
        strcmp(points[point].name, "applied") != 0)
        stage_wait_until_killed(stage_start(recover_and_die));
    shm_actor_reap(storm_store);
    if (storm_version() != version + (points[point].committed ? 1 : 0))
        storm_fail("a writer killed at \"%s\": version is %llu and was %llu", points[point].name,
                   (unsigned long long)storm_version(), (unsigned long long)version);
    storm_check();
    if (points[point].committed && the_kind == SHM_CREATED)
        stage_must_commit(SHM_DELETED, STAGE_FIRST + STAGE_SOME, STAGE_SOME);
    if (points[point].committed && the_kind == SHM_DELETED)
        stage_must_commit(SHM_CREATED, STAGE_FIRST, STAGE_SOME);
}

void commit_of_a_dead_writer_is_whole_or_not_at_all(void)
{
    stage_begin(0);
    for (the_kind = SHM_CREATED; the_kind <= SHM_DELETED; the_kind++)
        for (size_t point = 0; point < POINTS; point++)
            for (int twice = 0; twice < 2; twice++)
                if (comes_to(the_kind, points[point].name))
                    die_in_commit(point, twice != 0);
    stage_end();
}

static void check_table(struct shm_actor *actor)
{
    storm_check_table(actor);
}

void half_a_commit_is_never_seen(void)
{
    static const char *const within[] = {"sealed", "published", "half replayed"};
    stage_begin(0);
    for (the_kind = SHM_CREATED; the_kind <= SHM_DELETED; the_kind++)
        for (size_t i = 0; i < sizeof(within) / sizeof(*within); i++) {
            if (!comes_to(the_kind, within[i]))
                continue;
            storm_replay(&storm_model, storm_version());
            stage_signal_at(within[i], SIGSTOP);
            pid_t pid = stage_start_until_stopped(commit_to_the_point);
            stage_signal_at(NULL, 0);
            stage_continue_to_the_end(stage_start(check_table));
            stage_continue_to_the_end(pid);
            storm_check();
            if (the_kind == SHM_CREATED)
                stage_must_commit(SHM_DELETED, STAGE_FIRST + STAGE_SOME, STAGE_SOME);
            if (the_kind == SHM_DELETED)
                stage_must_commit(SHM_CREATED, STAGE_FIRST, STAGE_SOME);
        }
    stage_end();
}

/* ---- a stopped holder of the lock ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The 99th percentile of the duration of lookups of all kinds, in microseconds. */
static double lookup_p99(void)
{
    enum { LOOKUPS = 20000 };
    static double took[LOOKUPS];
    void (*hook)(const char *point) = shm_test_hook;
    shm_test_hook = NULL; /* the hook would slow it down */
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        struct shm_user user;
        uint8_t id[SHM_ID_SIZE];
        storm_id(id, i % MODEL_IDS);
        double from = storm_seconds();
        (void)shm_user_find(stage_actor, id, &user);
        took[i] = (storm_seconds() - from) * 1e6;
        shm_actor_offline(stage_actor);
    }
    shm_test_hook = hook;
    qsort(took, LOOKUPS, sizeof(*took), by_value);
    return took[LOOKUPS * 99 / 100];
}

static void insert_while_stopped(void)
{
    uint8_t body[SHM_BODY_MAX];
    struct shm_new_user user = {0};
    enum { TRIES = 50 };
    storm_op_begin(MODEL_PARENT, SHM_CREATED);
    storm_op_add(MODEL_IDS - 1, MODEL_IDS - 1, 0, 0);
    storm_body(&user, body, &storm_op, 0);
    storm_id(user.id, MODEL_IDS - 1);
    storm_op.head.count = 0;
    double from = storm_seconds();
    for (int i = 0; i < TRIES; i++) {
        int rc = shm_users_insert(stage_actor, &user, 1, NULL);
        if (rc != SHM_EBUSY)
            storm_fail("a write with a stopped lock holder returned: %s", shm_strerror(rc));
    }
    if (storm_seconds() - from > TRIES * 0.02) /* 50 us each on an idle machine */
        storm_fail("writes wait for a stopped lock holder: %d of them took %.3f s", (int)TRIES,
                   storm_seconds() - from);
    shm_actor_offline(stage_actor);
}

void lock_holder_stopped_delays_no_reader(void)
{
    static const char *const within[] = {"locked", "sealed", "half published", "half replayed"};
    stage_begin(0);
    the_kind = SHM_UPDATED;
    for (size_t i = 0; i < sizeof(within) / sizeof(*within); i++) {
        storm_replay(&storm_model, storm_version());
        double before = lookup_p99();
        stage_signal_at(within[i], SIGSTOP);
        pid_t pid = stage_start_until_stopped(commit_to_the_point);
        stage_signal_at(NULL, 0);
        double during = lookup_p99();
        if (during > 10 * before + 20)
            storm_fail("99 of 100 lookups take %.1f us, and with a writer stopped at \"%s\""
                       " %.1f us",
                       before, within[i], during);
        insert_while_stopped();
        stage_continue_to_the_end(stage_start(check_table));
        stage_continue_to_the_end(pid);
        storm_check();
    }
    stage_end();
}
