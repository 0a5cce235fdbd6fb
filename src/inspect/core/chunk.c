/* SPDX-License-Identifier: MIT */
#include "inspect/core/chunk.h"

#include <assert.h>
#include <string.h>

enum {
    /* How often other processes may create or delete users of the chunk between the look at the
     * table and the commit. */
    RACES_MAX = 100,
    /* Beside the store's errors, inside this file: refuse() returned false. */
    REFUSE_STOPPED = 1,
};

static int refuse_entry(struct chunk *chunk, struct chunk_entry *entry, const struct fault *fault)
{
    entry->kind = CHUNK_REFUSED;
    return chunk->refuse(chunk->data, entry->line, fault) ? SHM_OK : REFUSE_STOPPED;
}

static enum chunk_kind kind_of(const struct chunk *chunk, const struct chunk_entry *entry,
                               const struct shm_user *user)
{
    if (entry->merged.same)
        return moves_have_applied(chunk->moves, entry->record.id, entry->line) ? CHUNK_EARLY
                                                                               : CHUNK_SAME;
    return record_has_other_keys(&entry->record, user) ? CHUNK_RENAMED : CHUNK_CHANGED;
}

/* @return SHM_OK, also for a user that is refused; REFUSE_STOPPED */
static int classify(struct chunk *chunk, struct chunk_entry *entry)
{
    struct shm_user user;
    struct fault fault;
    const char *reason;
    bool found = table_writer_find(chunk->writer, entry->record.id, &user) == SHM_OK;
    bool good = record_merge(&entry->merged, &entry->record, found ? &user : NULL, &reason);
    entry->version = found ? user.version : 0;
    if (good)
        entry->kind = found ? kind_of(chunk, entry, &user) : CHUNK_NEW;
    shm_actor_offline(chunk->writer->actor); /* reading the next line may block */
    if (good)
        return SHM_OK;
    fault_set(&fault, "%s", reason);
    return refuse_entry(chunk, entry, &fault);
}

/* Whether a user of this kind has to be committed. */
static bool is_work(enum chunk_kind kind)
{
    return kind == CHUNK_NEW || kind == CHUNK_CHANGED || kind == CHUNK_RENAMED;
}

/* Collects those of the entries [from, to) that have to be committed. users[i] is made from entry
 * which[i]. Returns their number. */
static size_t gather_users(const struct chunk *chunk, size_t from, size_t to,
                           struct shm_new_user users[SHM_BATCH_MAX], size_t which[SHM_BATCH_MAX])
{
    size_t count = 0;
    for (size_t i = from; i < to; i++) {
        const struct chunk_entry *entry = &chunk->entries[i];
        const struct record *record = &entry->record;
        if (!is_work(chunk->entries[i].kind))
            continue;
        users[count] = (struct shm_new_user){.body = record->body,
                                             .body_len = record->body_len,
                                             .hidden = entry->merged.bytes,
                                             .hidden_len = entry->merged.len,
                                             .if_version = entry->version};
        memcpy(users[count].id, record->id, sizeof(users[count].id));
        which[count++] = i;
    }
    return count;
}

/* Another user has a unique key of the entry. @return SHM_OK: not any more, or the entry has been
 * refused */
static int handle_taken_key(struct chunk *chunk, struct chunk_entry *entry, unsigned key)
{
    enum { ROOMS_MAX = 3 }; /* the next time other processes take what becomes free */
    struct fault fault;
    int error = entry->rooms++ < ROOMS_MAX
                    ? moves_make_room(chunk->moves, &entry->record, entry->line)
                    : SHM_EKEY;
    if (error != SHM_EKEY)
        return error;
    fault_set(&fault, "another user has this %s, which is unique", user_key_name(key));
    return refuse_entry(chunk, entry, &fault);
}

/* Commits the entries [from, to) at once, without those that the table refuses. */
static int commit_run(struct chunk *chunk, size_t from, size_t to, enum chunk_kind kind)
{
    struct shm_new_user users[SHM_BATCH_MAX] = {0};
    size_t which[SHM_BATCH_MAX];
    struct shm_conflict conflict;
    for (;;) {
        size_t count = gather_users(chunk, from, to, users, which);
        if (count == 0)
            return SHM_OK;
        int error = kind == CHUNK_NEW ? table_writer_insert(chunk->writer, users, count, &conflict)
                                      : table_writer_update(chunk->writer, users, count, &conflict);
        if (error != SHM_EKEY)
            return error;
        assert(conflict.which < count);
        error = handle_taken_key(chunk, &chunk->entries[which[conflict.which]], conflict.key);
        if (error != SHM_OK)
            return error;
    }
}

static void count_done(struct chunk *chunk, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const struct chunk_entry *entry = &chunk->entries[i];
        enum chunk_kind kind = entry->kind;
        chunk->inserted += kind == CHUNK_NEW;
        chunk->updated += kind == CHUNK_CHANGED || kind == CHUNK_RENAMED || kind == CHUNK_EARLY;
        chunk->unchanged += kind == CHUNK_SAME;
        chunk->without_password +=
            kind != CHUNK_REFUSED && entry->record.had_password && !entry->merged.has_password;
        chunk->last_line = entry->line;
    }
}

/* Returns the end of the run of entries that starts at `from` and that one commit can take. *kind
 * is what the run needs. */
static size_t run_end(const struct chunk *chunk, size_t from, enum chunk_kind *kind)
{
    size_t i = from;
    *kind = CHUNK_SAME;
    for (; i < chunk->count; i++) {
        enum chunk_kind this = chunk->entries[i].kind;
        if (!is_work(this))
            continue;
        if (*kind != CHUNK_SAME && (this != *kind || this == CHUNK_RENAMED))
            break;
        *kind = this;
    }
    return i;
}

/* Classifies the entries from `from` on again, after another process has changed the table. */
static int classify_again(struct chunk *chunk, size_t from)
{
    int error = SHM_OK;
    for (size_t i = from; i < chunk->count && error == SHM_OK; i++)
        if (chunk->entries[i].kind != CHUNK_REFUSED)
            error = classify(chunk, &chunk->entries[i]);
    return error;
}

/* The table is too full for the entries [from, to): commits as many of them as it has room for, so
 * that the table really is full when load says so. This commit too is all or nothing. Returns why
 * no more were committed. */
static int commit_fitting(struct chunk *chunk, size_t from, size_t to)
{
    uint64_t room = table_writer_room(chunk->writer);
    size_t end = from;
    for (; end < to; end++)
        if (is_work(chunk->entries[end].kind) && room-- == 0)
            break;
    int error = commit_run(chunk, from, end, CHUNK_NEW);
    if (error == SHM_OK)
        count_done(chunk, from, end);
    return error == REFUSE_STOPPED ? error : SHM_EFULL;
}

/* The entries are one run, unless another process has created, deleted or renamed some of these
 * users meanwhile. */
static int commit_entries(struct chunk *chunk)
{
    unsigned races = 0;
    size_t from = 0;
    while (from < chunk->count) {
        enum chunk_kind kind;
        size_t to = run_end(chunk, from, &kind);
        int error = commit_run(chunk, from, to, kind);
        if (error == SHM_OK) {
            count_done(chunk, from, to);
            from = to;
        } else if (error == SHM_EFULL) {
            return commit_fitting(chunk, from, to);
        } else if ((error == SHM_EEXIST || error == SHM_ENOENT || error == SHM_EINVAL ||
                    error == SHM_ESTALE) &&
                   ++races < RACES_MAX) {
            error = classify_again(chunk, from);
            if (error != SHM_OK)
                return error;
        } else {
            return error;
        }
    }
    return SHM_OK;
}

/* Overwrites what may be a secret. */
static void wipe_entry(struct chunk_entry *entry)
{
    explicit_bzero(entry->record.hidden, sizeof(entry->record.hidden));
    explicit_bzero(entry->merged.bytes, sizeof(entry->merged.bytes));
}

/* Commits all entries and empties the chunk. */
static int commit_all(struct chunk *chunk)
{
    int error = commit_entries(chunk);
    for (size_t i = 0; i < chunk->count; i++)
        wipe_entry(&chunk->entries[i]);
    chunk->count = 0;
    chunk->kind = CHUNK_SAME;
    return error;
}

static bool chunk_result(struct chunk *chunk, int error)
{
    chunk->error = error == REFUSE_STOPPED ? SHM_OK : error;
    return error == SHM_OK;
}

bool chunk_commit(struct chunk *chunk)
{
    return chunk_result(chunk, commit_all(chunk));
}

struct record *chunk_next(struct chunk *chunk)
{
    assert(chunk->count < SHM_BATCH_MAX);
    return &chunk->entries[chunk->count].record;
}

static bool has_user(const struct chunk *chunk, const uint8_t id[UUID_SIZE])
{
    for (size_t i = 0; i < chunk->count; i++)
        if (memcmp(chunk->entries[i].record.id, id, UUID_SIZE) == 0)
            return true;
    return false;
}

/* Commits the entries before the one that is being added, which becomes the first. */
static int commit_before(struct chunk *chunk)
{
    struct chunk_entry *added = &chunk->entries[chunk->count];
    int error = commit_all(chunk);
    if (added != chunk->entries) {
        chunk->entries[0] = *added;
        wipe_entry(added);
    }
    return error;
}

static int add_chunk_entry(struct chunk *chunk, uint64_t line)
{
    struct chunk_entry *entry = &chunk->entries[chunk->count];
    int error = SHM_OK;
    entry->line = line;
    entry->rooms = 0;
    /* A user that occurs twice: the second is compared with what the first has left. */
    if (has_user(chunk, entry->record.id))
        error = commit_before(chunk);
    if (error != SHM_OK)
        return error;
    entry = &chunk->entries[chunk->count];
    error = classify(chunk, entry);
    if (error != SHM_OK || entry->kind == CHUNK_REFUSED)
        return error;
    if (is_work(entry->kind) && chunk->kind != CHUNK_SAME &&
        (entry->kind != chunk->kind || entry->kind == CHUNK_RENAMED)) {
        error = commit_before(chunk);
        if (error != SHM_OK)
            return error;
        entry = chunk->entries;
    }
    if (is_work(entry->kind))
        chunk->kind = entry->kind;
    return ++chunk->count == SHM_BATCH_MAX ? commit_all(chunk) : SHM_OK;
}

bool chunk_add(struct chunk *chunk, uint64_t line)
{
    return chunk_result(chunk, add_chunk_entry(chunk, line));
}
