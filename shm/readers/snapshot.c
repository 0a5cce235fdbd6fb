/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: a pin in our slot says which version's memory must stay.
 *
 * The pin is stored inside the online section that loaded `version`, and the
 * reclaimer reads pins only after a grace period that began when it retired the
 * block: either our section began before the retirement, then it waits until we
 * are offline and our release store has shown it the pin; or it began after,
 * then our `version` is at least the retiring commit's and needs no such block.
 * version is stored before count, with release: a pin whose count is seen has
 * its version. Snapshots of one version share a pin.
 *
 * Reclaim hands bodies to a pin by what it saw some time ago (readers.h), so a pin may get some
 * when it has ended, or when it has begun anew in the same moment. `held_for` tells: what it
 * holds for another version keeps nothing, and a `revoked` for another version means nothing.
 */
#include <assert.h>

#include "base/clock.h"
#include "shm/core/actor_handle.h"
#include "shm/core/grace.h"
#include "shm/core/layout.h"
#include "shm/core/test_points.h"
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

int shm_snapshot_begin(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    shm_grace_online(actor);
    uint64_t version = shm_version();
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
                         __ATOMIC_RELAXED); /* a verify may look */
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
    snapshot->pin = actor->pin_last;
    return SHM_OK;
}

void shm_snapshot_end(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    assert(snapshot->pin < SHM_PINS);
    struct shm_pin *pin = &actor->slot->pins[snapshot->pin];
#ifdef SHM_DEBUG_CHECKS
    assert(pin->count != 0 && pin->version == snapshot->version);
#endif
    __atomic_store_n(&pin->count, pin->count - 1, __ATOMIC_RELEASE);
    /* a pin that still holds retired blocks is free when a reclaim has taken them */
    if (pin->count == 0 && __atomic_load_n(&pin->held, __ATOMIC_ACQUIRE) == NULL)
        actor->pin_free[actor->pins_free++] = (uint8_t)snapshot->pin;
}

bool shm_snapshot_revoked(const struct shm_actor *actor, const struct shm_snapshot *snapshot)
{
    return shm_is_revoked(actor, snapshot);
}
