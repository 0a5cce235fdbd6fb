/* SPDX-License-Identifier: MIT */
/* ImportUsers: what is gathered, in which order it is inserted and answered, and what bounds it.
 * The test is the pool; the store is a fake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "password/pool_client.h"
#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "service/directory/directory_import.h"
#include "tests/service/fakes.h"
#include "user/user_record.h"

#define HASH "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

static struct grpc_server *server;

/* ---- the pool ---- */

static struct {
    struct pool_ticket *tickets[64]; /* in the order in which they came; NULL: answered or gone */
    char passwords[64][PASSWORD_MAX + 1];
    const char *given; /* where the last password lay */
    unsigned count, full, cancelled;
} pool;

enum pool_submitted __wrap_pool_client_submit(struct pool_client *client,
                                              struct pool_ticket *ticket,
                                              const struct pool_task *task);
enum pool_submitted __wrap_pool_client_submit(struct pool_client *client,
                                              struct pool_ticket *ticket,
                                              const struct pool_task *task)
{
    assert_non_null(client);
    assert_int_equal(task->operation, POOL_HASH);
    pool.given = task->password;
    if (pool.full != 0) {
        pool.full--;
        return POOL_FULL;
    }
    snprintf(pool.passwords[pool.count], sizeof(pool.passwords[0]), "%.*s", (int)task->password_len,
             task->password);
    pool.tickets[pool.count++] = ticket;
    return POOL_SUBMITTED;
}

void __wrap_pool_ticket_cancel(struct pool_ticket *ticket);
void __wrap_pool_ticket_cancel(struct pool_ticket *ticket)
{
    for (unsigned i = 0; i < pool.count; i++)
        if (pool.tickets[i] == ticket) {
            pool.tickets[i] = NULL;
            pool.cancelled++;
        }
}

static void hashed(unsigned which, enum pool_outcome outcome, const char *hash)
{
    struct pool_ticket *ticket = pool.tickets[which];
    assert_non_null(ticket);
    pool.tickets[which] = NULL;
    ticket->done(ticket, outcome, hash);
}

/* ---- the store ---- */

static struct {
    const uint8_t *secret; /* where the hash of the last user lay that had one */
    size_t len;
    char order[4096]; /* the first letters of the user names, as they were inserted */
} seen;

int __real_shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict);
int __wrap_shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict);
int __wrap_shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict)
{
    int result = __real_shm_users_insert(actor, users, count, conflict);
    for (size_t i = 0; result == SHM_OK && i < count; i++) {
        struct user_record record;
        struct user_record_room room;
        assert_true(user_record_decode(&record, &room, users[i].body, users[i].body_len,
                                       users[i].hidden, users[i].hidden_len));
        strncat(seen.order, (const char *)record.fields.username.data, 1);
        if (record.secret.len != 0) {
            seen.secret = record.secret.data;
            seen.len = record.secret.len;
            assert_memory_equal(seen.secret, HASH, seen.len);
        }
    }
    return result;
}

/* ---- calls ---- */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

static const char *email = ""; /* of the users */

static void send_user(struct grpc_call *call, const char *username, const char *password,
                      const char *hash)
{
    Rosterd__Directory__V1__ImportUsersRequest request;
    Rosterd__Directory__V1__CreateUserRequest create;
    Rosterd__Directory__V1__User user;
    rosterd__directory__v1__import_users_request__init(&request);
    rosterd__directory__v1__create_user_request__init(&create);
    rosterd__directory__v1__user__init(&user);
    request.create = &create;
    create.user = &user;
    user.username = bytes_of(username);
    user.email = bytes_of(email);
    if (password != NULL) {
        create.credential_case = ROSTERD__DIRECTORY__V1__CREATE_USER_REQUEST__CREDENTIAL_PASSWORD;
        create.password = bytes_of(password);
    } else if (hash != NULL) {
        create.credential_case =
            ROSTERD__DIRECTORY__V1__CREATE_USER_REQUEST__CREDENTIAL_PASSWORD_HASH;
        create.password_hash = bytes_of(hash);
    }
    assert_false(call->paused);
    call->method->on_message(call, &request.base);
}

static void send_plain(struct grpc_call *call, const char *username)
{
    send_user(call, username, NULL, NULL);
}

static void send_many(struct grpc_call *call, unsigned count)
{
    char name[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        send_plain(call, name);
    }
}

static void half_close(struct grpc_call *call)
{
    call->method->on_half_close(call);
}

/* Looks at the last answer. @return its error's code */
static int last_answer(const struct grpc_call *call, int64_t index)
{
    Rosterd__Directory__V1__ImportUsersResponse *answer =
        rosterd__directory__v1__import_users_response__unpack(NULL, call->out_len, call->out);
    assert_non_null(answer);
    assert_int_equal(answer->index, index);
    int code = answer->error != NULL ? answer->error->code : 0;
    assert_int_equal(answer->user != NULL, code == 0);
    rosterd__directory__v1__import_users_response__free_unpacked(answer, NULL);
    return code;
}

static void end(struct grpc_call *call, enum grpc_status status)
{
    assert_int_equal(call->finishes, 1);
    assert_int_equal(call->status, status);
    if (status == GRPC_OK)
        assert_int_equal(call->held, 0);
    fake_call_end(call, status);
}

static struct grpc_call *import_open(void)
{
    return fake_call_open(server, "ImportUsers");
}

static int import_setup(void **state)
{
    (void)state;
    memset(&pool, 0, sizeof(pool));
    memset(&seen, 0, sizeof(seen));
    fake_config = (struct service_config){.passwords = (struct pool_client *)&pool};
    server = fake_server_create();
    return 0;
}

static int import_teardown(void **state)
{
    (void)state;
    fake_server_destroy(server);
    return 0;
}

/* ---- gathering ---- */

static void requests_of_a_turn_are_one_commit(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    send_plain(call, "a");
    send_plain(call, "");
    send_plain(call, "c");
    assert_int_equal(call->messages, 0);
    fake_pass(server, 1);
    assert_int_equal(fake_store.inserts, 1);
    assert_int_equal(call->messages, 3);
    assert_int_equal(last_answer(call, 2), 0);
    send_plain(call, "d");
    fake_pass(server, 1);
    assert_int_equal(last_answer(call, 3), 0);
    assert_int_equal(call->held, 0);
    half_close(call);
    end(call, GRPC_OK);
}

static void full_batch_does_not_wait_for_the_turns_end(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    send_many(call, SHM_BATCH_MAX);
    assert_int_equal(fake_store.inserts, 1);
    assert_int_equal(fake_store.largest, SHM_BATCH_MAX);
    assert_int_equal(call->messages, SHM_BATCH_MAX);
    half_close(call);
    end(call, GRPC_OK);
}

static void half_close_inserts_what_is_gathered(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    send_plain(call, "a");
    half_close(call);
    assert_int_equal(call->messages, 1);
    end(call, GRPC_OK);
}

static void cancelled_call_inserts_no_more(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    send_plain(call, "a");
    fake_call_end(call, GRPC_CANCELLED);
    fake_pass(server, 10);
    assert_int_equal(fake_store.inserts, 0);
}

/* ---- bounds ---- */

static void unread_answers_hold_the_client_back(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    call->writable = 0;
    send_many(call, IMPORT_ENTRIES_MAX);
    assert_true(call->paused);
    assert_true(call->wants_write);
    assert_int_equal(call->messages, 0);
    fake_pass(server, 100);
    assert_true(call->paused);
    call->writable = 10;
    call->method->on_writable(call);
    assert_int_equal(last_answer(call, 9), 0);
    assert_false(call->paused);
    call->writable = UINT32_MAX;
    half_close(call);
    assert_int_equal(call->messages, IMPORT_ENTRIES_MAX);
    end(call, GRPC_OK);
}

static void bytes_are_bounded_too(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    call->writable = 0;
    unsigned sent = 0;
    char name[256] = "";
    memset(name, 'x', sizeof(name) - 1);
    email = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee@example.org";
    for (; !call->paused; sent++)
        send_user(call, name, NULL, HASH);
    email = "";
    assert_in_range(call->held, IMPORT_BYTES_MAX, IMPORT_BYTES_MAX + 8192);
    assert_in_range(sent, 1, IMPORT_ENTRIES_MAX - 1);
    fake_call_end(call, GRPC_CANCELLED);
}

static void connection_that_holds_too_much_loses_the_call(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    call->may_hold = 1000;
    while (call->finishes == 0)
        send_plain(call, "a");
    fake_pass(server, 10);
    assert_int_equal(fake_store.inserts, 0);
    end(call, GRPC_RESOURCE_EXHAUSTED);
}

/* ---- passwords ---- */

static void few_passwords_are_hashed_at_a_time(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    for (unsigned i = 0; i < IMPORT_HASHING_MAX; i++)
        send_user(call, "a", "pw", NULL);
    assert_int_equal(pool.count, IMPORT_HASHING_MAX);
    assert_true(call->paused);
    hashed(3, POOL_HASHED, HASH); /* not the first one: nothing can be answered */
    fake_pass(server, 1);
    assert_false(call->paused);
    assert_int_equal(call->messages, 0);
    for (unsigned i = 0; i < IMPORT_HASHING_MAX; i++)
        if (i != 3)
            hashed(i, POOL_HASHED, HASH);
    fake_pass(server, 1);
    assert_int_equal(call->messages, IMPORT_HASHING_MAX);
    assert_int_equal(fake_store.inserts, 1);
    half_close(call);
    end(call, GRPC_OK);
}

static void users_are_inserted_in_the_order_of_their_requests(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    send_plain(call, "a");
    send_user(call, "b", "pw", NULL);
    send_user(call, "c", NULL, HASH);
    send_user(call, "d", "pw", NULL);
    send_plain(call, "e");
    half_close(call);
    assert_string_equal(seen.order, "a");
    assert_int_equal(last_answer(call, 0), 0);
    hashed(1, POOL_HASHED, HASH);
    fake_pass(server, 1);
    assert_string_equal(seen.order, "a");
    hashed(0, POOL_HASHED, HASH);
    fake_pass(server, 1);
    assert_string_equal(seen.order, "abcde");
    assert_int_equal(call->messages, 5);
    end(call, GRPC_OK);
}

static void full_pool_makes_the_call_wait(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    pool.full = 4; /* also at the end of the turn */
    send_user(call, "a", "secret", NULL);
    assert_true(call->paused);
    fake_pass(server, 2 * IMPORT_POOL_RETRY_MS + 5);
    assert_true(call->paused);
    assert_int_equal(pool.count, 0);
    fake_pass(server, 2 * IMPORT_POOL_RETRY_MS);
    assert_int_equal(pool.count, 1);
    assert_string_equal(pool.passwords[0], "secret");
    assert_false(call->paused);
    hashed(0, POOL_HASHED, HASH);
    half_close(call);
    assert_int_equal(last_answer(call, 0), 0);
    end(call, GRPC_OK);
}

static void password_that_is_not_hashed_is_one_error(void **state)
{
    static const struct {
        enum pool_outcome outcome;
        enum grpc_status status;
    } cases[] = {{POOL_LOST, GRPC_UNAVAILABLE},
                 {POOL_EXPIRED, GRPC_DEADLINE_EXCEEDED},
                 {POOL_FAILED, GRPC_RESOURCE_EXHAUSTED}};
    (void)state;
    struct grpc_call *call = import_open();
    for (unsigned i = 0; i < 3; i++) {
        send_user(call, "a", "pw", NULL);
        hashed(i, cases[i].outcome, "");
        fake_pass(server, 1);
        assert_int_equal(last_answer(call, i), cases[i].status);
    }
    half_close(call);
    assert_int_equal(fake_store.inserts, 0);
    end(call, GRPC_OK);
}

static void ended_call_waits_for_no_hash(void **state)
{
    (void)state;
    struct grpc_call *call = import_open();
    send_user(call, "a", "pw", NULL);
    send_user(call, "b", "pw", NULL);
    pool.full = 1;
    send_user(call, "c", "pw", NULL);
    fake_call_end(call, GRPC_CANCELLED);
    assert_int_equal(pool.cancelled, 2);
    fake_pass(server, 100);
    assert_int_equal(pool.count, 2);
}

static void secrets_are_overwritten_when_they_are_handed_on(void **state)
{
    static const char zeros[128];
    (void)state;
    struct grpc_call *call = import_open();
    call->writable = 0; /* the entries stay */
    send_user(call, "a", "secret", NULL);
    assert_memory_equal(pool.given, zeros, strlen("secret"));
    hashed(0, POOL_HASHED, HASH);
    fake_pass(server, 1);
    assert_int_equal(seen.len, strlen(HASH));
    assert_memory_equal(seen.secret, zeros, seen.len);
    send_user(call, "b", NULL, HASH);
    fake_pass(server, 1);
    assert_memory_equal(seen.secret, zeros, seen.len);
    call->writable = UINT32_MAX;
    call->method->on_writable(call);
    assert_null(memmem(call->out, call->out_len, "$2b$", 4));
    half_close(call);
    end(call, GRPC_OK);
}

/* ---- the store ---- */

static void first_of_two_requests_for_one_name_gets_it(void **state)
{
    (void)state;
    fake_store.unique = true;
    struct grpc_call *call = import_open();
    send_user(call, "a", "pw", NULL);
    send_plain(call, "a");
    send_plain(call, "b");
    fake_pass(server, 1);
    hashed(0, POOL_HASHED, HASH);
    call->writable = 2;
    fake_pass(server, 1);
    assert_int_equal(last_answer(call, 1), GRPC_ALREADY_EXISTS);
    assert_non_null(memmem(call->out, call->out_len, "create.user.username", 20));
    assert_string_equal(seen.order, "ab");
    call->writable = UINT32_MAX;
    half_close(call);
    assert_int_equal(last_answer(call, 2), 0);
    end(call, GRPC_OK);
}

static void drawn_id_that_is_taken_is_drawn_again(void **state)
{
    (void)state;
    fake_store.collide = 3;
    struct grpc_call *call = import_open();
    send_many(call, 5);
    half_close(call);
    assert_int_equal(last_answer(call, 4), 0);
    assert_int_equal(fake_store.users, 5);
    end(call, GRPC_OK);
}

static void full_table_refuses_users_one_by_one(void **state)
{
    (void)state;
    fake_store.room = 7;
    struct grpc_call *call = import_open();
    send_many(call, 10);
    half_close(call);
    assert_int_equal(fake_store.users, 7);
    assert_int_equal(last_answer(call, 9), GRPC_RESOURCE_EXHAUSTED);
    end(call, GRPC_OK);
}

static void busy_table_holds_the_client_back(void **state)
{
    (void)state;
    fake_store.busy = 3;
    struct grpc_call *call = import_open();
    send_many(call, 3);
    fake_pass(server, 1);
    assert_true(call->paused);
    assert_int_equal(call->messages, 0);
    fake_pass(server, 100);
    assert_false(call->paused);
    assert_int_equal(call->messages, 3);
    half_close(call);
    end(call, GRPC_OK);
}

static void table_that_stays_busy_ends_the_call(void **state)
{
    (void)state;
    fake_store.busy = UINT32_MAX;
    struct grpc_call *call = import_open();
    send_many(call, 3);
    fake_pass(server, 2000);
    assert_int_equal(call->messages, 0);
    assert_string_equal(call->message, "the table is busy, try again");
    end(call, GRPC_UNAVAILABLE);
}

static void answers_wait_for_the_disk(void **state)
{
    (void)state;
    fake_store.durable = true;
    struct grpc_call *call = import_open();
    send_many(call, SHM_BATCH_MAX);
    send_many(call, 10); /* another commit; both wait */
    half_close(call);
    assert_int_equal(fake_store.inserts, 2);
    fake_pass(server, 50);
    assert_int_equal(call->messages, 0);
    fake_store.published = 1;
    fake_settle(server);
    assert_int_equal(call->messages, SHM_BATCH_MAX);
    assert_int_equal(call->finishes, 0);
    fake_store.published = 2;
    fake_settle(server);
    assert_int_equal(last_answer(call, SHM_BATCH_MAX + 9), 0);
    end(call, GRPC_OK);
}

/* A power cut could still give the name back. */
static void refusal_waits_for_the_other_calls_commit(void **state)
{
    (void)state;
    fake_store.durable = true;
    fake_store.unique = true;
    struct grpc_call *first = import_open(), *second = import_open();
    send_plain(first, "ann");
    half_close(first);
    send_plain(second, "ann");
    half_close(second);
    assert_int_equal(fake_store.version, 1);
    fake_pass(server, 50);
    assert_int_equal(second->messages, 0);
    fake_store.published = 1;
    fake_settle(server);
    assert_int_equal(last_answer(first, 0), 0);
    assert_int_equal(last_answer(second, 0), GRPC_ALREADY_EXISTS);
    end(first, GRPC_OK);
    end(second, GRPC_OK);
}

static void call_that_ends_waits_for_no_disk(void **state)
{
    (void)state;
    fake_store.durable = true;
    struct grpc_call *call = import_open();
    send_many(call, 3);
    fake_pass(server, 1);
    assert_int_equal(fake_store.inserts, 1);
    fake_call_end(call, GRPC_CANCELLED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, import_setup, import_teardown)
    const struct CMUnitTest tests[] = {
        TEST(requests_of_a_turn_are_one_commit),
        TEST(full_batch_does_not_wait_for_the_turns_end),
        TEST(half_close_inserts_what_is_gathered),
        TEST(cancelled_call_inserts_no_more),
        TEST(unread_answers_hold_the_client_back),
        TEST(bytes_are_bounded_too),
        TEST(connection_that_holds_too_much_loses_the_call),
        TEST(few_passwords_are_hashed_at_a_time),
        TEST(users_are_inserted_in_the_order_of_their_requests),
        TEST(full_pool_makes_the_call_wait),
        TEST(password_that_is_not_hashed_is_one_error),
        TEST(ended_call_waits_for_no_hash),
        TEST(secrets_are_overwritten_when_they_are_handed_on),
        TEST(first_of_two_requests_for_one_name_gets_it),
        TEST(drawn_id_that_is_taken_is_drawn_again),
        TEST(full_table_refuses_users_one_by_one),
        TEST(busy_table_holds_the_client_back),
        TEST(table_that_stays_busy_ends_the_call),
        TEST(answers_wait_for_the_disk),
        TEST(refusal_waits_for_the_other_calls_commit),
        TEST(call_that_ends_waits_for_no_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
