/* SPDX-License-Identifier: MIT */
/* Who takes part in a segment, for the commands that show it. */
#ifndef ROSTERD_INSPECT_COMMANDS_ACTORS_H
#define ROSTERD_INSPECT_COMMANDS_ACTORS_H

#include <json-c/json.h>

#include "shm/counters.h"
#include "shm/store.h"

/* Families of the servers' counters that have a column; see src/service/observe/stats.h. */
#define ACTORS_CALLS       "grpc_server_started_total"
#define ACTORS_CONNECTIONS "rosterd_connections_open"

const char *actors_kind_name(enum shm_actor_kind kind);
/** "online", "offline", "dead" */
const char *actors_state_name(const struct shm_slot_info *info);

/** The segment's counters, or NULL where it has none that can be read. */
struct shm_counters *actors_counters(const char *segment);
/** A slot's sum over a family: the counter of this name, or those with labels in braces. */
uint64_t actors_sum(struct shm_counters *counters, unsigned slot, const char *family);

/** The caller's to put. */
struct json_object *actors_slot_object(const struct shm_slot_info *info);

#endif
