/* SPDX-License-Identifier: MIT */
/*
 * Both copies read one version of the table through a snapshot. A snapshot may be revoked if other
 * snapshots keep too much memory. Then the copy begins anew; writers soon have to wait for it
 * (SHM_EBUSY), so that not much memory is needed.
 */
#include "journal/journal_copy.h"

#include <string.h>

#include "journal/journal_history.h"
#include "shm/disk.h"

enum {
    ALIVE_USERS = 1024, /* between two signs of life */
    TRIES = 20,         /* with a new snapshot each */
};

struct data_row journal_row(const struct shm_user *user)
{
    struct data_row row = {
        .seq = user->seq,
        .version = user->version,
        .body = user->body,
        .body_len = user->body_len,
        .hidden = shm_user_hidden(user),
        .hidden_len = user->hidden_len,
    };
    _Static_assert((int)DATA_ID_SIZE == (int)SHM_ID_SIZE, "the file's ids are the store's");
    memcpy(row.id, user->id, sizeof(row.id));
    return row;
}

/* ---- the table ---- */

/* All users of a snapshot, in order. */
struct table_walk {
    const struct journal_config *config;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    uint64_t passed;
};

static bool walk_begin(struct table_walk *walk, const struct journal_config *config,
                       struct fault *fault)
{
    *walk = (struct table_walk){.config = config};
    if (shm_snapshot_begin_newest(config->actor, &walk->snapshot) != SHM_OK)
        return fault_set(fault, "all snapshots of this process are in use");
    shm_cursor_first(&walk->cursor, config->actor, &walk->snapshot);
    return true;
}

/* @return SHM_OK, SHM_ENOENT (the end), SHM_EREVOKED */
static int walk_next(struct table_walk *walk, struct shm_user *user)
{
    const struct journal_config *config = walk->config;
    int rc;
    do {
        if (walk->passed++ % ALIVE_USERS == 0) {
            shm_actor_offline(config->actor);
            if (config->alive != NULL)
                config->alive(config->data);
        }
        rc = shm_cursor_next(&walk->cursor, user);
    } while (rc == SHM_EMORE);
    return rc;
}

static void walk_end(struct table_walk *walk)
{
    shm_snapshot_end(walk->config->actor, &walk->snapshot);
    shm_actor_offline(walk->config->actor);
}

/* ---- comparing ---- */

/* The file's rows beside the table's users. */
struct comparison {
    struct table_walk walk;
    struct data_file *file;
    struct data_rows *rows;
    struct data_row row;
    bool has_row;
    bool revoked;
};

static enum data_result next_row(struct comparison *c, struct fault *fault)
{
    enum data_result result = data_rows_next(c->rows, &c->row, fault);
    c->has_row = result == DATA_OK;
    return result == DATA_NONE ? DATA_OK : result;
}

/* Deletes the file's users that were created before `seq` and that the table has no more. */
static enum data_result delete_before(struct comparison *c, uint64_t seq, struct fault *fault)
{
    enum data_result result = DATA_OK;
    while (result == DATA_OK && c->has_row && c->row.seq < seq) {
        result = data_file_delete(c->file, c->row.seq, fault);
        if (result == DATA_OK)
            result = next_row(c, fault);
    }
    return result;
}

static enum data_result compare_user(struct comparison *c, const struct shm_user *user,
                                     struct fault *fault)
{
    enum data_result result = delete_before(c, user->seq, fault);
    if (result != DATA_OK)
        return result;
    bool there = c->has_row && c->row.seq == user->seq;
    if (!there || c->row.version != user->version) {
        struct data_row row = journal_row(user);
        result = data_file_put(c->file, &row, fault);
    }
    return result == DATA_OK && there ? next_row(c, fault) : result;
}

static enum data_result compare_all(struct comparison *c, struct fault *fault)
{
    struct shm_user user;
    enum data_result result = next_row(c, fault);
    while (result == DATA_OK) {
        int rc = walk_next(&c->walk, &user);
        if (rc == SHM_ENOENT)
            return delete_before(c, UINT64_MAX, fault);
        if (rc != SHM_OK) {
            c->revoked = true;
            return DATA_OK;
        }
        result = compare_user(c, &user, fault);
    }
    return result;
}

/* @param former the file's version */
static enum data_result compare_history(const struct journal_config *config, struct data_file *file,
                                        uint64_t former, uint64_t version, struct fault *fault)
{
    struct journal_requests requests;
    journal_requests_begin(&requests, config->store, former);
    enum data_result result =
        journal_requests_write(&requests, config->store, file, version, fault);
    return result == DATA_OK ? journal_note_deletes(config->store, file, former, version, fault)
                             : result;
}

/* @return DATA_NONE: the snapshot was revoked */
static enum data_result compare_once(const struct journal_config *config, struct data_file *file,
                                     uint64_t *version, struct fault *fault)
{
    struct comparison c = {.file = file};
    struct data_meta meta;
    if (!walk_begin(&c.walk, config, fault))
        return DATA_BUSY;
    *version = c.walk.snapshot.version;
    enum data_result result = data_file_begin(file, fault);
    if (result == DATA_OK)
        result = data_rows_open(&c.rows, config->path, &meta, fault);
    if (result == DATA_NONE) /* it has been removed since it was opened */
        result = DATA_FAILED;
    if (result == DATA_OK)
        result = compare_all(&c, fault);
    data_rows_close(c.rows);
    walk_end(&c.walk);
    if (result == DATA_OK && !c.revoked)
        result = compare_history(config, file, meta.version, *version, fault);
    if (result == DATA_OK && !c.revoked)
        return data_file_commit(file, *version, shm_last_seq(config->store), fault);
    data_file_rollback(file);
    return result == DATA_OK ? DATA_NONE : result;
}

enum data_result journal_compare(const struct journal_config *config, struct data_file *file,
                                 uint64_t *version, struct fault *fault)
{
    for (int i = 0; i < TRIES; i++) {
        enum data_result result = compare_once(config, file, version, fault);
        if (result != DATA_NONE)
            return result;
    }
    fault_set(fault, "data-file %s: the listing that it is compared with was revoked %d times",
              config->path, TRIES);
    return DATA_BUSY;
}

/* ---- writing a new file ---- */

static enum data_result put_all(struct table_walk *walk, struct data_rewrite *rewrite,
                                struct fault *fault)
{
    struct shm_user user;
    int rc;
    while ((rc = walk_next(walk, &user)) == SHM_OK) {
        const struct data_row row = journal_row(&user);
        enum data_result result = data_rewrite_put(rewrite, &row, fault);
        if (result != DATA_OK)
            return result;
    }
    return rc == SHM_ENOENT ? DATA_OK : DATA_NONE;
}

/* @return DATA_NONE: the snapshot was revoked */
static enum data_result rewrite_once(const struct journal_config *config, uint64_t *version,
                                     struct fault *fault)
{
    struct table_walk walk;
    struct data_rewrite *rewrite = NULL;
    struct data_meta meta = {.count = 0};
    if (!walk_begin(&walk, config, fault))
        return DATA_BUSY;
    *version = meta.version = walk.snapshot.version;
    meta.seq = shm_last_seq(config->store);
    shm_store_id(config->store, meta.store);
    enum data_result result = data_rewrite_begin(&rewrite, config->path, &meta, fault);
    if (result == DATA_NONE) /* its directory is gone */
        result = DATA_FAILED;
    if (result == DATA_OK)
        result = put_all(&walk, rewrite, fault);
    walk_end(&walk);
    if (result == DATA_OK)
        result = journal_rewrite_history(config->store, rewrite, *version, fault);
    if (result == DATA_OK)
        return data_rewrite_finish(rewrite, fault);
    data_rewrite_abandon(rewrite);
    return result;
}

enum data_result journal_rewrite(const struct journal_config *config, uint64_t *version,
                                 struct fault *fault)
{
    for (int i = 0; i < TRIES; i++) {
        enum data_result result = rewrite_once(config, version, fault);
        if (result != DATA_NONE)
            return result;
    }
    fault_set(fault, "data-file %s: the listing that it is written from was revoked %d times",
              config->path, TRIES);
    return DATA_BUSY;
}
