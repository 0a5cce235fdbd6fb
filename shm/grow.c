/* SPDX-License-Identifier: MIT */
/*
 * Growth of the arena: memory first, outside the lock, then a transaction that
 * moves arena_end over it. A death in between leaves a file that is longer
 * than it says; the next growth allocates the same range again.
 *
 * Memory comes in huge pages where the kernel can: fewer page faults and TLB
 * misses, for all processes at once. MADV_COLLAPSE is asked for while the range is
 * a hole, so that it is cleared and not copied. But that call waits for every CPU to
 * drain its lists: mostly some ms, on a busy machine 200 were seen. A writer has an
 * event loop to run, so a process that waited long asks no more for a while.
 */
#include "config.h"

#include <sys/mman.h>
#include <time.h>

#include "shm/log.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { COLLAPSE_LONG_MS = 20, COLLAPSE_PAUSE_MS = 10000 };

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Fills one huge page of a hole, if the kernel likes: what it does not do the
 * caller allocates. */
static void collapse(uint64_t at)
{
    static int64_t not_before;
    int64_t start = now_ms();
    if (start < not_before)
        return;
    bool done = madvise((void *)(uintptr_t)(SHM_BASE + at), SHM_HUGE, MADV_COLLAPSE) == 0;
    int64_t end = now_ms();
    if (!done || end - start > COLLAPSE_LONG_MS)
        not_before = end + COLLAPSE_PAUSE_MS;
}

int shm_allocate_huge(int fd, uint64_t at, uint64_t length, struct shm_fault *fault)
{
    uint64_t end = at + length;
    /* The last page makes the file long enough. (Not ftruncate: another process may
     * have grown it further meanwhile, and would be cut off.) */
    int rc = shm_file_allocate(fd, end - SHM_PAGE, SHM_PAGE, fault);
    for (uint64_t page = shm_round_up(at, SHM_HUGE); page + SHM_HUGE <= end; page += SHM_HUGE)
        if (rc == SHM_OK)
            collapse(page);
    return rc == SHM_OK ? shm_file_allocate(fd, at, length, fault) : rc;
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
        return SHM_ELIMIT;
    int rc = shm_allocate_huge(store->fd, old - SHM_BASE, end - old, NULL);
    if (rc != SHM_OK)
        return rc;
    SHM_POINT("allocated");
    return publish(store, old, end);
}
