/* SPDX-License-Identifier: MIT */
/* Header blocks: malformed ones and the scope of their errors, repeated ones (memo.h), long ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "fixture.h"
#include <cmocka.h>

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
        peer_expect_rst(peer, id, NGHTTP2_PROTOCOL_ERROR);
        /* the next request uses table entries of the bad one */
        peer_request(peer, id + 2, true, "/body/1", "x-after", "1", NULL);
        fixture_expect_answer(peer, id + 2, 1);
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
    peer_expect_rst(peer, 1, NGHTTP2_PROTOCOL_ERROR);
    peer_request(peer, 3, true, "/body/1", NULL);
    fixture_expect_answer(peer, 3, 1);
    peer_close(peer);
}

static void empty_field_name_never_reaches_the_decoder(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
               "\x83\x86\x84\x40\0\x01v", 7);
    peer_expect_goaway(peer, NGHTTP2_PROTOCOL_ERROR);
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
        peer_expect_goaway(peer, NGHTTP2_COMPRESSION_ERROR);
        peer_close(peer);
    }
}

static void size_update_at_the_start_is_taken(void **state)
{
    (void)state;
    struct peer *peer = peer_connect(fixture.context, true);
    peer_request(peer, 1, true, "/body/1", "x-a", "1", NULL);
    fixture_expect_answer(peer, 1, 1);
    nghttp2_hd_deflate_change_table_size(peer->deflater, 0);
    nghttp2_hd_deflate_change_table_size(peer->deflater, 256);
    for (uint32_t id = 3; id != 11; id += 2) {
        peer_request(peer, id, true, "/body/1", "x-a", "1", "x-b", "2", NULL);
        fixture_expect_answer(peer, id, 1);
        assert_string_equal(fixture.fields, "x-a: 1\nx-b: 2\n");
    }
    peer_close(peer);
}

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
            peer_expect_rst(peer, id, NGHTTP2_PROTOCOL_ERROR);
        } else if (way == BY_REFUSED) {
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, "\x83\x86\x04\x05/hold",
                       9);
            id += 2;
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id,
                       "\x83\x86\x84\x40\x03x-b\x01"
                       "2",
                       10);
            peer_expect_rst(peer, id, NGHTTP2_REFUSED_STREAM);
            peer_frame(peer, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
        } else {
            peer_frame(peer, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
            peer_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                       "\x40\x03x-b\x01"
                       "2",
                       7);
            peer_expect_rst(peer, 1, NGHTTP2_STREAM_CLOSED);
        }
        if (way == BY_TRAILERS)
            peer_expect_end(peer, 1);
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
        fixture_expect_answer(peer, id, 1);
        snprintf(expected, sizeof(expected), "%s: %s\n%s: %s\nte: trailers\n%s: %s\n", name[0],
                 value[0], name[1], value[1], name[2], value[2]);
        assert_string_equal(fixture.fields, expected);
    }
    assert_true(fixture.notes > 1000); /* the fixture compares what they say */
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
    fixture_expect_answer(peer, 1, 1);
    assert_int_equal(fixture.too_large, 1);
    assert_string_equal(fixture.fields, "");
    peer_request(peer, 3, true, "/body/1", NULL);
    fixture_expect_answer(peer, 3, 1);
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
    peer_expect_goaway(peer, NGHTTP2_ENHANCE_YOUR_CALM);
    peer_close(peer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(malformed_request_costs_its_stream_alone),
        TEST(self_dependent_stream_is_reset_alone),
        TEST(empty_field_name_never_reaches_the_decoder),
        TEST(broken_block_ends_the_connection),
        TEST(size_update_at_the_start_is_taken),
        TEST(block_that_comes_again_is_read_in_the_table_of_its_time),
        TEST(handler_sees_what_was_sent_however_often_it_comes),
        TEST(header_list_over_the_limit_is_told_to_the_handler),
        TEST(header_block_without_end_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
