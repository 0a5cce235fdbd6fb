/* SPDX-License-Identifier: MIT */
#include "shm/table/requests.h"

#include <string.h>

#include "shm/core/actor_handle.h"
#include "shm/core/alloc.h"
#include "shm/core/dirty.h"
#include "shm/core/hash.h"
#include "shm/core/publication.h"
#include "shm/core/store_handle.h"
#include "shm/core/txn.h"
#include "shm/core/writer_lock.h"
#include "shm/disk.h"
#include "shm/error.h"

enum { ENTRY_WORDS = 8 };
_Static_assert(sizeof(struct shm_request_entry) == ENTRY_WORDS * sizeof(uint64_t), "whole words");

static struct shm_request_entry *request_at(uint64_t n)
{
    return &shm_control()->requests.entries[n % SHM_REQUESTS_SIZE];
}

static uint64_t *chain_of(const struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE])
{
    uint64_t hash = shm_hash_keyed(actor->secret, id);
    return &shm_requests_heads(shm_control()->requests.entries)[hash % SHM_REQUESTS_SIZE];
}

static void take_entry(struct shm_request *request, const struct shm_request_entry *entry)
{
    memcpy(request->id, entry->id, sizeof(request->id));
    memcpy(request->user, entry->user, sizeof(request->user));
    request->version = entry->version;
    request->time = entry->time;
    request->fingerprint = entry->fingerprint;
}

/* ---- writers ---- */

/* A clock that was set back makes no request older. */
static bool counts_at(const struct shm_request_entry *entry, uint64_t now)
{
#ifdef SHM_MUTANT_REQUEST_PUBLISHED
    if (entry->version > shm_published_version())
        return false;
#endif
    return now < entry->time || now - entry->time < SHM_REQUEST_SECONDS;
}

/* The newest entry with this id, if it counts. Under the writer lock.
 * @return NULL: there is none */
static const struct shm_request_entry *find_request(const struct shm_actor *actor,
                                                    const struct shm_request *request)
{
    const struct shm_requests *requests = &shm_control()->requests;
    if (requests->entries == NULL)
        return NULL;
    uint64_t first = shm_requests_first(requests->count);
    for (uint64_t next = *chain_of(actor, request->id); next > first;) {
        const struct shm_request_entry *entry = request_at(next - 1);
        if (memcmp(entry->id, request->id, sizeof(entry->id)) == 0)
            return counts_at(entry, request->time) ? entry : NULL;
        if (entry->back == 0 || entry->back >= next)
            break;
        next -= entry->back;
    }
    return NULL;
}

/* A transaction of its own: a death behind it leaves requests without an entry. */
static int make_requests(struct shm_actor *actor)
{
    struct shm_txn *txn = &actor->txn;
    shm_txn_begin(txn);
    uint64_t at = shm_alloc_extents(txn, SHM_REQUESTS_BYTES);
    if (at == 0)
        return SHM_ESPACE;
    struct shm_request_entry *entries = (struct shm_request_entry *)(uintptr_t)at;
    uint64_t *heads = shm_requests_heads(entries);
    if (txn->tracked)
        shm_dirty_mark(heads, SHM_REQUESTS_SIZE * sizeof(*heads));
    memset(heads, 0,
           SHM_REQUESTS_SIZE * sizeof(*heads)); /* a write that failed may have been here */
    shm_txn_pointer(txn, &shm_control()->requests.entries, entries);
    shm_txn_seal(txn, 0);
    shm_txn_apply(txn);
    return SHM_OK;
}

int shm_requests_admit(struct shm_actor *actor, struct shm_request *request,
                       struct shm_conflict *conflict)
{
    const struct shm_request_entry *entry = find_request(actor, request);
    if (entry != NULL) {
        take_entry(request, entry);
        conflict->version = entry->version;
        return SHM_EREPEAT;
    }
    return shm_control()->requests.entries == NULL ? make_requests(actor) : SHM_OK;
}

/* Fills entry n, which nobody reads before it is counted. */
static void write_entry(uint64_t n, const struct shm_request *request, const uint8_t *user,
                        uint64_t version, uint64_t head)
{
    struct shm_request_entry entry = {
        .version = version, .time = request->time, .fingerprint = request->fingerprint};
    uint64_t words[ENTRY_WORDS], *to = (uint64_t *)(void *)request_at(n);
    memcpy(entry.id, request->id, sizeof(entry.id));
    memcpy(entry.user, user, sizeof(entry.user));
    if (head > shm_requests_first(n))
        entry.back = (uint32_t)(n + 1 - head);
    entry.check = shm_check_request(&entry);
    memcpy(words, &entry, sizeof(entry));
    __atomic_thread_fence(__ATOMIC_RELEASE); /* as shm_feed_write() */
    for (unsigned i = 0; i < ENTRY_WORDS; i++)
        __atomic_store_n(&to[i], words[i], __ATOMIC_RELAXED);
}

void shm_requests_log(struct shm_actor *actor, const struct shm_request *request,
                      const uint8_t user[SHM_ID_SIZE], uint64_t version)
{
    const struct shm_requests *requests = &shm_control()->requests;
    struct shm_txn *txn = &actor->txn;
    uint64_t n = requests->count;
    uint64_t *head = chain_of(actor, request->id);
    if (txn->tracked)
        shm_dirty_mark(request_at(n), sizeof(struct shm_request_entry));
    write_entry(n, request, user, version, *head);
#ifdef SHM_MUTANT_REQUEST_APART
    *head = n + 1;
    shm_control()->requests.count = n + 1;
#else
    shm_txn_word(txn, head, n + 1);
    shm_txn_word(txn, &requests->count, n + 1);
#endif
}

int shm_request_find(struct shm_actor *actor, struct shm_request *request)
{
    if (actor->store->readonly)
        return SHM_EINVAL;
    int rc = shm_writer_lock(actor->store);
    if (rc != SHM_OK)
        return rc;
    const struct shm_request_entry *entry = find_request(actor, request);
    if (entry != NULL)
        take_entry(request, entry);
    shm_writer_unlock();
    return entry != NULL ? SHM_OK : SHM_ENOENT;
}

/* ---- the journal ---- */

static uint64_t noted(void)
{
    return __atomic_load_n(&shm_control()->requests.count, __ATOMIC_ACQUIRE);
}

/* Copies entry n, which was counted. @return false: it has been overwritten */
static bool copy_request(uint64_t n, struct shm_request_entry *entry)
{
    const uint64_t *from = (const uint64_t *)(const void *)request_at(n);
    uint64_t words[ENTRY_WORDS];
    for (unsigned i = 0; i < ENTRY_WORDS; i++)
        words[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    memcpy(entry, words, sizeof(*entry));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return n >= shm_requests_first(noted());
}

void shm_requests_follow(const struct shm_store *store, struct shm_request_place *place,
                         uint64_t version)
{
    struct shm_request_entry entry;
    (void)store;
    place->next = noted();
    while (place->next > 0 && copy_request(place->next - 1, &entry) && entry.version > version)
        place->next--;
}

int shm_requests_next(struct shm_request_place *place, uint64_t version,
                      struct shm_request *request)
{
    struct shm_request_entry entry;
    if (place->next >= noted())
        return SHM_ENOENT;
    if (!copy_request(place->next, &entry))
        return SHM_ERESYNC;
    if (entry.version > version)
        return SHM_ENOENT;
    place->next++;
    take_entry(request, &entry);
    return SHM_OK;
}
