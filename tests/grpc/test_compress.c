/* SPDX-License-Identifier: MIT */
/* Inflating what any client may send, and deflating what any client can read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "grpc/compress.h"
#include "grpc/grpc.h"
#include "tests/base/dumped.h"

static struct grpc_compress *compress_;
static uint8_t text[200000], packed[300000];

static int create(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)((size_t) "the quick brown fox "[i % 20] + i / 5000);
    compress_ = grpc_compress_create();
    return compress_ == NULL;
}

static int destroy(void **state)
{
    (void)state;
    grpc_compress_destroy(compress_);
    return 0;
}

/* Compresses as another program does. */
static size_t pack(unsigned encoding, size_t len)
{
    z_stream stream = {0};
    assert_int_equal(
        deflateInit2(&stream, 9, Z_DEFLATED, encoding == GRPC_COMPRESS_GZIP ? 15 + 16 : 15, 8, 0),
        Z_OK);
    stream.next_in = text;
    stream.avail_in = (uInt)len;
    stream.next_out = packed;
    stream.avail_out = sizeof(packed);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t size = stream.total_out;
    deflateEnd(&stream);
    return size;
}

static void both_formats_of_any_length_are_read(void **state)
{
    static const size_t lengths[] = {0, 1, 100, 4095, 4096, 4097, 65536, 200000};
    (void)state;
    for (unsigned encoding = 1; encoding <= 2; encoding++) {
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            uint8_t *out;
            size_t len, size = pack(encoding, lengths[i]);
            assert_int_equal(grpc_inflate(compress_, encoding, packed, size, 200000, &out, &len),
                             GRPC_INFLATE_DONE);
            assert_int_equal(len, lengths[i]);
            if (len != 0)
                assert_memory_equal(out, text, len);
        }
    }
}

static void exactly_max_is_read_and_one_more_is_not(void **state)
{
    (void)state;
    for (unsigned encoding = 1; encoding <= 2; encoding++) {
        uint8_t *out;
        size_t len, size = pack(encoding, 10000);
        assert_int_equal(grpc_inflate(compress_, encoding, packed, size, 10000, &out, &len),
                         GRPC_INFLATE_DONE);
        for (size_t max = 0; max < 10000; max += 99)
            assert_int_equal(grpc_inflate(compress_, encoding, packed, size, max, &out, &len),
                             GRPC_INFLATE_TOO_LARGE);
    }
}

static void bomb_writes_no_more_than_max(void **state)
{
    (void)state;
    z_stream stream = {0};
    deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, 0);
    stream.next_out = packed;
    stream.avail_out = sizeof(packed);
    memset(text, 0, sizeof(text));
    for (int i = 0; i < 1000; i++) { /* 200 MB of zeros from 200 kB */
        stream.next_in = text;
        stream.avail_in = sizeof(text);
        deflate(&stream, i == 999 ? Z_FINISH : Z_NO_FLUSH);
    }
    size_t size = stream.total_out, len;
    deflateEnd(&stream);
    uint8_t *out;
    assert_int_equal(grpc_inflate(compress_, GRPC_COMPRESS_GZIP, packed, size, 1 << 20, &out, &len),
                     GRPC_INFLATE_TOO_LARGE);
    assert_int_equal(len, 1 << 20);
}

static void what_is_damaged_cut_or_too_long_is_corrupt(void **state)
{
    (void)state;
    for (unsigned encoding = 1; encoding <= 2; encoding++) {
        uint8_t *out;
        size_t len, size = pack(encoding, 3000);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(grpc_inflate(compress_, encoding, packed, cut, 65536, &out, &len),
                             GRPC_INFLATE_CORRUPT);
        assert_int_equal(grpc_inflate(compress_, encoding, packed, size + 1, 65536, &out, &len),
                         GRPC_INFLATE_CORRUPT);
        assert_int_equal(grpc_inflate(compress_, 3 - encoding, packed, size, 65536, &out, &len),
                         GRPC_INFLATE_CORRUPT);
        packed[size / 2] ^= 0x10;
        assert_int_not_equal(grpc_inflate(compress_, encoding, packed, size, 65536, &out, &len),
                             GRPC_INFLATE_DONE);
        packed[size / 2] ^= 0x10; /* undone, it inflates again */
        assert_int_equal(grpc_inflate(compress_, encoding, packed, size, 65536, &out, &len),
                         GRPC_INFLATE_DONE);
    }
}

/* Repeats a member of `size` bytes, with room for more behind. */
static uint8_t *members(size_t size, unsigned count)
{
    uint8_t *bytes = malloc(size * count + 8);
    assert_non_null(bytes);
    for (unsigned i = 0; i < count; i++)
        memcpy(bytes + i * size, packed, size);
    memset(bytes + size * count, 0, 8);
    return bytes;
}

static void gzip_of_several_members_is_all_that_is_in_them(void **state)
{
    (void)state;
    uint8_t *out;
    size_t len, size = pack(GRPC_COMPRESS_GZIP, 3000);
    uint8_t *three = members(size, 3);
    assert_int_equal(grpc_inflate(compress_, GRPC_COMPRESS_GZIP, three, 3 * size, 9000, &out, &len),
                     GRPC_INFLATE_DONE);
    assert_int_equal(len, 9000);
    for (int i = 0; i < 3; i++)
        assert_memory_equal(out + i * 3000, text, 3000);
    /* the bound is for all members together */
    assert_int_equal(grpc_inflate(compress_, GRPC_COMPRESS_GZIP, three, 3 * size, 8999, &out, &len),
                     GRPC_INFLATE_TOO_LARGE);
    for (size_t cut = 1; cut < size; cut++)
        assert_int_equal(
            grpc_inflate(compress_, GRPC_COMPRESS_GZIP, three, 2 * size + cut, 9000, &out, &len),
            GRPC_INFLATE_CORRUPT);
    for (size_t more = 1; more <= 8; more++) /* zeros are not a member */
        assert_int_equal(
            grpc_inflate(compress_, GRPC_COMPRESS_GZIP, three, 3 * size + more, 9000, &out, &len),
            GRPC_INFLATE_CORRUPT);
    free(three);
    size = pack(GRPC_COMPRESS_DEFLATE, 3000);
    three = members(size, 3);
    assert_int_equal(
        grpc_inflate(compress_, GRPC_COMPRESS_DEFLATE, three, 3 * size, 9000, &out, &len),
        GRPC_INFLATE_CORRUPT);
    free(three);
}

static void members_without_end_are_refused(void **state)
{
    (void)state;
    uint8_t *out;
    size_t len, size = pack(GRPC_COMPRESS_GZIP, 0);
    uint8_t *many = members(size, GRPC_INFLATE_MAX_MEMBERS + 1);
    assert_int_equal(grpc_inflate(compress_, GRPC_COMPRESS_GZIP, many,
                                  GRPC_INFLATE_MAX_MEMBERS * size, 0, &out, &len),
                     GRPC_INFLATE_DONE);
    assert_int_equal(len, 0);
    assert_int_equal(grpc_inflate(compress_, GRPC_COMPRESS_GZIP, many,
                                  (GRPC_INFLATE_MAX_MEMBERS + 1) * size, 0, &out, &len),
                     GRPC_INFLATE_CORRUPT);
    free(many);
}

/* The length at the end of a gzip is only a first guess. */
static void a_gzip_that_lies_about_its_length_is_corrupt_at_no_cost(void **state)
{
    static const uint32_t lies[] = {0, 1, 9999, 10001, 65536, 1 << 20, UINT32_MAX};
    (void)state;
    size_t len, size = pack(GRPC_COMPRESS_GZIP, 10000);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        uint8_t *out;
        memcpy(packed + size - 4, &lies[i], 4);
        assert_int_equal(
            grpc_inflate(compress_, GRPC_COMPRESS_GZIP, packed, size, 65536, &out, &len),
            GRPC_INFLATE_CORRUPT);
        assert_in_range(len, 10000,
                        65536); /* bytes that may have been produced: they count as work */
    }
}

/* Only the last member's length is known in advance. */
static void members_of_any_lengths_are_read_in_any_order(void **state)
{
    static const size_t lengths[][4] = {
        {100000, 0, 1, 0}, {1, 90000, 10, 5000}, {0, 0, 0, 100000}, {9000, 9000, 9000, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint8_t *out, *all = malloc(sizeof(packed));
        size_t len, size = 0, whole = 0;
        for (size_t k = 0; k < 4; k++) {
            size_t one = pack(GRPC_COMPRESS_GZIP, lengths[i][k]);
            memcpy(all + size, packed, one);
            size += one;
            whole += lengths[i][k];
        }
        assert_int_equal(
            grpc_inflate(compress_, GRPC_COMPRESS_GZIP, all, size, 1 << 22, &out, &len),
            GRPC_INFLATE_DONE);
        assert_int_equal(len, whole);
        for (size_t k = 0, at = 0; k < 4; at += lengths[i][k++])
            assert_memory_equal(out + at, text, lengths[i][k]);
        free(all);
    }
}

static void deflated_is_what_it_was_and_smaller(void **state)
{
    (void)state;
    for (int round = 0; round < 4;
         round++) { /* alternating, because a deflater cannot change its format */
        unsigned encoding = round % 2 == 0 ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_DEFLATE;
        const uint8_t *made;
        uint8_t *out;
        size_t len, size = grpc_deflate(compress_, encoding, text, sizeof(text), &made);
        assert_in_range(size, 1, sizeof(text) / 4);
        memcpy(packed, made, size);
        assert_int_equal(grpc_inflate(compress_, encoding, packed, size, sizeof(text), &out, &len),
                         GRPC_INFLATE_DONE);
        assert_int_equal(len, sizeof(text));
        assert_memory_equal(out, text, len);
    }
}

static void what_does_not_get_smaller_is_left_alone(void **state)
{
    static uint8_t noise[50000];
    const uint8_t *made;
    uint64_t random = 1;
    (void)state;
    for (size_t i = 0; i < sizeof(noise); i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        noise[i] = (uint8_t)(random >> 56);
    }
    for (size_t len = 0; len < 40; len++)
        assert_int_equal(grpc_deflate(compress_, GRPC_COMPRESS_GZIP, noise, len, &made), 0);
    assert_int_equal(grpc_deflate(compress_, GRPC_COMPRESS_GZIP, noise, sizeof(noise), &made), 0);
}

static void forgetting_leaves_an_inflater_that_works(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        uint8_t *out;
        size_t len, size = pack(GRPC_COMPRESS_GZIP, 50000);
        assert_int_equal(
            grpc_inflate(compress_, GRPC_COMPRESS_GZIP, packed, size, 65536, &out, &len),
            GRPC_INFLATE_DONE);
        grpc_compress_forget(compress_);
        for (size_t k = 0; k < len; k++)
            assert_int_equal(out[k], 0); /* the buffer is kept: it is small */
    }
}

/* Allocating 4 MiB anew for each message would cost more than inflating it. */
static void memory_of_a_large_message_is_kept_until_it_is_trimmed(void **state)
{
    (void)state;
    z_stream stream = {0};
    deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, 0);
    stream.next_out = packed;
    stream.avail_out = sizeof(packed);
    memset(text, 0, sizeof(text));
    for (int i = 0; i < 20; i++) {
        stream.next_in = text;
        stream.avail_in = sizeof(text);
        deflate(&stream, i == 19 ? Z_FINISH : Z_NO_FLUSH);
    }
    size_t size = stream.total_out, len;
    deflateEnd(&stream);
    uint8_t *out;
    grpc_compress_trim(compress_);
    assert_false(grpc_compress_is_large(compress_));
    assert_int_equal(grpc_inflate(compress_, GRPC_COMPRESS_GZIP, packed, size, 4 << 20, &out, &len),
                     GRPC_INFLATE_DONE);
    assert_true(grpc_compress_is_large(compress_));
    grpc_compress_forget(compress_);
    assert_true(grpc_compress_is_large(compress_));
    grpc_compress_trim(compress_);
    assert_false(grpc_compress_is_large(compress_));
}

#ifndef __SANITIZE_ADDRESS__ /* secret memory is malloc's there, so that ASan finds overflows */
static void what_was_inflated_is_in_no_core(void **state)
{
    static const size_t lengths[] = {10, 5000, 200000};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t *out;
        size_t len, size = pack(GRPC_COMPRESS_DEFLATE, lengths[i]);
        assert_int_equal(
            grpc_inflate(compress_, GRPC_COMPRESS_DEFLATE, packed, size, 1 << 20, &out, &len),
            GRPC_INFLATE_DONE);
        assert_true(is_left_out(out));
    }
}
#endif

static void accepted_encodings_are_found_in_any_list(void **state)
{
    static const struct {
        const char *list;
        unsigned bits;
    } cases[] = {{"gzip", 1},
                 {"identity, deflate, gzip", 3},
                 {"identity,gzip", 1},
                 {"deflate", 2},
                 {"", 0},
                 {",, ,", 0},
                 {"gzipx,xgzip", 0},
                 {"snappy\tgzip", 1},
                 {"GZIP", 0},
                 {"deflate,deflate", 2}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(grpc_compress_accepted(cases[i].list, strlen(cases[i].list)),
                         cases[i].bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_of_any_length_are_read),
        cmocka_unit_test(exactly_max_is_read_and_one_more_is_not),
        cmocka_unit_test(what_is_damaged_cut_or_too_long_is_corrupt),
        cmocka_unit_test(gzip_of_several_members_is_all_that_is_in_them),
        cmocka_unit_test(members_without_end_are_refused),
        cmocka_unit_test(a_gzip_that_lies_about_its_length_is_corrupt_at_no_cost),
        cmocka_unit_test(members_of_any_lengths_are_read_in_any_order),
        cmocka_unit_test(deflated_is_what_it_was_and_smaller),
        cmocka_unit_test(what_does_not_get_smaller_is_left_alone),
        cmocka_unit_test(forgetting_leaves_an_inflater_that_works),
        cmocka_unit_test(accepted_encodings_are_found_in_any_list),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(what_was_inflated_is_in_no_core),
#endif
        cmocka_unit_test(memory_of_a_large_message_is_kept_until_it_is_trimmed),
        cmocka_unit_test(bomb_writes_no_more_than_max),
    };
    return cmocka_run_group_tests(tests, create, destroy);
}
