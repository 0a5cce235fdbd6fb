/* SPDX-License-Identifier: MIT */
/* The store: the process that created the segment, and a tool that attached to it. */
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "shm/store.h"
#include "tests/bench/store/bench.h"

enum { BLOCK = 256, MAINTAIN_EVERY = 1 << 14, NAME_AT = 8, EMAIL_AT = 20 };

static struct shm_store *store;
static struct shm_actor *actor;
static uint64_t next_user; /* next user to insert */
static uint64_t next_delete;
static uint64_t random_state;
static char segment[200];
static double open_ms;

static void check(const char *what, int rc)
{
    if (rc != SHM_OK)
        bench_die(what, shm_strerror(rc));
}

/* A simple key: bytes at a fixed offset. */
static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    uint32_t at = key == 0 ? NAME_AT : EMAIL_AT, len = key == 0 ? BENCH_NAME : BENCH_EMAIL;
    if (body_len < at + len)
        return 0;
    memcpy(out, body + at, len);
    return len;
}

static void make_users(struct shm_new_user *users, uint64_t from, size_t count)
{
    static uint8_t bodies[BLOCK][BENCH_BODY];
    for (size_t i = 0; i < count; i++) {
        bench_id(users[i].id, from + i);
        bench_body(bodies[i], from + i);
        users[i].body = bodies[i];
        users[i].body_len = BENCH_BODY;
    }
}

static void load(uint64_t users)
{
    struct shm_new_user block[BLOCK] = {0};
    for (; next_user < users;) {
        size_t count = users - next_user < BLOCK ? (size_t)(users - next_user) : BLOCK;
        make_users(block, next_user, count);
        check("load", shm_users_insert(actor, block, count, NULL));
        next_user += count;
        if (next_user % MAINTAIN_EVERY < BLOCK)
            (void)shm_maintain(actor); /* housekeeping, as the master does it */
    }
    shm_actor_offline(actor);
}

static double wall_ms(void)
{
    return (double)clock_monotonic_ns() / 1e6;
}

static void open_segment(uint64_t users, unsigned unique)
{
    struct shm_fault fault;
    struct shm_config config = {.name = segment,
                                .size = UINT64_C(16) << 30,
                                .max_users = users,
                                .unique = unique,
                                .key_of = key_of};
    double start = wall_ms();
    if (shm_store_open(&store, &config, &fault) != SHM_OK)
        bench_die("open", fault.text);
    open_ms = wall_ms() - start;
}

static void open_role(const char *file, unsigned role, uint64_t users, uint64_t loaded,
                      unsigned unique)
{
    struct shm_fault fault;
    random_state = UINT64_C(88172645463325252) + role;
    snprintf(segment, sizeof(segment), "/%s", file);
    if (role == 0)
        open_segment(users, unique);
    else if (shm_store_attach(&store, segment, SHM_ATTACH_WRITE, key_of, &fault) != SHM_OK)
        bench_die("attach", fault.text);
    if (shm_actor_join(&actor, store, role == 0 ? SHM_ACTOR_WORKER : SHM_ACTOR_TOOL, role,
                       &fault) != SHM_OK)
        bench_die("join", fault.text);
    if (role == 0)
        load(loaded);
    else
        next_user = loaded;
}

static void open_plain(const char *file, unsigned role, uint64_t users, uint64_t loaded)
{
    open_role(file, role, users, loaded, 0);
}

static void open_unique(const char *file, unsigned role, uint64_t users, uint64_t loaded)
{
    open_role(file, role, users, loaded, 3);
}

static double lookup(uint64_t count, bool by_key)
{
    static struct bench_batch batch;
    static uint8_t bodies[BENCH_BATCH][BENCH_BODY];
    struct shm_user user;
    double ns = 0;
    for (uint64_t done = 0; done < count; done += BENCH_BATCH) {
        bench_batch_fill(&batch, &random_state, next_user);
        for (int i = 0; by_key && i < BENCH_BATCH; i++)
            bench_body(bodies[i], batch.n[i]);
        double start = bench_now();
        for (int i = 0; i < BENCH_BATCH; i++) {
            int rc = by_key ? shm_user_find_key(actor, 1, bodies[i] + EMAIL_AT, BENCH_EMAIL, &user)
                            : shm_user_find(actor, batch.id[i], &user);
            if (rc != SHM_OK || user.body_len != BENCH_BODY ||
                !bench_body_is(user.body, batch.n[i]))
                bench_die("lookup", "a user is missing or wrong");
            if (i % BENCH_SECTION == BENCH_SECTION - 1)
                shm_actor_offline(actor);
        }
        ns += bench_now() - start;
    }
    return ns / (double)count;
}

static double insert(uint64_t count)
{
    struct shm_new_user block[BLOCK] = {0};
    double ns = 0;
    for (uint64_t done = 0; done < count;) {
        size_t step = count - done < BLOCK ? (size_t)(count - done) : BLOCK;
        make_users(block, next_user, step);
        double start = bench_now();
        for (size_t i = 0; i < step; i++)
            check("insert", shm_users_insert(actor, &block[i], 1, NULL));
        shm_actor_offline(actor);
        ns += bench_now() - start;
        next_user += step;
        done += step;
        if (next_user % MAINTAIN_EVERY < BLOCK)
            (void)shm_maintain(actor);
    }
    return ns / (double)count;
}

static double snapshot(uint64_t count)
{
    struct shm_snapshot pin;
    double start = bench_now();
    for (uint64_t i = 0; i < count; i++) {
        check("snapshot", shm_snapshot_begin(actor, &pin));
        shm_snapshot_end(actor, &pin);
        if (i % BENCH_SECTION == BENCH_SECTION - 1)
            shm_actor_offline(actor);
    }
    shm_actor_offline(actor);
    return (bench_now() - start) / (double)count;
}

static void update_one(void)
{
    struct shm_new_user user = {0};
    make_users(&user, bench_random(&random_state, next_user), 1);
    int rc;
    do
        rc = shm_users_update(actor, &user, 1, NULL);
    while (rc == SHM_EBUSY);
    check("update", rc);
    shm_actor_offline(actor);
}

static double update(uint64_t count)
{
    double start = bench_now();
    for (uint64_t i = 0; i < count; i++)
        update_one();
    return (bench_now() - start) / (double)count;
}

static double write_until_stopped(void)
{
    uint64_t done = 0;
    double start = bench_now();
    for (; !*bench_stop; done++)
        update_one();
    return (bench_now() - start) / (double)done;
}

static double delete (uint64_t count)
{
    uint8_t id[BENCH_ID];
    double start = bench_now();
    for (uint64_t i = 0; i < count; i++) {
        /* A prime that is no divisor of any multiple of 1,000 that is a number of users here. */
        bench_id(id, next_delete++ * UINT64_C(4294967291) % next_user);
        check("delete", shm_users_delete(actor, &id, 1, NULL));
        shm_actor_offline(actor);
    }
    return (bench_now() - start) / (double)count;
}

static double reclaim(void)
{
    struct shm_info info;
    shm_store_info(store, &info);
    uint64_t bodies = info.retired_count;
    if (bodies == 0)
        return 0;
    double start = bench_now();
    do {
        (void)shm_maintain(actor);
        shm_store_info(store, &info);
    } while (info.retired_count != 0);
    return (bench_now() - start) / (double)bodies;
}

static double bytes(bool of_file)
{
    struct shm_info info;
    struct stat st;
    char path[256];
    shm_store_info(store, &info);
    if (!of_file)
        return (double)info.bytes_used / (double)info.users;
    snprintf(path, sizeof(path), "/dev/shm%s", segment);
    if (stat(path, &st) != 0)
        bench_die("memory", "the segment's file is gone");
    return (double)st.st_blocks * 512 / (double)info.users;
}

static double run(enum bench_op op, uint64_t count)
{
    switch (op) {
    case BENCH_LOOKUP:
        return lookup(count, false);
    case BENCH_LOOKUP_KEY:
        return lookup(count, true);
    case BENCH_INSERT:
        return insert(count);
    case BENCH_SNAPSHOT:
        return snapshot(count);
    case BENCH_UPDATE:
        return update(count);
    case BENCH_DELETE:
        return delete (count);
    case BENCH_RECLAIM:
        return reclaim();
    case BENCH_WRITE:
        return write_until_stopped();
    case BENCH_ENTER:
        shm_actor_online(actor);
        return 0;
    case BENCH_EXIT:
        shm_actor_offline(actor);
        return 0;
    case BENCH_BYTES:
    case BENCH_FILE_BYTES:
        return bytes(op == BENCH_FILE_BYTES);
    case BENCH_OPEN_MS:
        return open_ms;
    }
    bench_die("run", "no such operation");
}

static void close_segment(void)
{
    shm_actor_leave(actor);
    shm_store_close(store);
}

void bench_store_remove(const char *file)
{
    struct shm_fault fault;
    snprintf(segment, sizeof(segment), "/%s", file);
    (void)shm_store_unlink(segment, &fault);
}

const struct bench_party bench_store = {"store", true, open_plain, run, close_segment};
const struct bench_party bench_store_unique = {"store, two unique keys", true, open_unique, run,
                                               close_segment};
/* A new server, which may use all CPUs. */
const struct bench_party bench_store_again = {"store, again", false, open_plain, run,
                                              close_segment};
