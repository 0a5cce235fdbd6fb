/* SPDX-License-Identifier: MIT */
#include "server/worker/admission.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/address_key.h"

enum { COUNTERS = 65536 }; /* of each set */

/* A worker's place. Only its worker writes it, and the master once that worker is dead. */
struct admission_row {
    _Alignas(4096) uint32_t connections;
    uint32_t by_address[2][COUNTERS]; /* pages that no address hashes to are never touched */
};

/* The part that all processes share. */
struct admission_shared {
    _Alignas(4096) unsigned used; /* no place from here on was ever taken */
    struct admission_row rows[ADMISSION_PLACES];
};

struct admission {
    uint64_t secret; /* of the hash, so that clients cannot choose colliding addresses */
    bool taken[ADMISSION_PLACES]; /* used by the master only */
    struct admission_shared *shared;
};

struct admission *admission_create(void)
{
    struct admission *admission = calloc(1, sizeof(*admission));
    if (admission == NULL)
        return NULL;
    void *shared = mmap(NULL, sizeof(struct admission_shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    admission->shared = shared != MAP_FAILED ? shared : NULL;
    if (shared != MAP_FAILED && getrandom(&admission->secret, sizeof(admission->secret), 0) >= 0)
        return admission;
    admission_destroy(admission);
    return NULL;
}

void admission_destroy(struct admission *admission)
{
    if (admission == NULL)
        return;
    if (admission->shared != NULL)
        munmap(admission->shared, sizeof(struct admission_shared));
    free(admission);
}

bool admission_take_place(struct admission *admission, unsigned *place)
{
    for (unsigned i = 0; i < ADMISSION_PLACES; i++) {
        if (admission->taken[i])
            continue;
        admission->taken[i] = true;
        if (i >= admission->shared->used)
            __atomic_store_n(&admission->shared->used, i + 1, __ATOMIC_RELEASE);
        *place = i;
        return true;
    }
    return false;
}

/* Each counter has one writer, its worker, so that a load and a store suffice. Readers need no
 * order between counters: a bound may be passed by a few anyway. */
static void counter_add(uint32_t *counter, uint32_t n)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/* @param of_first the counter in the first row. @return its sum over the rows of all places */
static uint64_t counter_sum(const struct admission *admission, const uint32_t *of_first)
{
    const struct admission_row *rows = admission->shared->rows;
    unsigned used = __atomic_load_n(&admission->shared->used, __ATOMIC_ACQUIRE);
    size_t offset = (size_t)((const uint8_t *)of_first - (const uint8_t *)rows);
    uint64_t total = 0;
    for (unsigned i = 0; i < used; i++)
        total += __atomic_load_n(
            (const uint32_t *)(const void *)((const uint8_t *)&rows[i] + offset), __ATOMIC_RELAXED);
    return total;
}

/* Sets pass->at. @return false: the client has no address to count by */
static bool hash_address(const struct admission *admission, const struct sockaddr *address,
                         struct admission_pass *pass)
{
    uint8_t key[ADDRESS_KEY_MAX];
    size_t len = address_key(address, key);
    if (len == 0)
        return false;
    uint64_t hash = XXH3_64bits_withSeed(key, len, admission->secret);
    pass->at[0] = (uint32_t)hash % COUNTERS;
    pass->at[1] = (uint32_t)(hash >> 32) % COUNTERS;
    return true;
}

enum admission_result admission_enter(struct admission *admission, unsigned place,
                                      const struct admission_bounds *bounds,
                                      const struct sockaddr *address, struct admission_pass *pass)
{
    assert(place < ADMISSION_PLACES);
    const struct admission_row *first = &admission->shared->rows[0];
    struct admission_row *own = &admission->shared->rows[place];
    if (counter_sum(admission, &first->connections) >= bounds->connections)
        return ADMISSION_FULL;
    pass->counted = bounds->per_address != 0 && hash_address(admission, address, pass);
    if (pass->counted) {
        uint64_t a = counter_sum(admission, &first->by_address[0][pass->at[0]]);
        uint64_t b = counter_sum(admission, &first->by_address[1][pass->at[1]]);
        if (MIN(a, b) >= bounds->per_address)
            return ADMISSION_ADDRESS_FULL;
        counter_add(&own->by_address[0][pass->at[0]], 1);
        counter_add(&own->by_address[1][pass->at[1]], 1);
    }
    counter_add(&own->connections, 1);
    return ADMISSION_GRANTED;
}

void admission_leave(struct admission *admission, unsigned place, const struct admission_pass *pass)
{
    struct admission_row *own = &admission->shared->rows[place];
    assert(own->connections != 0);
    counter_add(&own->connections, UINT32_MAX); /* one less, modulo 2^32 */
    if (!pass->counted)
        return;
    counter_add(&own->by_address[0][pass->at[0]], UINT32_MAX);
    counter_add(&own->by_address[1][pass->at[1]], UINT32_MAX);
}

void admission_free_place(struct admission *admission, unsigned place)
{
    assert(place < ADMISSION_PLACES && admission->taken[place]);
    /* frees the row's memory; it reads as zeros from now on */
    madvise(&admission->shared->rows[place], sizeof(struct admission_row), MADV_REMOVE);
    admission->taken[place] = false;
}
