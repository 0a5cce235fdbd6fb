/* SPDX-License-Identifier: MIT */
#include "inspect/commands/segment_commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inspect/core/disk_status.h"
#include "inspect/core/identity.h"
#include "inspect/core/object.h"
#include "inspect/core/segment_info.h"
#include "inspect/core/table_reader.h"
#include "inspect/core/text.h"
#include "shm/store.h"
#include "user/user.h"

/* ---- status ---- */

static void status_print_text(const struct shm_info *info)
{
    char created[TEXT_TIME_SIZE];
    text_format_time(created, (int64_t)info->created_at);
    fputs("segment         ", stdout);
    text_print(stdout, info->name, strnlen(info->name, sizeof(info->name)));
    printf("\nserver          %s\n", info->owned ? "attached" : "none");
    printf("created         %s\n", created);
    printf("users           %" PRIu64 " of at most %" PRIu64 "\n", info->users, info->max_users);
    printf("version         %" PRIu64 "\n", info->version);
    if (info->published != info->version)
        printf("published       %" PRIu64 "\n", info->published);
    printf("actors          %" PRIu64 " of %d slots\n", info->actors, SHM_SLOTS);
    printf("buckets         %" PRIu64 "\n", info->buckets);
    fputs("unique         ", stdout);
    for (unsigned key = 0; key < USER_KEYS; key++) {
        if (info->unique >> key & 1)
            printf(" %s", user_key_name(key));
    }
    printf(info->unique == 0 ? " only the id\n" : "\n");
    printf("bytes used      %" PRIu64 "\n", info->bytes_used);
    printf("bytes free      %" PRIu64 "\n", info->bytes_free);
    printf("bytes mapped    %" PRIu64 "\n", info->bytes_mapped);
    printf("bytes reserved  %" PRIu64 "\n", info->bytes_reserved);
    printf("retired         %" PRIu64 " bodies, %" PRIu64 " bytes\n", info->retired_count,
           info->retired_bytes);
    printf("snapshots keep  %" PRIu64 " bodies, %" PRIu64 " bytes of at most %" PRIu64 "\n",
           info->held_count, info->held_bytes, info->snapshot_max_bytes);
    if (info->requests != 0)
        printf("requests        %" PRIu64 " remembered, of at most %d\n", info->requests,
               SHM_REQUESTS_MAX);
    if (info->rebuilding)
        puts("rebuild         unfinished: a server is rebuilding the hash tables, or died in it");
}

static void status_print_disk(const struct disk_status *status)
{
    const struct shm_disk_info *disk = &status->disk;
    if (!status->kept) {
        puts("data file       none: the table is in memory only");
        return;
    }
    fputs("data file       ", stdout);
    text_print(stdout, disk->path, strnlen(disk->path, sizeof(disk->path)));
    printf("\njournal         %s", disk_status_state(status));
    if (status->journal_pid != 0)
        printf(", process %" PRIu32, status->journal_pid);
    if (disk->error != 0)
        printf(", %s", strerror(disk->error));
    printf("\non disk         version %" PRIu64 ", %" PRIu64 " commits behind\n", disk->version,
           status->commits);
}

enum inspect_exit command_status(const struct inspect_options *options)
{
    struct shm_store *store;
    enum inspect_exit code = table_attach(&store, options);
    if (code != INSPECT_DONE)
        return code;
    struct shm_info info;
    struct disk_status disk;
    shm_store_info(store, &info);
    disk_status_read(&disk, store, &info);
    if (options->json) {
        object_print(stdout, segment_info_object(&info, &disk));
    } else {
        status_print_text(&info);
        status_print_disk(&disk);
    }
    shm_store_close(store);
    return INSPECT_DONE;
}

/* ---- verify ---- */

/* The JSON report keeps at most this many faults, because it is built in memory. Text is printed at
 * once and has no limit. */
enum { JSON_FAULTS_MAX = 1000 };

static void print_fault_line(void *data, const char *line)
{
    (void)data;
    text_print(stdout, line, strlen(line));
    putc('\n', stdout);
}

static void keep_fault_line(void *data, const char *line)
{
    struct json_object *lines = data;
    if (json_object_array_length(lines) < JSON_FAULTS_MAX)
        object_append(lines, object_new_text(line, strlen(line)));
}

static void verify_print_json(const struct shm_verify_report *report, struct json_object *lines)
{
    struct json_object *object = object_new();
    object_add_number(object, "faults", report->faults);
    object_add_number(object, "users", report->users);
    object_add_number(object, "bodies", report->bodies);
    object_add_number(object, "free_blocks", report->free_blocks);
    object_add_number(object, "bytes_used", report->bytes_used);
    object_add_number(object, "bytes_free", report->bytes_free);
    object_add_number(object, "bytes_tables", report->bytes_tables);
    object_add(object, "fault_lines", lines);
    object_print(stdout, object);
}

static void verify_print_text(const struct shm_verify_report *report)
{
    printf("%" PRIu64 " users, %" PRIu64 " bodies, %" PRIu64 " bytes used, %" PRIu64
           " bytes free in %" PRIu64 " blocks: %" PRIu64 " %s\n",
           report->users, report->bodies, report->bytes_used, report->bytes_free,
           report->free_blocks, report->faults, report->faults == 1 ? "fault" : "faults");
}

enum inspect_exit command_verify(const struct inspect_options *options)
{
    struct shm_store *store;
    enum inspect_exit code = table_attach(&store, options);
    if (code != INSPECT_DONE)
        return code;
    struct shm_verify_report report = {0};
    struct json_object *lines = options->json ? object_new_array() : NULL;
    int error =
        shm_store_verify(store, &report, options->json ? keep_fault_line : print_fault_line, lines);
    shm_store_close(store);
    if (error != SHM_OK && error != SHM_ECORRUPT) {
        json_object_put(lines);
        return report_fail(INSPECT_FAILED, "segment %s: cannot be verified: %s", options->segment,
                           shm_strerror(error));
    }
    if (options->json)
        verify_print_json(&report, lines);
    else
        verify_print_text(&report);
    if (error == SHM_OK)
        return INSPECT_DONE;
    return report_fail(INSPECT_FAILED, "segment %s: %" PRIu64 " faults found", options->segment,
                       report.faults);
}

/* ---- unlink ---- */

enum inspect_exit command_unlink(const struct inspect_options *options)
{
    /* Root may remove a segment of any user from /dev/shm, but trusts no user's directory. */
    enum inspect_exit code = strchr(options->segment + 1, '/') != NULL
                                 ? identity_become_user(options->segment)
                                 : INSPECT_DONE;
    if (code != INSPECT_DONE)
        return code;
    struct shm_fault fault = {{0}};
    if (geteuid() == 0 && strchr(options->segment + 1, '/') != NULL &&
        !shm_store_exists(options->segment))
        return report_fail(INSPECT_NO_SEGMENT, "segment %s: no such segment", options->segment);
    int error = shm_store_unlink(options->segment, &fault);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    if (options->json) {
        struct json_object *object = object_new();
        object_add_string(object, "unlinked", options->segment);
        object_print(stdout, object);
    } else {
        printf("%s removed\n", options->segment);
    }
    return INSPECT_DONE;
}
