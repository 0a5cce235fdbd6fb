/* SPDX-License-Identifier: MIT */
#include "inspect/commands/actor_commands.h"

#include <inttypes.h>
#include <stdio.h>

#include "inspect/core/object.h"
#include "inspect/core/slot_info.h"
#include "inspect/core/table_reader.h"
#include "inspect/core/text.h"
#include "shm/counters.h"

/* ---- workers ---- */

/* The slot's counters that are not zero. */
static struct json_object *slot_counters_object(struct shm_counters *counters, unsigned slot)
{
    struct json_object *object = object_new();
    for (size_t i = 0; i < shm_counters_count(counters); i++) {
        uint64_t value = slot_info_counter(counters, slot, i);
        if (value != 0)
            object_add_number(object, shm_counters_name(counters, i), value);
    }
    return object;
}

static void worker_print_json(const struct shm_slot_info *info, struct shm_counters *counters)
{
    struct json_object *object = slot_info_object(info);
    if (counters != NULL)
        object_add(object, "counters", slot_counters_object(counters, info->slot));
    object_print(stdout, object);
}

static void worker_print_line(const struct shm_slot_info *info, struct shm_counters *counters)
{
    char started[TEXT_TIME_SIZE];
    text_format_time(started, (int64_t)info->started_at);
    printf("%4u %-7s %6u %8" PRIu32 " %-20s %-7s %6" PRIu64 " %9" PRIu64 " %12" PRIu64, info->slot,
           slot_info_kind_name(info->kind), info->number, info->pid, started,
           slot_info_state_name(info), info->behind, info->snapshots, info->held_bytes);
    if (counters != NULL)
        printf(" %12" PRIu64 " %11" PRIu64 "\n",
               slot_info_sum(counters, info->slot, SLOT_INFO_CALLS),
               slot_info_sum(counters, info->slot, SLOT_INFO_CONNECTIONS));
    else
        printf(" %12s %11s\n", "-", "-");
}

enum inspect_exit command_workers(const struct inspect_options *options)
{
    struct shm_store *store;
    enum inspect_exit code = table_attach(&store, options);
    if (code != INSPECT_DONE)
        return code;
    struct shm_counters *counters = slot_info_attach_counters(options->segment);
    if (!options->json)
        printf("%4s %-7s %6s %8s %-20s %-7s %6s %9s %12s %12s %11s\n", "slot", "kind", "number",
               "pid", "started", "state", "behind", "snapshots", "bytes held", "calls",
               "connections");
    struct shm_slot_info info;
    unsigned from = 0;
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

static const char *reader_state_name(const struct shm_pin_info *info)
{
    if (info->revoked)
        return "revoked";
    if (info->snapshots == 0)
        return "ended";
    return info->holder.alive ? "open" : "dead";
}

static void reader_print_json(const struct shm_pin_info *info)
{
    struct json_object *object = object_new();
    object_add_number(object, "slot", info->holder.slot);
    object_add_number(object, "pin", info->pin);
    object_add_string(object, "kind", slot_info_kind_name(info->holder.kind));
    object_add_number(object, "number", info->holder.number);
    object_add_number(object, "pid", info->holder.pid);
    object_add_bool(object, "alive", info->holder.alive);
    object_add_number(object, "version", info->version);
    object_add_number(object, "versions_behind", info->behind);
    object_add_number(object, "age_ms", info->age_ms);
    object_add_number(object, "snapshots", info->snapshots);
    object_add_number(object, "held_bodies", info->held_count);
    object_add_number(object, "held_bytes", info->held_bytes);
    object_add_bool(object, "revoked", info->revoked);
    object_print(stdout, object);
}

static void reader_print_line(const struct shm_pin_info *info)
{
    printf("%4u %-7s %6u %8" PRIu32 " %12" PRIu64 " %10" PRIu64 " %9" PRIu64 ".%" PRIu64
           " %9" PRIu64 " %10" PRIu64 " %12" PRIu64 " %s\n",
           info->holder.slot, slot_info_kind_name(info->holder.kind), info->holder.number,
           info->holder.pid, info->version, info->behind, info->age_ms / 1000,
           info->age_ms / 100 % 10, info->snapshots, info->held_count, info->held_bytes,
           reader_state_name(info));
}

enum inspect_exit command_readers(const struct inspect_options *options)
{
    struct shm_store *store;
    enum inspect_exit code = table_attach(&store, options);
    if (code != INSPECT_DONE)
        return code;
    if (!options->json)
        printf("%4s %-7s %6s %8s %12s %10s %11s %9s %10s %12s %s\n", "slot", "kind", "number",
               "pid", "version", "behind", "age (s)", "snapshots", "bodies", "bytes held", "state");
    struct shm_pin_info info;
    unsigned from = 0;
    while (shm_pin_next(store, &from, &info)) {
        if (options->json)
            reader_print_json(&info);
        else
            reader_print_line(&info);
    }
    shm_store_close(store);
    return INSPECT_DONE;
}
