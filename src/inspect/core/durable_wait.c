/* SPDX-License-Identifier: MIT */
#include "inspect/core/durable_wait.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "inspect/core/disk_status.h"
#include "inspect/core/guard.h"

enum {
    PAUSE_NS = 1000 * 1000,
    LOOK_MS = 100,        /* between two looks at everything but the commit */
    FULL_MS = 5000,       /* as long as a client without a deadline waits for a full disk */
    STUCK_MS = 60 * 1000, /* without another commit in the data file */
};

struct durable {
    const struct table_writer *writer;
    struct disk_status status;
    uint64_t began_ms;
    uint64_t moved_ms; /* when the data file got its last commit */
    uint64_t moved;    /* that commit */
};

static bool durable_is_published(const struct table_writer *writer)
{
    return writer->version <= shm_published(writer->store);
}

static void durable_look(struct durable *wait, uint64_t now)
{
    struct shm_info info;
    shm_store_info(wait->writer->store, &info);
    disk_status_read(&wait->status, wait->writer->store, &info);
    if (wait->status.disk.version != wait->moved)
        wait->moved_ms = now;
    wait->moved = wait->status.disk.version;
}

static enum inspect_exit fail_unpublished(const struct durable *wait, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static enum inspect_exit fail_unpublished(const struct durable *wait, const char *format, ...)
{
    char why[256];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    return report_fail(INSPECT_FAILED, "%s: written, but not on disk yet: %s",
                       wait->writer->segment, why);
}

/* Says what becomes of what was written to a table without a server. */
static void report_no_server(const struct durable *wait)
{
    const char *shown = wait->status.disk.durable ? "; it is not shown before" : "";
    report_fail(INSPECT_DONE,
                "%s has no server: what was written is in memory only, and lost with it, until one "
                "starts and writes it to %s%s",
                wait->writer->segment, wait->status.disk.path, shown);
}

/* @return INSPECT_DONE: the command waits on; otherwise the reason has been reported */
static enum inspect_exit judge_patience(const struct durable *wait, uint64_t now)
{
    const struct disk_status *status = &wait->status;
    if (status->disk.state == SHM_DISK_FAILED)
        return fail_unpublished(wait, "the data file has failed");
    if (status->disk.state == SHM_DISK_FULL && now - wait->began_ms > FULL_MS)
        return fail_unpublished(wait, "the disk of the data file is full");
    if (guard_stopped())
        return fail_unpublished(wait, "interrupted");
    if (now - wait->moved_ms <= STUCK_MS)
        return INSPECT_DONE;
    if (status->journal_pid == 0)
        return fail_unpublished(wait, "there is no journal process");
    return fail_unpublished(wait,
                            "the journal, process %" PRIu32 ", has written nothing for a minute",
                            status->journal_pid);
}

/* Until a commit is published, or the server has ended, or there is no patience left. */
static enum inspect_exit wait_for_server(struct durable *wait)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    uint64_t looked_ms = wait->began_ms;
    while (!durable_is_published(wait->writer) && wait->status.served) {
        guard_progress();
        nanosleep(&pause, NULL);
        uint64_t now = clock_monotonic_ms();
        if (now - looked_ms < LOOK_MS)
            continue;
        looked_ms = now;
        durable_look(wait, now);
        enum inspect_exit code = judge_patience(wait, now);
        if (code != INSPECT_DONE)
            return code;
    }
    return INSPECT_DONE;
}

enum inspect_exit durable_wait(const struct table_writer *writer)
{
    if (writer->version == 0)
        return INSPECT_DONE;
    uint64_t now = clock_monotonic_ms();
    struct durable wait = {.writer = writer, .began_ms = now, .moved_ms = now};
    durable_look(&wait, now);
    enum inspect_exit code = wait_for_server(&wait);
    if (code == INSPECT_DONE && !wait.status.served && wait.status.kept)
        report_no_server(&wait);
    return code;
}
