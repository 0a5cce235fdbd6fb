/* SPDX-License-Identifier: MIT */
/* What a new segment is told of the commits before its load: changes and requests. */
#include <string.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/disk.h"
#include "tests/shm/durable/durable_fixture.h"

void (*shm_test_hook)(const char *point);

enum { BODY = 16, LOADED = 50000, SEQ = 60000, NOW = 1000000 };

/* What is loaded beside one user with number 1. */
static struct {
    struct shm_change changes[SHM_CHANGES_MAX + 1];
    struct shm_request requests[500];
    size_t num_changes, num_requests;
    uint64_t from;
    int feed_rc, requests_rc;
} history;

static int load_user(struct shm_actor *actor)
{
    uint64_t words[2] = {1, 1};
    struct shm_loaded_user user = {
        .user = {.body = (const uint8_t *)words, .body_len = BODY}, .seq = 1, .version = LOADED};
    user_id(user.user.id, 1);
    return shm_load_users(actor, &user, 1, NULL);
}

static int fill_with_history(void *data, struct shm_store *store, struct shm_fault *fault)
{
    struct shm_actor *actor;
    (void)data;
    assert_int_equal(shm_actor_join(&actor, store, SHM_ACTOR_MASTER, 0, fault), SHM_OK);
    assert_int_equal(load_user(actor), SHM_OK);
    assert_int_equal(shm_load_end(actor, LOADED, SEQ), SHM_OK);
    history.feed_rc = shm_load_feed(actor, history.changes, history.num_changes, history.from);
    history.requests_rc = shm_load_requests(actor, history.requests, history.num_requests);
    shm_actor_leave(actor);
    return SHM_OK;
}

static int history_setup(void **state)
{
    if (durable_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    memset(&history, 0, sizeof(history));
    history.from = LOADED;
    f->config.fill = fill_with_history;
    return 0;
}

/* The last `count` changes are of the versions up to LOADED, one each. */
static void make_changes(size_t count)
{
    history.num_changes = count;
    history.from = LOADED - count;
    for (size_t i = 0; i < count; i++) {
        struct shm_change *change = &history.changes[i];
        *change = (struct shm_change){.version = history.from + 1 + i,
                                      .kind = i % 3 == 0 ? SHM_DELETED : SHM_UPDATED,
                                      .seq = 1 + i};
        user_id(change->id, i);
    }
}

/* ---- changes ---- */

static void expect_changes(struct shm_follower *follower, size_t from)
{
    struct shm_change change;
    for (size_t i = from; i < history.num_changes; i++) {
        assert_int_equal(shm_feed_next(NULL, follower, &change), SHM_OK);
        assert_int_equal(change.version, history.changes[i].version);
        assert_int_equal(change.kind, history.changes[i].kind);
        assert_int_equal(change.seq, history.changes[i].seq);
        assert_memory_equal(change.id, history.changes[i].id, SHM_ID_SIZE);
    }
}

static void follower_of_before_the_load_goes_on(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    struct shm_change change;
    struct shm_disk_info disk;
    make_changes(20);
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(history.feed_rc, SHM_OK);
    assert_int_equal(shm_feed_rebuilt_until(f->store), LOADED);
    assert_int_equal(shm_feed_oldest(f->store), LOADED - 20);
    shm_disk_info(f->store, &disk);
    assert_int_equal(disk.behind, 0);
    assert_int_equal(shm_feed_follow(NULL, &follower, LOADED - 21), SHM_ERESYNC);
    for (size_t i = 0; i <= 20; i++) {
        assert_int_equal(shm_feed_follow(NULL, &follower, LOADED - 20 + i), SHM_OK);
        expect_changes(&follower, i);
        assert_int_equal(shm_feed_next(NULL, &follower, &change), SHM_ENOENT);
    }
    assert_int_equal(durable_commit(f, SHM_CREATED, 700, 1), LOADED + 1);
    durable_publish(f);
    assert_int_equal(shm_feed_next(NULL, &follower, &change), SHM_OK);
    assert_int_equal(change.version, LOADED + 1);
    assert_int_equal(change.kind, SHM_CREATED);
    assert_int_equal(change.seq, SEQ + 1);
    segment_check(f->store, 2);
    fixture_close(f);
    f->config.fill = NULL;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_feed_rebuilt_until(f->store), LOADED);
    assert_int_equal(shm_feed_follow(NULL, &follower, LOADED - 20), SHM_OK);
    expect_changes(&follower, 0);
}

static void without_changes_the_feed_begins_with_the_load(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(history.feed_rc, SHM_OK);
    assert_int_equal(shm_feed_rebuilt_until(f->store), 0);
    assert_int_equal(shm_feed_oldest(f->store), LOADED);
    assert_int_equal(shm_feed_follow(NULL, &follower, LOADED - 1), SHM_ERESYNC);
    assert_int_equal(shm_feed_follow(NULL, &follower, LOADED), SHM_OK);
    segment_check(f->store, 1);
}

static void changes_may_fill_the_ring(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    make_changes(SHM_CHANGES_MAX);
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(history.feed_rc, SHM_OK);
    assert_int_equal(shm_feed_follow(NULL, &follower, history.from), SHM_OK);
    expect_changes(&follower, 0);
    segment_check(f->store, 1);
    durable_commit(f, SHM_CREATED, 700, 1);
    assert_int_equal(shm_feed_follow(NULL, &follower, history.from), SHM_ERESYNC);
    assert_int_equal(shm_feed_oldest(f->store), history.from + 2);
    assert_int_equal(shm_feed_follow(NULL, &follower, history.from + 2), SHM_OK);
    expect_changes(&follower, 2);
    segment_check(f->store, 2);
}

static void refused_changes(struct fixture *f)
{
    struct shm_follower follower;
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(history.feed_rc, SHM_EINVAL);
    assert_int_equal(shm_feed_follow(NULL, &follower, LOADED - 1), SHM_ERESYNC);
    segment_check(f->store, 1);
}

static void wrong_changes_are_refused(void **state)
{
    struct fixture *f = *state;
    make_changes(20);
    history.changes[5].version = LOADED - 2; /* those behind it are older */
    refused_changes(f);
    make_changes(20);
    history.from++; /* the first is not after it */
    refused_changes(f);
    make_changes(20);
    history.changes[19].version++;
    refused_changes(f);
    make_changes(20);
    history.changes[3].seq = SEQ + 1;
    refused_changes(f);
    make_changes(20);
    history.changes[4].kind = SHM_CREATED;
    refused_changes(f);
    make_changes(20);
    history.num_changes = 19; /* the last commit changed nothing? */
    refused_changes(f);
    make_changes(0);
    history.from--;
    refused_changes(f);
    make_changes(SHM_CHANGES_MAX + 1);
    refused_changes(f);
}

static void table_that_has_changed_gets_no_changes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(durable_renew(f), SHM_OK);
    durable_commit(f, SHM_CREATED, 700, 1);
    make_changes(3);
    assert_int_equal(shm_load_feed(f->actor, history.changes, 3, history.from), SHM_EINVAL);
    segment_check(f->store, 2);
}

/* ---- requests ---- */

static void make_requests(size_t count)
{
    history.num_requests = count;
    for (size_t i = 0; i < count; i++) {
        struct shm_request *request = &history.requests[i];
        *request =
            (struct shm_request){.time = NOW, .fingerprint = i, .version = LOADED - count + 1 + i};
        user_id(request->id, i + 1000000);
        user_id(request->user, i);
    }
}

static void requests_of_before_the_load_are_known(void **state)
{
    struct fixture *f = *state;
    make_requests(500);
    memcpy(history.requests[400].id, history.requests[3].id, SHM_ID_SIZE); /* after an hour */
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(history.requests_rc, SHM_OK);
    for (size_t i = 0; i < 500; i++) {
        struct shm_request request = {.time = NOW + 5};
        size_t expected = i == 3 ? 400 : i;
        memcpy(request.id, history.requests[i].id, SHM_ID_SIZE);
        assert_int_equal(shm_request_find(f->actor, &request), SHM_OK);
        assert_int_equal(request.version, history.requests[expected].version);
        assert_int_equal(request.fingerprint, expected);
        assert_memory_equal(request.user, history.requests[expected].user, SHM_ID_SIZE);
    }
    struct shm_request_place place;
    struct shm_request next;
    shm_requests_follow(f->store, &place, LOADED);
    assert_int_equal(shm_requests_next(&place, UINT64_MAX, &next), SHM_ENOENT);
    segment_check(f->store, 1);
}

static void wrong_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    make_requests(10);
    history.requests[5].version = history.requests[4].version;
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(history.requests_rc, SHM_EINVAL);
    make_requests(10);
    history.requests[9].version = LOADED + 1;
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(history.requests_rc, SHM_EINVAL);
    segment_check(f->store, 1);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, history_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(follower_of_before_the_load_goes_on),
        WITH(without_changes_the_feed_begins_with_the_load),
        WITH(changes_may_fill_the_ring),
        WITH(wrong_changes_are_refused),
        WITH(table_that_has_changed_gets_no_changes),
        WITH(requests_of_before_the_load_are_known),
        WITH(wrong_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
