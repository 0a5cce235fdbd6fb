/* SPDX-License-Identifier: MIT */
/*
 * Counting, in the row that each process has in NAME.stats. stats_table.h lists what is counted. An
 * interceptor counts calls, under the names that go-grpc-prometheus made customary. Only the
 * process that owns a row writes to it.
 */
#ifndef ROSTERD_SERVICE_OBSERVE_STATS_H
#define ROSTERD_SERVICE_OBSERVE_STATS_H

#include <stdint.h>

#include "grpc/grpc.h"
#include "service/observe/stats_table.h"
#include "shm/counters.h"
#include "shm/headroom.h"

/** What a worker shows of itself to the master, in memory that both share. */
struct stats_board {
    uint32_t calls;  /* in flight */
    uint32_t method; /* of the call that started last; see stats_method_name() */
    uint32_t slot;   /* of the worker's actor in the segment */
    uint32_t turns;  /* of the worker's loop; at least one a second */
};

struct stats; /* the counters of one process */

/** For a process without a server, the master. The row's gauges start at zero.
 * @param row of this process, see shm_counters_row(); must outlive the stats
 * @return NULL: out of memory */
struct stats *stats_create(uint64_t *row);
/** For a worker: counts the server's calls, too, once stats_step() is in the chain of interceptors.
 * All services must have been added before. */
struct stats *stats_create_for_server(struct grpc_server *server, uint64_t *row,
                                      struct stats_board *board);
/** Sets the gauges to zero. Called after the server was destroyed. NULL: does nothing. */
void stats_destroy(struct stats *stats);
/** In a child of the process that owns the row: frees the stats and leaves the row alone. */
void stats_abandon(struct stats *stats);
/** Sets the gauges of a row to zero: for a worker that died. */
void stats_clear_gauges(uint64_t *row);

/** Adds n to a counter. */
void stats_add(struct stats *stats, enum stats_counter counter, uint64_t n);
/** For a number that another module counts from the start of the process: adds what has come to it
 * since the last call. A gauge may have fallen. */
void stats_set_total(struct stats *stats, enum stats_counter counter, uint64_t total);
/** stats_set_total() of all counts of src/http2. Called in each turn of a worker's loop. */
void stats_fold(struct stats *stats);

/** Whether the master says that users are refused for want of room. @param bound set to the reason,
 * if they are */
bool stats_find_refusal(const struct shm_counters *counters, enum shm_bound *bound);

#endif
