/* SPDX-License-Identifier: MIT */
/* Slots: a process's place in the segment, and how its death is noticed and cleaned up. */
#ifndef ROSTERD_SHM_SLOTS_SLOT_H
#define ROSTERD_SHM_SLOTS_SLOT_H

#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/store.h"

/** Initialises slots [from, to), which have memory and which no process uses yet. */
void shm_slots_init(unsigned from, unsigned to);
/** How many slots have memory: [0, shm_slots_ready()). */
unsigned shm_slots_ready(void);
/** How many of the slot's pins have ever been used: [0, shm_slot_pins_high()). */
static inline unsigned shm_slot_pins_high(const struct shm_slot *slot)
{
    uint64_t high = __atomic_load_n(&slot->pins_high, __ATOMIC_ACQUIRE);
    return high < SHM_PINS ? (unsigned)high : SHM_PINS;
}

/** Takes a free slot, or one of a dead process; makes more slots if none is free.
 * @return SHM_OK; SHM_ESLOTS, SHM_ESPACE; SHM_EBUSY (the writer lock, after a second); SHM_ECORRUPT
 *   (the number of slots is no multiple of SHM_SLOTS_STEP) */
int shm_slot_find(struct shm_store *store, unsigned *number);
/** Whether no live process has the slot. If its last process died in it, the slot is cleared. */
bool shm_slot_dead(struct shm_slot *slot);
/** As shm_slot_dead(), and no process can join there until shm_slot_give(). @return false: a live
 * process has the slot */
bool shm_slot_take(struct shm_slot *slot);
/** Releases a slot that this process took by shm_slot_take(). */
void shm_slot_give(struct shm_slot *slot);
/** Clears and releases the slot of a process that leaves. */
void shm_slot_leave(struct shm_slot *slot);

#endif
