/* SPDX-License-Identifier: MIT */
/*
 * The grace-period domain: when may memory that was unlinked be used again?
 *
 * State: `gp` in the control page, from 1, only growing, and `ctr` in each
 * slot: 0 while its process is offline, else the gp it saw when it went online.
 *
 * Reader: g = load-acquire(gp); xchg(ctr, g), a full barrier; reads; store-release(ctr, 0).
 * Retirer, under the writer lock: unlinks; token = gp + 1; store-release(gp, token).
 * Reclaimer, later: full barrier; for each slot load-acquire(ctr) is 0 or >= token: free.
 *
 * 1. ctr >= token: the reader's load of gp returned a value stored after the
 *    unlinking; acquire pairs with the retirer's release, so its reads come
 *    after the unlinking and cannot find the block.
 * 2. ctr == 0 because the reader went offline: its release store pairs with the
 *    reclaimer's acquire load, so all its reads happened before the free.
 * 3. ctr == 0 because the reader has not come online yet: its xchg and the
 *    reclaimer's barrier are both full. Either the reclaimer sees ctr, or the
 *    reader's later reads see the unlinking.
 * 4. ctr is old but not 0: the reader may hold the block; wait. It may also
 *    have gone offline and on again with a stale gp (the load was early): that
 *    errs on the side of waiting.
 *
 * Nobody waits in a loop for this: retired blocks carry their token and sit in
 * a queue that whoever comes next looks at. A dead process's ctr is cleared by
 * whoever finds its life mutex dead (slot.c).
 */
#ifndef ROSTERD_SHM_CORE_GRACE_H
#define ROSTERD_SHM_CORE_GRACE_H

#include <stdbool.h>

#include <urcu/uatomic.h>

#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/store.h"

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

static inline void shm_grace_offline(struct shm_actor *actor)
{
    if (!actor->online)
        return;
    actor->online = false;
    __atomic_store_n(&actor->slot->ctr, 0, __ATOMIC_RELEASE);
}

/* Visibility: a version's commit stores `version` last, with release; whoever
 * loads it with acquire finds every link and body of that commit. */
static inline uint64_t shm_version(void)
{
    return __atomic_load_n(&shm_control()->version, __ATOMIC_ACQUIRE);
}

/* It never changes, but shares its word with the state, which the log stores whole. */
static inline uint32_t shm_body_length(const struct shm_body *body)
{
    return __atomic_load_n(&body->length, __ATOMIC_RELAXED);
}

static inline bool shm_visible(uint64_t born, const uint64_t *died, uint64_t version)
{
    return born <= version && version < __atomic_load_n(died, __ATOMIC_RELAXED);
}

/* Inside an online section: shm_snapshot_revoked(), in line. The argument is reclaim.c's. A word
 * about another version's list is none about ours: hold() clears it before it says held_for. */
static inline bool shm_is_revoked(const struct shm_actor *actor,
                                  const struct shm_snapshot *snapshot)
{
    const struct shm_pin *pin = &actor->slot->pins[snapshot->pin];
    return __atomic_load_n(&pin->revoked, __ATOMIC_ACQUIRE) != 0 &&
           __atomic_load_n(&pin->held_for, __ATOMIC_ACQUIRE) == snapshot->version &&
           __atomic_load_n(&pin->revoked, __ATOMIC_RELAXED) != 0;
}

#endif
