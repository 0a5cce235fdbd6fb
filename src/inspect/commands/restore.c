/* SPDX-License-Identifier: MIT */
#include "inspect/commands/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/core/data_place.h"
#include "inspect/core/guard.h"
#include "inspect/core/object.h"
#include "inspect/core/progress.h"
#include "inspect/core/text.h"
#include "journal/data_lock.h"
#include "journal/data_restore.h"
#include "shm/store.h"

enum { WRITER_WAIT_MS = 2000 }; /* for a tool that is about to end */

struct restore_work {
    const struct inspect_options *options;
    const char *path; /* of the backup, as typed */
    struct data_place place;
    struct data_restore restore;
    struct stat backup;
    char old_segment[256]; /* where it is now; "": there was none that belongs to the file */
};

/* ---- the backup ---- */

/* Beside a log a file is not complete by itself: somebody has copied a data file. */
static bool has_log(const char *path)
{
    char log[PATH_MAX + 8];
    struct stat st;
    int len = snprintf(log, sizeof(log), "%s-wal", path);
    return len > 0 && len < (int)sizeof(log) && stat(log, &st) == 0 && st.st_size > 0;
}

static enum inspect_exit open_backup(struct restore_work *work)
{
    const char *path = work->path;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &work->backup) != 0)
        return report_fail(INSPECT_FAILED, "%s: cannot open it: %s", path, strerror(errno));
    work->restore.from = fd;
    if (!S_ISREG(work->backup.st_mode))
        return report_fail(INSPECT_FAILED, "%s: not a regular file", path);
    if (has_log(path))
        return report_fail(INSPECT_FAILED,
                           "%s: is not a backup: beside it lies %s-wal, its write-ahead log (see: "
                           "--data-file %s backup)",
                           path, path, path);
    return INSPECT_DONE;
}

static enum inspect_exit check_backup(struct restore_work *work)
{
    struct fault fault;
    struct progress progress;
    progress_start(&progress, "check  ", 0, false);
    progress.unit = NULL;
    enum data_result result = data_check(work->restore.from, work->path, data_place_show, &progress,
                                         &work->restore.meta, &fault);
    progress_clear(&progress);
    return result == DATA_OK ? INSPECT_DONE : data_place_fail(work->path, &fault);
}

/* ---- the data file and its segment ---- */

/* A segment belongs to the file that it names, and to the file that has its store's id. Others are
 * left alone. */
static bool segment_belongs(const struct restore_work *work)
{
    const struct data_place *place = &work->place;
    char named[DATA_PATH_SIZE];
    struct fault ignored;
    if (!place->has_segment)
        return false;
    if (work->restore.old_is_valid &&
        memcmp(place->store_id, work->restore.old.store, sizeof(place->store_id)) == 0)
        return true;
    return place->segment_data_file[0] != '\0' &&
           data_path_resolve(place->segment_data_file, named, &ignored) == DATA_OK &&
           strcmp(named, place->path) == 0;
}

static enum inspect_exit refuse_served(const struct restore_work *work)
{
    return report_fail(INSPECT_FAILED, "segment %s: a server uses it: stop the server first",
                       work->options->segment);
}

static enum inspect_exit lock_data_file(const struct restore_work *work)
{
    struct fault fault;
    int server, writer; /* held until the program ends */
    if (data_lock_server(work->place.path, &server, &fault) == DATA_OK &&
        data_lock_writer(work->place.path, WRITER_WAIT_MS, &writer, &fault) == DATA_OK)
        return INSPECT_DONE;
    return report_fault(INSPECT_FAILED, &fault);
}

static enum inspect_exit prepare_place(struct restore_work *work)
{
    struct stat st;
    enum inspect_exit code = data_place_find(&work->place, work->options);
    if (code != INSPECT_DONE)
        return code;
    if (stat(work->place.path, &st) == 0 && st.st_ino == work->backup.st_ino &&
        st.st_dev == work->backup.st_dev)
        return report_fail(INSPECT_FAILED, "%s: is the data file itself", work->path);
    if (segment_belongs(work) && work->place.served)
        return refuse_served(work);
    return lock_data_file(work);
}

static enum inspect_exit replace_data_file(struct restore_work *work)
{
    /* Of a damaged segment. No table comes to such numbers. */
    const uint64_t beyond_belief = INT64_MAX / 2;
    struct data_restore *restore = &work->restore;
    struct fault fault;
    struct progress progress;
    restore->path = work->place.path;
    restore->name = work->path;
    if (data_restore_look(restore, &fault) != DATA_OK)
        return report_fault(INSPECT_FAILED, &fault);
    bool belongs = segment_belongs(work);
    if (belongs && work->place.served)
        return refuse_served(work);
    if (belongs && work->place.version < beyond_belief && work->place.seq < beyond_belief) {
        restore->version = work->place.version;
        restore->seq = work->place.seq;
    }
    progress_start(&progress, "restore", 0, false);
    restore->progress = data_place_show;
    restore->data = &progress;
    enum data_result result = data_restore_run(restore, &fault);
    progress_clear(&progress);
    return result == DATA_OK ? INSPECT_DONE : data_place_fail(work->path, &fault);
}

/* After the file, so that a restore that is killed in between loses nothing that only the segment
 * has: a start refuses the two together. */
static enum inspect_exit set_segment_aside(struct restore_work *work)
{
    struct shm_fault fault = {{0}};
    if (!segment_belongs(work))
        return INSPECT_DONE;
    int error = shm_store_set_aside(work->options->segment, work->old_segment, &fault);
    if (error == SHM_OK || error == SHM_ENOSEG)
        return INSPECT_DONE;
    return report_fail(INSPECT_FAILED,
                       "%s; the data file is restored: start rosterd with --segment-reset",
                       fault.text);
}

/* ---- what was done ---- */

static void print_place(const char *label, const char *name)
{
    if (name[0] == '\0')
        return;
    fputs(label, stdout);
    text_print(stdout, name, strlen(name));
    putchar('\n');
}

static void restore_print_summary(const struct restore_work *work)
{
    const struct data_restore *restore = &work->restore;
    if (work->options->json) {
        struct json_object *object = object_new();
        object_add_number(object, "users", restore->meta.count);
        object_add_number(object, "version", restore->meta.version);
        object_add_string(object, "data_file", restore->path);
        object_add_string(object, "old_data_file", restore->kept);
        object_add_string(object, "old_segment", work->old_segment);
        object_print(stdout, object);
        return;
    }
    printf("%" PRIu64 " users, now version %" PRIu64 ": ", restore->meta.count,
           restore->meta.version);
    print_place("", restore->path);
    print_place("the old data file is kept as ", restore->kept);
    print_place("the old segment is kept as ", work->old_segment);
}

enum inspect_exit command_restore(const struct inspect_options *options)
{
    static struct restore_work work;
    work.options = options;
    work.path = options->operands[0];
    guard_hold_signals(); /* an interrupted restore leaves the old file, and nothing beside it */
    enum inspect_exit code = open_backup(&work);
    if (code == INSPECT_DONE)
        code = prepare_place(&work);
    if (code == INSPECT_DONE)
        code = check_backup(&work);
    if (code == INSPECT_DONE)
        code = replace_data_file(&work);
    if (code != INSPECT_DONE)
        return code;
    code = set_segment_aside(&work);
    restore_print_summary(&work);
    return code;
}
