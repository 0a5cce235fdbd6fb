/* SPDX-License-Identifier: MIT */
/* How the library's functions report why they failed: a code for the caller, a line for a person.
 */
#ifndef ROSTERD_SHM_CORE_FAIL_H
#define ROSTERD_SHM_CORE_FAIL_H

#include "shm/error.h"

/** Writes the line into *fault, unless fault is NULL, and returns error:
 * `return shm_fail(fault, SHM_EINVAL, ...)`. */
int shm_fail(struct shm_fault *fault, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
