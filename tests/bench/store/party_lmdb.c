/* SPDX-License-Identifier: MIT */
/*
 * LMDB on tmpfs with two processes, set up for its best speed. It is filled in the order of keys,
 * so that its pages are full. Read transactions are reused (reset, renew) with MDB_NOTLS, as its
 * documentation advises. MDB_NORDAHEAD is set because access is random. Readers take no lock.
 */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/store/bench.h"

static MDB_env *env;
static MDB_txn *txn;
static MDB_dbi dbi;
static uint64_t users, random_state;

static void check(const char *what, int rc)
{
    if (rc != 0)
        bench_die(what, mdb_strerror(rc));
}

static void open_env(const char *file, unsigned flags)
{
    char path[256];
    snprintf(path, sizeof(path), "/dev/shm/%s", file);
    check("mdb_env_create", mdb_env_create(&env));
    check("mdb_env_set_mapsize", mdb_env_set_mapsize(env, (size_t)4 << 30));
    check(path, mdb_env_open(env, path, MDB_NOSUBDIR | flags, 0600));
}

struct key {
    uint8_t id[BENCH_ID];
    uint64_t n;
};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, BENCH_ID);
}

static void load(const char *file)
{
    struct key *keys = malloc(users * sizeof(*keys));
    if (keys == NULL)
        bench_die("LMDB", "out of memory");
    for (uint64_t n = 0; n < users; n++) {
        bench_id(keys[n].id, n);
        keys[n].n = n;
    }
    qsort(keys, users, sizeof(*keys), compare);
    open_env(file, MDB_WRITEMAP | MDB_NOSYNC);
    check("mdb_txn_begin", mdb_txn_begin(env, NULL, 0, &txn));
    check("mdb_dbi_open", mdb_dbi_open(txn, NULL, 0, &dbi));
    for (uint64_t i = 0; i < users; i++) {
        uint8_t body[BENCH_BODY];
        bench_body(body, keys[i].n);
        MDB_val key = {BENCH_ID, keys[i].id}, value = {BENCH_BODY, body};
        check("mdb_put", mdb_put(txn, dbi, &key, &value, MDB_APPEND));
    }
    check("mdb_txn_commit", mdb_txn_commit(txn));
    mdb_env_close(env);
    free(keys);
}

static void open_table(const char *file, unsigned role, uint64_t max, uint64_t loaded)
{
    (void)max;
    users = loaded;
    random_state = UINT64_C(88172645463325252) + role;
    if (role == 0)
        load(file);
    open_env(file, MDB_NOTLS | MDB_RDONLY | MDB_NORDAHEAD);
    check("mdb_txn_begin", mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    check("mdb_dbi_open", mdb_dbi_open(txn, NULL, 0, &dbi));
    mdb_txn_reset(txn);
}

/* @return ns of CPU time */
static double look_up_batch(struct bench_batch *batch)
{
    MDB_val value;
    double start = bench_now();
    for (int i = 0; i < BENCH_BATCH; i++) {
        MDB_val key = {BENCH_ID, batch->id[i]};
        if (i % BENCH_SECTION == 0)
            check("mdb_txn_renew", mdb_txn_renew(txn));
        if (mdb_get(txn, dbi, &key, &value) != 0 || value.mv_size != BENCH_BODY ||
            !bench_body_is(value.mv_data, batch->n[i]))
            bench_die("LMDB", "a user is missing or wrong");
        if (i % BENCH_SECTION == BENCH_SECTION - 1)
            mdb_txn_reset(txn);
    }
    return bench_now() - start;
}

static double run(enum bench_op op, uint64_t count)
{
    static struct bench_batch batch;
    double ns = 0;
    if (op != BENCH_LOOKUP)
        bench_die("LMDB", "only looks up");
    for (uint64_t done = 0; done < count; done += BENCH_BATCH) {
        bench_batch_fill(&batch, &random_state, users);
        ns += look_up_batch(&batch);
    }
    return ns / (double)count;
}

static void close_table(void)
{
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

void bench_lmdb_remove(const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), "/dev/shm/%s", file);
    (void)unlink(path);
    snprintf(path, sizeof(path), "/dev/shm/%s-lock", file);
    (void)unlink(path);
}

const struct bench_party bench_lmdb = {"LMDB", true, open_table, run, close_table};
