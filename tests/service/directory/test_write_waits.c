/* SPDX-License-Identifier: MIT */
/* The directory's writes wait for the table, and until what they tell is on disk: what was written,
 * and what refuses it. The test is the table of one user, and the journal: it sets `published`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "tests/service/fakes.h"
#include "user/user_record.h"

#define NAME    "users/01000000-0000-0000-0000-000000000000"
#define REQUEST "3f1c8f5e-6f0b-4d8f-9d39-0a3f6f1c2b4d"
#define HASH    "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

enum { NEWEST = 5 }; /* the newest commit, which made the user what it is; 4 is on disk */

static struct grpc_server *server;

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

/* ---- the table ---- */

static struct {
    int found;       /* of a look for the user */
    int result;      /* of the next write */
    unsigned writes; /* so many were tried */
    unsigned stale;  /* so many updates before that find that another one was faster */
    unsigned key;
    bool repeats;       /* a request of this id was done */
    bool requests_busy; /* whether it was done cannot be looked up now */
    uint8_t body[USER_BODY_MAX];
    uint32_t body_len;
} table;

int __wrap_shm_user_find_at(struct shm_actor *actor, const uint8_t *id, uint64_t version,
                            struct shm_user *user);
int __wrap_shm_user_find_at(struct shm_actor *actor, const uint8_t *id, uint64_t version,
                            struct shm_user *user)
{
    (void)actor;
    assert_int_equal(version, NEWEST);
    *user = (struct shm_user){
        .id = id, .body = table.body, .body_len = table.body_len, .version = NEWEST};
    return table.found;
}

static int write_as_told(struct shm_conflict *conflict)
{
    table.writes++;
    *conflict = (struct shm_conflict){.version = NEWEST, .key = table.key};
    return table.result;
}

int __wrap_shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict);
int __wrap_shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict)
{
    (void)actor, (void)users, (void)count;
    return write_as_told(conflict);
}

int __wrap_shm_users_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict);
int __wrap_shm_users_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                            struct shm_conflict *conflict)
{
    (void)actor, (void)count;
    assert_int_equal(users->if_version, NEWEST); /* only what was read is changed */
    int result = write_as_told(conflict);
    if (table.stale == 0)
        return result;
    table.stale--;
    return SHM_ESTALE;
}

int __wrap_shm_user_delete(struct shm_actor *actor, const uint8_t *id, uint64_t if_version,
                           struct shm_conflict *conflict);
int __wrap_shm_user_delete(struct shm_actor *actor, const uint8_t *id, uint64_t if_version,
                           struct shm_conflict *conflict)
{
    (void)actor, (void)id, (void)if_version;
    return write_as_told(conflict);
}

int __wrap_shm_request_find(struct shm_actor *actor, struct shm_request *request);
int __wrap_shm_request_find(struct shm_actor *actor, struct shm_request *request)
{
    (void)actor;
    request->version = NEWEST;
    request->fingerprint++; /* it had other contents */
    if (table.requests_busy)
        return SHM_EBUSY;
    return table.repeats ? SHM_OK : SHM_ENOENT;
}

/* ---- calls ---- */

static struct grpc_call *create_with(const char *username)
{
    struct grpc_call *call = fake_call_open(server, "Directory/CreateUser");
    Rosterd__Directory__V1__CreateUserRequest request;
    Rosterd__Directory__V1__User user;
    rosterd__directory__v1__create_user_request__init(&request);
    rosterd__directory__v1__user__init(&user);
    request.user = &user;
    request.user_id = bytes_of(NAME + strlen("users/"));
    user.username = bytes_of(username);
    call->method->on_message(call, &request.base);
    return call;
}

static struct grpc_call *create_ann(void)
{
    return create_with("ann");
}

static struct grpc_call *update_with(const char *username, const char *etag, const char *request_id)
{
    struct grpc_call *call = fake_call_open(server, "UpdateUser");
    Rosterd__Directory__V1__UpdateUserRequest request;
    Rosterd__Directory__V1__User user;
    rosterd__directory__v1__update_user_request__init(&request);
    rosterd__directory__v1__user__init(&user);
    request.user = &user;
    request.request_id = bytes_of(request_id);
    user.name = bytes_of(NAME);
    user.username = bytes_of(username);
    user.etag = bytes_of(etag);
    call->method->on_message(call, &request.base);
    return call;
}

/* An update of the e-mail address alone. */
static struct grpc_call *update_email(const char *email, const char *request_id)
{
    struct grpc_call *call = fake_call_open(server, "UpdateUser");
    Rosterd__Directory__V1__UpdateUserRequest request;
    Rosterd__Directory__V1__User user;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    ProtobufCBinaryData path = bytes_of("email");
    rosterd__directory__v1__update_user_request__init(&request);
    rosterd__directory__v1__user__init(&user);
    mask.n_paths = 1;
    mask.paths = &path;
    request.user = &user;
    request.update_mask = &mask;
    request.request_id = bytes_of(request_id);
    user.name = bytes_of(NAME);
    user.email = bytes_of(email);
    call->method->on_message(call, &request.base);
    return call;
}

static struct grpc_call *update_ann(void)
{
    return update_with("ann", "", "");
}

static struct grpc_call *update_other_version(void)
{
    return update_with("ann", "\"1\"", "");
}

static const char *too_long(void)
{
    static char longer[USER_BODY_MAX + USER_HIDDEN_MAX]; /* more than a call that waits can keep */
    memset(longer, 'a', sizeof(longer) - 1);
    return longer;
}

static struct grpc_call *update_wrongly(void)
{
    return update_with(too_long(), "", "");
}

static struct grpc_call *update_by_request(void)
{
    return update_with("ann", "", REQUEST);
}

static struct grpc_call *delete_user(void)
{
    struct grpc_call *call = fake_call_open(server, "DeleteUser");
    Rosterd__Directory__V1__DeleteUserRequest request;
    rosterd__directory__v1__delete_user_request__init(&request);
    request.name = bytes_of(NAME);
    call->method->on_message(call, &request.base);
    return call;
}

static struct grpc_call *set_hash(void)
{
    struct grpc_call *call = fake_call_open(server, "SetPassword");
    Rosterd__Directory__V1__SetPasswordRequest request;
    rosterd__directory__v1__set_password_request__init(&request);
    request.name = bytes_of(NAME);
    request.credential_case =
        ROSTERD__DIRECTORY__V1__SET_PASSWORD_REQUEST__CREDENTIAL_PASSWORD_HASH;
    request.password_hash = bytes_of(HASH);
    call->method->on_message(call, &request.base);
    return call;
}

static int open_table(void **state)
{
    (void)state;
    const struct user_fields fields = {.username = {(const uint8_t *)"ann", 3}, .created_at = 1000};
    memset(&table, 0, sizeof(table));
    table.body_len = (uint32_t)user_body_encode(table.body, &fields);
    server = fake_server_create();
    fake_store.durable = true;
    fake_store.disk.state = SHM_DISK_OK;
    fake_store.disk.durable = true;
    fake_store.version = NEWEST;
    fake_store.published = NEWEST - 1;
    return 0;
}

static int close_table(void **state)
{
    (void)state;
    fake_server_destroy(server);
    return 0;
}

/* ---- tests ---- */

struct told {
    struct grpc_call *(*open)(void);
    int found, result;
    enum grpc_status status;
};

static const struct told answers[] = {
    {create_ann, SHM_OK, SHM_OK, GRPC_OK},
    {create_ann, SHM_OK, SHM_EKEY, GRPC_ALREADY_EXISTS},
    {create_ann, SHM_OK, SHM_EEXIST, GRPC_ALREADY_EXISTS},
    {update_ann, SHM_OK, SHM_OK, GRPC_OK},
    {update_ann, SHM_OK, SHM_EKEY, GRPC_ALREADY_EXISTS},
    {update_ann, SHM_ENOENT, SHM_OK, GRPC_NOT_FOUND},
    {update_other_version, SHM_OK, SHM_OK, GRPC_ABORTED},
    {update_other_version, SHM_ENOENT, SHM_OK, GRPC_ABORTED},
    {update_wrongly, SHM_OK, SHM_OK, GRPC_INVALID_ARGUMENT},
    {delete_user, SHM_OK, SHM_OK, GRPC_OK},
    {delete_user, SHM_OK, SHM_ENOENT, GRPC_NOT_FOUND},
    {delete_user, SHM_OK, SHM_ESTALE, GRPC_ABORTED},
    {set_hash, SHM_OK, SHM_OK, GRPC_OK},
    {set_hash, SHM_ENOENT, SHM_OK, GRPC_NOT_FOUND},
};
enum { ANSWERS = sizeof(answers) / sizeof(answers[0]) };

static struct grpc_call *open_told(const struct told *told)
{
    table.found = told->found;
    table.result = told->result;
    return told->open();
}

static void each_answer_waits_for_the_commit_that_it_rests_on(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ANSWERS; i++) {
        fake_store.published = NEWEST - 1;
        struct grpc_call *call = open_told(&answers[i]);
        fake_pass(server, 20);
        fake_settle(server);
        if (call->finishes != 0)
            fail_msg("answer %u did not wait", i);
        fake_store.published = NEWEST;
        fake_settle(server);
        assert_int_equal(call->finishes, 1);
        assert_int_equal(call->status, answers[i].status);
        assert_int_equal(call->messages, answers[i].status == GRPC_OK);
        fake_call_end(call, call->status);
    }
}

static void answer_that_rests_on_what_is_on_disk_comes_at_once(void **state)
{
    (void)state;
    fake_store.published = NEWEST;
    for (unsigned i = 0; i < ANSWERS; i++) {
        struct grpc_call *call = open_told(&answers[i]);
        assert_int_equal(call->finishes, 1);
        assert_int_equal(call->status, answers[i].status);
        fake_call_end(call, call->status);
    }
}

static void refused_repeat_waits_for_the_first_request(void **state)
{
    (void)state;
    table.repeats = true;
    struct grpc_call *call = update_by_request();
    fake_pass(server, 20);
    assert_int_equal(call->finishes, 0);
    fake_store.published = NEWEST;
    fake_settle(server);
    assert_int_equal(call->status, GRPC_INVALID_ARGUMENT);
    assert_non_null(
        strstr(call->message, "request_id was the id of a request with other contents"));
    fake_call_end(call, call->status);
}

/* The user who was written is on the stack of the try. */
static void answer_that_waited_has_the_user(void **state)
{
    (void)state;
    struct grpc_call *call = update_ann();
    assert_int_equal(call->finishes, 0);
    fake_store.published = NEWEST;
    fake_settle(server);
    assert_non_null(memmem(call->out, call->out_len, "ann", 3));
    assert_non_null(memmem(call->out, call->out_len, NAME, strlen(NAME)));
    fake_call_end(call, call->status);
}

static void request_outlives_its_message_while_the_table_is_busy(void **state)
{
    (void)state;
    char username[] = "bea";
    fake_store.published = NEWEST;
    table.result = SHM_EBUSY;
    struct grpc_call *calls[2] = {update_with(username, "", ""), create_with(username)};
    memset(username, 'x', sizeof(username) - 1);
    fake_pass(server, 5);
    assert_int_equal(calls[0]->finishes + calls[1]->finishes, 0);
    table.result = SHM_OK;
    fake_pass(server, 50);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(calls[i]->status, GRPC_OK);
        assert_int_equal(calls[i]->messages, 1);
        assert_non_null(memmem(calls[i]->out, calls[i]->out_len, "bea", 3));
        fake_call_end(calls[i], calls[i]->status);
    }
}

/* Its fields have not been looked at when the store is found to be busy. */
static void busy_table_does_not_hide_a_field_that_is_too_long(void **state)
{
    (void)state;
    table.requests_busy = true;
    struct grpc_call *call = update_with(too_long(), "", REQUEST);
    assert_int_equal(call->status, GRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(call->message, "username is longer"));
    fake_call_end(call, call->status);
    call = update_email(too_long(), REQUEST);
    assert_int_equal(call->status, GRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(call->message, "email is longer"));
    fake_call_end(call, call->status);
}

static void write_of_a_call_that_has_ended_is_not_tried_again(void **state)
{
    (void)state;
    table.result = SHM_EBUSY;
    struct grpc_call *call = update_ann();
    fake_pass(server, 5);
    grpc_call_finish(call, GRPC_DEADLINE_EXCEEDED, NULL);
    unsigned writes = table.writes;
    assert_true(writes > 0);
    fake_pass(server, 50);
    assert_int_equal(table.writes, writes);
    fake_call_end(call, call->status);
}

static void update_that_meets_another_begins_again(void **state)
{
    (void)state;
    fake_store.published = NEWEST;
    table.stale = 3;
    struct grpc_call *call = update_ann();
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(call->messages, 1);
    assert_int_equal(table.stale, 0);
    fake_call_end(call, call->status);
}

static void call_that_ends_waits_no_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ANSWERS; i++)
        fake_call_end(open_told(&answers[i]), GRPC_CANCELLED);
}

/* No text claims that a user may appear: it may have been deleted. */
static void disk_that_does_not_get_on_leaves_the_change_open(void **state)
{
    (void)state;
    fake_store.disk.state = SHM_DISK_FULL;
    struct grpc_call *call = delete_user();
    fake_pass(server, 5010);
    assert_int_equal(call->status, GRPC_RESOURCE_EXHAUSTED);
    assert_string_equal(call->message,
                        "the disk of the data file is full; the change may be made later");
    fake_call_end(call, call->status);
    fake_store.disk.state = SHM_DISK_FAILED;
    call = delete_user();
    fake_pass(server, 10);
    assert_int_equal(call->status, GRPC_UNAVAILABLE);
    assert_string_equal(call->message,
                        "the data file has failed; whether the change was made is unknown");
    fake_call_end(call, call->status);
}

int main(void)
{
#define WRITE_TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)
    const struct CMUnitTest tests[] = {
        WRITE_TEST(each_answer_waits_for_the_commit_that_it_rests_on),
        WRITE_TEST(answer_that_rests_on_what_is_on_disk_comes_at_once),
        WRITE_TEST(refused_repeat_waits_for_the_first_request),
        WRITE_TEST(answer_that_waited_has_the_user),
        WRITE_TEST(request_outlives_its_message_while_the_table_is_busy),
        WRITE_TEST(busy_table_does_not_hide_a_field_that_is_too_long),
        WRITE_TEST(write_of_a_call_that_has_ended_is_not_tried_again),
        WRITE_TEST(update_that_meets_another_begins_again),
        WRITE_TEST(call_that_ends_waits_no_more),
        WRITE_TEST(disk_that_does_not_get_on_leaves_the_change_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
