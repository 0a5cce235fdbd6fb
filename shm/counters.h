/* SPDX-License-Identifier: MIT */
/*
 * Counters in a segment of their own (NAME.stats), so that a new counter never
 * costs the users. Each actor's slot has a row of its own and only it writes
 * there, with plain relaxed stores; a reader sums the rows. A row is not
 * cleared when its actor dies: the next owner of the slot counts on.
 */
#ifndef ROSTERD_SHM_COUNTERS_H
#define ROSTERD_SHM_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "shm/error.h"
#include "shm/name.h"

struct shm_counters;

/**
 * Creates NAME.stats with these counters, or keeps the existing one where the
 * names are the same; one with other names is replaced (its counts are lost).
 * Call it as the owner of the segment NAME, before the fork.
 * @param names `count` strings such as `grpc_server_handled_total{grpc_method="GetUser"}`; copied
 * @return SHM_EEXIST where a file that holds no counters has the name: it is left alone, whatever
 *   it is. SHM_EOWNED where counters with other names have it that a live server counts in
 */
int shm_counters_open(struct shm_counters **counters, const char *name, const char *const *names,
                      size_t count, struct shm_fault *fault);
/** The same for a program that takes the place of a live one (shm_store_inherit()): where that
 * one's counters have other names they are replaced, too, and it counts on unseen. */
int shm_counters_succeed(struct shm_counters **counters, const char *name, const char *const *names,
                         size_t count, struct shm_fault *fault);
/** As shm_store_hold_name(), for NAME.stats. */
enum shm_name_state shm_counters_hold_name(struct shm_counters *counters);
/** The last owner's, before shm_counters_close(): the second link goes. */
void shm_counters_release_name(struct shm_counters *counters);
/** Removes NAME.stats, or moves it to MOVED_TO.stats, where it holds counters and no server counts
 * there. By who owns the segment. @param moved_to NULL: it is removed */
void shm_counters_move(const char *name, const char *moved_to);
/** Read-only, for tools. @return SHM_ENOSEG, SHM_ELAYOUT */
int shm_counters_attach(struct shm_counters **counters, const char *name, struct shm_fault *fault);
void shm_counters_close(struct shm_counters *counters);

/** The row of a slot: `count` counters in the order of names. */
uint64_t *shm_counters_row(struct shm_counters *counters, unsigned slot);
static inline void shm_counter_add(uint64_t *counter, uint64_t n)
{
    /* one writer: no locked instruction is needed, only no torn value */
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

size_t shm_counters_count(const struct shm_counters *counters);
const char *shm_counters_name(const struct shm_counters *counters, size_t index);
/** The sum over all rows. */
uint64_t shm_counters_sum(const struct shm_counters *counters, size_t index);
/** All of them at once, row by row as they lie in memory: much faster than one after the other.
 * @param sums shm_counters_count() of them */
void shm_counters_sum_all(const struct shm_counters *counters, uint64_t *sums);

#endif
