/* SPDX-License-Identifier: MIT */
#include "shm/core/bell.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shm/core/test_points.h"

void shm_bell_wake(struct shm_disk *disk)
{
#ifdef SHM_MUTANT_WRITER_CLEARS
    __atomic_store_n(&disk->sleeping, 0, __ATOMIC_RELAXED);
#endif
    __atomic_fetch_add(&disk->bell, 1, __ATOMIC_SEQ_CST);
    SHM_POINT("bell half rung");
    syscall(SYS_futex, &disk->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void shm_bell_sleep(struct shm_disk *disk, bool (*idle)(void *data), void *data,
                    uint64_t milliseconds)
{
    uint32_t before = __atomic_load_n(&disk->bell, __ATOMIC_SEQ_CST);
    struct timespec time = {.tv_sec = (time_t)(milliseconds / 1000),
                            .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    __atomic_store_n(&disk->sleeping, 1, __ATOMIC_RELAXED);
    cmm_smp_mb(); /* pairs with shm_bell_ring() */
    SHM_POINT("about to sleep");
    if (idle(data)) {
        SHM_POINT("about to wait");
        syscall(SYS_futex, &disk->bell, FUTEX_WAIT, before, &time, NULL, 0);
    }
    __atomic_store_n(&disk->sleeping, 0, __ATOMIC_RELAXED);
}
