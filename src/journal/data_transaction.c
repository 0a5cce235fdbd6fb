/* SPDX-License-Identifier: MIT */
/* Writes into an open data file. */
#include <assert.h>

#include "base/clock.h"
#include "journal/data_connection.h"
#include "journal/data_count.h"
#include "journal/data_history.h"
#include "journal/data_row.h"
#include "journal/data_vfs.h"
#include "journal/data_writer.h"

static int step_once(struct data_file *file, enum data_statement which)
{
    sqlite3_stmt *statement = file->statements[which];
    int rc = sqlite3_step(statement);
    sqlite3_reset(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Ends the open transaction, if SQLite has not done so. @return whether none is open */
static bool end_transaction(struct data_file *file)
{
    file->now = file->committed;
    data_queue_clear(&file->queue);
    if (sqlite3_get_autocommit(file->db))
        return true;
    return step_once(file, DATA_ROLLBACK) == SQLITE_OK && sqlite3_get_autocommit(file->db) != 0;
}

static void stop_writes(struct data_file *file)
{
#ifdef JOURNAL_MUTANT_RETRY_COMMIT
    return;
#endif
    file->failed = true;
    data_vfs_stop(file->db);
}

/* An error in a transaction, or in a checkpoint. */
static enum data_result give_up(struct data_file *file, int rc, const char *what,
                                struct fault *fault)
{
    enum data_result result = data_sqlite_fault(file->db, file->path, rc, what, fault);
    if (result == DATA_FAILED || result == DATA_INVALID)
        stop_writes(file); /* before the rollback, so that it writes nothing either */
    if (!end_transaction(file)) {
        stop_writes(file);
        fault_prefix(fault, "no rollback after");
        result = DATA_FAILED;
    }
    return data_count_result(result);
}

static enum data_result refuse_failed(const struct data_file *file, struct fault *fault)
{
    fault_set(fault, "data-file %s: an earlier error ended its use", file->path);
    return DATA_FAILED;
}

enum data_result data_file_begin(struct data_file *file, struct fault *fault)
{
    assert(sqlite3_get_autocommit(file->db));
    if (file->failed)
        return refuse_failed(file, fault);
    int rc = step_once(file, DATA_BEGIN);
    if (rc != SQLITE_OK)
        return give_up(file, rc, "begin a transaction", fault);
    if (file->raises && data_raise_format(file, fault) != DATA_OK)
        return give_up(file, sqlite3_extended_errcode(file->db), "raise its format", fault);
    return DATA_OK;
}

/* @return a code of SQLite */
static int put_by(struct data_file *file, enum data_statement which, const struct data_row *row)
{
    int rc = data_row_bind(file->statements[which], 1, row);
    return rc == SQLITE_OK ? step_once(file, which) : rc;
}

static int insert_full_queue(struct data_file *file)
{
    sqlite3_stmt *statement = file->statements[DATA_INSERT_QUEUE];
    int rc = SQLITE_OK;
    for (int i = 0; i < DATA_QUEUE_ROWS && rc == SQLITE_OK; i++)
        rc = data_row_bind(statement, 1 + i * DATA_ROW_PARAMETERS, &file->queue.rows[i]);
    return rc == SQLITE_OK ? step_once(file, DATA_INSERT_QUEUE) : rc;
}

/* Before anything else happens to the table of users, and before the commit.
 * @return a code of SQLite */
static int insert_queued(struct data_file *file)
{
    int rc = SQLITE_OK;
    if (file->queue.count == DATA_QUEUE_ROWS)
        rc = insert_full_queue(file);
    else
        for (unsigned i = 0; i < file->queue.count && rc == SQLITE_OK; i++)
            rc = put_by(file, DATA_INSERT, &file->queue.rows[i]);
    data_queue_clear(&file->queue);
    return rc;
}

/* @return a code of SQLite */
static int insert_new(struct data_file *file, const struct data_row *row)
{
    int rc = SQLITE_OK;
    if (!data_queue_add(&file->queue, row)) {
        rc = insert_queued(file);
        if (rc == SQLITE_OK && !data_queue_add(&file->queue, row))
            rc = put_by(file, DATA_INSERT, row); /* it is larger than the queue */
    }
    return rc;
}

/* The file may have a user with this sequence number. @return a code of SQLite */
static int update_or_insert(struct data_file *file, const struct data_row *row)
{
    int rc = insert_queued(file);
    if (rc == SQLITE_OK)
        rc = put_by(file, DATA_UPDATE, row);
    if (rc != SQLITE_OK || sqlite3_changes(file->db) != 0)
        return rc;
    rc = put_by(file, DATA_INSERT, row);
    file->now.count += rc == SQLITE_OK;
    return rc;
}

enum data_result data_file_put(struct data_file *file, const struct data_row *row,
                               struct fault *fault)
{
    int rc;
    if (file->failed)
        return refuse_failed(file, fault);
    assert(!sqlite3_get_autocommit(file->db));
    if ((int64_t)row->seq > file->now.max_seq) {
        rc = insert_new(file, row);
        file->now.max_seq = (int64_t)row->seq;
        file->now.count++;
    } else {
        rc = update_or_insert(file, row);
    }
    return rc == SQLITE_OK ? DATA_OK : give_up(file, rc, "write a user", fault);
}

enum data_result data_file_delete(struct data_file *file, uint64_t seq, struct fault *fault)
{
    if (file->failed)
        return refuse_failed(file, fault);
    assert(!sqlite3_get_autocommit(file->db));
    int rc = insert_queued(file);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(file->statements[DATA_DELETE], 1, (sqlite3_int64)seq);
    if (rc == SQLITE_OK)
        rc = step_once(file, DATA_DELETE);
    if (rc != SQLITE_OK)
        return give_up(file, rc, "delete a user", fault);
    file->now.count -= (uint64_t)sqlite3_changes(file->db);
    return DATA_OK;
}

/* Runs a statement whose parameters were bound with this result. */
static enum data_result step_bound(struct data_file *file, enum data_statement which, int rc,
                                   const char *what, struct fault *fault)
{
    if (rc == SQLITE_OK)
        rc = step_once(file, which);
    return rc == SQLITE_OK ? DATA_OK : give_up(file, rc, what, fault);
}

/* Forgets the oldest deletes, some at a time. All of a commit are kept, or none. */
static enum data_result shorten_deleted(struct data_file *file, struct fault *fault)
{
    int64_t last;
    char sql[128];
    sqlite3_snprintf(sizeof(sql), sql,
                     "SELECT version FROM deleted ORDER BY version DESC LIMIT 1 OFFSET %d",
                     DATA_DELETED_MAX);
    enum data_result result = data_ask_number(file->db, file->path, sql, &last, fault);
    if (result == DATA_OK) {
        sqlite3_snprintf(sizeof(sql), sql,
                         "UPDATE meta SET feed = %lld; DELETE FROM deleted WHERE version <= %lld",
                         (long long)last, (long long)last);
        result = data_run(file->db, file->path, sql, fault);
    }
    if (result != DATA_OK)
        return give_up(file, sqlite3_extended_errcode(file->db), "forget old deletes", fault);
    file->now.deletes -= (uint64_t)sqlite3_changes(file->db);
    return DATA_OK;
}

enum data_result data_file_note_deleted(struct data_file *file, const struct data_deleted *deleted,
                                        struct fault *fault)
{
    if (file->failed)
        return refuse_failed(file, fault);
    assert(!sqlite3_get_autocommit(file->db));
    int rc = data_deleted_bind(file->statements[DATA_NOTE_DELETED], deleted);
    enum data_result result = step_bound(file, DATA_NOTE_DELETED, rc, "note a delete", fault);
    if (result != DATA_OK || ++file->now.deletes <= DATA_DELETED_MAX + DATA_DELETED_SLACK)
        return result;
    return shorten_deleted(file, fault);
}

enum data_result data_file_forget_deleted(struct data_file *file, uint64_t feed,
                                          struct fault *fault)
{
    char sql[96];
    if (file->failed)
        return refuse_failed(file, fault);
    assert(!sqlite3_get_autocommit(file->db) && feed <= INT64_MAX);
    sqlite3_snprintf(sizeof(sql), sql, "UPDATE meta SET feed = %lld; DELETE FROM deleted",
                     (long long)feed);
    if (data_run(file->db, file->path, sql, fault) != DATA_OK)
        return give_up(file, sqlite3_extended_errcode(file->db), "forget old deletes", fault);
    file->now.deletes = 0;
    return DATA_OK;
}

enum data_result data_file_note_request(struct data_file *file, const struct data_request *request,
                                        struct fault *fault)
{
    if (file->failed)
        return refuse_failed(file, fault);
    assert(!sqlite3_get_autocommit(file->db));
    int rc = data_request_bind(file->statements[DATA_NOTE_REQUEST], request);
    enum data_result result = step_bound(file, DATA_NOTE_REQUEST, rc, "note a request", fault);
    file->now.requests += result == DATA_OK;
    return result;
}

enum data_result data_file_forget_requests(struct data_file *file, uint64_t version,
                                           struct fault *fault)
{
    if (file->failed)
        return refuse_failed(file, fault);
    assert(!sqlite3_get_autocommit(file->db));
    int rc = sqlite3_bind_int64(file->statements[DATA_FORGET_REQUESTS], 1, (sqlite3_int64)version);
    enum data_result result =
        step_bound(file, DATA_FORGET_REQUESTS, rc, "forget old requests", fault);
    if (result == DATA_OK)
        file->now.requests -= (uint64_t)sqlite3_changes(file->db);
    return result;
}

static int set_meta(struct data_file *file, uint64_t version, uint64_t seq)
{
    sqlite3_stmt *statement = file->statements[DATA_SET_META];
    const uint64_t numbers[] = {version, file->now.count, seq, file->now.deletes,
                                file->now.requests};
    int rc = insert_queued(file);
    for (int i = 0; i < 5 && rc == SQLITE_OK; i++)
        rc = sqlite3_bind_int64(statement, 1 + i, (sqlite3_int64)numbers[i]);
    if (rc == SQLITE_OK)
        rc = step_once(file, DATA_SET_META);
    if (rc == SQLITE_OK && sqlite3_changes(file->db) != 1)
        rc = SQLITE_CORRUPT; /* somebody has deleted the row, or there are two */
    return rc;
}

/* @param rc of the statements before */
static enum data_result conclude_commit(struct data_file *file, int rc, uint64_t begin,
                                        struct fault *fault)
{
    if (rc == SQLITE_OK)
        rc = step_once(file, DATA_COMMIT);
    if (rc != SQLITE_OK)
        return give_up(file, rc, "commit", fault);
    /* Afterwards: until here the names lead to what was synced. */
    if (!data_vfs_database_in_place(file->db) || !data_vfs_log_in_place(file->db)) {
        stop_writes(file);
        fault_set(fault, "data-file %s: it or its log was moved, removed or cut off while in use",
                  file->path);
        return data_count_result(DATA_FAILED);
    }
    file->committed = file->now;
    file->raises = false;
    file->unsynced = true;
    data_count_commit(clock_monotonic_ns() - begin);
    return DATA_OK;
}

enum data_result data_file_commit(struct data_file *file, uint64_t version, uint64_t seq,
                                  struct fault *fault)
{
    if (file->failed)
        return refuse_failed(file, fault);
    assert(!sqlite3_get_autocommit(file->db) && version <= INT64_MAX && seq <= INT64_MAX);
    uint64_t begin = clock_monotonic_ns();
    return conclude_commit(file, set_meta(file, version, seq), begin, fault);
}

enum data_result data_file_set_store(struct data_file *file, const uint8_t store[DATA_ID_SIZE],
                                     struct fault *fault)
{
    uint64_t begin = clock_monotonic_ns();
    enum data_result result = data_file_begin(file, fault);
    if (result != DATA_OK)
        return result;
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(file->db, "UPDATE meta SET store = ?1", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(statement, 1, store, DATA_ID_SIZE, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    if (rc == SQLITE_DONE)
        rc = SQLITE_OK;
    return conclude_commit(file, rc, begin, fault);
}

void data_file_rollback(struct data_file *file)
{
    if (file->db != NULL && !sqlite3_get_autocommit(file->db) && !end_transaction(file))
        stop_writes(file);
}

uint64_t data_file_count(const struct data_file *file)
{
    return file->committed.count;
}

enum data_result data_file_sync(struct data_file *file, struct fault *fault)
{
    if (file->failed)
        return refuse_failed(file, fault);
    assert(sqlite3_get_autocommit(file->db));
    if (!file->sync_off || !file->unsynced)
        return DATA_OK;
    int rc = data_vfs_sync_log(file->db);
    if (rc != SQLITE_OK)
        return give_up(file, rc, "sync its log", fault);
    file->unsynced = false;
    return DATA_OK;
}

enum data_result data_file_maintain(struct data_file *file, struct fault *fault)
{
    if (file->failed)
        return refuse_failed(file, fault);
    assert(sqlite3_get_autocommit(file->db));
    if (file->log_pages < file->checkpoint_from)
        return DATA_OK;
    int rc = sqlite3_wal_checkpoint_v2(file->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK)
        return give_up(file, rc, "move its log into it", fault);
    /* If all has moved and no reader is there, the next commit starts from the log's front. */
    file->checkpoint_from = file->log_pages + DATA_CHECKPOINT_PAGES;
    return DATA_OK;
}
