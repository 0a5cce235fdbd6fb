/* SPDX-License-Identifier: MIT */
/* Processes and tools join the segment, each in a slot, and leave it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/core/actor_handle.h"
#include "shm/core/fail.h"
#include "shm/core/grace.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/error.h"
#include "shm/readers/readers.h"
#include "shm/slots/slot.h"
#include "shm/store.h"
#include "shm/table/unique.h"
#include "shm/write/reserve.h"

static void actor_fill(struct shm_actor *actor, struct shm_store *store, unsigned i)
{
    actor->store = store;
    actor->number = i;
    actor->slot = shm_slot(i);
    /* Tables may move while a reading tool is attached, so it looks up the table each time. */
    actor->buckets = store->readonly ? NULL : shm_control()->ids.buckets;
    actor->bucket_mask = shm_control()->ids.count - 1;
    memcpy(actor->secret, shm_header()->secret, sizeof(actor->secret));
}

static void actor_free(struct shm_actor *actor)
{
    shm_unique_leave(actor);
    if (actor->readers != NULL)
        shm_readers_free(actor->readers);
    free(actor->readers);
    free(actor);
}

int shm_actor_join(struct shm_actor **out, struct shm_store *store, enum shm_actor_kind kind,
                   unsigned number, struct shm_fault *fault)
{
    unsigned i = 0;
    if (store->locked_out)
        return shm_fail(fault, SHM_EPERM, "segment %s: cannot join without the right to write it",
                        store->name);
    struct shm_actor *actor = aligned_alloc(SHM_LINE, shm_round_up(sizeof(*actor), SHM_LINE));
    if (actor == NULL)
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", store->name);
    memset(actor, 0, sizeof(*actor));
    int rc = shm_unique_join(actor);
    actor->readers = calloc(1, sizeof(*actor->readers));
    if (rc == SHM_OK && actor->readers == NULL)
        rc = SHM_ESYS;
    if (rc == SHM_OK)
        rc = shm_slot_find(store, &i);
    if (rc != SHM_OK) {
        actor_free(actor);
        return shm_fail(fault, rc, "segment %s: cannot join: %s", store->name, shm_strerror(rc));
    }
    actor_fill(actor, store, i);
    struct shm_slot *slot = actor->slot;
    __atomic_store_n(&slot->ctr, 0, __ATOMIC_RELEASE);
    slot->pid = (uint32_t)getpid();
    slot->kind = kind;
    slot->number = number;
    slot->started_at = (uint64_t)clock_real_s();
    __atomic_store_n(&slot->state, 1, __ATOMIC_RELEASE);
    shm_reserve_end(actor,
                    SHM_EINVAL); /* gives back the reserve of a dead process that had this slot */
    *out = actor;
    return SHM_OK;
}

void shm_actor_leave(struct shm_actor *actor)
{
    if (actor == NULL)
        return;
    shm_reserve_end(actor, SHM_EINVAL);
    shm_slot_leave(actor->slot);
    actor_free(actor);
}

void shm_actor_abandon(struct shm_actor *actor)
{
    actor_free(actor);
}

unsigned shm_actor_slot(const struct shm_actor *actor)
{
    return actor->number;
}

void shm_actor_online(struct shm_actor *actor)
{
    shm_grace_online(actor);
}

void shm_actor_offline(struct shm_actor *actor)
{
    shm_grace_offline(actor);
}
