/* SPDX-License-Identifier: MIT */
/* The journal between a real segment and a real data file, on a disk that fails when told to. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "journal/data_file.h"
#include "journal/journal.h"
#include "journal/journal_copy.h"
#include "journal/journal_state.h"
#include "shm/disk.h"
#include "tests/journal/data_support.h"
#include "tests/journal/sham_disk.h"
#include "tests/shm/support.h"

enum { USERS_MAX = 60000, MANY = 20000 /* more changes than the feed has */, TURNS_MAX = 200 };

static struct fixture *f;
static struct shm_actor *actor; /* the journal's */
static struct journal_config config;
static struct journal *journal;
static struct fault fault;
static unsigned woken;
static char notes[4096];

static void count_woken(void *data, unsigned slot)
{
    (void)data;
    assert_int_equal(slot, shm_actor_slot(f->actor));
    woken++;
}

static void keep_note(void *data, enum journal_note kind, const char *text)
{
    size_t len = strlen(notes);
    (void)data;
    (void)kind;
    snprintf(notes + len, sizeof(notes) - len, "%s\n", text);
}

/* ---- a server's life ---- */

static void join_journal(void)
{
    assert_int_equal(shm_actor_join(&actor, f->store, SHM_ACTOR_JOURNAL, 0, &f->fault), SHM_OK);
    config = (struct journal_config){
        .store = f->store,
        .actor = actor,
        .path = data_file_name,
        .durability = f->config.durable ? JOURNAL_SYNC : config.durability,
        .interval_ms = config.interval_ms,
        .woken = count_woken,
        .note = keep_note,
    };
}

/* Opens the segment anew, as the next server does. */
static void restart_server(bool durable)
{
    fixture_close(f);
    f->config.max_users = USERS_MAX;
    f->config.data_file = data_file_name;
    f->config.durable = durable;
    if (fixture_reopen(f) != SHM_OK)
        fail_msg("%s", f->fault.text);
    join_journal();
}

static void open_journal_file(void)
{
    if (!journal_open(&journal, &config, &fault))
        fail_msg("%s", fault.text);
}

static void end_journal(void)
{
    journal_close(journal, false);
    journal = NULL;
}

/* Another process takes the place of the journal. */
static void replace_journal(void)
{
    end_journal();
    shm_actor_leave(actor);
    join_journal();
    assert_true(journal_resume(&journal, &config, &fault));
}

static int begin_test(void **state)
{
    woken = 0;
    notes[0] = '\0';
    disk_mend();
    disk_forgive();
    config.durability = JOURNAL_SYNC;
    if (data_folder_clear(state) != 0 || fixture_setup(state) != 0)
        return -1;
    f = *state;
    restart_server(true);
    uint64_t version;
    if (journal_rewrite(&config, &version, &fault) != DATA_OK)
        fail_msg("%s", fault.text);
    open_journal_file();
    return 0;
}

static int end_test(void **state)
{
    disk_mend();
    end_journal();
    shm_actor_leave(actor);
    actor = NULL;
    return fixture_teardown(state);
}

/* ---- looks ---- */

static enum shm_disk_state disk_state(void)
{
    struct shm_disk_info info;
    shm_disk_info(f->store, &info);
    return info.state;
}

static uint64_t disk_version(void)
{
    struct shm_disk_info info;
    shm_disk_info(f->store, &info);
    return info.version;
}

/* What the file has beside the users. */
static struct {
    struct data_deleted deletes[4096];
    struct data_request requests[4096];
    unsigned num_deletes, num_requests;
} past;

static bool keep_delete(void *data, const struct data_deleted *deleted)
{
    (void)data;
    assert_true(past.num_deletes < 4096);
    past.deletes[past.num_deletes++] = *deleted;
    return true;
}

static bool keep_request(void *data, const struct data_request *request)
{
    (void)data;
    assert_true(past.num_requests < 4096);
    past.requests[past.num_requests++] = *request;
    return true;
}

static void assert_requests_are_in_the_file(void)
{
    struct shm_request_place place;
    struct shm_request request;
    shm_requests_follow(f->store, &place, 0);
    unsigned i = 0;
    for (; shm_requests_next(&place, UINT64_MAX, &request) == SHM_OK; i++) {
        assert_true(i < past.num_requests);
        assert_int_equal(past.requests[i].version, request.version);
        assert_int_equal(past.requests[i].time, request.time);
        assert_int_equal(past.requests[i].fingerprint, request.fingerprint);
        assert_memory_equal(past.requests[i].id, request.id, SHM_ID_SIZE);
        assert_memory_equal(past.requests[i].user, request.user, SHM_ID_SIZE);
    }
    assert_int_equal(past.num_requests, i);
}

/* All deletes since meta.feed, as far as the feed can tell. */
static void assert_deletes_are_in_the_file(uint64_t feed)
{
    struct shm_follower follower;
    struct shm_change change;
    unsigned i = 0;
    uint64_t oldest = shm_feed_oldest(f->store), from = oldest > feed ? oldest : feed;
    assert_int_equal(shm_feed_follow(NULL, &follower, from), SHM_OK);
    while (i < past.num_deletes && past.deletes[i].version <= from)
        i++;
    while (shm_feed_next_until(&follower, UINT64_MAX, &change) == SHM_OK) {
        if (change.kind != SHM_DELETED)
            continue;
        assert_true(i < past.num_deletes);
        assert_int_equal(past.deletes[i].version, change.version);
        assert_int_equal(past.deletes[i].seq, change.seq);
        assert_memory_equal(past.deletes[i].id, change.id, SHM_ID_SIZE);
        i++;
    }
    assert_int_equal(past.num_deletes, i);
}

static void assert_past_is_in_the_file(struct data_rows *rows, const struct data_meta *meta)
{
    const struct data_history_reader reader = {.deleted = keep_delete, .request = keep_request};
    past.num_deletes = past.num_requests = 0;
    assert_int_equal(data_rows_history(rows, &reader, &fault), DATA_OK);
    assert_requests_are_in_the_file();
    assert_deletes_are_in_the_file(meta->feed);
}

/* The file is the newest commit of the table, row by row. */
static void assert_file_is_table(void)
{
    struct data_rows *rows;
    struct data_meta meta;
    struct data_row row;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    if (data_rows_open(&rows, data_file_name, &meta, &fault) != DATA_OK)
        fail_msg("%s", fault.text);
    assert_int_equal(meta.version, shm_newest(f->store));
    assert_true(meta.seq >= shm_last_seq(f->store));
    assert_int_equal(shm_snapshot_begin_newest(f->actor, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    while (next_user(&cursor, &user) == SHM_OK) {
        assert_int_equal(data_rows_next(rows, &row, &fault), DATA_OK);
        assert_int_equal(row.seq, user.seq);
        assert_int_equal(row.version, user.version);
        assert_memory_equal(row.id, user.id, SHM_ID_SIZE);
        assert_int_equal(row.body_len, user.body_len);
        assert_memory_equal(row.body, user.body, row.body_len);
    }
    assert_int_equal(data_rows_next(rows, &row, &fault), DATA_NONE);
    assert_past_is_in_the_file(rows, &meta);
    data_rows_close(rows);
    shm_snapshot_end(f->actor, &snapshot);
    shm_actor_offline(f->actor);
}

/* What readers see is on disk. */
static void assert_published_is_on_disk(void)
{
    struct data_rows *rows;
    struct data_meta meta;
    disk_pause(true);
    if (data_rows_open(&rows, data_file_name, &meta, &fault) != DATA_OK)
        fail_msg("%s", fault.text);
    data_rows_close(rows);
    disk_pause(false);
    assert_true(shm_published(f->store) <= meta.version);
}

static void turn_until_published(void)
{
    for (unsigned i = 0; shm_published(f->store) != shm_newest(f->store); i++) {
        assert_true(i < TURNS_MAX);
        journal_turn(journal, 100);
    }
}

static void update_user(uint64_t n, uint32_t len)
{
    static uint8_t body[SHM_BODY_MAX];
    struct shm_new_user user = {.body = body, .body_len = len};
    body[0]++;
    user_id(user.id, n);
    assert_int_equal(shm_users_update(f->actor, &user, 1, NULL), SHM_OK);
}

/* An update by a request that was never there before. */
static void request_update(uint64_t n, uint64_t time)
{
    static uint64_t requests;
    struct shm_request request = {.time = time, .fingerprint = ++requests};
    struct shm_new_user user = {
        .body = (const uint8_t *)"by a request", .body_len = 12, .request = &request};
    memcpy(request.id, &requests, sizeof(requests));
    user_id(user.id, n);
    assert_int_equal(shm_users_update(f->actor, &user, 1, NULL), SHM_OK);
}

static void delete_user(uint64_t n)
{
    uint8_t id[1][SHM_ID_SIZE];
    user_id(id[0], n);
    assert_int_equal(shm_users_delete(f->actor, id, 1, NULL), SHM_OK);
}

/* ---- following ---- */

static void commits_are_published_when_they_are_in_the_file(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 100, 10);
    assert_int_equal(shm_published(f->store), 0);
    assert_true(shm_wait_begin(f->actor, 10));
    journal_turn(journal, 0);
    assert_int_equal(shm_published(f->store), 10);
    assert_int_equal(woken, 1);
    assert_file_is_table();
}

static void all_that_has_come_is_one_transaction(void **state)
{
    (void)state;
    uint64_t before = data_counts()->commits;
    users_insert(f->actor, 0, 1000, 1);
    journal_turn(journal, 0);
    assert_int_equal(data_counts()->commits, before + 1);
    assert_int_equal(shm_published(f->store), 1000);
    assert_file_is_table();
}

/* Called when a turn begins, and after each 1,024 changes in its window. */
static unsigned alive_calls, more_rounds, more_users;

static void commit_more(void *data)
{
    (void)data;
    if (alive_calls++ == 0 || more_rounds == 0)
        return;
    more_rounds--;
    uint64_t last = shm_last_seq(f->store);
    users_insert(f->actor, last, last + more_users, 1);
}

static void begin_with_more(unsigned rounds, unsigned users)
{
    end_journal();
    config.alive = commit_more;
    open_journal_file();
    alive_calls = 0;
    more_rounds = rounds;
    more_users = users;
    users_insert(f->actor, 0, 1100, 1);
}

static void window_takes_in_what_comes_while_it_is_written(void **state)
{
    (void)state;
    begin_with_more(1, 10);
    uint64_t commits = data_counts()->commits;
    journal_turn(journal, 0);
    assert_int_equal(more_rounds, 0);
    assert_int_equal(data_counts()->commits, commits + 1);
    assert_int_equal(disk_version(), shm_newest(f->store));
    assert_file_is_table();
}

static void window_ends_whatever_comes(void **state)
{
    (void)state;
    begin_with_more(20, 1100);
    journal_turn(journal, 0);
    assert_true(more_rounds > 10);
    more_rounds = 0;
    assert_true(disk_version() < shm_newest(f->store));
    assert_published_is_on_disk();
    turn_until_published();
    assert_file_is_table();
}

static void user_that_changes_several_times_is_as_it_was_at_last(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 10, 1);
    update_user(3, 100);
    update_user(3, 200);
    delete_user(4);
    delete_user(5);
    users_insert(f->actor, 5, 6, 1); /* the same id, another user */
    update_user(5, 50);
    journal_turn(journal, 0);
    assert_file_is_table();
    delete_user(5);
    update_user(3, 60);
    journal_turn(journal, 0);
    assert_file_is_table();
}

static void deletes_and_requests_are_in_the_file_with_their_commits(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 50, 10);
    for (uint64_t n = 0; n < 20; n++) {
        request_update(n + 20, 1000);
        delete_user(n);
        if (n % 3 == 0)
            turn_until_published();
    }
    turn_until_published();
    assert_file_is_table();
    assert_int_equal(past.num_deletes, 20);
    assert_int_equal(past.num_requests, 20);
    assert_int_equal(ask_sql(data_file_name, "SELECT feed FROM meta"), 0);
}

static void requests_of_more_than_an_hour_ago_are_removed(void **state)
{
    (void)state;
    uint64_t now = (uint64_t)clock_real_s();
    users_insert(f->actor, 0, 2, 1);
    for (unsigned i = 0; i < 300; i++)
        request_update(0, now - 3700);
    request_update(1, now);
    turn_until_published();
    assert_int_equal(ask_sql(data_file_name, "SELECT count(*) FROM requests"), 1);
    for (unsigned i = 0; i < 10; i++)
        request_update(1, now);
    replace_journal();
    turn_until_published();
    assert_int_equal(ask_sql(data_file_name, "SELECT count(*) FROM requests"), 11);
    assert_int_equal(ask_sql(data_file_name, "SELECT requests FROM meta"), 11);
}

/* A count that the table cannot have: somebody has written to the file. */
static void journal_that_cannot_publish_does_not_spin(void **state)
{
    (void)state;
    unsigned turns = 0;
    end_journal();
    run_sql(data_file_name, "UPDATE meta SET count = 1000000");
    open_journal_file();
    for (uint64_t end = clock_monotonic_ms() + 100; clock_monotonic_ms() < end; turns++)
        journal_turn(journal, 100);
    assert_true(turns < 20);
    assert_non_null(strstr(notes, "cannot be published yet"));
}

/* @return how long a turn took behind a window that left nothing, in ms */
static uint64_t idle_turn_behind_a_commit(uint64_t n)
{
    users_insert(f->actor, n, n + 1, 1);
    journal_turn(journal, 0);
    assert_true(journal->poll_ns != 0);
    journal->poll_ns = 30 * 1000000; /* as if the commit had taken so long */
    uint64_t begin = clock_monotonic_ms();
    journal_turn(journal, 0);
    return clock_monotonic_ms() - begin;
}

static void poll_in_vain_makes_polls_rare(void **state)
{
    (void)state;
    end_journal();
    config.poll_us = 50000;
    open_journal_file();
    assert_true(idle_turn_behind_a_commit(0) >= 29);
    for (uint64_t n = 1; n <= 16; n++) {
        idle_turn_behind_a_commit(n);
        assert_int_equal(journal->poll_holdoff, 16 - n);
    }
    assert_true(idle_turn_behind_a_commit(17) >= 29); /* once more */
    assert_int_equal(journal->poll_holdoff, 16);
}

static void idle_turn_waits_for_a_commit_no_longer_than_told(void **state)
{
    (void)state;
    uint64_t begin = clock_monotonic_ms();
    journal_turn(journal, 50);
    assert_true(clock_monotonic_ms() - begin >= 45);
    users_insert(f->actor, 0, 1, 1);
    begin = clock_monotonic_ms();
    journal_turn(journal, 10000);
    assert_true(clock_monotonic_ms() - begin < 5000);
    assert_int_equal(shm_published(f->store), 1);
}

static void writers_wait_when_the_journal_is_far_behind(void **state)
{
    (void)state;
    int rc = SHM_OK;
    uint64_t n = 0;
    while (rc == SHM_OK && n < MANY)
        rc = user_insert(f->actor, n++, 60);
    assert_int_equal(rc, SHM_EBUSY);
    turn_until_published();
    assert_int_equal(user_insert(f->actor, n, 60), SHM_OK);
    turn_until_published();
    assert_file_is_table();
}

/* ---- starts ---- */

static void next_journal_goes_on_where_the_last_one_died(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 50; n += 10) {
        users_insert(f->actor, n, n + 10, 3);
        request_update(n, 1000);
        delete_user(n + 1);
        if (n % 20 == 0)
            journal_turn(journal, 0);
        replace_journal();
    }
    turn_until_published();
    assert_file_is_table();
}

static void file_that_is_far_behind_is_compared(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 100, 10);
    turn_until_published();
    end_journal();
    shm_actor_leave(actor);
    fixture_close(f);
    f->config.data_file = NULL;
    f->config.durable = false;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    for (uint64_t n = 0; n < 100; n += 7)
        delete_user(n);
    for (uint64_t n = 1; n < 100; n += 7) {
        update_user(n, 70);
        request_update(n, 1000);
    }
    users_insert(f->actor, 1000, 1000 + MANY, 256);
    delete_user(1000);
    delete_user(3);
    restart_server(true);
    open_journal_file();
    assert_true(journal_settle(journal, &fault));
    assert_non_null(strstr(notes, "compared with the segment"));
    assert_file_is_table();
    assert_true(ask_sql(data_file_name, "SELECT feed FROM meta") > 20); /* what the ring has */
    assert_int_equal(past.num_deletes, 2);
    assert_int_equal(shm_published(f->store), shm_newest(f->store));
}

static void other_tables_file_is_not_touched(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 10, 10);
    turn_until_published();
    end_journal();
    run_sql(data_file_name, "UPDATE meta SET store = x'00112233445566778899aabbccddeeff'");
    assert_false(journal_open(&journal, &config, &fault));
    journal = NULL;
    assert_non_null(strstr(fault.text, "another table's users"));
    assert_true(journal_resume(&journal, &config, &fault)); /* in a server that runs */
    users_insert(f->actor, 10, 11, 1);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_FAILED);
    assert_int_equal(ask_sql(data_file_name, "SELECT count(*) FROM users"), 10);
}

static void file_ahead_of_the_table_is_refused(void **state)
{
    (void)state;
    end_journal();
    run_sql(data_file_name, "UPDATE meta SET version = 7");
    assert_false(journal_open(&journal, &config, &fault));
    journal = NULL;
    assert_non_null(strstr(fault.text, "ahead"));
}

/* ---- without waiting ---- */

static void restart_with(enum journal_durability durability, uint64_t interval_ms)
{
    end_journal();
    shm_actor_leave(actor);
    config.durability = durability;
    config.interval_ms = interval_ms;
    restart_server(false);
    open_journal_file();
}

static void with_an_interval_commits_are_seen_at_once_and_synced_later(void **state)
{
    (void)state;
    restart_with(JOURNAL_INTERVAL, 200);
    uint64_t begin = clock_monotonic_ms();
    users_insert(f->actor, 0, 10, 1);
    assert_int_equal(shm_published(f->store), 10);
    while (disk_version() != 10) {
        assert_true(clock_monotonic_ms() < begin + 5000);
        journal_turn(journal, 20);
    }
    assert_true(clock_monotonic_ms() >= begin + 200);
    assert_file_is_table();
}

static void with_an_interval_commits_that_never_cease_are_synced_in_time(void **state)
{
    (void)state;
    restart_with(JOURNAL_INTERVAL, 1);
    for (uint64_t n = 0; disk_version() == 0; n++) {
        assert_true(n < 1000); /* so many take far longer than the interval */
        users_insert(f->actor, n, n + 1, 1);
        journal_turn(journal, 0);
    }
}

static void with_an_interval_a_full_disk_does_not_put_off_the_sync(void **state)
{
    (void)state;
    restart_with(JOURNAL_INTERVAL, 1);
    users_insert(f->actor, 0, 10, 1);
    journal_turn(journal, 0);
    users_insert(f->actor, 10, 20, 1);
    for (uint64_t begin = clock_monotonic_ms(); clock_monotonic_ms() < begin + 3;)
        continue;
    disk_fail(DISK_WRITE, 1, true, ENOSPC);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_FULL);
    assert_int_equal(disk_version(), 10);
}

static void with_an_interval_a_burst_is_synced_before_writers_have_to_wait(void **state)
{
    (void)state;
    restart_with(JOURNAL_INTERVAL, 3600 * 1000);
    for (uint64_t n = 0; n < MANY; n += 100) {
        users_insert(f->actor, n, n + 100, 100); /* fails the test if it takes for ever */
        journal_turn(journal, 0);
    }
    assert_file_is_table();
}

static void without_syncs_commits_are_written_and_the_end_syncs(void **state)
{
    (void)state;
    restart_with(JOURNAL_NONE, 0);
    users_insert(f->actor, 0, 5, 1);
    journal_turn(journal, 0); /* the first commit syncs the log's header */
    uint64_t before = data_counts()->syncs;
    users_insert(f->actor, 5, 10, 1);
    journal_turn(journal, 0);
    assert_int_equal(disk_version(), 10);
    assert_int_equal(data_counts()->syncs, before);
    assert_true(journal_settle(journal, &fault));
    assert_true(data_counts()->syncs > before);
    assert_file_is_table();
}

/* ---- a disk that fails ---- */

static void full_disk_is_tried_again_each_second_as_a_whole(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 10, 1);
    turn_until_published();
    disk_fail(DISK_WRITE, 1, true, ENOSPC);
    users_insert(f->actor, 10, 20, 1);
    delete_user(3);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_FULL);
    assert_int_equal(shm_published(f->store), 10);
    journal_turn(journal, 0); /* too early */
    disk_mend();
    uint64_t begin = clock_monotonic_ms();
    turn_until_published();
    assert_true(clock_monotonic_ms() - begin >= 900);
    assert_int_equal(disk_state(), SHM_DISK_OK);
    assert_file_is_table();
}

static void failed_sync_is_never_retried_on_that_file(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 10, 1);
    turn_until_published();
    disk_fail(DISK_SYNC, 1, false, EIO);
    users_insert(f->actor, 10, 20, 1);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_REWRITING);
    assert_int_equal(shm_published(f->store), 10);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_OK);
    assert_int_equal(shm_published(f->store), 20);
    assert_int_equal(disk_later_writes(), 0);
    assert_file_is_table();
}

static void sync_that_fails_at_the_journals_end_is_not_retried_either(void **state)
{
    for (int durability = JOURNAL_SYNC; durability <= JOURNAL_INTERVAL; durability++) {
        (void)state;
        restart_with(durability, 3600 * 1000);
        uint64_t first = shm_last_seq(f->store);
        users_insert(f->actor, first, first + 10, 1);
        if (durability != JOURNAL_SYNC)
            journal_turn(journal, 0);
        disk_fail(DISK_SYNC, 1, false, EIO);
        assert_true(journal_settle(journal, &fault));
        assert_int_equal(disk_state(), SHM_DISK_OK);
        assert_int_equal(shm_published(f->store), shm_newest(f->store));
        assert_int_equal(disk_later_writes(), 0);
        assert_non_null(strstr(notes, "a new file is written"));
        assert_file_is_table();
        disk_mend();
    }
    users_insert(f->actor, 100, 110, 1);
    disk_fail(DISK_SYNC, 1, true, EIO);
    assert_false(journal_settle(journal, &fault));
    assert_int_equal(disk_state(), SHM_DISK_FAILED);
    disk_mend();
}

static void log_that_cannot_be_moved_at_the_end_has_a_new_file_written(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 10, 1);
    turn_until_published();
    disk_fail(DISK_SYNC, 1, false, EIO);
    journal_close(journal, true);
    journal = NULL;
    assert_int_equal(disk_state(), SHM_DISK_REWRITING);
    assert_non_null(strstr(notes, "its log could not be moved into it when the journal ended"));
    disk_mend();
    assert_true(journal_resume(&journal, &config, &fault));
    turn_until_published();
    journal_turn(journal, 0);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_OK);
    assert_file_is_table();
}

/* It is not a full disk: nobody is told so. */
static void new_file_waits_for_a_snapshot(void **state)
{
    (void)state;
    static struct shm_snapshot taken[256];
    unsigned n = 0;
    users_insert(f->actor, 0, 10, 1);
    while (shm_snapshot_begin(actor, &taken[n]) == SHM_OK) {
        assert_true(++n < sizeof(taken) / sizeof(taken[0]));
        update_user(1, 60); /* snapshots of one version share what there is a number of */
        turn_until_published();
    }
    update_user(1, 61);
    disk_fail(DISK_SYNC, 1, false, EIO);
    journal_turn(journal, 0);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_REWRITING);
    while (n > 0)
        shm_snapshot_end(actor, &taken[--n]);
    turn_until_published();
    assert_int_equal(disk_state(), SHM_DISK_OK);
    assert_file_is_table();
}

static void journal_that_dies_while_it_replaces_the_file_is_continued(void **state)
{
    (void)state;
    disk_fail(DISK_SYNC, 1, false, EIO);
    users_insert(f->actor, 0, 10, 1);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_REWRITING);
    replace_journal();
    turn_until_published();
    assert_int_equal(disk_state(), SHM_DISK_OK);
    assert_int_equal(disk_later_writes(), 0);
    assert_file_is_table();
}

/* A master that could not start another one has said so, and is gone, as after an upgrade. */
static void journal_that_writes_says_that_the_disk_is_good(void **state)
{
    (void)state;
    shm_disk_set_state(f->store, SHM_DISK_STOPPED, 0);
    journal_turn(journal, 0); /* also without a commit */
    assert_int_equal(disk_state(), SHM_DISK_OK);
    users_insert(f->actor, 0, 5, 5);
    turn_until_published();
    assert_int_equal(disk_state(), SHM_DISK_OK);
}

/* It dies while it replaces the file, and the next ones cannot start. */
static void journal_that_could_not_start_still_replaces_the_file(void **state)
{
    struct shm_disk_info info;
    (void)state;
    users_insert(f->actor, 0, 10, 10);
    turn_until_published();
    end_journal();
    shm_disk_set_state(f->store, SHM_DISK_STOPPED, EIO);
    shm_disk_info(f->store, &info);
    assert_true(shm_disk_is_replaced(&info));
    run_sql(data_file_name, "UPDATE users SET body = x'00' WHERE seq = 3"); /* nobody knows */
    assert_true(journal_resume(&journal, &config, &fault));
    assert_int_equal(disk_state(), SHM_DISK_REWRITING); /* from its start on */
    turn_until_published();
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_OK);
    assert_int_equal(ask_sql(data_file_name, "SELECT count(*) FROM users WHERE body = x'00'"), 0);
}

static void disk_that_takes_no_new_file_either_makes_the_server_read_only(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 10, 1);
    turn_until_published();
    disk_fail(DISK_SYNC, 1, true, EIO);
    users_insert(f->actor, 10, 20, 1);
    journal_turn(journal, 0);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_FAILED);
    assert_int_equal(user_insert(f->actor, 30, 60), SHM_EREADONLY);
    assert_int_equal(shm_published(f->store), 10);
    assert_user(f->actor, 5);
    disk_mend();
    journal_turn(journal, 0);
    replace_journal();
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_FAILED); /* until the server starts again */
    assert_false(journal_settle(journal, &fault));
    end_journal();
    shm_actor_leave(actor);
    restart_server(true);
    open_journal_file();
    turn_until_published();
    assert_int_equal(disk_state(), SHM_DISK_OK);
    assert_file_is_table();
}

static void replacement_that_finds_the_disk_full_waits_for_room(void **state)
{
    (void)state;
    disk_fail(DISK_SYNC, 1, false, EIO);
    users_insert(f->actor, 0, 10, 1);
    journal_turn(journal, 0);
    disk_fail(DISK_WRITE, 1, true, ENOSPC);
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_FULL);
    replace_journal();
    journal_turn(journal, 0);
    assert_int_equal(disk_state(), SHM_DISK_FULL);
    disk_mend();
    turn_until_published();
    assert_int_equal(disk_later_writes(), 0);
    assert_file_is_table();
}

static void damaged_page_is_named_and_the_file_replaced(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 2000, 100);
    turn_until_published();
    journal_close(journal, true);
    journal = NULL;
    FILE *file = fopen(data_file_name, "r+e");
    assert_non_null(file);
    /* all pages but the first three, which have the schema and the meta data */
    for (long at = 3 * 4096; at < 40 * 4096; at += 4096) {
        fseek(file, at, SEEK_SET);
        fwrite("\xff\xff\xff\xff\xff\xff\xff\xff", 1, 8, file);
    }
    fclose(file);
    assert_true(journal_resume(&journal, &config, &fault));
    for (uint64_t n = 0; n < 2000; n += 10)
        update_user(n, 60);
    turn_until_published();
    assert_non_null(strstr(notes, "a new file has all"));
    assert_file_is_table();
}

static void removed_file_is_written_again(void **state)
{
    (void)state;
    users_insert(f->actor, 0, 10, 1);
    turn_until_published();
    data_folder_clear(NULL);
    users_insert(f->actor, 10, 20, 1);
    turn_until_published();
    assert_file_is_table();
}

static void removed_directory_makes_the_server_read_only(void **state)
{
    (void)state;
    char moved[sizeof(data_folder) + 8];
    struct shm_disk_info info;
    users_insert(f->actor, 0, 10, 1);
    turn_until_published();
    snprintf(moved, sizeof(moved), "%s.moved", data_folder);
    assert_int_equal(rename(data_folder, moved), 0);
    users_insert(f->actor, 10, 20, 1);
    for (int i = 0; i < 10; i++)
        journal_turn(journal, 0);
    assert_int_equal(rename(moved, data_folder), 0);
    shm_disk_info(f->store, &info);
    assert_int_equal(info.state, SHM_DISK_FAILED);
}

/* A workload in which the n-th call of a kind fails, for each n that there is. */
static bool run_with_failure(enum disk_call call, unsigned nth, int error)
{
    uint64_t first = shm_last_seq(f->store);
    disk_fail(call, nth, false, error);
    for (unsigned i = 0; i < 6; i++) {
        users_insert(f->actor, first + 10 * i, first + 10 * i + 10, 5);
        update_user(first + 10 * i, 60 + i);
        request_update(first + 10 * i + 1, (uint64_t)clock_real_s());
        delete_user(first + 10 * i + 2);
        journal_turn(journal, 0);
        assert_published_is_on_disk();
        if (i == 3)
            replace_journal();
    }
    bool failed = disk_failed();
    disk_mend();
    replace_journal(); /* which does not wait for the retry */
    turn_until_published();
    assert_int_equal(disk_state(), SHM_DISK_OK);
    assert_int_equal(disk_later_writes(), 0);
    assert_file_is_table();
    disk_forgive();
    return failed;
}

static void failure_of_each_call_loses_nothing(void **state)
{
    static const enum disk_call calls[] = {DISK_WRITE,  DISK_SYNC,   DISK_TRUNCATE,   DISK_DELETE,
                                           DISK_RENAME, DISK_UNLINK, DISK_SYNC_FOLDER};
    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        unsigned n = 1;
        while (run_with_failure(calls[i], n, EIO) && n < 300)
            n++;
        assert_true(n < 300);
        n = 1;
        while (run_with_failure(calls[i], n, ENOSPC) && n < 300)
            n += 3;
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)
    static const struct CMUnitTest tests[] = {
        TEST(commits_are_published_when_they_are_in_the_file),
        TEST(all_that_has_come_is_one_transaction),
        TEST(window_takes_in_what_comes_while_it_is_written),
        TEST(window_ends_whatever_comes),
        TEST(user_that_changes_several_times_is_as_it_was_at_last),
        TEST(deletes_and_requests_are_in_the_file_with_their_commits),
        TEST(requests_of_more_than_an_hour_ago_are_removed),
        TEST(journal_that_cannot_publish_does_not_spin),
        TEST(poll_in_vain_makes_polls_rare),
        TEST(idle_turn_waits_for_a_commit_no_longer_than_told),
        TEST(writers_wait_when_the_journal_is_far_behind),
        TEST(next_journal_goes_on_where_the_last_one_died),
        TEST(file_that_is_far_behind_is_compared),
        TEST(other_tables_file_is_not_touched),
        TEST(file_ahead_of_the_table_is_refused),
        TEST(with_an_interval_commits_are_seen_at_once_and_synced_later),
        TEST(with_an_interval_commits_that_never_cease_are_synced_in_time),
        TEST(with_an_interval_a_full_disk_does_not_put_off_the_sync),
        TEST(with_an_interval_a_burst_is_synced_before_writers_have_to_wait),
        TEST(without_syncs_commits_are_written_and_the_end_syncs),
        TEST(full_disk_is_tried_again_each_second_as_a_whole),
        TEST(failed_sync_is_never_retried_on_that_file),
        TEST(sync_that_fails_at_the_journals_end_is_not_retried_either),
        TEST(new_file_waits_for_a_snapshot),
        TEST(log_that_cannot_be_moved_at_the_end_has_a_new_file_written),
        TEST(journal_that_dies_while_it_replaces_the_file_is_continued),
        TEST(journal_that_writes_says_that_the_disk_is_good),
        TEST(journal_that_could_not_start_still_replaces_the_file),
        TEST(disk_that_takes_no_new_file_either_makes_the_server_read_only),
        TEST(replacement_that_finds_the_disk_full_waits_for_room),
        TEST(damaged_page_is_named_and_the_file_replaced),
        TEST(removed_file_is_written_again),
        TEST(removed_directory_makes_the_server_read_only),
        TEST(failure_of_each_call_loses_nothing),
    };
    disk_install();
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
