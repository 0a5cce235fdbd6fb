/* SPDX-License-Identifier: MIT */
/*
 * Memory for what may hold a token while a connection is open, or a password while its call is: it
 * is left out of core dumps, and nobody sees it once it is freed. For one thread; pieces of 16 KiB
 * and less are kept for the next.
 */
#ifndef ROSTERD_BASE_SECRET_H
#define ROSTERD_BASE_SECRET_H

#include <stddef.h>

/** @return aligned as by malloc(), not zeroed at first; NULL: out of memory */
void *secret_alloc(size_t size);
/** @param size as allocated; memory NULL is left alone */
void secret_free(void *memory, size_t size);

#endif
