/* SPDX-License-Identifier: MIT */
/* Memory exhausted: shm-inspect prints a message and exits with status 1. */
#ifndef ROSTERD_INSPECT_CORE_MEMORY_H
#define ROSTERD_INSPECT_CORE_MEMORY_H

#include <stddef.h>

/** Prints "out of memory" and exits with INSPECT_FAILED. */
_Noreturn void memory_exhausted(void);

/** Calls `prepare` before the message, to make the terminal show it; NULL: nothing. */
void memory_before_message(void (*prepare)(void));

/** Returns `pointer`; exits as memory_exhausted() does if it is NULL. */
void *memory_check(void *pointer);

/** calloc() that does not return NULL. The caller frees the memory. */
void *memory_new_array(size_t count, size_t size) __attribute__((malloc));

#endif
