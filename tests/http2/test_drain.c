/* SPDX-License-Identifier: MIT */
/* The end of a connection (drain.h) and the times of its life (life.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fixture.h"

static void shutdown_lets_running_streams_finish(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/echo", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    http2_context_shutdown(fixture.context);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    assert_int_equal(peer_u32(frame.payload), INT32_MAX);
    /* a request that was sent before the first GOAWAY was seen is served */
    peer_request(peer, 3, true, "/body/1", NULL);
    fixture_expect_answer(peer, 3, 1);
    peer_finish_drain(peer, 3);
    /* a stream above that of the final GOAWAY is ignored */
    peer_request(peer, 5, false, "/echo", NULL);
    peer_frame(peer, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 5, "x", 1);
    peer_frame(peer, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "bye", 3);
    peer_expect(peer, NGHTTP2_DATA, &frame);
    assert_int_equal(frame.len, 3);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect_eof(peer);
    assert_int_equal(fixture.requests, 2);
    peer_close(peer);
}

/* Such a client may be about to open a stream: see drain.h. */
static void goaway_of_a_connection_without_a_stream_comes_with_the_next_one(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    http2_context_shutdown(fixture.context);
    peer_request(peer, 1, true, "/body/1", NULL);
    /* the GOAWAY comes before the answer, and the stream is served */
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    assert_int_equal(peer_u32(frame.payload), INT32_MAX);
    fixture_expect_answer(peer, 1, 1);
    peer_finish_drain(peer, 1);
    peer_expect_eof(peer);
    peer_close(peer);
}

static void goaway_of_a_quiet_connection_comes_by_itself(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    http2_context_shutdown(fixture.context);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    assert_int_equal(peer_u32(frame.payload), INT32_MAX);
    peer_close(peer);
}

static void shutdown_in_a_handshake_lets_it_end_and_serves_what_comes_with_it(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, false);
    struct peer_frame frame;
    http2_context_shutdown(fixture.context);
    peer_send(peer, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    peer_frame(peer, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    peer_request(peer, 1, true, "/body/1", NULL);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    assert_int_equal(peer_u32(frame.payload), INT32_MAX);
    fixture_expect_answer(peer, 1, 1);
    peer_close(peer);
}

static void shutdown_in_a_handshake_that_does_not_go_on_closes(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, false);
    http2_context_shutdown(fixture.context);
    peer_expect_eof(peer);
    peer_close(peer);
}

/* The PING's ACK never comes: the final GOAWAY follows after HTTP2_LINGER_MS. */
static void final_goaway_does_not_wait_for_ever(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/echo", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    http2_context_shutdown(fixture.context);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    assert_int_equal(peer_u32(frame.payload), INT32_MAX);
    uint64_t until = clock_monotonic_ms() + 10 * HTTP2_LINGER_MS;
    do
        assert_true(clock_monotonic_ms() < until);
    while (!peer_next(peer, &frame) || frame.type != NGHTTP2_GOAWAY);
    assert_int_equal(peer_u32(frame.payload), 1);
    peer_close(peer);
}

static void shutdown_asked_for_again_changes_nothing(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/echo", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    http2_context_shutdown(fixture.context);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    http2_context_shutdown(fixture.context);
    peer_finish_drain(peer, 1);
    http2_context_shutdown(fixture.context);
    peer_expect_quiet(peer);
    peer_close(peer);
}

/* RFC 9113 6.8: the GOAWAY of the error must not name a higher stream than the final one did. */
static void error_after_the_final_goaway_names_the_same_stream(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/echo", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    http2_context_shutdown(fixture.context);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    peer_finish_drain(peer, 1);
    peer_request(peer, 3, true, "/echo", NULL);
    peer_frame(peer, NGHTTP2_PUSH_PROMISE, 0, 3, "", 0);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    assert_int_equal(peer_u32(frame.payload), 1);
    assert_int_equal(peer_u32(frame.payload + 4), NGHTTP2_PROTOCOL_ERROR);
    peer_expect_eof(peer);
    peer_close(peer);
}

/* The peer does not close its side, so the server closes after HTTP2_LINGER_MS. */
static void failed_connection_is_freed_although_the_peer_stays(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_frame(peer, NGHTTP2_PUSH_PROMISE, 0, 1, "", 0);
    peer_expect_goaway(peer, NGHTTP2_PROTOCOL_ERROR);
    const struct http2_counts *counts = http2_context_counts(fixture.context);
    uint64_t began = clock_monotonic_ms();
    while (counts->connections_open != 0 && clock_monotonic_ms() < began + 10 * HTTP2_LINGER_MS) {
        usleep(1000);
        peer_turn(peer);
    }
    assert_int_equal(counts->connections_open, 0);
    assert_true(clock_monotonic_ms() - began >= HTTP2_LINGER_MS / 2);
    peer_close(peer);
}

/* ---- times ---- */

static void silent_peer_gets_a_ping_and_is_lost_once(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_PING, &frame);
    assert_memory_equal(frame.payload, "keepaliv", 8);
    peer_expect_eof(peer);
    const struct http2_counts *counts = http2_context_counts(fixture.context);
    assert_int_equal(counts->connections_open, 0);
    assert_int_equal(counts->limit_hits[HTTP2_LIMIT_KEEPALIVE], 1);
    peer_close(peer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(shutdown_lets_running_streams_finish),
        TEST(goaway_of_a_connection_without_a_stream_comes_with_the_next_one),
        TEST(goaway_of_a_quiet_connection_comes_by_itself),
        TEST(shutdown_in_a_handshake_lets_it_end_and_serves_what_comes_with_it),
        TEST(shutdown_in_a_handshake_that_does_not_go_on_closes),
        TEST(final_goaway_does_not_wait_for_ever),
        TEST(shutdown_asked_for_again_changes_nothing),
        TEST(error_after_the_final_goaway_names_the_same_stream),
        TEST(failed_connection_is_freed_although_the_peer_stays),
        cmocka_unit_test_setup_teardown(silent_peer_gets_a_ping_and_is_lost_once,
                                        fixture_setup_with_keepalive, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
