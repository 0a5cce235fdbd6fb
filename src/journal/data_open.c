/* SPDX-License-Identifier: MIT */
/* Opens and closes a data file for writing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal/data_connection.h"
#include "journal/data_count.h"
#include "journal/data_history.h"
#include "journal/data_lock.h"
#include "journal/data_os.h"
#include "journal/data_row.h"
#include "journal/data_swap.h"
#include "journal/data_vfs.h"
#include "journal/data_writer.h"

static const char *const statement_texts[DATA_STATEMENTS] = {
    [DATA_BEGIN] = "BEGIN IMMEDIATE",
    [DATA_COMMIT] = "COMMIT",
    [DATA_ROLLBACK] = "ROLLBACK",
    [DATA_INSERT] = DATA_INSERT_ROW,
    [DATA_INSERT_QUEUE] = DATA_INSERT_ROWS,
    [DATA_UPDATE] = DATA_UPDATE_ROW,
    [DATA_DELETE] = "DELETE FROM users WHERE seq = ?1",
    [DATA_NOTE_DELETED] = DATA_INSERT_DELETED,
    [DATA_NOTE_REQUEST] = DATA_INSERT_REQUEST,
    [DATA_FORGET_REQUESTS] = "DELETE FROM requests WHERE version <= ?1",
    [DATA_SET_META] =
        "UPDATE meta SET version = ?1, count = ?2, seq = ?3, deletes = ?4, requests = ?5",
};

_Static_assert(DATA_QUEUE_ROWS == 4 * 4, "DATA_INSERT_ROWS has four times DATA_FOUR_ROWS");

/* SQLite calls it after each commit. In its place SQLite would have checkpoints of its own. */
static int note_log_pages(void *data, sqlite3 *db, const char *name, int pages)
{
    struct data_file *file = data;
    (void)db;
    (void)name;
    if (pages < file->log_pages) /* it has started from the front */
        file->checkpoint_from = DATA_CHECKPOINT_PAGES;
    file->log_pages = pages;
    return SQLITE_OK;
}

/* A file that was just made, or that somebody has changed in the shell, has another mode. */
static enum data_result use_log(struct data_file *file, struct fault *fault)
{
    sqlite3_stmt *statement;
    enum data_result result =
        data_prepare(file->db, file->path, "PRAGMA journal_mode=WAL", &statement, fault);
    if (result != DATA_OK)
        return result;
    int rc = sqlite3_step(statement);
    const char *mode = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (rc != SQLITE_ROW) {
        result = data_sqlite_fault(file->db, file->path, rc, "use a write-ahead log", fault);
    } else if (mode == NULL || strcmp(mode, "wal") != 0) {
        fault_set(fault,
                  "data-file %s: its file system cannot have a write-ahead log of SQLite: it lacks "
                  "locks or shared memory",
                  file->path);
        result = DATA_FAILED;
    }
    sqlite3_finalize(statement);
    return result;
}

/* Moves the log into the file and onto the disk, and empties it if no reader is there.
 * @return a code of SQLite; SQLITE_OK: all has been moved */
static int move_log(sqlite3 *db)
{
    int pages = -1, moved = -1;
    sqlite3_busy_timeout(db, 0);
    int rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_FULL, &pages, &moved);
    if (rc == SQLITE_BUSY && pages >= 0 && pages == moved)
        rc = SQLITE_OK;
    if (rc == SQLITE_OK) {
        rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        if (rc == SQLITE_BUSY)
            rc = SQLITE_OK;
    }
    sqlite3_busy_timeout(db, DATA_BUSY_TIMEOUT_MS);
    return rc;
}

/* Everything in the log comes onto the disk, whatever became of the process that wrote it. Moving
 * it into the file is not enough: if a sync of the log had failed, the disk may have only the log's
 * beginning, and after a power cut SQLite would put these old pages over the file's new ones. */
static enum data_result settle_log(struct data_file *file, struct fault *fault)
{
    enum data_result result = data_run(file->db, file->path, "BEGIN IMMEDIATE", fault);
    if (result != DATA_OK)
        return result;
    int rc = data_vfs_rewrite_log(file->db);
    if (rc != SQLITE_OK) /* closing the file ends the transaction */
        return data_sqlite_fault(file->db, file->path, rc, "write its log again", fault);
    result = data_run(file->db, file->path, "ROLLBACK", fault);
    if (result != DATA_OK)
        return result;
    /* A reader of an old state or a full disk may keep the log where it is. */
    rc = move_log(file->db);
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_FULL)
        return DATA_OK;
    return data_sqlite_fault(file->db, file->path, rc, "move its log into it", fault);
}

/* Prepares what is not prepared yet. */
static enum data_result prepare_all(struct data_file *file, struct fault *fault)
{
    for (int i = 0; i < DATA_STATEMENTS; i++) {
        bool needs_format = i != DATA_BEGIN && i != DATA_COMMIT && i != DATA_ROLLBACK;
        if (file->statements[i] != NULL || (needs_format && file->raises))
            continue;
        enum data_result result =
            data_prepare(file->db, file->path, statement_texts[i], &file->statements[i], fault);
        if (result != DATA_OK)
            return result;
    }
    return DATA_OK;
}

enum data_result data_raise_format(struct data_file *file, struct fault *fault)
{
    _Static_assert(DATA_FORMAT == 2, "these are all steps; rows need no change");
    enum data_result result = data_run(
        file->db, file->path,
        "ALTER TABLE users ADD COLUMN hidden BLOB;"
        "ALTER TABLE meta ADD COLUMN deletes INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE meta ADD COLUMN requests INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE meta ADD COLUMN feed INTEGER NOT NULL DEFAULT 0;"
        "UPDATE meta SET feed = version, format = 2;" DATA_HISTORY_TABLES "PRAGMA user_version = 2",
        fault);
    if (result != DATA_OK)
        return result;
    file->raises = false;
    result = prepare_all(file, fault);
    file->raises = true; /* until the commit */
    return result;
}

/* The connection is there. Nothing is written before the file is known to be rosterd's. */
static enum data_result begin_use(struct data_file *file, struct data_meta *meta,
                                  struct fault *fault)
{
    enum data_result result = data_check_meta(file->db, file->path, meta, fault);
    if (result == DATA_OK)
        result = data_run(file->db, file->path, "PRAGMA synchronous=FULL", fault);
    if (result == DATA_OK)
        result = use_log(file, fault);
    if (result == DATA_OK)
        result = settle_log(file, fault);
    if (result == DATA_OK) /* again: the log may have had more than it had on the disk */
        result = data_check_meta(file->db, file->path, meta, fault);
    file->raises = meta->format != DATA_FORMAT;
    if (result == DATA_OK)
        result = prepare_all(file, fault);
    if (result == DATA_OK)
        result = data_ask_number(file->db, file->path, "SELECT max(seq) FROM users",
                                 &file->committed.max_seq, fault);
    /* The log is a file since the last statement at the latest. */
    if (result == DATA_OK && data_os.sync_folder(file->path) != 0)
        result = data_os_fault(file->path, "sync its directory", fault);
    /* A log that was large once is cut to this at its next start from the front. */
    if (result == DATA_OK)
        result = data_run(file->db, file->path, "PRAGMA journal_size_limit=33554432", fault);
    /* NORMAL: commits are not synced, checkpoints are. With OFF a power cut damages the file. */
    if (result == DATA_OK && file->sync_off)
        result = data_run(file->db, file->path, "PRAGMA synchronous=NORMAL", fault);
    if (result == DATA_OK && !file->sync_off)
        data_vfs_hold_log(file->db);
    return result;
}

/* @param path from data_path_resolve() */
static enum data_result open_resolved(struct data_file **file_out, const char *path,
                                      enum data_sync sync, struct data_meta *meta,
                                      struct fault *fault)
{
    struct data_file *file = calloc(1, sizeof(*file));
    *file_out = NULL;
    if (file == NULL)
        return data_sqlite_fault(NULL, path, SQLITE_NOMEM, "open it", fault);
    snprintf(file->path, sizeof(file->path), "%s", path);
    file->checkpoint_from = DATA_CHECKPOINT_PAGES;
    file->sync_off = sync == DATA_SYNC_OFF;
    file->lock_fd = -1;
    enum data_result result = data_swap_finish(path, fault);
    if (result == DATA_OK)
        result = data_connect(&file->db, path, DATA_ACCESS_WRITE, fault);
    if (result == DATA_OK)
        result = data_lock_inode(path, &file->lock_fd, fault);
    if (result == DATA_OK) {
        sqlite3_wal_hook(file->db, note_log_pages, file);
        result = begin_use(file, meta, fault);
    }
    if (result != DATA_OK) {
        data_file_close(file, false);
        return result;
    }
    file->committed.count = meta->count;
    file->committed.deletes = meta->deletes;
    file->committed.requests = meta->requests;
    file->now = file->committed;
    *file_out = file;
    return DATA_OK;
}

enum data_result data_file_open(struct data_file **file, const char *path, enum data_sync sync,
                                struct data_meta *meta, struct fault *fault)
{
    char resolved[DATA_PATH_SIZE];
    *file = NULL;
    enum data_result result = data_path_resolve(path, resolved, fault);
    if (result == DATA_OK)
        result = open_resolved(file, resolved, sync, meta, fault);
    return data_count_result(result);
}

/* Readers, a full disk and a lack of memory leave the log where it is. */
static enum data_result close_result(const struct data_file *file, int rc)
{
    struct fault fault;
    enum data_result result =
        data_sqlite_fault(file->db, file->path, rc, "move its log into it", &fault);
    return result == DATA_FULL || result == DATA_BUSY ? DATA_OK : data_count_result(DATA_FAILED);
}

enum data_result data_file_close(struct data_file *file, bool checkpoint)
{
    enum data_result result = DATA_OK;
    if (file == NULL)
        return DATA_OK;
    data_file_rollback(file);
    for (int i = 0; i < DATA_STATEMENTS; i++)
        sqlite3_finalize(file->statements[i]);
    /* As the last connection SQLite also removes the log; until then the log is what counts. */
    if (checkpoint && !file->failed) {
        int rc = move_log(file->db);
        if (rc == SQLITE_OK)
            sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        else
            result = close_result(file, rc);
    }
    sqlite3_close(file->db);
    if (file->lock_fd >= 0)
        close(file->lock_fd);
    free(file);
    return result;
}
