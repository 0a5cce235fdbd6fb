/* SPDX-License-Identifier: MIT */
/*
 * Points in the code at which a test build (SHM_TEST_HOOKS) calls the test's hook, which kills,
 * stops or delays the process there. In a normal build SHM_POINT() is empty.
 */
#ifndef ROSTERD_SHM_CORE_TEST_POINTS_H
#define ROSTERD_SHM_CORE_TEST_POINTS_H

#ifdef SHM_TEST_HOOKS

#include <stddef.h>

/** Defined by the test; NULL: no hook. */
extern void (*shm_test_hook)(const char *point);
#define SHM_POINT(name)                                                                            \
    do {                                                                                           \
        if (shm_test_hook != NULL)                                                                 \
            shm_test_hook(name);                                                                   \
    } while (0)
#else
#define SHM_POINT(name)                                                                            \
    do {                                                                                           \
    } while (0)
#endif

#endif
