/* SPDX-License-Identifier: MIT */
/* Commands on the segment as a whole: status, verify, stats, unlink. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "inspect/inspect.h"
#include "inspect/text.h"
#include "shm/counters.h"
#include "shm/store.h"

/* A JSON report keeps this many faults; text has no bound, for it streams. */
enum { JSON_FAULTS_MAX = 1000 };

static void put_number(struct json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

static void status_print_json(const struct shm_info *info)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "name",
                           text_json_string(info->name, strnlen(info->name, sizeof(info->name))));
    json_object_object_add(object, "owned", json_object_new_boolean(info->owned));
    put_number(object, "users", info->users);
    put_number(object, "max_users", info->max_users);
    put_number(object, "version", info->version);
    put_number(object, "actors", info->actors);
    put_number(object, "buckets", info->buckets);
    put_number(object, "bytes_used", info->bytes_used);
    put_number(object, "bytes_mapped", info->bytes_mapped);
    put_number(object, "bytes_reserved", info->bytes_reserved);
    put_number(object, "created_at", info->created_at);
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
    printf("bytes used      %" PRIu64 "\n", info->bytes_used);
    printf("bytes mapped    %" PRIu64 "\n", info->bytes_mapped);
    printf("bytes reserved  %" PRIu64 "\n", info->bytes_reserved);
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

    put_number(object, "faults", report->faults);
    put_number(object, "users", report->users);
    put_number(object, "bodies", report->bodies);
    put_number(object, "free_blocks", report->free_blocks);
    put_number(object, "bytes_used", report->bytes_used);
    put_number(object, "bytes_free", report->bytes_free);
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
        put_number(object, shm_counters_name(counters, i), shm_counters_sum(counters, i));
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
