/* SPDX-License-Identifier: MIT */
/* Calls that wait until what they tell is on disk. The test is the journal: it sets `published`. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/user_service.pb-c.h"
#include "tests/service/fakes.h"

static struct grpc_server *server;

static int open_server(void **state)
{
    (void)state;
    server = fake_server_create();
    fake_store.durable = true;
    fake_store.disk.state = SHM_DISK_OK;
    fake_store.disk.durable = true;
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    fake_server_destroy(server);
    return 0;
}

static void send_user(struct grpc_call *call, const char *username)
{
    char password[] = "hunter2";
    Userservice__CreateUserRequest request = USERSERVICE__CREATE_USER_REQUEST__INIT;
    request.username =
        (ProtobufCBinaryData){.len = strlen(username), .data = (uint8_t *)(uintptr_t)username};
    request.password = (ProtobufCBinaryData){.len = strlen(password), .data = (uint8_t *)password};
    call->method->on_message(call, &request.base);
}

/* @param within ms until the client's deadline; 0: it has none */
static struct grpc_call *create_within(const char *username, unsigned within)
{
    struct grpc_call *call = fake_call_open(server, "CreateUser");
    call->deadline = within != 0 ? fake_now + within : UINT64_MAX;
    send_user(call, username);
    return call;
}

static struct grpc_call *create(const char *username)
{
    return create_within(username, 0);
}

static struct grpc_call *open_batch(unsigned users, const char *username)
{
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    for (unsigned i = 0; i < users && !call->paused && call->finishes == 0; i++)
        send_user(call, username);
    return call;
}

static void end(struct grpc_call *call)
{
    fake_call_end(call, call->finishes != 0 ? call->status : GRPC_CANCELLED);
}

static void publish(uint64_t version)
{
    fake_store.published = version;
    fake_settle(server);
}

static void assert_ended(const struct grpc_call *call, enum grpc_status status, const char *text)
{
    assert_int_equal(call->finishes, 1);
    assert_int_equal(call->status, status);
    assert_string_equal(call->message, text);
    assert_int_equal(call->messages, 0);
}

static void assert_created(const struct grpc_call *call, const char *username)
{
    assert_int_equal(call->finishes, 1);
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(call->messages, 1);
    assert_non_null(memmem(call->out, call->out_len, username, strlen(username)));
}

/* ---- publication ---- */

static void creation_is_answered_when_it_is_published(void **state)
{
    (void)state;
    struct grpc_call *call = create("alice");
    fake_settle(server);
    assert_int_equal(call->finishes, 0);
    assert_int_equal(fake_store.waits, 1);
    publish(1);
    assert_created(call, "alice");
    assert_int_equal(fake_store.waits, 0);
    assert_int_equal(fake_store.inserts, 1);
    end(call);
}

static void published_commit_is_answered_at_once(void **state)
{
    (void)state;
    fake_store.durable = false;
    struct grpc_call *call = create("alice");
    assert_created(call, "alice");
    assert_int_equal(timers_wait(grpc_server_timers(server), fake_now), -1);
    end(call);
}

static void each_call_waits_for_its_own_commit(void **state)
{
    (void)state;
    struct grpc_call *calls[4];
    char name[8];
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "user%u", i);
        calls[i] = create(name);
    }
    publish(2);
    assert_created(calls[0], "user0");
    assert_created(calls[1], "user1");
    assert_int_equal(calls[2]->finishes + calls[3]->finishes, 0);
    assert_int_equal(fake_store.waits, 3); /* the first of those that wait */
    publish(4);
    assert_created(calls[2], "user2");
    assert_created(calls[3], "user3");
    for (unsigned i = 0; i < 4; i++)
        end(calls[i]);
}

/* The worker says what it learned from the last publication: while calls wait, and once more when
 * they are answered, for their clients' next calls. */
static void worker_expects_what_the_last_commit_took(void **state)
{
    enum { TOOK_MS = 3 };
    (void)state;
    fake_settle(server);
    assert_int_equal(fake_expects, 0); /* no call waits */
    struct grpc_call *calls[3] = {create("alice"), create("bob")};
    fake_settle(server);
    assert_int_equal(fake_expects, 1);
    assert_true(fake_expected_ns < TOOK_MS * 1000000); /* nothing is known yet */
    usleep(TOOK_MS * 1000);
    publish(2);
    assert_int_equal(fake_expects, 2);
    uint64_t took = fake_expected_ns;
    assert_true(took >= TOOK_MS * 1000000);
    fake_settle(server);
    assert_int_equal(fake_expects, 2); /* the answers were long ago */
    calls[2] = create("carol");
    fake_settle(server);
    assert_int_equal(fake_expects, 3);
    assert_int_equal(fake_expected_ns, took);
    publish(3);
    assert_int_equal(fake_expects, 4);
    assert_true(fake_expected_ns < took); /* this one took no time */
    struct grpc_call *last = create("dave");
    fake_settle(server);
    uint64_t quick = fake_expected_ns;
    usleep(TOOK_MS * 1000);
    fake_settle(server);
    assert_true(fake_expected_ns > quick &&
                fake_expected_ns >= TOOK_MS * 1000000); /* not so quick */
    publish(4);
    end(last);
    for (unsigned i = 0; i < 3; i++)
        end(calls[i]);
}

/* A slow sync makes thousands of calls wait; others have their turns while these are answered. */
static void very_many_calls_are_answered_in_several_turns(void **state)
{
    enum { CALLS = 600, TURNS_LEAST = 3, TURNS_MOST = 40 };
    static struct grpc_call *calls[CALLS];
    unsigned turns = 0, answered = 0;
    (void)state;
    for (unsigned i = 0; i < CALLS; i++)
        calls[i] = create("alice");
    fake_settle(server);
    fake_store.published = CALLS;
    for (; answered < CALLS; turns++) {
        unsigned before = answered;
        assert_true(turns < TURNS_MOST);
        timers_run(grpc_server_timers(server), fake_now);
        fake_settle(server);
        while (answered < CALLS && calls[answered]->finishes == 1)
            answered++;
        assert_in_range(answered - before, 1, CALLS / 2);
        for (unsigned i = answered; i < CALLS; i++) /* in order */
            assert_int_equal(calls[i]->finishes, 0);
        if (answered < CALLS) /* the loop does not sleep */
            assert_int_equal(timers_wait(grpc_server_timers(server), fake_now), 0);
    }
    assert_true(turns >= TURNS_LEAST);
    assert_int_equal(fake_store.waits, 0);
    assert_int_equal(timers_wait(grpc_server_timers(server), fake_now), -1);
    for (unsigned i = 0; i < CALLS; i++)
        end(calls[i]);
}

static void commit_that_is_published_before_the_worker_sleeps_is_answered(void **state)
{
    (void)state;
    struct grpc_call *call = create("alice");
    fake_store.overtakes = true;
    fake_settle(server);
    assert_created(call, "alice");
    end(call);
}

static void worker_that_nobody_wakes_looks_itself(void **state)
{
    (void)state;
    struct grpc_call *call = create("alice");
    fake_settle(server);
    fake_store.published = 1;
    assert_in_range(timers_wait(grpc_server_timers(server), fake_now), 0,
                    5); /* it sleeps so long */
    fake_pass(server, 5);
    fake_settle(server); /* as after each turn */
    assert_created(call, "alice");
    end(call);
}

/* After a slow sync thousands of calls can go on at once. Each turn has time for other clients. */
static void many_calls_are_answered_over_several_turns(void **state)
{
    (void)state;
    enum { MANY = 200, TURN_MOST = 128 };
    struct grpc_call *calls[MANY];
    for (unsigned i = 0; i < MANY; i++)
        calls[i] = create("alice");
    fake_store.published = MANY;
    for (unsigned answered = 0, turns = 0; answered < MANY; turns++) {
        unsigned before = answered;
        assert_in_range(turns, 0, MANY);
        fake_settle(server);
        while (answered < MANY && calls[answered]->finishes != 0)
            answered++;
        assert_in_range(answered - before, 1, TURN_MOST);
        if (answered < MANY)
            assert_int_equal(timers_wait(grpc_server_timers(server), fake_now), 0);
        fake_pass(server, 1);
    }
    for (unsigned i = 0; i < MANY; i++)
        end(calls[i]);
}

/* More turns would be more writes to the client, and the disk would wait for its next calls. */
static void few_calls_are_answered_in_one_turn(void **state)
{
    (void)state;
    enum { CALLS = 128 };
    struct grpc_call *calls[CALLS];
    for (unsigned i = 0; i < CALLS; i++)
        calls[i] = create("alice");
    publish(CALLS);
    for (unsigned i = 0; i < CALLS; i++) {
        assert_created(calls[i], "alice");
        end(calls[i]);
    }
}

static void refusal_waits_for_the_commit_that_it_rests_on(void **state)
{
    (void)state;
    fake_store.unique = true;
    struct grpc_call *first = create("alice");
    struct grpc_call *bob = create("bob");
    struct grpc_call *second = create("alice");
    assert_int_equal(second->finishes, 0);
    publish(1); /* not yet bob, who came before the refusal */
    assert_created(first, "alice");
    assert_int_equal(second->status, GRPC_ALREADY_EXISTS);
    assert_string_equal(second->message, "username 'alice' is taken");
    assert_int_equal(bob->finishes, 0);
    struct grpc_call *third = create("alice"); /* rests on what is on disk */
    assert_int_equal(third->status, GRPC_ALREADY_EXISTS);
    publish(2);
    assert_created(bob, "bob");
    end(first);
    end(bob);
    end(second);
    end(third);
}

/* A bound on the work of one call: it walks along a part of the list only. */
static void refusal_behind_very_many_calls_waits_for_one_of_them(void **state)
{
    (void)state;
    struct grpc_call *calls[100];
    char name[8];
    fake_store.unique = true;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user%u", i);
        calls[i] = create(name);
    }
    struct grpc_call *call = create("user0");
    publish(20);
    assert_int_equal(call->finishes, 0);
    publish(99);
    assert_int_equal(call->status, GRPC_ALREADY_EXISTS);
    assert_int_equal(calls[99]->finishes, 0);
    publish(100);
    end(call);
    for (unsigned i = 0; i < 100; i++)
        end(calls[i]);
}

static void creation_waits_for_the_lock_and_then_for_the_disk(void **state)
{
    (void)state;
    fake_store.busy = 2;
    struct grpc_call *call = create("alice");
    fake_pass(server, 10);
    assert_int_equal(fake_store.users, 1);
    fake_settle(server);
    assert_int_equal(call->finishes, 0);
    publish(1);
    assert_created(call, "alice");
    end(call);
}

static void call_that_ended_is_not_answered(void **state)
{
    (void)state;
    struct grpc_call *calls[3] = {create("a"), create("b"), create("c")};
    fake_settle(server);
    assert_int_equal(fake_store.waits, 1);
    fake_call_end(calls[0], GRPC_CANCELLED); /* frees it */
    fake_settle(server);
    assert_int_equal(fake_store.waits, 2);
    fake_call_end(calls[1], GRPC_DEADLINE_EXCEEDED);
    publish(3);
    assert_created(calls[2], "c");
    end(calls[2]);
    struct grpc_call *call = create("d");
    fake_settle(server);
    end(call);
    assert_int_equal(fake_store.waits, 0);
}

static void worker_notes_a_commit_again_that_another_call_waits_for(void **state)
{
    (void)state;
    fake_store.unique = true;
    struct grpc_call *call = create("alice");
    fake_settle(server);
    fake_call_end(call, GRPC_CANCELLED);
    assert_int_equal(fake_store.waits, 0);
    call = create("alice"); /* refused by the same commit */
    fake_settle(server);
    assert_int_equal(fake_store.waits, 1);
    publish(1);
    assert_int_equal(call->status, GRPC_ALREADY_EXISTS);
    end(call);
}

/* ---- BatchCreateUsers ---- */

static Userservice__BatchResult *result_of(const struct grpc_call *call)
{
    assert_int_equal(call->finishes, 1);
    assert_int_equal(call->status, GRPC_OK);
    Userservice__BatchResult *result =
        userservice__batch_result__unpack(NULL, call->out_len, call->out);
    assert_non_null(result);
    return result;
}

/* The note for a commit is lost when an earlier one is to be noted and was published just now. */
static void worker_notes_a_commit_again_behind_one_that_was_published_just_now(void **state)
{
    (void)state;
    fake_store.unique = true;
    struct grpc_call *first = create("alice"), *bob = create("bob");
    fake_call_end(first, GRPC_CANCELLED);
    fake_settle(server);
    assert_int_equal(fake_store.waits, 2);
    struct grpc_call *second = create("alice"); /* refused by the first commit */
    fake_store.version = 1;                     /* all that is published meanwhile */
    fake_store.overtakes = true;
    fake_settle(server);
    fake_store.version = 2;
    assert_int_equal(second->status, GRPC_ALREADY_EXISTS);
    assert_int_equal(bob->finishes, 0);
    assert_int_equal(fake_store.waits, 2);
    publish(2);
    assert_created(bob, "bob");
    end(second);
    end(bob);
}

static void batch_waits_for_its_last_commit(void **state)
{
    (void)state;
    struct grpc_call *call = open_batch(600, "u");
    call->method->on_half_close(call);
    assert_int_equal(fake_store.version, 3);
    for (uint64_t version = 0; version < 3; version++) {
        publish(version);
        assert_int_equal(call->finishes, 0);
    }
    publish(3);
    Userservice__BatchResult *result = result_of(call);
    assert_int_equal(result->created, 600);
    userservice__batch_result__free_unpacked(result, NULL);
    end(call);
}

static void batch_goes_on_while_its_first_users_are_not_on_disk(void **state)
{
    (void)state;
    struct grpc_call *call = open_batch(1000, "u");
    assert_false(call->paused);
    assert_int_equal(fake_store.version, 3);
    fake_settle(server);
    assert_int_equal(fake_store.waits, 0); /* it has nothing to say yet */
    call->method->on_half_close(call);
    publish(4);
    userservice__batch_result__free_unpacked(result_of(call), NULL);
    end(call);
}

static void batch_waits_for_the_commits_that_refuse_its_users(void **state)
{
    (void)state;
    fake_store.unique = true;
    struct grpc_call *alice = create("alice");
    struct grpc_call *bob = create("bob");
    struct grpc_call *batch = open_batch(1, "alice");
    batch->method->on_half_close(batch);
    assert_int_equal(batch->finishes, 0);
    publish(1);
    Userservice__BatchResult *result = result_of(batch);
    assert_int_equal(result->created, 0);
    assert_int_equal(result->n_errors, 1);
    userservice__batch_result__free_unpacked(result, NULL);
    publish(2);
    end(alice);
    end(bob);
    end(batch);
}

/* The second "u" is refused because of the first before the first is committed at all. */
static void batch_whose_users_refuse_each_other_waits_for_commits_that_exist(void **state)
{
    (void)state;
    fake_store.unique = true;
    fake_store.busy_by_turns = true;
    struct grpc_call *call = open_batch(2, "u");
    call->method->on_half_close(call);
    fake_pass(server,
              1); /* both are refused, and the lock is taken when the first is tried alone */
    assert_int_equal(fake_store.submitted, 2);
    fake_store.busy_by_turns = false;
    fake_store.room = 0;
    fake_pass(server, 10);
    Userservice__BatchResult *result = result_of(call);
    assert_int_equal(result->created, 0);
    userservice__batch_result__free_unpacked(result, NULL);
    end(call);
}

static void empty_batch_waits_for_nothing(void **state)
{
    (void)state;
    end(create("alice"));
    struct grpc_call *call = open_batch(0, "u");
    call->method->on_half_close(call);
    userservice__batch_result__free_unpacked(result_of(call), NULL);
    end(call);
}

static void batch_that_gives_up_does_not_claim_what_is_not_on_disk(void **state)
{
    (void)state;
    struct grpc_call *call = open_batch(300, "u");
    fake_store.busy = UINT32_MAX;
    call->method->on_half_close(call);
    fake_pass(server, 1100);
    assert_int_equal(call->status, GRPC_UNAVAILABLE);
    assert_string_equal(call->message,
                        "the table is busy, try again; 256 users may have been created");
    end(call);
}

static void cancelled_batch_is_not_answered(void **state)
{
    (void)state;
    struct grpc_call *call = open_batch(3, "u");
    call->method->on_half_close(call);
    fake_settle(server);
    end(call);
    publish(1);
}

/* ---- a disk that does not get on ---- */

static const char full[] = "the disk of the data file is full; the change may be made later",
                  unknown[] = "the data file has failed; whether the change was made is unknown",
                  slow[] = "the disk of the data file is too slow; the change may be made later";

static void set_disk(enum shm_disk_state disk_state)
{
    fake_store.disk.state = disk_state;
    fake_store.disk.since_ms = fake_store.disk.failed_ms = fake_now;
}

static void full_disk_is_told_after_five_seconds(void **state)
{
    (void)state;
    set_disk(SHM_DISK_FULL);
    struct grpc_call *call = create("alice");
    fake_pass(server, 4999);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 6);
    assert_ended(call, GRPC_RESOURCE_EXHAUSTED, full);
    end(call);
    fake_pass(server, 1000);
    call = create("bob"); /* the worker knows already that the disk is full */
    fake_pass(server, 4999);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 1);
    assert_ended(call, GRPC_RESOURCE_EXHAUSTED, full);
    end(call);
}

static void full_disk_is_told_before_the_deadline(void **state)
{
    (void)state;
    set_disk(SHM_DISK_FULL);
    struct grpc_call *soon = create_within("alice", 200), *late = create_within("bob", 20000);
    fake_pass(server, 187);
    assert_int_equal(soon->finishes, 0);
    fake_pass(server, 1);
    assert_ended(soon, GRPC_RESOURCE_EXHAUSTED, full);
    fake_pass(server, 20000 - 188 - 101);
    assert_int_equal(late->finishes, 0);
    fake_pass(server, 1);
    assert_ended(late, GRPC_RESOURCE_EXHAUSTED, full);
    end(soon);
    end(late);
}

static void disk_that_has_room_again_answers_all(void **state)
{
    (void)state;
    set_disk(SHM_DISK_FULL);
    struct grpc_call *call = create("alice");
    fake_pass(server, 3000);
    set_disk(SHM_DISK_OK);
    fake_pass(server, 3000);
    assert_int_equal(call->finishes, 0);
    publish(1);
    assert_created(call, "alice");
    end(call);
}

static void disk_that_has_just_become_full_is_waited_for(void **state)
{
    (void)state;
    struct grpc_call *call = create("alice");
    fake_pass(server, 20000);
    set_disk(SHM_DISK_FULL);
    fake_pass(server, 4900);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 200);
    assert_ended(call, GRPC_RESOURCE_EXHAUSTED, full);
    end(call);
}

static void slow_disk_is_waited_for_for_a_minute(void **state)
{
    (void)state;
    struct grpc_call *call = create("alice");
    struct grpc_call *limited = create_within("bob", 100000);
    fake_pass(server, 59999);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 1);
    assert_ended(call, GRPC_UNAVAILABLE, slow);
    fake_pass(server, 39899);
    assert_int_equal(limited->finishes, 0);
    fake_pass(server, 1); /* before the deadline: the client need not reset the call */
    assert_ended(limited, GRPC_DEADLINE_EXCEEDED, slow);
    end(call);
    end(limited);
}

static void failed_file_ends_at_once_what_waited(void **state)
{
    (void)state;
    struct grpc_call *calls[2] = {create("alice"), create_within("bob", 10000)};
    struct grpc_call *batch = open_batch(3, "u");
    batch->method->on_half_close(batch);
    fake_pass(server, 20);
    set_disk(SHM_DISK_REWRITING);
    fake_pass(server, 5);
    assert_ended(calls[0], GRPC_UNAVAILABLE, unknown);
    assert_ended(calls[1], GRPC_UNAVAILABLE, unknown);
    assert_ended(batch, GRPC_UNAVAILABLE, unknown);
    end(calls[0]);
    end(calls[1]);
    end(batch);
}

/* The journal has met a full disk already when the worker looks. */
static void new_file_that_finds_no_room_does_not_hide_the_failure(void **state)
{
    (void)state;
    struct grpc_call *before = create("alice");
    fake_pass(server, 20);
    set_disk(SHM_DISK_FULL);
    fake_store.disk.error = EIO;
    fake_pass(server, 5);
    assert_ended(before, GRPC_UNAVAILABLE, unknown);
    struct grpc_call *after = create("bob");
    fake_pass(server, 4999);
    assert_int_equal(after->finishes, 0);
    fake_pass(server, 6);
    assert_ended(after, GRPC_RESOURCE_EXHAUSTED, full);
    end(before);
    end(after);
}

static void patience_begins_when_the_new_file_finds_no_room(void **state)
{
    (void)state;
    set_disk(SHM_DISK_REWRITING);
    fake_store.disk.error = EIO;
    fake_pass(server, 1000);
    struct grpc_call *call = create("alice");
    fake_pass(server, 9000);
    fake_store.disk.state = SHM_DISK_FULL;
    fake_store.disk.since_ms = fake_now;
    fake_pass(server, 4990);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 20);
    assert_ended(call, GRPC_RESOURCE_EXHAUSTED, full);
    end(call);
}

/* It is not in the file that failed, so its outcome is known when the new file is there. */
static void write_after_the_failure_waits_for_the_new_file(void **state)
{
    (void)state;
    set_disk(SHM_DISK_REWRITING);
    fake_pass(server, 1);
    struct grpc_call *calls[2] = {create("alice"), create("bob")};
    fake_pass(server, 10000);
    assert_int_equal(calls[0]->finishes, 0);
    publish(1);
    assert_created(calls[0], "alice");
    set_disk(SHM_DISK_FAILED);
    fake_pass(server, 5);
    assert_ended(calls[1], GRPC_UNAVAILABLE, unknown);
    end(calls[0]);
    end(calls[1]);
}

static void new_file_that_fails_too_ends_what_waited_for_it(void **state)
{
    (void)state;
    set_disk(SHM_DISK_REWRITING);
    fake_pass(server, 1);
    struct grpc_call *call = create("alice");
    fake_pass(server, 10);
    set_disk(SHM_DISK_REWRITING); /* and the file was fine for less than a look */
    fake_pass(server, 5);
    assert_ended(call, GRPC_UNAVAILABLE, unknown);
    end(call);
}

static void failed_disk_refuses_writes(void **state)
{
    (void)state;
    set_disk(SHM_DISK_FAILED);
    struct grpc_call *call = create("alice");
    assert_ended(call, GRPC_UNAVAILABLE,
                 "the data file has failed: the table is read-only, nothing was written");
    struct grpc_call *batch = open_batch(1000, "u");
    assert_ended(batch, GRPC_UNAVAILABLE,
                 "the data file has failed: the table is read-only, nothing was written; "
                 "0 users were created");
    assert_in_range(fake_store.inserts, 2, 6);
    end(call);
    end(batch);
}

/* @param calls receives calls of which many are published and have not been answered yet */
static void publish_many(struct grpc_call **calls, unsigned count, unsigned within)
{
    for (unsigned i = 0; i < count; i++)
        calls[i] = create_within("alice", within);
    fake_settle(server);
    if (within != 0)
        fake_pass(server, within - within / 16 - 1);
    publish(count);
    assert_int_equal(calls[0]->finishes, 1);
    assert_int_equal(calls[count - 1]->finishes, 0);
}

static void assert_all_created(struct grpc_call **calls, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_created(calls[i], "alice");
        end(calls[i]);
    }
}

/* What is on disk is not called lost, also if its answer has to wait for those of others. */
static void failure_behind_a_publication_does_not_end_what_is_published(void **state)
{
    enum { CALLS = 600 };
    static struct grpc_call *calls[CALLS];
    (void)state;
    publish_many(calls, CALLS, 0);
    struct grpc_call *call = create("bob"); /* this one is not */
    set_disk(SHM_DISK_REWRITING);
    fake_pass(server, 5);
    assert_all_created(calls, CALLS);
    assert_ended(call, GRPC_UNAVAILABLE, unknown);
    end(call);
}

static void patience_that_ends_behind_a_publication_does_not_end_what_is_published(void **state)
{
    enum { CALLS = 600 };
    static struct grpc_call *calls[CALLS];
    (void)state;
    publish_many(calls, CALLS, 200);
    fake_pass(server, 5);
    assert_all_created(calls, CALLS);
}

/* ---- the journal is behind ---- */

static void journal_that_is_behind_is_waited_for_longer_than_the_lock(void **state)
{
    (void)state;
    fake_store.disk.behind = 8192;
    struct grpc_call *call = create("alice"), *limited = create_within("bob", 100000);
    struct grpc_call *batch = open_batch(300, "u");
    fake_pass(server, 50000);
    assert_int_equal(call->finishes + batch->finishes, 0);
    assert_int_equal(fake_store.users, 0);
    fake_store.disk.behind = 0;
    fake_pass(server, 40);
    assert_int_equal(fake_store.users, 2 + 256);
    batch->method->on_half_close(batch);
    publish(fake_store.version);
    assert_created(call, "alice");
    assert_created(limited, "bob");
    userservice__batch_result__free_unpacked(result_of(batch), NULL);
    end(call);
    end(limited);
    end(batch);
}

static void patience_for_the_journal_ends(void **state)
{
    (void)state;
    fake_store.disk.behind = 8192;
    struct grpc_call *call = create("alice");
    fake_pass(server, 59900);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 200);
    assert_ended(call, GRPC_UNAVAILABLE, "the disk of the data file is too slow, try again");
    end(call);
    set_disk(SHM_DISK_FULL);
    call = create("alice");
    struct grpc_call *batch = open_batch(300, "u");
    fake_pass(server, 4900);
    assert_int_equal(call->finishes + batch->finishes, 0);
    fake_pass(server, 200);
    assert_ended(call, GRPC_RESOURCE_EXHAUSTED, "the disk of the data file is full");
    assert_ended(batch, GRPC_RESOURCE_EXHAUSTED,
                 "the disk of the data file is full; 0 users were created");
    assert_int_equal(fake_store.users, 0);
    end(call);
    end(batch);
}

static void lock_is_waited_for_for_a_second_after_the_journal(void **state)
{
    (void)state;
    fake_store.disk.behind = 8192;
    struct grpc_call *call = create("alice");
    fake_pass(server, 10000);
    fake_store.disk.behind = 0;
    fake_store.busy = UINT32_MAX;
    fake_pass(server, 900);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 200);
    assert_ended(call, GRPC_UNAVAILABLE, "the table is busy, try again");
    end(call);
}

#define WAIT_TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(creation_is_answered_when_it_is_published),
        WAIT_TEST(published_commit_is_answered_at_once),
        WAIT_TEST(each_call_waits_for_its_own_commit),
        WAIT_TEST(worker_expects_what_the_last_commit_took),
        WAIT_TEST(very_many_calls_are_answered_in_several_turns),
        WAIT_TEST(commit_that_is_published_before_the_worker_sleeps_is_answered),
        WAIT_TEST(worker_that_nobody_wakes_looks_itself),
        WAIT_TEST(many_calls_are_answered_over_several_turns),
        WAIT_TEST(few_calls_are_answered_in_one_turn),
        WAIT_TEST(refusal_waits_for_the_commit_that_it_rests_on),
        WAIT_TEST(refusal_behind_very_many_calls_waits_for_one_of_them),
        WAIT_TEST(creation_waits_for_the_lock_and_then_for_the_disk),
        WAIT_TEST(call_that_ended_is_not_answered),
        WAIT_TEST(worker_notes_a_commit_again_that_another_call_waits_for),
        WAIT_TEST(worker_notes_a_commit_again_behind_one_that_was_published_just_now),
        WAIT_TEST(batch_waits_for_its_last_commit),
        WAIT_TEST(batch_goes_on_while_its_first_users_are_not_on_disk),
        WAIT_TEST(batch_waits_for_the_commits_that_refuse_its_users),
        WAIT_TEST(batch_whose_users_refuse_each_other_waits_for_commits_that_exist),
        WAIT_TEST(empty_batch_waits_for_nothing),
        WAIT_TEST(batch_that_gives_up_does_not_claim_what_is_not_on_disk),
        WAIT_TEST(cancelled_batch_is_not_answered),
        WAIT_TEST(full_disk_is_told_after_five_seconds),
        WAIT_TEST(full_disk_is_told_before_the_deadline),
        WAIT_TEST(disk_that_has_room_again_answers_all),
        WAIT_TEST(disk_that_has_just_become_full_is_waited_for),
        WAIT_TEST(slow_disk_is_waited_for_for_a_minute),
        WAIT_TEST(failed_file_ends_at_once_what_waited),
        WAIT_TEST(new_file_that_finds_no_room_does_not_hide_the_failure),
        WAIT_TEST(patience_begins_when_the_new_file_finds_no_room),
        WAIT_TEST(write_after_the_failure_waits_for_the_new_file),
        WAIT_TEST(new_file_that_fails_too_ends_what_waited_for_it),
        WAIT_TEST(failed_disk_refuses_writes),
        WAIT_TEST(failure_behind_a_publication_does_not_end_what_is_published),
        WAIT_TEST(patience_that_ends_behind_a_publication_does_not_end_what_is_published),
        WAIT_TEST(journal_that_is_behind_is_waited_for_longer_than_the_lock),
        WAIT_TEST(patience_for_the_journal_ends),
        WAIT_TEST(lock_is_waited_for_for_a_second_after_the_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
