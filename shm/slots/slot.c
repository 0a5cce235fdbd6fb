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
#include "shm/slots/slot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "shm/core/mapping.h"
#include "shm/core/robust_mutex.h"
#include "shm/core/store_handle.h"
#include "shm/core/txn.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/segment/segment_file.h"

void shm_slots_init(unsigned from, unsigned to)
{
    assert(from <= to && to <= SHM_SLOTS);
    for (unsigned i = from; i < to; i++) {
        memset(shm_slot(i), 0, sizeof(struct shm_slot));
        (void)shm_mutex_init(&shm_slot(i)->life); /* cannot fail on Linux */
    }
}

/* Clears what the slot's last process held. Bodies in the lists of its pins stay there until
 * reclaim looks: a pin with a count of 0 keeps nothing. */
static void clear_slot(struct shm_slot *slot)
{
    for (unsigned i = 0; i < SHM_PINS; i++)
        __atomic_store_n(&slot->pins[i].count, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->ctr, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->waits, 0, __ATOMIC_RELAXED);
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
        clear_slot(slot);
        pthread_mutex_consistent(&slot->life);
    }
    return rc == 0 || *dead;
}

void shm_slot_leave(struct shm_slot *slot)
{
    clear_slot(slot);
    pthread_mutex_unlock(&slot->life);
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
    int rc = shm_writer_wait(store);
    if (rc != SHM_OK)
        return rc;
    if (ready % SHM_SLOTS_STEP != 0) { /* a damaged word: a step may not end at SHM_SLOTS */
        rc = SHM_ECORRUPT;
    } else if (shm_slots_ready() == ready && ready < SHM_SLOTS) {
        unsigned to = ready + SHM_SLOTS_STEP;
        /* Does not check the control groups' limits: the margin is for slots (cgroup_room.c). */
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

int shm_slot_find(struct shm_store *store, unsigned *number)
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
