/* SPDX-License-Identifier: MIT */
/* What watches tell after reboots: the store is filled again from what a data file would have, and
 * the entries of the change feed are made from the table. */
#include <stdlib.h>
#include <string.h>

#include "shm/core/mapping.h"
#include "shm/disk.h"
#include "tests/service/directory/changes_kit.h"
#include "tests/shm/changes.h"

enum { MODEL_USERS = 12, DELETES_MAX = 100000, FEED_COMMITS = 3000 };

/* ---- the data file ---- */

static struct {
    struct shm_change users[MANY]; /* who is there, by their numbers */
    size_t count;
    struct shm_change deletes[DELETES_MAX];
    size_t deleted;
    struct shm_follower follower; /* of the deletes */
    uint64_t from, version, seq;  /* the feed goes back to `from` */
    uint8_t store_id[SHM_STORE_ID_SIZE];
} disk;

static int by_version(const void *a, const void *b)
{
    const struct shm_change *one = a, *two = b;
    if (one->version != two->version)
        return one->version < two->version ? -1 : 1;
    return one->seq < two->seq ? -1 : one->seq > two->seq;
}

static size_t made_changes(struct shm_change *made)
{
    size_t count = 0;
    for (size_t i = 0; i < disk.deleted; i++)
        if (disk.deletes[i].version > disk.from)
            made[count++] = disk.deletes[i];
    for (size_t i = 0; i < disk.count; i++)
        if (disk.users[i].version > disk.from)
            made[count++] = disk.users[i];
    qsort(made, count, sizeof(*made), by_version);
    return count;
}

static int fill(void *data, struct shm_store *store, struct shm_fault *fault)
{
    static struct shm_change made[DELETES_MAX + MANY];
    struct shm_actor *actor;
    (void)data;
    assert_int_equal(shm_actor_join(&actor, store, SHM_ACTOR_MASTER, 0, fault), SHM_OK);
    for (size_t i = 0; i < disk.count; i++) {
        struct shm_loaded_user user = {.user = {.body = (const uint8_t *)"a body", .body_len = 6},
                                       .seq = disk.users[i].seq,
                                       .version = disk.users[i].version};
        memcpy(user.user.id, disk.users[i].id, SHM_ID_SIZE);
        assert_int_equal(shm_load_users(actor, &user, 1, NULL), SHM_OK);
    }
    assert_int_equal(shm_load_end(actor, disk.version, disk.seq), SHM_OK);
    assert_int_equal(shm_load_feed(actor, made, made_changes(made), disk.from), SHM_OK);
    shm_actor_leave(actor);
    return SHM_OK;
}

/* The journal: everything is on disk. */
static void publish(void)
{
    const struct shm_control *control = shm_control();
    const struct shm_durable all = {
        .version = control->version, .feed = control->feed_head, .users = control->users};
    struct shm_change change;
    assert_int_equal(shm_publish(f->actor, &all), SHM_OK);
    while (shm_feed_next_until(&disk.follower, UINT64_MAX, &change) == SHM_OK)
        if (change.kind == SHM_DELETED)
            disk.deletes[disk.deleted++] = change;
}

static void save(void)
{
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    int rc;
    publish();
    disk.count = 0;
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    while ((rc = shm_cursor_next(&cursor, &user)) != SHM_ENOENT) {
        if (rc != SHM_OK)
            continue;
        struct shm_change *row = &disk.users[disk.count++];
        *row = (struct shm_change){.version = user.version, .kind = SHM_UPDATED, .seq = user.seq};
        memcpy(row->id, user.id, SHM_ID_SIZE);
    }
    shm_snapshot_end(f->actor, &snapshot);
    shm_actor_offline(f->actor);
    disk.version = shm_newest(f->store);
    disk.seq = shm_last_seq(f->store);
    shm_store_id(f->store, disk.store_id);
    if (disk.version > disk.from + 2 * (uint64_t)FEED_COMMITS)
        disk.from = disk.version - FEED_COMMITS;
}

static void open_again(void)
{
    directory_changes_clear(&changes);
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    directory_changes_init(&changes, f->store, f->actor);
}

static void reboot(void)
{
    save();
    f->config.fill = fill;
    f->config.store_id = disk.store_id;
    open_again();
    assert_int_equal(changes.rebuilt, disk.version);
    assert_int_equal(shm_feed_follow(NULL, &disk.follower, disk.version), SHM_OK);
}

static int open_durable(void **state)
{
    if (open_changes(state) != 0)
        return -1;
    memset(&disk, 0, sizeof(disk));
    f->config.data_file = "/nowhere/rosterd.db";
    f->config.durable = true;
    open_again();
    return shm_feed_follow(NULL, &disk.follower, 0) == SHM_OK ? 0 : -1;
}

static struct directory_resume as_text(const struct directory_resume *resume)
{
    char text[DIRECTORY_RESUME_MAX];
    struct directory_resume back;
    ProtobufCBinaryData data = {.data = (uint8_t *)text};
    data.len = directory_resume_format(text, resume);
    assert_true(directory_resume_parse(&back, &data));
    return back;
}

static struct directory_resume token_now(void)
{
    struct directory_place place;
    begin_now(&place);
    return directory_changes_token(&changes, &place);
}

/* ---- what comes after a reboot ---- */

static void users_created_before_a_reboot_are_created(void **state)
{
    (void)state;
    struct directory_place place = {0};
    create(0);
    publish();
    const struct directory_resume token = token_now();
    create(1);
    update(0);
    update(1);
    reboot();
    resume(&place, &token);
    expect_told(&place, U, 0, 3);
    expect_told(&place, C, 1, 4);
    expect_quiet(&place);
    update(1);
    publish();
    expect_told(&place, U, 1, 5);
    expect_quiet(&place);
    assert_null(place.late);
}

/* Ranges of before the reboot are of commits that the feed does not have any more. */
static void token_inside_a_commit_is_good_beside_older_ranges(void **state)
{
    (void)state;
    struct directory_place place;
    create(9);
    publish();
    begin_now(&place);
    create(1); /* 2 */
    update(1); /* 3 */
    update(9); /* 4 */
    publish();
    const struct directory_resume token = expect_told(&place, C, 1, 3).resume;
    assert_int_equal(token.late[0].version, 4);
    assert_int_equal(commit(f->actor, SHM_CREATED, 20, 5), SHM_OK); /* 5 */
    update(9);                                                      /* 6 */
    reboot();
    resume(&place, &token);
    const struct directory_resume inside = expect_told(&place, C, 20, 5).resume;
    resume(&place, &inside); /* next() has parsed it */
    for (uint64_t n = 21; n < 25; n++)
        expect_told(&place, C, n, 5);
    expect_told(&place, U, 9, 6);
    expect_quiet(&place);
}

static void rebuilt_commit_is_told_once(void **state)
{
    (void)state;
    struct directory_place place;
    begin_now(&place);
    const struct directory_resume before = directory_changes_token(&changes, &place);
    assert_int_equal(commit(f->actor, SHM_CREATED, 0, 6), SHM_OK);
    publish();
    expect_told(&place, C, 0, 1);
    const struct directory_resume two = expect_told(&place, C, 1, 1).resume;
    update(3); /* its entry leaves the commit */
    reboot();
    resume(&place, &two);
    const struct directory_resume three = expect_told(&place, C, 2, 1).resume;
    for (unsigned reboots = 0; reboots < 3; reboots++) {
        resume(&place, &three);
        const struct directory_resume four = expect_told(&place, C, 4, 1).resume;
        resume(&place, &four);
        expect_told(&place, C, 5, 1);
        expect_told(&place, C, 3, 2);
        expect_quiet(&place);
        resume(&place, &before);
        expect_told(&place, C, 0, 1);
        if (reboots != 0)
            reboot();
    }
    directory_changes_end(&place);
}

static void end_of_a_user_who_was_never_told_is_not_told(void **state)
{
    (void)state;
    struct directory_place place = {0};
    const struct directory_resume token = token_now();
    create(1);
    create(2);
    create(3);
    delete (2);
    reboot();
    delete (3);
    publish();
    resume(&place, &token);
    const struct directory_resume one = expect_told(&place, C, 1, 1).resume;
    expect_quiet(&place);
    resume(&place, &one);
    expect_quiet(&place);
    assert_null(place.late);
}

/* A token of among the rebuilt entries, after the next reboot: the client may know the user. */
static void end_of_a_user_told_before_the_next_reboot_is_told(void **state)
{
    (void)state;
    struct directory_place place = {0};
    const struct directory_resume token = token_now();
    create(1);
    create(2);
    update(1);
    reboot();
    resume(&place, &token);
    const struct directory_resume two = expect_told(&place, C, 2, 2).resume;
    delete (2);
    reboot();
    resume(&place, &two);
    expect_told(&place, C, 1, 3);
    expect_told(&place, D, 2, 0);
    expect_quiet(&place);
}

/* The last rebuilt entry leaves nothing to guess. */
static void client_that_has_all_of_a_reboot_is_sure_after_the_next(void **state)
{
    (void)state;
    struct directory_place place = {0};
    create(0);
    publish();
    const struct directory_resume before = token_now();
    create(1);
    reboot();
    resume(&place, &before);
    const struct directory_resume all = expect_told(&place, C, 1, 2).resume;
    create(2);
    update(1);
    delete (2);
    reboot();
    resume(&place, &all);
    expect_told(&place, U, 1, 4);
    expect_quiet(&place);
}

/* ---- a model ---- */

/* What a client knows, and whether one of the exceptions of docs/directory.md may come since it was
 * last quiet. */
struct replica {
    struct directory_place place;
    struct directory_resume token;
    uint64_t version[MODEL_USERS]; /* 0: there is no such user */
    bool excepted;
};

static uint64_t version_now(uint64_t n)
{
    uint8_t id[SHM_ID_SIZE];
    struct shm_user user = {.version = 0};
    user_id(id, n);
    (void)shm_user_find(f->actor, id, &user);
    shm_actor_offline(f->actor);
    return user.version;
}

static void replica_take(struct replica *replica, const struct told *told)
{
    uint64_t *version = &replica->version[told->n];
    replica->token = as_text(&told->resume);
    if (!replica->excepted) {
        assert_int_equal(told->type == C, *version == 0);
        assert_true(told->type != U || told->version > *version);
    }
    *version = told->version;
}

static void replica_compare(struct replica *replica)
{
    struct told told;
    while (next(&replica->place, &told))
        replica_take(replica, &told);
    replica->token = directory_changes_token(&changes, &replica->place);
    replica->excepted = false;
    assert_null(replica->place.late);
    for (uint64_t n = 0; n < MODEL_USERS; n++)
        assert_int_equal(replica->version[n], version_now(n));
}

static bool says_who(const struct directory_resume *token)
{
    return token->late_count != 0 && token->late[0].first == 1 &&
           token->late[0].version == token->version;
}

/* @param after_reboot a token of inside a commit of updates does not say who of it is told */
static void replica_resume(struct replica *replica, bool after_reboot)
{
    const struct directory_resume *token = &replica->token;
    bool whole = token->done == 0 || token->creates || says_who(token);
    replica->excepted |= token->late_count == DIRECTORY_RESUME_LATE;
    replica->excepted |= after_reboot && (!whole || token->among != 0);
    resume(&replica->place, token);
}

static void change_something(uint64_t random)
{
    enum shm_change_kind kind = (enum shm_change_kind)(1 + random % 3);
    uint64_t n = random / 3 % MODEL_USERS, count = 1 + random / 100 % 12;
    (void)commit(f->actor, kind, n, n + count <= MODEL_USERS ? count : 1);
}

static void replicas_equal_the_table_over_reboots(void **state)
{
    (void)state;
    enum { REPLICAS = 4, STEPS = 60000 };
    static struct replica replicas[REPLICAS];
    uint64_t random = 1;
    unsigned reboots = 0, quiet_checks = 0;
    for (unsigned i = 0; i < REPLICAS; i++) {
        begin_now(&replicas[i].place);
        replicas[i].token = directory_changes_token(&changes, &replicas[i].place);
    }
    for (unsigned step = 0; step < STEPS; step++) {
        struct told told;
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t what = random >> 33;
        struct replica *replica = &replicas[what / 16 % REPLICAS];
        if (what % 16 < 6) {
            change_something(what / 64);
            if (what / 64 % 5 != 0)
                publish();
        } else if (what % 16 == 6) {
            replica_resume(replica, false);
        } else if (what % 200 == 7) {
            replica_compare(replica);
            quiet_checks++;
        } else if (what % 256 == 9) {
            reboot();
            reboots++;
            for (unsigned i = 0; i < REPLICAS; i++)
                replica_resume(&replicas[i], true);
        } else if (next(&replica->place, &told)) {
            replica_take(replica, &told);
        } else {
            replica->token = directory_changes_token(&changes, &replica->place);
        }
    }
    publish();
    for (unsigned i = 0; i < REPLICAS; i++) {
        replica_compare(&replicas[i]);
        directory_changes_end(&replicas[i].place);
    }
    assert_true(reboots > 100 && quiet_checks > 100);
}

int main(void)
{
#define REBOOT_TEST(test) cmocka_unit_test_setup_teardown(test, open_durable, close_changes)
    const struct CMUnitTest tests[] = {
        REBOOT_TEST(users_created_before_a_reboot_are_created),
        REBOOT_TEST(token_inside_a_commit_is_good_beside_older_ranges),
        REBOOT_TEST(rebuilt_commit_is_told_once),
        REBOOT_TEST(end_of_a_user_who_was_never_told_is_not_told),
        REBOOT_TEST(end_of_a_user_told_before_the_next_reboot_is_told),
        REBOOT_TEST(client_that_has_all_of_a_reboot_is_sure_after_the_next),
        REBOOT_TEST(replicas_equal_the_table_over_reboots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
