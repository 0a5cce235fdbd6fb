/* SPDX-License-Identifier: MIT */
/*
 * The writer lock: a robust mutex in the segment. A process may change a shared word only while it
 * holds the lock; only a slot's own words belong to the slot's process. No process sleeps on the
 * mutex, because the holder may be stopped for any length of time: a process spins for about 50 us
 * and then fails.
 */
#ifndef ROSTERD_SHM_CORE_WRITER_LOCK_H
#define ROSTERD_SHM_CORE_WRITER_LOCK_H

#include <stdbool.h>

#include "shm/error.h"
#include "shm/store.h"

/**
 * Takes the lock. When the call returns SHM_OK no commit is unfinished: a commit that a dead holder
 * had sealed has been finished first.
 * @return SHM_OK; SHM_EBUSY after some 50 us; SHM_EPERM without the right to write the segment;
 *   SHM_ECORRUPT: the redo log makes no sense. SHM_EOUTGROWN (this mapping is smaller than what the
 *   log changes) and SHM_ESYS (the arena cannot be mapped writable): the lock is released, so that
 *   a process that can finish the commit does
 */
int shm_writer_lock(struct shm_store *store);
/** As shm_writer_lock(), but tries for up to a second, and sleeps between the tries. */
int shm_writer_wait(struct shm_store *store);
void shm_writer_unlock(void);
/** Finishes a dead holder's commit and makes its lock usable again, if the lock is not held.
 * @return whether there was something to do and it is done */
bool shm_writer_reap(struct shm_store *store);
/** Writes into *fault that the lock could not be taken, and which process holds it.
 * @return error */
int shm_writer_fail(const struct shm_store *store, int error, struct shm_fault *fault);
#endif
