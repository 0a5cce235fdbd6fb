/* SPDX-License-Identifier: MIT */
/* Messages whose end does not come, messages that wait for the connection's next turn, and what a
 * connection may hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve.h"

#define PEER serve.peer

enum { LONG = 3 * SERVE_MESSAGE_TIMEOUT, SHORT = SERVE_MESSAGE_TIMEOUT / 4 };

/* The message of an item with this name, to be sent in parts. */
static uint8_t *message_of(const char *name, size_t *len)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    item.name = (ProtobufCBinaryData){.len = strlen(name), .data = (uint8_t *)(uintptr_t)name};
    return client_frame(&item.base, len);
}

static void expect_timeout(uint32_t id)
{
    struct reply reply;
    client_read(PEER, id, &reply);
    assert_true(reply.ended);
    assert_int_equal(reply_status(&reply), 4);
    assert_non_null(strstr(reply_field(reply.trailers, "grpc-message"), "message-timeout"));
    reply_free(&reply);
}

static void expect_open(uint32_t id)
{
    struct reply reply;
    client_read(PEER, id, &reply);
    assert_false(reply.ended);
    reply_free(&reply);
}

static void half_a_message_ends_its_call_after_a_while(void **state)
{
    size_t len;
    uint8_t *bytes = message_of("half", &len);
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    client_open(PEER, 3, "/grpctest.Test/Unary", false);
    client_open(PEER, 5, "/grpctest.Test/Talk", false);
    client_data(PEER, 1, bytes, len - 1, false);
    client_data(PEER, 3, bytes, 3, false);
    serve_for(LONG);
    assert_int_equal(grpc_server_calls(serve.server), 1); /* the call without a message */
    expect_timeout(1);
    free(bytes);
}

static void whole_request_without_an_end_is_no_better(void **state)
{
    size_t len;
    uint8_t *bytes = message_of("whole", &len);
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    client_data(PEER, 1, bytes, len, false);
    serve_for(LONG);
    expect_timeout(1);
    free(bytes);
}

static void each_message_has_the_time_for_itself(void **state)
{
    size_t len;
    uint8_t *bytes = message_of("one of many", &len), *twice = malloc(2 * len);
    struct reply reply;
    (void)state;
    assert_non_null(twice);
    memcpy(twice, bytes, len);
    memcpy(twice + len, bytes, len);
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    client_data(PEER, 1, twice, 4, false);
    for (unsigned i = 0; i < 16; i++) { /* always in the middle of a message */
        serve_for(SHORT);
        client_data(PEER, 1, twice + 4, len, false);
    }
    client_read(PEER, 1, &reply);
    assert_false(reply.ended);
    assert_int_equal(reply_count(&reply), 16);
    reply_free(&reply);
    free(bytes);
    free(twice);
}

static void call_that_we_hold_back_has_all_the_time(void **state)
{
    size_t len;
    uint8_t *bytes = message_of("pause", &len);
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    client_data(PEER, 1, bytes, len, false);
    client_data(PEER, 1, bytes, len - 2, false);
    serve_for(LONG);
    client_read(PEER, 1, &reply);
    assert_false(reply.ended);
    reply_free(&reply);
    grpc_call_resume(serve.call);
    serve_for(LONG); /* now the client waits for the server */
    expect_timeout(1);
    free(bytes);
}

static void ended_and_reset_calls_have_no_time_left_to_pass(void **state)
{
    size_t len;
    uint8_t *bytes = message_of("gone", &len);
    (void)state;
    for (uint32_t id = 1; id < 9; id += 2) {
        client_open(PEER, id, "/grpctest.Test/Talk", false);
        client_data(PEER, id, bytes, len - 1, false);
    }
    peer_frame(PEER, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4); /* the first */
    peer_frame(PEER, NGHTTP2_RST_STREAM, 0, 7, "\0\0\0\x08", 4); /* the last */
    client_data(PEER, 3, bytes + len - 1, 1, false);             /* completes the message */
    serve_for(LONG);
    assert_int_equal(grpc_server_calls(serve.server), 1); /* stream 3 */
    expect_timeout(5);
    free(bytes);
}

static void without_a_bound_half_a_message_may_stay(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    client_data(PEER, 1, "\0\0\0\0\x09", 5, false);
    serve_for(LONG);
    expect_open(1);
}

static void messages_beyond_a_turn_are_delivered_in_the_next(void **state)
{
    enum { COUNT = 9000 }; /* one turn takes at most 4,096 */
    struct reply reply;
    uint8_t *bytes = calloc(1, (size_t)5 * COUNT);
    uint64_t turns;
    (void)state;
    assert_non_null(bytes);
    client_open(PEER, 1, "/grpctest.Test/Collect", false);
    for (size_t at = 0; at < (size_t)5 * COUNT; at += 15000)
        client_data(PEER, 1, bytes + at, 15000, at + 15000 == (size_t)5 * COUNT);
    client_read(PEER, 1, &reply);
    turns = http2_context_counts(grpc_server_http2(serve.server))->limit_hits[HTTP2_LIMIT_TURN];
    assert_true(reply.ended);
    assert_int_equal(reply_status(&reply), 0);
    Grpctest__Item *item = (Grpctest__Item *)reply_message(&reply, 0, &grpctest__item__descriptor);
    assert_int_equal(item->number, COUNT);
    protobuf_c_message_free_unpacked(&item->base, NULL);
    reply_free(&reply);
    assert_true(turns > 0);
    free(bytes);
}

/* ---- what a connection may hold ---- */

/* Sends halves of messages on new streams until one is refused. @return the next stream's id */
static uint32_t fill_the_account(void)
{
    static uint8_t bytes[12000] = {0, 0, 0, 0x40, 0}; /* the beginning of a message of 16 KiB */
    size_t calls = 0;
    uint32_t id;
    for (id = 1; calls == (id - 1) / 2; id += 2) {
        client_open(PEER, id, "/grpctest.Test/Talk", false);
        client_data(PEER, id, bytes, sizeof(bytes), false);
        serve_for(1);
        calls = grpc_server_calls(serve.server);
    }
    assert_true(calls > 10 && calls < 40);
    return id;
}

static void half_a_message_too_many_ends_its_own_call(void **state)
{
    struct reply reply;
    (void)state;
    uint32_t id = fill_the_account();
    client_read(PEER, id - 2, &reply);
    assert_true(reply.ended);
    assert_int_equal(reply_status(&reply), 8);
    assert_non_null(strstr(reply_field(reply.trailers, "grpc-message"), "max-connection-memory"));
    reply_free(&reply);
    /* when one of the others has ended, there is room again */
    size_t calls = grpc_server_calls(serve.server);
    peer_frame(PEER, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
    client_open(PEER, id, "/grpctest.Test/Talk", false);
    client_data(PEER, id, "\0\0\0\x40\0", 5, false);
    serve_for(1);
    assert_int_equal(grpc_server_calls(serve.server), calls);
}

static void answer_of_http_that_finds_no_room_is_a_reset(void **state)
{
    (void)state;
    peer_settings(PEER, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    uint32_t id = fill_the_account();
    for (unsigned i = 0; i < 100; i++, id += 2) /* some fit, because they are short */
        client_headers(PEER, id, true, ":method", "GET", ":scheme", "http", ":path", "/",
                       ":authority", "x", "content-type", "application/grpc", NULL);
    serve_for(1);
    const struct http2_counts *counts = http2_context_counts(grpc_server_http2(serve.server));
    assert_int_equal(counts->connections_open, 1);
    assert_true(counts->resets_out > 10);
}

static void reply_that_finds_no_room_ends_its_call(void **state)
{
    size_t len;
    uint8_t *bytes = message_of("big 60000", &len);
    (void)state;
    peer_settings(PEER, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    for (uint32_t id = 1; id < 41; id += 2) {
        client_open(PEER, id, "/grpctest.Test/Unary", false);
        client_data(PEER, id, bytes, len, true);
    }
    serve_for(1);
    /* the replies that fit wait for their windows; the other calls have failed at once */
    size_t calls = grpc_server_calls(serve.server);
    assert_true(calls >= 3 && calls <= 8);
    free(bytes);
}

int main(void)
{
#define TEST(name)      cmocka_unit_test_setup_teardown(name, serve_setup, serve_teardown)
#define IMPATIENT(name) cmocka_unit_test_setup_teardown(name, serve_setup_impatient, serve_teardown)
#define LITTLE(name)                                                                               \
    cmocka_unit_test_setup_teardown(name, serve_setup_with_little_memory, serve_teardown)
    const struct CMUnitTest tests[] = {
        IMPATIENT(half_a_message_ends_its_call_after_a_while),
        IMPATIENT(whole_request_without_an_end_is_no_better),
        IMPATIENT(each_message_has_the_time_for_itself),
        IMPATIENT(call_that_we_hold_back_has_all_the_time),
        IMPATIENT(ended_and_reset_calls_have_no_time_left_to_pass),
        TEST(without_a_bound_half_a_message_may_stay),
        TEST(messages_beyond_a_turn_are_delivered_in_the_next),
        LITTLE(half_a_message_too_many_ends_its_own_call),
        LITTLE(answer_of_http_that_finds_no_room_is_a_reset),
        LITTLE(reply_that_finds_no_room_ends_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
