/* SPDX-License-Identifier: MIT */
/*
 * The bell wakes the journal process when there are commits for it: a futex in the segment.
 *
 * A writer commits, then looks whether the journal sleeps. The journal says that it sleeps, then
 * looks whether there are commits. Between store and load both have a full barrier, so at least one
 * of them sees the other's store. Only the journal clears `sleeping`: a writer that cleared it and
 * died or was stopped before its system call would leave a journal asleep that nobody wakes. A
 * journal that died asleep costs writers one system call for each commit, until the next journal
 * starts.
 */
#ifndef ROSTERD_SHM_CORE_BELL_H
#define ROSTERD_SHM_CORE_BELL_H

#include <stdbool.h>

#include <urcu/arch.h>
#include <urcu/compiler.h>

#include "shm/core/layout.h"

/** Wakes the sleeper. */
void shm_bell_wake(struct shm_disk *disk);
/**
 * Sleeps until the bell rings, a signal arrives or the time is over.
 * @param idle called after `sleeping` is set: whether there is still nothing to do
 */
void shm_bell_sleep(struct shm_disk *disk, bool (*idle)(void *data), void *data,
                    uint64_t milliseconds);

/** Called after a commit. */
static inline void shm_bell_ring(struct shm_disk *disk)
{
    cmm_smp_mb();
    if (caa_unlikely(__atomic_load_n(&disk->sleeping, __ATOMIC_RELAXED) != 0))
        shm_bell_wake(disk);
}

#endif
