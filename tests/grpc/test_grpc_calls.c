/* SPDX-License-Identifier: MIT */
/* Calls as clients see them: which answer comes, when, and which callbacks the method gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve.h"

#define PEER serve.peer

static Grpctest__Item named(const char *name)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    item.name = (ProtobufCBinaryData){.len = strlen(name), .data = (uint8_t *)(uintptr_t)name};
    return item;
}

static void send_named(uint32_t id, const char *name, bool end)
{
    Grpctest__Item item = named(name);
    client_send(PEER, id, &item.base, end);
}

static void expect_status(uint32_t id, int status, const char *message)
{
    struct reply reply;
    client_read(PEER, id, &reply);
    assert_true(reply.ended);
    assert_int_equal(reply_status(&reply), status);
    if (message != NULL)
        assert_string_equal(reply_field(reply.trailers, "grpc-message"), message);
    else
        assert_null(reply_field(reply.trailers, "grpc-message"));
    reply_free(&reply);
}

/* ---- requests that are not gRPC's ---- */

static void expect_http(uint32_t id, const char *status, const char *grpc_status)
{
    struct reply reply;
    client_read(PEER, id, &reply);
    assert_string_equal(reply_field(reply.headers, ":status"), status);
    assert_string_equal(reply_field(reply.headers, "content-type"), "text/plain");
    const char *told = reply_field(reply.headers, "grpc-status");
    if (grpc_status != NULL)
        assert_string_equal(told, grpc_status);
    else
        assert_null(told);
    assert_true(reply.body_len != 0 && reply.body[reply.body_len - 1] == '\n');
    assert_true(reply.ended);
    assert_int_equal(serve.opens, 0); /* the interceptors see it, a method does not */
    assert_non_null(strstr(serve.log, "[ <"));
    reply_free(&reply);
}

static void content_types_of_others_are_415(void **state)
{
    static const char *const types[] = {
        "application/grpc-web", "application/grpc+json", "application/grpc-web+proto",
        "application/grpcx",    "application/json",      "application/grpc+protox",
        "application/grp",      "application/grpc+",     ""};
    uint32_t id = 1;
    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++, id += 2) {
        peer_request(PEER, id, true, "/grpctest.Test/Unary", "content-type", types[i], NULL);
        expect_http(id, "415", NULL);
    }
    peer_request(PEER, id, true, "/grpctest.Test/Unary", NULL);
    expect_http(id, "415", NULL);
}

static void content_types_of_grpc_are_taken(void **state)
{
    static const char *const types[] = {"application/grpc", "application/grpc+proto",
                                        "application/grpc;charset=utf-8",
                                        "application/grpc+proto ; x=y", "Application/gRPC"};
    uint32_t id = 1;
    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++, id += 2) {
        peer_request(PEER, id, false, "/grpctest.Test/Unary", "content-type", types[i], NULL);
        send_named(id, "echo", true); /* te is missing, too, which is accepted */
        expect_status(id, 0, NULL);
    }
}

static void methods_other_than_post_are_405_after_the_content_type(void **state)
{
    (void)state;
    client_headers(PEER, 1, true, ":method", "GET", ":scheme", "http", ":path",
                   "/grpctest.Test/Unary", "content-type", "application/grpc", NULL);
    expect_http(1, "405", "13");
    client_headers(PEER, 3, true, ":method", "GET", ":scheme", "http", ":path", "/", NULL);
    expect_http(3, "415", NULL);
    client_headers(PEER, 5, false, ":method", "PUT", ":scheme", "http", ":path",
                   "/grpctest.Test/Unary", "content-type", "application/grpc", NULL);
    expect_http(5, "405", "13");
}

static void the_answer_to_head_has_no_body(void **state)
{
    struct reply reply;
    (void)state;
    client_headers(PEER, 1, true, ":method", "HEAD", ":scheme", "http", ":path", "/", NULL);
    client_read(PEER, 1, &reply);
    assert_true(reply.ended);
    assert_string_equal(reply_field(reply.trailers, ":status"), "415");
    assert_int_equal(reply.data_frames, 0);
}

static void an_answer_of_http_waits_for_a_closed_window(void **state)
{
    struct reply reply;
    (void)state;
    peer_settings(PEER, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1);
    client_headers(PEER, 1, true, ":method", "GET", ":scheme", "http", ":path", "/", NULL);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply.body_len, 1);
    assert_false(reply.ended);
    reply_free(&reply);
    peer_window_update(PEER, 1, 1000);
    client_read(PEER, 1, &reply);
    assert_true(reply.ended);
    reply_free(&reply);
}

static void a_shutdown_cuts_an_answer_of_http_that_waits(void **state)
{
    struct reply reply;
    (void)state;
    client_headers(PEER, 1, false, ":method", "GET", ":scheme", "http", ":path", "/", NULL);
    client_read(PEER, 1, &reply);
    assert_false(reply.ended); /* the request has not ended */
    reply_free(&reply);
    assert_int_equal(grpc_server_calls(serve.server), 1);
    grpc_server_end_calls(serve.server, GRPC_UNAVAILABLE, "no more");
    client_read(PEER, 1, &reply);
    assert_true(reply.reset);
    reply_free(&reply);
    assert_int_equal(grpc_server_calls(serve.server), 0);
    assert_int_equal(serve.status, GRPC_UNKNOWN); /* the status of its answer */
}

static void a_malformed_timeout_is_400(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false, "grpc-timeout", "1s");
    expect_http(1, "400", "13");
}

/* What is concluded from a header block is remembered with it: the first block of a kind changes
 * the table, the third is kept, the fourth is read for the last time. Between the rounds come other
 * blocks, of other meanings. */
static void a_header_block_that_comes_again_has_the_same_answer(void **state)
{
    static const struct {
        const char *path, *fields[4], *method;
        int status; /* of HTTP from 100 on, else of gRPC */
    } requests[] = {
        {"/grpctest.Test/Unary", {"content-type", "text/html"}, "POST", 415},
        {"/grpctest.Test/Unary", {"content-type", "application/grpc"}, "GET", 405},
        {"/grpctest.Test/Unary",
         {"content-type", "application/grpc", "grpc-timeout", "1s"},
         "POST",
         400},
        {"/grpctest.Test/None", {"content-type", "application/grpc"}, "POST", 12},
        {"/grpctest.Test/Unary",
         {"content-type", "application/grpc", "grpc-encoding", "snappy"},
         "POST",
         12},
        {"/grpctest.Test/Unary",
         {"content-type", "application/grpc", "grpc-timeout", "0S"},
         "POST",
         4},
        {"/grpctest.Test/Unary", {"content-type", "application/grpc", "x-bin", "!!!"}, "POST", 13},
        {"/grpctest.Test/Unary",
         {"content-type", "application/grpc", "grpc-timeout", "9S"},
         "POST",
         0},
    };
    uint32_t id = 1;
    (void)state;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
            for (int times = 0; times < 8; times++, id += 2) {
                struct reply reply;
                bool end = requests[i].status >= 100;
                client_headers(PEER, id, end, ":method", requests[i].method, ":scheme", "http",
                               ":path", requests[i].path, requests[i].fields[0],
                               requests[i].fields[1], requests[i].fields[2], requests[i].fields[3],
                               NULL);
                if (!end)
                    send_named(id, "echo", true);
                client_read(PEER, id, &reply);
                if (end)
                    assert_int_equal(atoi(reply_field(reply.headers, ":status")),
                                     requests[i].status);
                else
                    assert_int_equal(reply_status(&reply), requests[i].status);
                reply_free(&reply);
            }
}

/* ---- statuses ---- */

static void unknown_methods_are_unimplemented_by_trailers_only(void **state)
{
    static const char *const paths[] = {"/grpctest.Test/Nothing", "/grpctest.None/Unary", "/",
                                        "/grpctest.Test/Unary/"};
    uint32_t id = 1;
    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++, id += 2) {
        struct reply reply;
        client_open(PEER, id, paths[i], true);
        client_read(PEER, id, &reply);
        assert_string_equal(reply.headers, "");
        assert_int_equal(reply_status(&reply), 12);
        assert_string_equal(reply_field(reply.trailers, ":status"), "200");
        assert_string_equal(reply_field(reply.trailers, "content-type"), "application/grpc");
        assert_non_null(strstr(reply_field(reply.trailers, "grpc-message"), paths[i]));
        assert_int_equal(reply.data_frames, 0);
    }
    assert_int_equal(serve.opens, 0);
    assert_int_equal(serve.step_ends, id / 2); /* but the interceptors saw it */
}

static void a_unary_call_is_answered(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    send_named(1, "hello", true);
    client_read(PEER, 1, &reply);
    assert_string_equal(reply.headers, ":status: 200\ncontent-type: application/grpc\n");
    assert_string_equal(reply.trailers, "grpc-status: 0\n");
    assert_int_equal(reply_count(&reply), 1);
    assert_int_equal(reply.data_frames, 1);
    assert_false(reply.reset);
    assert_string_equal(serve.log, "[ < open message end > ]");
    assert_int_equal(serve.status, 0);
    reply_free(&reply);
}

static void a_failure_is_trailers_only_with_an_encoded_message(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    send_named(1, "fail 5 50% of caf\xc3\xa9s\nclosed", true);
    client_read(PEER, 1, &reply);
    assert_string_equal(reply.headers, "");
    assert_int_equal(reply_status(&reply), 5);
    assert_string_equal(reply_field(reply.trailers, "grpc-message"),
                        "50%25 of caf%C3%A9s%0Aclosed");
    assert_int_equal(serve.status, 5);
    reply_free(&reply);
}

static void every_status_reaches_the_client(void **state)
{
    (void)state;
    for (uint32_t status = 1; status < GRPC_NUM_STATUSES; status++) {
        char name[32];
        snprintf(name, sizeof(name), "fail %u why", status);
        client_open(PEER, 2 * status + 1, "/grpctest.Test/Unary", false);
        send_named(2 * status + 1, name, true);
        expect_status(2 * status + 1, (int)status, "why");
    }
    client_open(PEER, 101, "/grpctest.Test/Unary", false);
    send_named(101, "fail 99", true); /* there is no such status */
    expect_status(101, GRPC_UNKNOWN, NULL);
}

static void a_method_that_replies_wrongly_is_internal(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    send_named(1, "silent", true);
    expect_status(1, 13, "the method sent no reply");
    client_open(PEER, 3, "/grpctest.Test/Unary", false);
    send_named(3, "twice", true);
    expect_status(3, 13, "the method sent more than one reply");
}

static void a_header_list_over_the_maximum_is_resource_exhausted(void **state)
{
    char *value = malloc(9001);
    (void)state;
    memset(value, 'x', 9000);
    value[9000] = '\0';
    client_open(PEER, 1, "/grpctest.Test/Unary", true, "x-large", value);
    expect_status(1, 8, "the request's header list is too large");
    serve.refuse = GRPC_UNAUTHENTICATED; /* as if its token had been cut off */
    client_open(PEER, 3, "/grpctest.Test/Unary", true, "x-large", value);
    expect_status(3, 8, "the request's header list is too large");
    free(value);
}

static void an_unsupported_encoding_is_unimplemented_and_says_what_is(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false, "grpc-encoding", "snappy");
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_status(&reply), 12);
    assert_string_equal(reply_field(reply.trailers, "grpc-accept-encoding"),
                        "identity,gzip,deflate");
    client_open(PEER, 3, "/grpctest.Test/Unary", false, "grpc-encoding", "identity");
    send_named(3, "echo", true);
    expect_status(3, 0, NULL);
}

/* ---- interceptors ---- */

static void the_chain_may_refuse_what_is_none_of_grpcs(void **state)
{
    (void)state;
    serve.refuse = GRPC_UNAUTHENTICATED;
    peer_request(PEER, 1, true, "/grpctest.Test/Unary", "content-type", "text/html", NULL);
    expect_status(1, GRPC_UNAUTHENTICATED, "the chain says no");
    client_headers(PEER, 3, true, ":method", "GET", ":scheme", "http", ":path",
                   "/grpctest.Test/Unary", "content-type", "application/grpc", NULL);
    expect_status(3, GRPC_UNAUTHENTICATED, "the chain says no");
    client_open(PEER, 5, "/grpctest.Test/Unary", true, "grpc-timeout", "soon");
    expect_status(5, GRPC_UNAUTHENTICATED, "the chain says no");
    assert_int_equal(serve.step_ends, 3);
}

static void the_chain_may_refuse_before_anything_is_told_of_the_method(void **state)
{
    (void)state;
    serve.refuse = GRPC_UNAUTHENTICATED;
    client_open(PEER, 1, "/grpctest.Test/Unary", true);
    expect_status(1, 16, "the chain says no");
    client_open(PEER, 3, "/no/such", true, "x-bin", "!!!", "grpc-timeout", "0S");
    expect_status(3, 16, "the chain says no");
    assert_string_equal(serve.log, "[ ] [ ]"); /* the second interceptor saw neither call */
}

/* ---- metadata ---- */

static void expect_tag(const Grpctest__Item *item, size_t n, const char *tag, size_t len)
{
    assert_true(n < item->n_tags);
    assert_int_equal(item->tags[n].len, len);
    assert_memory_equal(item->tags[n].data, tag, len);
}

static void request_metadata_reaches_the_method(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false, "grpc-accept-encoding", "gzip",
                "user-agent", "test", "x-one", "1", "authorization", "Bearer t", "x-one", "2",
                "a-bin", "AP8=", "b-bin", "Zg, Zm8=,,Zm9v", "empty", "", "grpc-trace-bin", "AA");
    send_named(1, "metadata", true);
    client_read(PEER, 1, &reply);
    Grpctest__Item *item = (Grpctest__Item *)reply_message(&reply, 0, &grpctest__item__descriptor);
    expect_tag(item, 0, "x-one=1", 7);
    expect_tag(item, 1, "authorization=Bearer t", 22);
    expect_tag(item, 2, "x-one=2", 7);
    expect_tag(item, 3, "a-bin=\0\xff", 8);
    expect_tag(item, 4, "b-bin=f", 7);
    expect_tag(item, 5, "b-bin=fo", 8);
    expect_tag(item, 6, "b-bin=", 6);
    expect_tag(item, 7, "b-bin=foo", 9);
    expect_tag(item, 8, "empty=", 6);
    assert_int_equal(item->n_tags, 9);
    assert_memory_equal(item->raw.data, "unix:", item->raw.len);
    protobuf_c_message_free_unpacked(&item->base, NULL);
    reply_free(&reply);
}

static void binary_metadata_that_is_not_base64_is_internal(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", true, "x-bin", "AA,!");
    expect_status(1, 13, "metadata x-bin is not base64");
    assert_int_equal(serve.opens, 0);
}

static void response_metadata_reaches_the_client(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    send_named(1, "add", true);
    client_read(PEER, 1, &reply);
    assert_string_equal(reply.headers, ":status: 200\ncontent-type: application/grpc\n"
                                       "first: 1\nfirst-bin: AP8\n");
    assert_string_equal(reply.trailers, "grpc-status: 0\nlast: \nlast-bin: AQ\nlast: 2\n");
    reply_free(&reply);
}

static void initial_metadata_of_a_failure_keeps_headers_of_its_own(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    send_named(1, "addfail", true);
    client_read(PEER, 1, &reply);
    assert_string_equal(reply_field(reply.headers, "first"), "1");
    assert_string_equal(reply.trailers, "grpc-status: 5\n");
}

/* ---- streams ---- */

static void a_client_stream_gets_one_reply_at_its_end(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Collect", false);
    for (unsigned i = 0; i < 100; i++)
        send_named(1, "x", i == 99);
    client_read(PEER, 1, &reply);
    Grpctest__Item *item = (Grpctest__Item *)reply_message(&reply, 0, &grpctest__item__descriptor);
    assert_int_equal(item->number, 100);
    assert_int_equal(reply_status(&reply), 0);
    protobuf_c_message_free_unpacked(&item->base, NULL);
    reply_free(&reply);
    client_open(PEER, 3, "/grpctest.Test/Collect", true);
    expect_status(3, 0, NULL);
}

static void headers_of_a_streaming_reply_go_out_at_once(void **state)
{
    struct peer_frame frame;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    peer_expect(PEER, NGHTTP2_HEADERS, &frame);
    assert_string_equal(PEER->fields, ":status: 200\ncontent-type: application/grpc\n");
    client_open(PEER, 3, "/grpctest.Test/Produce", false);
    peer_expect(PEER, NGHTTP2_HEADERS, &frame);
    client_open(PEER, 5, "/grpctest.Test/Unary", false);
    client_open(PEER, 7, "/grpctest.Test/Collect", false);
    peer_expect_quiet(PEER);
}

static void a_conversation_goes_back_and_forth(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    for (unsigned i = 0; i < 5; i++) {
        send_named(1, "hello", false);
        client_read(PEER, 1, &reply);
        assert_int_equal(reply_count(&reply), 1);
        assert_false(reply.ended);
        reply_free(&reply);
        reply.headers[0] = '\0';
    }
    client_data(PEER, 1, NULL, 0, true);
    struct peer_frame frame;
    peer_expect(PEER, NGHTTP2_HEADERS, &frame);
    assert_string_equal(PEER->fields, "grpc-status: 0\n");
    assert_string_equal(serve.log, "[ < open message message message message message half end > ]");
}

static void many_small_replies_share_frames(void **state)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    struct reply reply;
    (void)state;
    item.number = 1000;
    client_open(PEER, 1, "/grpctest.Test/Produce", false);
    client_send(PEER, 1, &item.base, true);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_status(&reply), 0);
    assert_int_equal(reply_count(&reply), 1000);
    assert_true(reply.data_frames < 10);
    reply_free(&reply);
}

static void a_finish_before_the_clients_end_stops_the_client(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Collect", false);
    send_named(1, "fail 10 enough", false);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_status(&reply), 10);
    assert_true(reply.reset);
    assert_int_equal(reply.reset_code, HTTP2_NO_ERROR);
    send_named(1, "late", true); /* as if it had been on its way */
    peer_expect_quiet(PEER);
    assert_string_equal(serve.log, "[ < open message end > ]");
    reply_free(&reply);
}

static void a_slow_reader_holds_back_the_producer(void **state)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    uint8_t raw[1000] = {0};
    struct reply reply;
    (void)state;
    item.number = 10000;
    item.raw = (ProtobufCBinaryData){.len = sizeof(raw), .data = raw};
    client_open(PEER, 1, "/grpctest.Test/Produce", false);
    client_send(PEER, 1, &item.base, true);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply.body_len, 65535); /* the client's window */
    assert_false(reply.ended);
    assert_true(serve.produced <= 66);
    reply_free(&reply);
    peer_window_update(PEER, 0, 20000000);
    peer_window_update(PEER, 1, 20000000);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_status(&reply), 0);
    assert_int_equal(serve.produced, 10000);
    assert_int_equal(reply.body_len, 10000 * 1009 - 65535);
    reply_free(&reply);
}

/** What the server holds for a client that sends without reading is bounded. */
static void a_talker_that_does_not_read_is_held_back(void **state)
{
    uint8_t raw[10000] = {0};
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    size_t len, sent = 0, window = 65535, echoed = 0;
    struct peer_frame frame;
    (void)state;
    item.raw = (ProtobufCBinaryData){.len = sizeof(raw), .data = raw};
    uint8_t *bytes = client_frame(&item.base, &len);
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    peer_turn(PEER);
    window = 262144; /* the initial window of the server's SETTINGS */
    while (window >= len && sent < 1000) {
        client_data(PEER, 1, bytes, len, false);
        sent++;
        window -= len;
        for (peer_turn(PEER); recv(PEER->fd, &frame, 1, MSG_PEEK | MSG_DONTWAIT) == 1;) {
            assert_true(peer_next(PEER, &frame));
            if (frame.type == NGHTTP2_WINDOW_UPDATE && frame.stream_id == 1)
                window += peer_u32(frame.payload);
            if (frame.type == NGHTTP2_DATA)
                echoed += frame.len;
            while (PEER->in_len - PEER->used >= 9 && peer_next(PEER, &frame)) {
                if (frame.type == NGHTTP2_WINDOW_UPDATE && frame.stream_id == 1)
                    window += peer_u32(frame.payload);
                if (frame.type == NGHTTP2_DATA)
                    echoed += frame.len;
            }
        }
    }
    assert_int_equal(echoed, 65535);
    assert_true(sent < 50);
    client_data(PEER, 1, NULL, 0, true); /* remembered while the call is held back */
    peer_window_update(PEER, 0, 20000000);
    peer_window_update(PEER, 1, 20000000);
    bool ended = false;
    while (!ended && peer_next(PEER, &frame)) {
        if (frame.type == NGHTTP2_DATA)
            echoed += frame.len;
        ended = frame.type == NGHTTP2_HEADERS && (frame.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    }
    assert_string_equal(PEER->fields, "grpc-status: 0\n");
    assert_int_equal(echoed, sent * len);
    free(bytes);
}

static void a_paused_call_goes_on_where_it_stopped(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    send_named(1, "pause", false);
    send_named(1, "one", false);
    send_named(1, "pause", false);
    send_named(1, "two", true);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_count(&reply), 1);
    reply_free(&reply);
    grpc_call_resume(serve.call);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_count(&reply), 2);
    assert_false(reply.ended);
    reply_free(&reply);
    grpc_call_resume(serve.call);
    client_read(PEER, 1, &reply);
    assert_true(reply.ended);
    assert_int_equal(reply_count(&reply), 1);
    assert_string_equal(serve.log, "[ < open message message message message half end > ]");
    reply_free(&reply);
}

/* What a paused call holds is given back when its stream closes, and not once more by on_end, which
 * resumes it: the client could send more than the connection's window. */
static void the_window_of_a_paused_call_comes_back_once(void **state)
{
    enum { CALLS = 3, LEN = 240 * 1024, PIECE = 16 * 1024 };
    static uint8_t zeros[PIECE];
    struct peer_frame frame;
    uint64_t given_back = 0;
    (void)state;
    for (uint32_t id = 1; id < 2 * CALLS; id += 2) {
        client_open(PEER, id, "/grpctest.Test/Talk", false);
        send_named(id, "pause", false);
        for (size_t sent = 0; sent < LEN; sent += PIECE)
            client_data(PEER, id, zeros, PIECE, false);
        peer_turn(PEER);
    }
    while (peer_next_now(PEER, &frame)) /* the first update makes the window as large as it is */
        ;
    for (uint32_t id = 1; id < 2 * CALLS; id += 2)
        peer_frame(PEER, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\010", 4);
    peer_turn(PEER);
    assert_int_equal(serve.ends, CALLS);
    while (peer_next_now(PEER, &frame))
        if (frame.type == NGHTTP2_WINDOW_UPDATE && frame.stream_id == 0)
            given_back += peer_u32(frame.payload);
    assert_true(given_back != 0 && given_back < (uint64_t)CALLS * (LEN + PIECE));
}

static void a_unary_call_paused_at_its_start_waits(void **state)
{
    (void)state;
    serve.open_pauses = true;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    send_named(1, "echo", true);
    peer_expect_quiet(PEER);
    assert_string_equal(serve.log, "[ < open");
    grpc_call_resume(serve.call);
    expect_status(1, 0, NULL);
}

static void a_call_resumed_within_another_leaves_its_message_alone(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    send_named(1, "pause", false);
    send_named(1, "fills the arena that messages are decoded into", true);
    peer_turn(PEER);
    client_open(PEER, 3, "/grpctest.Test/Unary", false);
    send_named(3, "wake, and this text must be the same after it", true);
    client_read(PEER, 3, &reply);
    Grpctest__Item *item = (Grpctest__Item *)reply_message(&reply, 0, &grpctest__item__descriptor);
    assert_int_equal(item->name.len, 45);
    assert_memory_equal(item->name.data, "wake, and this text must be the same after it", 45);
    protobuf_c_message_free_unpacked(&item->base, NULL);
    reply_free(&reply);
    assert_non_null(strstr(serve.log, "message half end >"));
}

static void nothing_is_delivered_before_on_open_returns(void **state)
{
    (void)state;
    serve.open_pauses = serve.open_resumes = true;
    client_open(PEER, 1, "/grpctest.Test/Collect", true);
    expect_status(1, 0, NULL);
    assert_string_equal(serve.log, "[ < open half end > ]");
}

static void a_stream_that_fails_as_it_opens_is_trailers_only(void **state)
{
    struct reply reply;
    (void)state;
    serve.open_fails = GRPC_FAILED_PRECONDITION;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    send_named(1, "hello", true);
    client_read(PEER, 1, &reply);
    assert_string_equal(reply.headers, "");
    assert_int_equal(reply_status(&reply), GRPC_FAILED_PRECONDITION);
    assert_string_equal(serve.log, "[ < open end > ]");
}

/* ---- ends ---- */

static void a_zero_timeout_is_exceeded_at_once(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false, "grpc-timeout", "0m");
    expect_status(1, 4, "deadline exceeded");
    assert_int_equal(serve.opens, 0);
}

static void a_call_within_its_deadline_is_answered(void **state)
{
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false, "grpc-timeout", "10S");
    send_named(1, "echo", true);
    expect_status(1, 0, NULL);
    assert_int_equal(
        timers_wait(grpc_server_timers(serve.server), grpc_server_now_ms(serve.server)), -1);
}

static void a_deadline_that_passes_ends_the_method(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false, "grpc-timeout", "30m");
    send_named(1, "hang", true);
    client_open(PEER, 3, "/grpctest.Test/Collect", false, "grpc-timeout", "30000u");
    serve_for(10);
    assert_int_equal(serve.ends, 0);
    serve_for(60);
    assert_int_equal(serve.ends, 2);
    assert_int_equal(serve.status, 4);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_status(&reply), 4);
    assert_false(reply.reset); /* the client had ended its side */
    client_open(PEER, 5, "/grpctest.Test/Collect", false, "grpc-timeout", "5m");
    serve_for(20);
    client_read(PEER, 5, &reply);
    assert_int_equal(reply_status(&reply), 4);
    assert_true(reply.reset);
    assert_int_equal(reply.reset_code, HTTP2_NO_ERROR);
}

static void a_deadline_within_a_half_sent_message_resets(void **state)
{
    struct reply reply;
    (void)state;
    for (uint32_t id = 1; id <= 3; id += 2) {
        peer_window_update(PEER, 0, 65535);
        client_open(PEER, id, "/grpctest.Test/Unary", false, "grpc-timeout", "20m");
        send_named(id, "big 100000", true); /* the method has finished, its reply is not out */
        client_read(PEER, id, &reply);
        assert_int_equal(reply.body_len, 65535);
        assert_int_equal(serve.ends, id / 2);
        reply_free(&reply);
        serve_for(40);
        client_read(PEER, id, &reply);
        assert_true(reply.reset);
        assert_int_equal(reply.reset_code, HTTP2_CANCEL);
        assert_int_equal(serve.ends, id / 2 + 1);
        assert_int_equal(serve.status, 4);
    }
}

static void a_reply_larger_than_the_window_ends_when_it_may(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    send_named(1, "big 100000", true);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply.body_len, 65535);
    reply_free(&reply);
    peer_window_update(PEER, 0, 100000);
    peer_window_update(PEER, 1, 100000);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_status(&reply), 0);
    assert_int_equal(reply.body_len, 100009 - 65535);
    reply_free(&reply);
}

/* Small, as large as fits one frame, and larger. */
static void a_reply_that_was_given_arrives_whole(void **state)
{
    static const size_t sizes[] = {0, 100, 16370, 16380, 60000};
    (void)state;
    for (size_t i = 0; i != sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t id = (uint32_t)(2 * i + 1);
        struct reply reply;
        char name[32];
        snprintf(name, sizeof(name), "given %zu", sizes[i]);
        peer_window_update(PEER, 0, 65535);
        client_open(PEER, id, "/grpctest.Test/Unary", false);
        send_named(id, name, true);
        client_read(PEER, id, &reply);
        assert_int_equal(reply_status(&reply), 0);
        assert_int_equal(reply_count(&reply), 1);
        Grpctest__Item *item =
            (Grpctest__Item *)reply_message(&reply, 0, &grpctest__item__descriptor);
        assert_int_equal(item->raw.len, sizes[i]);
        for (size_t at = 0; at != sizes[i]; at++)
            assert_int_equal(item->raw.data[at], 'g');
        grpctest__item__free_unpacked(item, NULL);
        reply_free(&reply);
    }
}

static void a_reply_that_was_given_may_be_compressed(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false, "grpc-accept-encoding", "gzip");
    send_named(1, "given 60000", true);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_status(&reply), 0);
    assert_string_equal(reply_field(reply.headers, "grpc-encoding"), "gzip");
    assert_int_equal(reply.body[0], 1);
    assert_in_range(reply.body_len, 20, 1000);
    reply_free(&reply);
}

/* What waits is freed with the connection, which the test's end closes. */
static void a_reply_that_was_given_waits_for_the_window(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    send_named(1, "given 100000", true);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply.body_len, 65535);
    assert_false(reply.ended);
    reply_free(&reply);
}

static void a_reset_cancels_the_method_once(void **state)
{
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    send_named(1, "hello", false);
    peer_turn(PEER);
    peer_frame(PEER, NGHTTP2_RST_STREAM, 0, 1, cancel, 4);
    serve_for(1);
    assert_string_equal(serve.log, "[ < open message end > ]");
    assert_int_equal(serve.status, GRPC_CANCELLED);
    assert_int_equal(grpc_server_calls(serve.server), 0);
}

static void a_reset_of_a_held_call_with_its_inbox_full_leaks_nothing(void **state)
{
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false, "grpc-timeout", "1H");
    send_named(1, "pause", false);
    for (unsigned i = 0; i < 100; i++)
        send_named(1, "more that waits", false);
    peer_turn(PEER);
    peer_frame(PEER, NGHTTP2_RST_STREAM, 0, 1, cancel, 4);
    serve_for(1);
    assert_string_equal(serve.log, "[ < open message end > ]");
    assert_int_equal(serve.status, GRPC_CANCELLED);
}

static void a_lost_connection_cancels_its_calls(void **state)
{
    (void)state;
    for (uint32_t id = 1; id <= 9; id += 2)
        client_open(PEER, id, id % 4 == 1 ? "/grpctest.Test/Talk" : "/grpctest.Test/Collect", false,
                    "grpc-timeout", "10S");
    client_data(PEER, 1, "\0\0\0\1", 4, false);
    peer_turn(PEER);
    assert_int_equal(grpc_server_calls(serve.server), 5);
    peer_close(PEER);
    serve.peer = peer_connect(grpc_server_http2(serve.server), true);
    assert_int_equal(serve.ends, 5);
    assert_int_equal(serve.status, GRPC_CANCELLED);
    assert_int_equal(grpc_server_calls(serve.server), 0);
}

static void calls_that_outlast_a_graceful_end_are_unavailable(void **state)
{
    struct reply reply;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Talk", false);
    client_open(PEER, 3, "/grpctest.Test/Unary", false);
    send_named(3, "big 100000", true);
    peer_turn(PEER);
    grpc_server_end_calls(serve.server, GRPC_UNAVAILABLE, "shutting down");
    client_open(PEER, 5, "/grpctest.Test/Unary", false);
    client_read(PEER, 5, &reply);
    assert_int_equal(reply_status(&reply), 14);
    reply_free(&reply);
    serve_for(1);
    assert_int_equal(serve.ends, 2);
    assert_int_equal(grpc_server_calls(serve.server), 0);
}

static void a_graceful_end_lets_calls_finish(void **state)
{
    struct peer_frame frame;
    (void)state;
    client_open(PEER, 1, "/grpctest.Test/Unary", false);
    peer_turn(PEER);
    grpc_server_shutdown(serve.server);
    peer_turn(PEER);
    send_named(1, "echo", true);
    bool goaway = false, ended = false;
    while (!ended && peer_next(PEER, &frame)) {
        goaway |= frame.type == NGHTTP2_GOAWAY;
        ended = frame.type == NGHTTP2_HEADERS && (frame.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    }
    assert_true(goaway);
    assert_string_equal(PEER->fields, "grpc-status: 0\n");
}

/* ---- cost ---- */

static void an_idle_call_is_small(void **state)
{
    (void)state;
    assert_true(http2_context_handler(grpc_server_http2(serve.server))->stream_size <= 1024);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, serve_setup, serve_teardown)
    const struct CMUnitTest tests[] = {
        TEST(content_types_of_others_are_415),
        TEST(content_types_of_grpc_are_taken),
        TEST(methods_other_than_post_are_405_after_the_content_type),
        TEST(the_answer_to_head_has_no_body),
        TEST(an_answer_of_http_waits_for_a_closed_window),
        TEST(a_malformed_timeout_is_400),
        TEST(a_header_block_that_comes_again_has_the_same_answer),
        TEST(unknown_methods_are_unimplemented_by_trailers_only),
        TEST(a_unary_call_is_answered),
        TEST(a_failure_is_trailers_only_with_an_encoded_message),
        TEST(every_status_reaches_the_client),
        TEST(a_method_that_replies_wrongly_is_internal),
        TEST(a_header_list_over_the_maximum_is_resource_exhausted),
        TEST(an_unsupported_encoding_is_unimplemented_and_says_what_is),
        TEST(a_shutdown_cuts_an_answer_of_http_that_waits),
        TEST(the_chain_may_refuse_what_is_none_of_grpcs),
        TEST(the_chain_may_refuse_before_anything_is_told_of_the_method),
        TEST(request_metadata_reaches_the_method),
        TEST(binary_metadata_that_is_not_base64_is_internal),
        TEST(response_metadata_reaches_the_client),
        TEST(initial_metadata_of_a_failure_keeps_headers_of_its_own),
        TEST(a_client_stream_gets_one_reply_at_its_end),
        TEST(headers_of_a_streaming_reply_go_out_at_once),
        TEST(a_conversation_goes_back_and_forth),
        TEST(many_small_replies_share_frames),
        TEST(a_finish_before_the_clients_end_stops_the_client),
        TEST(a_slow_reader_holds_back_the_producer),
        TEST(a_talker_that_does_not_read_is_held_back),
        TEST(a_paused_call_goes_on_where_it_stopped),
        TEST(the_window_of_a_paused_call_comes_back_once),
        TEST(a_unary_call_paused_at_its_start_waits),
        TEST(a_call_resumed_within_another_leaves_its_message_alone),
        TEST(nothing_is_delivered_before_on_open_returns),
        TEST(a_stream_that_fails_as_it_opens_is_trailers_only),
        TEST(a_zero_timeout_is_exceeded_at_once),
        TEST(a_call_within_its_deadline_is_answered),
        TEST(a_deadline_that_passes_ends_the_method),
        TEST(a_deadline_within_a_half_sent_message_resets),
        TEST(a_reply_larger_than_the_window_ends_when_it_may),
        TEST(a_reply_that_was_given_arrives_whole),
        cmocka_unit_test_setup_teardown(a_reply_that_was_given_may_be_compressed,
                                        serve_setup_compressing, serve_teardown),
        TEST(a_reply_that_was_given_waits_for_the_window),
        TEST(a_reset_cancels_the_method_once),
        TEST(a_reset_of_a_held_call_with_its_inbox_full_leaks_nothing),
        TEST(a_lost_connection_cancels_its_calls),
        TEST(calls_that_outlast_a_graceful_end_are_unavailable),
        TEST(a_graceful_end_lets_calls_finish),
        TEST(an_idle_call_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
