/* SPDX-License-Identifier: MIT */
/*
 * Memory for data that may contain tokens or passwords. It is left out of core dumps, and
 * overwritten when it is freed. To be used by one thread only. Freed pieces of up to 16 KiB are
 * kept for the next allocation of their size and are never returned to the system.
 */
#ifndef ROSTERD_BASE_SECRET_H
#define ROSTERD_BASE_SECRET_H

#include <stddef.h>

/** @return memory that is aligned like malloc()'s and not zeroed; NULL: out of memory */
void *secret_alloc(size_t size);
/** Overwrites and frees. @param memory may be NULL @param size as it was allocated */
void secret_free(void *memory, size_t size);

#endif
