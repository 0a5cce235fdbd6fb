/* SPDX-License-Identifier: MIT */
#include "server/worker/admission.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <xxhash.h>

enum { COUNTERS = 65536 }; /* of each set */

/* Only its worker writes it, and nobody else but the master after its death. */
struct row {
    _Alignas(4096) uint32_t connections;
    uint32_t by_address[2][COUNTERS]; /* touched as far as it is used */
};

/* What all processes share. */
struct shared {
    _Alignas(4096) unsigned used; /* places from here on were never taken */
    struct row rows[ADMISSION_PLACES];
};

struct admission {
    uint64_t secret;
    bool taken[ADMISSION_PLACES]; /* the master's */
    struct shared *shared;
};

struct admission *admission_create(void)
{
    struct admission *admission = calloc(1, sizeof(*admission));
    if (admission == NULL)
        return NULL;
    void *shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared == MAP_FAILED || getrandom(&admission->secret, sizeof(admission->secret), 0) < 0) {
        free(admission);
        return NULL;
    }
    admission->shared = shared;
    return admission;
}

void admission_destroy(struct admission *admission)
{
    if (admission == NULL)
        return;
    munmap(admission->shared, sizeof(struct shared));
    free(admission);
}

int admission_place(struct admission *admission)
{
    for (unsigned i = 0; i < ADMISSION_PLACES; i++) {
        if (admission->taken[i])
            continue;
        admission->taken[i] = true;
        if (i >= admission->shared->used)
            __atomic_store_n(&admission->shared->used, i + 1, __ATOMIC_RELEASE);
        return (int)i;
    }
    return -1;
}

static void add(uint32_t *counter, uint32_t n)
{
    /* one writer: see the top of the header */
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static uint64_t sum(const struct admission *admission, const uint32_t *of_first)
{
    const struct row *rows = admission->shared->rows;
    unsigned used = __atomic_load_n(&admission->shared->used, __ATOMIC_ACQUIRE);
    size_t offset = (size_t)((const uint8_t *)of_first - (const uint8_t *)rows);
    uint64_t total = 0;
    for (unsigned i = 0; i < used; i++)
        total += __atomic_load_n(
            (const uint32_t *)(const void *)((const uint8_t *)&rows[i] + offset), __ATOMIC_RELAXED);
    return total;
}

/* What of an address counts: all of an IPv4 one, also where a socket for both families has it as
 * ::ffff:192.0.2.1, whose first half all such clients share. @return its bytes, 0: it has none */
static size_t address_key(const struct sockaddr *address, uint8_t key[8])
{
    const struct sockaddr_in *in = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;
    if (address->sa_family == AF_INET) {
        memcpy(key, &in->sin_addr, sizeof(in->sin_addr));
        return sizeof(in->sin_addr);
    }
    if (address->sa_family != AF_INET6)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        memcpy(key, &in6->sin6_addr.s6_addr[12], sizeof(in->sin_addr));
        return sizeof(in->sin_addr);
    }
    memcpy(key, &in6->sin6_addr, 8);
    return 8;
}

/* @return false: it has none that counts */
static bool hash_address(const struct admission *admission, const struct sockaddr *address,
                         struct admission_pass *pass)
{
    uint8_t key[8];
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
    const struct row *first = &admission->shared->rows[0];
    struct row *own = &admission->shared->rows[place];
    if (sum(admission, &first->connections) >= bounds->connections)
        return ADMISSION_FULL;
    pass->counted = bounds->per_address != 0 && hash_address(admission, address, pass);
    if (pass->counted) {
        uint64_t a = sum(admission, &first->by_address[0][pass->at[0]]);
        uint64_t b = sum(admission, &first->by_address[1][pass->at[1]]);
        if ((a < b ? a : b) >= bounds->per_address)
            return ADMISSION_ADDRESS_FULL;
        add(&own->by_address[0][pass->at[0]], 1);
        add(&own->by_address[1][pass->at[1]], 1);
    }
    add(&own->connections, 1);
    return ADMISSION_GRANTED;
}

void admission_leave(struct admission *admission, unsigned place, const struct admission_pass *pass)
{
    struct row *own = &admission->shared->rows[place];
    add(&own->connections, UINT32_MAX);
    if (!pass->counted)
        return;
    add(&own->by_address[0][pass->at[0]], UINT32_MAX);
    add(&own->by_address[1][pass->at[1]], UINT32_MAX);
}

void admission_forget(struct admission *admission, unsigned place)
{
    /* gives the memory back, and it reads as zeros */
    madvise(&admission->shared->rows[place], sizeof(struct row), MADV_REMOVE);
    admission->taken[place] = false;
}
