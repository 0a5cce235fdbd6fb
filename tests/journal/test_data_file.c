/* SPDX-License-Identifier: MIT */
/* What is written into a data file comes back. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal/data_writer.h"
#include "tests/journal/data_support.h"

static struct model model;

static void new_file_has_its_meta_data_and_no_users(void **state)
{
    struct fault fault;
    struct data_file *file;
    struct data_meta meta = {.store = {1, 2, 3}, .version = 7, .count = 9, .seq = 12}, found;
    struct data_row row;
    (void)state;
    assert_result(DATA_OK, data_file_create(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    data_file_close(file, true);
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &found, &fault));
    assert_memory_equal(found.store, meta.store, DATA_ID_SIZE);
    assert_int_equal(found.version, 7);
    assert_int_equal(found.count, 0);
    assert_int_equal(found.seq, 12);
    data_file_close(file, true);
    struct data_rows *rows;
    assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &found, &fault));
    assert_result(DATA_NONE, data_rows_next(rows, &row, &fault));
    data_rows_close(rows);
}

static void users_come_back_as_they_were_put(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 300, 0, &fault)); /* inserted */
    assert_int_equal(data_file_count(file), 300);
    assert_model(&model, data_file_name);                                    /* beside the writer */
    assert_result(DATA_OK, model_commit(&model, file, 100, 120, 7, &fault)); /* replaced */
    assert_int_equal(data_file_count(file), 299);
    assert_result(DATA_OK, model_commit(&model, file, 5, 9, 0, &fault)); /* 7 is there again */
    assert_int_equal(data_file_count(file), 300);
    assert_result(DATA_OK, model_commit(&model, file, 400, 401, 399, &fault)); /* none deleted */
    assert_int_equal(data_file_count(file), 302);
    assert_model(&model, data_file_name);
    data_file_close(file, true);
    assert_false(data_exists("-wal"));
    assert_model(&model, data_file_name);
    file = open_file();
    assert_int_equal(data_file_count(file), 302);
    assert_result(DATA_OK, model_commit(&model, file, 398, 402, 0, &fault)); /* two of them new */
    assert_int_equal(data_file_count(file), 305);
    data_file_close(file, false);
    assert_model(&model, data_file_name);
}

/* New users are inserted some at a time; what else happens to them comes in its order. */
static void new_users_are_changed_in_their_transaction(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 5, &fault)); /* a new one deleted */
    assert_int_equal(data_file_count(file), 9);
    assert_model(&model, data_file_name);
    assert_result(DATA_OK, data_file_begin(file, &fault));
    for (uint64_t seq = 11; seq <= 45; seq++) {
        struct data_row row = model_row(seq, seq == 44 ? 77 : 2);
        assert_result(DATA_OK, data_file_put(file, &row, &fault));
    }
    struct data_row again = model_row(44, 2);
    assert_result(DATA_OK, data_file_put(file, &again, &fault));
    assert_result(DATA_OK, data_file_commit(file, 2, 45, &fault));
    assert_int_equal(data_file_count(file), 44);
    data_file_close(file, true);
    assert_int_equal(ask_sql(data_file_name, "SELECT count(*) FROM users WHERE version = 2"), 35);
}

static void users_of_all_sizes_are_in_order(void **state)
{
    static const uint32_t sizes[] = {1, 9000, 2, 5000, 5000, 8192, 8193, 1, 0, 4096, 4096, 1};
    static uint8_t bytes[10000];
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    memset(bytes, 'x', sizeof(bytes));
    assert_result(DATA_OK, data_file_begin(file, &fault));
    for (unsigned i = 0; i < 12; i++) {
        struct data_row row = model_row(1 + i, 1);
        row.body = bytes;
        row.hidden = bytes;
        row.body_len = sizes[i];
        row.hidden_len = i % 3;
        assert_result(DATA_OK, data_file_put(file, &row, &fault));
    }
    assert_result(DATA_OK, data_file_commit(file, 1, 12, &fault));
    data_file_close(file, true);
    for (unsigned i = 0; i < 12; i++) {
        char sql[160];
        snprintf(sql, sizeof(sql),
                 "SELECT length(body) + 100000 * ifnull(length(hidden), 0) FROM users"
                 " WHERE seq = %u",
                 1 + i);
        assert_int_equal(ask_sql(data_file_name, sql), sizes[i] + 100000 * (i % 3));
    }
    struct data_rows *rows; /* with the sum of each */
    struct data_meta meta;
    struct data_row row;
    assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &meta, &fault));
    for (unsigned i = 0; i < 12; i++)
        assert_result(DATA_OK, data_rows_next(rows, &row, &fault));
    assert_result(DATA_NONE, data_rows_next(rows, &row, &fault));
    data_rows_close(rows);
}

/* Somebody else has put a user into the file. The number is met in the midst of users who are
 * inserted together. */
static void user_that_is_there_already_ends_the_transaction(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    run_sql(data_file_name, "INSERT INTO users SELECT 20, id, version, sum, body, hidden FROM users"
                            " WHERE seq = 1");
    assert_result(DATA_OK, data_file_begin(file, &fault));
    enum data_result result = DATA_OK;
    for (uint64_t seq = 11; seq <= 27 && result == DATA_OK; seq++) {
        struct data_row row = model_row(seq, 2);
        result = data_file_put(file, &row, &fault);
    }
    assert_result(DATA_INVALID, result);
    assert_non_null(strstr(fault.text, "write a user"));
    assert_result(DATA_FAILED, data_file_begin(file, &fault)); /* no longer used */
    data_file_close(file, true);
    assert_int_equal(ask_sql(data_file_name, "SELECT count(*) FROM users"), 11);
}

static void rollback_leaves_nothing(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    assert_result(DATA_OK, data_file_begin(file, &fault));
    struct data_row row = model_row(11, 2);
    assert_result(DATA_OK, data_file_put(file, &row, &fault));
    assert_result(DATA_OK, data_file_delete(file, 3, &fault));
    data_file_rollback(file);
    data_file_rollback(file);
    assert_int_equal(data_file_count(file), 10);
    assert_result(DATA_OK, model_commit(&model, file, 11, 12, 0, &fault));
    assert_result(DATA_OK, data_file_begin(file, &fault));
    assert_result(DATA_OK, data_file_delete(file, 3, &fault));
    data_file_close(file, true); /* with a transaction open */
    assert_model(&model, data_file_name);
}

static void rewrite_replaces_the_file(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    data_file_close(file, false); /* the log holds what the file lacks */
    assert_true(data_exists("-wal"));
    model_change(&model, 3, 30, 2);
    assert_result(DATA_OK, model_rewrite(&model, data_file_name, &fault));
    assert_false(data_exists("-wal"));
    assert_model(&model, data_file_name);
    file = open_file();
    assert_int_equal(data_file_count(file), 29);
    assert_result(DATA_OK, model_commit(&model, file, 31, 33, 1, &fault));
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

static void abandoned_rewrite_leaves_the_file(void **state)
{
    struct fault fault;
    struct data_rewrite *rewrite;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    data_file_close(file, true);
    const struct data_meta meta = model_meta(&model);
    assert_result(DATA_OK, data_rewrite_begin(&rewrite, data_file_name, &meta, &fault));
    assert_true(data_exists(".tmp"));
    data_rewrite_abandon(rewrite);
    assert_false(data_exists(".tmp"));
    assert_model(&model, data_file_name);
}

static uint64_t last_done, last_total;
static bool note_progress(void *data, uint64_t done, uint64_t total)
{
    assert_ptr_equal(data, &model);
    last_done = done;
    last_total = total;
    return true;
}

static bool stop_at_once(void *data, uint64_t done, uint64_t total)
{
    (void)data;
    (void)done;
    (void)total;
    return false;
}

static void backup_is_a_file_of_its_own(void **state)
{
    struct fault fault;
    struct data_meta meta;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 1000, 0, &fault));
    const char *copy = data_name("copy.db");
    assert_result(DATA_OK, make_backup(copy, note_progress, &model, &meta, &fault));
    assert_true(last_total > 20);
    assert_int_equal(last_done, last_total);
    assert_int_equal(meta.count, 1000);
    assert_int_equal(meta.version, 1);
    assert_model(&model, copy);
    assert_int_not_equal(access(data_name("copy.db-wal"), F_OK), 0);
    assert_result(DATA_OK, check_backup_of(copy, &meta, &fault));
    const char *stopped = data_name("stopped.db");
    assert_result(DATA_FAILED, make_backup(stopped, stop_at_once, NULL, &meta, &fault));
    assert_non_null(strstr(fault.text, "interrupted"));
    data_file_close(file, true);
}

static struct data_file *busy_file;
static unsigned steps;
static bool commit_meanwhile(void *data, uint64_t done, uint64_t total)
{
    struct fault fault;
    (void)data;
    assert_true(done <= total && total > 1024);
    steps++;
    assert_true(steps < 100); /* or it begins again and again */
    assert_result(DATA_OK, data_file_begin(busy_file, &fault));
    struct data_row row = model_row(steps, 1 + steps);
    assert_result(DATA_OK, data_file_put(busy_file, &row, &fault));
    assert_result(DATA_OK, data_file_commit(busy_file, 1 + steps, 60000, &fault));
    return true;
}

static void backup_ends_while_commits_go_on(void **state)
{
    struct fault fault;
    struct data_meta meta;
    (void)state;
    busy_file = create_file(&model);
    assert_result(DATA_OK, data_file_begin(busy_file, &fault));
    for (uint64_t seq = 1; seq <= 60000; seq++) {
        struct data_row row = model_row(seq, 1);
        assert_result(DATA_OK, data_file_put(busy_file, &row, &fault));
    }
    assert_result(DATA_OK, data_file_commit(busy_file, 1, 60000, &fault));
    const char *copy = data_name("copy.db");
    assert_result(DATA_OK, make_backup(copy, commit_meanwhile, NULL, &meta, &fault));
    assert_true(steps >= 2);
    assert_int_equal(meta.version, 1);
    assert_int_equal(meta.count, 60000);
    data_file_close(busy_file, true);
    assert_int_equal(ask_sql(data_file_name, "SELECT version FROM meta"), 1 + steps);
    assert_int_equal(ask_sql(copy, "SELECT max(version) FROM users"), 1);
}

static off_t log_size(void)
{
    struct stat st;
    char name[128];
    snprintf(name, sizeof(name), "%s-wal", data_file_name);
    return stat(name, &st) == 0 ? st.st_size : -1;
}

static void commit_and_maintain(struct data_file *file, unsigned times)
{
    struct fault fault;
    for (unsigned i = 0; i < times; i++) {
        assert_result(DATA_OK, model_commit(&model, file, 1, 4000, 0, &fault));
        assert_result(DATA_OK, data_file_maintain(file, &fault));
    }
}

static void log_does_not_grow_without_bound(void **state)
{
    enum { FRAME = 4096 + 24 };
    struct fault fault;
    struct data_rows *rows;
    struct data_meta meta;
    (void)state;
    struct data_file *file = create_file(&model);
    commit_and_maintain(file, 1);
    off_t each = log_size();
    commit_and_maintain(file, 60);
    assert_true(60 * each > 8000 * FRAME);
    assert_true(log_size() <= 4000 * FRAME + 3 * each);
    /* A reader of an old state keeps it growing, for as long as it reads. */
    assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &meta, &fault));
    while (log_size() < 12000 * FRAME)
        commit_and_maintain(file, 10);
    data_rows_close(rows);
    for (unsigned i = 0; i < 60 && log_size() > 33554432; i++)
        commit_and_maintain(file, 1);
    assert_true(log_size() <= 33554432);
    data_file_close(file, false);
    assert_true(log_size() > 0);
    file = open_file();
    assert_int_equal(log_size(), 0);
    data_file_close(file, true);
    assert_int_equal(log_size(), -1);
    assert_model(&model, data_file_name);
}

/* A sync takes twice as long when the file's length has changed. */
static void log_grows_in_steps(void **state)
{
    enum { STEP = 1 << 20 };
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 1, 0, &fault));
    assert_int_equal(log_size(), STEP);
    unsigned lengths = 1;
    off_t last = STEP;
    for (int i = 0; i < 200; i++) { /* each writes three pages or more */
        assert_result(DATA_OK, model_commit(&model, file, 1, 50, 0, &fault));
        assert_int_equal(log_size() % STEP, 0);
        lengths += log_size() != last;
        last = log_size();
    }
    assert_in_range(lengths, 2, 200 * 5 * 4200 / STEP);
    assert_model(&model, data_file_name); /* zeros behind the last commit are its end */
    data_file_close(file, false);
    assert_model(&model, data_file_name);
    data_file_close(open_file(), true);
    assert_model(&model, data_file_name);
}

/* The next commit is written at its front. */
static void begin_log_anew(struct data_file *file)
{
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(file->db, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL),
        SQLITE_OK);
}

/* Another program may move the log into the file and make it shorter. */
static void log_grows_in_steps_behind_another_programs_checkpoint(void **state)
{
    struct fault fault;
    sqlite3 *shell;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    assert_int_equal(sqlite3_open(data_file_name, &shell), SQLITE_OK);
    assert_int_equal(sqlite3_exec(shell, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(shell);
    assert_int_equal(log_size(), 0);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    assert_int_equal(log_size(), 1 << 20);
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

/* The step has no room, but a commit has. */
static void log_grows_by_little_on_an_almost_full_disk(void **state)
{
    enum { ROOM = 100000 };
    struct fault fault;
    struct rlimit old, low;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = ROOM;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_result(DATA_OK, model_commit(&model, file, 1, 1, 0, &fault));
    off_t one = log_size();
    assert_in_range(one, 1, ROOM / 2);
    assert_result(DATA_OK, model_commit(&model, file, 2, 2, 0, &fault));
    assert_in_range(log_size(), one + 1, ROOM);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    for (uint64_t last = 40; last < 400; last += 40)
        assert_result(DATA_OK, model_commit(&model, file, 1, last, 0, &fault));
    assert_true(log_size() < 1 << 20); /* not tried again with each commit */
    begin_log_anew(file);
    off_t little = log_size();
    for (int i = 0; i < 100 && log_size() == little; i++)
        assert_result(DATA_OK, model_commit(&model, file, 1, 400, 0, &fault));
    assert_int_equal(log_size() % (1 << 20), 0); /* room has come: the first step ends on one */
    assert_true(log_size() > little);
    assert_model(&model, data_file_name);
    data_file_close(file, false);
    assert_model(&model, data_file_name);
}

/* A limit of the file's size, or a quota, is like a full disk. */
static void limit_of_the_size_is_a_full_disk(void **state)
{
    struct fault fault;
    struct rlimit old, low;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    struct model before = model;
    assert_result(DATA_FULL, model_commit(&model, file, 11, 2000, 0, &fault));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_model(&before, data_file_name);
    assert_result(DATA_OK, model_commit(&model, file, 11, 2000, 0, &fault));
    assert_int_equal(data_file_count(file), 2000);
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

/* The database cannot grow, so the log stays where it is. */
static void file_opens_on_a_full_disk(void **state)
{
    struct fault fault;
    struct rlimit old, low;
    struct stat st;
    struct data_meta meta;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 2000, 0, &fault));
    data_file_close(file, true);
    assert_int_equal(stat(data_file_name, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)st.st_size;
    file = open_file();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_result(DATA_OK, model_commit(&model, file, 2001, 2200, 0, &fault));
    data_file_close(file, false);
    assert_in_range(log_size(), 1, st.st_size - 1);
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    assert_int_equal(meta.version, 2);
    assert_model(&model, data_file_name);
    data_file_close(file, true);
    assert_true(log_size() > 0); /* it could not be moved */
    assert_model(&model, data_file_name);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    data_file_close(open_file(), true);
    assert_int_equal(log_size(), -1);
    assert_model(&model, data_file_name);
}

/* More changes in one transaction than SQLite keeps in memory. */
static void large_transaction_is_one(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, data_file_begin(file, &fault));
    for (uint64_t i = 0; i < 150000; i++) {
        struct data_row row = model_row(1 + i, 1);
        assert_result(DATA_OK, data_file_put(file, &row, &fault));
    }
    assert_true(log_size() > 8 << 20);
    data_file_rollback(file);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    data_file_close(file, false);
    assert_model(&model, data_file_name);
}

static void count_sign(void *data)
{
    ++*(unsigned *)data;
}

/* A reader keeps the log from being moved, and it grows: the next one that opens it has much to do,
 * and is killed if nobody sees that it does. */
static void open_of_a_large_log_shows_that_it_lives(void **state)
{
    struct fault fault;
    struct data_rows *rows;
    struct data_meta meta;
    struct stat st;
    unsigned signs = 0;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &meta, &fault));
    for (int i = 0; i < 20; i++)
        assert_result(DATA_OK, model_commit(&model, file, 1, 2000, 0, &fault));
    data_file_close(file, false);
    char log[128];
    snprintf(log, sizeof(log), "%s-wal", data_file_name);
    assert_int_equal(stat(log, &st), 0);
    data_watch(count_sign, &signs);
    file = open_file();
    data_watch(NULL, NULL);
    assert_true(signs > 2 * (st.st_size / 32768)); /* each piece is read and written */
    data_rows_close(rows);
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

static uint64_t nanoseconds(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return nanoseconds(&now);
}

/* Two commits, the second of which follows a sync or not, between two ticks of the kernel's clock.
 * @return how often the second left the times alone, in per cent; 100 if the disk is too slow */
static unsigned times_left_alone(struct data_file *file, bool sync)
{
    enum { TRIES = 500, ENOUGH = 30 };
    struct fault fault;
    struct stat log;
    unsigned tried = 0, left_alone = 0;
    char path[128];
    snprintf(path, sizeof(path), "%s-wal", data_file_name);
    for (unsigned i = 0; i < TRIES && tried < ENOUGH; i++) {
        uint64_t tick = clock_ns(CLOCK_REALTIME_COARSE);
        assert_result(DATA_OK, model_commit(&model, file, 1, 1, 0, &fault));
        if (sync)
            assert_result(DATA_OK, data_file_sync(file, &fault));
        uint64_t between = clock_ns(CLOCK_REALTIME);
        assert_result(DATA_OK, model_commit(&model, file, 1, 1, 0, &fault));
        bool one_tick = clock_ns(CLOCK_REALTIME_COARSE) == tick;
        assert_int_equal(stat(path, &log), 0);
        tried += one_tick;
        left_alone += one_tick && nanoseconds(&log.st_ctim) <= between;
    }
    return tried == 0 ? 100 : 100 * left_alone / tried;
}

/* A commit's look at the files must not make the next write change the log's times, which costs
 * fdatasync() a second write. What other programs do with other files changes them now and then. */
static void commits_leave_the_times_of_the_log_alone(void **state)
{
    struct fault fault;
    struct data_file *file;
    struct data_meta meta;
    (void)state;
    data_file_close(create_file(&model), true);
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_OFF, &meta, &fault));
    unsigned without = times_left_alone(file, false), with = times_left_alone(file, true);
    print_message("left alone: %u %%, after a sync %u %%\n", without, with);
    assert_true(without > 50 && with > 50);
    data_file_close(file, true);
}

/* All deletes of a commit are kept, or none; meta.feed says from where on. */
static void oldest_deletes_are_forgotten_at_some_time(void **state)
{
    enum { EACH = 64, COMMITS = (DATA_DELETED_MAX + DATA_DELETED_SLACK) / EACH + 1 };
    struct fault fault;
    struct data_meta meta;
    (void)state;
    struct data_file *file = create_file(&model);
    for (uint64_t version = 1; version <= COMMITS; version++) {
        assert_result(DATA_OK, data_file_begin(file, &fault));
        for (uint64_t i = 0; i < EACH; i++) {
            const struct data_deleted deleted = {.version = version, .seq = version * EACH + i};
            assert_result(DATA_OK, data_file_note_deleted(file, &deleted, &fault));
        }
        assert_result(DATA_OK, data_file_commit(file, version, (COMMITS + 1) * EACH, &fault));
    }
    data_file_close(file, true);
    long long rows = ask_sql(data_file_name, "SELECT count(*) FROM deleted");
    long long feed = ask_sql(data_file_name, "SELECT feed FROM meta");
    assert_in_range(rows, DATA_DELETED_MAX - EACH, DATA_DELETED_MAX + EACH);
    assert_int_equal(rows, (COMMITS - feed) * EACH);
    assert_int_equal(ask_sql(data_file_name, "SELECT min(version) FROM deleted"), feed + 1);
    assert_int_equal(ask_sql(data_file_name, "SELECT deletes FROM meta"), rows);
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    assert_int_equal(meta.feed, feed);
    data_file_close(file, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(new_file_has_its_meta_data_and_no_users, data_folder_clear),
        cmocka_unit_test_setup(users_come_back_as_they_were_put, data_folder_clear),
        cmocka_unit_test_setup(new_users_are_changed_in_their_transaction, data_folder_clear),
        cmocka_unit_test_setup(users_of_all_sizes_are_in_order, data_folder_clear),
        cmocka_unit_test_setup(user_that_is_there_already_ends_the_transaction, data_folder_clear),
        cmocka_unit_test_setup(rollback_leaves_nothing, data_folder_clear),
        cmocka_unit_test_setup(rewrite_replaces_the_file, data_folder_clear),
        cmocka_unit_test_setup(abandoned_rewrite_leaves_the_file, data_folder_clear),
        cmocka_unit_test_setup(backup_is_a_file_of_its_own, data_folder_clear),
        cmocka_unit_test_setup(backup_ends_while_commits_go_on, data_folder_clear),
        cmocka_unit_test_setup(log_does_not_grow_without_bound, data_folder_clear),
        cmocka_unit_test_setup(oldest_deletes_are_forgotten_at_some_time, data_folder_clear),
        cmocka_unit_test_setup(log_grows_in_steps, data_folder_clear),
        cmocka_unit_test_setup(log_grows_in_steps_behind_another_programs_checkpoint,
                               data_folder_clear),
        cmocka_unit_test_setup(log_grows_by_little_on_an_almost_full_disk, data_folder_clear),
        cmocka_unit_test_setup(limit_of_the_size_is_a_full_disk, data_folder_clear),
        cmocka_unit_test_setup(file_opens_on_a_full_disk, data_folder_clear),
        cmocka_unit_test_setup(large_transaction_is_one, data_folder_clear),
        cmocka_unit_test_setup(open_of_a_large_log_shows_that_it_lives, data_folder_clear),
        cmocka_unit_test_setup(commits_leave_the_times_of_the_log_alone, data_folder_clear),
    };
    signal(SIGXFSZ, SIG_IGN); /* as process_prepare() does */
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
