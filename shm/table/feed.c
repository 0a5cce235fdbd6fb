/* SPDX-License-Identifier: MIT */
/*
 * Following the change feed, without a lock and without a writer's notice.
 * feed.h has the writers' half and numbers the ring's places.
 *
 * A commit writes its entries, then stores feed_head, then `version`, each store
 * with release and after the ones before it. A follower loads in the
 * opposite order:
 *
 * 1. `version` with acquire, then feed_head with acquire: so feed_head counts at least
 *    the entries of that version's commit, and each entry before it is written whole (the
 *    load pairs with the release store that counted it).
 *    It may count a later commit's, too, whose `version` is still to come and whose
 *    users no lookup shows yet: an entry of a later version is not reported. Versions
 *    never fall along the ring, so it is enough to stop there.
 * 2. The entry, by relaxed loads, which may meet a writer who is a round ahead and
 *    uses the place for entry n + SHM_FEED_SIZE.
 * 3. An acquire fence, then feed_head again. A load that saw such a scribble makes
 *    the fence pair with the release fence before it. That writer knew a feed_head
 *    which had made the place scratch, so we now see that one or a later one, more than
 *    KEPT after the entry, and drop the copy. Where feed_head is no
 *    more than KEPT after it, no load saw a scribble.
 *
 * A process may be stopped between any two of these, for as long as it likes: 3 holds all the same,
 * for feed_head only grows (in 64 bits, so it does not come round).
 */
#include "shm/table/feed.h"

#include <string.h>

#include "shm/core/grace.h"
#include "shm/core/test_points.h"
#include "shm/error.h"

/* How far feed_head may be ahead of an entry that is still whole. */
enum { KEPT = SHM_FEED_SIZE - SHM_BATCH_MAX };

static uint64_t feed_head(void)
{
    return __atomic_load_n(&shm_control()->feed_head, __ATOMIC_ACQUIRE);
}

/* Entry n < feed_head. @return SHM_OK, SHM_ERESYNC where its place has been used again */
static int copy_entry(uint64_t n, struct shm_change *change)
{
    const struct shm_feed_entry *entry = &shm_feed()[n % SHM_FEED_SIZE];
    const uint64_t *id = (const uint64_t *)(const void *)entry->id;
    uint64_t words[2];
    change->version = __atomic_load_n(&entry->version, __ATOMIC_RELAXED);
    change->kind = (enum shm_change_kind)__atomic_load_n(&entry->kind, __ATOMIC_RELAXED);
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
    if (version > shm_version())
        return SHM_ERESYNC;
    uint64_t high = feed_head();
    uint64_t low = high > KEPT ? high - KEPT : 0;
    bool whole = low == 0; /* nothing after `version` lies before `low` */
    while (low < high) {
        struct shm_change change;
        uint64_t middle = low + (high - low) / 2;
        int rc = copy_entry(middle, &change);
        if (rc == SHM_OK && change.version > version) {
            high = middle;
        } else { /* a lost one: so are all before it, what they were we cannot know */
            low = middle + 1;
            whole = rc == SHM_OK;
        }
    }
    follower->next = low;
    return whole ? SHM_OK : SHM_ERESYNC;
}

int shm_feed_next(struct shm_actor *actor, struct shm_follower *follower, struct shm_change *change)
{
    (void)actor;
    struct shm_change copy;
    uint64_t version = shm_version();
    uint64_t head = feed_head();
    if (follower->next == head)
        return SHM_ENOENT;
    if (follower->next > head) /* of another segment */
        return SHM_ERESYNC;
    if (copy_entry(follower->next, &copy) != SHM_OK)
        return SHM_ERESYNC;
    if (copy.version > version)
        return SHM_ENOENT;
    follower->next++;
    *change = copy;
    return SHM_OK;
}
