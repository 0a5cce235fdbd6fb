/* SPDX-License-Identifier: MIT */
/*
 * Following the change feed, without a lock and without any effect on writers. feed.h describes the
 * writers' half and the numbering of entries.
 *
 * A commit writes its entries, then stores feed_head, then `version`, each store with release and
 * after the previous ones. A follower loads in the opposite order:
 *
 * 1. `published` (or `version`) with acquire, then feed_head with acquire. feed_head then counts at
 * least the entries of that version's commit, and each entry before it is complete (the load pairs
 * with the release store that counted the entry). feed_head may also count later commits, whose
 * users no lookup shows yet: an entry of a later version is not reported. Versions never decrease
 * along the ring, so it is sufficient to stop there.
 * 2. The entry, by relaxed loads. They may meet a writer that is one round ahead and uses the index
 *    for entry n + SHM_FEED_SIZE.
 * 3. An acquire fence, then feed_head again. If a load saw a store of such a writer, the fence
 * pairs with the release fence before that store. The writer had seen a feed_head that made the
 * entry scratch, so this load returns that value or a later one, more than KEPT after the entry,
 * and the copy is dropped. If feed_head is at most KEPT after the entry, no load saw such a store.
 *
 * A process may be stopped between any two of these steps, for any time. Step 3 is still correct,
 * because feed_head only grows (in 64 bits, so it does not wrap around).
 */
#include "shm/table/feed.h"

#include <string.h>

#include "shm/core/grace.h"
#include "shm/core/publication.h"
#include "shm/core/test_points.h"
#include "shm/disk.h"
#include "shm/error.h"

/* How far feed_head may be ahead of a valid entry. */
enum { KEPT = SHM_FEED_SIZE - SHM_BATCH_MAX };

static uint64_t feed_head(void)
{
    return __atomic_load_n(&shm_control()->feed_head, __ATOMIC_ACQUIRE);
}

/* Copies entry n < feed_head. @return SHM_OK, SHM_ERESYNC (the entry has been overwritten) */
static int copy_entry(uint64_t n, struct shm_change *change)
{
    const struct shm_feed_entry *entry = &shm_feed()[n % SHM_FEED_SIZE];
    const uint64_t *id = (const uint64_t *)(const void *)entry->id;
    uint64_t words[2];
    change->version = __atomic_load_n(&entry->version, __ATOMIC_RELAXED);
    uint64_t what = __atomic_load_n(&entry->what, __ATOMIC_RELAXED);
    change->kind = (enum shm_change_kind)(what % SHM_FEED_KINDS);
    change->seq = what / SHM_FEED_KINDS;
    words[0] = __atomic_load_n(&id[0], __ATOMIC_RELAXED);
    SHM_POINT("half copied");
    words[1] = __atomic_load_n(&id[1], __ATOMIC_RELAXED);
    memcpy(change->id, words, sizeof(words));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#ifdef SHM_MUTANT_UNCHECKED_FEED
    return SHM_OK;
#else
    return feed_head() - n <= KEPT ? SHM_OK : SHM_ERESYNC;
#endif
}

int shm_feed_follow(struct shm_actor *actor, struct shm_follower *follower, uint64_t version)
{
    (void)actor; /* the feed needs no slot, only the mapping */
    const struct shm_control *control = shm_control();
    if (version > shm_version() || version < control->feed_from)
        return SHM_ERESYNC;
    uint64_t high = feed_head();
    uint64_t low = high > KEPT ? high - KEPT : 0;
    if (low < control->feed_first)
        low = control->feed_first;
    bool whole = low == control->feed_first; /* no change after `version` lies before `low` */
    while (low < high) {
        struct shm_change change;
        uint64_t middle = low + (high - low) / 2;
        int rc = copy_entry(middle, &change);
        if (rc == SHM_OK && change.version > version) {
            high = middle;
        } else { /* if this entry is lost, so are all before it, and their versions are unknown */
            low = middle + 1;
            whole = rc == SHM_OK;
        }
    }
    follower->next = low;
    return whole ? SHM_OK : SHM_ERESYNC;
}

uint64_t shm_feed_oldest(const struct shm_store *store)
{
    (void)store;
    const struct shm_control *control = shm_control();
    struct shm_change change;
    uint64_t head = feed_head();
    if (head - control->feed_first <= KEPT)
        return control->feed_from;
    /* The oldest entry's commit may have begun before it. A commit that overwrites the entry now
     * needs some time for the next KEPT. */
    for (uint64_t low = head - KEPT; low < head; low++)
        if (copy_entry(low, &change) == SHM_OK)
            return change.version;
    return shm_version();
}

uint64_t shm_feed_rebuilt_until(const struct shm_store *store)
{
    (void)store;
    return __atomic_load_n(&shm_control()->feed_rebuilt, __ATOMIC_RELAXED);
}

int shm_feed_next_until(struct shm_follower *follower, uint64_t version, struct shm_change *change)
{
    struct shm_change copy;
    uint64_t head = feed_head();
    if (follower->next == head)
        return SHM_ENOENT;
    /* the follower's position is from another segment */
    if (follower->next > head || follower->next < shm_control()->feed_first)
        return SHM_ERESYNC;
    if (copy_entry(follower->next, &copy) != SHM_OK)
        return SHM_ERESYNC;
    if (copy.version > version)
        return SHM_ENOENT;
    follower->next++;
    *change = copy;
    return SHM_OK;
}

int shm_feed_next(struct shm_actor *actor, struct shm_follower *follower, struct shm_change *change)
{
    (void)actor;
    return shm_feed_next_until(follower, shm_published_version(), change);
}
