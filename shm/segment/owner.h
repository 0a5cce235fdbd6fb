/* SPDX-License-Identifier: MIT */
/* Locks on the segment's file: who owns it, and which tools write to it. */
#ifndef ROSTERD_SHM_SEGMENT_OWNER_H
#define ROSTERD_SHM_SEGMENT_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/error.h"
#include "shm/store.h"

enum { SHM_OWNER_TEXT = 64 };

/** Says who owns a segment whose owner lock another process has: " (process 4711)". The text is
 * empty if the segment does not tell: its server is still starting, or its layout is another. */
void shm_owner_describe(int fd, char text[SHM_OWNER_TEXT]);
/** Takes the owner lock for this open file description. @return SHM_EOWNED, SHM_ESYS */
int shm_owner_take(int fd, const char *name, struct shm_fault *fault);
/** Takes a share of the owner lock: several processes may have one, and shm_owner_take() fails
 * meanwhile. @return SHM_EOWNED, SHM_ESYS */
int shm_owner_share(int fd, const char *name, struct shm_fault *fault);
/** Registers a tool that writes; several may. It stays one until it closes the descriptor.
 * @return SHM_EBUSY while an owner checks the segment, to take it over */
int shm_guest_enter(int fd, const char *name, struct shm_fault *fault);
/** Keeps writing tools out until shm_guests_admit(). Waits up to a second for those that write now.
 * @return SHM_EBUSY, SHM_ESYS */
int shm_guests_exclude(int fd, const char *name, struct shm_fault *fault);
void shm_guests_admit(int fd);
/** Whether a live process owns the segment. */
bool shm_owner_present(const struct shm_store *store);
/** This process's pid namespace, as a number; 0: unknown. */
uint64_t shm_pid_namespace(void);

#endif
