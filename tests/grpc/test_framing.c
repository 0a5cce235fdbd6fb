/* SPDX-License-Identifier: MIT */
/* Messages from body bytes that come in pieces of any size, and bytes that are not messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grpc/receive.h"
#include "serve.h"

#define PEER serve.peer

static Grpctest__Item named(const char *name)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    item.name = (ProtobufCBinaryData){.len = strlen(name), .data = (uint8_t *)(uintptr_t)name};
    return item;
}

static void expect_failure(uint32_t id, int status, const char *message)
{
    struct reply reply;
    client_read(PEER, id, &reply);
    assert_true(reply.ended);
    assert_int_equal(reply_status(&reply), status);
    assert_string_equal(reply_field(reply.trailers, "grpc-message"), message);
    reply_free(&reply);
}

static void expect_echo(uint32_t id, const char *name)
{
    struct reply reply;
    client_read(PEER, id, &reply);
    assert_int_equal(reply_status(&reply), 0);
    assert_int_equal(reply_count(&reply), 1);
    Grpctest__Item *item = (Grpctest__Item *)reply_message(&reply, 0, &grpctest__item__descriptor);
    assert_int_equal(item->name.len, strlen(name));
    assert_memory_equal(item->name.data, name, strlen(name));
    protobuf_c_message_free_unpacked(&item->base, NULL);
    reply_free(&reply);
}

static void a_message_cut_at_every_byte_arrives_whole(void **state)
{
    Grpctest__Item item = named("some text that is cut in two");
    size_t len;
    uint8_t *frame = client_frame(&item.base, &len);
    uint32_t id = 1;
    (void)state;
    for (size_t cut = 0; cut <= len; cut++, id += 2) {
        client_open(PEER, id, "/grpctest.Test/Unary", false);
        client_data(PEER, id, frame, cut, false);
        peer_turn(PEER);
        client_data(PEER, id, frame + cut, len - cut, true);
        expect_echo(id, "some text that is cut in two");
    }
    free(frame);
}

static void a_message_sent_byte_by_byte_arrives_whole(void **state)
{
    Grpctest__Item item = named("drop by drop");
    size_t len;
    uint8_t *frame = client_frame(&item.base, &len);
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    for (size_t i = 0; i < len; i++)
        client_data(PEER, 1, frame + i, 1, false);
    client_data(PEER, 1, NULL, 0, true);
    expect_echo(1, "drop by drop");
    free(frame);
}

/** Sends three messages, the middle one empty, in two DATA frames. */
static void stream_messages_cut_at_every_byte_arrive_in_order(void **state)
{
    Grpctest__Item one = named("one"), none = GRPCTEST__ITEM__INIT, two = named("two");
    const ProtobufCMessage *messages[3] = {&one.base, &none.base, &two.base};
    uint8_t bytes[256];
    size_t len = 0, part;
    uint32_t id = 1;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t *frame = client_frame(messages[i], &part);
        memcpy(bytes + len, frame, part);
        len += part;
        free(frame);
    }
    for (size_t cut = 0; cut <= len; cut++, id += 2) {
        struct reply reply;
        client_open(PEER, id, "/grpctest.Test/Talk", false);
        client_data(PEER, id, bytes, cut, false);
        peer_turn(PEER);
        client_data(PEER, id, bytes + cut, len - cut, true);
        client_read(PEER, id, &reply);
        assert_int_equal(reply_status(&reply), 0);
        assert_int_equal(reply.body_len, len);
        assert_memory_equal(reply.body, bytes, len);
        reply_free(&reply);
    }
}

static void padding_is_no_part_of_a_message(void **state)
{
    Grpctest__Item item = named("padded");
    size_t len;
    uint8_t *frame = client_frame(&item.base, &len), padded[128] = {20};
    (void)state;
    memcpy(padded + 1, frame, len);
    free(frame);
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    peer_frame(PEER, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_END_STREAM, 1, padded,
               1 + len + 20);
    expect_echo(1, "padded");
}

static void request_trailers_end_the_body(void **state)
{
    Grpctest__Item item = named("with trailers");
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    client_send(PEER, 1, &item.base, false);
    peer_expect_quiet(PEER); /* a single request is delivered when the body ends */
    client_headers(PEER, 1, true, "x-end", "1", NULL);
    expect_echo(1, "with trailers");
}

static void the_compressed_flag_without_encoding_is_internal(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    client_data(PEER, 1, "\1\0\0\0\0", 5, true);
    expect_failure(1, 13, "compressed message without a grpc-encoding");
    client_open(PEER, 3, "/grpctest.Test/Talk", false, "grpc-encoding", "identity");
    client_data(PEER, 3, "\1\0\0\0\0", 5, true);
    expect_failure(3, 13, "compressed message without a grpc-encoding");
}

static void a_flag_beyond_one_is_internal(void **state)
{
    (void)state;
    for (uint32_t flag = 2; flag < 256; flag += 127) {
        uint8_t prefix[5] = {(uint8_t)flag};
        char message[64];
        client_open(PEER, 2 * flag + 1, "/grpctest.Test/Talk", false);
        client_data(PEER, 2 * flag + 1, prefix, 5, false);
        snprintf(message, sizeof(message), "bad compressed flag %u", flag);
        expect_failure(2 * flag + 1, 13, message);
    }
}

static void a_body_that_ends_inside_a_message_is_internal(void **state)
{
    static const char *const paths[] = {"/grpctest.Test/Unary", "/grpctest.Test/Collect",
                                        "/grpctest.Test/Produce", "/grpctest.Test/Talk"};
    Grpctest__Item item = named("cut off");
    size_t len;
    uint8_t *frame = client_frame(&item.base, &len);
    uint32_t id = 1;
    (void)state;
    for (size_t p = 0; p < 4; p++) {
        for (size_t cut = 1; cut < len; cut++, id += 2) {
            client_open(PEER, id, paths[p], false);
            client_data(PEER, id, frame, cut, true);
            expect_failure(id, 13, "the request ends inside a message");
        }
    }
    free(frame);
    assert_null(strstr(serve.log, "message"));
    assert_null(strstr(serve.log, "half"));
}

static void bytes_that_do_not_parse_are_internal(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    client_data(PEER, 1, "\0\0\0\0\2\x0a\x7f", 7, true);
    expect_failure(1, 13, "request does not parse as grpctest.Item");
}

static void text_that_is_not_utf8_is_internal_and_named(void **state)
{
    Grpctest__Item item = named("a\xff");
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    client_send(PEER, 1, &item.base, true);
    expect_failure(1, 13, "field name of grpctest.Item is not valid UTF-8");
    assert_null(strstr(serve.log, "message"));
}

static void a_nul_inside_text_is_kept(void **state)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    struct reply reply;
    (void)state;
    item.name = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"a\0b"};
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    client_send(PEER, 1, &item.base, true);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply.body_len, 10);
    assert_memory_equal(reply.body + 7, "a\0b", 3);
    reply_free(&reply);
}

static void a_message_over_the_maximum_is_refused_by_its_length(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    client_data(PEER, 1, "\0\0\x10\0\1", 5,
                false); /* announces 1 MiB and one byte, and sends none */
    expect_failure(1, 8, "message of 1048577 bytes is larger than the maximum of 1048576");
    client_open(PEER, 3, "/grpctest.Test/Unary", false);
    client_data(PEER, 3, "\0\xff\xff\xff\xff", 5, false);
    expect_failure(3, 8, "message of 4294967295 bytes is larger than the maximum of 1048576");
}

static void a_message_of_the_maximum_passes_a_smaller_window(void **state)
{
    size_t size = 1024 * 1024, at = 0;
    uint8_t *frame = calloc(1, 5 + size);
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    struct reply reply;
    (void)state;
    item.raw = (ProtobufCBinaryData){.len = size - 4, .data = calloc(1, size)};
    size_t len;
    free(frame);
    frame = client_frame(&item.base, &len);
    assert_int_equal(len, 5 + size);
    free(item.raw.data);
    client_open(PEER, 1, "/grpctest.Test/Collect", false);
    while (at < len) { /* slowly, so that the server gives its window back */
        size_t part = len - at < 16000 ? len - at : 16000;
        client_data(PEER, 1, frame + at, part, false);
        peer_turn(PEER);
        at += part;
    }
    client_data(PEER, 1, NULL, 0, true);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_status(&reply), 0);
    reply_free(&reply);
    free(frame);
}

static void a_single_request_without_message_is_unimplemented(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", true);
    expect_failure(1, 12, "no request message");
    client_open(PEER, 3, "/grpctest.Test/Produce", false);
    client_data(PEER, 3, NULL, 0, true);
    expect_failure(3, 12, "no request message");
    assert_null(strstr(serve.log, "message"));
}

static void a_single_request_of_two_messages_is_unimplemented(void **state)
{
    Grpctest__Item item = named("echo");
    size_t len;
    uint8_t *frame = client_frame(&item.base, &len), both[64];
    uint32_t id = 1;
    (void)state;
    memcpy(both, frame, len);
    memcpy(both + len, frame, len);
    for (size_t cut = 0; cut <= 2 * len; cut++, id += 2) {
        client_open(PEER, id, cut % 2 != 0 ? "/grpctest.Test/Unary" : "/grpctest.Test/Produce",
                    false);
        client_data(PEER, id, both, cut, false);
        peer_turn(PEER);
        if (cut <= len) /* else the answer has come and the stream is closed */
            client_data(PEER, id, both + cut, 2 * len - cut, true);
        expect_failure(id, 12, "more than one request message");
    }
    free(frame);
    assert_null(strstr(serve.log, "message"));
}

static void empty_messages_are_messages(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    client_data(PEER, 1, "\0\0\0\0\0", 5, true);
    expect_echo(1, "");
    client_open(PEER, 3, "/grpctest.Test/Talk", false);
    client_data(PEER, 3, "\0\0\0\0\0\0\0\0\0\0", 10, true);
    client_read(PEER, 3, &reply);
    assert_int_equal(reply_count(&reply), 2);
    reply_free(&reply);
}

static void a_secret_is_overwritten_where_it_lay(void **state)
{
    static const char password[] = "correct horse battery staple";
    Grpctest__Item item = named(password);
    size_t len;
    uint8_t *frame = client_frame(&item.base, &len);
    struct reply reply;
    (void)state;
    for (uint32_t id = 1; id <= 3; id += 2) { /* in one frame, then in two */
        client_open(PEER, id, "/grpctest.Test/Secret", false);
        if (id == 3) {
            client_data(PEER, id, frame, len - 7, false);
            peer_turn(PEER);
        }
        client_data(PEER, id, id == 3 ? frame + len - 7 : frame, id == 3 ? 7 : len, true);
        client_read(PEER, id, &reply);
        assert_int_equal(reply_status(&reply), 0);
        assert_non_null(serve.secret_in_place);
        for (size_t i = 0; i < sizeof(password) - 1; i++)
            assert_int_equal(serve.secret_in_place[i], 0);
        reply_free(&reply);
    }
    free(frame);
}

/** Delivers bytes as http2 does; the test can look at them afterwards. */
static void deliver(uint8_t *bytes, size_t len, bool end)
{
    serve.call->stream.recv_held += (uint32_t)len;
    serve.call->remote_end = end;
    grpc_receive(serve.call, bytes, len);
}

static void expect_wiped(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], 0);
}

static void a_secret_is_overwritten_in_the_buffer_it_came_in(void **state)
{
    Grpctest__Item item = named("correct horse battery staple");
    size_t len;
    (void)state;
    for (size_t cut = 0; cut < 30; cut += 10) {
        uint8_t *frame = client_frame(&item.base, &len);
        client_open(PEER, (uint32_t)(2 * cut + 1), "/grpctest.Test/Secret", false);
        peer_turn(PEER);
        if (cut != 0)
            deliver(frame, cut, false);
        deliver(frame + cut, len - cut, true);
        expect_wiped(frame + 5, len - 5); /* behind the prefix */
        free(frame);
        client_open(PEER, (uint32_t)(2 * cut + 3), "/grpctest.Test/Secret", false);
        frame = client_frame(&item.base, &len);
        peer_turn(PEER);
        grpc_call_finish(serve.call, GRPC_ABORTED, NULL);
        deliver(frame, len, false); /* the call has finished: the bytes are not used */
        expect_wiped(frame, len);
        free(frame);
    }
}

/** One step of a hostile client. @return whether the stream goes on */
static bool random_step(uint32_t id, const uint8_t *good, size_t len)
{
    uint8_t bytes[64];
    size_t part = (size_t)random() % sizeof(bytes);
    bool end = random() % 16 == 0;
    for (size_t i = 0; i < part; i++)
        bytes[i] = (uint8_t)(random() % 3 == 0 ? random() : 0);
    switch (random() % 8) {
    case 0:
        client_data(PEER, id, bytes, part, end);
        return !end;
    case 1:
        peer_frame(PEER, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\010", 4);
        return false;
    case 2:
        if (serve.waiting != NULL)
            grpc_call_resume(serve.waiting);
        return true;
    case 3:
        serve_for(1);
        return true;
    default: /* a whole message, or, if one was cut before, bytes inside it */
        part = random() % 3 == 0 ? (size_t)random() % len : len;
        client_data(PEER, id, good, part, false);
        client_data(PEER, id, good + part, len - part, end);
        return !end;
    }
}

/** Asserts only that each call ends once; sanitizers find the rest. */
static void random_clients_do_no_harm(void **state)
{
    static const char *const paths[] = {"/grpctest.Test/Unary", "/grpctest.Test/Secret",
                                        "/grpctest.Test/Collect", "/grpctest.Test/Produce",
                                        "/grpctest.Test/Talk"};
    static const char *const names[] = {"pause", "wake", "hang", "fail 3 no", "hello", "big 70000"};
    struct peer_frame frame;
    uint32_t id = 1;
    (void)state;
    srandom(3);
    for (unsigned i = 0; i < 700; i++, id += 2) {
        Grpctest__Item item = named(names[random() % 6]);
        size_t len;
        uint8_t *good = client_frame(&item.base, &len);
        client_open(PEER, id, paths[random() % 5], false, "grpc-timeout",
                    random() % 2 == 0 ? "3m" : "1H");
        serve.log[0] = '\0';
        while (random_step(id, good, len))
            ;
        free(good);
        while (recv(PEER->fd, &frame, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && peer_next(PEER, &frame))
            ;
        if (PEER->eof ||
            i % 50 == 49) { /* late frames for a closed stream may end the connection */
            peer_close(PEER);
            serve.peer = peer_connect(grpc_server_http2(serve.server), true);
            id = (uint32_t)-1;
        }
    }
    assert_true(serve.opens > 500); /* most were calls, not refused connections */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, serve_setup, serve_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_message_cut_at_every_byte_arrives_whole),
        TEST(a_message_sent_byte_by_byte_arrives_whole),
        TEST(stream_messages_cut_at_every_byte_arrive_in_order),
        TEST(padding_is_no_part_of_a_message),
        TEST(request_trailers_end_the_body),
        TEST(the_compressed_flag_without_encoding_is_internal),
        TEST(a_flag_beyond_one_is_internal),
        TEST(a_body_that_ends_inside_a_message_is_internal),
        TEST(bytes_that_do_not_parse_are_internal),
        TEST(text_that_is_not_utf8_is_internal_and_named),
        TEST(a_nul_inside_text_is_kept),
        TEST(a_message_over_the_maximum_is_refused_by_its_length),
        TEST(a_message_of_the_maximum_passes_a_smaller_window),
        TEST(a_single_request_without_message_is_unimplemented),
        TEST(a_single_request_of_two_messages_is_unimplemented),
        TEST(empty_messages_are_messages),
        TEST(a_secret_is_overwritten_where_it_lay),
        TEST(random_clients_do_no_harm),
        TEST(a_secret_is_overwritten_in_the_buffer_it_came_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
