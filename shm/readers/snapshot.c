/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: a pin in the actor's slot names a version whose memory must stay.
 *
 * The pin is stored inside the online section that loaded `published`. Reclaim reads pins only
 * after a grace period that began when the block was retired. If the section began before the
 * retirement, reclaim waits until the actor is offline, and the release store of going offline has
 * shown it the pin. If the section began later, its `published` is at least the version of the
 * retiring commit (reclaim.c waits for that), and the snapshot needs no such block. The version is
 * stored before the count, with release: a process that sees the count sees the pin's version.
 * Snapshots of the same version share a pin.
 *
 * Reclaim gives bodies to a pin because of a look that may be old (readers.h), so a pin may get
 * bodies after it has ended, or at the moment when it is reused. `held_for` tells: a list made
 * for another version keeps nothing, and a `revoked` for another version has no effect.
 */
#include <assert.h>

#include "base/clock.h"
#include "shm/core/actor_handle.h"
#include "shm/core/grace.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/disk.h"
#include "shm/error.h"
#include "shm/store.h"

static void collect_free_pins(struct shm_actor *actor)
{
    for (unsigned i = SHM_PINS; i-- > 0;) {
        const struct shm_pin *pin = &actor->slot->pins[i];
        if (pin->count == 0 && __atomic_load_n(&pin->held, __ATOMIC_ACQUIRE) == NULL)
            actor->pin_free[actor->pins_free++] = (uint8_t)i;
    }
}

/* @param at the word of the control page that has the version */
static inline __attribute__((always_inline)) int
snapshot_begin(struct shm_actor *actor, struct shm_snapshot *snapshot, const uint64_t *at)
{
    shm_grace_online(actor);
    uint64_t version = __atomic_load_n(at, __ATOMIC_ACQUIRE);
#ifdef SHM_MUTANT_LATE_PIN
    shm_grace_offline(actor);
#endif
    SHM_POINT("version loaded");
    struct shm_pin *pin = &actor->slot->pins[actor->pin_last];
    if (pin->count == 0 || pin->version != version ||
        __atomic_load_n(&pin->revoked, __ATOMIC_RELAXED) != 0) {
        if (actor->pins_free == 0)
            collect_free_pins(actor);
        if (actor->pins_free == 0)
            return SHM_EPINS;
        actor->pin_last = actor->pin_free[--actor->pins_free];
        pin = &actor->slot->pins[actor->pin_last];
        __atomic_store_n(&pin->started, clock_monotonic_coarse_ms(),
                         __ATOMIC_RELAXED); /* verify may read it concurrently */
        __atomic_store_n(&pin->revoked, 0, __ATOMIC_RELAXED);
#ifndef SHM_MUTANT_COUNT_FIRST
        __atomic_store_n(&pin->version, version, __ATOMIC_RELAXED);
#endif
        if (actor->slot->pins_high <= actor->pin_last)
            __atomic_store_n(&actor->slot->pins_high, actor->pin_last + UINT64_C(1),
                             __ATOMIC_RELAXED);
    }
#ifndef SHM_MUTANT_COUNT_FIRST
    SHM_POINT("half pinned");
#endif
    __atomic_store_n(&pin->count, pin->count + 1, __ATOMIC_RELEASE);
#ifdef SHM_MUTANT_COUNT_FIRST
    SHM_POINT("half pinned");
    __atomic_store_n(&pin->version, version, __ATOMIC_RELAXED);
#endif
    snapshot->version = version;
    snapshot->seq = __atomic_load_n(&shm_control()->seq, __ATOMIC_RELAXED); /* after the version */
    snapshot->pin = actor->pin_last;
    return SHM_OK;
}

int shm_snapshot_begin(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    return snapshot_begin(actor, snapshot, &shm_control()->published);
}

int shm_snapshot_begin_newest(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    return snapshot_begin(actor, snapshot, &shm_control()->version);
}

void shm_snapshot_end(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    assert(snapshot->pin < SHM_PINS);
    struct shm_pin *pin = &actor->slot->pins[snapshot->pin];
#ifdef SHM_DEBUG_CHECKS
    assert(pin->count != 0 && pin->version == snapshot->version);
#endif
    __atomic_store_n(&pin->count, pin->count - 1, __ATOMIC_RELEASE);
    /* A pin whose list still has bodies becomes free when reclaim has emptied the list. */
    if (pin->count == 0 && __atomic_load_n(&pin->held, __ATOMIC_ACQUIRE) == NULL)
        actor->pin_free[actor->pins_free++] = (uint8_t)snapshot->pin;
}

bool shm_snapshot_revoked(const struct shm_actor *actor, const struct shm_snapshot *snapshot)
{
    return shm_is_revoked(actor, snapshot);
}
