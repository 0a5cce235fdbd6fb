/* SPDX-License-Identifier: MIT */
/*
 * Counters in a segment of their own (NAME.stats), so that a new counter does not invalidate the
 * segment of users. Each actor's slot has a row of counters. Only that actor writes the row, with
 * plain relaxed stores; a reader adds up the rows. A row is not cleared when its actor dies: the
 * next owner of the slot continues to count in it.
 */
#ifndef ROSTERD_SHM_COUNTERS_H
#define ROSTERD_SHM_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "shm/error.h"
#include "shm/name.h"

struct shm_counters;

/**
 * Creates NAME.stats with these counters, or keeps the existing file if its names are the same. A
 * file with other names is replaced, and its counts are lost. The owner of the segment NAME calls
 * this before it forks.
 * @param names `count` strings such as `grpc_server_handled_total{grpc_method="GetUser"}`; copied
 * @return SHM_OK; SHM_EEXIST: a file without counters has the name, and is left alone; SHM_EOWNED:
 *   counters with other names have it, and a live server counts in them; SHM_ESYS and others
 */
int shm_counters_open(struct shm_counters **counters, const char *name, const char *const *names,
                      size_t count, struct shm_fault *fault);
/** As shm_counters_open(), for a program that succeeds a live one (shm_store_inherit()). If the
 * live program's counters have other names, they are replaced too; that program then continues to
 * count in a file that no tool sees. */
int shm_counters_succeed(struct shm_counters **counters, const char *name, const char *const *names,
                         size_t count, struct shm_fault *fault);
/** As shm_store_hold_name(), for the file NAME.stats. */
enum shm_name_state shm_counters_hold_name(struct shm_counters *counters);
/** Removes the second link. The last owner calls this before shm_counters_close(). */
void shm_counters_release_name(struct shm_counters *counters);
/** Removes NAME.stats, or moves it to MOVED_TO.stats, if the file holds counters and no server
 * counts in it. The owner of the segment calls this. @param moved_to NULL: remove the file */
void shm_counters_move(const char *name, const char *moved_to);
/** Attaches read-only, for tools. @return SHM_OK, SHM_ENOSEG, SHM_ELAYOUT */
int shm_counters_attach(struct shm_counters **counters, const char *name, struct shm_fault *fault);
void shm_counters_close(struct shm_counters *counters);

/** The row of a slot: `count` counters in the order of names. */
uint64_t *shm_counters_row(struct shm_counters *counters, unsigned slot);
static inline void shm_counter_add(uint64_t *counter, uint64_t n)
{
    /* There is one writer, so no locked instruction is needed, only a store that is not torn. */
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

size_t shm_counters_count(const struct shm_counters *counters);
const char *shm_counters_name(const struct shm_counters *counters, size_t index);
/** The sum over all rows. */
uint64_t shm_counters_sum(const struct shm_counters *counters, size_t index);
/** The sums of all counters, computed row by row in the order of memory: much faster than one call
 * of shm_counters_sum() for each. @param sums receives shm_counters_count() sums */
void shm_counters_sum_all(const struct shm_counters *counters, uint64_t *sums);

#endif
