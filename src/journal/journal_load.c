/* SPDX-License-Identifier: MIT */
#include "journal/journal_load.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/core_filter.h"
#include "journal/data_path.h"
#include "journal/load_reader.h"
#include "journal/recent_changes.h"
#include "shm/disk.h"

enum { BLOCKS_A_SIGN = 64 }; /* blocks between two calls of progress */

static __attribute__((format(printf, 2, 3))) int refuse_disk(struct shm_fault *fault,
                                                             const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->text, sizeof(fault->text), format, arguments);
    va_end(arguments);
    return SHM_EDISK;
}

/* ---- a segment that exists ---- */

int journal_load_fits(void *data, const uint8_t store_id[SHM_STORE_ID_SIZE], uint64_t version,
                      struct shm_fault *fault)
{
    const struct journal_load *load = data;
    if (!load->exists)
        return SHM_OK;
    if (memcmp(store_id, load->meta.store, SHM_STORE_ID_SIZE) != 0 &&
        memcmp(store_id, load->meta.store, DATA_TABLE_ID_SIZE) == 0)
        return refuse_disk(
            fault,
            "data-file %.200s: it and segment %s have parted: one went on without the other; "
            "--segment-reset moves the segment aside and loads the file; if the "
            "segment's users are the right ones, move the file away",
            load->path, load->segment);
    if (memcmp(store_id, load->meta.store, SHM_STORE_ID_SIZE) != 0)
        return refuse_disk(fault,
                           "data-file %.200s: it has another table's users than segment %s; "
                           "--segment-reset moves the segment aside and loads the file",
                           load->path, load->segment);
    if (version >= load->meta.version)
        return SHM_OK;
    return refuse_disk(fault,
                       "segment %s: it is at commit %" PRIu64 ", but data-file %.200s is ahead, at "
                       "commit %" PRIu64 "; --segment-reset moves the segment aside and loads the "
                       "file",
                       load->segment, version, load->path, load->meta.version);
}

/* ---- a new segment ---- */

static void format_id(const uint8_t id[SHM_ID_SIZE], char text[37])
{
    char *at = text;
    for (int i = 0; i < SHM_ID_SIZE; i++)
        at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
}

/* @param text receives the user's value of a unique key, or the beginning of a long one */
static void format_key(const struct journal_load *load, unsigned key,
                       const struct shm_new_user *user, char *text, size_t size)
{
    uint8_t value[SHM_KEY_MAX];
    size_t len = load->key_of(key, user->body, user->body_len, value);
    len = MIN(len, size - 1);
    for (size_t i = 0; i < len; i++)
        text[i] = value[i] < ' ' || value[i] == 0x7f ? '?' : (char)value[i];
    text[len] = '\0';
}

/* The user of the block's row `conflict->which` has the id or a key of another one. */
static int refuse_twin(const struct journal_load *load, struct shm_actor *actor, int rc,
                       const struct load_block *block, const struct shm_conflict *conflict,
                       struct shm_fault *fault)
{
    const struct shm_loaded_user *loaded = &block->users[conflict->which];
    struct shm_user other;
    char id[37];
    format_id(loaded->user.id, id);
    if (rc == SHM_EKEY) {
        char value[100];
        const char *name = load->key_name != NULL ? load->key_name(conflict->key) : "key";
        format_key(load, conflict->key, &loaded->user, value, sizeof(value));
        return refuse_disk(fault,
                           "data-file %.200s: user %s (row %" PRIu64 ") has the %s \"%s\" of an "
                           "earlier one, which the option unique forbids",
                           load->path, id, loaded->seq, name, value);
    }
    for (size_t i = 0; i < conflict->which; i++)
        if (memcmp(block->users[i].user.id, loaded->user.id, SHM_ID_SIZE) == 0)
            return refuse_disk(fault,
                               "data-file %.200s: rows %" PRIu64 " and %" PRIu64 " have one id, %s",
                               load->path, block->users[i].seq, loaded->seq, id);
    uint64_t seq =
        shm_user_find_at(actor, loaded->user.id, INT64_MAX, &other) == SHM_OK ? other.seq : 0;
    return refuse_disk(fault, "data-file %.200s: rows %" PRIu64 " and %" PRIu64 " have one id, %s",
                       load->path, seq, loaded->seq, id);
}

static int load_block_users(const struct journal_load *load, struct shm_actor *actor,
                            const struct load_block *block, struct shm_fault *fault)
{
    struct shm_conflict conflict = {.which = 0};
    int rc = shm_load_users(actor, block->users, block->count, &conflict);
    if (rc == SHM_OK)
        return SHM_OK;
    if (rc == SHM_EEXIST || rc == SHM_EKEY)
        return refuse_twin(load, actor, rc, block, &conflict, fault);
    refuse_disk(fault, "segment %s: cannot load data-file %.200s: %s (after %" PRIu64 " users)",
                load->segment, load->path, shm_strerror(rc), load->loaded);
    return rc;
}

static void show_progress_of_load(const struct journal_load *load)
{
    uint64_t total = load->meta.count != 0 ? load->meta.count : 1;
    if (load->progress != NULL)
        load->progress(load->progress_data, "loading", (unsigned)(load->loaded * 100 / total));
}

static void collect_changes(struct recent_changes *recent, const struct load_block *block)
{
    for (size_t i = 0; i < block->count; i++) {
        const struct shm_loaded_user *user = &block->users[i];
        recent_add(recent, user->version, SHM_UPDATED, user->seq, user->user.id);
    }
}

static int load_all(struct journal_load *load, struct shm_actor *actor, struct load_reader *reader,
                    struct recent_changes *recent, struct shm_fault *fault)
{
    const struct load_block *block = NULL;
    struct fault why;
    for (unsigned n = 1;; n++) {
        enum data_result result = load_reader_next(reader, &block, &why);
        if (result == DATA_NONE)
            break;
        if (result != DATA_OK)
            return refuse_disk(fault, "%.500s", why.text);
        int rc = load_block_users(load, actor, block, fault);
        if (rc != SHM_OK)
            return rc;
        collect_changes(recent, block);
        load->loaded += block->count;
        if (n % BLOCKS_A_SIGN == 0)
            show_progress_of_load(load);
    }
    return SHM_OK;
}

static int end_load(const struct journal_load *load, struct shm_actor *actor,
                    struct shm_fault *fault)
{
    int rc = shm_load_end(actor, load->meta.version, load->meta.seq);
    if (rc == SHM_EINVAL)
        return refuse_disk(fault,
                           "data-file %.200s: a row has a later number or commit than the file's "
                           "own, %" PRIu64 " and %" PRIu64,
                           load->path, load->meta.seq, load->meta.version);
    if (rc != SHM_OK)
        refuse_disk(fault, "segment %s: %s", load->segment, shm_strerror(rc));
    return rc;
}

/* Followers go on with the changes that the rows and the deletes tell of, and requests that were
 * done are not done again. If the changes do not end with the table's last commit, something wrote
 * into the file that did not note deletes: then the feed begins with the load. */
static int load_past(const struct journal_load *load, struct shm_actor *actor,
                     const struct history_rows *history, struct recent_changes *recent,
                     struct shm_fault *fault)
{
    for (size_t i = 0; i < history->num_deleted; i++) {
        const struct shm_change *change = &history->deleted[i];
        recent_add(recent, change->version, SHM_DELETED, change->seq, change->id);
    }
    recent_finish(recent);
    if (recent->count == 0 || recent->changes[recent->count - 1].version != load->meta.version) {
        recent->count = 0;
        recent->from = load->meta.version;
    }
    int rc = shm_load_feed(actor, recent->changes, recent->count, recent->from);
    if (rc == SHM_OK)
        rc = shm_load_requests(actor, history->requests, history->num_requests);
    if (rc != SHM_OK)
        refuse_disk(fault,
                    "segment %s: cannot load the changes and requests of data-file %.200s: %s",
                    load->segment, load->path, shm_strerror(rc));
    return rc;
}

/* The file that is made next would remove the log of one that somebody has moved away. */
static int look_for_lone_log(const struct journal_load *load, struct shm_fault *fault)
{
    char name[DATA_PATH_SIZE];
    struct stat st;
    data_path_beside(load->path, "-wal", name);
    if (stat(name, &st) != 0 || st.st_size == 0)
        return SHM_OK;
    return refuse_disk(fault,
                       "data-file %.200s: it is missing, but its write-ahead log, %.200s, is there "
                       "and may have users: bring the file back, or move the log away as well",
                       load->path, name);
}

static enum data_result set_store(const struct journal_load *load, const uint8_t id[DATA_ID_SIZE],
                                  struct fault *fault)
{
    struct data_file *file;
    struct data_meta meta;
    enum data_result result = data_file_open(&file, load->path, DATA_SYNC_FULL, &meta, fault);
    if (result == DATA_OK) {
        result = data_file_set_store(file, id, fault);
        data_file_close(file, false);
    }
    return result;
}

bool journal_load_undo(struct journal_load *load, struct fault *fault)
{
    if (!load->renamed)
        return true;
    load->renamed = false;
    return set_store(load, load->former, fault) == DATA_OK;
}

/* The file gets an id that only the new segment has. Any other segment of this table would go on
 * from the commit at which the file and it have parted, and later commits of both would be taken
 * for each other's. The file comes first: a segment has no name yet, so it is gone if we die. A
 * full disk is no reason to refuse the start, and then the id stays. */
static int begin_history(struct journal_load *load, struct shm_store *store,
                         struct shm_fault *fault)
{
    struct fault why;
    uint8_t id[DATA_ID_SIZE];
    memcpy(id, load->meta.store, sizeof(id));
    if (getrandom(id + DATA_TABLE_ID_SIZE, sizeof(id) - DATA_TABLE_ID_SIZE, 0) < 0)
        return refuse_disk(fault, "data-file %.200s: cannot choose an id", load->path);
    memcpy(load->former, load->meta.store, sizeof(id));
    enum data_result result = set_store(load, id, &why);
    load->renamed = result != DATA_FULL; /* after another failure the file may have either id */
    if (result == DATA_FULL)
        return SHM_OK;
    if (result != DATA_OK)
        return refuse_disk(fault, "%.500s", why.text);
    memcpy(load->meta.store, id, sizeof(id));
    return shm_load_store_id(store, id);
}

static int load_table(struct journal_load *load, struct shm_store *store, struct shm_actor *actor,
                      struct shm_fault *fault)
{
    struct fault why;
    struct recent_changes recent;
    if (!recent_begin(&recent, load->meta.feed))
        return refuse_disk(fault, "data-file %.200s: out of memory", load->path);
    struct load_reader *reader = load_reader_start(load->path, &why);
    int rc = reader != NULL ? load_all(load, actor, reader, &recent, fault)
                            : refuse_disk(fault, "%.500s", why.text);
    if (rc == SHM_OK)
        rc = end_load(load, actor, fault);
    if (rc == SHM_OK)
        rc = load_past(load, actor, load_reader_history(reader), &recent, fault);
    if (rc == SHM_OK) /* last: a file that is refused has not been changed */
        rc = begin_history(load, store, fault);
    load_reader_stop(reader);
    recent_free(&recent);
    return rc;
}

int journal_load_fill(void *data, struct shm_store *store, struct shm_fault *fault)
{
    struct journal_load *load = data;
    struct shm_actor *actor;
    load->loaded = 0;
    if (!load->exists)
        return look_for_lone_log(load, fault);
    if (load->meta.count > load->max_users)
        return refuse_disk(fault, "max-users %" PRIu64 ": data-file %.200s has %" PRIu64 " users",
                           load->max_users, load->path, load->meta.count);
    int rc = shm_actor_join(&actor, store, SHM_ACTOR_MASTER, 0, fault);
    if (rc != SHM_OK)
        return rc;
    unsigned filter;
    bool filtered = core_filter_set(CORE_FILTER_NOTHING, &filter); /* data_memory.h says why */
    rc = load_table(load, store, actor, fault);
    if (filtered)
        (void)core_filter_set(filter, NULL);
    shm_actor_leave(actor);
    return rc;
}
