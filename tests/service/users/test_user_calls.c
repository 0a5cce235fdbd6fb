/* SPDX-License-Identifier: MIT */
/* The calls of UserService: lock contention, a full table, slow readers, calls that break off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/user_service.pb-c.h"
#include "tests/service/fakes.h"

static struct grpc_server *server;
static struct service_counts service_counts;

static int open_server(void **state)
{
    (void)state;
    service_counts = (struct service_counts){.watches = 0};
    fake_config.counts = &service_counts;
    server = fake_server_create();
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    fake_server_destroy(server);
    return 0;
}

static ProtobufCBinaryData text(const char *from)
{
    return (ProtobufCBinaryData){.len = strlen(from), .data = (uint8_t *)from};
}

static void send_create(struct grpc_call *call, const char *username)
{
    char password[] = "hunter2";
    Userservice__CreateUserRequest request = USERSERVICE__CREATE_USER_REQUEST__INIT;
    request.username = text(username);
    request.password = text(password);
    call->method->on_message(call, &request.base);
    static const char zeros[sizeof(password)];
    assert_memory_equal(password, zeros, sizeof(password)); /* whatever the result is */
}

static struct grpc_call *create(const char *username)
{
    struct grpc_call *call = fake_call_open(server, "CreateUser");
    send_create(call, username);
    return call;
}

/* ---- CreateUser ---- */

static void user_is_created_at_once_where_the_lock_is_free(void **state)
{
    (void)state;
    struct grpc_call *call = create("alice");
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(call->messages, 1);
    Userservice__User *user = userservice__user__unpack(NULL, call->out_len, call->out);
    assert_non_null(user);
    assert_int_equal(user->id.len, 36);
    assert_memory_equal(user->username.data, "alice", 5);
    assert_true(user->created_at > 1700000000);
    assert_int_equal(user->n_roles, 1);
    assert_memory_equal(user->roles[0].data, "user", 4);
    userservice__user__free_unpacked(user, NULL);
    fake_call_end(call, GRPC_OK);
}

static void refused_request_is_wiped_too(void **state)
{
    (void)state;
    struct grpc_call *call = create("");
    assert_int_equal(call->status, GRPC_INVALID_ARGUMENT);
    assert_int_equal(fake_store.inserts, 0);
    fake_call_end(call, GRPC_INVALID_ARGUMENT);
}

static void taken_id_is_replaced_by_another(void **state)
{
    (void)state;
    fake_store.collide = 2;
    struct grpc_call *call = create("alice");
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(fake_store.inserts, 3);
    fake_call_end(call, GRPC_OK);
}

static void creation_waits_for_the_lock_without_blocking(void **state)
{
    (void)state;
    fake_store.busy = 3;
    struct grpc_call *call = create("alice");
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 100);
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(call->finishes, 1);
    assert_int_equal(fake_store.users, 1);
    assert_non_null(memmem(call->out, call->out_len, "alice", 5));
    fake_call_end(call, GRPC_OK);
}

static void creation_gives_up_after_a_second(void **state)
{
    (void)state;
    fake_store.busy = UINT32_MAX;
    struct grpc_call *call = create("alice");
    fake_pass(server, 999);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 100);
    assert_int_equal(call->finishes, 1);
    assert_int_equal(call->status, GRPC_UNAVAILABLE);
    assert_in_range(fake_store.inserts, 10, 100); /* it retries, and does not spin */
    fake_call_end(call, GRPC_UNAVAILABLE);
}

static void cancelled_creation_stops_waiting(void **state)
{
    (void)state;
    fake_store.busy = UINT32_MAX;
    struct grpc_call *call = create("alice");
    fake_pass(server, 5);
    fake_call_end(call, GRPC_CANCELLED);
    unsigned tried = fake_store.inserts;
    fake_pass(server, 100);
    assert_int_equal(fake_store.inserts, tried);
}

static void full_table_names_its_bound(void **state)
{
    (void)state;
    fake_store.room = 0;
    struct grpc_call *call = create("alice");
    assert_int_equal(call->status, GRPC_RESOURCE_EXHAUSTED);
    assert_string_equal(call->message, "the table is full (max-users 12345)");
    fake_call_end(call, GRPC_RESOURCE_EXHAUSTED);
}

static void writes_without_room_are_counted(void **state)
{
    (void)state;
    fake_store.room = 1;
    fake_call_end(create("alice"), GRPC_OK);
    assert_int_equal(service_counts.no_room_users, 0);
    for (unsigned refused = 1; refused <= 3; refused++) {
        fake_call_end(create("bob"), GRPC_RESOURCE_EXHAUSTED);
        assert_int_equal(service_counts.no_room_users, refused);
    }
    assert_int_equal(service_counts.no_room_segment + service_counts.no_room_memory, 0);
}

static void assert_taken(const char *username, const char *expected)
{
    struct grpc_call *call = create(username);
    assert_int_equal(call->status, GRPC_ALREADY_EXISTS);
    assert_string_equal(call->message, expected);
    assert_int_equal(call->messages, 0);
    fake_call_end(call, GRPC_ALREADY_EXISTS);
}

static void taken_username_is_named(void **state)
{
    (void)state;
    fake_store.unique = true;
    fake_call_end(create("alice"), GRPC_OK);
    assert_taken("alice", "username 'alice' is taken");
    assert_int_equal(fake_store.users, 1);
}

static void long_taken_username_is_cut_at_a_character(void **state)
{
    (void)state;
    char username[256] = "", expected[256];
    fake_store.unique = true;
    memset(username, 'x', 127);
    strcat(username, "\xc3\xa4\xc3\xb6");
    fake_call_end(create(username), GRPC_OK);
    snprintf(expected, sizeof(expected), "username '%.127s...' is taken", username);
    assert_taken(username, expected);
    memset(username, 'y', 255);
    fake_call_end(create(username), GRPC_OK);
    snprintf(expected, sizeof(expected), "username '%.128s...' is taken", username);
    assert_taken(username, expected);
}

static void name_can_be_taken_while_a_creation_waits(void **state)
{
    (void)state;
    fake_store.unique = true;
    fake_store.busy = 2;
    struct grpc_call *late = create("alice");
    assert_int_equal(late->finishes, 0);
    fake_store.busy = 0;
    fake_call_end(create("alice"), GRPC_OK);
    fake_pass(server, 100);
    assert_int_equal(late->status, GRPC_ALREADY_EXISTS);
    assert_string_equal(late->message, "username 'alice' is taken");
    fake_call_end(late, GRPC_ALREADY_EXISTS);
}

/* ---- GetUser ---- */

static void assert_not_found(const char *id, size_t len, const char *expected)
{
    struct grpc_call *call = fake_call_open(server, "GetUser");
    Userservice__GetUserRequest request = USERSERVICE__GET_USER_REQUEST__INIT;
    request.id = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)id};
    call->method->on_message(call, &request.base);
    assert_int_equal(call->status, GRPC_NOT_FOUND);
    assert_string_equal(call->message, expected);
    fake_call_end(call, GRPC_NOT_FOUND);
}

static void unknown_id_is_shown(void **state)
{
    (void)state;
    assert_not_found("", 0, "User  not found");
    assert_not_found("bob", 3, "User bob not found");
    assert_not_found("00000000-0000-4000-8000-000000000000", 36,
                     "User 00000000-0000-4000-8000-000000000000 not found");
}

static void long_id_is_cut_at_a_character(void **state)
{
    (void)state;
    char id[400], expected[400];
    memset(id, 'x', sizeof(id));
    snprintf(expected, sizeof(expected), "User %.128s not found", id);
    assert_not_found(id, 128, expected);
    snprintf(expected, sizeof(expected), "User %.128s... not found", id);
    assert_not_found(id, 129, expected);
    memcpy(id + 126, "\xf0\x9f\x98\x80", 4); /* a character across the 128th byte */
    snprintf(expected, sizeof(expected), "User %.126s... not found", id);
    assert_not_found(id, 200, expected);
}

/* ---- ListUsers ---- */

static struct grpc_call *list(int32_t page_size, const char *token, unsigned writable)
{
    struct grpc_call *call = fake_call_open(server, "ListUsers");
    Userservice__ListUsersRequest request = USERSERVICE__LIST_USERS_REQUEST__INIT;
    request.page_size = page_size;
    request.page_token = text(token);
    call->writable = writable;
    call->method->on_message(call, &request.base);
    return call;
}

static void page_size_0_is_10(void **state)
{
    (void)state;
    fake_store.users = 11;
    struct grpc_call *call = list(0, "", UINT32_MAX);
    assert_int_equal(call->messages, 10);
    assert_int_equal(strlen(call->token), 40);
    fake_call_end(call, GRPC_OK);
}

static void full_last_page_has_no_next_token(void **state)
{
    (void)state;
    fake_store.users = 10;
    struct grpc_call *call = list(10, "", UINT32_MAX);
    assert_int_equal(call->messages, 10);
    assert_string_equal(call->token, "");
    fake_call_end(call, GRPC_OK);
    call = list(11, "", UINT32_MAX);
    assert_int_equal(call->messages, 10);
    assert_string_equal(call->token, "");
    fake_call_end(call, GRPC_OK);
}

static void token_continues_after_its_user(void **state)
{
    (void)state;
    fake_store.users = 7;
    struct grpc_call *first = list(3, "", UINT32_MAX);
    struct grpc_call *second = list(3, first->token, UINT32_MAX);
    assert_int_equal(second->messages, 3);
    assert_memory_equal(second->out + 38, "6", 1);
    struct grpc_call *third = list(3, second->token, UINT32_MAX);
    assert_int_equal(third->messages, 1);
    assert_memory_equal(third->out + 38, "7", 1);
    assert_string_equal(third->token, "");
    fake_call_end(first, GRPC_OK);
    fake_call_end(second, GRPC_OK);
    fake_call_end(third, GRPC_OK);
}

static void empty_table_is_an_empty_page(void **state)
{
    (void)state;
    struct grpc_call *call = list(0, "", UINT32_MAX);
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(call->finishes, 1);
    assert_int_equal(call->messages, 0);
    fake_call_end(call, GRPC_OK);
}

static void bad_arguments_hold_no_snapshot(void **state)
{
    (void)state;
    struct grpc_call *call = list(-1, "", UINT32_MAX);
    assert_int_equal(call->status, GRPC_INVALID_ARGUMENT);
    assert_string_equal(call->message, "page_size is negative");
    fake_call_end(call, GRPC_INVALID_ARGUMENT);
    call = list(0, "garbage", UINT32_MAX);
    assert_int_equal(call->status, GRPC_INVALID_ARGUMENT);
    assert_int_equal(fake_store.snapshots, 0);
    fake_call_end(call, GRPC_INVALID_ARGUMENT);
}

static void token_of_another_table_is_refused(void **state)
{
    (void)state;
    fake_store.users = 100;
    struct grpc_call *call = list(50, "", UINT32_MAX);
    fake_store.users = 3;
    struct grpc_call *other = list(50, call->token, UINT32_MAX);
    assert_int_equal(other->status, GRPC_INVALID_ARGUMENT);
    fake_call_end(call, GRPC_OK);
    fake_call_end(other, GRPC_INVALID_ARGUMENT);
}

static void slow_reader_is_waited_for_on_the_same_snapshot(void **state)
{
    (void)state;
    fake_store.users = 5;
    struct grpc_call *call = list(100, "", 2);
    assert_int_equal(call->messages, 2);
    assert_true(call->wants_write);
    assert_int_equal(call->finishes, 0);
    assert_int_equal(fake_store.snapshots, 1);
    fake_store.users = 50;
    call->writable = 2;
    call->method->on_writable(call);
    assert_int_equal(call->messages, 4);
    call->writable = 2;
    call->method->on_writable(call);
    assert_int_equal(call->messages, 5);
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(call->finishes, 1);
    assert_int_equal(fake_store.snapshots, 0); /* already before the client has read all */
    fake_call_end(call, GRPC_OK);
}

static void cancelled_listing_lets_its_snapshot_go(void **state)
{
    (void)state;
    fake_store.users = 5;
    struct grpc_call *call = list(100, "", 2);
    assert_int_equal(fake_store.snapshots, 1);
    fake_call_end(call, GRPC_CANCELLED);
    assert_int_equal(fake_store.snapshots, 0);
}

static void listing_without_a_free_pin_is_refused(void **state)
{
    (void)state;
    fake_store.pins_taken = true;
    struct grpc_call *call = list(0, "", UINT32_MAX);
    assert_int_equal(call->status, GRPC_RESOURCE_EXHAUSTED);
    fake_call_end(call, GRPC_RESOURCE_EXHAUSTED);
}

static void assert_aborted(const struct grpc_call *call, const char *expected)
{
    assert_int_equal(call->finishes, 1);
    assert_int_equal(call->status, GRPC_ABORTED);
    assert_string_equal(call->message, expected);
}

static const char too_old[] = "the listing's snapshot is older than snapshot-max-age (10m)";
static const char too_much[] =
    "the listing's snapshot kept more than snapshot-max-bytes (256M) of changed users in memory";

static void listing_that_nobody_reads_ends_at_its_age(void **state)
{
    (void)state;
    fake_store.users = 5;
    struct grpc_call *call = list(100, "", 2);
    fake_pass(server, 599999);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 300);
    assert_aborted(call, too_old);
    assert_int_equal(fake_store.snapshots, 0); /* at once, and not only when the client reads */
    assert_int_equal(timers_wait(grpc_server_timers(server), fake_now), -1);
    fake_call_end(call, GRPC_ABORTED);
}

static void listing_that_is_read_slowly_ends_at_its_age_too(void **state)
{
    (void)state;
    fake_store.users = 5000;
    struct grpc_call *call = list(5000, "", 2);
    for (int i = 0; i < 599; i++) {
        fake_pass(server, 1000);
        assert_int_equal(call->finishes, 0);
        call->writable = 2;
        call->method->on_writable(call);
    }
    assert_int_equal(call->messages, 1200);
    fake_pass(server, 1300);
    assert_aborted(call, too_old);
    fake_call_end(call, GRPC_ABORTED);
}

static void each_listing_has_its_own_age(void **state)
{
    (void)state;
    fake_store.users = 5;
    struct grpc_call *first = list(100, "", 2);
    fake_pass(server, 300000);
    struct grpc_call *second = list(100, "", 2);
    fake_pass(server, 300300);
    assert_aborted(first, too_old);
    assert_int_equal(second->finishes, 0);
    fake_pass(server, 300000);
    assert_aborted(second, too_old);
    fake_call_end(first, GRPC_ABORTED);
    fake_call_end(second, GRPC_ABORTED);
}

static void revoked_listings_end_though_nobody_reads(void **state)
{
    (void)state;
    fake_store.users = 5;
    struct grpc_call *calls[3];
    for (int i = 0; i < 3; i++)
        calls[i] = list(100, "", 2);
    fake_call_end(calls[1], GRPC_CANCELLED);
    fake_pass(server, 1000);
    assert_int_equal(calls[0]->finishes, 0);
    fake_store.revoked = true;
    fake_pass(server, 300);
    assert_int_equal(fake_store.snapshots, 0);
    assert_aborted(calls[0], too_much);
    assert_aborted(calls[2], too_much);
    fake_call_end(calls[0], GRPC_ABORTED);
    fake_call_end(calls[2], GRPC_ABORTED);
}

static void revoked_listing_ends_as_soon_as_it_goes_on(void **state)
{
    (void)state;
    fake_store.users = 5;
    struct grpc_call *call = list(100, "", 2);
    fake_store.revoked = true;
    call->writable = 2;
    call->method->on_writable(call);
    assert_int_equal(call->messages, 2);
    assert_aborted(call, too_much);
    fake_call_end(call, GRPC_ABORTED);
}

/* Calls on_writable as the runtime does, once for each grpc_call_want_write().
 * @return how often */
static unsigned go_on(struct grpc_call *call)
{
    unsigned turns = 0;
    for (; call->wants_write && call->finishes == 0 && turns < 100; turns++) {
        call->wants_write = false;
        call->method->on_writable(call);
    }
    return turns;
}

static void listing_gives_up_its_turn_while_it_passes_deleted_users(void **state)
{
    (void)state;
    fake_store.users = 5;
    fake_store.dead_after = 2;
    fake_store.dead_steps = 3;
    struct grpc_call *call = list(100, "", UINT32_MAX);
    assert_int_equal(call->messages, 2);
    assert_int_equal(call->finishes, 0);
    assert_true(call->wants_write);
    size_t work = call->work;
    assert_true(work > 0);
    assert_int_equal(go_on(call), 3);
    assert_int_equal(call->work, 3 * work);
    assert_int_equal(call->messages, 5);
    assert_int_equal(call->status, GRPC_OK);
    assert_string_equal(call->token, "");
    fake_call_end(call, GRPC_OK);
}

static void token_is_exact_where_deleted_users_follow_the_page(void **state)
{
    (void)state;
    for (fake_store.users = 5; fake_store.users <= 6; fake_store.users++) {
        fake_store.dead_after = 5;
        fake_store.dead_steps = 2;
        struct grpc_call *call = list(5, "", UINT32_MAX);
        assert_int_equal(call->messages, 5);
        assert_int_equal(call->finishes, 0);
        assert_int_equal(go_on(call), 2);
        assert_int_equal(call->finishes, 1);
        assert_int_equal(strlen(call->token), fake_store.users == 5 ? 0 : 40);
        if (fake_store.users == 6) {
            struct grpc_call *next = list(5, call->token, UINT32_MAX);
            assert_int_equal(next->messages, 1);
            assert_memory_equal(next->out + 38, "6", 1);
            fake_call_end(next, GRPC_OK);
        }
        fake_call_end(call, GRPC_OK);
    }
}

static void listing_that_passes_deleted_users_ends_as_others_do(void **state)
{
    (void)state;
    fake_store.users = 5;
    fake_store.dead_steps = 1000;
    struct grpc_call *old = list(100, "", UINT32_MAX), *cancelled = list(100, "", UINT32_MAX);
    fake_call_end(cancelled, GRPC_CANCELLED);
    fake_pass(server, 300000);
    struct grpc_call *revoked = list(100, "", UINT32_MAX);
    fake_pass(server, 300300);
    assert_aborted(old, too_old);
    assert_int_equal(revoked->finishes, 0);
    fake_store.revoked = true;
    fake_pass(server, 300);
    assert_aborted(revoked, too_much);
    assert_int_equal(fake_store.snapshots, 0);
    fake_call_end(old, GRPC_ABORTED);
    fake_call_end(revoked, GRPC_ABORTED);
}

static void listing_that_need_not_wait_arms_no_timer(void **state)
{
    (void)state;
    fake_store.users = 5;
    struct grpc_call *call = list(3, "", 3);
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(timers_wait(grpc_server_timers(server), fake_now), -1);
    fake_call_end(call, GRPC_OK);
}

/* ---- BatchCreateUsers ---- */

static Userservice__BatchResult *result_of(const struct grpc_call *call)
{
    assert_int_equal(call->status, GRPC_OK);
    assert_int_equal(call->messages, 1);
    Userservice__BatchResult *result =
        userservice__batch_result__unpack(NULL, call->out_len, call->out);
    assert_non_null(result);
    return result;
}

static void assert_line(const Userservice__BatchResult *result, size_t index, const char *expected)
{
    assert_true(index < result->n_errors);
    assert_int_equal(result->errors[index].len, strlen(expected));
    assert_memory_equal(result->errors[index].data, expected, strlen(expected));
}

static void batch_is_inserted_256_at_a_time(void **state)
{
    (void)state;
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    for (unsigned i = 0; i < 600; i++)
        send_create(call, "u");
    assert_int_equal(fake_store.users, 512);
    assert_int_equal(fake_store.largest, 256);
    call->method->on_half_close(call);
    assert_int_equal(fake_store.inserts, 3);
    Userservice__BatchResult *result = result_of(call);
    assert_int_equal(result->created, 600);
    assert_int_equal(result->n_errors, 0);
    userservice__batch_result__free_unpacked(result, NULL);
    fake_call_end(call, GRPC_OK);
}

static void long_users_fill_a_batch_by_bytes(void **state)
{
    (void)state;
    char username[256];
    memset(username, 'x', 255);
    username[255] = '\0';
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    for (unsigned i = 0; i < 200; i++)
        send_create(call, username);
    assert_in_range(fake_store.users, 100, 199); /* the users that wait are also bounded in bytes */
    call->method->on_half_close(call);
    assert_int_equal(fake_store.users, 200);
    fake_call_end(call, GRPC_OK);
}

static void empty_batch_creates_nothing(void **state)
{
    (void)state;
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    call->method->on_half_close(call);
    Userservice__BatchResult *result = result_of(call);
    assert_int_equal(result->created, 0);
    assert_int_equal(fake_store.inserts, 0);
    userservice__batch_result__free_unpacked(result, NULL);
    fake_call_end(call, GRPC_OK);
}

static void bad_requests_are_told_by_position(void **state)
{
    (void)state;
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    send_create(call, "a");
    send_create(call, "");
    send_create(call, "b");
    send_create(call, "");
    call->method->on_half_close(call);
    Userservice__BatchResult *result = result_of(call);
    assert_int_equal(result->created, 2);
    assert_int_equal(result->n_errors, 2);
    assert_line(result, 0, "1: username is required");
    assert_line(result, 1, "3: username is required");
    userservice__batch_result__free_unpacked(result, NULL);
    fake_call_end(call, GRPC_OK);
}

static void errors_stop_at_1000_lines_and_one_more(void **state)
{
    (void)state;
    for (unsigned bad = 1000; bad <= 1001; bad++) {
        struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
        for (unsigned i = 0; i < bad; i++)
            send_create(call, "");
        call->method->on_half_close(call);
        Userservice__BatchResult *result = result_of(call);
        assert_int_equal(result->n_errors, bad);
        assert_line(result, 999, "999: username is required");
        if (bad > 1000)
            assert_line(result, 1000, "and 1 more");
        userservice__batch_result__free_unpacked(result, NULL);
        fake_call_end(call, GRPC_OK);
    }
}

static void table_that_fills_up_takes_what_fits(void **state)
{
    (void)state;
    fake_store.room = 301;
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    send_create(call, "");
    for (unsigned i = 0; i < 310; i++)
        send_create(call, "u");
    send_create(call, "");
    call->method->on_half_close(call);
    Userservice__BatchResult *result = result_of(call);
    assert_int_equal(result->created, 301);
    assert_int_equal(result->n_errors, 11);
    assert_line(result, 0, "0: username is required");
    assert_line(result, 1, "302: the table is full (max-users 12345)");
    assert_line(result, 9, "310: the table is full (max-users 12345)");
    assert_line(result, 10, "311: username is required");
    userservice__batch_result__free_unpacked(result, NULL);
    fake_call_end(call, GRPC_OK);
}

static struct grpc_call *batch_of(unsigned count, unsigned (*name)(unsigned i))
{
    char username[16];
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    for (unsigned i = 0; i < count; i++) {
        snprintf(username, sizeof(username), "u%u", name(i));
        send_create(call, username);
    }
    call->method->on_half_close(call);
    return call;
}

static unsigned own(unsigned i)
{
    return i;
}

static unsigned same(unsigned i)
{
    (void)i;
    return 7;
}

static unsigned paired(unsigned i)
{
    return i / 2;
}

static unsigned every_second_is_new(unsigned i)
{
    return i % 2 == 0 ? i / 2 : 1000 + i;
}

static unsigned one_in_a_hundred_is_old(unsigned i)
{
    return i % 100 == 99 ? i : 1000 + i;
}

static void batch_leaves_out_those_whose_names_are_taken(void **state)
{
    (void)state;
    fake_store.unique = true;
    fake_call_end(create("b"), GRPC_OK);
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    static const char *const names[] = {"a", "b", "c", "", "c", "b", "d", "a"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        send_create(call, names[i]);
    call->method->on_half_close(call);
    Userservice__BatchResult *result = result_of(call);
    assert_int_equal(result->created, 3); /* the first a, the first c, and d */
    assert_int_equal(result->n_errors, 5);
    assert_line(result, 0, "1: username 'b' is taken");
    assert_line(result, 1, "3: username is required");
    assert_line(result, 2, "4: username 'c' is taken");
    assert_line(result, 3, "5: username 'b' is taken");
    assert_line(result, 4, "7: username 'a' is taken");
    userservice__batch_result__free_unpacked(result, NULL);
    fake_call_end(call, GRPC_OK);
}

/* However taken and new names are mixed, at most four times as many users are handed to the store
 * as the batch has. */
static void taken_names_cost_no_more_tries_than_users(void **state)
{
    (void)state;
    static const struct {
        unsigned (*name)(unsigned i);
        unsigned created;
    } cases[] = {{own, 156},
                 {same, 0},
                 {paired, 28},
                 {every_second_is_new, 128 + 28},
                 {one_in_a_hundred_is_old, 255}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_store.users = 0;
        fake_store.unique = true;
        fake_call_end(batch_of(100, own), GRPC_OK);
        fake_store.submitted = 0;
        struct grpc_call *call = batch_of(256, cases[i].name);
        Userservice__BatchResult *result = result_of(call);
        assert_int_equal(result->created, cases[i].created);
        assert_int_equal(result->created + (int)result->n_errors, 256);
        assert_in_range(fake_store.submitted, 256, 4 * 256);
        userservice__batch_result__free_unpacked(result, NULL);
        fake_call_end(call, GRPC_OK);
    }
}

static void taken_users_of_a_batch_that_waits_are_told_once(void **state)
{
    (void)state;
    fake_store.unique = true;
    fake_store.busy_by_turns = true; /* in total for far longer than a call waits */
    struct grpc_call *call = batch_of(100, paired);
    fake_pass(server, 10000);
    Userservice__BatchResult *result = result_of(call);
    assert_int_equal(result->created, 50);
    assert_int_equal(result->n_errors, 50);
    for (unsigned i = 0; i < 50; i++) {
        char line[64];
        snprintf(line, sizeof(line), "%u: username 'u%u' is taken", 2 * i + 1, i);
        assert_line(result, i, line);
    }
    userservice__batch_result__free_unpacked(result, NULL);
    fake_call_end(call, GRPC_OK);
}

static void batch_that_waits_for_the_lock_holds_its_client_back(void **state)
{
    (void)state;
    fake_store.busy = 4;
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    for (unsigned i = 0; i < 256; i++)
        send_create(call, "u");
    assert_true(call->paused);
    fake_pass(server, 100);
    assert_false(call->paused);
    assert_int_equal(fake_store.users, 256);
    send_create(call, "u");
    fake_store.busy = 2;
    call->method->on_half_close(call);
    assert_int_equal(call->finishes, 0);
    fake_pass(server, 100);
    Userservice__BatchResult *result = result_of(call);
    assert_int_equal(result->created, 257);
    userservice__batch_result__free_unpacked(result, NULL);
    fake_call_end(call, GRPC_OK);
}

static void batch_gives_up_after_a_second_and_says_what_is_there(void **state)
{
    (void)state;
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    for (unsigned i = 0; i < 300; i++)
        send_create(call, "u");
    fake_store.busy = UINT32_MAX;
    call->method->on_half_close(call);
    fake_pass(server, 1100);
    assert_int_equal(call->status, GRPC_UNAVAILABLE);
    assert_string_equal(call->message, "the table is busy, try again; 256 users were created");
    fake_store.busy = 0;
    fake_call_end(call, GRPC_UNAVAILABLE);
    assert_int_equal(fake_store.users, 256); /* the number that the client was told */
}

static void cancelled_batch_keeps_what_came_and_counts_it(void **state)
{
    (void)state;
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    for (unsigned i = 0; i < 300; i++)
        send_create(call, i % 100 == 0 ? "" : "u");
    fake_call_end(call, GRPC_CANCELLED);
    assert_int_equal(fake_store.users, 297);
    assert_string_equal(fake_note, "BatchCreateUsers ended Cancelled after 300 requests: 297 users "
                                   "created, 3 refused, 0 dropped");
}

static void batch_cancelled_while_it_waits_drops_what_it_cannot_insert(void **state)
{
    (void)state;
    fake_store.busy = UINT32_MAX;
    struct grpc_call *call = fake_call_open(server, "BatchCreateUsers");
    for (unsigned i = 0; i < 256; i++)
        send_create(call, "u");
    fake_call_end(call, GRPC_DEADLINE_EXCEEDED);
    assert_string_equal(fake_note, "BatchCreateUsers ended DeadlineExceeded after 256 requests: 0 "
                                   "users created, 0 refused, 256 dropped");
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(user_is_created_at_once_where_the_lock_is_free),
        test(refused_request_is_wiped_too),
        test(taken_id_is_replaced_by_another),
        test(creation_waits_for_the_lock_without_blocking),
        test(creation_gives_up_after_a_second),
        test(cancelled_creation_stops_waiting),
        test(full_table_names_its_bound),
        test(writes_without_room_are_counted),
        test(taken_username_is_named),
        test(long_taken_username_is_cut_at_a_character),
        test(name_can_be_taken_while_a_creation_waits),
        test(unknown_id_is_shown),
        test(long_id_is_cut_at_a_character),
        test(page_size_0_is_10),
        test(full_last_page_has_no_next_token),
        test(token_continues_after_its_user),
        test(empty_table_is_an_empty_page),
        test(bad_arguments_hold_no_snapshot),
        test(token_of_another_table_is_refused),
        test(slow_reader_is_waited_for_on_the_same_snapshot),
        test(cancelled_listing_lets_its_snapshot_go),
        test(listing_without_a_free_pin_is_refused),
        test(listing_that_nobody_reads_ends_at_its_age),
        test(listing_that_is_read_slowly_ends_at_its_age_too),
        test(each_listing_has_its_own_age),
        test(revoked_listings_end_though_nobody_reads),
        test(revoked_listing_ends_as_soon_as_it_goes_on),
        test(listing_gives_up_its_turn_while_it_passes_deleted_users),
        test(token_is_exact_where_deleted_users_follow_the_page),
        test(listing_that_passes_deleted_users_ends_as_others_do),
        test(listing_that_need_not_wait_arms_no_timer),
        test(batch_is_inserted_256_at_a_time),
        test(long_users_fill_a_batch_by_bytes),
        test(empty_batch_creates_nothing),
        test(bad_requests_are_told_by_position),
        test(errors_stop_at_1000_lines_and_one_more),
        test(table_that_fills_up_takes_what_fits),
        test(batch_leaves_out_those_whose_names_are_taken),
        test(taken_names_cost_no_more_tries_than_users),
        test(taken_users_of_a_batch_that_waits_are_told_once),
        test(batch_that_waits_for_the_lock_holds_its_client_back),
        test(batch_gives_up_after_a_second_and_says_what_is_there),
        test(cancelled_batch_keeps_what_came_and_counts_it),
        test(batch_cancelled_while_it_waits_drops_what_it_cannot_insert),
    };
    return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
