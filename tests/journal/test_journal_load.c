/* SPDX-License-Identifier: MIT */
/* A data file is loaded into a new segment, or refused with the reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "journal/data_file.h"
#include "journal/journal_load.h"
#include "shm/disk.h"
#include "tests/journal/data_support.h"
#include "tests/shm/support.h"

enum { USERS_MAX = 20000 };

static struct fixture *f;
static struct journal_load load;
static struct fault fault;
static unsigned last_percent;

static void keep_percent(void *data, const char *what, unsigned percent)
{
    (void)data;
    assert_string_equal(what, "loading");
    assert_true(percent >= last_percent && percent <= 100);
    last_percent = percent;
}

/* Each body is its own key. */
static uint32_t whole_body(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    (void)key;
    memcpy(out, body, body_len < SHM_KEY_MAX ? body_len : SHM_KEY_MAX);
    return body_len < SHM_KEY_MAX ? body_len : SHM_KEY_MAX;
}

static int begin_test(void **state)
{
    if (data_folder_clear(state) != 0 || fixture_setup(state) != 0)
        return -1;
    f = *state;
    load = (struct journal_load){
        .path = data_file_name,
        .segment = f->name,
        .max_users = USERS_MAX,
        .progress = keep_percent,
    };
    last_percent = 0;
    /* the next open makes a new segment */
    fixture_close(f);
    return shm_store_unlink(f->name, &f->fault) == SHM_OK ? 0 : -1;
}

static int end_test(void **state)
{
    if (f->store == NULL) { /* the load was refused, and the teardown closes a segment */
        f->config.fill = NULL;
        f->config.fits = NULL;
        f->config.data_file = NULL;
        f->config.durable = false;
        if (fixture_reopen(f) != SHM_OK)
            return -1;
    }
    return fixture_teardown(state);
}

/* User n of the file, with n > 0. */
static struct data_row row_of(uint64_t n)
{
    static uint8_t body[64];
    struct data_row row = {.seq = 2 * n, .version = n, .body = body, .body_len = sizeof(body)};
    memset(body, 'x', sizeof(body));
    memcpy(body, &n, sizeof(n));
    user_id(row.id, n);
    return row;
}

/* @param twin this row has the id of the first, and its own body; 0: none */
static void write_file(uint64_t users, uint64_t twin)
{
    struct data_meta meta = {.version = users + 5, .seq = 2 * users + 7};
    struct data_rewrite *rewrite;
    memcpy(meta.store, "store-of-a-test.", DATA_ID_SIZE);
    assert_result(DATA_OK, data_rewrite_begin(&rewrite, data_file_name, &meta, &fault));
    for (uint64_t n = 1; n <= users; n++) {
        struct data_row row = row_of(n);
        if (n == twin)
            user_id(row.id, 1);
        assert_result(DATA_OK, data_rewrite_put(rewrite, &row, &fault));
    }
    assert_result(DATA_OK, data_rewrite_finish(rewrite, &fault));
}

static void open_and_close_file(void)
{
    struct data_file *file;
    assert_result(DATA_OK,
                  data_file_open(&file, data_file_name, DATA_SYNC_FULL, &load.meta, &fault));
    data_file_close(file, true);
}

/* As a server's start. */
static int open_segment(void)
{
    open_and_close_file();
    load.exists = true;
    f->config.max_users = USERS_MAX;
    f->config.data_file = data_file_name;
    f->config.durable = true;
    f->config.fill = journal_load_fill;
    f->config.fits = journal_load_fits;
    f->config.store_id = load.meta.store;
    f->config.disk_data = &load;
    return fixture_reopen(f);
}

/* The reason must contain all these words. */
/* @return the file's bytes, which the caller frees */
static char *read_file(size_t *len)
{
    FILE *file = fopen(data_file_name, "re");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *len = (size_t)ftell(file);
    char *bytes = malloc(*len);
    rewind(file);
    assert_int_equal(fread(bytes, 1, *len, file), *len);
    fclose(file);
    return bytes;
}

/* The file is left as it was, and its log empty. */
static void assert_refused(const char *a, const char *b)
{
    size_t len_before, len_after;
    char log[300];
    struct stat st;
    open_and_close_file(); /* what the shell has left in the log comes into the file */
    char *before = read_file(&len_before);
    int rc = open_segment();
    char *after = read_file(&len_after);
    assert_int_equal(len_after, len_before);
    assert_memory_equal(after, before, len_before);
    free(before);
    free(after);
    snprintf(log, sizeof(log), "%s-wal", data_file_name);
    assert_true(stat(log, &st) != 0 || st.st_size == 0);
    if (rc != SHM_EDISK || strstr(f->fault.text, a) == NULL || strstr(f->fault.text, b) == NULL)
        fail_msg("%d: %s", rc, rc == SHM_OK ? "" : f->fault.text);
    assert_non_null(strstr(f->fault.text, data_file_name));
    f->store = NULL;
    f->actor = NULL;
}

static void users_keep_their_numbers_and_versions(void **state)
{
    (void)state;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    write_file(17000, 0);
    if (open_segment() != SHM_OK)
        fail_msg("%s", f->fault.text);
    for (uint64_t n = 1; n <= 17000; n++) {
        const struct data_row row = row_of(n);
        user_id(id, n);
        assert_int_equal(shm_user_find(f->actor, id, &user), SHM_OK);
        assert_int_equal(user.seq, 2 * n);
        assert_int_equal(user.version, n);
        assert_memory_equal(user.body, row.body, row.body_len);
    }
    assert_int_equal(shm_newest(f->store), 17005);
    assert_int_equal(shm_published(f->store), 17005);
    assert_int_equal(shm_last_seq(f->store), 34007);
    assert_true(last_percent > 0);
    segment_check(f->store, 17000);
    assert_int_equal(user_insert(f->actor, 19000, 60), SHM_OK);
    assert_int_equal(shm_last_seq(f->store), 34008);
    segment_check(f->store, 17001);
    assert_int_equal(shm_published(f->store), 17005);
}

static void file_without_users_is_loaded(void **state)
{
    (void)state;
    write_file(0, 0);
    assert_int_equal(open_segment(), SHM_OK);
    assert_int_equal(shm_newest(f->store), 5);
    segment_check(f->store, 0);
}

static void two_rows_with_one_id_are_named(void **state)
{
    (void)state;
    write_file(1000, 700);
    assert_refused("rows 2 and 1400 have one id", "");
}

static void two_rows_with_one_id_in_one_block_are_named(void **state)
{
    (void)state;
    write_file(100, 90);
    assert_refused("rows 2 and 180 have one id", "");
}

static void users_that_share_a_key_are_refused(void **state)
{
    (void)state;
    write_file(1000, 0);
    run_sql(data_file_name,
            "DELETE FROM users WHERE seq = 1000; UPDATE meta SET count = count - 1");
    struct data_file *file;
    struct data_meta meta;
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    struct data_row row = row_of(7);
    user_id(row.id, 500);
    row.seq = 1000;
    assert_result(DATA_OK, data_file_begin(file, &fault));
    assert_result(DATA_OK, data_file_put(file, &row, &fault));
    assert_result(DATA_OK, data_file_commit(file, meta.version, meta.seq, &fault));
    data_file_close(file, true);
    f->config.unique = 1;
    f->config.key_of = whole_body;
    load.key_of = whole_body;
    assert_refused("(row 1000) has the key \"????????xxx",
                   "xxx\" of an earlier one, which the option "
                   "unique forbids");
    f->config.unique = 0;
}

static void damaged_row_is_named(void **state)
{
    (void)state;
    write_file(3000, 0);
    run_sql(data_file_name, "UPDATE users SET body = body || x'00' WHERE seq = 4000");
    assert_refused("4000", "");
}

static void missing_row_is_noticed(void **state)
{
    (void)state;
    write_file(3000, 0);
    run_sql(data_file_name, "DELETE FROM users WHERE seq = 4000");
    assert_refused("2999", "3000");
}

static void row_beyond_the_files_own_numbers_is_refused(void **state)
{
    (void)state;
    write_file(3000, 0);
    run_sql(data_file_name, "UPDATE meta SET version = 10");
    assert_refused("newer than the meta data", "");
}

static void more_users_than_allowed_are_refused(void **state)
{
    (void)state;
    write_file(1000, 0);
    load.max_users = 999;
    assert_refused("max-users 999", "1000 users");
}

static void segment_of_another_table_is_refused(void **state)
{
    (void)state;
    f->config.max_users = USERS_MAX;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    fixture_close(f);
    write_file(10, 0);
    assert_refused("another table's users", "--segment-reset");
}

static void segment_behind_the_file_is_refused(void **state)
{
    (void)state;
    write_file(10, 0);
    assert_int_equal(open_segment(), SHM_OK);
    fixture_close(f);
    run_sql(data_file_name, "UPDATE meta SET version = 100");
    assert_refused("commit 100", "ahead");
}

/* Otherwise it would go on from the commit at which it and the file have parted. */
static void segment_of_before_the_load_is_refused(void **state)
{
    (void)state;
    char aside[256], from[300], to[300];
    uint8_t first[DATA_ID_SIZE], id[SHM_STORE_ID_SIZE];
    write_file(10, 0);
    assert_int_equal(open_segment(), SHM_OK);
    memcpy(first, load.meta.store, sizeof(first));
    shm_store_id(f->store, id);
    assert_memory_equal(id, first, sizeof(id));
    fixture_close(f);
    assert_int_equal(open_segment(), SHM_OK); /* kept */
    assert_memory_equal(load.meta.store, first, sizeof(first));
    fixture_close(f);
    assert_int_equal(shm_store_set_aside(f->name, aside, &f->fault), SHM_OK);
    assert_int_equal(open_segment(), SHM_OK); /* loaded again */
    shm_store_id(f->store, id);
    assert_memory_equal(id, load.meta.store, sizeof(id));
    assert_memory_equal(id, first, DATA_TABLE_ID_SIZE);
    assert_memory_not_equal(id, first, sizeof(id));
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    snprintf(from, sizeof(from), "/dev/shm%s", aside);
    snprintf(to, sizeof(to), "/dev/shm%s", f->name);
    assert_int_equal(rename(from, to), 0);
    assert_refused("have parted", "--segment-reset");
}

/* ---- what was before the load ---- */

/* Users 1 to 100, whose last commits are 101 to 200 in another order, and each 10th is deleted, by
 * commits 201 to 210. */
enum { PAST_USERS = 100, PAST_VERSION = 210 };

static uint64_t past_version(uint64_t n)
{
    return n % 10 == 0 ? 200 + n / 10 : 101 + n * 37 % 101 % 100;
}

static void write_past(uint64_t feed)
{
    struct data_meta meta = {.version = PAST_VERSION, .seq = 1000, .feed = feed};
    struct data_rewrite *rewrite;
    memcpy(meta.store, "store-of-a-test.", DATA_ID_SIZE);
    assert_result(DATA_OK, data_rewrite_begin(&rewrite, data_file_name, &meta, &fault));
    for (uint64_t n = 1; n <= PAST_USERS; n++) {
        struct data_row row = row_of(n);
        struct data_deleted deleted = {.seq = row.seq, .version = past_version(n)};
        struct data_request request = {.version = n, .time = 5 * n, .fingerprint = ~n};
        row.version = past_version(n);
        memcpy(deleted.id, row.id, sizeof(deleted.id));
        memcpy(request.user, row.id, sizeof(request.user));
        user_id(request.id, n + 5000);
        if (n % 10 == 0)
            assert_result(DATA_OK, data_rewrite_note_deleted(rewrite, &deleted, &fault));
        else
            assert_result(DATA_OK, data_rewrite_put(rewrite, &row, &fault));
        assert_result(DATA_OK, data_rewrite_note_request(rewrite, &request, &fault));
    }
    assert_result(DATA_OK, data_rewrite_finish(rewrite, &fault));
}

static void follower_of_before_a_reboot_goes_on(void **state)
{
    struct shm_follower follower;
    struct shm_change change;
    uint64_t last, changes;
    uint8_t id[SHM_ID_SIZE];
    (void)state;
    write_past(150);
    assert_int_equal(open_segment(), SHM_OK);
    assert_int_equal(shm_feed_rebuilt_until(f->store), PAST_VERSION);
    assert_int_equal(shm_feed_follow(NULL, &follower, 149), SHM_ERESYNC);
    for (uint64_t from = 150; from <= PAST_VERSION; from++) {
        assert_int_equal(shm_feed_follow(NULL, &follower, from), SHM_OK);
        last = from;
        for (changes = 0; shm_feed_next(NULL, &follower, &change) == SHM_OK; changes++) {
            uint64_t n = change.seq / 2;
            assert_true(change.version > from && change.version >= last);
            assert_int_equal(change.version, past_version(n));
            assert_int_equal(change.kind, n % 10 == 0 ? SHM_DELETED : SHM_UPDATED);
            user_id(id, n);
            assert_memory_equal(change.id, id, SHM_ID_SIZE);
            last = change.version;
        }
        uint64_t expected = 0;
        for (uint64_t n = 1; n <= PAST_USERS; n++)
            expected += past_version(n) > from;
        assert_int_equal(changes, expected);
    }
    segment_check(f->store, 90);
}

/* As of a file that was restored, or written by an earlier rosterd. */
static void follower_begins_anew_where_deletes_are_not_known(void **state)
{
    struct shm_follower follower;
    (void)state;
    write_past(PAST_VERSION);
    assert_int_equal(open_segment(), SHM_OK);
    assert_int_equal(shm_feed_rebuilt_until(f->store), 0);
    assert_int_equal(shm_feed_follow(NULL, &follower, PAST_VERSION - 1), SHM_ERESYNC);
    assert_int_equal(shm_feed_follow(NULL, &follower, PAST_VERSION), SHM_OK);
}

static void requests_of_before_a_reboot_are_known(void **state)
{
    (void)state;
    write_past(0);
    assert_int_equal(open_segment(), SHM_OK);
    for (uint64_t n = 1; n <= PAST_USERS; n++) {
        struct shm_request request = {.time = 5 * n + 3000};
        uint8_t user[SHM_ID_SIZE];
        user_id(request.id, n + 5000);
        user_id(user, n);
        assert_int_equal(shm_request_find(f->actor, &request), SHM_OK);
        assert_int_equal(request.version, n);
        assert_int_equal(request.time, 5 * n);
        assert_int_equal(request.fingerprint, ~n);
        assert_memory_equal(request.user, user, sizeof(user));
    }
}

static void damaged_delete_or_request_is_refused(void **state)
{
    (void)state;
    write_past(0);
    run_sql(data_file_name, "UPDATE requests SET time = time + 1 WHERE version = 7");
    assert_refused("the row of commit 7 in its table requests is damaged", "");
    write_past(0);
    run_sql(data_file_name, "UPDATE deleted SET seq = 24 WHERE seq = 20");
    assert_refused("the row of commit 201 in its table deleted is damaged", "");
    write_past(0);
    run_sql(data_file_name, "DELETE FROM deleted WHERE seq = 20");
    assert_refused("a table has 9 rows, and its meta data say 10", "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)
    static const struct CMUnitTest tests[] = {
        TEST(users_keep_their_numbers_and_versions),
        TEST(file_without_users_is_loaded),
        TEST(two_rows_with_one_id_are_named),
        TEST(two_rows_with_one_id_in_one_block_are_named),
        TEST(users_that_share_a_key_are_refused),
        TEST(damaged_row_is_named),
        TEST(missing_row_is_noticed),
        TEST(row_beyond_the_files_own_numbers_is_refused),
        TEST(more_users_than_allowed_are_refused),
        TEST(segment_of_another_table_is_refused),
        TEST(segment_behind_the_file_is_refused),
        TEST(segment_of_before_the_load_is_refused),
        TEST(follower_of_before_a_reboot_goes_on),
        TEST(follower_begins_anew_where_deletes_are_not_known),
        TEST(requests_of_before_a_reboot_are_known),
        TEST(damaged_delete_or_request_is_refused),
    };
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
