/* SPDX-License-Identifier: MIT */
/*
 * --with-sanitizer=thread includes this header before every file. liburcu's stores are volatile
 * accesses and its exchange is inline assembly, which ThreadSanitizer does not understand. This
 * header replaces them with builtins of the same meaning.
 */
#ifndef ROSTERD_TESTS_TORTURE_TSAN_H
#define ROSTERD_TESTS_TORTURE_TSAN_H
#ifndef __cplusplus

#include <urcu/system.h>
#include <urcu/uatomic.h>

#undef CMM_STORE_SHARED
#define CMM_STORE_SHARED(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)
#undef CMM_LOAD_SHARED
#define CMM_LOAD_SHARED(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#undef uatomic_set
#define uatomic_set(at, v) __atomic_store_n((at), (v), __ATOMIC_RELEASE)
#undef uatomic_xchg
#define uatomic_xchg(at, v) __atomic_exchange_n((at), (v), __ATOMIC_SEQ_CST)

#endif
#endif
