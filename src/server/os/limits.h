/* SPDX-License-Identifier: MIT */
/* What the kernel allows a process: descriptors, core files, its OOM score, its CPUs. */
#ifndef ROSTERD_SERVER_OS_LIMITS_H
#define ROSTERD_SERVER_OS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

/** What the configuration asks for. */
struct limits {
    bool core_dumps;
    const char *worker_cpus;          /* see cpus_bind() */
    uint64_t worker_oom_score_adjust; /* added to a worker's oom_score_adj */
    uint64_t max_connections;         /* in all workers together */
    bool max_connections_set;         /* by the administrator */
    uint64_t workers;                 /* at least 1 */
    uint64_t segment_size;            /* bytes */
};

/** Raises the soft limit of descriptors to the hard one. @return the limit, or 0 if it is unknown
 */
uint64_t limits_raise_descriptors(void);
/** Sets the limits of the master, which its workers inherit. Logs them, and warns of those that are
 * too low for the configuration. */
void limits_apply_to_master(struct limits limits);
/** Sets the limits of worker `number`, in the worker. Logs what the kernel refuses. */
void limits_apply_to_worker(struct limits limits, unsigned number);
/** If a limit of this process may be the reason for the fault, by the text of errno in it, appends
 * that limit's value and the names under which an administrator sets it. */
void limits_explain(struct fault *fault);

#endif
