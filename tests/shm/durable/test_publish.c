/* SPDX-License-Identifier: MIT */
/* What readers see of commits that are not published, and what reclaim keeps for them and for the
 * journal. */
#include "tests/shm/durable/durable_fixture.h"

#include <string.h>
#include <unistd.h>

#include "shm/careful.h"
#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/readers/reclaim.h"

void (*shm_test_hook)(const char *point);

enum { MANY = 1000 };

static void reclaim(struct shm_actor *actor)
{
    unsigned steps;
    assert_int_equal(shm_reclaim(actor, MANY, &steps), SHM_OK);
}

static uint64_t kept(void)
{
    const struct shm_control *control = shm_control();
    return control->retired.count + control->unlinked.count + control->held_count;
}

/* ---- what is seen ---- */

/* Users 1 to 3 with stamps; 0: not there. */
struct table {
    uint64_t version, one, two, three;
};

static void check_listed(struct fixture *f, const struct shm_snapshot *snapshot,
                         const struct table *table)
{
    const uint64_t stamps[] = {table->one, table->two, table->three};
    struct shm_cursor cursor;
    struct shm_user user;
    assert_int_equal(snapshot->version, table->version);
    shm_cursor_first(&cursor, f->actor, snapshot);
    for (size_t i = 0; i < 3; i++)
        if (stamps[i] != 0) {
            assert_int_equal(next_user(&cursor, &user), SHM_OK);
            assert_int_equal(durable_stamp(user.body), stamps[i]);
        }
    assert_int_equal(next_user(&cursor, &user), SHM_ENOENT);
}

static void check_carefully(struct fixture *f, const struct table *table, bool protected)
{
    const uint64_t stamps[] = {table->one, table->two, table->three};
    static struct shm_record record;
    struct shm_store look = *f->store;
    struct shm_reader *reader;
    look.locked_out = !protected;
    assert_int_equal(shm_reader_open(&reader, &look, &f->fault), SHM_OK);
    assert_true((shm_reader_unprotected(reader) == NULL) == protected);
    assert_int_equal(shm_reader_begin(reader, 0, &f->fault), SHM_OK);
    assert_int_equal(shm_reader_version(reader), table->version);
    for (uint64_t n = 1; n <= 3; n++) {
        if (stamps[n - 1] == 0)
            continue;
        assert_int_equal(shm_reader_next(reader, &record, &f->fault), SHM_OK);
        assert_int_equal(durable_stamp(record.body), stamps[n - 1]);
    }
    assert_int_equal(shm_reader_next(reader, &record, &f->fault), SHM_ENOENT);
    for (uint64_t n = 1; n <= 3; n++) {
        uint8_t id[SHM_ID_SIZE];
        int expected = stamps[n - 1] != 0 ? SHM_OK : SHM_ENOENT;
        user_id(id, n);
        assert_int_equal(shm_reader_find(reader, id, &record, &f->fault), expected);
        assert_int_equal(
            shm_reader_find_key(reader, 0, (const uint8_t *)&n, sizeof(n), &record, &f->fault),
            expected);
    }
    shm_reader_close(reader);
}

/* The table must be like this for every kind of reader. */
static void check_seen(struct fixture *f, const struct table *table)
{
    struct shm_snapshot snapshot;
    struct shm_info info;
    durable_check(f->actor, 1, table->one);
    durable_check(f->actor, 2, table->two);
    durable_check(f->actor, 3, table->three);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    check_listed(f, &snapshot, table);
    shm_snapshot_end(f->actor, &snapshot);
    shm_actor_offline(f->actor);
    check_carefully(f, table, true);
    check_carefully(f, table, false);
    shm_store_info(f->store, &info);
    assert_int_equal(info.published, table->version);
    assert_int_equal(shm_published(f->store), table->version);
    assert_int_equal(info.users, (table->one != 0) + (table->two != 0) + (table->three != 0));
}

static uint64_t changes_seen(struct shm_follower *follower)
{
    struct shm_change change;
    uint64_t count = 0;
    while (shm_feed_next(NULL, follower, &change) == SHM_OK)
        count++;
    return count;
}

static void nothing_unpublished_is_seen_by_any_reader(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    struct shm_snapshot newest;
    assert_int_equal(shm_feed_follow(NULL, &follower, 0), SHM_OK);
    durable_commit(f, SHM_CREATED, 1, 11);
    durable_commit(f, SHM_CREATED, 2, 12);
    check_seen(f, &(struct table){0});
    assert_int_equal(changes_seen(&follower), 0);
    durable_publish(f);
    const struct table before = {.version = 2, .one = 11, .two = 12};
    check_seen(f, &before);
    assert_int_equal(changes_seen(&follower), 2);
    durable_commit(f, SHM_UPDATED, 1, 21);
    durable_commit(f, SHM_DELETED, 2, 0);
    durable_commit(f, SHM_CREATED, 3, 23);
    durable_maintain(f, 4);
    check_seen(f, &before);
    assert_int_equal(changes_seen(&follower), 0);
    const struct table after = {.version = 5, .one = 21, .three = 23};
    assert_int_equal(shm_newest(f->store), after.version);
    assert_int_equal(shm_snapshot_begin_newest(f->actor, &newest), SHM_OK);
    check_listed(f, &newest, &after);
    shm_snapshot_end(f->actor, &newest);
    durable_publish(f);
    check_seen(f, &after);
    assert_int_equal(changes_seen(&follower), 3);
    durable_maintain(f, 4);
    assert_int_equal(kept(), 0);
    segment_check(f->store, 2);
}

/* The journal reads further than others. */
static void journal_reads_the_feed_up_to_any_commit(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    struct shm_change change;
    assert_int_equal(shm_feed_follow(NULL, &follower, 0), SHM_OK);
    for (uint64_t n = 1; n <= 5; n++)
        durable_commit(f, SHM_CREATED, n, n);
    for (uint64_t n = 1; n <= 3; n++) {
        assert_int_equal(shm_feed_next_until(&follower, 3, &change), SHM_OK);
        assert_int_equal(change.version, n);
        assert_int_equal(change.seq, n);
        assert_int_equal(change.kind, SHM_CREATED);
    }
    assert_int_equal(shm_feed_next_until(&follower, 3, &change), SHM_ENOENT);
    assert_int_equal(shm_feed_next_until(&follower, 4, &change), SHM_OK);
    assert_int_equal(follower.next, 4);
}

static void published_never_decreases(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 1; n <= 3; n++)
        durable_commit(f, SHM_CREATED, n, n);
    durable_publish(f);
    struct shm_durable older = {.version = 1, .feed = 1, .users = 1};
    assert_int_equal(shm_publish(f->actor, &older), SHM_OK);
    struct shm_disk_info disk;
    shm_disk_info(f->store, &disk);
    assert_int_equal(disk.version, 1);
    assert_int_equal(disk.behind, 2);
    assert_true(disk.durable);
    check_seen(f, &(struct table){.version = 3, .one = 1, .two = 2, .three = 3});
    segment_check(f->store, 3);
}

static void what_does_not_exist_cannot_be_published(void **state)
{
    struct fixture *f = *state;
    durable_commit(f, SHM_CREATED, 1, 1);
    const struct shm_durable wrong[] = {{.version = 2, .feed = 1, .users = 1},
                                        {.version = 1, .feed = 2, .users = 1},
                                        {.version = 1, .feed = 1, .users = 2}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(shm_publish(f->actor, &wrong[i]), SHM_EINVAL);
    assert_int_equal(shm_published(f->store), 0);
}

/* ---- what is kept ---- */

/* Checks some of the versions from `from` on: user 1 was created in version 1 with stamp 1, and
 * each later commit updated it with its version as its stamp. */
static void check_versions(struct fixture *f, uint64_t from, uint64_t to)
{
    for (uint64_t version = from; version <= to; version += 1 + (to - from) / 50)
        durable_check_at(f->actor, 1, version, version);
    durable_check_at(f->actor, 1, to, to);
}

static void update_often(struct fixture *f, uint64_t kept_from)
{
    for (uint64_t i = 0; i < MANY; i++) {
        uint64_t version = durable_commit(f, SHM_UPDATED, 1, shm_newest(f->store) + 1);
        shm_maintain(f->actor);
        reclaim(f->actor);
        if (i % 100 == 0)
            check_versions(f, kept_from, version);
    }
    check_versions(f, kept_from, shm_newest(f->store));
}

static void versions_from_the_published_one_on_stay_readable(void **state)
{
    struct fixture *f = *state;
    durable_commit(f, SHM_CREATED, 1, 1);
    durable_publish(f);
    update_often(f, 1);
    durable_check(f->actor, 1, 1);
    assert_int_equal(kept(), MANY);
    durable_publish_version(f, 501);
    durable_check(f->actor, 1, 501);
    durable_maintain(f, 8);
    assert_int_equal(kept(), 500);
    check_versions(f, 501, MANY + 1);
    durable_publish(f);
    durable_maintain(f, 8);
    assert_int_equal(kept(), 0);
    durable_check(f->actor, 1, MANY + 1);
    segment_check(f->store, 1);
}

/* Without `durable` readers see each commit, but the journal writes it later. */
static void versions_from_the_files_on_stay_readable_where_readers_see_all(void **state)
{
    struct fixture *f = *state;
    f->config.durable = false;
    assert_int_equal(durable_renew(f), SHM_OK);
    durable_commit(f, SHM_CREATED, 1, 1);
    durable_publish(f);
    update_often(f, 1);
    durable_check(f->actor, 1, MANY + 1);
    assert_int_equal(kept(), MANY);
    durable_publish(f);
    durable_maintain(f, 8);
    assert_int_equal(kept(), 0);
    segment_check(f->store, 1);
}

static unsigned looks;

static void count_compared(const char *point)
{
    looks += strcmp(point, "passed a body") == 0;
}

static void bodies_of_unpublished_commits_are_passed_one_by_one(void **state)
{
    enum { TIMES = 100 };
    struct fixture *f = *state;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    user_id(id, 1);
    durable_commit(f, SHM_CREATED, 1, 1);
    durable_publish(f);
    for (uint64_t i = 0; i < TIMES; i++)
        durable_commit(f, SHM_UPDATED, 1, i + 2);
    for (unsigned expected = TIMES;; expected = 0) {
        looks = 0;
        shm_test_hook = count_compared;
        assert_int_equal(shm_user_find(f->actor, id, &user), SHM_OK);
        shm_test_hook = NULL;
        assert_int_equal(looks, expected);
        shm_actor_offline(f->actor);
        if (expected == 0)
            break;
        durable_publish(f);
    }
}

static void deleted_and_created_again_behind_the_published_one(void **state)
{
    struct fixture *f = *state;
    durable_commit(f, SHM_CREATED, 1, 1);
    durable_publish(f);
    for (uint64_t i = 0; i < 100; i++) {
        durable_commit(f, SHM_DELETED, 1, 0);
        durable_maintain(f, 1);
        durable_commit(f, SHM_CREATED, 1, shm_newest(f->store) + 1);
        durable_maintain(f, 1);
        durable_check(f->actor, 1, 1);
    }
    for (uint64_t version = 1; version <= 201; version++)
        durable_check_at(f->actor, 1, version, version % 2 == 1 ? version : 0);
    durable_publish(f);
    durable_check(f->actor, 1, 201);
    durable_maintain(f, 8);
    assert_int_equal(kept(), 0);
    segment_check(f->store, 1);
}

static void memory_only_keeps_nothing(void **state)
{
    struct fixture *f = *state;
    f->config.data_file = NULL; /* `durable` has no meaning then */
    assert_int_equal(durable_renew(f), SHM_OK);
    durable_commit(f, SHM_CREATED, 1, 1);
    assert_int_equal(shm_published(f->store), 1);
    durable_commit(f, SHM_UPDATED, 1, 2);
    durable_check(f->actor, 1, 2);
    durable_maintain(f, 4);
    assert_int_equal(kept(), 0);
    struct shm_disk_info disk;
    shm_disk_info(f->store, &disk);
    assert_int_equal(disk.state, SHM_DISK_NONE);
    assert_int_equal(disk.behind, 0);
    assert_false(disk.durable);
    assert_string_equal(disk.path, "");
}

/* ---- which grace period is waited for ---- */

static struct fixture *the_fixture;
static struct shm_actor *reader, *publisher;
static struct shm_snapshot pinned;
static const char *the_point;
static void (*meanwhile)(void);

static void at_point(const char *point)
{
    if (strcmp(point, the_point) != 0)
        return;
    shm_test_hook = NULL;
    meanwhile();
}

static void run_at(const char *point, void (*run)(void))
{
    the_point = point;
    meanwhile = run;
    shm_test_hook = at_point;
}

static int setup_readers(void **state)
{
    if (durable_setup(state) != 0)
        return -1;
    the_fixture = *state;
    struct shm_store *store = the_fixture->store;
    struct shm_fault *fault = &the_fixture->fault;
    return shm_actor_join(&reader, store, SHM_ACTOR_WORKER, 1, fault) == SHM_OK &&
                   shm_actor_join(&publisher, store, SHM_ACTOR_JOURNAL, 0, fault) == SHM_OK
               ? 0
               : -1;
}

static int teardown_readers(void **state)
{
    shm_test_hook = NULL;
    shm_actor_leave(reader);
    shm_actor_leave(publisher);
    return fixture_teardown(state);
}

static void publish_newest(void)
{
    const struct shm_control *control = shm_control();
    struct shm_durable durable = {
        .version = control->version, .feed = control->feed_head, .users = control->users};
    assert_int_equal(shm_publish(publisher, &durable), SHM_OK);
}

/* A commit that is old enough for every reader, and a publication that is not. */
static void prepare_late_publication(struct fixture *f)
{
    durable_commit(f, SHM_CREATED, 1, 1);
    durable_publish(f);
    durable_commit(f, SHM_UPDATED, 1, 2);
    shm_actor_online(reader); /* after the update, before its publication */
}

static void check_reader_has_the_old_body(struct fixture *f)
{
    struct shm_cursor cursor;
    struct shm_user user;
    assert_int_equal(kept(), 1);
    shm_cursor_first(&cursor, reader, &pinned);
    assert_int_equal(next_user(&cursor, &user), SHM_OK);
    assert_int_equal(durable_stamp(user.body), 1);
    shm_snapshot_end(reader, &pinned);
    shm_actor_offline(reader);
    durable_maintain(f, 4);
    assert_int_equal(kept(), 0);
    segment_check(f->store, 1);
}

static void publish_and_reclaim(void)
{
    publish_newest();
    reclaim(the_fixture->actor);
    assert_int_equal(kept(), 1);
}

/* The reader has loaded the version that it will pin. */
static void reader_of_the_former_publication_is_waited_for(void **state)
{
    struct fixture *f = *state;
    prepare_late_publication(f);
    run_at("version loaded", publish_and_reclaim);
    assert_int_equal(shm_snapshot_begin(reader, &pinned), SHM_OK);
    assert_null(shm_test_hook);
    shm_actor_offline(reader);
    reclaim(f->actor);
    check_reader_has_the_old_body(f);
}

static void look_in_between(void)
{
    unsigned steps;
    assert_int_equal(shm_reclaim(the_fixture->actor, MANY, &steps), SHM_EBUSY); /* after its look */
}

static void publish_slowly(void)
{
    run_at("half replayed", look_in_between);
    publish_newest();
    assert_null(shm_test_hook);
    reclaim(the_fixture->actor);
    assert_int_equal(kept(), 1);
}

static void half_stored_publication_frees_nothing(void **state)
{
    struct fixture *f = *state;
    prepare_late_publication(f);
    run_at("version loaded", publish_slowly);
    assert_int_equal(shm_snapshot_begin(reader, &pinned), SHM_OK);
    shm_actor_offline(reader);
    reclaim(f->actor);
    check_reader_has_the_old_body(f);
}

/* A look may see a commit published that is published between its two loads, or not; it never sees
 * it with the token of an earlier publication. */
static void publication_during_a_look_is_waited_for(void **state)
{
    struct fixture *f = *state;
    prepare_late_publication(f);
    run_at("publication seen", publish_newest);
    reclaim(f->actor);
    assert_null(shm_test_hook);
    reclaim(f->actor);
    assert_int_equal(kept(), 1);
    shm_actor_offline(reader);
    durable_maintain(f, 4);
    assert_int_equal(kept(), 0);
}

/* A journal that publishes without a pause must not delay reclaim for ever. */
static void publications_do_not_delay_each_other(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *readers[2] = {reader, publisher};
    durable_commit(f, SHM_CREATED, 1, 1);
    for (uint64_t i = 0; i < 100; i++) {
        durable_commit(f, SHM_UPDATED, 1, i + 2);
        shm_actor_online(readers[i % 2]); /* at each moment one of them is online */
        shm_actor_offline(readers[(i + 1) % 2]);
        struct shm_durable durable = {.version = shm_newest(f->store), .users = 1};
        assert_int_equal(shm_publish(f->actor, &durable), SHM_OK);
        reclaim(f->actor);
    }
    assert_in_range(kept(), 1, 10);
}

/* ---- a list that was filled by a newer look ---- */

static struct shm_actor *first;
static struct shm_snapshot of_first;

/* The reader, online since before the look, pins the version that was published then. A body that
 * it needs is held for a newer pin, which had another list at the time of the look, and ends. */
static void publish_and_refill(void)
{
    struct fixture *f = the_fixture;
    uint32_t pin = of_first.pin;
    uint64_t version = shm_published(f->store);
    assert_int_equal(shm_snapshot_begin(reader, &pinned), SHM_OK);
    assert_int_equal(pinned.version, version);
    shm_actor_offline(reader);
    reclaim(publisher);
    assert_int_equal(shm_control()->held_count, 0); /* the list is empty */
    struct shm_durable next = {.version = version + 1, .feed = shm_control()->feed_head};
    assert_int_equal(shm_publish(publisher, &next), SHM_OK);
    first->pins_free = 0; /* as if it had taken and ended many pins meanwhile */
    assert_int_equal(shm_snapshot_begin(first, &of_first), SHM_OK);
    assert_int_equal(of_first.pin, pin);
    shm_actor_offline(first);
    publish_newest();
    for (int i = 0; i < 3; i++)
        reclaim(publisher);
    assert_int_equal(shm_control()->held_count, 2);
    shm_snapshot_end(first, &of_first);
}

static void list_filled_since_the_look_is_not_judged_by_it(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(shm_actor_join(&first, f->store, SHM_ACTOR_WORKER, 2, &f->fault), SHM_OK);
    durable_commit(f, SHM_CREATED, 1, 1);
    durable_commit(f, SHM_CREATED, 2, 2);
    durable_publish(f);
    assert_int_equal(shm_snapshot_begin(first, &of_first), SHM_OK);
    shm_actor_offline(first);
    durable_commit(f, SHM_UPDATED, 1, 3);
    durable_publish(f);
    for (int i = 0; i < 3; i++)
        reclaim(publisher);
    assert_int_equal(shm_control()->held_count, 1);
    shm_snapshot_end(first, &of_first);
    durable_commit(f, SHM_UPDATED, 1, 4);
    durable_commit(f, SHM_UPDATED, 2, 5);
    shm_actor_online(reader);
    run_at("looked", publish_and_refill);
    reclaim(f->actor);
    assert_null(shm_test_hook);
    shm_actor_leave(first);
    struct shm_cursor cursor;
    struct shm_user user;
    shm_cursor_first(&cursor, reader, &pinned);
    for (uint64_t n = 1; n <= 2; n++) {
        assert_int_equal(next_user(&cursor, &user), SHM_OK);
        assert_int_equal(durable_stamp(user.body), n == 1 ? 3 : 2);
    }
    shm_snapshot_end(reader, &pinned);
    shm_actor_offline(reader);
    durable_maintain(f, 4);
    assert_int_equal(kept(), 0);
    segment_check(f->store, 2);
}

/* ---- another owner, another mode ---- */

static void reopen_as(struct fixture *f, const char *data_file, bool durable)
{
    f->config.data_file = data_file;
    f->config.durable = durable;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void next_owner_may_have_another_mode(void **state)
{
    struct fixture *f = *state;
    durable_commit(f, SHM_CREATED, 1, 1);
    durable_publish(f);
    durable_commit(f, SHM_UPDATED, 1, 2);
    durable_commit(f, SHM_CREATED, 2, 2);
    reopen_as(f, f->config.data_file, true);
    check_seen(f, &(struct table){.version = 1, .one = 1});
    durable_check_at(f->actor, 1, 3, 2);
    reopen_as(f, f->config.data_file, false);
    check_seen(f, &(struct table){.version = 3, .one = 2, .two = 2});
    durable_commit(f, SHM_UPDATED, 1, 4);
    check_seen(f, &(struct table){.version = 4, .one = 4, .two = 2});
    reopen_as(f, NULL, true);
    durable_commit(f, SHM_DELETED, 2, 0);
    check_seen(f, &(struct table){.version = 5, .one = 4});
    durable_maintain(f, 4);
    assert_int_equal(kept(), 0);
    reopen_as(f, "/nowhere/else.db", true);
    check_seen(f, &(struct table){.version = 5, .one = 4});
    durable_commit(f, SHM_CREATED, 3, 6);
    check_seen(f, &(struct table){.version = 5, .one = 4});
    durable_publish(f);
    check_seen(f, &(struct table){.version = 6, .one = 4, .three = 6});
    segment_check(f->store, 2);
}

/* A limit: an index that is made later has live users only. */
/* A body is a number and a stamp: both are keys here. */
static uint32_t key_of_both(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    if (body_len != 2 * sizeof(uint64_t))
        return 0;
    memcpy(out, body + key * sizeof(uint64_t), sizeof(uint64_t));
    return sizeof(uint64_t);
}

static void set_body(struct fixture *f, uint64_t n, uint64_t number, uint64_t stamp)
{
    const uint64_t body[] = {number, stamp};
    struct shm_new_user user = {.body = (const uint8_t *)body, .body_len = sizeof(body)};
    user_id(user.id, n);
    assert_int_equal(shm_users_update(f->actor, &user, 1, NULL), SHM_OK);
    shm_actor_offline(f->actor);
}

/* The stamp of who has the key, found by a process of the server and by a tool; 0: nobody. */
static uint64_t who_has(struct fixture *f, unsigned key, uint64_t value)
{
    static struct shm_record record;
    const uint8_t *bytes = (const uint8_t *)&value;
    struct shm_reader *reader_of_tool;
    struct shm_user user;
    uint64_t stamp = 0, its_stamp = 0;
    int rc = shm_user_find_key(f->actor, key, bytes, sizeof(value), &user);
    if (rc == SHM_OK)
        stamp = durable_stamp(user.body);
    else
        assert_int_equal(rc, SHM_ENOENT);
    shm_actor_offline(f->actor);
    assert_int_equal(shm_reader_open(&reader_of_tool, f->store, NULL), SHM_OK);
    rc = shm_reader_find_key(reader_of_tool, key, bytes, sizeof(value), &record, NULL);
    shm_reader_close(reader_of_tool);
    if (rc == SHM_OK)
        its_stamp = durable_stamp(record.body);
    if (rc != SHM_EINVAL) /* the tool must search all users */
        assert_int_equal(its_stamp, stamp);
    return stamp;
}

/* In a child: a reading tool, which searches the order list where it must, finds who readers see.
 */
static void look_up_as_a_tool(struct fixture *f, int argument)
{
    struct shm_store *store;
    struct shm_actor *actor;
    struct shm_user user;
    (void)argument;
    shm_actor_abandon(f->actor);
    shm_store_close(f->store);
    if (shm_store_attach(&store, f->name, SHM_ATTACH_READ, key_of_both, NULL) != SHM_OK ||
        shm_actor_join(&actor, store, SHM_ACTOR_TOOL, 0, NULL) != SHM_OK)
        _exit(1);
    for (uint64_t n = 1; n <= 4; n++)
        for (unsigned key = 0; key < 2; key++) {
            const uint64_t keys[] = {n, 10 * n};
            if (shm_user_find_key(actor, key, (const uint8_t *)&keys[key], sizeof(n), &user) !=
                    SHM_OK ||
                durable_stamp(user.body) != 10 * n)
                _exit(1);
        }
    shm_actor_leave(actor);
    shm_store_close(store);
}

/* Of the changes that are not published one deletes a user, one changes a key that is unique, and
 * one a key that becomes unique. */
static void new_index_answers_for_what_readers_see(void **state)
{
    struct fixture *f = *state;
    f->config.key_of = key_of_both;
    assert_int_equal(durable_renew(f), SHM_OK);
    for (uint64_t n = 1; n <= 4; n++)
        durable_commit(f, SHM_CREATED, n, 10 * n);
    durable_publish(f);
    durable_commit(f, SHM_DELETED, 1, 0);
    set_body(f, 2, 52, 20);
    set_body(f, 3, 3, 31);
    set_body(f, 4, 4, 30);
    f->config.unique = 3;
    reopen_as(f, f->config.data_file, true);
    for (uint64_t n = 1; n <= 4; n++) {
        assert_int_equal(who_has(f, 0, n), 10 * n);
        assert_int_equal(who_has(f, 1, 10 * n), 10 * n);
    }
    assert_int_equal(who_has(f, 0, 52), 0);
    assert_int_equal(who_has(f, 1, 31), 0);
    assert_int_equal(in_child(look_up_as_a_tool, f, 0), 0);
    segment_check(f->store, 3);
    durable_publish(f);
    assert_int_equal(who_has(f, 0, 52), 20);
    assert_int_equal(who_has(f, 0, 1) + who_has(f, 0, 2), 0);
    assert_int_equal(who_has(f, 1, 31), 31);
    assert_int_equal(who_has(f, 1, 30), 30);
    assert_int_equal(who_has(f, 1, 10) + who_has(f, 1, 40), 0);
    segment_check(f->store, 3);
}

/* As if the two were a tool's: they outlive the owner. */
static void keep_readers(struct fixture *f)
{
    reader->store = publisher->store = f->store;
}

static void change_mode(void)
{
    struct fixture *f = the_fixture;
    reopen_as(f, NULL, false);
    keep_readers(f);
    durable_maintain(f, 4);
    assert_int_equal(kept(), 1);
}

/* The tool's section began before the change of mode, and it pins the version that it loaded. */

static void tool_that_reads_while_the_mode_changes_keeps_its_version(void **state)
{
    struct fixture *f = *state;
    prepare_late_publication(f);
    run_at("version loaded", change_mode);
    assert_int_equal(shm_snapshot_begin(reader, &pinned), SHM_OK);
    assert_null(shm_test_hook);
    shm_actor_offline(reader);
    reclaim(f->actor);
    check_reader_has_the_old_body(f);
}

int main(void)
{
#define WITH(test)         cmocka_unit_test_setup_teardown(test, durable_setup, fixture_teardown)
#define WITH_READERS(test) cmocka_unit_test_setup_teardown(test, setup_readers, teardown_readers)
    const struct CMUnitTest tests[] = {
        WITH(nothing_unpublished_is_seen_by_any_reader),
        WITH(journal_reads_the_feed_up_to_any_commit),
        WITH(published_never_decreases),
        WITH(what_does_not_exist_cannot_be_published),
        WITH(versions_from_the_published_one_on_stay_readable),
        WITH(versions_from_the_files_on_stay_readable_where_readers_see_all),
        WITH(bodies_of_unpublished_commits_are_passed_one_by_one),
        WITH(deleted_and_created_again_behind_the_published_one),
        WITH(memory_only_keeps_nothing),
        WITH_READERS(reader_of_the_former_publication_is_waited_for),
        WITH_READERS(half_stored_publication_frees_nothing),
        WITH_READERS(publication_during_a_look_is_waited_for),
        WITH_READERS(publications_do_not_delay_each_other),
        WITH_READERS(list_filled_since_the_look_is_not_judged_by_it),
        WITH(next_owner_may_have_another_mode),
        WITH(new_index_answers_for_what_readers_see),
        WITH_READERS(tool_that_reads_while_the_mode_changes_keeps_its_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
