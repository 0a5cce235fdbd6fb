/* SPDX-License-Identifier: MIT */
/* Bounds of a connection's turn, and of the memory that it makes us hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"

/* ---- turns ---- */

static void work(struct peer *peer, uint32_t first_id, unsigned count, const char *path)
{
    for (unsigned i = 0; i < count; i++)
        peer_request(peer, first_id + 2 * i, true, path, NULL);
}

static void expect_empty_answer(struct peer *peer, uint32_t id)
{
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(frame.stream_id, id);
    peer_expect_end(peer, id);
}

static void small_request_is_served_between_large_ones(void **state)
{
    (void)state;
    struct peer *much = peer_connect(fixture.context, true),
                *little = peer_connect(fixture.context, true);
    peer_turn(much);
    peer_turn(little);
    work(much, 1, 5, "/work/m");
    work(little, 1, 1, "/work/l");
    for (uint32_t id = 1; id <= 9; id += 2)
        expect_empty_answer(much, id);
    expect_empty_answer(little, 1);
    /* libh2o may report the events in any order */
    assert_true(strcmp(fixture.log, "mlmmmm") == 0 || strcmp(fixture.log, "lmmmmm") == 0);
    peer_close(much);
    peer_close(little);
}

static void large_requests_take_turns(void **state)
{
    (void)state;
    struct peer *a = peer_connect(fixture.context, true), *b = peer_connect(fixture.context, true);
    peer_turn(a);
    peer_turn(b);
    work(a, 1, 4, "/work/a");
    work(b, 1, 4, "/work/b");
    for (uint32_t id = 1; id <= 7; id += 2) {
        expect_empty_answer(a, id);
        expect_empty_answer(b, id);
    }
    assert_true(strcmp(fixture.log, "abababab") == 0 || strcmp(fixture.log, "babababa") == 0);
    peer_close(a);
    peer_close(b);
}

static void new_connections_with_large_requests_do_not_all_have_a_turn_at_once(void **state)
{
    enum { STRANGERS = 10 };
    struct peer *strangers[STRANGERS];
    (void)state;
    for (int i = 0; i < STRANGERS; i++) {
        strangers[i] = peer_connect(fixture.context, true);
        peer_turn(strangers[i]);
    }
    for (int i = 0; i < STRANGERS; i++)
        work(strangers[i], 1, 1, "/spin/s");
    h2o_evloop_run(fixture.loop, 0);
    assert_int_equal(strlen(fixture.log), HTTP2_OVERS_MAX);
    (void)http2_context_run(
        fixture.context); /* one turn only: it lasts longer than HTTP2_WAITING_US */
    assert_int_equal(strlen(fixture.log), HTTP2_OVERS_MAX + 1);
    while (http2_context_run(fixture.context))
        ;
    assert_int_equal(strlen(fixture.log), STRANGERS);
    for (int i = 0; i < STRANGERS; i++)
        peer_close(strangers[i]);
}

static void a_handler_that_stops_goes_on_turn_by_turn(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/slow", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_frame(peer, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "12345", 5);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_true(peer_ends_stream(&frame));
    assert_string_equal(fixture.log, ".....");
    assert_false(http2_context_pending(fixture.context));
    peer_close(peer);
}

static void a_stopped_stream_that_is_reset_goes_on_no_more(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/slow", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_frame(peer, NGHTTP2_DATA, 0, 1, "12345", 5);
    peer_frame(peer, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
    peer_expect_quiet(peer);
    assert_string_equal(fixture.log, "");
    peer_close(peer);
}

static void connections_that_wait_may_be_lost_or_destroyed(void **state)
{
    (void)state;
    struct peer *lost = peer_connect(fixture.context, true),
                *kept = peer_connect(fixture.context, true);
    peer_turn(lost);
    peer_turn(kept);
    work(lost, 1, 10, "/work/x");
    work(kept, 1, 10, "/work/y");
    h2o_evloop_run(fixture.loop, 0); /* each connection had a turn, and waits for the next one */
    assert_int_equal(strlen(fixture.log), 2);
    assert_true(http2_context_pending(fixture.context));
    close(lost->fd);
    (void)http2_context_run(fixture.context);
    peer_close(lost);
    peer_close(kept);
    /* connections that still wait are destroyed with the context */
}

static void requests_beyond_a_turn_are_all_answered(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    enum { COUNT = 3000 };
    unsigned ended = 0;
    struct peer_frame frame;
    for (uint32_t i = 0; i < COUNT; i++) {
        peer_request(peer, 1 + 2 * i, true, "/early", NULL);
        while (peer_next_now(peer, &frame))
            ended += peer_ends_stream(&frame);
    }
    while (ended < COUNT && peer_next(peer, &frame))
        ended += peer_ends_stream(&frame);
    assert_int_equal(ended, COUNT);
    peer_close(peer);
}

/* This connection always has more input than a turn handles, so its socket is never watched. */
static void busy_connection_is_no_silent_one(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_turn(peer);
    work(peer, 1, 20, "/spin/x");
    for (uint32_t id = 41; id < 241; id += 2) {
        peer_request(peer, id, true, "/spin/x", NULL);
        h2o_evloop_run(fixture.loop, 0);
        timers_stale(fixture.timers);
        timers_run(fixture.timers, timers_now(fixture.timers));
        (void)http2_context_run(fixture.context);
    }
    assert_true(fixture.requests >= 100 && fixture.requests < 120); /* 300 ms */
    assert_int_equal(http2_context_counts(fixture.context)->connections_open, 1);
    peer_close(peer);
}

/* Each SETTINGS frame makes all streams send one byte, and each of these DATA frames earns credit.
 */
static void windows_that_open_by_a_byte_end_in_calm(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    bool calm = false;
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    work(peer, 1, 20, "/body/1000");
    peer_turn(peer);
    for (uint32_t window = 1; !calm && window < 900; window++) {
        peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window);
        while (peer_next_now(peer, &frame))
            calm |= frame.type == NGHTTP2_GOAWAY &&
                    peer_u32(frame.payload + 4) == HTTP2_ENHANCE_YOUR_CALM;
    }
    assert_true(calm);
    peer_close(peer);
}

/* ---- memory ---- */

static void what_a_connection_holds_is_bounded(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true), *other;
    struct peer_frame frame;
    peer_turn(peer);
    for (uint32_t id = 1; id <= 9; id += 2)
        peer_request(peer, id, false, "/keep/40000", NULL);
    peer_turn(peer);
    /* an eighth of max_memory is left for what must be kept */
    assert_int_equal(fixture.refused, 0);
    peer_request(peer, 11, false, "/keep/40000", NULL);
    peer_expect(peer, NGHTTP2_RST_STREAM, &frame);
    assert_int_equal(frame.stream_id, 11);
    assert_int_equal(fixture.refused, 1);
    /* the bound is that of one connection, not of all */
    other = peer_connect(fixture.context, true);
    peer_turn(other);
    peer_request(other, 1, false, "/keep/200000", NULL);
    peer_turn(other);
    assert_int_equal(fixture.refused, 1);
    peer_close(other);
    peer_close(peer);
}

static void what_a_stream_held_is_free_when_it_ends(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_turn(peer);
    for (uint32_t id = 1; id < 400; id += 2) {
        peer_request(peer, id, false, "/keep/120000", NULL);
        peer_frame(peer, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
        peer_turn(peer);
    }
    assert_int_equal(fixture.refused, 0);
    assert_int_equal(fixture.requests, 200);
    peer_close(peer);
}

static void replies_that_wait_are_held_and_bounded(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    peer_request(peer, 1, true, "/body/100000", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_request(peer, 3, true, "/body/100000", NULL);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect(peer, NGHTTP2_RST_STREAM, &frame);
    assert_int_equal(frame.stream_id, 3);
    assert_int_equal(fixture.refused, 1);
    /* the first answer is complete, and once it has been read there is room again */
    peer_window_update(peer, 1, 100000);
    peer_window_update(peer, 0, 100000);
    size_t got = 0;
    while (got < 100000) {
        peer_expect(peer, NGHTTP2_DATA, &frame);
        got += frame.len;
    }
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_request(peer, 5, true, "/body/100000", NULL);
    peer_turn(peer);
    assert_int_equal(fixture.refused, 1);
    peer_close(peer);
}

static void streams_count_as_well(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    bool refused = false;
    peer_turn(peer);
    peer_request(peer, 1, false, "/keep/200000", NULL);
    for (uint32_t id = 3; !refused && id < 3000; id += 2) {
        peer_request(peer, id, false, "/hold", NULL);
        while (peer_next_now(peer, &frame))
            refused |=
                frame.type == NGHTTP2_RST_STREAM && peer_u32(frame.payload) == HTTP2_REFUSED_STREAM;
    }
    assert_true(refused);
    assert_true(fixture.requests > 20 && fixture.requests < 1000);
    peer_close(peer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define SMALL(name)                                                                                \
    cmocka_unit_test_setup_teardown(name, fixture_setup_with_little_memory, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(small_request_is_served_between_large_ones),
        TEST(large_requests_take_turns),
        TEST(new_connections_with_large_requests_do_not_all_have_a_turn_at_once),
        TEST(a_handler_that_stops_goes_on_turn_by_turn),
        TEST(a_stopped_stream_that_is_reset_goes_on_no_more),
        TEST(connections_that_wait_may_be_lost_or_destroyed),
        TEST(requests_beyond_a_turn_are_all_answered),
        cmocka_unit_test_setup_teardown(busy_connection_is_no_silent_one,
                                        fixture_setup_with_keepalive, fixture_teardown),
        TEST(windows_that_open_by_a_byte_end_in_calm),
        SMALL(what_a_connection_holds_is_bounded),
        SMALL(what_a_stream_held_is_free_when_it_ends),
        SMALL(replies_that_wait_are_held_and_bounded),
        SMALL(streams_count_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
