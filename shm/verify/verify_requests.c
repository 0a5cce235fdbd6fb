/* SPDX-License-Identifier: MIT */
/* The requests that were done: each valid entry, and that its chain leads to it. */
#include "shm/verify/verify_requests.h"

#include <stdlib.h>

#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/table/requests.h"

static bool entry_is_sound(const struct verify *v, const struct shm_request_entry *entry,
                           uint64_t last)
{
    return entry->check == shm_check_request(entry) && entry->version > last &&
           entry->version <= v->control->version;
}

/* Whether the chain goes on from entry n with `before`, 1 plus the number of the one before it; 0:
 * that one is older than `first`, or there is none. */
static bool chain_goes_on(uint64_t n, uint64_t back, uint64_t before, uint64_t first)
{
    if (before != 0)
        return back == n + 1 - before;
    return back == 0 || back > n || n - back < first;
}

/* @param newest receives the head of each chain, as the entries say */
static void check_entries(struct verify *v, const struct shm_request_entry *entries,
                          uint64_t *newest)
{
    uint64_t count = v->control->requests.count, first = shm_requests_first(count), last = 0;
    for (uint64_t n = first; n < count; n++) {
        const struct shm_request_entry *entry = &entries[n % SHM_REQUESTS_SIZE];
        uint64_t *head = &newest[shm_hash_id(v->header, entry->id) % SHM_REQUESTS_SIZE];
        if (!entry_is_sound(v, entry, last) || !chain_goes_on(n, entry->back, *head, first)) {
            verify_fault(v, "the entry of request %llu is wrong", (unsigned long long)n);
            return;
        }
        *head = n + 1;
        last = entry->version;
    }
}

static void check_heads(struct verify *v, const uint64_t *heads, const uint64_t *newest)
{
    uint64_t first = shm_requests_first(v->control->requests.count);
    for (unsigned i = 0; i < SHM_REQUESTS_SIZE; i++)
        if (newest[i] != 0 ? heads[i] != newest[i] : heads[i] > first) {
            verify_fault(v, "chain %u of the requests is wrong", i);
            return;
        }
}

bool verify_requests(struct verify *v)
{
    const struct shm_requests *requests = &v->control->requests;
    if (requests->entries == NULL) {
        if (requests->count != 0)
            verify_fault(v, "there are %llu requests without memory",
                         (unsigned long long)requests->count);
        return true;
    }
    const struct shm_request_entry *entries =
        verify_at(v, requests->entries, SHM_REQUESTS_BYTES, SHM_EXTENT);
    if (entries == NULL || requests->count > v->control->version ||
        !verify_mark(v, &v->sum, requests->entries, SHM_REQUESTS_BYTES)) {
        verify_fault(v, "the place or the number of the requests is wrong");
        return true;
    }
    v->sum.bytes_tables += SHM_REQUESTS_BYTES;
    uint64_t *newest = calloc(SHM_REQUESTS_SIZE, sizeof(*newest));
    if (newest == NULL)
        return false;
    check_entries(v, entries, newest);
    check_heads(v, (const uint64_t *)(const void *)(entries + SHM_REQUESTS_SIZE), newest);
    free(newest);
    return true;
}
