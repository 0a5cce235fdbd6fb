/* SPDX-License-Identifier: MIT */
/*
 * Slots: the place of a process in the segment. The life mutex of a slot is robust and is held from
 * join to leave. The death of the process shows as EOWNERDEAD to any process that tries the mutex,
 * whether or not the pid is reused; a stopped process keeps the mutex. The process that gets
 * EOWNERDEAD clears everything that the dead process left in the slot, before it makes the mutex
 * consistent: if it dies in between, the mutex is dead again.
 *
 * Memory for slots is allocated in steps, under the writer lock. The pages are allocated and
 * initialised first; then slots_ready moves past them by a transaction, so no process touches a
 * slot without memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "shm/core/grace.h"
#include "shm/core/log.h"
#include "shm/readers/readers.h"
#include "shm/table/reserve.h"
#include "shm/table/unique.h"

void shm_slots_init(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        memset(shm_slot(i), 0, sizeof(struct shm_slot));
        (void)shm_mutex_init(&shm_slot(i)->life); /* cannot fail on Linux */
    }
}

/* Clears what the slot's last process held. Bodies in the lists of its pins stay there until
 * reclaim looks: a pin with a count of 0 keeps nothing. */
static void clear(struct shm_slot *slot)
{
    for (unsigned i = 0; i < SHM_PINS; i++)
        __atomic_store_n(&slot->pins[i].count, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->ctr, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->state, 0, __ATOMIC_RELEASE);
    uint64_t tracker =
        UINT64_C(1) + (uint64_t)(slot - shm_slot(0)); /* ends a verify of that process: dirty.h */
    (void)__atomic_compare_exchange_n(&shm_control()->tracker, &tracker, 0, false, __ATOMIC_RELEASE,
                                      __ATOMIC_RELAXED);
}

/* Tries to take the slot; *dead tells whether a process had died in it. @return whether the caller
 * has the slot now */
static bool try_slot(struct shm_slot *slot, bool *dead)
{
    int rc = pthread_mutex_trylock(&slot->life);
    *dead = rc == EOWNERDEAD;
    if (*dead) {
        clear(slot);
        pthread_mutex_consistent(&slot->life);
    }
    return rc == 0 || *dead;
}

bool shm_slot_take(struct shm_slot *slot)
{
    bool dead;
    return try_slot(slot, &dead);
}

void shm_slot_give(struct shm_slot *slot)
{
    pthread_mutex_unlock(&slot->life);
}

bool shm_slot_dead(struct shm_slot *slot)
{
#ifdef SHM_MUTANT_NO_REAP
    (void)slot;
    return false;
#else
    bool dead;
    if (!try_slot(slot, &dead))
        return false;
    pthread_mutex_unlock(&slot->life);
    return true;
#endif
}

unsigned shm_slots_ready(void)
{
    uint64_t ready = __atomic_load_n(&shm_control()->slots_ready, __ATOMIC_ACQUIRE);
    return ready < SHM_SLOTS ? (unsigned)ready : SHM_SLOTS;
}

static int make_slots(struct shm_store *store, unsigned ready)
{
    struct shm_txn txn;
    int rc = SHM_EBUSY;
    for (int tries = 0; rc == SHM_EBUSY && tries < 1000; tries++) {
        rc = shm_writer_lock(store);
        if (rc == SHM_EBUSY)
            usleep(1000); /* a join may take longer than a write */
    }
    if (rc != SHM_OK)
        return rc;
    if (shm_slots_ready() == ready && ready < SHM_SLOTS) {
        unsigned to = ready + SHM_SLOTS_STEP;
        /* Does not check the control groups' limits: the margin is for slots (room.c). */
        rc = shm_file_fallocate(store->fd, SHM_SLOTS_AT + ready * sizeof(struct shm_slot),
                                SHM_SLOTS_STEP * sizeof(struct shm_slot), NULL);
        if (rc == SHM_OK) {
            shm_slots_init(ready, to);
            shm_txn_begin(&txn);
            shm_txn_word(&txn, &shm_control()->slots_ready, to);
            shm_txn_seal(&txn, 0);
            shm_txn_apply(&txn);
        }
    }
    shm_writer_unlock();
    return rc;
}

static int find_slot(struct shm_store *store, unsigned *number)
{
    bool dead;
    unsigned from = 0;
    for (;;) {
        unsigned ready = shm_slots_ready();
        for (; from < ready; from++)
            if (try_slot(shm_slot(from), &dead)) {
                *number = from;
                return SHM_OK;
            }
        if (ready == SHM_SLOTS)
            return SHM_ESLOTS;
        int rc = make_slots(store, ready);
        if (rc != SHM_OK)
            return rc;
    }
}

static void fill(struct shm_actor *actor, struct shm_store *store, unsigned i)
{
    actor->store = store;
    actor->number = i;
    actor->slot = shm_slot(i);
    /* Tables may move while a reading tool is attached, so it looks up the table each time. */
    actor->buckets = store->readonly ? NULL : shm_control()->ids.buckets;
    actor->bucket_mask = shm_control()->ids.count - 1;
    memcpy(actor->secret, shm_header()->secret, sizeof(actor->secret));
}

static void forget(struct shm_actor *actor)
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
        rc = find_slot(store, &i);
    if (rc != SHM_OK) {
        forget(actor);
        return shm_fail(fault, rc, "segment %s: cannot join: %s", store->name, shm_strerror(rc));
    }
    fill(actor, store, i);
    struct shm_slot *slot = actor->slot;
    __atomic_store_n(&slot->ctr, 0, __ATOMIC_RELEASE);
    slot->pid = (uint32_t)getpid();
    slot->kind = kind;
    slot->number = number;
    slot->started_at = (uint64_t)time(NULL);
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
    clear(actor->slot);
    pthread_mutex_unlock(&actor->slot->life);
    forget(actor);
}

void shm_actor_abandon(struct shm_actor *actor)
{
    forget(actor);
}

unsigned shm_actor_reap(struct shm_store *store)
{
    unsigned reaped = shm_writer_reap(store) ? 1 : 0;
#ifndef SHM_MUTANT_NO_REAP
    unsigned ready = shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        bool dead;
        struct shm_slot *slot = shm_slot(i);
        if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == 0 || !try_slot(slot, &dead))
            continue;
        reaped += dead ? 1 : 0;
        pthread_mutex_unlock(&slot->life);
    }
#endif
    return reaped;
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
