/* SPDX-License-Identifier: MIT */
/*
 * Growth of the arena: memory first, outside the lock, then a transaction that
 * moves arena_end over it. A death in between leaves a file that is longer
 * than it says; the next growth allocates the same range again.
 */
#include "config.h"

#include <sys/mman.h>

#include "shm/log.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

void shm_collapse(uint64_t at, uint64_t end)
{
    for (at = shm_round_up(at, SHM_HUGE); at + SHM_HUGE <= end; at += SHM_HUGE)
        if (madvise((void *)(uintptr_t)at, SHM_HUGE, MADV_COLLAPSE) != 0)
            return; /* an old kernel, or no huge page to be had */
}

static int publish(struct shm_store *store, uint64_t old, uint64_t end)
{
    struct shm_txn txn;
    int rc = shm_writer_lock(store);
    if (rc != SHM_OK)
        return rc;
    if (shm_control()->arena_end == old) { /* else another was faster: as good */
        shm_txn_begin(&txn);
        shm_txn_word(&txn, &shm_control()->arena_end, end);
        shm_txn_seal(&txn, 0);
        shm_txn_apply(&txn);
    }
    shm_writer_unlock();
    return SHM_OK;
}

int shm_grow(struct shm_store *store)
{
    uint64_t old = __atomic_load_n(&shm_control()->arena_end, __ATOMIC_ACQUIRE);
    uint64_t bound = SHM_BASE + store->size;
    uint64_t end = shm_round_up(old + 1, SHM_HUGE);
    if (end > bound)
        end = bound;
    if (end <= old)
        return SHM_ESPACE;
    /* One huge page for all processes at once, where the kernel can: fewer page faults and TLB
     * misses. Asked for while the range is a hole, it is cleared and not copied; what the kernel
     * would not do so is allocated in small pages. Nothing is touched before it has memory. */
    if (end - old == SHM_HUGE && shm_file_extend(store->fd, end - SHM_BASE))
        (void)madvise((void *)(uintptr_t)old, SHM_HUGE, MADV_COLLAPSE);
    int rc = shm_file_allocate(store->fd, old - SHM_BASE, end - old, NULL);
    if (rc != SHM_OK)
        return rc;
    SHM_POINT("allocated");
    return publish(store, old, end);
}
