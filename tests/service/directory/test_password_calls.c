/* SPDX-License-Identifier: MIT */
/* The directory's calls with passwords, and an update that meets its repeat. The test is the pool,
 * and the table of one user: so what happens between a password's verification and its answer can
 * be chosen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "password/tries.h"
#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "proto/user_service.pb-c.h"
#include "service/core/password_counts.h"
#include "service/passwords/password_work.h"
#include "tests/service/fakes.h"
#include "user/user_record.h"

#define OLD_HASH "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
#define NEW_HASH "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"
enum { WINDOW = 60000 };

static struct grpc_server *server;
static struct tries *tries;
static struct password_counts counts;

/* ---- the table ---- */

static struct {
    bool exists;
    uint8_t body[USER_BODY_MAX], hidden[USER_HIDDEN_MAX];
    uint8_t both[USER_RECORD_MAX];
    uint32_t body_len, hidden_len;
    uint64_t version;
    int result;      /* of the next write */
    unsigned writes; /* tried */
    struct user_record written;
    struct user_record_room room;
    uint64_t if_version;
    unsigned looks; /* for a request */
} table;

static struct user_text text_of(const char *text)
{
    return (struct user_text){.data = (const uint8_t *)text, .len = strlen(text)};
}

static void put_user(const char *hash, bool disabled)
{
    const struct user_record record = {
        .fields = {.username = text_of("ann"), .created_at = 1000},
        .disabled = disabled,
        .update_time = user_nanoseconds(1001),
        .secret = text_of(hash),
    };
    table.body_len = (uint32_t)user_body_encode(table.both, &record.fields);
    table.hidden_len = (uint32_t)user_hidden_encode(table.both + table.body_len, &record);
    table.exists = true;
    table.version++;
}

static int find_user(struct shm_user *user)
{
    static const uint8_t id[UUID_SIZE] = {1};
    if (!table.exists)
        return SHM_ENOENT;
    *user = (struct shm_user){.id = id,
                              .body = table.both,
                              .body_len = table.body_len,
                              .hidden_len = table.hidden_len,
                              .version = table.version};
    return SHM_OK;
}

int __wrap_shm_user_find(struct shm_actor *actor, const uint8_t *id, struct shm_user *user);
int __wrap_shm_user_find(struct shm_actor *actor, const uint8_t *id, struct shm_user *user)
{
    (void)actor, (void)id;
    return find_user(user);
}

int __wrap_shm_user_find_at(struct shm_actor *actor, const uint8_t *id, uint64_t version,
                            struct shm_user *user);
int __wrap_shm_user_find_at(struct shm_actor *actor, const uint8_t *id, uint64_t version,
                            struct shm_user *user)
{
    (void)actor, (void)id, (void)version;
    return find_user(user);
}

int __wrap_shm_user_find_key(struct shm_actor *actor, unsigned key, const uint8_t *value,
                             uint32_t len, struct shm_user *user);
int __wrap_shm_user_find_key(struct shm_actor *actor, unsigned key, const uint8_t *value,
                             uint32_t len, struct shm_user *user)
{
    (void)actor, (void)key;
    return len == 3 && memcmp(value, "ann", 3) == 0 ? find_user(user) : SHM_ENOENT;
}

/* Decodes what is written; the texts lie in table.body and table.hidden. */
static int write_user(const struct shm_new_user *user, struct shm_conflict *conflict)
{
    table.writes++;
    memcpy(table.body, user->body, user->body_len);
    if (user->hidden_len != 0)
        memcpy(table.hidden, user->hidden, user->hidden_len);
    assert_true(user_record_decode(&table.written, &table.room, table.body, user->body_len,
                                   table.hidden, user->hidden_len));
    table.if_version = user->if_version;
    if (conflict != NULL)
        *conflict = (struct shm_conflict){.version = 0};
    return table.result;
}

int __wrap_shm_users_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict);
int __wrap_shm_users_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict)
{
    (void)actor;
    assert_int_equal(count, 1);
    return write_user(users, conflict);
}

int __wrap_shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict);
int __wrap_shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict)
{
    (void)actor;
    assert_int_equal(count, 1);
    return write_user(users, conflict);
}

/* Between the first look and the second one another worker does the request. */
int __wrap_shm_request_find(struct shm_actor *actor, struct shm_request *request);
int __wrap_shm_request_find(struct shm_actor *actor, struct shm_request *request)
{
    (void)actor;
    if (table.looks++ == 0) {
        put_user(OLD_HASH, false);
        return SHM_ENOENT;
    }
    request->version = table.version;
    return SHM_OK;
}

static bool was_written(const char *hash)
{
    return user_text_equal(table.written.secret, text_of(hash));
}

/* ---- the pool ---- */

static struct {
    struct pool_ticket *ticket; /* of the request that waits */
    enum pool_operation operation;
    char password[PASSWORD_MAX + 1], hash[PASSWORD_HASH_MAX + 1];
    unsigned submitted, cancelled;
    enum pool_submitted result;
} pool;

enum pool_submitted __wrap_pool_client_submit(struct pool_client *client,
                                              struct pool_ticket *ticket,
                                              const struct pool_task *task);
enum pool_submitted __wrap_pool_client_submit(struct pool_client *client,
                                              struct pool_ticket *ticket,
                                              const struct pool_task *task)
{
    assert_non_null(client);
    assert_null(pool.ticket);
    pool.submitted++;
    if (pool.result != POOL_SUBMITTED)
        return pool.result;
    pool.ticket = ticket;
    pool.operation = task->operation;
    snprintf(pool.password, sizeof(pool.password), "%.*s", (int)task->password_len, task->password);
    snprintf(pool.hash, sizeof(pool.hash), "%s", task->hash != NULL ? task->hash : "");
    return POOL_SUBMITTED;
}

void __wrap_pool_ticket_cancel(struct pool_ticket *ticket);
void __wrap_pool_ticket_cancel(struct pool_ticket *ticket)
{
    if (pool.ticket != ticket)
        return;
    pool.ticket = NULL;
    pool.cancelled++;
}

static void answer(enum pool_outcome outcome, const char *hash)
{
    struct pool_ticket *ticket = pool.ticket;
    assert_non_null(ticket);
    pool.ticket = NULL;
    ticket->done(ticket, outcome, hash);
}

/* ---- calls ---- */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

static struct grpc_call *verify(const char *username)
{
    struct grpc_call *call = fake_call_open(server, "VerifyPassword");
    Rosterd__Directory__V1__VerifyPasswordRequest request;
    rosterd__directory__v1__verify_password_request__init(&request);
    request.key_case = ROSTERD__DIRECTORY__V1__VERIFY_PASSWORD_REQUEST__KEY_USERNAME;
    request.username = bytes_of(username);
    request.password = bytes_of("hunter2");
    call->method->on_message(call, &request.base);
    return call;
}

static void end(struct grpc_call *call, enum grpc_status status)
{
    assert_int_equal(call->finishes, 1);
    assert_int_equal(call->status, status);
    assert_int_equal(call->messages, status == GRPC_OK);
    fake_call_end(call, status);
}

/* Whether the next try of the key would be looked at. */
static bool may_try(const char *username)
{
    unsigned before = pool.submitted;
    struct grpc_call *call = verify(username);
    bool looked = pool.submitted != before;
    if (looked)
        answer(POOL_LOST, "");
    else
        assert_in_range(call->retry_ms, 1, WINDOW);
    fake_call_end(call, call->status);
    return looked;
}

static int open_tables(void **state)
{
    (void)state;
    memset(&table, 0, sizeof(table));
    memset(&pool, 0, sizeof(pool));
    memset(&counts, 0, sizeof(counts));
    tries = tries_create();
    assert_non_null(tries);
    fake_config = (struct service_config){
        .passwords = (struct pool_client *)&pool, /* only handed on */
        .tries = tries,
        .password_tries = 1,
        .password_tries_window = WINDOW,
        .password_queue = 2,
        .password_counts = &counts,
    };
    server = fake_server_create();
    put_user(OLD_HASH, false);
    return 0;
}

static int close_tables(void **state)
{
    (void)state;
    assert_null(pool.ticket);
    fake_server_destroy(server);
    tries_destroy(tries);
    return 0;
}

/* ---- VerifyPassword ---- */

static void password_is_verified_with_the_hash_of_the_user(void **state)
{
    (void)state;
    struct grpc_call *call = verify("ann");
    assert_int_equal(pool.operation, POOL_VERIFY);
    assert_string_equal(pool.password, "hunter2");
    assert_string_equal(pool.hash, OLD_HASH);
    assert_int_equal(call->finishes, 0);
    answer(POOL_YES, "");
    end(call, GRPC_OK);
    assert_int_equal(table.writes, 0);
    assert_int_equal(counts.of[PASSWORD_ACCEPTED], 1);
}

static void who_may_not_log_in_costs_as_much(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        put_user(i == 0 ? "" : OLD_HASH, i == 1);
        table.exists = i != 2;
        struct grpc_call *call = verify(i == 3 ? "bob" : "ann");
        assert_int_equal(pool.operation, POOL_PRETEND);
        assert_string_equal(pool.hash, i == 1 ? OLD_HASH : ""); /* nobody stands in here */
        answer(POOL_NO, "");
        assert_string_equal(call->message, "the user or the password is wrong");
        end(call, GRPC_UNAUTHENTICATED);
        fake_pass(server, WINDOW);
    }
    assert_int_equal(counts.of[PASSWORD_REFUSED], 4);
}

static void new_hash_is_written_only_over_what_was_read(void **state)
{
    (void)state;
    struct grpc_call *call = verify("ann");
    answer(POOL_YES, NEW_HASH);
    end(call, GRPC_OK);
    assert_int_equal(table.writes, 1);
    assert_true(was_written(NEW_HASH));
    assert_int_equal(table.if_version, table.version);
    assert_int_equal(table.written.update_time, user_nanoseconds(1001));
    assert_int_equal(counts.of[PASSWORD_REPLACED], 1);
}

static void new_hash_that_cannot_be_written_fails_no_login(void **state)
{
    static const int results[] = {SHM_ESTALE, SHM_EBUSY,  SHM_EREADONLY,
                                  SHM_ENOENT, SHM_ELIMIT, SHM_ECORRUPT};
    (void)state;
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        table.result = results[i];
        struct grpc_call *call = verify("ann");
        answer(POOL_YES, NEW_HASH);
        end(call, GRPC_OK);
        assert_int_equal(table.writes, i + 1);
    }
    assert_int_equal(counts.of[PASSWORD_REPLACED], 0);
}

static void hash_that_was_set_meanwhile_is_verified_instead(void **state)
{
    (void)state;
    struct grpc_call *call = verify("ann");
    put_user(NEW_HASH, false);
    answer(POOL_YES, "$argon2id$of-the-old-one");
    assert_int_equal(call->finishes, 0);
    assert_int_equal(pool.operation, POOL_VERIFY);
    assert_string_equal(pool.hash, NEW_HASH);
    assert_string_equal(pool.password, "hunter2");
    answer(POOL_NO, "");
    end(call, GRPC_UNAUTHENTICATED);
    assert_int_equal(table.writes, 0);
}

static void user_who_may_not_log_in_any_more_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        put_user(OLD_HASH, false);
        struct grpc_call *call = verify("ann");
        put_user(i == 0 ? "" : OLD_HASH, i == 1);
        table.exists = i != 2;
        answer(POOL_YES, NEW_HASH);
        end(call, GRPC_UNAUTHENTICATED);
        fake_pass(server, WINDOW);
    }
    assert_int_equal(table.writes, 0);
}

static void hash_that_never_rests_ends_the_call(void **state)
{
    static const char *const hashes[] = {OLD_HASH, NEW_HASH};
    (void)state;
    struct grpc_call *call = verify("ann");
    for (unsigned i = 1; call->finishes == 0; i++) {
        assert_in_range(i, 1, 4);
        put_user(hashes[i % 2], false);
        answer(POOL_YES, "");
    }
    assert_int_equal(pool.submitted, 4);
    end(call, GRPC_UNAVAILABLE);
    assert_true(may_try("ann"));
}

/* ---- tries ---- */

static void wrong_password_uses_a_try_and_a_right_one_does_not(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct grpc_call *call = verify("ann");
        answer(POOL_YES, "");
        end(call, GRPC_OK);
    }
    struct grpc_call *call = verify("ann");
    answer(POOL_NO, "");
    end(call, GRPC_UNAUTHENTICATED);
    assert_false(may_try("ann"));
    assert_int_equal(counts.of[PASSWORD_LIMITED], 1);
    fake_pass(server, WINDOW);
    assert_true(may_try("ann"));
}

/* The user has one try. */
static void password_waits_for_the_try_of_one_that_is_looked_at(void **state)
{
    (void)state;
    struct grpc_call *first = verify("ann"), *second = verify("ann"), *third = verify("ann");
    assert_int_equal(pool.submitted, 1);
    fake_pass(server, 100);
    assert_int_equal(pool.submitted, 1);
    answer(POOL_YES, "");
    end(first, GRPC_OK);
    fake_pass(server, 20);
    assert_int_equal(pool.submitted, 2);
    assert_int_equal(second->finishes + third->finishes, 0);
    answer(POOL_NO, "");
    struct grpc_call *wrong = second->finishes != 0 ? second : third;
    struct grpc_call *last = second->finishes != 0 ? third : second;
    end(wrong, GRPC_UNAUTHENTICATED);
    fake_pass(server, 20);
    assert_int_equal(pool.submitted, 2);
    assert_in_range(last->retry_ms, 1, WINDOW);
    end(last, GRPC_RESOURCE_EXHAUSTED);
}

/* The loop runs timers before it tells a call of its end. */
static void call_that_has_ended_takes_no_try_any_more(void **state)
{
    (void)state;
    struct grpc_call *first = verify("ann"), *late = verify("ann");
    grpc_call_finish(late, GRPC_DEADLINE_EXCEEDED, NULL);
    answer(POOL_YES, "");
    end(first, GRPC_OK);
    fake_pass(server, 50);
    assert_int_equal(pool.submitted, 1);
    fake_call_end(late, late->status);
    assert_true(may_try("ann"));
}

static void number_of_passwords_that_wait_for_a_try_is_bounded(void **state)
{
    (void)state;
    struct grpc_call *first = verify("ann"), *waiting[2] = {verify("ann"), verify("ann")};
    struct grpc_call *more = verify("ann");
    assert_string_equal(more->message, "too many passwords wait (password-queue), try again");
    end(more, GRPC_RESOURCE_EXHAUSTED);
    fake_call_end(waiting[0], GRPC_CANCELLED);
    waiting[0] = verify("ann"); /* there is room again */
    fake_pass(server, 9900);
    assert_int_equal(waiting[0]->finishes + waiting[1]->finishes, 0);
    fake_pass(server, 200);
    end(waiting[0], GRPC_RESOURCE_EXHAUSTED);
    end(waiting[1], GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(counts.of[PASSWORD_BUSY], 3);
    answer(POOL_YES, "");
    end(first, GRPC_OK);
}

static void password_that_was_not_looked_at_uses_no_try(void **state)
{
    static const struct {
        enum pool_outcome outcome;
        enum grpc_status status;
    } ends[] = {{POOL_LOST, GRPC_UNAVAILABLE},
                {POOL_FAILED, GRPC_RESOURCE_EXHAUSTED},
                {POOL_EXPIRED, GRPC_DEADLINE_EXCEEDED}};
    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct grpc_call *call = verify("ann");
        answer(ends[i].outcome, "");
        end(call, ends[i].status);
    }
    pool.result = POOL_FULL;
    struct grpc_call *call = verify("ann");
    end(call, GRPC_RESOURCE_EXHAUSTED);
    pool.result = POOL_SUBMITTED;
    assert_true(may_try("ann"));
    assert_int_equal(counts.of[PASSWORD_BUSY], 1);
}

static void client_that_gives_up_has_used_its_try(void **state)
{
    (void)state;
    fake_call_end(verify("ann"), GRPC_CANCELLED);
    assert_int_equal(pool.cancelled, 1);
    assert_false(may_try("ann"));
}

static void keys_of_nobody_count_like_others(void **state)
{
    (void)state;
    struct grpc_call *call = verify("bob");
    answer(POOL_NO, "");
    end(call, GRPC_UNAUTHENTICATED);
    assert_false(may_try("bob"));
    assert_true(may_try("ann"));
    assert_true(may_try("b"));
}

/* ---- SetPassword, CreateUser ---- */

static struct grpc_call *set_password(const char *password, const char *hash)
{
    struct grpc_call *call = fake_call_open(server, "SetPassword");
    Rosterd__Directory__V1__SetPasswordRequest request;
    rosterd__directory__v1__set_password_request__init(&request);
    request.name = bytes_of("users/01000000-0000-0000-0000-000000000000");
    if (password != NULL) {
        request.credential_case = ROSTERD__DIRECTORY__V1__SET_PASSWORD_REQUEST__CREDENTIAL_PASSWORD;
        request.password = bytes_of(password);
    } else {
        request.credential_case =
            ROSTERD__DIRECTORY__V1__SET_PASSWORD_REQUEST__CREDENTIAL_PASSWORD_HASH;
        request.password_hash = bytes_of(hash);
    }
    call->method->on_message(call, &request.base);
    memset(&request, 0, sizeof(request));
    return call;
}

static void password_is_hashed_then_written(void **state)
{
    (void)state;
    struct grpc_call *call = set_password("correct horse", NULL);
    assert_int_equal(table.writes, 0);
    assert_int_equal(pool.operation, POOL_HASH);
    assert_string_equal(pool.password, "correct horse");
    answer(POOL_HASHED, NEW_HASH);
    end(call, GRPC_OK);
    assert_int_equal(table.writes, 1);
    assert_true(was_written(NEW_HASH));
    assert_true(table.written.update_time > user_nanoseconds(1001));
}

static void user_who_is_gone_when_the_password_is_hashed_is_not_found(void **state)
{
    (void)state;
    struct grpc_call *call = set_password("correct horse", NULL);
    table.exists = false;
    answer(POOL_HASHED, NEW_HASH);
    end(call, GRPC_NOT_FOUND);
    assert_int_equal(table.writes, 0);
    end(set_password("correct horse", NULL), GRPC_NOT_FOUND); /* nothing is hashed */
    assert_int_equal(pool.submitted, 1);
}

static void hash_outlives_its_request_while_the_table_is_busy(void **state)
{
    (void)state;
    char hash[] = OLD_HASH;
    table.result = SHM_EBUSY;
    struct grpc_call *call = set_password(NULL, hash);
    memset(hash, 'x', sizeof(hash) - 1);
    fake_pass(server, 5);
    assert_int_equal(call->finishes, 0);
    table.result = SHM_OK;
    fake_pass(server, 50);
    end(call, GRPC_OK);
    assert_true(was_written(OLD_HASH));
}

static void hashing_that_fails_writes_nothing(void **state)
{
    (void)state;
    struct grpc_call *call = set_password("correct horse", NULL);
    answer(POOL_LOST, "");
    end(call, GRPC_UNAVAILABLE);
    pool.result = POOL_NO_MEMORY;
    end(set_password("correct horse", NULL), GRPC_RESOURCE_EXHAUSTED);
    pool.result = POOL_SUBMITTED;
    fake_call_end(set_password("correct horse", NULL), GRPC_CANCELLED);
    assert_int_equal(pool.cancelled, 1);
    assert_int_equal(table.writes, 0);
}

static void created_user_of_the_user_service_gets_its_hash(void **state)
{
    (void)state;
    Userservice__CreateUserRequest request = USERSERVICE__CREATE_USER_REQUEST__INIT;
    char username[] = "bob";
    request.username = bytes_of(username);
    request.password = bytes_of("correct horse");
    struct grpc_call *call = fake_call_open(server, "CreateUser");
    call->method->on_message(call, &request.base);
    assert_int_equal(pool.operation, POOL_HASH);
    memset(username, 'x', sizeof(username) - 1);
    table.result = SHM_EBUSY;
    answer(POOL_HASHED, NEW_HASH);
    assert_int_equal(call->finishes, 0);
    table.result = SHM_OK;
    fake_pass(server, 50);
    end(call, GRPC_OK);
    assert_true(was_written(NEW_HASH));
    assert_true(user_text_equal(table.written.fields.username, text_of("bob")));
    assert_int_equal(table.written.update_time, user_create_time(&table.written.fields));
}

/* ---- UpdateUser ---- */

static void request_that_another_worker_does_meanwhile_is_not_refused_for_that(void **state)
{
    (void)state;
    struct grpc_call *call = fake_call_open(server, "UpdateUser");
    Rosterd__Directory__V1__UpdateUserRequest request;
    Rosterd__Directory__V1__User user;
    rosterd__directory__v1__update_user_request__init(&request);
    rosterd__directory__v1__user__init(&user);
    user.name = bytes_of("users/01000000-0000-0000-0000-000000000000");
    user.etag = bytes_of("\"1\"");
    user.email = bytes_of("ann@a.org");
    request.user = &user;
    request.request_id = bytes_of("3f1c8f5e-6f0b-4d8f-9d39-0a3f6f1c2b4d");
    assert_int_equal(table.version, 1);
    fake_store.published = 2;
    call->method->on_message(call, &request.base);
    end(call, GRPC_OK);
    assert_int_equal(table.looks, 2);
    assert_int_equal(table.writes, 0);
}

static int open_storing(void **state)
{
    open_tables(state);
    fake_server_destroy(server);
    fake_config.store_passwords = true;
    server = fake_server_create();
    return 0;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_tables, close_tables)
    const struct CMUnitTest tests[] = {
        CASE(password_is_verified_with_the_hash_of_the_user),
        CASE(who_may_not_log_in_costs_as_much),
        CASE(new_hash_is_written_only_over_what_was_read),
        CASE(new_hash_that_cannot_be_written_fails_no_login),
        CASE(hash_that_was_set_meanwhile_is_verified_instead),
        CASE(user_who_may_not_log_in_any_more_is_refused),
        CASE(hash_that_never_rests_ends_the_call),
        CASE(wrong_password_uses_a_try_and_a_right_one_does_not),
        CASE(call_that_has_ended_takes_no_try_any_more),
        CASE(number_of_passwords_that_wait_for_a_try_is_bounded),
        CASE(password_waits_for_the_try_of_one_that_is_looked_at),
        CASE(password_that_was_not_looked_at_uses_no_try),
        CASE(client_that_gives_up_has_used_its_try),
        CASE(keys_of_nobody_count_like_others),
        CASE(password_is_hashed_then_written),
        CASE(user_who_is_gone_when_the_password_is_hashed_is_not_found),
        CASE(hash_outlives_its_request_while_the_table_is_busy),
        CASE(hashing_that_fails_writes_nothing),
        CASE(request_that_another_worker_does_meanwhile_is_not_refused_for_that),
        cmocka_unit_test_setup_teardown(created_user_of_the_user_service_gets_its_hash,
                                        open_storing, close_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
