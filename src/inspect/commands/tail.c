/* SPDX-License-Identifier: MIT */
/* tail: follows the change feed, a line a change. */
#include <inttypes.h>
#include <stdio.h>
#include <stdio_ext.h>

#include "inspect/core/guard.h"
#include "inspect/core/inspect.h"
#include "inspect/core/show.h"
#include "inspect/core/text.h"

/* ms between two looks: the first while changes come, twice as long each time until the last */
enum { SLEEP_MIN = 10, SLEEP_MAX = 200 };

struct tail {
    const struct inspect_options *options;
    struct inspect_view view;
    struct shm_follower follower;
    bool lost;        /* changes, to the ring: the table is to be reported */
    uint64_t version; /* of the last report of it */
    uint64_t left;    /* changes until it ends */
    struct shm_record record;
    enum inspect_exit code;
};

static const char *kind_name(enum shm_change_kind kind)
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

/* @param id, user may be NULL */
static void print_json(uint64_t version, const char *kind, const char *id,
                       const struct show_user *user)
{
    struct json_object *object = json_object_new_object();

    text_json_number(object, "version", version);
    json_object_object_add(object, "kind", json_object_new_string(kind));
    if (id != NULL)
        json_object_object_add(object, "id", json_object_new_string(id));
    if (user != NULL)
        json_object_object_add(
            object, "username",
            text_json_string(user->fields.username.data, user->fields.username.len));
    text_print_json(stdout, object);
    json_object_put(object);
}

static void print_line(const struct tail *tail, uint64_t version, const char *kind,
                       const uint8_t *id, const struct show_user *user)
{
    char text[UUID_TEXT_SIZE + 1] = "";

    if (id != NULL)
        uuid_to_string(text, id);
    if (tail->options->json) {
        print_json(version, kind, id != NULL ? text : NULL, user);
        return;
    }
    printf("%" PRIu64 "\t%s\t%s\t", version, kind, text);
    if (user != NULL)
        text_print(stdout, user->fields.username.data, user->fields.username.len);
    putchar('\n');
}

/* Outside of the read section. */
static bool flush(struct tail *tail, size_t at_least)
{
    enum inspect_exit stopped;

    if (__fpending(stdout) < at_least)
        return true;
    shm_reader_rest(tail->view.reader);
    if (inspect_flush(&stopped))
        return true;
    tail->code = stopped;
    return false;
}

/* ---- following ---- */

/* @return whether to go on: not in a segment that has outgrown us, each line of which might fail */
static bool print_change(struct tail *tail, const struct shm_change *change)
{
    struct shm_fault fault = {{0}};
    struct show_user user;
    int error = SHM_ENOENT;

    if (change->kind != SHM_DELETED)
        error = shm_reader_find(tail->view.reader, change->id, &tail->record, &fault);
    if (error != SHM_OK && error != SHM_ENOENT)
        tail->code = inspect_fail_store(error, &fault);
    if (error == SHM_EOUTGROWN)
        return false;
    bool there = error == SHM_OK && show_user_read(&user, &tail->record);
    print_line(tail, change->version, kind_name(change->kind), change->id, there ? &user : NULL);
    return true;
}

/* One user of the listing. @return SHM_OK and SHM_ECORRUPT: there may be more; SHM_ENOENT and
 * SHM_EREVOKED: that was all. What else there is has been told */
static int resync_user(struct tail *tail)
{
    struct shm_fault fault = {{0}};
    struct show_user user;
    int error = shm_reader_next(tail->view.reader, &tail->record, &fault);

    if (error != SHM_OK && error != SHM_ENOENT && error != SHM_EREVOKED)
        tail->code = inspect_fail_store(error, &fault);
    if (error == SHM_OK) {
        bool good = show_user_read(&user, &tail->record);
        print_line(tail, tail->version, "resync-user", tail->record.id, good ? &user : NULL);
    }
    return error;
}

/* The whole table, where the feed has lost changes. @return whether to go on */
static bool resync(struct tail *tail)
{
    struct shm_fault fault = {{0}};
    int error = shm_reader_begin(tail->view.reader, 0, &fault);

    if (error != SHM_OK) {
        tail->code = inspect_fail_store(error, &fault);
        return false;
    }
    tail->version = shm_reader_version(tail->view.reader);
    print_line(tail, tail->version, "resync", NULL, NULL);
    do {
        error = resync_user(tail);
        if (!flush(tail, INSPECT_FLUSH_AT) || guard_stopped())
            return false;
    } while (error == SHM_OK || error == SHM_ECORRUPT);
    shm_reader_end(tail->view.reader);
    if (error != SHM_ENOENT && error != SHM_EREVOKED)
        return false;
    /* a listing that was revoked is begun anew, with a line that says so */
    tail->lost =
        error == SHM_EREVOKED || shm_feed_follow(NULL, &tail->follower, tail->version) != SHM_OK;
    return true;
}

/* Reports all there is. @return whether to go on; *any: whether there was something */
static bool catch_up(struct tail *tail, bool *any)
{
    struct shm_change change;

    for (*any = false; tail->left > 0; *any = true) {
        int error = tail->lost ? SHM_ERESYNC : shm_feed_next(NULL, &tail->follower, &change);
        if (error == SHM_ENOENT)
            return flush(tail, 1);
        if (error == SHM_OK) {
            if (!print_change(tail, &change))
                return false;
            tail->left--;
        } else if (!resync(tail)) {
            return false;
        }
        if (!flush(tail, INSPECT_FLUSH_AT) || guard_stopped())
            return false;
    }
    return false;
}

static enum inspect_exit follow(struct tail *tail)
{
    struct shm_info info;
    int ms = SLEEP_MIN;
    bool any;

    while (catch_up(tail, &any)) {
        shm_reader_rest(tail->view.reader);
        ms = any ? SLEEP_MIN : 2 * ms < SLEEP_MAX ? 2 * ms : SLEEP_MAX;
        if (!inspect_sleep(ms) || guard_stopped())
            break;
        if (ms < SLEEP_MAX)
            continue;
        shm_store_info(tail->view.store, &info);
        if (info.replaced)
            return inspect_fail(INSPECT_NO_SEGMENT, "segment %s: it was removed meanwhile",
                                tail->options->segment);
    }
    return tail->code;
}

enum inspect_exit inspect_tail(const struct inspect_options *options)
{
    struct tail tail = {.options = options, .left = options->limit, .code = INSPECT_DONE};
    struct shm_info info;
    enum inspect_exit code = inspect_view_open(&tail.view, options);

    if (code != INSPECT_DONE)
        return code;
    guard_stop();
    shm_store_info(tail.view.store, &info);
    uint64_t from = options->from_now ? info.version : options->from;
    if (from > info.version) {
        code = inspect_fail(INSPECT_FAILED,
                            "--from: version %" PRIu64 " is yet to come, the last is %" PRIu64,
                            from, info.version);
    } else {
        tail.lost = shm_feed_follow(NULL, &tail.follower, from) != SHM_OK;
        code = follow(&tail);
    }
    inspect_view_close(&tail.view);
    return code;
}
