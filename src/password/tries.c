/* SPDX-License-Identifier: MIT */
/*
 * A cell is one number, the time at which all of its tries will have come back (the generic cell
 * rate algorithm). Each try moves it by window / count into the future; a cell is used up when it
 * is further than the window minus that from now. It changes by compare-and-exchange alone and
 * orders no other memory.
 */
#include "password/tries.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/random.h>
#include <xxhash.h>

enum { TRIES_CELLS = 1 << 19 }; /* of each half; pages that no key hashes to are never touched */

struct tries {
    uint64_t secret; /* of the hash, so that nobody can choose colliding keys */
    uint64_t (*cells)[TRIES_CELLS];
};

static size_t cells_bytes(void)
{
    return 2 * sizeof(uint64_t[TRIES_CELLS]);
}

struct tries *tries_create(void)
{
    struct tries *tries = calloc(1, sizeof(*tries));
    if (tries == NULL)
        return NULL;
    void *cells = mmap(NULL, cells_bytes(), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    tries->cells = cells != MAP_FAILED ? cells : NULL;
    if (cells != MAP_FAILED &&
        getrandom(&tries->secret, sizeof(tries->secret), 0) == (ssize_t)sizeof(tries->secret))
        return tries;
    tries_destroy(tries);
    return NULL;
}

void tries_destroy(struct tries *tries)
{
    if (tries == NULL)
        return;
    if (tries->cells != NULL)
        munmap(tries->cells, cells_bytes());
    free(tries);
}

static uint64_t *cell_of(struct tries *tries, const struct tries_pass *pass, unsigned half)
{
    return &tries->cells[half][pass->at[half]];
}

static void cell_take(uint64_t *cell, uint64_t cost, uint64_t now)
{
    uint64_t was = __atomic_load_n(cell, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(cell, &was, MAX(was, now) + cost, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

static void cell_give_back(uint64_t *cell, uint64_t cost)
{
    uint64_t was = __atomic_load_n(cell, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(cell, &was, was - MIN(was, cost), false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

bool tries_take(struct tries *tries, unsigned kind, const void *key, size_t len,
                const struct tries_rate *rate, uint64_t now, struct tries_pass *pass,
                uint64_t *wait)
{
    *pass = (struct tries_pass){.cost = 0};
    if (rate->count == 0)
        return true;
    uint64_t hash = XXH3_64bits_withSeed(key, len, tries->secret + kind);
    uint64_t cost = MAX(rate->window / rate->count, UINT64_C(1));
    pass->at[0] = (uint32_t)hash % TRIES_CELLS;
    pass->at[1] = (uint32_t)(hash >> 32) % TRIES_CELLS;
    uint64_t a = __atomic_load_n(cell_of(tries, pass, 0), __ATOMIC_RELAXED);
    uint64_t b = __atomic_load_n(cell_of(tries, pass, 1), __ATOMIC_RELAXED);
    uint64_t back_at = MIN(a, b), most = now + cost * (rate->count - 1);
    if (back_at > most) {
        *wait = back_at - most;
        return false;
    }
    pass->cost = cost;
    cell_take(cell_of(tries, pass, 0), cost, now);
    cell_take(cell_of(tries, pass, 1), cost, now);
    return true;
}

void tries_give_back(struct tries *tries, const struct tries_pass *pass)
{
    if (pass->cost == 0)
        return;
    cell_give_back(cell_of(tries, pass, 0), pass->cost);
    cell_give_back(cell_of(tries, pass, 1), pass->cost);
}
