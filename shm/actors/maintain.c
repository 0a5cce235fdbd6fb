/* SPDX-License-Identifier: MIT */
/* Housekeeping that runs concurrently with writers; each hold of the writer lock is short. */
#include "shm/core/actor_handle.h"
#include "shm/error.h"
#include "shm/readers/reclaim.h"
#include "shm/segment/grow.h"
#include "shm/store.h"
#include "shm/write/reserve.h"

enum {
    STEPS_A_LOOK = 1024,
    LOOKS = 4,
    BUSY_MS = 20,
    IDLE_MS = 500,
};

unsigned shm_maintain(struct shm_actor *actor)
{
    bool work = false;
    shm_actor_offline(actor); /* otherwise reclaim would wait for this actor */
    shm_actor_reap(actor->store);
    work = shm_reserve_reap(actor);
    for (int looks = 0; looks < LOOKS; looks++) {
        unsigned steps;
        int rc = shm_reclaim(actor, STEPS_A_LOOK, &steps);
        work =
            work || steps != 0 || rc == SHM_EBUSY; /* other processes write: there is more to do */
        if (rc != SHM_OK || steps == 0)
            break;
    }
    if (shm_grow_ahead(actor->store))
        work = true;
    return work ? BUSY_MS : IDLE_MS;
}
