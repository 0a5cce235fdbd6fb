/* SPDX-License-Identifier: MIT */
/* The processes that have a slot in a segment (master, workers, tools), for workers, readers and
 * watch. */
#ifndef ROSTERD_INSPECT_CORE_SLOT_INFO_H
#define ROSTERD_INSPECT_CORE_SLOT_INFO_H

#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "shm/counters.h"
#include "shm/store.h"

/** Counter families of the server that have a column of their own; service/observe/stats.h
 * defines them. */
#define SLOT_INFO_CALLS       "grpc_server_started_total"
#define SLOT_INFO_CONNECTIONS "rosterd_connections_open"

/** "master", "worker", "tool"; "unknown" for another number, which a damaged segment may hold. */
const char *slot_info_kind_name(enum shm_actor_kind kind);
/** "busy" in a read section, "idle" outside, "dead" when the process has died. */
const char *slot_info_state_name(const struct shm_slot_info *info);
/** The slot as JSON. The caller owns the object. */
struct json_object *slot_info_object(const struct shm_slot_info *info);

/** Attaches the segment's counters. @return NULL if there are none, or they cannot be read; else
 * the caller calls shm_counters_close() */
struct shm_counters *slot_info_attach_counters(const char *segment);
/** A counter's value in one slot's row. */
uint64_t slot_info_counter(struct shm_counters *counters, unsigned slot, size_t counter);
/** The sum of a family in one slot's row: the counter of this name, or all those of this name with
 * labels in braces. */
uint64_t slot_info_sum(struct shm_counters *counters, unsigned slot, const char *family);

#endif
