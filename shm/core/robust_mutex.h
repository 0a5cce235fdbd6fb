/* SPDX-License-Identifier: MIT */
/* The segment's mutexes: robust and shared between processes. */
#ifndef ROSTERD_SHM_CORE_ROBUST_MUTEX_H
#define ROSTERD_SHM_CORE_ROBUST_MUTEX_H

#include <pthread.h>
#include <stdint.h>

/** The bits of a mutex's futex word, by the kernel's robust futex ABI: the holder's thread id, and
 * a bit that the kernel sets when the holder has died. */
enum { SHM_MUTEX_HOLDER = 0x3fffffff, SHM_MUTEX_HOLDER_DIED = 0x40000000 };

/** Initialises a mutex. @return SHM_OK, SHM_ESYS */
int shm_mutex_init(pthread_mutex_t *mutex);

/** The futex word, with which a mutex begins. Read without taking the mutex. */
static inline uint32_t shm_mutex_word(const pthread_mutex_t *mutex)
{
    return __atomic_load_n((const uint32_t *)(const void *)mutex, __ATOMIC_ACQUIRE);
}

#endif
