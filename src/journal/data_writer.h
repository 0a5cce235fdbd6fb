/* SPDX-License-Identifier: MIT */
/* The inside of an open data file. */
#ifndef ROSTERD_JOURNAL_DATA_WRITER_H
#define ROSTERD_JOURNAL_DATA_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "journal/data_file.h"
#include "journal/data_path.h"
#include "journal/data_queue.h"

enum data_statement {
    DATA_BEGIN,
    DATA_COMMIT,
    DATA_ROLLBACK,
    DATA_INSERT,
    DATA_INSERT_QUEUE,
    DATA_UPDATE,
    DATA_DELETE,
    DATA_NOTE_DELETED,
    DATA_NOTE_REQUEST,
    DATA_FORGET_REQUESTS,
    DATA_SET_META,
    DATA_STATEMENTS,
};

/* 16 MB of log: with two syncs each, checkpoints cost little then, and a start has little to move.
 */
#ifdef JOURNAL_TEST_SHORT_LOG /* so that a test of a second has many checkpoints */
enum { DATA_CHECKPOINT_PAGES = 40 };
#else
enum { DATA_CHECKPOINT_PAGES = 4000 };
#endif

/* What a rollback brings back. */
struct data_tally {
    uint64_t count;             /* users */
    uint64_t deletes, requests; /* rows of the tables beside the users */
    int64_t max_seq;            /* no user has a greater sequence number: such a one is new */
};

struct data_file {
    sqlite3 *db;
    char path[DATA_PATH_SIZE];
    sqlite3_stmt *statements[DATA_STATEMENTS];
    struct data_tally now, committed;
    struct data_queue queue; /* of the open transaction: new users that are not inserted yet */
    int lock_fd;             /* data_lock_inode() */
    int log_pages;           /* of the write-ahead log, as of the last commit */
    int checkpoint_from;     /* pages of the log from which data_file_maintain() does something */
    bool unsynced;           /* with DATA_SYNC_OFF: there are commits that nobody has synced */
    bool sync_off;
    bool failed;
    bool raises; /* the file has an older format; the next commit gives it today's */
};

/** In a transaction: makes the file one of today's format. @return an error of SQLite's */
enum data_result data_raise_format(struct data_file *file, struct fault *fault);

#endif
