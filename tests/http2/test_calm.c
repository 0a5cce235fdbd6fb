/* SPDX-License-Identifier: MIT */
/* Frames that achieve nothing (calm.h): the connection ends, but an honest client never meets a
 * bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "fixture.h"
#include "http2/calm.h"
#include <cmocka.h>

/* Sends the same frame until the server closes. Closes the peer. @return how often */
static unsigned flood_on(struct peer *peer, uint8_t type, uint8_t flags, uint32_t id,
                         const char *payload, size_t len, const char *words)
{
    struct peer_frame frame = {.type = 0};
    unsigned sent = 0;
    while (sent < 100000 && frame.type != NGHTTP2_GOAWAY) {
        for (int i = 0; i != 100; i++, sent++)
            peer_frame(peer, type, flags, id, payload, len);
        peer_turn(peer);
        while (peer_next_now(peer, &frame) && frame.type != NGHTTP2_GOAWAY)
            ;
    }
    assert_int_equal(frame.type, NGHTTP2_GOAWAY);
    assert_int_equal(peer_u32(frame.payload + 4), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(frame.len - 8, strlen(words));
    assert_memory_equal(frame.payload + 8, words, strlen(words));
    peer_expect_eof(peer);
    peer_close(peer);
    return sent;
}

static unsigned flood_by(uint8_t type, uint8_t flags, uint32_t id, const char *payload, size_t len,
                         const char *words)
{
    struct peer *peer = peer_connect(fixture.context, true);
    if (id != 0)
        peer_request(peer, id, false, "/hold", NULL);
    if (type == NGHTTP2_CONTINUATION)
        peer_frame(peer, NGHTTP2_HEADERS, 0, id += 2, NULL, 0);
    return flood_on(peer, type, flags, id, payload, len, words);
}

static const char words[] = "too many frames that do nothing";

static void floods_of_frames_that_do_nothing_end_the_connection(void **state)
{
    (void)state;
    assert_true(flood_by(NGHTTP2_SETTINGS, 0, 0, NULL, 0, words) < 1000);
    assert_true(flood_by(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0, words) < 5000);
    assert_true(flood_by(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678", 8, words) < 5000);
    assert_true(flood_by(NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4, words) < 5000);
    assert_true(flood_by(NGHTTP2_WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4, words) < 5000);
    assert_true(flood_by(NGHTTP2_PRIORITY, 0, 1, "\0\0\0\3\0", 5, words) < 5000);
    assert_true(flood_by(NGHTTP2_DATA, 0, 1, NULL, 0, words) < 2000);
    assert_true(flood_by(NGHTTP2_CONTINUATION, 0, 1, NULL, 0, words) < 2000);
    assert_true(flood_by(99, 0, 0, NULL, 0, words) < 5000);
}

static void rapid_reset_ends_the_connection(void **state)
{
    (void)state;
    /* reset by the peer, or by the server because of the peer's frames */
    static const struct {
        uint8_t type;
        const char *payload;
        uint8_t len;
    } ways[] = {{NGHTTP2_RST_STREAM, "\0\0\0\x08", 4},
                {NGHTTP2_WINDOW_UPDATE, "\0\0\0\0", 4},
                {NGHTTP2_PRIORITY, "\0", 1}};
    for (size_t i = 0; i != 3; i++) {
        struct peer *peer = peer_connect(fixture.context, true);
        struct peer_frame frame = {.type = 0};
        uint32_t id = 1;
        for (; id < 10000 && frame.type != NGHTTP2_GOAWAY; id += 2) {
            peer_request(peer, id, false, "/hold", NULL);
            peer_frame(peer, ways[i].type, 0, id, ways[i].payload, ways[i].len);
            if (id % 50 == 1)
                peer_turn(peer);
            while (peer_next_now(peer, &frame) && frame.type != NGHTTP2_GOAWAY)
                ;
        }
        assert_int_equal(frame.type, NGHTTP2_GOAWAY);
        assert_int_equal(peer_u32(frame.payload + 4), NGHTTP2_ENHANCE_YOUR_CALM);
        assert_true(id > 600); /* a client may cancel some hundred calls at once */
        peer_close(peer);
    }
}

static void pings_have_two_strikes_until_something_is_sent(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    for (uint32_t id = 1; id != 21; id += 2) { /* A8 allows three PINGs for each answer */
        for (int i = 0; i != 3; i++) {
            peer_frame(peer, NGHTTP2_PING, 0, 0, "12345678", 8);
            do
                assert_true(peer_next(peer, &frame));
            while (frame.type != NGHTTP2_PING);
            assert_true(frame.flags & NGHTTP2_FLAG_ACK);
            assert_memory_equal(frame.payload, "12345678", 8);
        }
        peer_request(peer, id, true, "/body/1", NULL);
        fixture_expect_answer(peer, id, 1);
    }
    peer_close(peer);
    assert_int_equal(flood_by(NGHTTP2_PING, 0, 0, "12345678", 8, "too_many_pings"), 100);
}

static void window_updates_that_follow_data_are_never_too_many(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, true, "/flood/100000000", NULL);
    for (size_t got = 0;
         got != 100000000;) { /* two WINDOW_UPDATEs for each DATA, like browsers and gRPC */
        assert_true(peer_next(peer, &frame));
        if (frame.type != NGHTTP2_DATA)
            continue;
        got += frame.len;
        peer_window_update(peer, 1, frame.len);
        peer_window_update(peer, 0, frame.len);
    }
    peer_close(peer);
}

static void window_updates_that_follow_answers_without_a_body_are_never_too_many(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    for (uint32_t id = 1; id < 20001;
         id += 2) { /* two WINDOW_UPDATEs for each call, like gRPC C++ */
        peer_request(peer, id, true, "/early", NULL);
        peer_window_update(peer, 0, 5);
        peer_window_update(peer, 0, 5);
        do
            assert_true(peer_next(peer, &frame));
        while (frame.type != NGHTTP2_HEADERS || !peer_ends_stream(&frame));
    }
    peer_close(peer);
}

/* Opens `calls` calls that wait for their answers, as grpcio does: each with two WINDOW_UPDATEs. */
static struct peer *connect_with_calls_that_wait(unsigned calls)
{
    struct peer *peer = peer_connect(fixture.context, true);
    for (unsigned i = 0; i != calls; i++) {
        peer_request(peer, 2 * i + 1, true, "/hold", NULL);
        peer_window_update(peer, 2 * i + 1, 5);
        peer_window_update(peer, 0, 5);
    }
    return peer;
}

static void window_updates_of_calls_that_wait_are_never_too_many(void **state)
{
    (void)state;
    enum { CALLS = FIXTURE_MANY_STREAMS - 1000 }; /* the frames of the handshake cost, too */
    struct peer *peer = connect_with_calls_that_wait(CALLS);
    struct peer_frame frame;
    peer_frame(peer, NGHTTP2_PING, 0, 0, "12345678", 8);
    peer_expect(peer, NGHTTP2_PING, &frame);
    assert_int_equal(fixture.requests, CALLS);
    peer_close(peer);
}

static void floods_are_bounded_where_many_streams_are_allowed(void **state)
{
    (void)state;
    enum { CREDIT = 2 * FIXTURE_MANY_STREAMS };
    unsigned sent = flood_by(NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4, words);
    assert_in_range(sent, CREDIT - 100, CREDIT + 2000);
    assert_true(flood_by(NGHTTP2_DATA, 0, 1, NULL, 0, words) < CREDIT / 4 + 500);
}

/* Each SETTINGS makes the server walk all streams. So the walks of a flood are not more where there
 * are more streams. */
static void settings_cost_more_where_many_streams_are_open(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    for (uint32_t id = 1; id < 2 * (FIXTURE_MANY_STREAMS - 1000); id += 2)
        peer_request(peer, id, true, "/hold", NULL);
    assert_true(flood_on(peer, NGHTTP2_SETTINGS, 0, 0, NULL, 0, words) <= 400);
}

static void the_credit_grows_with_the_streams_that_are_allowed(void **state)
{
    (void)state;
    static const struct {
        uint32_t streams;
        int32_t credit;
    } cases[] = {{0, 2048}, {1, 2048}, {1024, 2048}, {1025, 2050}, {1000000, 2000000}};
    for (size_t i = 0; i != sizeof(cases) / sizeof(cases[0]); i++) {
        struct http2_calm calm = http2_calm_new(cases[i].streams);
        assert_int_equal(calm.credit, cases[i].credit);
        assert_true(http2_calm_spend(&calm, cases[i].credit, 1));
        assert_true(http2_calm_spend(&calm, 0, UINT64_C(1) << 40)); /* refills it */
        assert_int_equal(calm.credit, cases[i].credit);
        assert_false(http2_calm_spend(&calm, cases[i].credit + 1, UINT64_C(1) << 40));
    }
    struct http2_calm most = http2_calm_new(UINT32_MAX);
    assert_true(http2_calm_spend(&most, 1, 1));
    http2_calm_earn(&most);
    assert_true(most.credit > most.credit_max); /* and did not overflow */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define TEST_MANY(name)                                                                            \
    cmocka_unit_test_setup_teardown(name, fixture_setup_with_many_streams, fixture_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(floods_of_frames_that_do_nothing_end_the_connection),
        TEST(rapid_reset_ends_the_connection),
        TEST(pings_have_two_strikes_until_something_is_sent),
        TEST(window_updates_that_follow_data_are_never_too_many),
        TEST(window_updates_that_follow_answers_without_a_body_are_never_too_many),
        TEST_MANY(window_updates_of_calls_that_wait_are_never_too_many),
        TEST_MANY(floods_are_bounded_where_many_streams_are_allowed),
        TEST_MANY(settings_cost_more_where_many_streams_are_open),
        cmocka_unit_test(the_credit_grows_with_the_streams_that_are_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
