/* SPDX-License-Identifier: MIT */
/* Requests and answers as a client sees them: streams, their ends, HPACK of the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "fixture.h"
#include <cmocka.h>

static void request_is_answered_with_trailers(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, true, "/body/5", "x-a", "b", NULL);
    fixture_expect_answer(peer, 1, 5);
    assert_string_equal(fixture.fields, "x-a: b\n");
    assert_int_equal(fixture.completes, 1);
    peer_close(peer);
}

static void conversation_fed_byte_by_byte_is_the_same(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, false);
    size_t len;
    uint8_t *block = peer_block(peer, &len, "/echo", "x-a", "b", NULL);
    uint8_t all[256];
    size_t n = NGHTTP2_CLIENT_MAGIC_LEN;
    memcpy(all, NGHTTP2_CLIENT_MAGIC, n);
    memcpy(all + n, "\0\0\0\x04\0\0\0\0\0", 9); /* SETTINGS */
    memcpy(all + n + 9, (uint8_t[]){0, 0, (uint8_t)len, 1, 4, 0, 0, 0, 1}, 9);
    memcpy(all + n + 18, block, len);
    memcpy(all + n + 18 + len, "\0\0\x03\0\x01\0\0\0\x01xyz", 12);
    n += 30 + len;
    for (size_t i = 0; i != n; i++) {
        peer_send(peer, all + i, 1);
        peer_turn(peer);
    }
    fixture_expect_answer(peer, 1, 3);
    assert_memory_equal(fixture.data, "xyz", 3);
    free(block);
    peer_close(peer);
}

static void header_block_may_be_cut_at_every_byte(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    uint32_t id = 1;
    size_t len = 100;
    for (size_t cut = 0; cut < len; cut++, id += 2) {
        uint8_t *block = peer_block(peer, &len, "/body/1", "x-secret", "value", NULL);
        if (cut > len)
            cut = len;
        peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, id, block, cut);
        peer_frame(peer, NGHTTP2_CONTINUATION, 0, id, NULL, 0);
        peer_frame(peer, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, id, block + cut,
                   len - cut);
        fixture_expect_answer(peer, id, 1);
        assert_string_equal(fixture.fields, "x-secret: value\n");
        free(block);
    }
    peer_close(peer);
}

static void small_writes_of_a_stream_share_a_frame(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, true, "/flood/10000", NULL); /* 100 bytes at a time */
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect(peer, NGHTTP2_DATA, &frame);
    assert_int_equal(frame.len, 10000);
    peer_close(peer);
}

static void interned_fields_cost_a_byte_after_the_first(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    for (uint32_t id = 1; id != 7; id += 2) {
        peer_request(peer, id, true, "/early", NULL);
        peer_expect(peer, NGHTTP2_HEADERS, &frame);
        assert_string_equal(peer->fields, ":status: 200\ncontent-type: text/plain\n");
        if (id != 1)
            assert_int_equal(frame.len, 2);
        peer_expect(peer, NGHTTP2_HEADERS, &frame);
        assert_string_equal(peer->fields, "x-end: yes\n");
        if (id != 1)
            assert_int_equal(frame.len, 1);
    }
    peer_close(peer);
}

static void peer_header_table_is_respected_as_it_changes(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    static const uint32_t sizes[] = {0, 4096, 100, 200, 65536};
    uint32_t id = 1;
    peer_request(peer, id, true, "/body/3", NULL);
    fixture_expect_answer(peer, id, 3);
    for (size_t i = 0; i != 5; i++) {
        nghttp2_hd_inflate_change_table_size(peer->inflater, sizes[i]);
        peer_settings(peer, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, sizes[i]);
        for (int n = 0; n != 3; n++) {
            id += 2;
            peer_request(peer, id, true, "/body/3", NULL);
            fixture_expect_answer(peer, id, 3); /* libnghttp2 checks the size updates */
        }
    }
    peer_close(peer);
}

static void streams_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    for (uint32_t id = 1; id <= 41; id += 2)
        peer_request(peer, id, false, "/hold", NULL);
    peer_expect_rst(peer, 41, NGHTTP2_REFUSED_STREAM);
    peer_frame(peer, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
    peer_request(peer, 43, true, "/body/1", NULL);
    fixture_expect_answer(peer, 43, 1);
    assert_int_equal(fixture.last_error, 0);
    peer_close(peer);
}

static void reset_by_the_peer_is_told_once(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, false, "/hold", NULL);
    peer_frame(peer, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
    peer_turn(peer);
    assert_int_equal(fixture.closes, 1);
    assert_int_equal(fixture.completes, 0);
    assert_int_equal(fixture.last_error, NGHTTP2_CANCEL);
    peer_frame(peer, NGHTTP2_DATA, 0, 1, "x", 1);
    peer_expect_rst(peer, 1, NGHTTP2_STREAM_CLOSED);
    assert_int_equal(fixture.closes, 1);
    peer_close(peer);
}

static void stream_identifier_is_used_once_and_never_goes_back(void **state)
{
    (void)state;
    static const struct {
        uint32_t id, error;
        bool of_connection;
    } again[] = {{5001, NGHTTP2_STREAM_CLOSED, true},  /* the stream has ended */
                 {4099, NGHTTP2_PROTOCOL_ERROR, true}, /* the id was skipped */
                 {3, NGHTTP2_STREAM_CLOSED, false}};   /* so old that it was forgotten */
    for (size_t i = 0; i != 3; i++) {
        struct peer *peer = peer_connect(fixture.context, true);
        peer_request(peer, 5001, true, "/body/1", NULL);
        fixture_expect_answer(peer, 5001, 1);
        peer_request(peer, again[i].id, true, "/body/1", NULL);
        if (again[i].of_connection)
            peer_expect_goaway(peer, again[i].error);
        else
            peer_expect_rst(peer, again[i].id, again[i].error);
        peer_close(peer);
    }
}

static void lost_connection_closes_its_streams(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, false, "/hold", NULL);
    peer_request(peer, 3, true, "/flood/10000000", NULL);
    peer_turn(peer);
    peer_close(peer);
    assert_int_equal(fixture.closes, 2);
    assert_int_equal(fixture.completes, 0);
    assert_int_equal(fixture.last_error, HTTP2_CONNECT_ERROR);
    assert_int_equal(http2_context_counts(fixture.context)->connections_open, 0);
    assert_int_equal(http2_context_counts(fixture.context)->streams_open, 0);
}

static void answer_before_the_end_of_the_request_stops_it_without_blame(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, false, "/early", NULL);
    fixture_expect_answer(peer, 1, 0);
    peer_expect_rst(peer, 1, NGHTTP2_NO_ERROR);
    peer_frame(peer, NGHTTP2_DATA, 0, 1, "late", 4); /* sent before the reset was seen */
    peer_request(peer, 3, true, "/body/1", NULL);
    fixture_expect_answer(peer, 3, 1);
    assert_int_equal(fixture.completes, 2);
    peer_close(peer);
}

static void trailers_of_a_request_end_it(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    struct peer_frame frame;
    peer_request(peer, 1, false, "/echo", NULL);
    peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
               "\0\x03x-t\x01v", 7);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_true(frame.flags & NGHTTP2_FLAG_END_STREAM);
    assert_int_equal(fixture.trailers, 1);
    peer_close(peer);
}

static void http1_gets_an_answer_it_can_show(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, false);
    char text[512] = "";
    peer_send(peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    peer_turn(peer);
    assert_true(read(peer->fd, text, sizeof(text) - 1) > 0);
    assert_int_equal(strncmp(text, "HTTP/1.1 505 ", 13), 0);
    assert_int_equal(read(peer->fd, text, sizeof(text)), 0);
    peer_close(peer);
    static const char *const junk[] = {"\x16\x03\x01\x02", "SSH-2.0-x\r\n"};
    for (int i = 0; i != 2; i++) {
        peer = peer_connect(fixture.context, false);
        peer_send(peer, junk[i], strlen(junk[i]));
        peer_expect_goaway(peer, NGHTTP2_PROTOCOL_ERROR);
        peer_close(peer);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(request_is_answered_with_trailers),
        TEST(conversation_fed_byte_by_byte_is_the_same),
        TEST(header_block_may_be_cut_at_every_byte),
        TEST(small_writes_of_a_stream_share_a_frame),
        TEST(interned_fields_cost_a_byte_after_the_first),
        TEST(peer_header_table_is_respected_as_it_changes),
        TEST(streams_beyond_the_limit_are_refused),
        TEST(reset_by_the_peer_is_told_once),
        TEST(stream_identifier_is_used_once_and_never_goes_back),
        TEST(lost_connection_closes_its_streams),
        TEST(answer_before_the_end_of_the_request_stops_it_without_blame),
        TEST(trailers_of_a_request_end_it),
        TEST(http1_gets_an_answer_it_can_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
