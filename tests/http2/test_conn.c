/* SPDX-License-Identifier: MIT */
/* The protocol as a client sees it: streams, windows, turns, errors and their scope, GOAWAY. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"

static void expect_rst(struct peer *peer, uint32_t id, uint32_t error)
{
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_RST_STREAM, &frame);
    assert_int_equal(frame.stream_id, id);
    assert_int_equal(peer_u32(frame.payload), error);
}

static void expect_goaway(struct peer *peer, uint32_t error)
{
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    assert_int_equal(peer_u32(frame.payload + 4), error);
    peer_expect_eof(peer);
}

/* Expects a whole answer with `len` body bytes. */
static void expect_answer(struct peer *peer, uint32_t id, size_t len)
{
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(frame.stream_id, id);
    assert_non_null(strstr(peer->fields, ":status: 200\n"));
    while (len != 0) {
        peer_expect(peer, NGHTTP2_DATA, &frame);
        assert_int_equal(frame.stream_id, id);
        assert_true(frame.len <= len);
        len -= frame.len;
    }
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(frame.stream_id, id);
    assert_true(frame.flags & NGHTTP2_FLAG_END_STREAM);
    assert_string_equal(peer->fields, "x-end: yes\n");
}

/* The answer of /hold to a request that ends with trailers: it has sent nothing before. */
static void expect_trailers_only_end(struct peer *peer)
{
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(frame.stream_id, 1);
    assert_true(peer_ends_stream(&frame));
}

static void request_is_answered_with_trailers(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, true, "/body/5", "x-a", "b", NULL);
    expect_answer(peer, 1, 5);
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
    expect_answer(peer, 1, 3);
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
        expect_answer(peer, id, 1);
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
    expect_answer(peer, id, 3);
    for (size_t i = 0; i != 5; i++) {
        nghttp2_hd_inflate_change_table_size(peer->inflater, sizes[i]);
        peer_settings(peer, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, sizes[i]);
        for (int n = 0; n != 3; n++) {
            id += 2;
            peer_request(peer, id, true, "/body/3", NULL);
            expect_answer(peer, id, 3); /* libnghttp2 checks the size updates */
        }
    }
    peer_close(peer);
}

/* ---- flow control: sending ---- */

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
        expect_answer(quick, id, 100);
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

/* ---- flow control: receiving ---- */

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
    expect_rst(peer, 1, NGHTTP2_FLOW_CONTROL_ERROR);
    peer_request(peer, 3, true, "/body/1", NULL);
    expect_answer(peer, 3, 1);
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
    expect_answer(peer, 1, 4);
    assert_memory_equal(fixture.data, "abcd", 4);
    peer_close(peer);
}

/* ---- errors and their scope ---- */

static void malformed_request_costs_its_stream_alone(void **state)
{
    (void)state;
    static const char *const bad[][2] = {{"te", "gzip"},
                                         {"connection", "close"},
                                         {"transfer-encoding", "chunked"},
                                         {"content-length", "7"},
                                         {"content-length", "x"},
                                         {"x-a", "a\x01"},
                                         {"x a", "b"}};
    struct peer *peer = peer_connect(fixture.context, true);
    uint32_t id = 1;
    for (size_t i = 0; i != sizeof(bad) / sizeof(bad[0]); i++, id += 4) {
        peer_request(peer, id, true, "/body/1", bad[i][0], bad[i][1], "x-after", "1", NULL);
        expect_rst(peer, id, NGHTTP2_PROTOCOL_ERROR);
        /* the next request uses table entries of the bad one */
        peer_request(peer, id + 2, true, "/body/1", "x-after", "1", NULL);
        expect_answer(peer, id + 2, 1);
        assert_string_equal(fixture.fields, "x-after: 1\n");
    }
    peer_close(peer);
}

static void self_dependent_stream_is_reset_alone(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    size_t len;
    uint8_t *block = peer_block(peer, &len, "/body/1", NULL);
    uint8_t payload[256] = {0, 0, 0, 1, 15};
    memcpy(payload + 5, block, len);
    free(block);
    peer_frame(peer, NGHTTP2_HEADERS,
               NGHTTP2_FLAG_PRIORITY | NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
               payload, len + 5);
    expect_rst(peer, 1, NGHTTP2_PROTOCOL_ERROR);
    peer_request(peer, 3, true, "/body/1", NULL);
    expect_answer(peer, 3, 1);
    peer_close(peer);
}

static void empty_field_name_never_reaches_the_decoder(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
               "\x83\x86\x84\x40\0\x01v", 7);
    expect_goaway(peer, NGHTTP2_PROTOCOL_ERROR);
    peer_close(peer);
}

static void broken_block_ends_the_connection(void **state)
{
    (void)state;
    static const char *const blocks[] = {"\x80",         "\xff\xff\xff\xff\xff\x7f",
                                         "\xc6",         "\x40\x05x",
                                         "\x83\x20\x84", "\x3f\xe2\x1f\x84"};
    static const size_t lens[] = {1, 6, 1, 3, 3, 4};
    for (size_t i = 0; i != 6; i++) {
        struct peer *peer = peer_connect(fixture.context, true);
        peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, blocks[i], lens[i]);
        expect_goaway(peer, NGHTTP2_COMPRESSION_ERROR);
        peer_close(peer);
    }
}

static void size_update_at_the_start_is_taken(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, true, "/body/1", "x-a", "1", NULL);
    expect_answer(peer, 1, 1);
    nghttp2_hd_deflate_change_table_size(peer->deflater, 0);
    nghttp2_hd_deflate_change_table_size(peer->deflater, 256);
    for (uint32_t id = 3; id != 11; id += 2) {
        peer_request(peer, id, true, "/body/1", "x-a", "1", "x-b", "2", NULL);
        expect_answer(peer, id, 1);
        assert_string_equal(fixture.fields, "x-a: 1\nx-b: 2\n");
    }
    peer_close(peer);
}

/* ---- repeated header blocks: memo.h ---- */

static void send_block(struct peer *peer, uint32_t id, const char *block, size_t len)
{
    struct peer_frame frame;
    peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, block,
               len);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(frame.stream_id, id);
}

/* Between two equal blocks something changes the table, so that they have different meanings. */
static void block_that_comes_again_is_read_in_the_table_of_its_time(void **state)
{
    (void)state;
    static const char newest[] = "\x83\x86\x84\xbe"; /* POST, http, /, and the newest entry */
    enum { BY_REQUEST, BY_TRAILERS, BY_MALFORMED, BY_REFUSED, BY_CLOSED, WAYS };
    for (int way = 0; way != WAYS; way++) {
        struct peer *peer = peer_connect(fixture.context, true);
        struct peer_frame frame;
        uint32_t id = 1;
        peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, "\x83\x86\x44\x05/hold", 9);
        for (uint32_t more = 3; way == BY_REFUSED && more <= 39; more += 2, id = more - 2)
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, more,
                       "\x83\x86\x04\x05/hold", 9);
        if (way == BY_REFUSED) /* one stream is allowed, which the repeated block uses */
            peer_frame(peer, NGHTTP2_RST_STREAM, 0, 39, "\0\0\0\x08", 4);
        id += 2;
        send_block(peer, id,
                   "\x83\x86\x84\x40\x03x-a\x01"
                   "1",
                   10);
        for (int n = 0; n != 4; n++) {
            send_block(peer, id += 2, newest, 4);
            assert_string_equal(fixture.fields, "x-a: 1\n");
        }
        id += 2;
        if (way == BY_REQUEST) {
            send_block(peer, id,
                       "\x83\x86\x84\x40\x03x-b\x01"
                       "2",
                       10);
        } else if (way == BY_TRAILERS) {
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                       "\x40\x03x-b\x01"
                       "2",
                       7);
        } else if (way == BY_MALFORMED) {
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
                       id,
                       "\x83\x86\x40\x03x-b\x01"
                       /* no path */
                       "2",
                       9);
            expect_rst(peer, id, NGHTTP2_PROTOCOL_ERROR);
        } else if (way == BY_REFUSED) {
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, "\x83\x86\x04\x05/hold",
                       9);
            id += 2;
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id,
                       "\x83\x86\x84\x40\x03x-b\x01"
                       "2",
                       10);
            expect_rst(peer, id, NGHTTP2_REFUSED_STREAM);
            peer_frame(peer, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
        } else {
            peer_frame(peer, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                       "\x40\x03x-b\x01"
                       "2",
                       7);
            expect_rst(peer, 1, NGHTTP2_STREAM_CLOSED);
        }
        if (way == BY_TRAILERS)
            expect_trailers_only_end(peer);
        send_block(peer, id += 2, newest, 4);
        assert_string_equal(fixture.fields, "x-b: 2\n");
        /* a size update to 0 evicts the entry, so its index is invalid */
        send_block(peer, id += 2, newest, 4);
        send_block(peer, id += 2, "\x20\x83\x86\x84", 4);
        peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
                   id + 2, newest, 4);
        while (peer_next(peer, &frame) && frame.type != NGHTTP2_GOAWAY)
            ;
        assert_int_equal(frame.type, NGHTTP2_GOAWAY);
        assert_int_equal(peer_u32(frame.payload + 4), NGHTTP2_COMPRESSION_ERROR);
        peer_close(peer);
    }
}

/* Random requests, many of them repeated, from an encoder that adds, evicts and resizes. */
static void handler_sees_what_was_sent_however_often_it_comes(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    unsigned seed = 7;
    char name[3][16] = {"x-a", "x-b", "x-c"}, value[3][64] = {"1", "2", "3"}, expected[512];
    for (uint32_t id = 1; id != 20001; id += 2) {
        unsigned dice = (unsigned)rand_r(&seed) % 100;
        if (dice < 25)
            snprintf(value[dice % 3], sizeof(value[0]), "%0*u", 1 + rand_r(&seed) % 40,
                     (unsigned)rand_r(&seed) % 5);
        if (dice < 5)
            snprintf(name[dice % 3], sizeof(name[0]), "x-%u", (unsigned)rand_r(&seed) % 100);
        if (dice == 99)
            nghttp2_hd_deflate_change_table_size(peer->deflater, (size_t)(rand_r(&seed) % 2) * 200);
        peer_request(peer, id, true, "/body/1", name[0], value[0], name[1], value[1], "te",
                     "trailers", name[2], value[2], NULL);
        expect_answer(peer, id, 1);
        snprintf(expected, sizeof(expected), "%s: %s\n%s: %s\nte: trailers\n%s: %s\n", name[0],
                 value[0], name[1], value[1], name[2], value[2]);
        assert_string_equal(fixture.fields, expected);
    }
    peer_close(peer);
}

static void header_list_over_the_limit_is_told_to_the_handler(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    char *big = malloc(20001);
    memset(big, 'x', 20000);
    big[20000] = '\0';
    size_t len;
    uint8_t *block = peer_block(peer, &len, "/body/1", "x-big", big, NULL);
    peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block, 10000);
    peer_frame(peer, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, block + 10000, len - 10000);
    expect_answer(peer, 1, 1);
    assert_int_equal(fixture.too_large, 1);
    assert_string_equal(fixture.fields, "");
    peer_request(peer, 3, true, "/body/1", NULL);
    expect_answer(peer, 3, 1);
    assert_int_equal(fixture.too_large, 1);
    free(block);
    free(big);
    peer_close(peer);
}

static void header_block_without_end_ends_the_connection(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    static uint8_t junk[16384];
    peer_frame(peer, NGHTTP2_HEADERS, 0, 1, junk, sizeof(junk));
    for (int i = 0; i != 10; i++)
        peer_frame(peer, NGHTTP2_CONTINUATION, 0, 1, junk, sizeof(junk));
    expect_goaway(peer, NGHTTP2_ENHANCE_YOUR_CALM);
    peer_close(peer);
}

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
        expect_answer(peer, id, 1);
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

static void streams_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    for (uint32_t id = 1; id <= 41; id += 2)
        peer_request(peer, id, false, "/hold", NULL);
    expect_rst(peer, 41, NGHTTP2_REFUSED_STREAM);
    peer_frame(peer, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
    peer_request(peer, 43, true, "/body/1", NULL);
    expect_answer(peer, 43, 1);
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
    expect_rst(peer, 1, NGHTTP2_STREAM_CLOSED);
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
        expect_answer(peer, 5001, 1);
        peer_request(peer, again[i].id, true, "/body/1", NULL);
        if (again[i].of_connection)
            expect_goaway(peer, again[i].error);
        else
            expect_rst(peer, again[i].id, again[i].error);
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
    expect_answer(peer, 1, 0);
    expect_rst(peer, 1, NGHTTP2_NO_ERROR);
    peer_frame(peer, NGHTTP2_DATA, 0, 1, "late", 4); /* sent before the reset was seen */
    peer_request(peer, 3, true, "/body/1", NULL);
    expect_answer(peer, 3, 1);
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
        expect_goaway(peer, NGHTTP2_PROTOCOL_ERROR);
        peer_close(peer);
    }
}

/* ---- the end of a connection: drain.h ---- */

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
    expect_answer(peer, 3, 1);
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
    expect_answer(peer, 1, 1);
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
    expect_answer(peer, 1, 1);
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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    static const struct CMUnitTest tests[] = {
        T(request_is_answered_with_trailers),
        T(conversation_fed_byte_by_byte_is_the_same),
        T(header_block_may_be_cut_at_every_byte),
        T(small_writes_of_a_stream_share_a_frame),
        T(interned_fields_cost_a_byte_after_the_first),
        T(peer_header_table_is_respected_as_it_changes),
        T(body_waits_for_the_stream_window),
        T(settings_move_the_window_of_open_streams_below_zero_and_back),
        T(connection_window_holds_all_streams_and_lets_them_go_on),
        T(streams_take_turns),
        T(slow_reader_costs_constant_memory_and_delays_no_other),
        T(output_that_is_not_read_stops_the_reading),
        T(unconsumed_body_holds_the_peer_and_consumed_credits_it),
        T(body_over_the_stream_window_resets_the_stream_alone),
        T(window_of_streams_that_are_gone_comes_back),
        T(padding_is_credited_and_not_delivered),
        T(malformed_request_costs_its_stream_alone),
        T(self_dependent_stream_is_reset_alone),
        T(empty_field_name_never_reaches_the_decoder),
        T(broken_block_ends_the_connection),
        T(size_update_at_the_start_is_taken),
        T(block_that_comes_again_is_read_in_the_table_of_its_time),
        T(handler_sees_what_was_sent_however_often_it_comes),
        T(header_list_over_the_limit_is_told_to_the_handler),
        T(header_block_without_end_ends_the_connection),
        T(floods_of_frames_that_do_nothing_end_the_connection),
        T(rapid_reset_ends_the_connection),
        T(pings_have_two_strikes_until_something_is_sent),
        T(window_updates_that_follow_data_are_never_too_many),
        T(window_updates_that_follow_answers_without_a_body_are_never_too_many),
        T(dead_peers_and_unread_output_are_bounded_in_the_kernel),
        T(streams_beyond_the_limit_are_refused),
        T(reset_by_the_peer_is_told_once),
        T(stream_identifier_is_used_once_and_never_goes_back),
        T(lost_connection_closes_its_streams),
        T(answer_before_the_end_of_the_request_stops_it_without_blame),
        T(trailers_of_a_request_end_it),
        T(http1_gets_an_answer_it_can_show),
        T(shutdown_lets_running_streams_finish),
        T(goaway_of_a_connection_without_a_stream_comes_with_the_next_one),
        T(goaway_of_a_quiet_connection_comes_by_itself),
        T(shutdown_in_a_handshake_lets_it_end_and_serves_what_comes_with_it),
        T(shutdown_in_a_handshake_that_does_not_go_on_closes),
    };
    return cmocka_run_group_tests_name("http2", tests, NULL, NULL);
}
