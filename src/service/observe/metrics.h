/* SPDX-License-Identifier: MIT */
/* All metrics in Prometheus' text format 0.0.4: the counters of all processes, figures of the
 * store, what the processes take of the machine, and which program this is. */
#ifndef ROSTERD_SERVICE_OBSERVE_METRICS_H
#define ROSTERD_SERVICE_OBSERVE_METRICS_H

#include <stddef.h>

#include "shm/counters.h"
#include "shm/store.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/** Sets the labels of rosterd_build_info, such as `version="1.0"`. The master calls it before it
 * forks; without it the page lacks that metric, and those of the processes.
 * @param labels must live as long as the program */
void metrics_begin(const char *labels);
/** Each counter is the sum over all processes, dead ones included. The counters must have been
 * opened with the names of stats_names().
 * @return a text to free(), or NULL: out of memory */
char *metrics_format(const struct shm_counters *counters, struct shm_store *store, size_t *len);

#endif
