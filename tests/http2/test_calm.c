/* SPDX-License-Identifier: MIT */
/* Frames that achieve nothing (calm.h): the connection ends, but an honest client never meets a
 * bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "fixture.h"
#include <cmocka.h>

/* Sends the same frame until the server closes. @return how often */
static unsigned flood_by(uint8_t type, uint8_t flags, uint32_t id, const char *payload, size_t len,
                         const char *words)
{
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame = {.type = 0};
    unsigned sent = 0;
    if (id != 0)
        peer_request(peer, id, false, "/hold", NULL);
    if (type == NGHTTP2_CONTINUATION)
        peer_frame(peer, NGHTTP2_HEADERS, 0, id + 2, NULL, 0);
    while (sent < 100000 && frame.type != NGHTTP2_GOAWAY) {
        for (int i = 0; i != 100; i++, sent++)
            peer_frame(peer, type, flags, type == NGHTTP2_CONTINUATION ? id + 2 : id, payload, len);
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

static void floods_of_frames_that_do_nothing_end_the_connection(void **state)
{
    (void)state;
    static const char words[] = "too many frames that do nothing";
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(floods_of_frames_that_do_nothing_end_the_connection),
        TEST(rapid_reset_ends_the_connection),
        TEST(pings_have_two_strikes_until_something_is_sent),
        TEST(window_updates_that_follow_data_are_never_too_many),
        TEST(window_updates_that_follow_answers_without_a_body_are_never_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
