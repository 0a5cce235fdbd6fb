/* SPDX-License-Identifier: MIT */
/*
 * A growth first allocates memory, without the writer lock, then moves arena_end over it by a
 * transaction. If the process dies in between, the file has more memory than arena_end says; the
 * next growth allocates the same range again.
 *
 * Memory is allocated in huge pages if the kernel can: they cause fewer page faults and TLB misses
 * in all processes, and cost less than as many small pages. MADV_COLLAPSE is called while only one
 * small page of each huge page is allocated: then the kernel clears the huge page and has nothing
 * to copy. (If the whole range is a hole the call fails with EINVAL.) But the call waits until
 * every CPU has drained its page lists. Mostly it takes some 0.1 ms per huge page; on a busy
 * machine 200 ms were measured. So the master grows the arena ahead of the workers, which have an
 * event loop to run. A worker that has to grow the arena itself spends at most a tenth of its time
 * in this call, and otherwise takes small pages.
 *
 * If memory is short, a failing try takes as long as a successful one, 2 to 200 ms: the kernel
 * allocates page after page until one is missing, and frees them all. So a failure is remembered
 * for 100 ms, in which inserts fail at once. It is remembered in the segment (control.full_at),
 * because it holds for all processes: if each had to find it out itself, all workers would try in
 * each 100 ms. control.full_at is a hint that is written without the lock: if it is lost or too old
 * a process tries once more, and a time in the future (a damaged word, another clock) is ignored.
 * So no value can keep the arena from growing for longer than 100 ms. A failure because of a
 * control group's limit is remembered by the process alone (shm_group_full_at), because other
 * processes may be in other groups: a tool in its user's session, say.
 */
#include "shm/segment/grow.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"
#include "shm/core/writer_lock.h"
#include "shm/segment/cgroup_room.h"
#include "shm/segment/segment_file.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { COLLAPSE_SHARE = 10, COLLAPSE_FAILED_MS = 10000 };

enum { REMEMBER_US = 100000 };

/* A step of growth is a sixteenth of the segment, in whole huge pages, and at most two of them. The
 * master keeps the arena at most two steps ahead, because that memory is not in use yet. */
enum { STEP_SHARE = 16, STEP_HUGE_MAX = 2, STEPS_AHEAD = 2 };

/* Makes [at, at + length) huge pages, if the kernel can. The caller allocates what is missing.
 * @param hurry a worker grows: skip the call if too much time was spent in it */
static void collapse(uint64_t at, uint64_t length, bool hurry)
{
    static int64_t not_before, failed_before;
    int64_t start = (int64_t)clock_monotonic_us();
    if (start < failed_before || (hurry && start < not_before))
        return;
    bool done = madvise((void *)(uintptr_t)(SHM_BASE + at), length, MADV_COLLAPSE) == 0;
    int64_t end = (int64_t)clock_monotonic_us();
    not_before = end + (end - start) * COLLAPSE_SHARE;
    if (!done)
        failed_before = end + COLLAPSE_FAILED_MS * INT64_C(1000);
}

static int allocate_pages(int fd, uint64_t at, uint64_t length, bool hurry, struct shm_fault *fault)
{
    uint64_t end = at + length, from = shm_round_up(at, SHM_HUGE), to = end / SHM_HUGE * SHM_HUGE;
    int rc = SHM_OK;
    for (uint64_t page = from; page < to && rc == SHM_OK; page += SHM_HUGE)
        rc = shm_file_fallocate(fd, page, SHM_PAGE, fault);
    /* The last page makes the file long enough. (Not ftruncate(): it would cut the file off if
     * another process has grown it further meanwhile.) */
    if (rc == SHM_OK)
        rc = shm_file_fallocate(fd, end - SHM_PAGE, SHM_PAGE, fault);
    if (rc != SHM_OK)
        return rc;
    if (from < to)
        collapse(from, to - from, hurry);
    return shm_file_fallocate(fd, at, length, fault);
}

/* Asks once whether the control groups have room, because allocate_pages() takes some pages twice.
 */
int shm_allocate_huge(int fd, uint64_t at, uint64_t length, struct shm_fault *fault)
{
    int rc = shm_room_for(length, fault);
    return rc == SHM_OK ? allocate_pages(fd, at, length, false, fault) : rc;
}

/* Moves arena_end from `old` to `end`, under the writer lock. If another process has grown the
 * arena meanwhile arena_end must not be moved back; the memory allocated here serves the next
 * growth. */
static void move_end(uint64_t old, uint64_t end)
{
    struct shm_txn txn;
#ifdef SHM_MUTANT_GROW_UNCHECKED
    old = shm_control()->arena_end;
#endif
    if (shm_control()->arena_end != old)
        return;
    shm_txn_begin(&txn);
    shm_txn_word(&txn, &shm_control()->arena_end, end);
    shm_txn_seal(&txn, 0);
    shm_txn_apply(&txn);
}

static int publish_end(struct shm_store *store, uint64_t old, uint64_t end)
{
    int rc = shm_writer_lock(store);
    if (rc != SHM_OK)
        return rc;
    move_end(old, end);
    shm_writer_unlock();
    return SHM_OK;
}

uint64_t shm_group_full_at;

static bool is_known_full(const uint64_t *full_at)
{
    uint64_t at = __atomic_load_n(full_at, __ATOMIC_RELAXED);
    return at != 0 &&
           clock_monotonic_us() - at < REMEMBER_US; /* a time in the future is a huge difference */
}

static void remember_full(uint64_t *full_at, int rc)
{
    if (rc == SHM_ESPACE)
        __atomic_store_n(full_at, clock_monotonic_us(), __ATOMIC_RELAXED);
    else if (rc == SHM_OK && __atomic_load_n(full_at, __ATOMIC_RELAXED) != 0)
        __atomic_store_n(full_at, 0, __ATOMIC_RELAXED);
}

static uint64_t step_of(uint64_t arena)
{
    uint64_t step = shm_round_up(arena / STEP_SHARE + 1, SHM_HUGE);
    return step < STEP_HUGE_MAX * SHM_HUGE ? step : STEP_HUGE_MAX * SHM_HUGE;
}

static int grow_step(struct shm_store *store, bool ahead)
{
    uint64_t old = __atomic_load_n(&shm_control()->arena_end, __ATOMIC_ACQUIRE);
    uint64_t bound = SHM_BASE + store->size;
    uint64_t step = step_of(old - SHM_BASE);
    uint64_t *full_at = &shm_group_full_at;
    int rc = SHM_ESPACE;
    if (old < bound && (is_known_full(full_at) || is_known_full(&shm_control()->full_at)))
        return SHM_ESPACE;
    /* if there is no room for the whole step there may be room for the smallest */
    for (bool least = false; rc == SHM_ESPACE && !least; step = SHM_HUGE) {
        uint64_t end = (old + step) / SHM_HUGE * SHM_HUGE;
        least = step == SHM_HUGE;
        if (end > bound)
            end = bound;
        if (end <= old)
            return SHM_ELIMIT;
        full_at = &shm_group_full_at;
        rc = shm_room_for(end - old, NULL);
        if (rc == SHM_OK) {
            full_at = &shm_control()->full_at;
            rc = allocate_pages(store->fd, old - SHM_BASE, end - old, !ahead, NULL);
        }
        if (rc == SHM_OK) {
            SHM_POINT("allocated");
            rc = publish_end(store, old, end);
        }
    }
    remember_full(full_at, rc);
    return rc;
}

int shm_grow(struct shm_store *store)
{
    return grow_step(store, false);
}

int shm_grow_to(struct shm_store *store, uint64_t end, struct shm_fault *fault)
{
    uint64_t old = __atomic_load_n(&shm_control()->arena_end, __ATOMIC_ACQUIRE);
    uint64_t bound = SHM_BASE + store->size;
    if (end <= old)
        return SHM_OK;
    if (end > bound)
        return shm_fail(fault, SHM_ELIMIT, "%s", shm_strerror(SHM_ELIMIT));
    end = shm_round_up(end, SHM_HUGE) < bound ? shm_round_up(end, SHM_HUGE) : bound;
    int rc = shm_allocate_huge(store->fd, old - SHM_BASE, end - old, fault);
    if (rc != SHM_OK)
        return rc;
    SHM_POINT("allocated");
    rc = shm_writer_wait(store);
    if (rc != SHM_OK)
        return shm_writer_fail(store, rc, fault);
    move_end(old, end);
    bool there = shm_control()->arena_end >= end; /* false: another process grew it, by less */
    shm_writer_unlock();
    return there ? SHM_OK : shm_fail(fault, SHM_EBUSY, "%s", shm_strerror(SHM_EBUSY));
}

bool shm_grow_ahead(struct shm_store *store)
{
    const struct shm_control *control = shm_control();
    uint64_t end = __atomic_load_n(&control->arena_end, __ATOMIC_ACQUIRE);
    uint64_t used = __atomic_load_n(&control->alloc[SHM_ALLOC_ARENA_CUR], __ATOMIC_RELAXED);
    bool grown = false;
    for (int steps = 0; steps < STEPS_AHEAD && end - used < STEPS_AHEAD * step_of(end - SHM_BASE);
         steps++) {
        if (grow_step(store, true) != SHM_OK)
            break;
        grown = true;
        end = __atomic_load_n(&control->arena_end, __ATOMIC_ACQUIRE);
    }
    return grown;
}
