/* SPDX-License-Identifier: MIT */
/*
 * Runs readers, writers, a housekeeper and a follower as threads of one process. A server does not
 * do this, but --with-sanitizer=thread can watch it: ThreadSanitizer reports each access to memory
 * that another thread writes unless it is ordered by something that it knows (locks, atomics).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/careful.h"
#include "shm/error.h"
#include "shm/store.h"

enum {
    USERS = 2000, /* half of them exist at any time */
    WRITERS = 2,
    READERS = 3,
    BATCH = 8,
    /* More users, with the largest bodies; they are created, updated and deleted together. */
    LARGE = 25,
    BODY = 48,
    ROUND_MS = 1500, /* TORTURE_THREADS_MS */
};

static struct shm_config config;
static char name[64];
static struct shm_store *store;
static bool stopping;
static uint64_t commits, lookups, listed, followed, snapshots_lost;

/* The copy that a verify makes of a live segment reads words while writers change them. The
 * verifier marks what they changed and copies it again when they have ended
 * (shm/verify/live.c). */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:copy_range\n";
}
/* A history long enough to name the reader of a race. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "history_size=7";
}

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "threads: %s\n", what);
    abort();
}

static bool stopped(void)
{
    return __atomic_load_n(&stopping, __ATOMIC_RELAXED);
}

static void count(uint64_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static uint64_t random_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* ---- users ---- */

static void make_id(uint8_t id[SHM_ID_SIZE], uint64_t n)
{
    uint64_t words[2] = {(n + 1) * UINT64_C(0x9e3779b97f4a7c15), n};
    memcpy(id, words, sizeof(words));
}

static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    (void)body_len;
    memcpy(out, body, 8);
    out[0] ^= (uint8_t)key;
    return 8;
}

/* Makes a body of the user's number and of one value repeated in all the rest, so that a torn
 * body shows. */
static void make_body(uint8_t *body, uint32_t len, uint64_t n, uint64_t value)
{
    memset(body, (int)(value & 0xff), len);
    memcpy(body, &n, sizeof(n));
}

static void check_user(const struct shm_user *user)
{
    uint64_t n, id;
    memcpy(&n, user->body, sizeof(n));
    memcpy(&id, user->id + 8, sizeof(id));
    must(user->body_len == BODY || user->body_len == SHM_BODY_MAX, "a body's length is torn");
    must(n == id && n < USERS + LARGE, "a user is another user");
    for (unsigned i = 9; i < user->body_len; i++)
        must(user->body[i] == user->body[8], "a body is torn");
}

/* ---- threads ---- */

static struct shm_actor *join(enum shm_actor_kind kind)
{
    struct shm_actor *actor;
    struct shm_fault fault;
    must(shm_actor_join(&actor, store, kind, 0, &fault) == SHM_OK, "cannot join");
    return actor;
}

static void write_some(struct shm_actor *actor, uint64_t *random)
{
    struct shm_new_user users[LARGE] = {0};
    uint8_t bodies[LARGE][SHM_BODY_MAX], ids[LARGE][SHM_ID_SIZE];
    bool large = random_next(random) % 8 == 0; /* the batch is copied before the lock is taken */
    uint64_t n = large ? USERS : random_next(random) % (USERS - BATCH);
    uint64_t value = random_next(random);
    size_t many = large ? LARGE : 1 + random_next(random) % BATCH;
    uint32_t len = large ? SHM_BODY_MAX : BODY;
    for (size_t i = 0; i < many; i++) {
        make_id(users[i].id, n + i);
        make_id(ids[i], n + i);
        make_body(bodies[i], len, n + i, value);
        users[i].body = bodies[i];
        users[i].body_len = len;
    }
    int rc;
    switch (random_next(random) % 4) {
    case 0:
        rc = shm_users_insert(actor, users, many, NULL);
        break;
    case 1:
        rc = shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, large ? LARGE : 1, NULL);
        break;
    default:
        rc = shm_users_update(actor, users, many, NULL);
    }
    must(rc == SHM_OK || rc == SHM_EBUSY || rc == SHM_EEXIST || rc == SHM_ENOENT, "a write failed");
    if (rc == SHM_OK)
        count(&commits);
}

static void *run_writer(void *data)
{
    uint64_t random = (uint64_t)(uintptr_t)data;
    struct shm_actor *actor = join(SHM_ACTOR_WORKER);
    while (!stopped()) {
        write_some(actor, &random);
        shm_actor_offline(actor);
    }
    shm_actor_leave(actor);
    return NULL;
}

static void look_up(struct shm_actor *actor, uint64_t n)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE], body[BODY], value[SHM_KEY_MAX];
    make_id(id, n);
    if (shm_user_find(actor, id, &user) == SHM_OK)
        check_user(&user);
    make_body(body, BODY, n, 0);
    unsigned key = (unsigned)n % SHM_KEYS;
    uint32_t len = key_of(key, body, BODY, value);
    if (shm_user_find_key(actor, key, value, len, &user) == SHM_OK)
        check_user(&user);
    count(&lookups);
}

/* Lists a snapshot twice and rests offline in between; both listings must be the same. */
static void list(struct shm_actor *actor, uint64_t *random)
{
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t seen[2] = {0, 0};
    int rc = SHM_OK;
    must(shm_snapshot_begin(actor, &snapshot) == SHM_OK, "no pin");
    for (int round = 0; round < 2 && rc != SHM_EREVOKED; round++) {
        shm_cursor_first(&cursor, actor, &snapshot);
        while ((rc = shm_cursor_next(&cursor, &user)) == SHM_OK || rc == SHM_EMORE) {
            if (rc == SHM_EMORE) {
                shm_actor_offline(actor);
                continue;
            }
            check_user(&user);
            seen[round] += user.seq * user.version;
            if (random_next(random) % 256 == 0) {
                shm_actor_offline(actor);
                usleep(100);
            }
        }
    }
    if (rc == SHM_EREVOKED)
        count(&snapshots_lost);
    else
        must(seen[0] == seen[1], "a snapshot changed");
    shm_snapshot_end(actor, &snapshot);
    shm_actor_offline(actor);
    count(&listed);
}

static void *run_reader(void *data)
{
    uint64_t random = (uint64_t)(uintptr_t)data;
    struct shm_actor *actor = join(SHM_ACTOR_WORKER);
    while (!stopped()) {
        for (int i = 0; i < 100; i++)
            look_up(actor, random_next(&random) % USERS);
        shm_actor_offline(actor);
        list(actor, &random);
    }
    shm_actor_leave(actor);
    return NULL;
}

static void *run_follower(void *data)
{
    struct shm_follower follower;
    struct shm_change change;
    uint64_t last = 0;
    struct shm_actor *actor = join(SHM_ACTOR_TOOL);
    (void)data;
    must(shm_feed_follow(actor, &follower, 0) == SHM_OK, "cannot follow");
    while (!stopped()) {
        int rc = shm_feed_next(actor, &follower, &change);
        if (rc == SHM_OK) {
            must(change.version >= last, "the feed went backwards");
            last = change.version;
            count(&followed);
        } else if (rc == SHM_ERESYNC) {
            struct shm_info info;
            shm_store_info(store, &info);
            (void)shm_feed_follow(actor, &follower, info.version);
        } else {
            shm_actor_offline(actor);
            usleep(100);
        }
    }
    shm_actor_leave(actor);
    return NULL;
}

/* Lists users as shm-inspect does. */
static void *run_tool(void *data)
{
    static struct shm_record record;
    struct shm_fault fault;
    struct shm_reader *reader;
    uint64_t seen = 0;
    (void)data;
    while (!stopped()) {
        int rc = SHM_OK;
        must(shm_reader_open(&reader, store, &fault) == SHM_OK, "no careful reader");
        must(shm_reader_begin(reader, 0, &fault) == SHM_OK, "no careful listing");
        while (rc == SHM_OK) {
            rc = shm_reader_next(reader, &record, &fault);
            seen += rc == SHM_OK ? 1 : 0;
        }
        must(rc == SHM_ENOENT || rc == SHM_EREVOKED, "a careful listing failed");
        shm_reader_close(reader);
        usleep(1000);
    }
    must(seen > 0, "the careful reader saw no user");
    return NULL;
}

static void *run_master(void *data)
{
    struct shm_verify_report report;
    struct shm_actor *actor = join(SHM_ACTOR_MASTER);
    (void)data;
    for (unsigned round = 0; !stopped(); round++) {
        shm_maintain(actor);
        usleep(500);
        if (round % 64 == 63)
            must(shm_store_verify(store, &report, NULL, NULL) != SHM_ECORRUPT, "verify");
    }
    shm_actor_leave(actor);
    return NULL;
}

static void unlink_segment(void)
{
    struct shm_fault fault;
    (void)shm_store_unlink(name, &fault);
}

static void threads_of_one_process_read_and_write(void **state)
{
    void *(*const run[])(void *) = {run_master, run_follower, run_tool,   run_writer,
                                    run_writer, run_reader,   run_reader, run_reader};
    pthread_t threads[sizeof(run) / sizeof(run[0])];
    struct shm_fault fault;
    struct shm_verify_report report;
    const char *text = getenv("TORTURE_THREADS_MS");
    unsigned ms = text != NULL ? (unsigned)atoi(text) : ROUND_MS;
    (void)state;
    snprintf(name, sizeof(name), "/rosterd-threads-%ld", (long)getpid());
    config = (struct shm_config){.name = name,
                                 .size = 64 << 20,
                                 .max_users = USERS + LARGE,
                                 .unique = 3,
                                 .key_of = key_of,
                                 .snapshot_max_bytes = 64 << 10};
    if (shm_store_open(&store, &config, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    atexit(unlink_segment);
    for (size_t i = 0; i < sizeof(run) / sizeof(run[0]); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run[i], (void *)(uintptr_t)(i + 1)), 0);
    usleep(ms * 1000);
    __atomic_store_n(&stopping, true, __ATOMIC_RELAXED);
    for (size_t i = 0; i < sizeof(run) / sizeof(run[0]); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(shm_store_verify(store, &report, NULL, NULL), SHM_OK);
    print_message("threads: %llu commits, %llu lookups, %llu listings of which %llu were revoked, "
                  "%llu changes followed\n",
                  (unsigned long long)commits, (unsigned long long)lookups,
                  (unsigned long long)listed, (unsigned long long)snapshots_lost,
                  (unsigned long long)followed);
    assert_true(commits > 0 && lookups > 0 && listed > 0 && followed > 0);
    shm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_of_one_process_read_and_write)};
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
