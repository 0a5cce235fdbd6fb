/* SPDX-License-Identifier: MIT */
#include "inspect/core/chunk.h"

#include <stdio.h>
#include <string.h>

/* Rounds in which others may create or delete just those users between our look and our commit. */
enum { RACES_MAX = 100 };

static enum chunk_kind classify(struct chunk *chunk, const struct record *record)
{
    struct shm_user user;
    enum chunk_kind kind = CHUNK_NEW;

    if (shm_user_find(chunk->writer->actor, record->id, &user) == SHM_OK)
        kind = user.body_len == record->body_len &&
                       memcmp(user.body, record->body, record->body_len) == 0
                   ? CHUNK_SAME
                   : CHUNK_CHANGED;
    shm_actor_offline(chunk->writer->actor); /* the next line may be long in coming */
    return kind;
}

/* Whose kind says that there is something to be done. */
static bool is_work(enum chunk_kind kind)
{
    return kind == CHUNK_NEW || kind == CHUNK_CHANGED;
}

static const char *conflict_reason(int error, const struct shm_conflict *conflict, char text[128])
{
    const char *key = user_key_name(conflict->key);

    if (error == SHM_EKEY)
        snprintf(text, 128, "another user has this %s, which is unique", key);
    else
        snprintf(text, 128, "the user is there with another %s, which is unique: delete it first",
                 key);
    return text;
}

/* The entries [from, to) that are to be committed; which[i] is users[i]'s. @return how many */
static size_t gather(const struct chunk *chunk, size_t from, size_t to,
                     struct shm_new_user users[SHM_BATCH_MAX], size_t which[SHM_BATCH_MAX])
{
    size_t count = 0;

    for (size_t i = from; i < to; i++) {
        const struct record *record = &chunk->entries[i].record;
        if (!is_work(chunk->entries[i].kind))
            continue;
        memcpy(users[count].id, record->id, sizeof(users[count].id));
        users[count].body = record->body;
        users[count].body_len = record->body_len;
        which[count++] = i;
    }
    return count;
}

/* One commit of the entries [from, to), without those that are refused meanwhile. */
static int commit_run(struct chunk *chunk, size_t from, size_t to, enum chunk_kind kind)
{
    struct shm_new_user users[SHM_BATCH_MAX];
    size_t which[SHM_BATCH_MAX];
    struct shm_conflict conflict;
    char text[128];

    for (;;) {
        size_t count = gather(chunk, from, to, users, which);
        if (count == 0)
            return SHM_OK;
        int error = kind == CHUNK_NEW ? writer_insert(chunk->writer, users, count, &conflict)
                                      : writer_update(chunk->writer, users, count, &conflict);
        if (error != SHM_EKEY && error != SHM_EINVAL)
            return error;
        struct chunk_entry *entry = &chunk->entries[which[conflict.which]];
        entry->kind = CHUNK_REFUSED;
        if (!chunk->refuse(chunk->data, entry->line, conflict_reason(error, &conflict, text)))
            return CHUNK_STOPPED;
    }
}

static void count_done(struct chunk *chunk, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        chunk->inserted += chunk->entries[i].kind == CHUNK_NEW;
        chunk->updated += chunk->entries[i].kind == CHUNK_CHANGED;
        chunk->unchanged += chunk->entries[i].kind == CHUNK_SAME;
        chunk->last_line = chunk->entries[i].line;
    }
}

/* The end of the entries from `from` on that one commit can take; *kind is theirs. */
static size_t run_end(const struct chunk *chunk, size_t from, enum chunk_kind *kind)
{
    size_t i = from;

    *kind = CHUNK_SAME;
    for (; i < chunk->count; i++) {
        enum chunk_kind this = chunk->entries[i].kind;
        if (!is_work(this))
            continue;
        if (*kind != CHUNK_SAME && this != *kind)
            break;
        *kind = this;
    }
    return i;
}

static void look_again(struct chunk *chunk, size_t from)
{
    for (size_t i = from; i < chunk->count; i++)
        if (chunk->entries[i].kind != CHUNK_REFUSED)
            chunk->entries[i].kind = classify(chunk, &chunk->entries[i].record);
}

/* As many as there is room for, so that who is told of a full table finds it full: the commit is
 * smaller, and all or nothing like any other. @return why no more was committed */
static int commit_fitting(struct chunk *chunk, size_t from, size_t to)
{
    struct shm_info info;
    size_t end = from;

    shm_store_info(chunk->writer->store, &info);
    uint64_t room = info.users < info.max_users ? info.max_users - info.users : 0;
    for (; end < to; end++)
        if (is_work(chunk->entries[end].kind) && room-- == 0)
            break;
    int error = commit_run(chunk, from, end, CHUNK_NEW);
    if (error == SHM_OK)
        count_done(chunk, from, end);
    return error == CHUNK_STOPPED ? error : SHM_EFULL;
}

/* It is one run, unless somebody else created or deleted some of these users meanwhile. */
static int commit_all(struct chunk *chunk)
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
        } else if ((error == SHM_EEXIST || error == SHM_ENOENT) && ++races < RACES_MAX) {
            look_again(chunk, from);
        } else {
            return error;
        }
    }
    return SHM_OK;
}

int chunk_commit(struct chunk *chunk)
{
    int error = commit_all(chunk);

    chunk->count = 0;
    chunk->kind = CHUNK_SAME;
    return error;
}

struct record *chunk_next(struct chunk *chunk)
{
    return &chunk->entries[chunk->count].record;
}

/* A user that occurs twice must find what the first left. */
static bool has(const struct chunk *chunk, const uint8_t id[UUID_SIZE])
{
    for (size_t i = 0; i < chunk->count; i++)
        if (memcmp(chunk->entries[i].record.id, id, UUID_SIZE) == 0)
            return true;
    return false;
}

/* Commits what is there before the entry that comes next, which then is the first. */
static int commit_before(struct chunk *chunk)
{
    const struct chunk_entry *next = &chunk->entries[chunk->count];
    int error = chunk_commit(chunk);

    if (next != chunk->entries)
        chunk->entries[0] = *next;
    return error;
}

int chunk_add(struct chunk *chunk, uint64_t line)
{
    struct chunk_entry *entry = &chunk->entries[chunk->count];
    int error = SHM_OK;

    entry->line = line;
    if (has(chunk, entry->record.id))
        error = commit_before(chunk);
    if (error != SHM_OK)
        return error;
    entry = &chunk->entries[chunk->count];
    entry->kind = classify(chunk, &entry->record);
    if (is_work(entry->kind) && chunk->kind != CHUNK_SAME && entry->kind != chunk->kind) {
        error = commit_before(chunk);
        if (error != SHM_OK)
            return error;
        entry = chunk->entries;
    }
    if (is_work(entry->kind))
        chunk->kind = entry->kind;
    return ++chunk->count == SHM_BATCH_MAX ? chunk_commit(chunk) : SHM_OK;
}
