/* SPDX-License-Identifier: MIT */
#include "server/admission.h"

#include <netinet/in.h>
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

struct admission {
    unsigned workers;
    uint64_t max, per_address, secret;
    struct row *rows;
};

struct admission *admission_create(unsigned workers, uint64_t max, uint64_t per_address)
{
    struct admission *admission = calloc(1, sizeof(*admission));
    if (admission == NULL)
        return NULL;
    admission->workers = workers;
    admission->max = max;
    admission->per_address = per_address;
    void *rows = mmap(NULL, workers * sizeof(struct row), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rows == MAP_FAILED || getrandom(&admission->secret, sizeof(admission->secret), 0) < 0) {
        free(admission);
        return NULL;
    }
    admission->rows = rows;
    return admission;
}

void admission_destroy(struct admission *admission)
{
    if (admission == NULL)
        return;
    munmap(admission->rows, admission->workers * sizeof(struct row));
    free(admission);
}

static void add(uint32_t *counter, uint32_t n)
{
    /* one writer: see the top of the header */
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static uint64_t sum(const struct admission *admission, const uint32_t *of_first)
{
    size_t offset = (size_t)((const uint8_t *)of_first - (const uint8_t *)admission->rows);
    uint64_t total = 0;
    for (unsigned i = 0; i < admission->workers; i++)
        total += __atomic_load_n(
            (const uint32_t *)(const void *)((const uint8_t *)&admission->rows[i] + offset),
            __ATOMIC_RELAXED);
    return total;
}

/* @return false: it has none that counts */
static bool place(const struct admission *admission, const struct sockaddr *address,
                  struct admission_pass *pass)
{
    uint8_t key[8];
    size_t len;
    if (address->sa_family == AF_INET) {
        len = sizeof(struct in_addr);
        memcpy(key, &((const struct sockaddr_in *)(const void *)address)->sin_addr, len);
    } else if (address->sa_family == AF_INET6) {
        len = 8;
        memcpy(key, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, len);
    } else {
        return false;
    }
    uint64_t hash = XXH3_64bits_withSeed(key, len, admission->secret);
    pass->at[0] = (uint32_t)hash % COUNTERS;
    pass->at[1] = (uint32_t)(hash >> 32) % COUNTERS;
    return true;
}

enum admission_result admission_enter(struct admission *admission, unsigned worker,
                                      const struct sockaddr *address, struct admission_pass *pass)
{
    const struct row *first = &admission->rows[0];
    struct row *own = &admission->rows[worker];
    if (sum(admission, &first->connections) >= admission->max)
        return ADMISSION_FULL;
    pass->counted = admission->per_address != 0 && place(admission, address, pass);
    if (pass->counted) {
        uint64_t a = sum(admission, &first->by_address[0][pass->at[0]]);
        uint64_t b = sum(admission, &first->by_address[1][pass->at[1]]);
        if ((a < b ? a : b) >= admission->per_address)
            return ADMISSION_ADDRESS_FULL;
        add(&own->by_address[0][pass->at[0]], 1);
        add(&own->by_address[1][pass->at[1]], 1);
    }
    add(&own->connections, 1);
    return ADMISSION_GRANTED;
}

void admission_leave(struct admission *admission, unsigned worker,
                     const struct admission_pass *pass)
{
    struct row *own = &admission->rows[worker];
    add(&own->connections, UINT32_MAX);
    if (!pass->counted)
        return;
    add(&own->by_address[0][pass->at[0]], UINT32_MAX);
    add(&own->by_address[1][pass->at[1]], UINT32_MAX);
}

void admission_forget(struct admission *admission, unsigned worker)
{
    /* gives the memory back, and it reads as zeros */
    madvise(&admission->rows[worker], sizeof(struct row), MADV_REMOVE);
}
