/* SPDX-License-Identifier: MIT */
/*
 * The data file: the table of users on disk, as a database of SQLite. It knows nothing of the
 * segment; src/journal has what copies one to the other. docs/store.md describes the tables.
 *
 * A file is always the table as of one commit: meta.version. A transaction is there as a whole or
 * not at all, whatever dies and whenever.
 *
 * Beside PATH lie PATH-wal and PATH-shm, which are SQLite's, PATH.lock (data_lock.h), and during a
 * replacement PATH.tmp and PATH.new (data_swap.h). PATH may be a symbolic link; all the files lie
 * beside its target, and a replacement replaces the target.
 *
 * Processes: a connection belongs to the process and the thread that opened it. Before a fork each
 * is closed: a child that inherits one destroys the locks of both. No process opens PATH by open(2)
 * while it has a connection: closing the descriptor would drop SQLite's locks. One process writes,
 * and holds the lock of data_lock_writer() meanwhile; any number reads, sqlite3 of the shell, too.
 *
 * Each function that takes a fault fills it whenever the result is not DATA_OK, except with
 * DATA_NONE of data_rows_next(). The text names the file.
 */
#ifndef ROSTERD_JOURNAL_DATA_FILE_H
#define ROSTERD_JOURNAL_DATA_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

/* Format 1 had no hidden parts, and no tables beside the users. It is read as it is; the first
 * commit makes it one of format 2. */
enum { DATA_ID_SIZE = 16, DATA_TABLE_ID_SIZE = 8, DATA_FORMAT = 2 };
enum { DATA_KEPT_SIZE = 560 }; /* the name of a file that was kept */

enum data_result {
    DATA_OK,
    DATA_NONE, /* no such file; at the end of the rows */
    /* The disk is full, or the process is out of memory (the fault says which). The transaction is
     * rolled back as a whole and may be tried again. Until the next commit it may still turn up
     * after a power cut, but only as a whole. */
    DATA_FULL,
    /* A system call failed. Of a commit the outcome is unknown. The file takes no more writes:
     * close it without a checkpoint. */
    DATA_FAILED,
    /* Not rosterd's file, a newer format, a damaged page or row. Nothing was changed. Of a file
     * that is open for writing: it takes no more writes, as with DATA_FAILED. */
    DATA_INVALID,
    DATA_BUSY, /* another process has it locked; nothing was changed */
};

enum data_sync {
    DATA_SYNC_FULL, /* a commit is on disk when data_file_commit() returns */
    /* Commits are not synced. A power cut takes the last ones, in their order and each as a whole;
     * it damages nothing, because checkpoints sync. */
    DATA_SYNC_OFF,
};

struct data_meta {
    /* The store's identity. The first half is the table's, for ever. The second is new with each
     * segment that the file is loaded into (journal_load.h). */
    uint8_t store[DATA_ID_SIZE];
    uint64_t version; /* the last commit in the file */
    uint64_t count;   /* users */
    uint64_t seq;     /* the last sequence number ever given */
    /* All users that were deleted by a commit after this one are in the table of deletes. */
    uint64_t feed;
    uint64_t deletes, requests; /* rows of the tables beside the users */
    unsigned
        format; /* the file's: 1 to DATA_FORMAT. A new file has DATA_FORMAT, whatever is here */
};

/** Sequence numbers and versions are at most INT64_MAX: SQLite has no larger integers. */
struct data_row {
    uint64_t seq, version;
    uint8_t id[DATA_ID_SIZE];
    /* data_file_put(): the caller's. data_rows_next(): valid until the next call */
    const uint8_t *body, *hidden; /* both parts of the body; hidden may be NULL if it is empty */
    uint32_t body_len, hidden_len;
};

/** A user that was deleted. The newest DATA_DELETED_MAX or so are kept. */
struct data_deleted {
    uint64_t seq, version; /* the user's number; the commit that deleted it */
    uint8_t id[DATA_ID_SIZE];
};
enum { DATA_DELETED_MAX = 16384, DATA_DELETED_SLACK = 2048 };

/** A request that was done: shm_request of shm/store.h. One a commit at most. */
struct data_request {
    uint64_t version, time, fingerprint;
    uint8_t id[DATA_ID_SIZE], user[DATA_ID_SIZE];
};

struct data_file;

/**
 * Opens a file for writing. Finishes a replacement that was interrupted, checks the application id,
 * the format and the meta data, and moves the write-ahead log into the file. The caller holds the
 * writer's lock.
 *
 * The log comes before the meta data are trusted: an earlier process may have died between writing
 * a commit and the end of its sync, or after a sync that failed. So the log is first written over
 * itself and synced. Where a reader of an old state or a full disk keeps it from being moved, it
 * stays.
 * @param meta receives the file's
 * @return DATA_NONE if there is no such file
 */
enum data_result data_file_open(struct data_file **file, const char *path, enum data_sync sync,
                                struct data_meta *meta, struct fault *fault);
/**
 * Closes the file; an open transaction is rolled back.
 * @param file may be NULL
 * @param checkpoint move the write-ahead log into the file and remove it, as far as readers allow.
 *        Nothing is lost if that fails. A file that has failed is not touched.
 * @return DATA_FAILED: the log could not be moved, for another reason than readers or a full disk;
 *        otherwise DATA_OK
 */
enum data_result data_file_close(struct data_file *file, bool checkpoint);

/**
 * A transaction: data_file_begin(), any number of data_file_put() and data_file_delete(), then
 * data_file_commit() or data_file_rollback(). After an error the transaction is rolled back
 * already.
 * @return DATA_BUSY if another process (a shell) has kept the write lock for three seconds
 */
enum data_result data_file_begin(struct data_file *file, struct fault *fault);
/** Inserts the user, or replaces the one with this sequence number. */
enum data_result data_file_put(struct data_file *file, const struct data_row *row,
                               struct fault *fault);
/** Deletes the user with this sequence number, if there is one. */
enum data_result data_file_delete(struct data_file *file, uint64_t seq, struct fault *fault);
/** Notes that a user was deleted. */
enum data_result data_file_note_deleted(struct data_file *file, const struct data_deleted *deleted,
                                        struct fault *fault);
/** Forgets which users were deleted: it is known of the commits after `feed` only. */
enum data_result data_file_forget_deleted(struct data_file *file, uint64_t feed,
                                          struct fault *fault);
/** Notes that a request was done. */
enum data_result data_file_note_request(struct data_file *file, const struct data_request *request,
                                        struct fault *fault);
/** Forgets the requests of all commits up to this one. */
enum data_result data_file_forget_requests(struct data_file *file, uint64_t version,
                                           struct fault *fault);
/**
 * Sets meta.version and meta.seq and commits. The count is kept by put and delete.
 * @return DATA_FAILED also if the file is no longer the one of this name: somebody has moved or
 *         removed it or its write-ahead log, and nobody would find the commit
 */
enum data_result data_file_commit(struct data_file *file, uint64_t version, uint64_t seq,
                                  struct fault *fault);
/** Sets meta.store and commits, in a transaction of its own. */
enum data_result data_file_set_store(struct data_file *file, const uint8_t store[DATA_ID_SIZE],
                                     struct fault *fault);
/** Does nothing without a transaction. */
void data_file_rollback(struct data_file *file);
/** @return the users as of the last commit */
uint64_t data_file_count(const struct data_file *file);
/** With DATA_SYNC_OFF: all commits so far are on disk when it returns. Not inside a transaction. */
enum data_result data_file_sync(struct data_file *file, struct fault *fault);
/**
 * Moves the write-ahead log into the file when it has some 4,000 pages. Readers and writers do not
 * wait for it, and it does not wait for readers: while one holds an old state, the log grows, and
 * this is tried again every 4,000 pages. Not inside a transaction.
 * @return DATA_BUSY if another process does the same now: no error
 */
enum data_result data_file_maintain(struct data_file *file, struct fault *fault);

enum { DATA_BUCKETS = 20 };
/** The upper bounds of the histograms' buckets; the last bucket has none. */
extern const uint64_t data_counts_bounds_ns[DATA_BUCKETS - 1];

/** Numbers since the start of the process, of all its files. Its one writing thread keeps them. */
struct data_counts {
    uint64_t bytes_written;      /* to databases and logs */
    uint64_t commits, commit_ns; /* successful ones; with their syncs */
    uint64_t syncs, sync_ns;     /* of files */
    uint64_t failures, full;     /* results DATA_FAILED, and DATA_FULL */
    uint64_t sync_buckets[DATA_BUCKETS], commit_buckets[DATA_BUCKETS];
};
const struct data_counts *data_counts(void);
/** alive() is called before each system call on a file of this process that may take long: a sign
 * of life while a log of gigabytes is read, written or moved. NULL: nobody looks. */
void data_watch(void (*alive)(void *data), void *data);

/**
 * Reads all users as of one commit, in order of their sequence numbers. It has a connection of its
 * own, writes nothing into the file and its log, and works beside a process that writes. Until
 * data_rows_close() the log cannot be shortened. It does not finish an interrupted replacement:
 * data_file_open() does.
 * @return DATA_NONE if there is no such file; DATA_BUSY while it is being replaced, or if the
 *         replacement was interrupted
 */
struct data_rows;
enum data_result data_rows_open(struct data_rows **rows, const char *path, struct data_meta *meta,
                                struct fault *fault);
/**
 * @return DATA_NONE at the end, if there were as many rows as the meta data say. DATA_INVALID names
 *         the row whose sum is wrong, or both counts.
 */
enum data_result data_rows_next(struct data_rows *rows, struct data_row *row, struct fault *fault);
/** Where data_rows_history() puts what it reads. Either may be NULL; false: there is no memory. */
struct data_history_reader {
    bool (*deleted)(void *data, const struct data_deleted *deleted); /* by version, then number */
    bool (*request)(void *data, const struct data_request *request); /* by version */
    void *data;
};
/** Reads who was deleted and which requests were done, as of the same commit. Each row's sum is
 * checked, and their numbers. */
enum data_result data_rows_history(struct data_rows *rows, const struct data_history_reader *reader,
                                   struct fault *fault);
/** @param rows may be NULL */
void data_rows_close(struct data_rows *rows);

/**
 * Replaces the file as a whole, after a failure: begin, put each user once, in any order (that of
 * sequence numbers is the fastest), finish. The file of this name is closed, and the caller holds
 * the writer's lock. After an error the rewrite is to be abandoned, except by finish, which frees.
 * @param meta the new file's; its count, deletes and requests become the numbers of rows
 * @return of begin: DATA_NONE if the directory does not exist
 */
struct data_rewrite;
enum data_result data_rewrite_begin(struct data_rewrite **rewrite, const char *path,
                                    const struct data_meta *meta, struct fault *fault);
enum data_result data_rewrite_put(struct data_rewrite *rewrite, const struct data_row *row,
                                  struct fault *fault);
/** Sets meta.feed of the new file. */
void data_rewrite_set_feed(struct data_rewrite *rewrite, uint64_t feed);
enum data_result data_rewrite_note_deleted(struct data_rewrite *rewrite,
                                           const struct data_deleted *deleted, struct fault *fault);
enum data_result data_rewrite_note_request(struct data_rewrite *rewrite,
                                           const struct data_request *request, struct fault *fault);
/** finish will keep the old file, as PATH.TIME, and write that name here; "" if there is none. A
 * process that is killed between two system calls of finish leaves PATH with both names. */
void data_rewrite_keep_old(struct data_rewrite *rewrite, char kept[DATA_KEPT_SIZE]);
/**
 * Syncs the new file, gives it the old one's name, syncs the directory, and frees. After a failure
 * the name leads to the old file or to the new one, each complete.
 */
enum data_result data_rewrite_finish(struct data_rewrite *rewrite, struct fault *fault);
/** @param rewrite may be NULL */
void data_rewrite_abandon(struct data_rewrite *rewrite);

/* ---- backups ----
 *
 * A backup is one file of its own, without a write-ahead log. It is read and written by its
 * descriptor, because root opens it before it gives up root's rights; `name` is for faults. */

/** Told how far a long work is. The unit is the work's. @return false: stop it, which is a failure
 */
typedef bool data_progress(void *data, uint64_t done, uint64_t total);

/**
 * Copies a file that may be in use, by SQLite's online backup: the table as of one commit. Neither
 * syncs the copy nor checks it.
 * @param to an empty file, open to read and write
 * @param progress may be NULL, as below
 * @return DATA_NONE if there is no file `from`; DATA_BUSY as data_rows_open()
 */
enum data_result data_backup(const char *from, int to, const char *name, data_progress *progress,
                             void *data, struct fault *fault);
/**
 * Reads all of a backup: the sums of all tables' rows, the users' number, and the pages by PRAGMA
 * integrity_check.
 * @param meta receives the backup's
 */
enum data_result data_check(int fd, const char *name, data_progress *progress, void *data,
                            struct data_meta *meta, struct fault *fault);
/** As data_rows_open(), of a backup. */
enum data_result data_rows_open_at(struct data_rows **rows, int fd, const char *name,
                                   struct data_meta *meta, struct fault *fault);

#endif
