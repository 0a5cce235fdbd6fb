/* SPDX-License-Identifier: MIT */
#include "inspect/commands/tail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/param.h>

#include "inspect/core/guard.h"
#include "inspect/core/object.h"
#include "inspect/core/show.h"
#include "inspect/core/stdout.h"
#include "inspect/core/table_reader.h"
#include "inspect/core/text.h"

/* Milliseconds between two polls of the feed: the minimum while changes arrive, doubled by each
 * poll that finds none, up to the maximum. */
enum { SLEEP_MIN = 10, SLEEP_MAX = 200 };

struct tail {
    const struct inspect_options *options;
    struct table_reader table;
    struct shm_follower follower;
    bool lost;        /* the feed no longer has the next change: print the whole table */
    uint64_t version; /* of the table when it was last printed */
    uint64_t left;    /* changes still to print */
    struct shm_record record;
    enum inspect_exit code; /* of the command, so far */
};

static const char *change_name(enum shm_change_kind kind)
{
    switch (kind) {
    case SHM_CREATED:
        return "created";
    case SHM_UPDATED:
        return "updated";
    case SHM_DELETED:
        return "deleted";
    }
    return "unknown"; /* a damaged feed */
}

/* ---- lines ---- */

struct tail_line {
    uint64_t version;
    const char *kind;
    uint64_t seq;                 /* of the user; 0: none */
    const uint8_t *id;            /* NULL: none */
    const struct show_user *user; /* NULL: it is not there any more */
};

static void tail_print_json(const struct tail_line *line, const char *id)
{
    struct json_object *object = object_new();
    object_add_number(object, "version", line->version);
    object_add_string(object, "kind", line->kind);
    if (line->seq != 0)
        object_add_number(object, "seq", line->seq);
    if (line->id != NULL)
        object_add_string(object, "id", id);
    if (line->user != NULL)
        object_add(object, "username",
                   object_new_text(line->user->user.fields.username.data,
                                   line->user->user.fields.username.len));
    object_print(stdout, object);
}

static void tail_print_line(const struct tail *tail, const struct tail_line *line)
{
    char id[UUID_TEXT_SIZE + 1] = "";
    if (line->id != NULL)
        uuid_to_string(id, line->id);
    if (tail->options->json) {
        tail_print_json(line, id);
        return;
    }
    printf("%" PRIu64 "\t%s\t%s\t", line->version, line->kind, id);
    if (line->user != NULL)
        text_print(stdout, line->user->user.fields.username.data,
                   line->user->user.fields.username.len);
    putchar('\n');
}

/* Writes the buffered lines outside the read section, if they are at least `at_least` bytes.
 * @return false if the command must end */
static bool tail_flush(struct tail *tail, size_t at_least)
{
    enum inspect_exit stopped;
    if (__fpending(stdout) < at_least)
        return true;
    shm_reader_rest(tail->table.reader);
    if (stdout_flush(&stopped))
        return true;
    tail->code = stopped;
    return false;
}

/* ---- following ---- */

/* Returns false if the command must end: a segment that has outgrown this process could fail for
 * each of its changes. */
static bool print_change(struct tail *tail, const struct shm_change *change)
{
    struct shm_fault fault = {{0}};
    struct show_user user;
    int error = SHM_ENOENT;
    if (change->kind != SHM_DELETED)
        error = shm_reader_find(tail->table.reader, change->id, &tail->record, &fault);
    if (error != SHM_OK && error != SHM_ENOENT)
        tail->code = report_store_fault(error, &fault);
    if (error == SHM_EOUTGROWN)
        return false;
    bool found = error == SHM_OK && show_user_read(&user, &tail->record);
    const struct tail_line line = {.version = change->version,
                                   .kind = change_name(change->kind),
                                   .seq = change->seq,
                                   .id = change->id,
                                   .user = found ? &user : NULL};
    tail_print_line(tail, &line);
    return true;
}

/* Prints the next user of the listing. Returns SHM_OK or SHM_ECORRUPT if more users may follow,
 * SHM_ENOENT or SHM_EREVOKED at the end of the listing, or another error, which ends the command.
 * All errors but the two ends have been reported. */
static int resync_user(struct tail *tail)
{
    struct shm_fault fault = {{0}};
    struct show_user user;
    int error = shm_reader_next(tail->table.reader, &tail->record, &fault);
    if (error != SHM_OK && error != SHM_ENOENT && error != SHM_EREVOKED)
        tail->code = report_store_fault(error, &fault);
    if (error == SHM_OK) {
        bool good = show_user_read(&user, &tail->record);
        const struct tail_line line = {.version = tail->version,
                                       .kind = "resync-user",
                                       .seq = tail->record.seq,
                                       .id = tail->record.id,
                                       .user = good ? &user : NULL};
        tail_print_line(tail, &line);
    }
    return error;
}

/* Prints the whole table, because the feed no longer has all changes. Returns false if the command
 * must end. */
static bool resync(struct tail *tail)
{
    struct shm_fault fault = {{0}};
    int error = shm_reader_begin(tail->table.reader, 0, &fault);
    if (error != SHM_OK) {
        tail->code = report_store_fault(error, &fault);
        return false;
    }
    tail->version = shm_reader_version(tail->table.reader);
    tail_print_line(tail, &(struct tail_line){.version = tail->version, .kind = "resync"});
    do {
        error = resync_user(tail);
        if (!tail_flush(tail, STDOUT_FLUSH_AT) || guard_stopped())
            return false;
    } while (error == SHM_OK || error == SHM_ECORRUPT);
    shm_reader_end(tail->table.reader);
    if (error != SHM_ENOENT && error != SHM_EREVOKED)
        return false;
    /* A revoked listing is repeated from the start, with another "resync" line. */
    tail->lost =
        error == SHM_EREVOKED || shm_feed_follow(NULL, &tail->follower, tail->version) != SHM_OK;
    return true;
}

/* Prints all changes that the feed has now; *any tells whether there were some. Returns false if
 * the command must end. */
static bool catch_up(struct tail *tail, bool *any)
{
    struct shm_change change;
    for (*any = false; tail->left > 0; *any = true) {
        int error = tail->lost ? SHM_ERESYNC : shm_feed_next(NULL, &tail->follower, &change);
        if (error == SHM_ENOENT)
            return tail_flush(tail, 1);
        if (error == SHM_OK) {
            if (!print_change(tail, &change))
                return false;
            tail->left--;
        } else if (!resync(tail)) {
            return false;
        }
        if (!tail_flush(tail, STDOUT_FLUSH_AT) || guard_stopped())
            return false;
    }
    return false;
}

static enum inspect_exit tail_follow(struct tail *tail)
{
    struct shm_info info;
    int ms = SLEEP_MIN;
    bool any;
    while (catch_up(tail, &any)) {
        shm_reader_rest(tail->table.reader);
        ms = any ? SLEEP_MIN : MIN(2 * ms, SLEEP_MAX);
        if (!stdout_sleep(ms) || guard_stopped())
            break;
        if (ms < SLEEP_MAX)
            continue;
        shm_store_info(tail->table.store, &info);
        if (info.replaced)
            return report_fail(INSPECT_NO_SEGMENT, "segment %s: it was removed",
                               tail->options->segment);
    }
    return tail->code;
}

enum inspect_exit command_tail(const struct inspect_options *options)
{
    struct tail tail = {.options = options, .left = options->limit, .code = INSPECT_DONE};
    struct shm_info info;
    enum inspect_exit code = table_reader_open(&tail.table, options);
    if (code != INSPECT_DONE)
        return code;
    guard_hold_signals();
    shm_store_info(tail.table.store, &info);
    uint64_t from = options->from_now ? info.published : options->from;
    if (from > info.published) {
        code = report_fail(INSPECT_FAILED,
                           "--from: version %" PRIu64 " does not exist yet, the latest is %" PRIu64,
                           from, info.published);
    } else {
        tail.lost = shm_feed_follow(NULL, &tail.follower, from) != SHM_OK;
        code = tail_follow(&tail);
    }
    table_reader_close(&tail.table);
    return code;
}
