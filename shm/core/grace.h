/* SPDX-License-Identifier: MIT */
/*
 * Grace periods: when may memory that a writer has unlinked be used again?
 *
 * State: `gp` in the control page, which starts at 1 and only grows, and `ctr` in each slot: 0
 * while the slot's process is offline, else the gp that the process saw when it went online.
 *
 * Reader: g = load-acquire(gp); xchg(ctr, g), a full barrier; reads; store-release(ctr, 0).
 * Writer, under the writer lock: unlinks; token = gp + 1; store-release(gp, token).
 * Reclaimer, later: full barrier; if load-acquire(ctr) is 0 or >= token for each slot: frees.
 *
 * 1. ctr >= token: the reader's load of gp returned a value that was stored after the unlinking.
 *    The acquire load pairs with the writer's release store, so the reader's reads come after the
 *    unlinking and cannot find the block.
 * 2. ctr == 0 because the reader went offline: its release store pairs with the reclaimer's acquire
 *    load, so all its reads happened before the block is freed.
 * 3. ctr == 0 because the reader has not come online yet: its xchg and the reclaimer's barrier are
 *    both full barriers. Either the reclaimer sees the new ctr, or the reader's later reads see the
 *    unlinking.
 * 4. 0 < ctr < token: the reader may hold a pointer to the block, so the reclaimer does not free it
 *    yet. (The reader may also have gone offline and online again, with a stale gp because it
 *    loaded gp early. Then the block is kept longer than necessary, which is safe.)
 *
 * No process blocks until a grace period is over. Retired blocks carry their token and stay in a
 * queue, and the next process that reclaims checks them. If a process dies, the process that finds
 * the slot's life mutex dead clears ctr (slot.c).
 */
#ifndef ROSTERD_SHM_CORE_GRACE_H
#define ROSTERD_SHM_CORE_GRACE_H

#include <stdbool.h>

#include <urcu/uatomic.h>

#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/store.h"

/** Begins an online section, if the actor is offline. What the actor finds in the segment stays
 * until shm_grace_offline(). */
static inline void shm_grace_online(struct shm_actor *actor)
{
    if (actor->online)
        return;
    uint64_t gp = __atomic_load_n(&shm_control()->gp, __ATOMIC_ACQUIRE);
#ifdef SHM_MUTANT_PLAIN_ONLINE
    __atomic_store_n(&actor->slot->ctr, gp, __ATOMIC_RELEASE);
#else
    (void)uatomic_xchg(&actor->slot->ctr, gp);
#endif
    actor->online = true;
}

/** Ends the online section. Pointers into the segment are invalid from then on. */
static inline void shm_grace_offline(struct shm_actor *actor)
{
    if (!actor->online)
        return;
    actor->online = false;
    __atomic_store_n(&actor->slot->ctr, 0, __ATOMIC_RELEASE);
}

/** The newest version. A commit stores `version` last, with release: a reader that loads it with
 * acquire finds every link and body of that commit. */
static inline uint64_t shm_version(void)
{
    return __atomic_load_n(&shm_control()->version, __ATOMIC_ACQUIRE);
}

/** The length of a body in bytes. It never changes, but a commit may store its word at the same
 * time, because the state is in it: so it is loaded atomically. */
static inline uint32_t shm_body_length(const struct shm_body *body)
{
    return __atomic_load_n(&body->length, __ATOMIC_RELAXED);
}

/** The length of its second part in bytes; as shm_body_length(). */
static inline uint32_t shm_body_hidden(const struct shm_body *body)
{
#ifdef SHM_MUTANT_WIDE_HIDDEN
    return __atomic_load_n(&body->quarter[3], __ATOMIC_RELAXED);
#else
    return __atomic_load_n(&body->quarter[3], __ATOMIC_RELAXED) & ((1u << 12) - 1);
#endif
}

/** Whether the node took the place of an older node of its user. That never changes, but a commit
 * may store its word at the same time. */
static inline bool shm_node_renamed(const struct shm_node *node)
{
    return (__atomic_load_n(&node->state, __ATOMIC_RELAXED) & SHM_NODE_RENAMED) != 0;
}

/** Whether a version shows what was born in one commit and died in another. */
static inline bool shm_visible(uint64_t born, const uint64_t *died, uint64_t version)
{
    return born <= version && version < __atomic_load_n(died, __ATOMIC_RELAXED);
}

/** shm_snapshot_revoked(), in line; inside an online section. reclaim.c has the argument. A
 * `revoked` that is meant for another version of the pin does not count: log_held_for() of
 * reclaim.c clears it before it sets held_for to the pin's version. */
static inline bool shm_is_revoked(const struct shm_actor *actor,
                                  const struct shm_snapshot *snapshot)
{
    const struct shm_pin *pin = &actor->slot->pins[snapshot->pin];
    return __atomic_load_n(&pin->revoked, __ATOMIC_ACQUIRE) != 0 &&
           __atomic_load_n(&pin->held_for, __ATOMIC_ACQUIRE) == snapshot->version &&
           __atomic_load_n(&pin->revoked, __ATOMIC_RELAXED) != 0;
}

#endif
