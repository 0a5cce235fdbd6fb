/* SPDX-License-Identifier: MIT */
/* Housekeeping beside the writers; each hold of the lock is short. */
#include "config.h"

#include "shm/internal.h"

enum {
    STEPS_A_HOLD = 64,
    HOLDS = 64,
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
    actor->txn.at_bound = true;
    int locked = shm_writer_lock(actor->store);
    if (locked != SHM_OK)
        return locked;
    unsigned steps = shm_reclaim(actor, STEPS_A_HOLD);
    shm_writer_unlock();
    return steps != 0 || splits ? SHM_OK : rc;
}

unsigned shm_maintain(struct shm_actor *actor)
{
    const struct shm_control *control = shm_control();
    bool work = false;
    shm_actor_offline(actor); /* or we would wait for ourselves */
    shm_actor_reap(actor->store);
    for (int holds = 0; holds < HOLDS; holds++) {
        if (__atomic_load_n(&control->retired.count, __ATOMIC_RELAXED) == 0 &&
            __atomic_load_n(&control->unlinked.count, __ATOMIC_RELAXED) == 0 &&
            __atomic_load_n(&control->held_count, __ATOMIC_RELAXED) == 0)
            break;
        if (shm_writer_lock(actor->store) != SHM_OK)
            break;
        unsigned steps = shm_reclaim(actor, STEPS_A_HOLD);
        shm_writer_unlock();
        work = work || steps != 0;
        if (steps < STEPS_A_HOLD)
            break;
    }
    if (shm_grow_ahead(actor->store))
        work = true;
    return work ? BUSY_MS : IDLE_MS;
}
