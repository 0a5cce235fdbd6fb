/* SPDX-License-Identifier: MIT */
#include "inspect/commands/backup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "inspect/core/data_place.h"
#include "inspect/core/guard.h"
#include "inspect/core/object.h"
#include "inspect/core/progress.h"
#include "inspect/core/sink.h"
#include "inspect/core/text.h"
#include "journal/data_file.h"

struct backup_work {
    const struct inspect_options *options;
    const char *path;              /* of the backup, as typed */
    char resolved[DATA_PATH_SIZE]; /* its absolute name */
    struct data_place place;
    struct sink sink;
    struct data_meta meta;
    uint64_t bytes;
};

/* A backup with such a name would be taken for a part of the table; PATH.new even replaces it. */
static bool is_beside_data_file(const struct backup_work *work)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal", ".lock", ".tmp", ".new"};
    size_t len = strlen(work->place.path);
    if (strncmp(work->resolved, work->place.path, len) != 0)
        return false;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        if (strcmp(work->resolved + len, suffixes[i]) == 0)
            return true;
    return work->resolved[len] == '\0';
}

/* Waits, for some seconds, while the file is being replaced, as by a server after a failure, or is
 * locked. */
static enum data_result copy_patiently(struct backup_work *work, struct progress *progress,
                                       struct fault *fault)
{
    enum { PATIENCE_MS = 10000 };
    const struct timespec pause = {.tv_nsec = 100000000};
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;
    for (;;) {
        enum data_result result = data_backup(work->place.path, fileno(work->sink.file), work->path,
                                              data_place_show, progress, fault);
        if (result != DATA_BUSY || clock_monotonic_ms() >= until || guard_stopped())
            return result;
        nanosleep(&pause, NULL);
    }
}

static enum inspect_exit copy_and_check(struct backup_work *work)
{
    struct fault fault;
    struct progress progress;
    struct stat st;
    int fd = fileno(work->sink.file);
    progress_start(&progress, "backup", 0, false);
    progress.unit = "pages";
    enum data_result result = copy_patiently(work, &progress, &fault);
    progress_clear(&progress);
    if (result != DATA_OK)
        return data_place_fail(work->path, &fault);
    progress_start(&progress, "check ", 0, false);
    progress.unit = NULL;
    result = data_check(fd, work->path, data_place_show, &progress, &work->meta, &fault);
    progress_clear(&progress);
    if (result == DATA_INVALID) {
        const struct fault of_copy = fault;
        fault_set(&fault,
                  "%.500s; this is the copy, which is removed. If the next backup says the same, "
                  "data-file %.300s is damaged",
                  of_copy.text, work->place.path);
    }
    if (result != DATA_OK)
        return data_place_fail(work->path, &fault);
    work->bytes = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    return INSPECT_DONE;
}

static void backup_print_summary(const struct backup_work *work)
{
    if (work->options->json) {
        struct json_object *object = object_new();
        object_add_number(object, "users", work->meta.count);
        object_add_number(object, "version", work->meta.version);
        object_add_number(object, "bytes", work->bytes);
        object_add_string(object, "data_file", work->place.path);
        object_add_string(object, "output", work->path);
        object_print(stdout, object);
        return;
    }
    printf("%" PRIu64 " users as of version %" PRIu64 ", %" PRIu64 " bytes: ", work->meta.count,
           work->meta.version, work->bytes);
    text_print(stdout, work->path, strlen(work->path));
    putchar('\n');
}

/* Root opens the file before it becomes another user. Others open it when the data file is known:
 * until then the program may restart (restart.h), and the second one would find the first one's
 * temporary file. */
static enum inspect_exit open_both(struct backup_work *work)
{
    bool early = geteuid() == 0;
    enum inspect_exit code = early ? sink_open_new(&work->sink, work->path) : INSPECT_DONE;
    if (code == INSPECT_DONE)
        code = data_place_find(&work->place, work->options);
    if (code == INSPECT_DONE && is_beside_data_file(work))
        code = report_fail(INSPECT_FAILED, "%s: this name belongs to the data file", work->path);
    if (code == INSPECT_DONE && !early)
        code = sink_open_new(&work->sink, work->path);
    return code;
}

enum inspect_exit command_backup(const struct inspect_options *options)
{
    static struct backup_work work;
    struct fault fault;
    work.options = options;
    work.path = options->operands[0];
    if (data_path_resolve(work.path, work.resolved, &fault) != DATA_OK)
        return data_place_fail(work.path, &fault);
    guard_hold_signals(); /* an interrupted backup removes its temporary file */
    enum inspect_exit code = open_both(&work);
    if (code == INSPECT_DONE)
        code = copy_and_check(&work);
    if (code != INSPECT_DONE) {
        if (work.sink.file != NULL)
            sink_abandon(&work.sink);
        return code;
    }
    code = sink_commit(&work.sink);
    if (code == INSPECT_DONE)
        backup_print_summary(&work);
    return code;
}
