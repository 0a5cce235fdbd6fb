/* SPDX-License-Identifier: MIT */
/* Requests that are done once. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/table/requests.h"
#include "tests/shm/durable/durable_fixture.h"

void (*shm_test_hook)(const char *point);

enum { NOW = 1000000, BODY = 16 };

/* ---- helpers ---- */

static struct shm_request make_request(uint64_t n, uint64_t time)
{
    struct shm_request request = {.time = time, .fingerprint = n * 3};
    user_id(request.id, n ^ UINT64_C(0xabcdef0123456789));
    return request;
}

/* Writes user n with this stamp, as part of the request. */
static int request_write(struct shm_actor *actor, enum shm_change_kind kind, uint64_t n,
                         uint64_t key, struct shm_request *request, struct shm_conflict *conflict)
{
    uint64_t words[2] = {key, 1};
    struct shm_new_user user = {
        .body = (const uint8_t *)words, .body_len = BODY, .request = request};
    user_id(user.id, n);
    int rc = kind == SHM_CREATED ? shm_users_insert(actor, &user, 1, conflict)
                                 : shm_users_update(actor, &user, 1, conflict);
    shm_actor_offline(actor);
    return rc;
}

static int create(struct fixture *f, uint64_t n, uint64_t request, uint64_t time)
{
    struct shm_request given = make_request(request, time);
    return request_write(f->actor, SHM_CREATED, n, n, &given, NULL);
}

static int find(struct fixture *f, uint64_t n, uint64_t time, struct shm_request *found)
{
    *found = make_request(n, time);
    return shm_request_find(f->actor, found);
}

static void check_found(struct fixture *f, uint64_t n, uint64_t user, uint64_t version)
{
    struct shm_request found;
    uint8_t id[SHM_ID_SIZE];
    user_id(id, user);
    assert_int_equal(find(f, n, NOW, &found), SHM_OK);
    assert_memory_equal(found.user, id, sizeof(id));
    assert_int_equal(found.version, version);
    assert_int_equal(found.fingerprint, n * 3);
}

static uint64_t users_of(struct fixture *f)
{
    struct shm_info info;
    shm_store_info(f->store, &info);
    return info.users_newest;
}

static int memory_setup(void **state)
{
    if (durable_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    f->config.data_file = NULL;
    f->config.durable = false;
    return durable_renew(f) == SHM_OK ? 0 : -1;
}

/* ---- once ---- */

static void repeated_request_does_nothing_and_gets_the_first_ones_record(void **state)
{
    struct fixture *f = *state;
    struct shm_conflict conflict;
    struct shm_request request = make_request(1, NOW), again = make_request(1, NOW + 5);
    assert_int_equal(request_write(f->actor, SHM_CREATED, 10, 10, &request, &conflict), SHM_OK);
    assert_int_equal(conflict.version, 1);
    again.fingerprint = 77;
    assert_int_equal(request_write(f->actor, SHM_CREATED, 11, 11, &again, &conflict), SHM_EREPEAT);
    assert_int_equal(conflict.version, 1);
    assert_int_equal(again.version, 1);
    assert_int_equal(again.time, NOW);
    assert_int_equal(again.fingerprint, 3);
    assert_memory_equal(again.id, request.id, SHM_ID_SIZE);
    check_found(f, 1, 10, 1);
    assert_int_equal(shm_newest(f->store), 1);
    assert_int_equal(users_of(f), 1);
    segment_check(f->store, 1);
}

static void updates_and_renames_are_done_once_too(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, 10, 1, NOW), SHM_OK);
    for (uint64_t n = 2; n <= 3; n++) { /* the second changes the key */
        struct shm_request request = make_request(n, NOW);
        uint64_t key = n == 2 ? 10 : 99;
        assert_int_equal(request_write(f->actor, SHM_UPDATED, 10, key, &request, NULL), SHM_OK);
        assert_int_equal(request_write(f->actor, SHM_UPDATED, 10, key, &request, NULL),
                         SHM_EREPEAT);
        check_found(f, n, 10, n);
    }
    assert_int_equal(shm_newest(f->store), 3);
    segment_check(f->store, 1);
}

static void write_without_a_request_is_not_remembered(void **state)
{
    struct fixture *f = *state;
    struct shm_info before, after;
    struct shm_request found;
    shm_store_info(f->store, &before);
    durable_commit(f, SHM_CREATED, 10, 1);
    shm_store_info(f->store, &after);
    assert_true(after.bytes_used - before.bytes_used < 4096);
    assert_int_equal(after.requests, 0);
    assert_null(shm_control()->requests.entries);
    assert_int_equal(find(f, 1, NOW, &found), SHM_ENOENT);
    assert_int_equal(create(f, 11, 1, NOW), SHM_OK);
    shm_store_info(f->store, &after);
    assert_int_equal(after.requests, 1);
    assert_true(after.bytes_used - before.bytes_used > SHM_REQUESTS_BYTES);
}

static void request_counts_for_an_hour(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, 10, 1, NOW), SHM_OK);
    assert_int_equal(create(f, 11, 1, NOW + 3599), SHM_EREPEAT);
    assert_int_equal(create(f, 11, 1, NOW - 10000), SHM_EREPEAT); /* the clock was set back */
    assert_int_equal(create(f, 11, 1, NOW + 3600), SHM_OK);
    assert_int_equal(create(f, 12, 1, NOW + 3601), SHM_EREPEAT);
    check_found(f, 1, 11, 2);
    segment_check(f->store, 2);
}

static void refused_write_leaves_no_request(void **state)
{
    struct fixture *f = *state;
    struct shm_request request = make_request(7, NOW), found;
    durable_commit(f, SHM_CREATED, 10, 1);
    durable_commit(f, SHM_CREATED, 20, 1);
    assert_int_equal(request_write(f->actor, SHM_CREATED, 10, 30, &request, NULL), SHM_EEXIST);
    assert_int_equal(request_write(f->actor, SHM_CREATED, 30, 20, &request, NULL), SHM_EKEY);
    assert_int_equal(request_write(f->actor, SHM_UPDATED, 10, 20, &request, NULL), SHM_EKEY);
    assert_int_equal(request_write(f->actor, SHM_UPDATED, 30, 30, &request, NULL), SHM_ENOENT);
    assert_int_equal(find(f, 7, NOW, &found), SHM_ENOENT);
    assert_int_equal(request_write(f->actor, SHM_CREATED, 30, 30, &request, NULL), SHM_OK);
    check_found(f, 7, 30, 3);
    segment_check(f->store, 3);
}

static void batch_with_a_request_is_refused(void **state)
{
    struct fixture *f = *state;
    struct shm_request request = make_request(1, NOW);
    uint64_t words[2][2] = {{1, 1}, {2, 1}};
    struct shm_new_user users[2] = {{.body = (uint8_t *)words[0], .body_len = BODY},
                                    {.body = (uint8_t *)words[1], .body_len = BODY}};
    struct shm_conflict conflict;
    user_id(users[0].id, 1);
    user_id(users[1].id, 2);
    users[1].request = &request;
    assert_int_equal(shm_users_insert(f->actor, users, 2, &conflict), SHM_EINVAL);
    assert_int_equal(conflict.which, 1);
    assert_int_equal(users_of(f), 0);
}

static void request_is_found_before_it_is_published(void **state)
{
    struct fixture *f = *state;
    struct shm_request again = make_request(1, NOW);
    struct shm_conflict conflict;
    assert_int_equal(create(f, 10, 1, NOW), SHM_OK);
    assert_int_equal(shm_published(f->store), 0);
    assert_int_equal(request_write(f->actor, SHM_CREATED, 11, 11, &again, &conflict), SHM_EREPEAT);
    assert_int_equal(conflict.version, 1); /* for which the answer waits */
    check_found(f, 1, 10, 1);
}

/* A repeat writes nothing, so it is answered where a write would be refused. */
static void repeat_is_answered_where_nothing_can_be_written(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, 10, 1, NOW), SHM_OK);
    shm_disk_set_state(f->store, SHM_DISK_FAILED, 5);
    assert_int_equal(create(f, 10, 1, NOW), SHM_EREPEAT);
    assert_int_equal(create(f, 11, 2, NOW), SHM_EREADONLY);
}

/* ---- the ring ---- */

static void oldest_requests_are_forgotten_when_the_ring_is_full(void **state)
{
    struct fixture *f = *state;
    enum { ALL = SHM_REQUESTS_SIZE + 3000, USERS = 100 };
    struct shm_request found;
    struct shm_info info;
    for (uint64_t n = 0; n < ALL; n++) {
        struct shm_request request = make_request(n, NOW);
        enum shm_change_kind kind = n < USERS ? SHM_CREATED : SHM_UPDATED;
        assert_int_equal(request_write(f->actor, kind, n % USERS, n % USERS, &request, NULL),
                         SHM_OK);
    }
    for (uint64_t n = 0; n < ALL; n++)
        if (n < ALL - SHM_REQUESTS_MAX)
            assert_int_equal(find(f, n, NOW, &found), SHM_ENOENT);
        else
            check_found(f, n, n % USERS, n + 1);
    shm_store_info(f->store, &info);
    assert_int_equal(info.requests, SHM_REQUESTS_MAX);
    segment_check(f->store, USERS);
}

static void next_owner_knows_the_requests(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 0; n < 100; n++)
        assert_int_equal(create(f, n, n, NOW), SHM_OK);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    for (uint64_t n = 0; n < 100; n++)
        assert_int_equal(create(f, n + 200, n, NOW), SHM_EREPEAT);
    check_found(f, 99, 99, 100);
    segment_check(f->store, 100);
}

static void journal_reads_requests_of_later_commits_in_order(void **state)
{
    struct fixture *f = *state;
    struct shm_request_place place;
    struct shm_request request;
    shm_requests_follow(f->store, &place, 0);
    assert_int_equal(shm_requests_next(&place, 10, &request), SHM_ENOENT);
    for (uint64_t n = 1; n <= 5; n++) {
        durable_commit(f, SHM_CREATED, 100 + n, 1);
        assert_int_equal(create(f, n, n, NOW), SHM_OK); /* commit 2 n */
    }
    for (uint64_t version = 0; version <= 10; version++) {
        shm_requests_follow(f->store, &place, version);
        for (uint64_t n = version / 2 + 1; n <= 4; n++) {
            assert_int_equal(shm_requests_next(&place, 9, &request), SHM_OK);
            assert_int_equal(request.version, 2 * n);
            assert_int_equal(request.fingerprint, 3 * n);
        }
        assert_int_equal(shm_requests_next(&place, 9, &request), SHM_ENOENT);
    }
}

static void journal_notices_that_a_request_was_overwritten(void **state)
{
    struct fixture *f = *state;
    struct shm_request_place place;
    struct shm_request request;
    shm_requests_follow(f->store, &place, 0);
    assert_int_equal(create(f, 1, 0, NOW), SHM_OK);
    for (uint64_t n = 1; n < SHM_REQUESTS_MAX; n++) {
        request = make_request(n, NOW);
        assert_int_equal(request_write(f->actor, SHM_UPDATED, 1, 1, &request, NULL), SHM_OK);
    }
    assert_int_equal(shm_requests_next(&place, UINT64_MAX, &request), SHM_OK);
    place.next = 0;
    request = make_request(SHM_REQUESTS_MAX, NOW);
    assert_int_equal(request_write(f->actor, SHM_UPDATED, 1, 1, &request, NULL), SHM_OK);
    assert_int_equal(shm_requests_next(&place, UINT64_MAX, &request), SHM_ERESYNC);
    shm_requests_follow(f->store, &place, 0);
    assert_int_equal(place.next, 1);
}

/* ---- memory ---- */

static void segment_without_room_for_requests_refuses_only_them(void **state)
{
    struct fixture *f = *state;
    f->config.size = 14 << 20;
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(create(f, 1, 1, NOW), SHM_ELIMIT);
    durable_commit(f, SHM_CREATED, 1, 1);
    segment_check(f->store, 1);
    f->config.size = 32 << 20;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(create(f, 2, 1, NOW), SHM_OK);
    segment_check(f->store, 2);
}

/* ---- processes ---- */

enum { RACES = 400, RACERS = 4 };

static void race(struct fixture *f, int argument)
{
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, (unsigned)argument, NULL) != SHM_OK)
        _exit(1);
    for (uint64_t n = 0; n < RACES; n++) {
        int rc;
        do {
            struct shm_request request = make_request(n, NOW);
            uint64_t user = n * RACERS + (uint64_t)argument;
            rc = request_write(actor, SHM_CREATED, user, user, &request, NULL);
        } while (rc == SHM_EBUSY);
        if (rc != SHM_OK && rc != SHM_EREPEAT)
            _exit(2);
    }
    _exit(0);
}

static void of_processes_with_the_same_requests_one_does_each(void **state)
{
    struct fixture *f = *state;
    pid_t pids[RACERS];
    f->config.max_users = RACES * RACERS;
    assert_int_equal(durable_renew(f), SHM_OK);
    for (int i = 0; i < RACERS; i++)
        pids[i] = start_child(race, f, i);
    for (int i = 0; i < RACERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(users_of(f), RACES);
    assert_int_equal(shm_newest(f->store), RACES);
    segment_check(f->store, RACES);
}

static const char *the_point;
static int arrivals; /* dies at this arrival */

static void die_at(const char *point)
{
    if (strcmp(point, the_point) == 0 && --arrivals == 0)
        raise(SIGKILL);
}

static void create_and_die(struct fixture *f, int argument)
{
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(1);
    struct shm_request request = make_request((uint64_t)argument, NOW);
    uint64_t user = (uint64_t)argument;
    shm_test_hook = die_at;
    (void)request_write(actor, SHM_CREATED, user, user, &request, NULL);
    _exit(2);
}

/* With the first request there are transactions before its own: for memory. */
static void killed_writer_leaves_the_user_with_the_request_or_neither(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *point;
        int arrival;
        bool first, done;
    } deaths[] = {
        {"before seal", 1, true, false}, {"sealed", 1, true, false},
        {"before seal", 2, true, false}, {"sealed", 2, true, false},
        {"locked", 1, false, false},     {"before seal", 1, false, false},
        {"sealed", 1, false, true},      {"half published", 1, false, true},
        {"published", 1, false, true},   {"half replayed", 1, false, true},
        {"replayed", 1, false, true},    {"applied", 1, false, true},
    };
    for (size_t i = 0; i < sizeof(deaths) / sizeof(*deaths); i++) {
        struct shm_request found;
        uint64_t users = 1 + deaths[i].done;
        assert_int_equal(durable_renew(f), SHM_OK);
        if (!deaths[i].first)
            assert_int_equal(create(f, 500, 500, NOW), SHM_OK);
        the_point = deaths[i].point;
        arrivals = deaths[i].arrival;
        assert_true(WIFSIGNALED(in_child(create_and_die, f, 1)));
        if (deaths[i].first)
            assert_int_equal(create(f, 500, 500, NOW), SHM_OK);
        assert_int_equal(find(f, 1, NOW, &found), deaths[i].done ? SHM_OK : SHM_ENOENT);
        assert_int_equal(users_of(f), users);
        segment_check(f->store, users);
    }
}

/* ---- damage ---- */

static bool is_damaged(struct fixture *f)
{
    struct shm_verify_report report;
    int rc = shm_store_verify(f->store, &report, NULL, NULL);
    assert_true(rc == SHM_OK || rc == SHM_ECORRUPT);
    return rc == SHM_ECORRUPT;
}

static void every_flipped_bit_of_a_request_is_found(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 0; n < 3; n++)
        assert_int_equal(create(f, n, n, NOW), SHM_OK);
    struct shm_requests *requests = &shm_control()->requests;
    uint8_t *entry = (uint8_t *)&requests->entries[1];
    for (size_t bit = 0; bit < 8 * sizeof(struct shm_request_entry); bit += 5) {
        entry[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(is_damaged(f));
        entry[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    uint64_t *heads = shm_requests_heads(requests->entries);
    for (size_t i = 0; i < SHM_REQUESTS_SIZE; i += heads[i] != 0 ? 1 : 3001) {
        heads[i] ^= 4;
        assert_true(is_damaged(f));
        heads[i] ^= 4;
    }
    requests->count++;
    assert_true(is_damaged(f));
    requests->count -= 2;
    assert_true(is_damaged(f));
    requests->count++;
    assert_false(is_damaged(f));
}

int main(void)
{
#define DURABLE(test) cmocka_unit_test_setup_teardown(test, durable_setup, fixture_teardown)
#define MEMORY(test)  cmocka_unit_test_setup_teardown(test, memory_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        MEMORY(repeated_request_does_nothing_and_gets_the_first_ones_record),
        MEMORY(updates_and_renames_are_done_once_too),
        MEMORY(write_without_a_request_is_not_remembered),
        MEMORY(request_counts_for_an_hour),
        MEMORY(refused_write_leaves_no_request),
        MEMORY(batch_with_a_request_is_refused),
        DURABLE(request_is_found_before_it_is_published),
        DURABLE(repeat_is_answered_where_nothing_can_be_written),
        MEMORY(oldest_requests_are_forgotten_when_the_ring_is_full),
        MEMORY(next_owner_knows_the_requests),
        DURABLE(journal_reads_requests_of_later_commits_in_order),
        MEMORY(journal_notices_that_a_request_was_overwritten),
        MEMORY(segment_without_room_for_requests_refuses_only_them),
        MEMORY(of_processes_with_the_same_requests_one_does_each),
        MEMORY(killed_writer_leaves_the_user_with_the_request_or_neither),
        MEMORY(every_flipped_bit_of_a_request_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
