/* SPDX-License-Identifier: MIT */
#include "inspect/commands/dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inspect/core/guard.h"
#include "inspect/core/object.h"
#include "inspect/core/progress.h"
#include "inspect/core/record.h"
#include "inspect/core/sink.h"
#include "inspect/core/table_reader.h"
#include "inspect/core/text.h"
#include "shm/careful.h"

/* The counting pass leaves its read section after this many users, so that retired memory can be
 * freed. */
enum { REST_EVERY = 4096 };

struct dump {
    const struct inspect_options *options;
    struct shm_reader *reader;
    struct sink sink;
    struct progress progress;
    struct shm_record user;
    uint64_t users; /* in the snapshot */
    uint64_t done;  /* users printed so far */
    bool committed; /* sink_commit() was called, so the sink is closed */
};

static enum inspect_exit dump_read_fail(struct dump *dump, int error, const struct shm_fault *fault)
{
    progress_clear(&dump->progress);
    if (error == SHM_EREVOKED)
        return report_fail(
            INSPECT_FAILED,
            "%s: the dump took too long: its snapshot was revoked, because it kept more "
            "replaced and deleted users than the server's snapshot-max-bytes allows",
            dump->options->segment);
    return report_store_fault(error, fault);
}

/* A first pass: the header states the number of users, and only a walk can count those of this
 * snapshot. */
static enum inspect_exit count_users(struct dump *dump)
{
    struct shm_fault fault = {{0}};
    int error;
    for (;;) {
        error = shm_reader_next(dump->reader, &dump->user, &fault);
        if (error != SHM_OK)
            break;
        if (++dump->users % REST_EVERY != 0)
            continue;
        shm_reader_rest(dump->reader);
        if (guard_stopped())
            return report_fail(INSPECT_FAILED, "interrupted");
    }
    if (error != SHM_ENOENT)
        return dump_read_fail(dump, error, &fault);
    error = shm_reader_rewind(dump->reader, &fault);
    return error == SHM_OK ? INSPECT_DONE : dump_read_fail(dump, error, &fault);
}

/* Writes the buffered lines outside the read section. Returns false if the command must end with
 * *code. */
static bool dump_flush(struct dump *dump, enum inspect_exit *code)
{
    shm_reader_rest(dump->reader);
    progress_show(&dump->progress, dump->done, dump->done);
    if (guard_stopped()) {
        progress_clear(&dump->progress);
        *code = report_fail(INSPECT_FAILED, "interrupted");
        return false;
    }
    return sink_flush(&dump->sink, code);
}

static enum inspect_exit dump_users(struct dump *dump)
{
    struct shm_fault fault = {{0}};
    const struct shm_record *user = &dump->user;
    enum inspect_exit code;
    int error;
    while ((error = shm_reader_next(dump->reader, &dump->user, &fault)) == SHM_OK) {
        struct fault reason;
        if (!record_print(dump->sink.file, user, dump->options->with_secrets, &reason)) {
            char id[UUID_TEXT_SIZE + 1];
            uuid_to_string(id, user->id);
            progress_clear(&dump->progress);
            return report_fail(INSPECT_BAD_SEGMENT, "user %s: %s (see: verify)", id, reason.text);
        }
        dump->done++;
        if (sink_is_full(&dump->sink) && !dump_flush(dump, &code))
            return code;
    }
    if (error != SHM_ENOENT)
        return dump_read_fail(dump, error, &fault);
    if (dump->done == dump->users)
        return INSPECT_DONE;
    progress_clear(&dump->progress);
    return report_fail(INSPECT_BAD_SEGMENT,
                       "the segment is corrupt: a first pass over the snapshot found %" PRIu64
                       " users, a second one %" PRIu64 " (see: verify)",
                       dump->users, dump->done);
}

/* The summary on stdout, unless the dump itself went there. */
static void dump_print_summary(const struct dump *dump)
{
    const char *path = dump->options->output;
    if (path == NULL)
        return;
    if (dump->options->json) {
        struct json_object *object = object_new();
        object_add_number(object, "users", dump->users);
        object_add_number(object, "version", shm_reader_version(dump->reader));
        object_add_string(object, "output", path);
        object_print(stdout, object);
        return;
    }
    printf("%" PRIu64 " users as of version %" PRIu64 ": ", dump->users,
           shm_reader_version(dump->reader));
    text_print(stdout, path, strlen(path));
    putchar('\n');
}

static enum inspect_exit dump_into_sink(struct dump *dump)
{
    const char *segment = dump->options->segment;
    enum inspect_exit code = count_users(dump);
    if (code != INSPECT_DONE)
        return code;
    /* If the dump goes to a terminal, no progress: the two would be mixed there. */
    progress_start(&dump->progress, "dump", dump->users,
                   dump->sink.path == NULL && isatty(STDOUT_FILENO));
    record_print_header(dump->sink.file, segment, shm_reader_version(dump->reader), dump->users);
    code = dump_users(dump);
    if (code != INSPECT_DONE)
        return code;
    record_print_trailer(dump->sink.file, dump->users);
    shm_reader_rest(dump->reader);
    progress_finish(&dump->progress, dump->done, dump->done);
    return INSPECT_DONE;
}

static enum inspect_exit dump_snapshot(struct dump *dump)
{
    struct shm_fault fault = {{0}};
    const char *unprotected = shm_reader_unprotected(dump->reader);
    if (unprotected != NULL)
        return report_fail(INSPECT_FAILED, "%s: a dump needs a snapshot: %s",
                           dump->options->segment, unprotected);
    int error = shm_reader_begin(dump->reader, 0, &fault);
    if (error != SHM_OK)
        return dump_read_fail(dump, error, &fault);
    enum inspect_exit code = dump_into_sink(dump);
    if (code != INSPECT_DONE)
        return code;
    code = sink_commit(&dump->sink);
    dump->committed = true;
    if (code == INSPECT_DONE)
        dump_print_summary(dump);
    return code;
}

static enum inspect_exit dump_segment(struct dump *dump)
{
    struct shm_store *store;
    struct shm_fault fault = {{0}};
    enum inspect_exit code = table_attach(&store, dump->options);
    if (code != INSPECT_DONE)
        return code;
    int error = shm_reader_open(&dump->reader, store, &fault);
    code = error == SHM_OK ? dump_snapshot(dump) : report_store_fault(error, &fault);
    shm_reader_close(dump->reader);
    shm_store_close(store);
    return code;
}

enum inspect_exit command_dump(const struct inspect_options *options)
{
    static struct dump dump;
    dump.options = options;
    if (options->with_secrets && options->output == NULL && isatty(STDOUT_FILENO))
        return report_fail(INSPECT_USAGE, "dump: password hashes are not printed on a terminal: "
                                          "use --output FILE, or a pipe");
    if (options->output != NULL)
        guard_hold_signals(); /* an interrupted dump removes its temporary file */
    enum inspect_exit code = sink_open(&dump.sink, options->output);
    if (code != INSPECT_DONE)
        return code;
    code = dump_segment(&dump);
    explicit_bzero(&dump.user, sizeof(dump.user));
    if (!dump.committed)
        sink_abandon(&dump.sink);
    return code;
}
