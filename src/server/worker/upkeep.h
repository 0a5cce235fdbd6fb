/* SPDX-License-Identifier: MIT */
/* What a worker does after each turn of its loop, in addition to its calls: it shows its progress,
 * adds to the counters, wakes the access log's thread, forgets old TLS secrets, and gives memory
 * back. */
#ifndef ROSTERD_SERVER_WORKER_UPKEEP_H
#define ROSTERD_SERVER_WORKER_UPKEEP_H

#include "server/worker/accept.h"
#include "server/worker/serving.h"

/** Zeroed at the start. Times are ms on grpc_server_now_ms()'s clock. */
struct upkeep {
    uint64_t forget_at;        /* when old TLS secrets are looked for next */
    uint64_t reported_dropped; /* the part of access_log_dropped() that was logged */
    uint64_t report_at;        /* when lost access log lines may be logged again */
    uint64_t idle_check_at;
    uint64_t idle_bytes_in;           /* bytes received until the last check for idleness */
    struct password_counts passwords; /* as they are in the counters */
    uint64_t refused; /* writes that were refused for want of room, as the counters have them */
    bool trimmed;     /* memory was given back, and nothing has been received since */
};

/** Tells malloc to keep memory for the next large reply. Called at the worker's start. */
void upkeep_keep_memory(void);
/** Must be called after each turn of the loop. The loop turns at least each WORKER_TURN_MS. */
void upkeep_after_turn(struct upkeep *upkeep, const struct worker_config *config,
                       struct serving *serving, const struct acceptor *acceptor);
/** Adds to the counters what has happened since the last turn. Cheap; also for the worker's end.
 * @param acceptor NULL: it was never started */
void upkeep_count(struct upkeep *upkeep, struct serving *serving, const struct acceptor *acceptor);

#endif
