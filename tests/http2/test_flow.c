/* SPDX-License-Identifier: MIT */
/* Flow control in both directions, and output that the peer does not read. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"
#include <cmocka.h>

static void body_waits_for_the_stream_window(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10);
    peer_request(peer, 1, true, "/body/25", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect(peer, NGHTTP2_DATA, &frame);
    assert_int_equal(frame.len, 10);
    peer_expect_quiet(peer);
    peer_window_update(peer, 1, 5);
    peer_expect(peer, NGHTTP2_DATA, &frame);
    assert_int_equal(frame.len, 5);
    peer_expect_quiet(peer);
    peer_window_update(peer, 1, 10); /* exactly the rest of the body; trailers need no window */
    peer_expect(peer, NGHTTP2_DATA, &frame);
    assert_int_equal(frame.len, 10);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_true(frame.flags & NGHTTP2_FLAG_END_STREAM);
    peer_close(peer);
}

static void a_body_that_was_given_arrives_in_pieces_as_the_window_allows(void **state)
{
    (void)state;
    enum { SIZE = 100000 };
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    size_t got = 0;
    peer_window_update(peer, 0, SIZE);
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10);
    peer_request(peer, 1, true, "/give/100000", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    for (peer_expect(peer, NGHTTP2_DATA, &frame); frame.type == NGHTTP2_DATA;
         assert_true(peer_next(peer, &frame))) {
        assert_true(got != 0 || frame.len == 10);
        for (size_t i = 0; i != frame.len; i++)
            assert_int_equal(frame.payload[i], (uint8_t)(got + i));
        if (got == 0) {
            peer_expect_quiet(peer);
            peer_window_update(peer, 1, SIZE - 10);
        }
        got += frame.len;
    }
    assert_int_equal(got, SIZE);
    assert_true(frame.flags & NGHTTP2_FLAG_END_STREAM);
    peer_close(peer);
}

/* 256 KiB is the bound: neither small bodies, which are copied, nor large ones, sent or reset while
 * they wait, may be counted for longer than they are held. */
static void a_body_that_was_given_is_released(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    uint32_t id = 1;
    peer_window_update(peer, 0, 1 << 30);
    for (; id < 101; id += 2) {
        peer_request(peer, id, true, "/give/10000", NULL);
        fixture_expect_answer(peer, id, 10000);
    }
    for (; id < 201; id += 2) {
        peer_request(peer, id, true, "/give/60000", NULL);
        fixture_expect_answer(peer, id, 60000);
    }
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    for (; id < 241; id += 2) {
        struct peer_frame frame;
        peer_request(peer, id, true, "/give/60000", NULL);
        peer_expect(peer, NGHTTP2_HEADERS, &frame);
        peer_expect_quiet(peer);
        peer_frame(peer, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
        peer_turn(peer);
    }
    assert_int_equal(fixture.refused, 0);
    peer_close(peer);
}

static void settings_move_the_window_of_open_streams_below_zero_and_back(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10);
    peer_request(peer, 1, true, "/body/20", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect(peer, NGHTTP2_DATA, &frame);
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 3); /* the window is -7 now */
    peer_window_update(peer, 1, 7);
    peer_expect_quiet(peer);
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 4);
    peer_expect(peer, NGHTTP2_DATA, &frame);
    assert_int_equal(frame.len, 1);
    peer_close(peer);
}

static void connection_window_holds_all_streams_and_lets_them_go_on(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    size_t got[2] = {0, 0};
    unsigned ends = 0;
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
    peer_request(peer, 1, true, "/flood/60000", NULL);
    peer_request(peer, 3, true, "/flood/60000", NULL);
    while (got[0] + got[1] != 65535) {
        assert_true(peer_next(peer, &frame));
        if (frame.type == NGHTTP2_DATA)
            got[frame.stream_id / 2] += frame.len;
        ends += peer_ends_stream(&frame);
        assert_true(got[0] + got[1] <= 65535);
    }
    peer_expect_quiet(peer);
    peer_window_update(peer, 0, 60000);
    while (ends != 2) {
        assert_true(peer_next(peer, &frame));
        if (frame.type == NGHTTP2_DATA)
            got[frame.stream_id / 2] += frame.len;
        ends += peer_ends_stream(&frame);
    }
    assert_int_equal(got[0], 60000);
    assert_int_equal(got[1], 60000);
    peer_close(peer);
}

static void streams_take_turns(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    size_t got[4] = {0};
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
    peer_window_update(peer, 0, 1 << 30);
    for (uint32_t id = 1; id != 9; id += 2)
        peer_request(peer, id, true, "/flood/2000000", NULL);
    unsigned ends = 0;
    while (ends == 0) {
        assert_true(peer_next(peer, &frame));
        if (frame.type == NGHTTP2_DATA)
            got[frame.stream_id / 2] += frame.len;
        ends += peer_ends_stream(&frame);
    }
    for (int i = 0; i != 4;
         i++) /* when the first stream ends, the others have sent nearly as much */
        assert_true(got[i] > 1700000);
    peer_close(peer);
}

static void slow_reader_costs_constant_memory_and_delays_no_other(void **state)
{
    (void)state;
    struct peer *slow = peer_connect(fixture.context, true);
    struct peer *quick = peer_connect(fixture.context, true);
    uint64_t before = http2_context_counts(fixture.context)->bytes_out;
    peer_settings(slow, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, INT32_MAX);
    peer_window_update(slow, 0, 1 << 30);
    peer_request(slow, 1, true, "/flood/100000000", NULL);
    for (int i = 0; i != 100; i++)
        peer_turn(slow);
    /* the handler has produced what the socket took, and at most two output targets more */
    size_t produced = 100000000 - fixture.last->to_send;
    uint64_t written = http2_context_counts(fixture.context)->bytes_out - before;
    assert_true(produced < written + 2 * 65536 + 16384);
    assert_true(produced < 2000000);
    for (uint32_t id = 1; id != 41; id += 2) {
        peer_request(quick, id, true, "/body/100", NULL);
        fixture_expect_answer(quick, id, 100);
    }
    struct peer_frame frame;
    size_t got = 0;
    while (got != 100000000) {
        assert_true(peer_next(slow, &frame));
        if (frame.type == NGHTTP2_DATA)
            got += frame.len;
    }
    peer_close(slow);
    peer_close(quick);
}

static void output_that_is_not_read_stops_the_reading(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    const struct http2_counts *counts = http2_context_counts(fixture.context);
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
    peer_window_update(peer, 0, 1 << 30);
    peer_request(peer, 1, true, "/body/1000", NULL);
    /* from the second one on, each request is these bytes; 20,000 answers are 20 MB */
    size_t len;
    uint8_t *block = peer_block(peer, &len, "/body/1000", NULL);
    uint32_t id = 3;
    uint64_t before;
    do {
        before = counts->streams_opened;
        for (int i = 0; i != 200; i++, id += 2)
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
                       id, block, len);
        peer_turn(peer);
    } while (counts->streams_opened != before && id < 40000);
    free(block);
    assert_true(counts->bytes_out < 2000000);
    assert_true(id < 20000);
    uint64_t stopped = counts->bytes_in;
    struct peer_frame frame;
    while (counts->bytes_in == stopped) /* when the peer reads, the server reads again */
        assert_true(peer_next(peer, &frame));
    peer_close(peer);
}

static void unconsumed_body_holds_the_peer_and_consumed_credits_it(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    static uint8_t data[16384];
    struct peer_frame frame;
    peer_request(peer, 1, false, "/hold", NULL);
    for (int i = 0; i != 16; i++)
        peer_frame(peer, NGHTTP2_DATA, 0, 1, data, sizeof(data));
    peer_turn(peer);
    assert_int_equal(fixture.data_bytes, 262144);
    http2_stream_consume(&fixture.last->http2, 262144);
    do
        assert_true(peer_next(peer, &frame));
    while (frame.type != NGHTTP2_WINDOW_UPDATE || frame.stream_id != 1);
    assert_int_equal(peer_u32(frame.payload), 262144);
    peer_frame(peer, NGHTTP2_DATA, 0, 1, data, sizeof(data));
    peer_turn(peer);
    assert_int_equal(fixture.data_bytes, 262144 + 16384);
    peer_close(peer);
}

static void body_over_the_stream_window_resets_the_stream_alone(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    static uint8_t data[16384];
    peer_request(peer, 1, false, "/hold", NULL);
    for (int i = 0; i != 17; i++)
        peer_frame(peer, NGHTTP2_DATA, 0, 1, data, sizeof(data));
    peer_expect_rst(peer, 1, NGHTTP2_FLOW_CONTROL_ERROR);
    peer_request(peer, 3, true, "/body/1", NULL);
    fixture_expect_answer(peer, 3, 1);
    peer_close(peer);
}

static void window_of_streams_that_are_gone_comes_back(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    static uint8_t data[8192];
    struct peer_frame frame;
    int64_t window = 1048576;
    for (uint32_t id = 1; id != 601; id += 2) { /* 4.9 MB through a window of 1 MB */
        bool held =
            id % 4 == 1; /* held: the handler has never consumed it; else: it comes after the end */
        peer_request(peer, id, false, held ? "/hold" : "/early", NULL);
        peer_turn(peer);
        assert_true(window >= 16384);
        peer_frame(peer, NGHTTP2_DATA, 0, id, data, sizeof(data));
        peer_frame(peer, NGHTTP2_DATA, 0, id, data, sizeof(data));
        window -= 16384;
        peer_frame(peer, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
        peer_frame(peer, NGHTTP2_PING, 0, 0, "12345678", 8);
        do {
            assert_true(peer_next(peer, &frame));
            if (frame.type == NGHTTP2_WINDOW_UPDATE && frame.stream_id == 0)
                window += peer_u32(frame.payload);
        } while (frame.type != NGHTTP2_PING);
    }
    peer_close(peer);
}

static void padding_is_credited_and_not_delivered(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, false, "/echo", NULL);
    peer_frame(peer, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1,
               "\x03"
               "ab\0\0\0",
               6);
    peer_frame(peer, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_END_STREAM, 1, "\0cd", 3);
    fixture_expect_answer(peer, 1, 4);
    assert_memory_equal(fixture.data, "abcd", 4);
    peer_close(peer);
}

/* A connected pair of TCP sockets. */
static void tcp_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&address, len), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fds[1] >= 0);
    close(listener);
}

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, option, &value, &len), 0);
    return value;
}

static void dead_peers_and_unread_output_are_bounded_in_the_kernel(void **state)
{
    static const struct {
        uint64_t time, timeout;
        int expected;
    } cases[] = {{30000, 20000, 50000}, {0, 20000, 0}, {7200000, 20000, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct http2_settings settings = {.max_concurrent_streams = 1,
                                                .keepalive_time = cases[i].time,
                                                .keepalive_timeout = cases[i].timeout};
        struct http2_context *context = http2_context_create(
            fixture.loop, fixture.timers, http2_context_handler(fixture.context), &settings);
        int fds[2];
        tcp_pair(fds);
        http2_accept(context, h2o_evloop_socket_create(fixture.loop, fds[1], 0));
        assert_int_equal(option_of(fds[1], TCP_USER_TIMEOUT), cases[i].expected);
        assert_int_equal(option_of(fds[1], TCP_NOTSENT_LOWAT), HTTP2_UNSENT_MAX);
        http2_context_destroy(context);
        close(fds[0]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(body_waits_for_the_stream_window),
        TEST(a_body_that_was_given_arrives_in_pieces_as_the_window_allows),
        cmocka_unit_test_setup_teardown(a_body_that_was_given_is_released,
                                        fixture_setup_with_little_memory, fixture_teardown),
        TEST(settings_move_the_window_of_open_streams_below_zero_and_back),
        TEST(connection_window_holds_all_streams_and_lets_them_go_on),
        TEST(streams_take_turns),
        TEST(slow_reader_costs_constant_memory_and_delays_no_other),
        TEST(output_that_is_not_read_stops_the_reading),
        TEST(unconsumed_body_holds_the_peer_and_consumed_credits_it),
        TEST(body_over_the_stream_window_resets_the_stream_alone),
        TEST(window_of_streams_that_are_gone_comes_back),
        TEST(padding_is_credited_and_not_delivered),
        TEST(dead_peers_and_unread_output_are_bounded_in_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
