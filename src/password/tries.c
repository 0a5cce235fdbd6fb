/* SPDX-License-Identifier: MIT */
/*
 * A cell is one number, the time at which all of its tries will have come back (the generic cell
 * rate algorithm). Each try moves it by window / count into the future; a cell is used up when it
 * is further than the window minus that from now. It changes by compare-and-exchange alone and
 * orders no other memory. Beside it the cell counts the tries that are open. A process that is
 * killed leaves that number too high; it begins again when all tries have come back.
 */
#include "password/tries.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/random.h>
#include <xxhash.h>

enum { TRIES_CELLS = 1 << 19 }; /* of each half; pages that no key hashes to are never touched */

struct cell {
    uint64_t back; /* when all tries will have come back, in ms */
    uint64_t open; /* tries that may be given back */
};

struct tries {
    uint64_t secret; /* of the hash, so that nobody can choose colliding keys */
    struct cell (*cells)[TRIES_CELLS];
};

static size_t cells_bytes(void)
{
    return 2 * sizeof(struct cell[TRIES_CELLS]);
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

static struct cell *cell_of(struct tries *tries, const struct tries_pass *pass, unsigned half)
{
    return &tries->cells[half][pass->at[half]];
}

/* @param less is taken off, as far as there is so much */
static void lower(uint64_t *word, uint64_t less)
{
    uint64_t was = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(word, &was, was - MIN(was, less), false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

static void cell_take(struct cell *cell, uint64_t cost, uint64_t now)
{
    uint64_t was = __atomic_load_n(&cell->back, __ATOMIC_RELAXED);
    if (was <= now)
        __atomic_store_n(&cell->open, 0, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&cell->back, &was, MAX(was, now) + cost, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    __atomic_add_fetch(&cell->open, 1, __ATOMIC_RELAXED);
}

uint64_t tries_key(const struct tries *tries, unsigned kind, const void *key, size_t len)
{
    return XXH3_64bits_withSeed(key, len, tries->secret + kind);
}

enum tries_result tries_take(struct tries *tries, uint64_t key, const struct tries_rate *rate,
                             uint64_t now, struct tries_pass *pass, uint64_t *wait)
{
    *pass = (struct tries_pass){.cost = 0};
    if (rate->count == 0)
        return TRIES_TAKEN;
    uint64_t cost = MAX(rate->window / rate->count, UINT64_C(1));
    pass->at[0] = (uint32_t)key % TRIES_CELLS;
    pass->at[1] = (uint32_t)(key >> 32) % TRIES_CELLS;
    struct cell *a = cell_of(tries, pass, 0), *b = cell_of(tries, pass, 1);
    uint64_t a_back = __atomic_load_n(&a->back, __ATOMIC_RELAXED);
    uint64_t b_back = __atomic_load_n(&b->back, __ATOMIC_RELAXED);
    uint64_t back = MIN(a_back, b_back), most = now + cost * (rate->count - 1);
    if (back > most) {
        uint64_t open = __atomic_load_n(a_back < b_back ? &a->open : &b->open, __ATOMIC_RELAXED);
        *wait = back - most;
        return *wait <= open * cost ? TRIES_LATER : TRIES_NONE;
    }
    pass->cost = cost;
    cell_take(a, cost, now);
    cell_take(b, cost, now);
    return TRIES_TAKEN;
}

void tries_give_back(struct tries *tries, struct tries_pass *pass)
{
    for (unsigned half = 0; pass->cost != 0 && half < 2; half++)
        lower(&cell_of(tries, pass, half)->back, pass->cost);
    tries_use(tries, pass);
}

void tries_use(struct tries *tries, struct tries_pass *pass)
{
    for (unsigned half = 0; pass->cost != 0 && half < 2; half++)
        lower(&cell_of(tries, pass, half)->open, 1);
    pass->cost = 0;
}
