/* SPDX-License-Identifier: MIT */
/*
 * How the lock is taken, and how the process that takes it finishes a dead holder's commit.
 */
#include "shm/core/writer_lock.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <urcu/arch.h>
#include <urcu/compiler.h>

#include "base/clock.h"
#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/robust_mutex.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"

enum { LOCK_NS = 50 * 1000, TRIES_A_LOOK = 16, RELAX = 16 };
enum { WAIT_TRIES = 1000, EAGER_TRIES = 20, WAIT_PAUSE_US = 1000 };

static bool commit_unfinished(void)
{
    return __atomic_load_n(&shm_log()->state, __ATOMIC_RELAXED) != SHM_LOG_IDLE;
}

/* Finishes the sealed transaction. A reading tool has the arena mapped read-only: it makes it
 * writable meanwhile. */
static int lock_replay(const struct shm_store *store)
{
    if (store->readonly &&
        mprotect((void *)(uintptr_t)SHM_BASE, store->size, PROT_READ | PROT_WRITE) != 0)
        return SHM_ESYS;
    shm_log_replay(shm_log());
    if (store->readonly)
        mprotect((void *)(uintptr_t)(SHM_BASE + SHM_ARENA_AT), store->size - SHM_ARENA_AT,
                 PROT_READ);
    return SHM_OK;
}

/*
 * Called when this process has just taken the mutex, and the log is not idle or the former holder
 * died (`died`). What has to be done depends on the log alone: SEALED means that a commit is not
 * finished, whichever processes have held the lock since.
 *
 * This process may be unable to finish the commit: it attached before the segment grew, so that its
 * mapping ends before words that the log changes, or it cannot make the arena writable. Then it
 * makes the mutex consistent, releases it and leaves the log SEALED for the next process. If it
 * dies between pthread_mutex_consistent() and the unlock, the mutex is dead again and the log
 * unchanged: the next process is in the same situation.
 *
 * If the log is invalid the mutex is not made consistent, and so becomes unusable: no writer is
 * better than a wrong table. (If the former holder had not died, the mutex stays usable, but every
 * process that takes it comes here and fails.)
 */
static __attribute__((noinline, cold)) int lock_recover(const struct shm_store *store, bool died)
{
    struct shm_log *log = shm_log();
    uint64_t end = shm_log_end(log, shm_control()->arena_end - SHM_BASE);
    int rc = SHM_OK;
    if (end == 0)
        rc = SHM_ECORRUPT;
    else if (end > store->size)
        rc = SHM_EOUTGROWN;
    else if (log->state == SHM_LOG_SEALED)
        rc = lock_replay(store);
    if (rc != SHM_ECORRUPT && died) {
        SHM_POINT("recovered");
        pthread_mutex_consistent(&shm_control()->writer);
        SHM_POINT("consistent");
    }
    if (rc != SHM_OK)
        pthread_mutex_unlock(&shm_control()->writer);
    return rc;
}

static inline int lock_try(const struct shm_store *store)
{
    int rc = pthread_mutex_trylock(&shm_control()->writer);
    if (rc == 0 || rc == EOWNERDEAD)
        SHM_POINT("lock taken");
    if (caa_likely(rc == 0 && !commit_unfinished()))
        return SHM_OK;
    if (rc == EBUSY)
        return SHM_EBUSY;
    return rc == 0 || rc == EOWNERDEAD ? lock_recover(store, rc == EOWNERDEAD) : SHM_ECORRUPT;
}

int shm_writer_lock(struct shm_store *store)
{
    if (store->locked_out)
        return SHM_EPERM;
    int rc = lock_try(store);
    if (rc != SHM_EBUSY)
        return rc;
    uint64_t until = clock_monotonic_ns() + LOCK_NS;
    do {
        for (int i = 0; i < TRIES_A_LOOK; i++) {
            for (int r = 0; r < RELAX; r++)
                caa_cpu_relax();
            rc = lock_try(store);
            if (rc != SHM_EBUSY)
                return rc;
        }
    } while (clock_monotonic_ns() < until);
    return SHM_EBUSY;
}

int shm_writer_wait(struct shm_store *store)
{
    int rc = shm_writer_lock(store);
    for (int tries = 0; rc == SHM_EBUSY && tries < WAIT_TRIES; tries++) {
        if (tries >= EAGER_TRIES)
            usleep(WAIT_PAUSE_US);
        rc = shm_writer_lock(store);
    }
    return rc;
}

void shm_writer_unlock(void)
{
    SHM_POINT("unlocking");
    pthread_mutex_unlock(&shm_control()->writer);
}

bool shm_writer_reap(struct shm_store *store)
{
    if (store->locked_out)
        return false;
    int rc = pthread_mutex_trylock(&shm_control()->writer);
    if (rc != 0 && rc != EOWNERDEAD)
        return false;
    bool left = rc == EOWNERDEAD || commit_unfinished();
    if (left && lock_recover(store, rc == EOWNERDEAD) != SHM_OK)
        return false;
    shm_writer_unlock();
    return left;
}

/* The holder is a thread, whose id is the process's id if the process has one thread only. */
uint32_t shm_store_lock_holder(const struct shm_store *store)
{
    (void)store;
    return shm_mutex_word(&shm_control()->writer) & SHM_MUTEX_HOLDER;
}

int shm_writer_fail(const struct shm_store *store, int error, struct shm_fault *fault)
{
    uint32_t holder = error == SHM_EBUSY ? shm_store_lock_holder(store) : 0;
    if (holder != 0)
        return shm_fail(fault, error,
                        "segment %s: cannot take its writer lock: process %u holds it: continue "
                        "or end it, then try again",
                        store->name, (unsigned)holder);
    return shm_fail(fault, error, "segment %s: cannot take its writer lock: %s", store->name,
                    shm_strerror(error));
}
