/* SPDX-License-Identifier: MIT */
/* What a page of the directory's ListUsers costs: how long one slice of a scan is, and that an
 * index answers what it can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "tests/service/fakes.h"
#include "user/user.h"

static struct grpc_server *server;
static unsigned looks; /* by key */

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

int __wrap_shm_user_find_key(struct shm_actor *actor, unsigned key, const uint8_t *value,
                             uint32_t len, struct shm_user *user);
int __wrap_shm_user_find_key(struct shm_actor *actor, unsigned key, const uint8_t *value,
                             uint32_t len, struct shm_user *user)
{
    static const uint8_t id[UUID_SIZE] = {1};
    static uint8_t body[USER_BODY_MAX];
    const struct user_fields fields = {.username = {(const uint8_t *)"ann", 3}, .created_at = 1000};
    (void)actor;
    looks++;
    if (key != USER_KEY_USERNAME)
        return SHM_EINVAL; /* there is no index */
    if (len != 3 || memcmp(value, "ann", 3) != 0)
        return SHM_ENOENT;
    *user = (struct shm_user){.id = id, .body = body, .seq = 1, .version = 1};
    user->body_len = (uint32_t)user_body_encode(body, &fields);
    return SHM_OK;
}

static struct grpc_call *list_by(const char *filter)
{
    struct grpc_call *call = fake_call_open(server, "Directory/ListUsers");
    Rosterd__Directory__V1__ListUsersRequest request;
    rosterd__directory__v1__list_users_request__init(&request);
    request.filter = bytes_of(filter);
    call->method->on_message(call, &request.base);
    return call;
}

/* Gives the call its slices until it has its answer. @return how many it has taken */
static unsigned finish_slices(struct grpc_call *call)
{
    unsigned slices = 1;
    for (; call->finishes == 0; slices++) {
        assert_true(call->wants_write);
        call->wants_write = false;
        call->method->on_writable(call);
    }
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(call->messages, 1);
    fake_call_end(call, call->status);
    return slices;
}

static int open_list(void **state)
{
    (void)state;
    looks = 0;
    server = fake_server_create();
    return 0;
}

static int close_list(void **state)
{
    (void)state;
    fake_server_destroy(server);
    return 0;
}

/* Otherwise one filter would keep the worker's other clients waiting as long as the table is. */
static void scan_goes_on_in_many_turns(void **state)
{
    enum { USERS = 500000, TURNS_LEAST = 20 };
    (void)state;
    fake_store.users = USERS;
    struct grpc_call *call = list_by("disabled");
    assert_int_equal(call->finishes, 0);
    assert_true(call->work > 0); /* taken from the connection's turn */
    assert_true(finish_slices(call) >= TURNS_LEAST);
}

static void index_answers_without_a_scan(void **state)
{
    static const struct {
        const char *filter;
        bool found;
    } cases[] = {
        {"username = \"ann\"", true},
        {"username = \"ann\" AND NOT disabled", true},
        {"username = \"ann\" AND disabled", false},
        {"username = \"bob\"", false},
    };
    (void)state;
    fake_store.pins_taken = true; /* no snapshot can begin */
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct grpc_call *call = list_by(cases[i].filter);
        assert_int_equal(call->finishes, 1);
        assert_int_equal(call->status, GRPC_OK);
        assert_int_equal(looks, i + 1);
        assert_int_equal(call->out_len != 0, cases[i].found);
        fake_call_end(call, call->status);
    }
}

static void filter_that_no_index_answers_scans(void **state)
{
    static const char *const filters[] = {"username = \"an*\"", "username = \"ann\" OR disabled",
                                          "NOT username = \"ann\"", "email = \"a@b.c\""};
    (void)state;
    for (unsigned i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        struct grpc_call *call = list_by(filters[i]); /* of an empty table */
        assert_int_equal(call->finishes, 1);
        assert_int_equal(call->out_len, 0);
        fake_call_end(call, call->status);
    }
    assert_int_equal(looks, 1); /* of the e-mail, which has no index */
}

/* A connection that asks for batches only has its turns like others. */
static void batch_is_taken_from_the_turn(void **state)
{
    enum { NAMES = 1000 };
    static ProtobufCBinaryData names[NAMES];
    (void)state;
    for (unsigned i = 0; i < NAMES; i++)
        names[i] = bytes_of("users/01000000-0000-0000-0000-000000000000");
    struct grpc_call *call = fake_call_open(server, "BatchGetUsers");
    Rosterd__Directory__V1__BatchGetUsersRequest request;
    rosterd__directory__v1__batch_get_users_request__init(&request);
    request.names = names;
    request.n_names = NAMES;
    call->method->on_message(call, &request.base);
    assert_true(call->work > 0);
    (void)finish_slices(call);
}

/* A refusal counts as a limit that was reached, so there may be one at most. */
static void page_ends_where_the_memory_does(void **state)
{
    enum { USERS = 1000, ENOUGH = 1 << 20 };
    size_t least = 0, before = 0;
    (void)state;
    fake_store.users = USERS;
    for (size_t may_hold = 0; may_hold < ENOUGH; may_hold += may_hold / 8 + 1) {
        struct grpc_call *call = fake_call_open(server, "Directory/ListUsers");
        Rosterd__Directory__V1__ListUsersRequest request;
        rosterd__directory__v1__list_users_request__init(&request);
        request.page_size = USERS;
        call->may_hold = may_hold;
        call->method->on_message(call, &request.base);
        while (call->finishes == 0)
            call->method->on_writable(call);
        assert_int_equal(call->held, 0);
        assert_true(call->refused_holds <= 1);
        if (call->status == GRPC_OK) {
            Rosterd__Directory__V1__ListUsersResponse *page =
                rosterd__directory__v1__list_users_response__unpack(NULL, call->out_len, call->out);
            assert_non_null(page);
            assert_true(page->n_users >= before && page->n_users != 0);
            assert_int_equal(page->n_users == USERS, page->next_page_token.len == 0);
            before = page->n_users;
            least = least != 0 ? least : may_hold;
            rosterd__directory__v1__list_users_response__free_unpacked(page, NULL);
        } else {
            assert_int_equal(call->status, GRPC_RESOURCE_EXHAUSTED);
            assert_int_equal(least, 0);
        }
        fake_call_end(call, call->status);
    }
    assert_in_range(least, 100, 500);
    assert_int_equal(before, USERS);
}

int main(void)
{
#define LIST_TEST(name) cmocka_unit_test_setup_teardown(name, open_list, close_list)
    const struct CMUnitTest tests[] = {
        LIST_TEST(scan_goes_on_in_many_turns),         LIST_TEST(index_answers_without_a_scan),
        LIST_TEST(filter_that_no_index_answers_scans), LIST_TEST(batch_is_taken_from_the_turn),
        LIST_TEST(page_ends_where_the_memory_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
