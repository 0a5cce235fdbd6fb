/* SPDX-License-Identifier: MIT */
#include "inspect/core/slot_info.h"

#include <string.h>

#include "inspect/core/object.h"

const char *slot_info_kind_name(enum shm_actor_kind kind)
{
    switch (kind) {
    case SHM_ACTOR_MASTER:
        return "master";
    case SHM_ACTOR_WORKER:
        return "worker";
    case SHM_ACTOR_JOURNAL:
        return "journal";
    case SHM_ACTOR_TOOL:
        return "tool";
    }
    return "unknown";
}

const char *slot_info_state_name(const struct shm_slot_info *info)
{
    if (!info->alive)
        return "dead";
    return info->online ? "busy" : "idle";
}

struct json_object *slot_info_object(const struct shm_slot_info *info)
{
    struct json_object *object = object_new();
    object_add_number(object, "slot", info->slot);
    object_add_string(object, "kind", slot_info_kind_name(info->kind));
    object_add_number(object, "number", info->number);
    object_add_number(object, "pid", info->pid);
    object_add_number(object, "started_at", info->started_at);
    object_add_bool(object, "alive", info->alive);
    object_add_string(object, "state", slot_info_state_name(info));
    object_add_number(object, "grace_periods_behind", info->behind);
    object_add_number(object, "snapshots", info->snapshots);
    object_add_number(object, "held_bodies", info->held_count);
    object_add_number(object, "held_bytes", info->held_bytes);
    return object;
}

struct shm_counters *slot_info_attach_counters(const char *segment)
{
    struct shm_counters *counters;
    return shm_counters_attach(&counters, segment, NULL) == SHM_OK ? counters : NULL;
}

uint64_t slot_info_counter(struct shm_counters *counters, unsigned slot, size_t counter)
{
    return __atomic_load_n(&shm_counters_row(counters, slot)[counter], __ATOMIC_RELAXED);
}

uint64_t slot_info_sum(struct shm_counters *counters, unsigned slot, const char *family)
{
    size_t len = strlen(family);
    uint64_t sum = 0;
    for (size_t i = 0; i < shm_counters_count(counters); i++) {
        const char *name = shm_counters_name(counters, i);
        if (strncmp(name, family, len) == 0 && (name[len] == '{' || name[len] == '\0'))
            sum += slot_info_counter(counters, slot, i);
    }
    return sum;
}
