/* SPDX-License-Identifier: MIT */
/* What the store's calls cost, in ns of CPU time, at a million users (or argv[1]). */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/store.h"

enum { BODY = 52, LOOKUPS = 2000000, SINGLES = 100000 };

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void make_id(uint8_t id[SHM_ID_SIZE], uint64_t n)
{
    uint64_t words[2] = {(n + 1) * 0x9e3779b97f4a7c15u, n};
    memcpy(id, words, sizeof(words));
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_store: %s: %s\n", what, why);
    exit(1);
}

static void insert(struct shm_actor *actor, uint64_t from, uint64_t to, size_t step)
{
    static const uint8_t body[BODY] = "twelve bytes, twenty-four bytes, and the rest of it";
    static struct shm_new_user users[SHM_BATCH_MAX];
    for (uint64_t n = from; n < to;) {
        size_t count = to - n < step ? (size_t)(to - n) : step;
        for (size_t i = 0; i < count; i++) {
            make_id(users[i].id, n + i);
            users[i].body = body;
            users[i].body_len = BODY;
        }
        int rc = shm_users_insert(actor, users, count, NULL);
        if (rc != SHM_OK)
            die("insert", shm_strerror(rc));
        n += count;
        if (n % (1 << 14) < count)
            shm_maintain(actor); /* as the master does */
    }
}

static void find(struct shm_actor *actor, uint64_t users)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    uint64_t sum = 0;
    double start = now();
    for (int i = 0; i < LOOKUPS; i++) {
        make_id(id, next_random() % users);
        if (shm_user_find(actor, id, &user) != SHM_OK)
            die("find", "a user is missing");
        sum += user.body[0];
    }
    printf("%-28s %8.1f ns\n", "lookup, random", (now() - start) / LOOKUPS);
    if (sum == 0)
        die("find", "empty bodies");
}

static void list(struct shm_actor *actor, uint64_t users)
{
    static uint8_t out[4096];
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t seen = 0;
    double start = now();
    shm_snapshot_begin(actor, &snapshot);
    shm_cursor_first(&cursor, actor, &snapshot);
    for (; shm_cursor_next(&cursor, &user) == SHM_OK; seen++)
        memcpy(out + seen % 32 * 64, user.body, user.body_len);
    shm_snapshot_end(actor, &snapshot);
    printf("%-28s %8.1f ns a user\n", "listing, with a copy", (now() - start) / (double)seen);
    if (seen != users)
        die("list", "users are missing");
}

static void snapshots(struct shm_actor *actor)
{
    struct shm_snapshot snapshot;
    double start = now();
    for (int i = 0; i < LOOKUPS; i++) {
        shm_snapshot_begin(actor, &snapshot);
        shm_snapshot_end(actor, &snapshot);
    }
    printf("%-28s %8.1f ns\n", "snapshot begin and end", (now() - start) / LOOKUPS);
    start = now();
    for (int i = 0; i < LOOKUPS; i++) {
        shm_actor_online(actor);
        shm_actor_offline(actor);
    }
    printf("%-28s %8.1f ns\n", "online and offline", (now() - start) / LOOKUPS);
}

int main(int argc, char **argv)
{
    char name[64];
    uint64_t users = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    struct shm_fault fault;
    struct shm_store *store;
    struct shm_actor *actor;
    struct shm_info info;
    snprintf(name, sizeof(name), "/rosterd-bench-%ld", (long)getpid());
    struct shm_config config = {.name = name, .size = 16ull << 30, .max_users = users};
    if (shm_store_open(&store, &config, &fault) != SHM_OK ||
        shm_actor_join(&actor, store, SHM_ACTOR_WORKER, 0, &fault) != SHM_OK)
        die("open", fault.text);
    if (users < 2 * SINGLES)
        die("argument", "at least 200000 users are needed");
    users -= SINGLES;
    double start = now();
    insert(actor, 0, users, SHM_BATCH_MAX);
    printf("%-28s %8.1f ns a user\n", "insert, 256 at a time", (now() - start) / (double)users);
    find(actor, users);
    find(actor, users);
    list(actor, users);
    list(actor, users);
    snapshots(actor);
    start = now();
    insert(actor, users, users + SINGLES, 1);
    printf("%-28s %8.1f ns\n", "insert, one at a time", (now() - start) / SINGLES);
    shm_store_info(store, &info);
    printf("%-28s %8.1f bytes a user\n", "memory, index included",
           (double)info.bytes_used / (double)info.users);
    struct shm_verify_report report;
    start = now();
    int rc = shm_store_verify(store, &report, NULL, NULL);
    printf("%-28s %8.1f ms: %s\n", "verify", (now() - start) / 1e6, shm_strerror(rc));
    shm_actor_leave(actor);
    shm_store_close(store);
    shm_store_unlink(name, &fault);
    return rc == SHM_OK ? 0 : 1;
}
