/* SPDX-License-Identifier: MIT */
/*
 * The writer lock: a robust mutex in the segment. Only who holds it changes a
 * shared word that is not its own slot's. Nobody sleeps in it: its holder may
 * be stopped for as long as somebody likes.
 */
#include "config.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <urcu/arch.h>

#include "shm/internal.h"
#include "shm/log.h"

enum { LOCK_NS = 50 * 1000, TRIES_A_LOOK = 16, RELAX = 16 };
enum { WAIT_TRIES = 1000, EAGER_TRIES = 20, WAIT_PAUSE_US = 1000 };

int shm_mutex_init(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attr;
    int rc = pthread_mutexattr_init(&attr);
    if (rc == 0)
        rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (rc == 0)
        rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (rc == 0)
        rc = pthread_mutex_init(mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    return rc == 0 ? SHM_OK : SHM_ESYS;
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The lock is ours, and its former holder died in it. A log that cannot be
 * replayed leaves the mutex inconsistent for ever: better no writer than a
 * wrong table. A tool maps the arena read-only; the dead holder's work needs
 * more. */
static int recover(struct shm_store *store)
{
    if (store->readonly &&
        mprotect((void *)(uintptr_t)SHM_BASE, store->size, PROT_READ | PROT_WRITE) != 0) {
        pthread_mutex_unlock(&shm_control()->writer);
        return SHM_ESYS;
    }
    uint64_t size = shm_control()->arena_end - SHM_BASE;
    int rc = size <= store->size ? shm_log_recover(shm_log(), size) : SHM_ECORRUPT;
    if (store->readonly)
        mprotect((void *)(uintptr_t)(SHM_BASE + SHM_ARENA_AT), store->size - SHM_ARENA_AT,
                 PROT_READ);
    if (rc == SHM_OK)
        pthread_mutex_consistent(&shm_control()->writer);
    else
        pthread_mutex_unlock(&shm_control()->writer);
    return rc;
}

static int try_once(struct shm_store *store)
{
    switch (pthread_mutex_trylock(&shm_control()->writer)) {
    case 0:
        SHM_POINT("lock taken");
        return SHM_OK;
    case EOWNERDEAD:
        SHM_POINT("lock taken");
        return recover(store);
    case EBUSY:
        return SHM_EBUSY;
    default:
        return SHM_ECORRUPT;
    }
}

int shm_writer_lock(struct shm_store *store)
{
    if (store->locked_out)
        return SHM_EPERM;
    int rc = try_once(store);
    if (rc != SHM_EBUSY)
        return rc;
    uint64_t until = now_ns() + LOCK_NS;
    do {
        for (int i = 0; i < TRIES_A_LOOK; i++) {
            for (int r = 0; r < RELAX; r++)
                caa_cpu_relax();
            rc = try_once(store);
            if (rc != SHM_EBUSY)
                return rc;
        }
    } while (now_ns() < until);
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
    int rc = pthread_mutex_trylock(&shm_control()->writer);
    if (rc == 0)
        shm_writer_unlock();
    if (rc != EOWNERDEAD)
        return false;
    if (recover(store) == SHM_OK)
        shm_writer_unlock();
    return true;
}
