/* SPDX-License-Identifier: MIT */
/* Growth of the arena; grow.c explains how and when. */
#ifndef ROSTERD_SHM_SEGMENT_GROW_H
#define ROSTERD_SHM_SEGMENT_GROW_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/error.h"
#include "shm/store.h"

/** Makes the arena one step larger, for a writer that found no memory. For 100 ms after any process
 * got SHM_ESPACE the call returns that again without another try.
 * @return SHM_ELIMIT, SHM_ESPACE, SHM_EBUSY, SHM_ESYS */
int shm_grow(struct shm_store *store);
/** Makes the arena reach at least up to this address, in one step or not at all: for an owner at
 * its start. @return SHM_ELIMIT, SHM_ESPACE, SHM_EBUSY (the writer lock, after a second), SHM_ESYS
 */
int shm_grow_to(struct shm_store *store, uint64_t end, struct shm_fault *fault);
/** Grows the arena ahead of the writers, if little of it is unused. @return whether it grew */
bool shm_grow_ahead(struct shm_store *store);
/** Allocates memory for [at, at + length) of the mapped file, in huge pages where the kernel can.
 * @return SHM_ESPACE, SHM_ESYS */
int shm_allocate_huge(int fd, uint64_t at, uint64_t length, struct shm_fault *fault);

/** When this process's control groups last had no memory to grow: us of CLOCK_MONOTONIC, or 0. As
 * control.full_at, but private: other processes may be in other groups. Tests reset it. */
extern uint64_t shm_group_full_at;

#endif
