/* SPDX-License-Identifier: MIT */
/* Writes a new data file in place of the old one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/data_connection.h"
#include "journal/data_count.h"
#include "journal/data_history.h"
#include "journal/data_keep.h"
#include "journal/data_os.h"
#include "journal/data_path.h"
#include "journal/data_row.h"
#include "journal/data_swap.h"
#include "journal/data_vfs.h"

/* So that the last sync does not have a whole large file to write: who waits for a sign of life
 * would give up. */
enum { ROWS_A_SYNC = 1 << 18 };

struct data_rewrite {
    sqlite3 *db;
    sqlite3_stmt *insert, *note_deleted, *note_request;
    char path[DATA_PATH_SIZE], tmp_path[DATA_PATH_SIZE];
    struct data_meta meta;
    char *kept; /* the caller's DATA_KEPT_SIZE bytes; NULL: the old file need not be kept */
};

/* No journal and no syncs: until the end the file has no name that anybody opens. */
static const char schema[] =
    "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;"
    "PRAGMA auto_vacuum=NONE; PRAGMA page_size=4096;"
    "PRAGMA application_id=0x726f7374; PRAGMA user_version=2;"
    "BEGIN;"
    "CREATE TABLE users(seq INTEGER PRIMARY KEY, id BLOB NOT NULL, version INTEGER NOT NULL,"
    " sum INTEGER NOT NULL, body BLOB NOT NULL, hidden BLOB);"
    "CREATE TABLE meta(store BLOB NOT NULL, version INTEGER NOT NULL, count INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, format INTEGER NOT NULL, feed INTEGER NOT NULL,"
    " deletes INTEGER NOT NULL, requests INTEGER NOT NULL);" DATA_HISTORY_TABLES;
_Static_assert(DATA_APPLICATION_ID == 0x726f7374 && DATA_FORMAT == 2, "the schema says the same");

/* Root keeps the owner of the file that is replaced. */
static enum data_result create_tmp(struct data_rewrite *rewrite, struct fault *fault)
{
    struct stat old;
    enum data_result result = data_swap_clear(rewrite->path, fault);
    if (result != DATA_OK)
        return result;
    if (data_os.create(rewrite->tmp_path) != 0)
        return data_os_fault(rewrite->path, "make a new file beside it", fault);
    if (geteuid() == 0 && stat(rewrite->path, &old) == 0 && old.st_uid != 0 &&
        chown(rewrite->tmp_path, old.st_uid, old.st_gid) != 0)
        return data_os_fault(rewrite->path, "keep its owner", fault);
    return DATA_OK;
}

static enum data_result start_tmp(struct data_rewrite *rewrite, struct fault *fault)
{
    enum data_result result = create_tmp(rewrite, fault);
    if (result == DATA_OK)
        result = data_connect(&rewrite->db, rewrite->tmp_path, DATA_ACCESS_FILL, fault);
    if (result == DATA_OK)
        result = data_run(rewrite->db, rewrite->tmp_path, schema, fault);
    if (result == DATA_OK)
        result =
            data_prepare(rewrite->db, rewrite->tmp_path, DATA_INSERT_ROW, &rewrite->insert, fault);
    if (result == DATA_OK)
        result = data_prepare(rewrite->db, rewrite->tmp_path, DATA_INSERT_DELETED,
                              &rewrite->note_deleted, fault);
    if (result == DATA_OK)
        result = data_prepare(rewrite->db, rewrite->tmp_path, DATA_INSERT_REQUEST,
                              &rewrite->note_request, fault);
    return result;
}

enum data_result data_rewrite_begin(struct data_rewrite **rewrite_out, const char *path,
                                    const struct data_meta *meta, struct fault *fault)
{
    struct data_rewrite *rewrite = calloc(1, sizeof(*rewrite));
    *rewrite_out = NULL;
    if (rewrite == NULL)
        return data_sqlite_fault(NULL, path, SQLITE_NOMEM, "replace it", fault);
    rewrite->meta = *meta;
    rewrite->meta.count = rewrite->meta.deletes = rewrite->meta.requests = 0;
    enum data_result result = data_path_resolve(path, rewrite->path, fault);
    if (result == DATA_OK) {
        data_path_beside(rewrite->path, ".tmp", rewrite->tmp_path);
        result = start_tmp(rewrite, fault);
        if (result != DATA_OK) {
            data_rewrite_abandon(rewrite);
            return data_count_result(result);
        }
        *rewrite_out = rewrite;
        return DATA_OK;
    }
    free(rewrite);
    return data_count_result(result);
}

enum data_result data_rewrite_put(struct data_rewrite *rewrite, const struct data_row *row,
                                  struct fault *fault)
{
    int rc = data_row_bind(rewrite->insert, 1, row);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(rewrite->insert);
    sqlite3_reset(rewrite->insert);
    if (rc != SQLITE_DONE)
        return data_count_result(
            data_sqlite_fault(rewrite->db, rewrite->tmp_path, rc, "write a user", fault));
    if (++rewrite->meta.count % ROWS_A_SYNC != 0)
        return DATA_OK;
    rc = data_vfs_sync_database(rewrite->db);
    if (rc == SQLITE_OK)
        return DATA_OK;
    return data_count_result(
        data_sqlite_fault(rewrite->db, rewrite->tmp_path, rc, "sync it", fault));
}

void data_rewrite_set_feed(struct data_rewrite *rewrite, uint64_t feed)
{
    rewrite->meta.feed = feed;
}

/* @param rc of the parameters' binding */
static enum data_result write_history(struct data_rewrite *rewrite, sqlite3_stmt *statement, int rc,
                                      const char *what, struct fault *fault)
{
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    sqlite3_reset(statement);
    if (rc == SQLITE_DONE)
        return DATA_OK;
    return data_count_result(data_sqlite_fault(rewrite->db, rewrite->tmp_path, rc, what, fault));
}

enum data_result data_rewrite_note_deleted(struct data_rewrite *rewrite,
                                           const struct data_deleted *deleted, struct fault *fault)
{
    int rc = data_deleted_bind(rewrite->note_deleted, deleted);
    rewrite->meta.deletes++;
    return write_history(rewrite, rewrite->note_deleted, rc, "note a delete", fault);
}

enum data_result data_rewrite_note_request(struct data_rewrite *rewrite,
                                           const struct data_request *request, struct fault *fault)
{
    int rc = data_request_bind(rewrite->note_request, request);
    rewrite->meta.requests++;
    return write_history(rewrite, rewrite->note_request, rc, "note a request", fault);
}

static int insert_meta(sqlite3 *db, const struct data_meta *meta)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(
        db,
        "INSERT INTO meta(store, version, count, seq, format, feed, deletes, requests)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_bind_blob(statement, 1, meta->store, DATA_ID_SIZE, SQLITE_STATIC);
    const uint64_t numbers[] = {meta->version, meta->count,   meta->seq,     DATA_FORMAT,
                                meta->feed,    meta->deletes, meta->requests};
    for (int i = 0; i < 7 && rc == SQLITE_OK; i++)
        rc = sqlite3_bind_int64(statement, 2 + i, (sqlite3_int64)numbers[i]);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The file is complete and on the disk, under its temporary name. */
static enum data_result complete_tmp(struct data_rewrite *rewrite, struct fault *fault)
{
    int rc = insert_meta(rewrite->db, &rewrite->meta);
    if (rc != SQLITE_OK)
        return data_sqlite_fault(rewrite->db, rewrite->tmp_path, rc, "write its meta data", fault);
    /* The mark for a write-ahead log is set now, so that the first open need not write it. */
    enum data_result result =
        data_run(rewrite->db, rewrite->tmp_path,
                 "COMMIT; PRAGMA locking_mode=NORMAL; PRAGMA journal_mode=WAL", fault);
    if (result != DATA_OK)
        return result;
    rc = data_vfs_sync_database(rewrite->db);
    if (rc != SQLITE_OK)
        return data_sqlite_fault(rewrite->db, rewrite->tmp_path, rc, "sync it", fault);
    return DATA_OK;
}

static void close_tmp(struct data_rewrite *rewrite)
{
    sqlite3_finalize(rewrite->insert);
    sqlite3_finalize(rewrite->note_deleted);
    sqlite3_finalize(rewrite->note_request);
    sqlite3_close(rewrite->db);
    rewrite->insert = rewrite->note_deleted = rewrite->note_request = NULL;
    rewrite->db = NULL;
}

void data_rewrite_keep_old(struct data_rewrite *rewrite, char kept[DATA_KEPT_SIZE])
{
    kept[0] = '\0';
    rewrite->kept = kept;
}

static enum data_result replace_old(struct data_rewrite *rewrite, struct fault *fault)
{
    struct fault ignored;
    enum data_result result = DATA_OK;
    if (rewrite->kept != NULL)
        result = data_keep(rewrite->path, rewrite->kept, fault);
    if (result != DATA_OK) {
        data_swap_clear(rewrite->path, &ignored);
        return result;
    }
    result = data_swap_replace(rewrite->path, fault);
    if (result != DATA_OK && rewrite->kept != NULL)
        data_keep_undo(rewrite->path, rewrite->kept);
    return result;
}

enum data_result data_rewrite_finish(struct data_rewrite *rewrite, struct fault *fault)
{
    enum data_result result = complete_tmp(rewrite, fault);
    if (result != DATA_OK) {
        data_rewrite_abandon(rewrite);
        return data_count_result(result);
    }
    close_tmp(rewrite);
    result = replace_old(rewrite, fault);
    free(rewrite);
    return data_count_result(result);
}

void data_rewrite_abandon(struct data_rewrite *rewrite)
{
    struct fault ignored;
    if (rewrite == NULL)
        return;
    close_tmp(rewrite);
    data_swap_clear(rewrite->path, &ignored);
    free(rewrite);
}
