/* SPDX-License-Identifier: MIT */
#include "shm/write/make_room.h"

#include "shm/core/actor_handle.h"
#include "shm/error.h"
#include "shm/readers/reclaim.h"
#include "shm/segment/grow.h"

enum { ROOM_STEPS = 64, ROOM_TRIES = 4 };

int shm_make_room(struct shm_actor *actor, unsigned *tries)
{
    int rc = shm_grow(actor->store);
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
