/* SPDX-License-Identifier: MIT */
/* Commands on the segment as a whole: status, verify, stats, unlink. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "inspect/core/inspect.h"
#include "inspect/core/status.h"
#include "inspect/core/text.h"
#include "shm/counters.h"
#include "shm/store.h"
#include "user/user.h"

/* A JSON report keeps this many faults; text has no bound, for it streams. */
enum { JSON_FAULTS_MAX = 1000 };

static struct json_object *unique_object(unsigned unique)
{
    struct json_object *names = json_object_new_array();

    for (unsigned key = 0; key < USER_KEYS; key++) {
        if (unique >> key & 1)
            json_object_array_add(names, json_object_new_string(user_key_name(key)));
    }
    return names;
}

struct json_object *status_object(const struct shm_info *info)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "name",
                           text_json_string(info->name, strnlen(info->name, sizeof(info->name))));
    json_object_object_add(object, "owned", json_object_new_boolean(info->owned));
    text_json_number(object, "users", info->users);
    text_json_number(object, "max_users", info->max_users);
    text_json_number(object, "version", info->version);
    text_json_number(object, "actors", info->actors);
    text_json_number(object, "buckets", info->buckets);
    text_json_number(object, "bytes_used", info->bytes_used);
    text_json_number(object, "bytes_free", info->bytes_free);
    text_json_number(object, "bytes_mapped", info->bytes_mapped);
    text_json_number(object, "bytes_reserved", info->bytes_reserved);
    json_object_object_add(object, "unique", unique_object(info->unique));
    text_json_number(object, "retired_bodies", info->retired_count);
    text_json_number(object, "retired_bytes", info->retired_bytes);
    text_json_number(object, "held_bodies", info->held_count);
    text_json_number(object, "held_bytes", info->held_bytes);
    text_json_number(object, "snapshot_max_bytes", info->snapshot_max_bytes);
    json_object_object_add(object, "rebuilding", json_object_new_boolean(info->rebuilding));
    text_json_number(object, "created_at", info->created_at);
    return object;
}

static void status_print_json(const struct shm_info *info)
{
    struct json_object *object = status_object(info);

    text_print_json(stdout, object);
    json_object_put(object);
}

static void status_print_text(const struct shm_info *info)
{
    char created[TEXT_TIME_SIZE];

    text_time_format(created, (int64_t)info->created_at);
    fputs("segment         ", stdout);
    text_print(stdout, info->name, strnlen(info->name, sizeof(info->name)));
    printf("\nserver          %s\n", info->owned ? "attached" : "none");
    printf("created         %s\n", created);
    printf("users           %" PRIu64 " of at most %" PRIu64 "\n", info->users, info->max_users);
    printf("version         %" PRIu64 "\n", info->version);
    printf("actors          %" PRIu64 " of %d slots\n", info->actors, SHM_SLOTS);
    printf("buckets         %" PRIu64 "\n", info->buckets);
    fputs("unique         ", stdout);
    for (unsigned key = 0; key < USER_KEYS; key++) {
        if (info->unique >> key & 1)
            printf(" %s", user_key_name(key));
    }
    printf(info->unique == 0 ? " nothing but the id\n" : "\n");
    printf("bytes used      %" PRIu64 "\n", info->bytes_used);
    printf("bytes free      %" PRIu64 "\n", info->bytes_free);
    printf("bytes mapped    %" PRIu64 "\n", info->bytes_mapped);
    printf("bytes reserved  %" PRIu64 "\n", info->bytes_reserved);
    printf("retired         %" PRIu64 " bodies, %" PRIu64 " bytes\n", info->retired_count,
           info->retired_bytes);
    printf("snapshots keep  %" PRIu64 " bodies, %" PRIu64 " bytes of at most %" PRIu64 "\n",
           info->held_count, info->held_bytes, info->snapshot_max_bytes);
    if (info->rebuilding)
        puts("rebuild         not finished: a server makes new hash tables, or died in it");
}

enum inspect_exit inspect_status(const struct inspect_options *options)
{
    struct shm_store *store;
    struct shm_info info;
    enum inspect_exit code = inspect_attach(&store, options);

    if (code != INSPECT_DONE)
        return code;
    shm_store_info(store, &info);
    if (options->json)
        status_print_json(&info);
    else
        status_print_text(&info);
    shm_store_close(store);
    return INSPECT_DONE;
}

static void fault_print(void *data, const char *line)
{
    (void)data;
    text_print(stdout, line, strlen(line));
    putc('\n', stdout);
}

static void fault_keep(void *data, const char *line)
{
    struct json_object *lines = data;

    if (json_object_array_length(lines) < JSON_FAULTS_MAX)
        json_object_array_add(lines, text_json_string(line, strlen(line)));
}

static void verify_print_json(const struct shm_verify_report *report, struct json_object *lines)
{
    struct json_object *object = json_object_new_object();

    text_json_number(object, "faults", report->faults);
    text_json_number(object, "users", report->users);
    text_json_number(object, "bodies", report->bodies);
    text_json_number(object, "free_blocks", report->free_blocks);
    text_json_number(object, "bytes_used", report->bytes_used);
    text_json_number(object, "bytes_free", report->bytes_free);
    text_json_number(object, "bytes_tables", report->bytes_tables);
    json_object_object_add(object, "fault_lines", lines);
    text_print_json(stdout, object);
    json_object_put(object);
}

static void verify_print_text(const struct shm_verify_report *report)
{
    printf("%" PRIu64 " users, %" PRIu64 " bodies, %" PRIu64 " bytes used, %" PRIu64
           " bytes free in %" PRIu64 " blocks: %" PRIu64 " %s\n",
           report->users, report->bodies, report->bytes_used, report->bytes_free,
           report->free_blocks, report->faults, report->faults == 1 ? "fault" : "faults");
}

enum inspect_exit inspect_verify(const struct inspect_options *options)
{
    struct shm_store *store;
    struct shm_verify_report report = {0};
    enum inspect_exit code = inspect_attach(&store, options);

    if (code != INSPECT_DONE)
        return code;
    struct json_object *lines = options->json ? json_object_new_array() : NULL;
    int error = shm_store_verify(store, &report, options->json ? fault_keep : fault_print, lines);
    shm_store_close(store);
    if (error != SHM_OK && error != SHM_ECORRUPT) {
        json_object_put(lines);
        return inspect_fail(INSPECT_FAILED, "%s: it could not be checked: %s", options->segment,
                            shm_strerror(error));
    }
    if (options->json)
        verify_print_json(&report, lines);
    else
        verify_print_text(&report);
    if (error == SHM_OK)
        return INSPECT_DONE;
    return inspect_fail(INSPECT_FAILED, "%s: %" PRIu64 " of the segment's invariants are broken",
                        options->segment, report.faults);
}

static void stats_print_json(const struct shm_counters *counters)
{
    struct json_object *object = json_object_new_object();

    for (size_t i = 0; i < shm_counters_count(counters); i++)
        text_json_number(object, shm_counters_name(counters, i), shm_counters_sum(counters, i));
    text_print_json(stdout, object);
    json_object_put(object);
}

static void stats_print_text(const struct shm_counters *counters, bool all)
{
    int width = 1;

    for (size_t i = 0; i < shm_counters_count(counters); i++) {
        int digits = snprintf(NULL, 0, "%" PRIu64, shm_counters_sum(counters, i));
        if (digits > width)
            width = digits;
    }
    for (size_t i = 0; i < shm_counters_count(counters); i++) {
        const char *name = shm_counters_name(counters, i);
        uint64_t sum = shm_counters_sum(counters, i);
        if (sum == 0 && !all)
            continue;
        printf("%*" PRIu64 "  ", width, sum);
        text_print(stdout, name, strlen(name));
        putchar('\n');
    }
}

enum inspect_exit inspect_stats(const struct inspect_options *options)
{
    struct shm_counters *counters;
    struct shm_fault fault = {{0}};
    enum inspect_exit code = inspect_become_user(options);

    if (code != INSPECT_DONE)
        return code;
    int error = shm_counters_attach(&counters, options->segment, &fault);

    if (error != SHM_OK)
        return inspect_fail_store(error, &fault);
    if (options->json)
        stats_print_json(counters);
    else
        stats_print_text(counters, options->all);
    shm_counters_close(counters);
    return INSPECT_DONE;
}

enum inspect_exit inspect_unlink(const struct inspect_options *options)
{
    struct shm_fault fault = {{0}};
    int error = shm_store_unlink(options->segment, &fault);

    if (error != SHM_OK)
        return inspect_fail_store(error, &fault);
    if (options->json) {
        struct json_object *object = json_object_new_object();
        json_object_object_add(object, "unlinked",
                               text_json_string(options->segment, strlen(options->segment)));
        text_print_json(stdout, object);
        json_object_put(object);
    } else {
        printf("%s is gone\n", options->segment);
    }
    return INSPECT_DONE;
}
