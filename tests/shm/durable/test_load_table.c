/* SPDX-License-Identifier: MIT */
/* Loading a table into a new segment, and the look at a segment that is there already. */
#include "tests/shm/durable/durable_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/segment/segment_file.h"

void (*shm_test_hook)(const char *point);

enum { ROWS = 700, BODY = 16 };

/* ---- a table outside of a segment ---- */

struct row {
    uint8_t id[SHM_ID_SIZE], body[BODY];
    uint64_t seq, version;
};

/* What the test's data file has. */
static struct {
    uint8_t store_id[SHM_STORE_ID_SIZE];
    uint64_t version, seq, count;
    size_t batch; /* users loaded at once */
    struct row row[ROWS];
    unsigned fills, fits;               /* calls */
    bool unended;                       /* fill does not call shm_load_end() */
    int rc;                             /* of the call that ended the last fill */
    uint64_t which;                     /* the row that it named */
    struct shm_conflict conflict;       /* of that call */
    uint8_t seen_id[SHM_STORE_ID_SIZE]; /* given to fits */
    uint64_t seen_version;
    int fits_rc;
} file;

static int load_rows(struct shm_actor *actor)
{
    static struct shm_loaded_user users[SHM_BATCH_MAX];
    for (uint64_t at = 0; at < file.count; at += file.batch) {
        size_t count = file.count - at < file.batch ? (size_t)(file.count - at) : file.batch;
        for (size_t i = 0; i < count; i++) {
            const struct row *row = &file.row[at + i];
            users[i] = (struct shm_loaded_user){
                .user = {.body = row->body, .body_len = BODY},
                .seq = row->seq,
                .version = row->version,
            };
            memcpy(users[i].user.id, row->id, SHM_ID_SIZE);
        }
        int rc = shm_load_users(actor, users, count, &file.conflict);
        file.which = at + file.conflict.which;
        if (rc != SHM_OK)
            return rc;
    }
    return file.unended ? SHM_OK : shm_load_end(actor, file.version, file.seq);
}

static int fill_from_file(void *data, struct shm_store *store, struct shm_fault *fault)
{
    struct shm_actor *actor;
    assert_ptr_equal(data, &file);
    file.fills++;
    file.rc = shm_actor_join(&actor, store, SHM_ACTOR_MASTER, 0, fault);
    if (file.rc != SHM_OK)
        return file.rc;
    file.rc = load_rows(actor);
    shm_actor_leave(actor);
    return file.rc;
}

static int fits_file(void *data, const uint8_t store_id[SHM_STORE_ID_SIZE], uint64_t version,
                     struct shm_fault *fault)
{
    (void)fault;
    assert_ptr_equal(data, &file);
    file.fits++;
    memcpy(file.seen_id, store_id, SHM_STORE_ID_SIZE);
    file.seen_version = version;
    return file.fits_rc;
}

static int load_setup(void **state)
{
    if (durable_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    memset(&file, 0, sizeof(file));
    file.batch = SHM_BATCH_MAX;
    f->config.disk_data = &file;
    return 0;
}

/* Writes the users that readers see, as the journal would. */
static void save(struct fixture *f)
{
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    assert_int_equal(shm_snapshot_begin_newest(f->actor, &snapshot), SHM_OK);
    shm_store_id(f->store, file.store_id);
    file.version = snapshot.version;
    file.seq = shm_last_seq(f->store);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    for (file.count = 0; next_user(&cursor, &user) == SHM_OK; file.count++) {
        struct row *row = &file.row[file.count];
        memcpy(row->id, user.id, SHM_ID_SIZE);
        memcpy(row->body, user.body, BODY);
        row->seq = user.seq;
        row->version = user.version;
    }
    shm_snapshot_end(f->actor, &snapshot);
    shm_actor_offline(f->actor);
}

/* Rows 0 to count - 1: users 1 to count, with every second number and version. */
static void make_rows(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t words[2] = {i + 1, 7};
        struct row *row = &file.row[i];
        user_id(row->id, i + 1);
        memcpy(row->body, words, BODY);
        row->seq = 2 * (i + 1);
        row->version = 2 * (i + 1);
    }
    file.count = count;
    file.version = file.seq = 2 * count + 1;
}

static int reboot(struct fixture *f)
{
    f->config.fill = fill_from_file;
    f->config.store_id = file.store_id;
    return durable_renew(f);
}

static bool segment_exists(struct fixture *f)
{
    char path[300];
    assert_int_equal(shm_file_path(path, f->name, &f->fault), SHM_OK);
    return access(path, F_OK) == 0;
}

/* ---- what is kept ---- */

static void fill_table(struct fixture *f)
{
    for (uint64_t n = 0; n < 600; n += 200)
        assert_int_equal(durable_write(f->actor, SHM_CREATED, n, 200, 1, NULL), SHM_OK);
    assert_int_equal(durable_write(f->actor, SHM_UPDATED, 100, 50, 2, NULL), SHM_OK);
    assert_int_equal(durable_write(f->actor, SHM_DELETED, 300, 20, 0, NULL), SHM_OK);
    assert_int_equal(durable_write(f->actor, SHM_CREATED, 300, 5, 3, NULL), SHM_OK);
    assert_int_equal(durable_write(f->actor, SHM_DELETED, 599, 1, 0, NULL), SHM_OK);
    durable_publish(f);
}

static void check_row(struct fixture *f, const struct row *row, const struct shm_user *user)
{
    assert_int_equal(user->seq, row->seq);
    assert_int_equal(user->version, row->version);
    assert_memory_equal(user->id, row->id, SHM_ID_SIZE);
    assert_int_equal(user->body_len, BODY);
    assert_memory_equal(user->body, row->body, BODY);
    (void)f;
}

static void check_rows(struct fixture *f)
{
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    assert_int_equal(snapshot.version, file.version);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    for (uint64_t i = 0; i < file.count; i++) {
        const struct row *row = &file.row[i];
        assert_int_equal(next_user(&cursor, &user), SHM_OK);
        check_row(f, row, &user);
        assert_int_equal(shm_user_find(f->actor, row->id, &user), SHM_OK);
        check_row(f, row, &user);
        assert_int_equal(shm_user_find_key(f->actor, 0, row->body, 8, &user), SHM_OK);
        check_row(f, row, &user);
    }
    assert_int_equal(next_user(&cursor, &user), SHM_ENOENT);
    shm_snapshot_end(f->actor, &snapshot);
    shm_actor_offline(f->actor);
    assert_int_equal(shm_newest(f->store), file.version);
    assert_int_equal(shm_published(f->store), file.version);
    assert_int_equal(shm_last_seq(f->store), file.seq);
}

static void load_keeps_numbers_and_versions(void **state)
{
    struct fixture *f = *state;
    struct shm_disk_info disk;
    struct shm_info info;
    uint8_t id[SHM_STORE_ID_SIZE];
    fill_table(f);
    save(f);
    assert_int_equal(file.count, 584);
    const size_t batches[] = {1, 7, SHM_BATCH_MAX};
    for (size_t i = 0; i < 3; i++) {
        file.batch = batches[i];
        assert_int_equal(reboot(f), SHM_OK);
        check_rows(f);
        shm_store_id(f->store, id);
        assert_memory_equal(id, file.store_id, sizeof(id));
        shm_store_info(f->store, &info);
        assert_int_equal(info.users, file.count);
        shm_disk_info(f->store, &disk);
        assert_int_equal(disk.version, file.version);
        assert_int_equal(disk.behind, 0);
        segment_check(f->store, file.count);
    }
    fixture_close(f);
    f->config.fill = NULL;
    assert_int_equal(fixture_reopen(f), SHM_OK); /* the next owner checks all of it */
    check_rows(f);
}

static void commits_continue_after_a_load(void **state)
{
    struct fixture *f = *state;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    fill_table(f);
    save(f);
    assert_int_equal(reboot(f), SHM_OK);
    assert_int_equal(durable_commit(f, SHM_CREATED, 900, 5), file.version + 1);
    durable_check(f->actor, 900, 0);
    assert_int_equal(durable_commit(f, SHM_UPDATED, 0, 6), file.version + 2);
    assert_int_equal(durable_commit(f, SHM_DELETED, 598, 0), file.version + 3);
    assert_int_equal(durable_write(f->actor, SHM_CREATED, 5, 1, 1, NULL), SHM_EEXIST);
    durable_check(f->actor, 0, 1);
    durable_check(f->actor, 598, 1);
    durable_publish(f);
    user_id(id, 900);
    assert_int_equal(shm_user_find(f->actor, id, &user), SHM_OK);
    assert_int_equal(user.seq, file.seq + 1);
    durable_check(f->actor, 0, 6);
    durable_check(f->actor, 598, 0);
    durable_maintain(f, 8);
    segment_check(f->store, file.count);
}

static void page_tokens_survive_a_load(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    fill_table(f); /* user n had number n + 1; users 300 to 319 and 599 are gone since */
    save(f);
    assert_int_equal(reboot(f), SHM_OK);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    const struct {
        uint64_t n, next;
    } pages[] = {{0, 2}, {250, 252}, {300, 321}, {310, 321}, {319, 321}, {598, 601}, {599, 601}};
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
        user_id(id, pages[i].n);
        assert_int_equal(shm_cursor_after(&cursor, f->actor, &snapshot, pages[i].n + 1, id),
                         SHM_OK);
        assert_int_equal(next_user(&cursor, &user), SHM_OK);
        assert_int_equal(user.seq, pages[i].next);
    }
    assert_int_equal(shm_cursor_after(&cursor, f->actor, &snapshot, file.seq, id), SHM_OK);
    assert_int_equal(next_user(&cursor, &user), SHM_ENOENT);
    assert_int_equal(shm_cursor_after(&cursor, f->actor, &snapshot, file.seq + 1, id), SHM_EINVAL);
    shm_snapshot_end(f->actor, &snapshot);
}

static void followers_continue_after_a_load(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower, former;
    struct shm_change change;
    fill_table(f);
    save(f);
    assert_int_equal(shm_feed_follow(NULL, &former, 2), SHM_OK);
    assert_int_equal(reboot(f), SHM_OK);
    assert_int_equal(shm_feed_next(NULL, &former, &change), SHM_ERESYNC);
    for (uint64_t version = 0; version < file.version; version++)
        assert_int_equal(shm_feed_follow(NULL, &follower, version), SHM_ERESYNC);
    assert_int_equal(shm_feed_follow(NULL, &follower, file.version + 1), SHM_ERESYNC);
    assert_int_equal(shm_feed_follow(NULL, &follower, file.version), SHM_OK);
    assert_int_equal(shm_feed_next(NULL, &follower, &change), SHM_ENOENT);
    durable_commit(f, SHM_UPDATED, 1, 2);
    durable_commit(f, SHM_UPDATED, 2, 2);
    durable_publish(f);
    for (uint64_t i = 1; i <= 2; i++) {
        assert_int_equal(shm_feed_next(NULL, &follower, &change), SHM_OK);
        assert_int_equal(change.version, file.version + i);
        assert_int_equal(change.seq, i + 1);
    }
    assert_int_equal(shm_feed_next(NULL, &follower, &change), SHM_ENOENT);
    assert_int_equal(shm_feed_follow(NULL, &follower, file.version + 1), SHM_OK);
    assert_int_equal(shm_feed_next(NULL, &follower, &change), SHM_OK);
    assert_int_equal(change.version, file.version + 2);
    /* a ring that goes round forgets the load */
    for (uint64_t n = 0; n < 2 * SHM_FEED_SIZE / 200; n++) {
        assert_int_equal(durable_write(f->actor, SHM_UPDATED, 0, 200, n, NULL), SHM_OK);
        durable_publish(f);
    }
    assert_int_equal(shm_feed_follow(NULL, &follower, file.version), SHM_ERESYNC);
    assert_int_equal(shm_feed_follow(NULL, &follower, shm_newest(f->store)), SHM_OK);
    segment_check(f->store, file.count);
}

static void empty_tables_are_loaded_too(void **state)
{
    struct fixture *f = *state;
    const uint64_t ends[][2] = {{0, 0}, {5, 0}, {0, 9}, {4, 9}, {9, 4}};
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        struct shm_follower follower;
        file.version = ends[i][0];
        file.seq = ends[i][1];
        assert_int_equal(reboot(f), SHM_OK);
        check_rows(f);
        segment_check(f->store, 0);
        assert_int_equal(shm_feed_follow(NULL, &follower, file.version), SHM_OK);
        assert_int_equal(durable_commit(f, SHM_CREATED, 1, 1), file.version + 1);
        durable_publish(f);
        durable_check(f->actor, 1, 1);
        segment_check(f->store, 1);
    }
}

/* A load is no commit that the journal has to write: it has no backlog. */
static void load_may_be_longer_than_the_ring(void **state)
{
    struct fixture *f = *state;
    make_rows(ROWS);
    for (uint64_t i = 0; i < ROWS; i++)
        file.row[i].version = 100000 + i;
    file.version = 200000;
    assert_int_equal(reboot(f), SHM_OK);
    check_rows(f);
    assert_int_equal(durable_write(f->actor, SHM_UPDATED, 1, SHM_BATCH_MAX, 9, NULL), SHM_OK);
}

/* ---- what is refused ---- */

static void refused(struct fixture *f, int rc, uint64_t which)
{
    file.fills = 0;
    assert_int_equal(reboot(f), rc);
    assert_int_equal(file.rc, rc);
    assert_int_equal(file.fills, 1);
    if (which != UINT64_MAX)
        assert_int_equal(file.which, which);
    assert_false(segment_exists(f));
    assert_null(f->store);
    f->config.fill = NULL;
    assert_int_equal(fixture_reopen(f), SHM_OK); /* nothing stands in the way of the next */
    assert_int_equal(shm_newest(f->store), 0);
}

static void wrong_rows_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct {
        uint64_t seq, version;
    } wrong[] = {{20, 30},
                 {10, 30},
                 {0, 30},
                 {UINT64_C(1) << 56, 30},
                 {30, 0},
                 {30, 302},
                 {30, UINT64_C(1) << 56},
                 {30, UINT64_MAX}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        make_rows(150); /* row 9 has number 20, the last one 300; the version is 301 */
        file.row[10].seq = wrong[i].seq;
        file.row[10].version = wrong[i].version;
        if (wrong[i].seq == 30)
            file.row[10].seq = 22;
        refused(f, SHM_EINVAL, UINT64_MAX);
    }
}

static void wrong_ends_are_refused(void **state)
{
    struct fixture *f = *state;
    const uint64_t ends[][2] = {
        {299, 301}, {301, 299}, {0, 301}, {UINT64_C(1) << 56, 301}, {301, UINT64_C(1) << 56}};
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        make_rows(150);
        file.version = ends[i][0];
        file.seq = ends[i][1];
        refused(f, SHM_EINVAL, UINT64_MAX);
    }
    make_rows(150);
    file.version = file.seq = 300;
    assert_int_equal(reboot(f), SHM_OK);
    check_rows(f);
}

static void duplicates_are_named(void **state)
{
    struct fixture *f = *state;
    for (file.batch = 10; file.batch <= 200; file.batch += 190) { /* in other batches, and in one */
        make_rows(150);
        memcpy(file.row[140].id, file.row[3].id, SHM_ID_SIZE);
        refused(f, SHM_EEXIST, 140);
        make_rows(150);
        memcpy(file.row[141].body, file.row[4].body, 8);
        refused(f, SHM_EKEY, 141);
        assert_int_equal(file.conflict.key, 0);
    }
}

static void too_many_users_are_refused(void **state)
{
    struct fixture *f = *state;
    f->config.max_users = 100;
    make_rows(150);
    refused(f, SHM_EFULL, UINT64_MAX);
}

static void unended_load_is_refused(void **state)
{
    struct fixture *f = *state;
    make_rows(10);
    file.unended = true;
    assert_int_equal(reboot(f), SHM_EINVAL);
    assert_false(segment_exists(f));
    f->config.fill = NULL;
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void table_with_commits_is_not_loaded(void **state)
{
    struct fixture *f = *state;
    durable_commit(f, SHM_CREATED, 900, 1);
    make_rows(10);
    assert_int_equal(load_rows(f->actor), SHM_EINVAL);
    assert_int_equal(shm_load_end(f->actor, 50, 50), SHM_EINVAL);
    assert_int_equal(shm_newest(f->store), 1);
    segment_check(f->store, 1);
}

/* ---- a death while it loads ---- */

static const char *the_point;
static int arrivals; /* dies at this arrival */

static void die_at(const char *point)
{
    if (strcmp(point, the_point) == 0 && --arrivals == 0)
        raise(SIGKILL);
}

static void load_and_die(struct fixture *f, int argument)
{
    struct shm_store *store;
    arrivals = argument;
    shm_test_hook = die_at;
    (void)shm_store_open(&store, &f->config, &f->fault);
}

static void killed_load_leaves_no_segment(void **state)
{
    struct fixture *f = *state;
    const char *const points[] = {"locked",        "before seal", "sealed", "half published",
                                  "half replayed", "replayed",    "filled"};
    make_rows(ROWS);
    f->config.fill = fill_from_file;
    f->config.store_id = file.store_id;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
        the_point = points[i];
        int status = in_child(load_and_die, f, strcmp(the_point, "filled") == 0 ? 1 : 2);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        assert_false(segment_exists(f));
    }
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_rows(f);
    segment_check(f->store, ROWS);
}

/* ---- whether a segment fits the file ---- */

static uint8_t *read_segment(struct fixture *f, size_t *size)
{
    char path[300];
    struct stat st;
    assert_int_equal(shm_file_path(path, f->name, &f->fault), SHM_OK);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    *size = (size_t)st.st_size;
    uint8_t *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, *size), st.st_size);
    close(fd);
    return bytes;
}

static void commit_and_be_killed(struct fixture *f, int argument)
{
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(1);
    the_point = "sealed";
    arrivals = argument;
    shm_test_hook = die_at;
    (void)durable_write(actor, SHM_CREATED, 50, 1, 1, NULL);
}

/* The segment has an unpublished commit, and one that its writer's death left in the log. */
static void segment_that_does_not_fit_stays_as_it_is(void **state)
{
    struct fixture *f = *state;
    size_t size, size_after;
    durable_commit(f, SHM_CREATED, 1, 1);
    durable_publish(f);
    durable_commit(f, SHM_CREATED, 2, 1);
    shm_store_id(f->store, file.store_id);
    assert_true(WIFSIGNALED(in_child(commit_and_be_killed, f, 1)));
    fixture_close(f);
    uint8_t *before = read_segment(f, &size);
    f->config.fits = fits_file;
    f->config.durable = false;
    f->config.max_users = 20000;
    file.fits_rc = SHM_EDISK;
    assert_int_equal(fixture_reopen(f), SHM_EDISK);
    assert_int_equal(file.fits, 1);
    assert_memory_equal(file.seen_id, file.store_id, sizeof(file.seen_id));
    assert_int_equal(file.seen_version, 3);
    uint8_t *after = read_segment(f, &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
    file.fits_rc = SHM_OK;
    f->config.durable = true;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(file.fits, 2);
    assert_int_equal(shm_newest(f->store), 3);
    assert_int_equal(shm_published(f->store), 1);
    segment_check(f->store, 3);
}

static void existing_segment_is_not_loaded_and_a_new_one_fits(void **state)
{
    struct fixture *f = *state;
    make_rows(5);
    f->config.fits = fits_file;
    assert_int_equal(reboot(f), SHM_OK);
    assert_int_equal(file.fits, 0);
    assert_int_equal(file.fills, 1);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(file.fits, 1);
    assert_int_equal(file.fills, 1);
    check_rows(f);
}

/* ---- identities ---- */

static void tables_have_identities_of_their_own(void **state)
{
    struct fixture *f = *state;
    uint8_t one[SHM_STORE_ID_SIZE], two[SHM_STORE_ID_SIZE];
    shm_store_id(f->store, one);
    assert_int_equal(one[6] >> 4, 4); /* a random UUID */
    assert_int_equal(one[8] >> 6, 2);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    shm_store_id(f->store, two);
    assert_memory_equal(one, two, sizeof(one));
    assert_int_equal(durable_renew(f), SHM_OK);
    shm_store_id(f->store, two);
    assert_memory_not_equal(one, two, sizeof(one));
}

static void long_path_is_refused(void **state)
{
    struct fixture *f = *state;
    static char path[SHM_DATA_FILE_MAX + 1];
    memset(path, 'x', SHM_DATA_FILE_MAX);
    f->config.data_file = path;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_EINVAL);
    path[SHM_DATA_FILE_MAX - 1] = '\0';
    assert_int_equal(fixture_reopen(f), SHM_OK);
    struct shm_disk_info disk;
    shm_disk_info(f->store, &disk);
    assert_string_equal(disk.path, path);
    segment_check(f->store, 0);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, load_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(load_keeps_numbers_and_versions),
        WITH(commits_continue_after_a_load),
        WITH(page_tokens_survive_a_load),
        WITH(followers_continue_after_a_load),
        WITH(empty_tables_are_loaded_too),
        WITH(load_may_be_longer_than_the_ring),
        WITH(wrong_rows_are_refused),
        WITH(wrong_ends_are_refused),
        WITH(duplicates_are_named),
        WITH(too_many_users_are_refused),
        WITH(unended_load_is_refused),
        WITH(table_with_commits_is_not_loaded),
        WITH(killed_load_leaves_no_segment),
        WITH(segment_that_does_not_fit_stays_as_it_is),
        WITH(existing_segment_is_not_loaded_and_a_new_one_fits),
        WITH(tables_have_identities_of_their_own),
        WITH(long_path_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
