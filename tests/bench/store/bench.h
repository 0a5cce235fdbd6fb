/* SPDX-License-Identifier: MIT */
/*
 * Compares the store with other tables in one run: the parties (one per table), the operations, and
 * the records that all of them hold. User n, 0 <= n < users, has the same 16-byte id and the same
 * 52-byte body in each table. The body begins with n and ends with ~n. Each lookup reads both, so
 * that it includes the access to the body, and so that a wrong body is noticed.
 */
#ifndef ROSTERD_TESTS_BENCH_STORE_H
#define ROSTERD_TESTS_BENCH_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    BENCH_ID = 16,
    BENCH_BODY = 52,    /* n, a name, an e-mail, ~n */
    BENCH_NAME = 12,    /* bytes, from 8 */
    BENCH_EMAIL = 24,   /* bytes, from 20 */
    BENCH_SECTION = 64, /* lookups in one read section, like one turn of an event loop */
    BENCH_BATCH = 512,  /* lookups in one batch; a multiple of BENCH_SECTION */
};

enum bench_op {
    BENCH_LOOKUP,     /* random users */
    BENCH_LOOKUP_KEY, /* random users, by their e-mails; a table with unique keys only */
    BENCH_INSERT,     /* the next users, one at a time */
    BENCH_SNAPSHOT,   /* begin and end a snapshot */
    BENCH_UPDATE,     /* random users, one at a time */
    BENCH_DELETE,     /* users in the order of a permutation, one at a time */
    BENCH_RECLAIM, /* frees what updates and deletes left; time per body, 0 if there is nothing */
    BENCH_WRITE,   /* updates until bench_stop is set */
    BENCH_ENTER,   /* enters a read section, until ... */
    BENCH_EXIT,
    BENCH_BYTES,      /* bytes per user that the table uses; not ns */
    BENCH_FILE_BYTES, /* bytes per user of the file's memory */
    BENCH_OPEN_MS,    /* wall time that open() took */
};

/** The caller sets it to end a BENCH_WRITE. Shared by all processes. */
extern volatile int *bench_stop;

/**
 * One participant of the comparison. All functions run in the party's own process. Role 0 creates
 * the table, role 1 is another process that uses it.
 */
struct bench_party {
    const char *name;
    bool pinned; /* whether its process is pinned to the CPU of its role */
    /** Creates the table with the users [0, loaded) and with room for `users`. Role 1: opens the
     * table. */
    void (*open)(const char *file, unsigned role, uint64_t users, uint64_t loaded);
    /** @return ns of CPU time per operation, for `count` operations (for lookups: a multiple of
     * BENCH_BATCH). The last operations return what enum bench_op says. */
    double (*run)(enum bench_op op, uint64_t count);
    void (*close)(void);
};
extern const struct bench_party bench_store, bench_store_unique, bench_store_again, bench_lfht,
    bench_lfht_sized, bench_lmdb;

/** Removes the party's files in /dev/shm, however its processes ended. */
void bench_store_remove(const char *file);
void bench_lmdb_remove(const char *file);

_Noreturn void bench_die(const char *what, const char *why);
/** @return CPU time of this thread in ns. */
double bench_now(void);
void bench_pin(unsigned cpu); /* 0: the first CPU that this process may use, 1: the last */

static inline uint64_t bench_mix(uint64_t n)
{
    n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
    return n ^ (n >> 31);
}

static inline void bench_id(uint8_t id[BENCH_ID], uint64_t n)
{
    uint64_t words[2] = {bench_mix((n + 1) * UINT64_C(0x9e3779b97f4a7c15)), bench_mix(~n)};
    memcpy(id, words, sizeof(words));
}

/** @return a random number below `users` < 2^32; the caller keeps the state. */
static inline uint64_t bench_random(uint64_t *state, uint64_t users)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return ((*state >> 32) * users) >> 32;
}

/** Users to look up, generated before the lookups, so that no party's time includes it. */
struct bench_batch {
    uint8_t id[BENCH_BATCH][BENCH_ID];
    uint64_t n[BENCH_BATCH];
};

static inline void bench_batch_fill(struct bench_batch *batch, uint64_t *state, uint64_t users)
{
    for (int i = 0; i < BENCH_BATCH; i++) {
        batch->n[i] = bench_random(state, users);
        bench_id(batch->id[i], batch->n[i]);
    }
}

static inline void bench_body(uint8_t body[BENCH_BODY], uint64_t n)
{
    uint64_t bits = n, mixed = bench_mix(n), last = ~n;
    memcpy(body, &n, sizeof(n));
    for (int i = 0; i < BENCH_NAME; i++, bits >>= 4)
        body[8 + i] = (uint8_t)('a' + bits % 16);
    memcpy(body + 20, "@example.com", BENCH_NAME);
    for (int i = BENCH_NAME; i < BENCH_EMAIL; i++, mixed >>= 4)
        body[20 + i] = (uint8_t)('a' + mixed % 16);
    memcpy(body + BENCH_BODY - 8, &last, sizeof(last));
}

static inline bool bench_body_is(const uint8_t *body, uint64_t n)
{
    uint64_t first, last;
    memcpy(&first, body, sizeof(first));
    memcpy(&last, body + BENCH_BODY - 8, sizeof(last));
    return first == n && last == ~n;
}

#endif
