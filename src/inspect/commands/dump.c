/* SPDX-License-Identifier: MIT */
/* dump: every user of one snapshot as JSON lines. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "inspect/core/guard.h"
#include "inspect/core/inspect.h"
#include "inspect/core/progress.h"
#include "inspect/core/record.h"
#include "inspect/core/sink.h"
#include "inspect/core/text.h"
#include "shm/careful.h"

/* Steps of the counting pass after which it lets memory be reclaimed. */
enum { REST_EVERY = 4096 };

struct dump {
    const struct inspect_options *options;
    struct shm_reader *reader;
    struct sink sink;
    struct progress progress;
    struct shm_record user;
    uint64_t users; /* of the snapshot */
    uint64_t done;
    bool committed; /* or failed to be: the sink is closed */
};

static enum inspect_exit fail_read(struct dump *dump, int error, const struct shm_fault *fault)
{
    progress_clear(&dump->progress);
    if (error == SHM_EREVOKED)
        return inspect_fail(INSPECT_FAILED,
                            "%s: the dump took so long that its snapshot was ended: it kept too "
                            "much of what has changed since (the server's snapshot-max-bytes)",
                            dump->options->segment);
    return inspect_fail_store(error, fault);
}

/* How many there are goes into the first line, and only the snapshot itself knows. */
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
            return inspect_fail(INSPECT_FAILED, "interrupted");
    }
    if (error != SHM_ENOENT)
        return fail_read(dump, error, &fault);
    error = shm_reader_rewind(dump->reader, &fault);
    return error == SHM_OK ? INSPECT_DONE : fail_read(dump, error, &fault);
}

/* Writes what has gathered, outside of the read section. */
static bool flush(struct dump *dump, enum inspect_exit *code)
{
    shm_reader_rest(dump->reader);
    progress_show(&dump->progress, dump->done, dump->done);
    if (guard_stopped()) {
        progress_clear(&dump->progress);
        *code = inspect_fail(INSPECT_FAILED, "interrupted");
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
        const char *reason = record_print(dump->sink.file, user->id, user->body, user->body_len);
        if (reason != NULL) {
            char id[UUID_TEXT_SIZE + 1];
            uuid_to_string(id, user->id);
            progress_clear(&dump->progress);
            return inspect_fail(INSPECT_BAD_SEGMENT, "user %s: %s (see: verify)", id, reason);
        }
        dump->done++;
        if (sink_is_full(&dump->sink) && !flush(dump, &code))
            return code;
    }
    if (error != SHM_ENOENT)
        return fail_read(dump, error, &fault);
    if (dump->done == dump->users)
        return INSPECT_DONE;
    progress_clear(&dump->progress);
    return inspect_fail(INSPECT_BAD_SEGMENT,
                        "the segment is corrupt: the snapshot had %" PRIu64 " users, then %" PRIu64
                        " (see: verify)",
                        dump->users, dump->done);
}

static void print_result(const struct dump *dump)
{
    const char *path = dump->options->output;

    if (path == NULL)
        return; /* stdout has the dump */
    if (dump->options->json) {
        struct json_object *object = json_object_new_object();
        json_object_object_add(object, "users", json_object_new_uint64(dump->users));
        json_object_object_add(object, "version",
                               json_object_new_uint64(shm_reader_version(dump->reader)));
        json_object_object_add(object, "output", text_json_string(path, strlen(path)));
        text_print_json(stdout, object);
        json_object_put(object);
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
    /* on one terminal, lines and bar would be mixed */
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

static enum inspect_exit run(struct dump *dump)
{
    struct shm_fault fault = {{0}};
    const char *unprotected = shm_reader_unprotected(dump->reader);

    if (unprotected != NULL)
        return inspect_fail(INSPECT_FAILED, "%s: a dump needs a snapshot: %s",
                            dump->options->segment, unprotected);
    int error = shm_reader_begin(dump->reader, 0, &fault);
    if (error != SHM_OK)
        return fail_read(dump, error, &fault);
    enum inspect_exit code = dump_into_sink(dump);
    if (code != INSPECT_DONE)
        return code;
    code = sink_commit(&dump->sink);
    dump->committed = true;
    if (code == INSPECT_DONE)
        print_result(dump);
    return code;
}

static enum inspect_exit attach_and_run(struct dump *dump)
{
    struct shm_store *store;
    struct shm_fault fault = {{0}};
    enum inspect_exit code = inspect_attach(&store, dump->options);

    if (code != INSPECT_DONE)
        return code;
    int error = shm_reader_open(&dump->reader, store, &fault);
    code = error == SHM_OK ? run(dump) : inspect_fail_store(error, &fault);
    shm_reader_close(dump->reader);
    shm_store_close(store);
    return code;
}

enum inspect_exit inspect_dump(const struct inspect_options *options)
{
    static struct dump dump;

    dump.options = options;
    if (options->output != NULL)
        guard_stop(); /* nothing half written is to stay */
    enum inspect_exit code = sink_open(&dump.sink, options->output);
    if (code != INSPECT_DONE)
        return code;
    code = attach_and_run(&dump);
    if (!dump.committed)
        sink_abandon(&dump.sink);
    return code;
}
