/* SPDX-License-Identifier: MIT */
/* Housekeeping that runs concurrently with writers; each hold of the writer lock is short. */
#include "shm/table/reserve.h"

enum {
    STEPS_A_LOOK = 1024,
    LOOKS = 4,
    ROOM_STEPS = 64,
    ROOM_TRIES = 4,
    BUSY_MS = 20,
    IDLE_MS = 500,
};

int shm_make_room(struct shm_actor *actor, unsigned *tries)
{
    int rc = shm_grow_unless_full(actor->store);
    if ((rc != SHM_ELIMIT && rc != SHM_ESPACE) || (*tries)++ == ROOM_TRIES)
        return rc;
    bool splits = !actor->txn.at_bound;
    unsigned steps;
    actor->txn.at_bound = true;
    int locked = shm_reclaim(actor, ROOM_STEPS, &steps);
    if (locked != SHM_OK)
        return locked;
    return steps != 0 || splits ? SHM_OK : rc;
}

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
