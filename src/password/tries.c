/* SPDX-License-Identifier: MIT */
/*
 * A cell is one number, the time at which all of its tries will have come back (the generic cell
 * rate algorithm). Each try moves it by window / count into the future; a cell is used up when it
 * is further than the window minus that from now. It changes by compare-and-exchange alone and
 * orders no other memory.
 *
 * Beside it the cell counts the tries that are open: those that were taken in this epoch, a minute,
 * and in the one before. So what a process that was killed had open is forgotten, and a
 * verification that waits longer in the pool's queue is taken for one that failed.
 */
#include "password/tries.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/random.h>
#include <xxhash.h>

enum { TRIES_CELLS = 1 << 19 }; /* of each half; pages that no key hashes to are never touched */

enum { EPOCH_MS = 60000, OPEN_MAX = UINT16_MAX };

struct cell {
    uint64_t back; /* when all tries will have come back, in ms */
    uint64_t open; /* union open_tries */
};

/* Changes as one word. */
union open_tries {
    struct {
        uint32_t epoch;
        uint16_t now, before; /* taken in it, and in the one before it */
    };
    uint64_t word;
};
_Static_assert(sizeof(union open_tries) == sizeof(uint64_t), "a word");

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

/* The tries that are open in an epoch. Another process may be in the next one already. */
static union open_tries open_in(uint64_t word, uint32_t epoch)
{
    union open_tries open = {.word = word};
    if (open.epoch == epoch || open.epoch == epoch + 1)
        return open;
    uint16_t before = open.epoch == epoch - 1 ? open.now : 0;
    return (union open_tries){.epoch = epoch, .before = before};
}

static void open_add(struct cell *cell, uint32_t epoch)
{
    uint64_t was = __atomic_load_n(&cell->open, __ATOMIC_RELAXED);
    union open_tries open;
    do {
        open = open_in(was, epoch);
        if (open.epoch == epoch && open.now < OPEN_MAX)
            open.now++;
        else if (open.epoch != epoch && open.before < OPEN_MAX)
            open.before++;
    } while (!__atomic_compare_exchange_n(&cell->open, &was, open.word, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
}

/* @param epoch in which the try was taken */
static void open_end(struct cell *cell, uint32_t epoch)
{
    uint64_t was = __atomic_load_n(&cell->open, __ATOMIC_RELAXED);
    union open_tries open;
    do {
        open.word = was;
        if (open.epoch == epoch && open.now != 0)
            open.now--;
        else if (open.epoch == epoch + 1 && open.before != 0)
            open.before--;
    } while (!__atomic_compare_exchange_n(&cell->open, &was, open.word, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
}

/* When all tries will have come back. A window that was longer before a reload keeps nobody waiting
 * for longer than this one. @param most when the last of a full number of tries comes back */
static uint64_t cell_look(struct cell *cell, uint64_t most)
{
    uint64_t back = __atomic_load_n(&cell->back, __ATOMIC_RELAXED);
    if (back > most && __atomic_compare_exchange_n(&cell->back, &back, most, false,
                                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        back = most;
    return back;
}

/* @return when the try will have come back */
static uint64_t cell_take(struct cell *cell, const struct tries_pass *pass, uint64_t now)
{
    uint64_t was = __atomic_load_n(&cell->back, __ATOMIC_RELAXED), back;
    do
        back = MAX(was, now) + pass->cost;
    while (!__atomic_compare_exchange_n(&cell->back, &was, back, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
    open_add(cell, pass->epoch);
    return back;
}

static void cell_give_back(struct cell *cell, uint64_t cost)
{
    uint64_t was = __atomic_load_n(&cell->back, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&cell->back, &was, was - MIN(was, cost), false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
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
    uint64_t most = now + cost * (rate->count - 1),
             full = now + MAX(rate->window, cost * rate->count);
    uint64_t a_back = cell_look(a, full), b_back = cell_look(b, full), back = MIN(a_back, b_back);
    pass->epoch = (uint32_t)(now / EPOCH_MS);
    if (back > most) {
        const struct cell *cell = a_back < b_back ? a : b;
        union open_tries open =
            open_in(__atomic_load_n(&cell->open, __ATOMIC_RELAXED), pass->epoch);
        *wait = back - most; /* no more than one costs */
        return open.now != 0 || open.before != 0 ? TRIES_LATER : TRIES_NONE;
    }
    pass->cost = cost;
    pass->back[0] = cell_take(a, pass, now);
    pass->back[1] = cell_take(b, pass, now);
    return TRIES_TAKEN;
}

void tries_give_back(struct tries *tries, struct tries_pass *pass, uint64_t now)
{
    /* Tries come back one behind the other: this one takes up the last `cost` before `back`. */
    for (unsigned half = 0; pass->cost != 0 && half < 2; half++)
        if (pass->back[half] > now)
            cell_give_back(cell_of(tries, pass, half), MIN(pass->cost, pass->back[half] - now));
    tries_use(tries, pass);
}

void tries_use(struct tries *tries, struct tries_pass *pass)
{
    for (unsigned half = 0; pass->cost != 0 && half < 2; half++)
        open_end(cell_of(tries, pass, half), pass->epoch);
    pass->cost = 0;
}
