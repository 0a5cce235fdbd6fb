/* SPDX-License-Identifier: MIT */
/* Frames that come late, or again and again, for closed streams; and size updates of the peer's
 * table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fixture.h"

enum { FRAMES_MAX = 300000 };

/* A stream that the server has ended and reset before the client has ended it. */
static struct peer *connect_with_a_reset_stream(void)
{
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/early", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect(peer, NGHTTP2_RST_STREAM, &frame);
    return peer;
}

/* Drains a connection until its final GOAWAY, which names stream 1. Stream 1 is open and echoes. */
static struct peer *connect_and_drain(void)
{
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/echo", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    http2_context_shutdown(fixture.context);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    peer_finish_drain(peer, 1);
    return peer;
}

static void expect_next_call_is_served(struct peer *peer)
{
    struct peer_frame frame;
    peer_request(peer, 3, true, "/body/1", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(frame.stream_id, 3);
}

static void expect_echo_and_end(struct peer *peer)
{
    struct peer_frame frame;
    peer_frame(peer, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "bye", 3);
    peer_expect(peer, NGHTTP2_DATA, &frame);
    assert_int_equal(frame.len, 3);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect_eof(peer);
}

/* Sends such frames until the connection ends. @return their number; FRAMES_MAX: it never ends */
static unsigned flood_frames(struct peer *peer, uint8_t type, uint8_t flags, uint32_t id,
                             const char *payload, size_t len)
{
    struct peer_frame frame = {.type = 0};
    unsigned sent = 0;
    while (sent < FRAMES_MAX && frame.type != NGHTTP2_GOAWAY) {
        peer_frame(peer, type, flags, id, payload, len);
        if (++sent % 500 == 0)
            peer_turn(peer);
        while (peer_next_now(peer, &frame) && frame.type != NGHTTP2_GOAWAY)
            ;
    }
    if (frame.type == NGHTTP2_GOAWAY)
        assert_int_equal(peer_u32(frame.payload + 4), NGHTTP2_ENHANCE_YOUR_CALM);
    peer_close(peer);
    return sent;
}

static void every_frame_for_a_reset_stream_is_counted(void **state)
{
    (void)state;
    static const char padding[] = {4, 0, 0, 0, 0};
    assert_true(flood_frames(connect_with_a_reset_stream(), NGHTTP2_DATA, 0, 1, NULL, 0) < 2000);
    assert_true(flood_frames(connect_with_a_reset_stream(), NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM,
                             1, NULL, 0) < 5000);
    assert_true(flood_frames(connect_with_a_reset_stream(), NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1,
                             padding, 5) < 2000);
    assert_true(flood_frames(connect_with_a_reset_stream(), NGHTTP2_DATA, 0, 1, "x", 1) < 200000);
    assert_true(flood_frames(connect_with_a_reset_stream(), NGHTTP2_HEADERS,
                             NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, NULL,
                             0) < 5000);
    assert_true(flood_frames(connect_with_a_reset_stream(), NGHTTP2_GOAWAY, 0, 0,
                             "\0\0\0\0\0\0\0\0", 8) < 5000);
}

static void padding_alone_on_an_open_stream_is_counted(void **state)
{
    (void)state;
    static const char padding[] = {4, 0, 0, 0, 0};
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, false, "/hold", NULL);
    assert_true(flood_frames(peer, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, padding, 5) < 2000);
}

/* A stream's window full of small messages may be under way when the server resets the stream. */
static void small_messages_that_crossed_a_reset_do_no_harm(void **state)
{
    (void)state;
    struct peer *peer = connect_with_a_reset_stream();
    peer_send_messages(peer, 1, HTTP2_STREAM_WINDOW / 8, 8);
    expect_next_call_is_served(peer);
    peer_close(peer);
}

static void messages_of_an_open_stream_are_never_counted(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, false, "/hold", NULL);
    peer_send_messages(peer, 1, 100000, 1);
    expect_next_call_is_served(peer);
    peer_close(peer);
}

static void frames_above_the_last_goaway_are_ignored(void **state)
{
    (void)state;
    struct peer *peer = connect_and_drain();
    size_t len;
    peer_request(peer, 3, false, "/echo", "x-entered", "the table", NULL);
    peer_frame(peer, NGHTTP2_DATA, 0, 3, "x", 1);
    uint8_t *trailers = peer_block(peer, &len, "/trailers", "x-also", "entered", NULL);
    peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 3,
               trailers, len);
    free(trailers);
    peer_window_update(peer, 3, 1);
    peer_frame(peer, NGHTTP2_PRIORITY, 0, 3, "\0\0\0\1\0", 5);
    peer_frame(peer, NGHTTP2_RST_STREAM, 0, 3, "\0\0\0\x08", 4);
    peer_frame(peer, NGHTTP2_DATA, 0, 3, "x", 1);
    expect_echo_and_end(peer);
    assert_int_equal(fixture.requests, 1);
    peer_close(peer);
}

/* Refused requests change the dynamic table, which the trailers of an older stream then use. */
static void table_is_in_step_behind_streams_that_are_not_served(void **state)
{
    (void)state;
    struct peer *peer = connect_and_drain();
    struct peer_frame frame;
    nghttp2_nv field = {(uint8_t *)"x-also", (uint8_t *)"entered", 6, 7, NGHTTP2_NV_FLAG_NONE};
    uint8_t block[64];
    peer_request(peer, 3, true, "/echo", "x-also", "entered", NULL);
    ssize_t len = nghttp2_hd_deflate_hd(peer->deflater, block, sizeof(block), &field, 1);
    assert_int_equal(len, 1); /* one index */
    peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block,
               1);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(fixture.trailers, 1);
    peer_expect_eof(peer);
    peer_close(peer);
}

static void endless_requests_above_the_last_goaway_are_counted(void **state)
{
    (void)state;
    struct peer *peer = connect_and_drain();
    struct peer_frame frame = {.type = 0};
    uint32_t id = 3;
    for (; id < 20000 && frame.type != NGHTTP2_GOAWAY; id += 2) {
        peer_request(peer, id, true, "/echo", NULL);
        if (id % 200 == 1)
            peer_turn(peer);
        while (peer_next_now(peer, &frame) && frame.type != NGHTTP2_GOAWAY)
            ;
    }
    assert_int_equal(frame.type, NGHTTP2_GOAWAY);
    assert_int_equal(peer_u32(frame.payload + 4), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(id > 2000);
    peer_close(peer);
}

static void ack_of_another_ping_does_not_end_the_grace(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/echo", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    http2_context_shutdown(fixture.context);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    peer_expect(peer, NGHTTP2_PING, &frame);
    peer_frame(peer, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "keepaliv", 8);
    peer_frame(peer, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "whatever", 8);
    peer_expect_quiet(peer);
    /* a request that was sent before the GOAWAY was seen */
    expect_next_call_is_served(peer);
    peer_close(peer);
}

/* A table size that was smaller for a moment must be acknowledged by a size update, whether it came
 * in one SETTINGS frame or in several. */
static void smallest_table_size_of_several_is_told(void **state)
{
    (void)state;
    static const struct {
        uint32_t sizes[3];
        bool one_frame;
    } cases[] = {{{0, 4096, 4096}, true},    {{0, 4096, 4096}, false}, {{300, 0, 4096}, true},
                 {{200, 4096, 65536}, true}, {{4096, 0, 200}, false},  {{100, 4096, 0}, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct peer *peer = peer_connect(fixture.context, true);
        struct peer_frame frame;
        uint8_t payload[18];
        for (uint32_t id = 1; id < 9; id += 2) {
            peer_request(peer, id, true, "/early", NULL);
            peer_expect(peer, NGHTTP2_HEADERS, &frame); /* libnghttp2 checks the size updates */
            assert_string_equal(peer->fields, ":status: 200\ncontent-type: text/plain\n");
            if (id == 3) /* the first block after the change */
                assert_int_equal(frame.payload[0] & 0xe0, 0x20);
            peer_expect(peer, NGHTTP2_HEADERS, &frame);
            if (id != 1)
                continue;
            for (int n = 0; n < 3; n++) {
                uint32_t size = cases[i].sizes[n];
                memcpy(payload + n * 6, (uint8_t[]){0, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE}, 2);
                memcpy(payload + n * 6 + 2,
                       (uint8_t[]){(uint8_t)(size >> 24), (uint8_t)(size >> 16),
                                   (uint8_t)(size >> 8), (uint8_t)size},
                       4);
                nghttp2_hd_inflate_change_table_size(peer->inflater, size);
                if (!cases[i].one_frame)
                    peer_frame(peer, NGHTTP2_SETTINGS, 0, 0, payload + n * 6, 6);
            }
            if (cases[i].one_frame)
                peer_frame(peer, NGHTTP2_SETTINGS, 0, 0, payload, sizeof(payload));
        }
        peer_close(peer);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(every_frame_for_a_reset_stream_is_counted),
        T(padding_alone_on_an_open_stream_is_counted),
        T(small_messages_that_crossed_a_reset_do_no_harm),
        T(messages_of_an_open_stream_are_never_counted),
        T(frames_above_the_last_goaway_are_ignored),
        T(table_is_in_step_behind_streams_that_are_not_served),
        T(endless_requests_above_the_last_goaway_are_counted),
        T(ack_of_another_ping_does_not_end_the_grace),
        T(smallest_table_size_of_several_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
