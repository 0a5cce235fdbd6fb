/* SPDX-License-Identifier: MIT */
/* Who may use a data file at the same time. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "journal/data_lock.h"
#include "tests/journal/data_support.h"

static struct model model;

static void second_server_is_refused(void **state)
{
    struct fault fault;
    struct stat st;
    int first, second, status;
    char words[64];
    (void)state;
    assert_result(DATA_OK, data_lock_server(data_file_name, &first, &fault));
    assert_int_equal(fcntl(first, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fstat(first, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(words, sizeof(words), ": another rosterd uses it (pid %d)", (int)getpid());
    assert_result(DATA_BUSY, data_lock_server(data_file_name, &second, &fault));
    assert_int_equal(second, -1);
    assert_non_null(strstr(fault.text, words));
    pid_t pid = fork(); /* a child shares the lock, and takes over */
    if (pid == 0) {
        data_lock_sign(first);
        close(first);
        _exit(data_lock_server(data_file_name, &second, &fault));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), DATA_BUSY);
    assert_result(DATA_BUSY, data_lock_server(data_file_name, &second, &fault));
    snprintf(words, sizeof(words), "(pid %d)", (int)pid);
    assert_non_null(strstr(fault.text, words));
    close(first);
    assert_result(DATA_OK, data_lock_server(data_file_name, &second, &fault));
    close(second);
}

/* The master's part: leaves a child that has the lock until `held` is closed. @return does not */
static void leave_child_with_lock(int ready, int held)
{
    struct fault fault;
    char byte = 0;
    int lock;
    if (data_lock_server(data_file_name, &lock, &fault) != DATA_OK || fork() != 0)
        _exit(1);
    if (write(ready, &byte, 1) == 1)
        (void)!read(held, &byte, 1);
    _exit(0);
}

static void children_of_a_dead_server_are_waited_for(void **state)
{
    struct fault fault;
    int ready[2], held[2], lock, status;
    char byte = 0;
    (void)state;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(held, O_CLOEXEC), 0);
    pid_t master = fork();
    if (master == 0) {
        close(held[1]);
        leave_child_with_lock(ready[1], held[0]);
    }
    assert_int_equal(waitpid(master, &status, 0), master);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    pid_t next = fork();
    if (next == 0) {
        close(held[1]);
        byte = 1;
        if (write(ready[1], &byte, 1) != 1)
            _exit(1);
        _exit(data_lock_server(data_file_name, &lock, &fault));
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    assert_int_equal(waitpid(next, &status, WNOHANG), 0);
    usleep(50000); /* for the case that it does not wait */
    close(held[1]);
    assert_int_equal(waitpid(next, &status, 0), next);
    assert_int_equal(WEXITSTATUS(status), DATA_OK);
    for (int i = 0; i < 2; i++)
        close(ready[i]);
    close(held[0]);
}

static void second_writer_waits_its_time(void **state)
{
    struct fault fault;
    int server, first, second, status;
    (void)state;
    assert_result(DATA_OK, data_lock_server(data_file_name, &server, &fault));
    assert_result(DATA_OK, data_lock_writer(data_file_name, 0, &first, &fault));
    assert_result(DATA_BUSY, data_lock_writer(data_file_name, 0, &second, &fault));
    assert_non_null(strstr(fault.text, "another process writes it"));
    assert_result(DATA_BUSY, data_lock_writer(data_file_name, 20, &second, &fault));
    pid_t pid = fork();
    if (pid == 0) { /* waits until the parent lets go */
        close(first);
        _exit(data_lock_writer(data_file_name, 30000, &second, &fault));
    }
    close(first);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), DATA_OK);
    assert_result(DATA_OK, data_lock_writer(data_file_name, 0, &first, &fault)); /* it has ended */
    close(first);
    close(server);
}

static void names_of_one_file_are_one_lock(void **state)
{
    struct fault fault;
    int first, second;
    (void)state;
    const char *link = data_name("link.db");
    assert_int_equal(symlink("rosterd.db", link), 0); /* its target does not exist yet */
    assert_result(DATA_OK, data_lock_server(data_file_name, &first, &fault));
    assert_result(DATA_BUSY, data_lock_server(link, &second, &fault));
    close(first);
    assert_result(DATA_OK, data_lock_server(link, &first, &fault));
    assert_true(data_exists(".lock"));
    assert_result(DATA_BUSY, data_lock_server(data_file_name, &second, &fault));
    close(first);
    assert_result(DATA_NONE, data_lock_server(data_name("missing/x"), &first, &fault));
    assert_int_equal(first, -1);
}

/* @return whether the opening by this name was refused with DATA_BUSY and a reason */
static bool is_busy_by(const char *name)
{
    struct fault fault;
    struct data_meta meta;
    struct data_file *file;
    return data_file_open(&file, name, DATA_SYNC_FULL, &meta, &fault) == DATA_BUSY &&
           strstr(fault.text, "another rosterd writes it") != NULL;
}

/* Each name has a log and a lock of its own: two writers would damage the file. */
static void hard_link_is_no_second_file(void **state)
{
    struct fault fault;
    struct data_meta meta;
    int status, ready[2];
    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork(); /* before the file is open */
    if (pid == 0) {
        char byte;
        _exit(read(ready[0], &byte, 1) == 1 && is_busy_by(data_name("link.db")) ? 0 : 1);
    }
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 300, 0, &fault));
    assert_int_equal(link(data_file_name, data_name("link.db")), 0);
    assert_int_equal(write(ready[1], "", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(ready[0]);
    close(ready[1]);
    assert_result(DATA_OK, model_commit(&model, file, 301, 400, 0, &fault));
    data_file_close(file, true);
    assert_result(DATA_OK,
                  data_file_open(&file, data_name("link.db"), DATA_SYNC_FULL, &meta, &fault));
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

static void shell_reads_beside_the_writer(void **state)
{
    struct fault fault;
    char command[256], answer[64] = "";
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 50, 0, &fault));
    snprintf(command, sizeof(command),
             "sqlite3 -readonly '%s' 'SELECT count(*), max(version) FROM users'", data_file_name);
    FILE *shell = popen(command, "re");
    assert_non_null(shell);
    assert_non_null(fgets(answer, sizeof(answer), shell));
    assert_int_equal(pclose(shell), 0);
    assert_string_equal(answer, "50|1\n");
    /* It was not the last connection: the log is still there, and still the writer's. */
    assert_true(data_exists("-wal"));
    assert_result(DATA_OK, model_commit(&model, file, 51, 60, 0, &fault));
    data_file_close(file, false);
    assert_model(&model, data_file_name);
}

static sqlite3 *begin_in_shell(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(data_file_name, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void write_lock_of_a_shell_is_waited_for(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    sqlite3 *shell = begin_in_shell("BEGIN IMMEDIATE");
    assert_result(DATA_BUSY, data_file_begin(file, &fault));
    assert_non_null(strstr(fault.text, "another process has locked it"));
    sqlite3_close(shell);
    assert_result(DATA_OK, model_commit(&model, file, 1, 5, 0, &fault));
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

/* Its log cannot be moved into the file then. tests/journal/test_data_power.c has the power cuts.
 */
static void reader_of_an_old_state_keeps_nobody_from_opening(void **state)
{
    struct fault fault;
    struct data_file *file = create_file(&model);
    (void)state;
    assert_result(DATA_OK, model_commit(&model, file, 1, 5, 0, &fault));
    sqlite3 *shell = begin_in_shell("BEGIN; SELECT * FROM meta");
    assert_result(DATA_OK, model_commit(&model, file, 6, 9, 0, &fault));
    data_file_close(file, true);
    file = open_file();
    assert_result(DATA_OK, model_commit(&model, file, 10, 12, 0, &fault));
    data_file_close(file, true);
    assert_int_equal(sqlite3_exec(shell, "COMMIT; BEGIN; SELECT * FROM meta", 0, 0, 0), SQLITE_OK);
    file = open_file(); /* with a reader of the newest state */
    assert_result(DATA_OK, model_commit(&model, file, 13, 14, 0, &fault));
    sqlite3_close(shell);
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

/* Reads all rows as of their begin, while the file goes on. */
/* As Litestream does: it empties the log, and writes a little to its own tables. */
static void other_program_may_begin_the_log_anew(void **state)
{
    struct fault fault;
    struct data_file *file = create_file(&model);
    (void)state;
    for (uint64_t at = 1; at < 2000; at += 500) {
        assert_result(DATA_OK, model_commit(&model, file, at, at + 499, 0, &fault));
        run_sql(data_file_name, "PRAGMA wal_checkpoint(TRUNCATE)");
        if (at % 1000 == 1)
            run_sql(data_file_name,
                    "CREATE TABLE IF NOT EXISTS theirs(n); INSERT INTO theirs VALUES(1)");
        assert_result(DATA_OK, model_commit(&model, file, at, at, 0, &fault));
    }
    data_file_close(file, false);
    assert_model(&model, data_file_name);
}

static void readers_see_one_commit(void **state)
{
    struct fault fault;
    struct data_rows *rows;
    struct data_row row;
    struct data_meta meta;
    unsigned count = 0;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 500, 0, &fault));
    assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &meta, &fault));
    for (uint64_t seq = 1; seq <= 500; seq += 100) {
        assert_result(DATA_OK, model_commit(&model, file, seq, seq + 90, 500 - seq, &fault));
        assert_result(DATA_OK, data_rows_next(rows, &row, &fault));
        assert_int_equal(row.version, 1);
        count++;
    }
    while (data_rows_next(rows, &row, &fault) == DATA_OK)
        count++;
    assert_int_equal(count, 500);
    data_rows_close(rows);
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(second_server_is_refused, data_folder_clear),
        cmocka_unit_test_setup(children_of_a_dead_server_are_waited_for, data_folder_clear),
        cmocka_unit_test_setup(second_writer_waits_its_time, data_folder_clear),
        cmocka_unit_test_setup(names_of_one_file_are_one_lock, data_folder_clear),
        cmocka_unit_test_setup(hard_link_is_no_second_file, data_folder_clear),
        cmocka_unit_test_setup(shell_reads_beside_the_writer, data_folder_clear),
        cmocka_unit_test_setup(write_lock_of_a_shell_is_waited_for, data_folder_clear),
        cmocka_unit_test_setup(reader_of_an_old_state_keeps_nobody_from_opening, data_folder_clear),
        cmocka_unit_test_setup(other_program_may_begin_the_log_anew, data_folder_clear),
        cmocka_unit_test_setup(readers_see_one_commit, data_folder_clear),
    };
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
