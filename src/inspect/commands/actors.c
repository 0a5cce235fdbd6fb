/* SPDX-License-Identifier: MIT */
/* Commands on who takes part: workers, readers. */
#include "inspect/commands/actors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "inspect/core/inspect.h"
#include "inspect/core/text.h"

const char *actors_kind_name(enum shm_actor_kind kind)
{
    switch (kind) {
    case SHM_ACTOR_MASTER:
        return "master";
    case SHM_ACTOR_WORKER:
        return "worker";
    case SHM_ACTOR_TOOL:
        return "tool";
    }
    return "unknown";
}

const char *actors_state_name(const struct shm_slot_info *info)
{
    if (!info->alive)
        return "dead";
    return info->online ? "online" : "offline";
}

static const char *reader_state(const struct shm_pin_info *info)
{
    if (info->revoked)
        return "revoked";
    if (info->snapshots == 0)
        return "ended";
    return info->holder.alive ? "open" : "dead";
}

/* ---- counters of one slot ---- */

struct shm_counters *actors_counters(const char *segment)
{
    struct shm_counters *counters;

    return shm_counters_attach(&counters, segment, NULL) == SHM_OK ? counters : NULL;
}

uint64_t actors_sum(struct shm_counters *counters, unsigned slot, const char *family)
{
    size_t len = strlen(family);
    uint64_t sum = 0;

    for (size_t i = 0; i < shm_counters_count(counters); i++) {
        const char *name = shm_counters_name(counters, i);
        if (strncmp(name, family, len) == 0 && (name[len] == '{' || name[len] == '\0'))
            sum += __atomic_load_n(&shm_counters_row(counters, slot)[i], __ATOMIC_RELAXED);
    }
    return sum;
}

static struct json_object *counters_object(struct shm_counters *counters, unsigned slot)
{
    struct json_object *object = json_object_new_object();

    for (size_t i = 0; i < shm_counters_count(counters); i++) {
        uint64_t value = __atomic_load_n(&shm_counters_row(counters, slot)[i], __ATOMIC_RELAXED);
        if (value != 0)
            text_json_number(object, shm_counters_name(counters, i), value);
    }
    return object;
}

/* ---- workers ---- */

struct json_object *actors_slot_object(const struct shm_slot_info *info)
{
    struct json_object *object = json_object_new_object();

    text_json_number(object, "slot", info->slot);
    json_object_object_add(object, "kind", json_object_new_string(actors_kind_name(info->kind)));
    text_json_number(object, "number", info->number);
    text_json_number(object, "pid", info->pid);
    text_json_number(object, "started_at", info->started_at);
    json_object_object_add(object, "alive", json_object_new_boolean(info->alive));
    json_object_object_add(object, "online", json_object_new_boolean(info->online));
    text_json_number(object, "grace_periods_behind", info->behind);
    text_json_number(object, "snapshots", info->snapshots);
    text_json_number(object, "held_bodies", info->held_count);
    text_json_number(object, "held_bytes", info->held_bytes);
    return object;
}

static void worker_print_json(const struct shm_slot_info *info, struct shm_counters *counters)
{
    struct json_object *object = actors_slot_object(info);

    if (counters != NULL)
        json_object_object_add(object, "counters", counters_object(counters, info->slot));
    text_print_json(stdout, object);
    json_object_put(object);
}

static void worker_print_line(const struct shm_slot_info *info, struct shm_counters *counters)
{
    char started[TEXT_TIME_SIZE];

    text_time_format(started, (int64_t)info->started_at);
    printf("%4u %-7s %6u %8" PRIu32 " %-20s %-7s %6" PRIu64 " %9" PRIu64 " %12" PRIu64, info->slot,
           actors_kind_name(info->kind), info->number, info->pid, started, actors_state_name(info),
           info->behind, info->snapshots, info->held_bytes);
    if (counters != NULL)
        printf(" %12" PRIu64 " %11" PRIu64 "\n", actors_sum(counters, info->slot, ACTORS_CALLS),
               actors_sum(counters, info->slot, ACTORS_CONNECTIONS));
    else
        printf(" %12s %11s\n", "-", "-");
}

enum inspect_exit inspect_workers(const struct inspect_options *options)
{
    struct shm_store *store;
    struct shm_slot_info info;
    unsigned from = 0;
    enum inspect_exit code = inspect_attach(&store, options);

    if (code != INSPECT_DONE)
        return code;
    struct shm_counters *counters = actors_counters(options->segment);
    if (!options->json)
        printf("%4s %-7s %6s %8s %-20s %-7s %6s %9s %12s %12s %11s\n", "slot", "kind", "number",
               "pid", "started", "state", "behind", "snapshots", "bytes held", "calls",
               "connections");
    while (shm_slot_next(store, &from, &info)) {
        if (options->json)
            worker_print_json(&info, counters);
        else
            worker_print_line(&info, counters);
    }
    shm_counters_close(counters);
    shm_store_close(store);
    return INSPECT_DONE;
}

/* ---- readers ---- */

static void reader_print_json(const struct shm_pin_info *info)
{
    struct json_object *object = json_object_new_object();

    text_json_number(object, "slot", info->holder.slot);
    text_json_number(object, "pin", info->pin);
    json_object_object_add(object, "kind",
                           json_object_new_string(actors_kind_name(info->holder.kind)));
    text_json_number(object, "number", info->holder.number);
    text_json_number(object, "pid", info->holder.pid);
    json_object_object_add(object, "alive", json_object_new_boolean(info->holder.alive));
    text_json_number(object, "version", info->version);
    text_json_number(object, "versions_behind", info->behind);
    text_json_number(object, "age_ms", info->age_ms);
    text_json_number(object, "snapshots", info->snapshots);
    text_json_number(object, "held_bodies", info->held_count);
    text_json_number(object, "held_bytes", info->held_bytes);
    json_object_object_add(object, "revoked", json_object_new_boolean(info->revoked));
    text_print_json(stdout, object);
    json_object_put(object);
}

static void reader_print_line(const struct shm_pin_info *info)
{
    printf("%4u %-7s %6u %8" PRIu32 " %12" PRIu64 " %10" PRIu64 " %9" PRIu64 ".%" PRIu64
           " %9" PRIu64 " %10" PRIu64 " %12" PRIu64 " %s\n",
           info->holder.slot, actors_kind_name(info->holder.kind), info->holder.number,
           info->holder.pid, info->version, info->behind, info->age_ms / 1000,
           info->age_ms / 100 % 10, info->snapshots, info->held_count, info->held_bytes,
           reader_state(info));
}

enum inspect_exit inspect_readers(const struct inspect_options *options)
{
    struct shm_store *store;
    struct shm_pin_info info;
    unsigned from = 0;
    enum inspect_exit code = inspect_attach(&store, options);

    if (code != INSPECT_DONE)
        return code;
    if (!options->json)
        printf("%4s %-7s %6s %8s %12s %10s %11s %9s %10s %12s %s\n", "slot", "kind", "number",
               "pid", "version", "behind", "age (s)", "snapshots", "bodies", "bytes held", "state");
    while (shm_pin_next(store, &from, &info)) {
        if (options->json)
            reader_print_json(&info);
        else
            reader_print_line(&info);
    }
    shm_store_close(store);
    return INSPECT_DONE;
}
