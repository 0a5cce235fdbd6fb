/* SPDX-License-Identifier: MIT */
/* HPACK decoding of what libnghttp2's encoder writes, and of malformed blocks. The short way of our
 * own encoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "http2/hpack/hpack_decode.h"
#include "http2/hpack/hpack_encode.h"
#include "http2/hpack/hpack_huffman.h"

static char room[HPACK_ROOM_MIN];
static struct hpack_table table;

static int setup(void **state)
{
    (void)state;
    table = (struct hpack_table){.size = HPACK_TABLE_SIZE};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hpack_table_dispose(&table);
    return 0;
}

static enum hpack_result decode_one(const uint8_t **src, const uint8_t *end,
                                    struct hpack_field *field)
{
    bool changed = false;
    return hpack_decode(&table, src, end, (struct hpack_room){room, sizeof(room)}, field, &changed);
}

/* Decodes the first representation of a block. */
static enum hpack_result decode(const void *block, size_t len, struct hpack_field *field)
{
    const uint8_t *src = block;
    return decode_one(&src, src + len, field);
}
#define DECODE(block, field) decode((block), sizeof(block) - 1, (field))

static void assert_text(h2o_iovec_t text, const void *expected, size_t len)
{
    assert_int_equal(text.len, len);
    assert_memory_equal(text.base, expected, len);
}

static void assert_field(const struct hpack_field *field, const char *name, const char *value)
{
    assert_text(field->name, name, strlen(name));
    assert_text(field->value, value, strlen(value));
}

/* Encodes the fields by libnghttp2, decodes the block and compares. @return the block's length */
static size_t round_trip(nghttp2_hd_deflater *deflater, const nghttp2_nv *fields, size_t num)
{
    static uint8_t block[1 << 17];
    ssize_t len = nghttp2_hd_deflate_hd(deflater, block, sizeof(block), fields, num);
    assert_true(len > 0);
    const uint8_t *src = block;
    size_t i = 0;
    while (src != block + len) {
        struct hpack_field field;
        enum hpack_result result = decode_one(&src, block + len, &field);
        if (result == HPACK_SIZE_UPDATE)
            continue;
        assert_int_equal(result, HPACK_FIELD);
        assert_true(i < num);
        assert_text(field.name, fields[i].name, fields[i].namelen);
        assert_ptr_equal(field.token, h2o_lookup_token((char *)fields[i].name, fields[i].namelen));
        if (fields[i].valuelen <= HPACK_TABLE_SIZE)
            assert_text(field.value, fields[i].value, fields[i].valuelen);
        else
            assert_int_equal(field.value.len, fields[i].valuelen);
        i++;
    }
    assert_int_equal(i, num);
    return (size_t)len;
}

static void every_byte_has_its_code(void **state)
{
    (void)state;
    nghttp2_hd_deflater *deflater;
    assert_int_equal(nghttp2_hd_deflate_new(&deflater, 0), 0);
    for (int c = 0; c < 256; c++) {
        uint8_t value[40];
        memset(value, '0',
               sizeof(value)); /* short codes around it, so that the Huffman code is used */
        value[20] = (uint8_t)c;
        nghttp2_nv field = {(uint8_t *)"x", value, 1, sizeof(value), NGHTTP2_NV_FLAG_NONE};
        assert_true(round_trip(deflater, &field, 1) < 36);
    }
    nghttp2_hd_deflate_del(deflater);
}

/* Repeated names, values of all lengths, tables of all sizes. A table that is out of step shows in
 * the fields that follow. */
static void long_conversations_are_decoded_as_they_were_meant(void **state)
{
    (void)state;
    static const char *const names[] = {":path", "te",       "x-a",           "x-request-id",
                                        "host",  "grpc-bin", "authorization", "a"};
    static uint8_t texts[16][6000];
    nghttp2_hd_deflater *deflater;
    assert_int_equal(nghttp2_hd_deflate_new(&deflater, HPACK_TABLE_SIZE), 0);
    srandom(1);
    for (int round = 0; round < 20000; round++) {
        nghttp2_nv fields[16];
        size_t num = 1 + (size_t)random() % 16;
        if (random() % 50 == 0)
            nghttp2_hd_deflate_change_table_size(deflater,
                                                 (size_t)random() % (HPACK_TABLE_SIZE + 1));
        for (size_t i = 0; i < num; i++) {
            size_t len = (size_t)random() % (random() % 100 == 0 ? sizeof(texts[0]) : 60);
            for (size_t at = 0; at < len; at++)
                texts[i][at] = (uint8_t)(random() % 20 == 0 ? random() : 'a' + random() % 3);
            const char *name = names[random() % 8];
            fields[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)name, texts[i], strlen(name), len,
                                     NGHTTP2_NV_FLAG_NONE};
        }
        round_trip(deflater, fields, num);
    }
    nghttp2_hd_deflate_del(deflater);
}

/* RFC 7541 4.4: a new entry may refer to the name of an entry that it evicts. */
static void name_of_an_entry_that_goes_is_kept(void **state)
{
    (void)state;
    struct hpack_field field;
    uint8_t block[5000]; /* the name of entry 62, and a value */
    assert_int_equal(DECODE("\x40\x04name\x05value", &field), HPACK_FIELD);
    uint8_t *at = block;
    *at++ = 0x40 | 62;
    *at++ = 127;
    *at++ = 0x80 | ((4050 - 127) & 127);
    *at++ = (4050 - 127) >> 7;
    memset(at, 'v', 4050);
    assert_int_equal(decode(block, (size_t)(at - block) + 4050, &field), HPACK_FIELD);
    assert_text(field.name, "name", 4);
    assert_text(field.value, at, 4050);
    assert_int_equal(table.count, 1);
    assert_int_equal(DECODE("\xbe", &field), HPACK_FIELD);
    assert_text(field.name, "name", 4);

    block[2] = 0x80 | ((4200 - 127) & 127); /* too large for any table */
    block[3] = (4200 - 127) >> 7;
    memset(at, 'w', 4200);
    assert_int_equal(decode(block, (size_t)(at - block) + 4200, &field), HPACK_FIELD);
    assert_text(field.name, "name", 4);
    assert_text(field.value, at, 4200);
    assert_int_equal(table.count, 0);
    assert_int_equal(DECODE("\xbe", &field), HPACK_BROKEN);
}

static void first_entry_may_have_no_text_of_its_own(void **state)
{
    (void)state;
    struct hpack_field field;
    assert_int_equal(DECODE("\x50\0", &field), HPACK_FIELD);
    assert_field(&field, "accept-encoding", "");
    assert_non_null(field.value.base); /* NULL would mean that it does not fit into the room */
    assert_int_equal(DECODE("\xbe", &field), HPACK_FIELD);
    assert_field(&field, "accept-encoding", "");
    assert_non_null(field.value.base);
}

static void size_updates_evict(void **state)
{
    (void)state;
    struct hpack_field field;
    assert_int_equal(DECODE("\x40\x01"
                            "a\x01"
                            "b",
                            &field),
                     HPACK_FIELD);
    assert_int_equal(DECODE("\x40\x01"
                            "c\x01"
                            "d",
                            &field),
                     HPACK_FIELD);
    /* to 46 bytes: one entry of 34 fits */
    assert_int_equal(DECODE("\x3f\x0f", &field), HPACK_SIZE_UPDATE);
    assert_int_equal(DECODE("\xbe", &field), HPACK_FIELD);
    assert_field(&field, "c", "d");
    assert_int_equal(DECODE("\xbf", &field), HPACK_BROKEN);
    assert_int_equal(DECODE("\x20", &field), HPACK_SIZE_UPDATE);
    assert_int_equal(DECODE("\xbe", &field), HPACK_BROKEN);
    assert_int_equal(DECODE("\x3f\xe1\x1f", &field), HPACK_SIZE_UPDATE); /* to 4096 bytes */
    assert_int_equal(DECODE("\x3f\xe2\x1f", &field), HPACK_BROKEN);
}

static void broken_representations_are_told(void **state)
{
    (void)state;
    struct hpack_field field;
    assert_int_equal(DECODE("\x80", &field), HPACK_BROKEN); /* index 0 */
    /* an integer without end */
    assert_int_equal(DECODE("\xff\xff\xff\xff\xff\x01", &field), HPACK_BROKEN);
    assert_int_equal(DECODE("\xff", &field), HPACK_BROKEN);
    assert_int_equal(DECODE("\x40", &field), HPACK_BROKEN);
    assert_int_equal(DECODE("\x40\x02x", &field), HPACK_BROKEN);
    assert_int_equal(DECODE("\x40\x01x", &field), HPACK_BROKEN);
    assert_int_equal(DECODE("\x40\x01x\x02y", &field), HPACK_BROKEN);
    /* there is no entry with this index */
    assert_int_equal(DECODE("\x7f\x80\x01\x01y", &field), HPACK_BROKEN);
    assert_int_equal(DECODE("\x40\x00\x01y", &field), HPACK_EMPTY_NAME);
    assert_int_equal(DECODE("\x00\x80\x01y", &field), HPACK_EMPTY_NAME);
    assert_int_equal(table.count, 0);
}

static void strings_not_in_the_code_are_told(void **state)
{
    (void)state;
    char text[8];
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\x00", 1},             /* '0', and padding that is not all ones */
        {"\x1f\xff", 2},         /* 'a', and padding of eleven bits */
        {"\xff", 1},             /* padding of a whole byte */
        {"\xff\xff\xff\xfc", 4}, /* the end-of-string symbol */
        {"\x1f\xff\xff\xff\xf0", 5},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(hpack_huffman_decode(text, 8, (const uint8_t *)bad[i].bytes, bad[i].len),
                         -1);
    assert_int_equal(hpack_huffman_decode(text, 8, (const uint8_t *)"\x1f", 1), 1);
    assert_int_equal(text[0], 'a');
    assert_int_equal(hpack_huffman_decode(text, 8, (const uint8_t *)"", 0), 0);
    text[1] = '!';
    assert_int_equal(hpack_huffman_decode(text, 1, (const uint8_t *)"\x18\xc6\x3f", 3), 4);
    assert_int_equal(text[1], '!'); /* nothing is written behind the room */
}

static void malformed_fields_enter_the_table_all_the_same(void **state)
{
    (void)state;
    struct hpack_field field;
    static const struct {
        const char *block;
        uint8_t faults;
    } cases[] = {
        {"\x40\x02xA\x01y", HPACK_NAME_MALFORMED},
        {"\x40\x02x \x01y", HPACK_NAME_MALFORMED},
        {"\x40\x02x:\x01y", HPACK_NAME_MALFORMED},
        {"\x40\x01:\x01y", HPACK_NAME_MALFORMED},
        {"\x40\x02x\x7f\x01y", HPACK_NAME_MALFORMED},
        {"\x40\x02x\xe9\x01y", HPACK_NAME_MALFORMED},
        {"\x40\x01x\x02 y", HPACK_VALUE_MALFORMED},
        {"\x40\x01x\x02y\t", HPACK_VALUE_MALFORMED},
        {"\x40\x01x\x01 ", HPACK_VALUE_MALFORMED},
        {"\x40\x01x\x03y\nz", HPACK_VALUE_MALFORMED},
        {"\x40\x01x\x03y\rz", HPACK_VALUE_MALFORMED},
        {"\x40\x01x\x03y\x01z", HPACK_VALUE_MALFORMED},
        {"\x40\x01x\x03y z", 0},
        {"\x40\x01x\x03y\tz", 0},
        {"\x40\x02x_\x03y\xc3\xa9", 0},
        {"\x40\x02:x\x01y", 0}, /* section.c checks pseudo-header fields */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(decode(cases[i].block, strlen(cases[i].block), &field), HPACK_FIELD);
        assert_int_equal(field.faults, cases[i].faults);
        assert_int_equal(table.count, i + 1);
        assert_int_equal(DECODE("\xbe", &field), HPACK_FIELD);
        assert_int_equal(field.faults, cases[i].faults);
    }
    assert_int_equal(DECODE("\x40\x01x\x01\0", &field), HPACK_FIELD);
    assert_int_equal(field.faults, HPACK_VALUE_MALFORMED);
}

static void what_an_entry_held_is_overwritten(void **state)
{
    (void)state;
    struct hpack_field field;
    assert_int_equal(DECODE("\x40\x06secret\x0bhunter2 and more", &field), HPACK_FIELD);
    const char *texts = table.texts;
    assert_memory_equal(texts, "secrethunter2", 13);
    assert_int_equal(DECODE("\x20", &field), HPACK_SIZE_UPDATE);
    for (size_t i = 0; i < 17; i++)
        assert_int_equal(texts[i], 0);
}

static void fields_that_are_not_wanted_are_skipped_by_their_indexes(void **state)
{
    (void)state;
    struct hpack_field field;
    static const uint8_t block[] = {0x81, 0xbd, 0xbe, 0x81, 0xbf, 0x80, 0x40};
    const uint8_t *src = block, *end = block + sizeof(block);
    assert_int_equal(DECODE("\x40\x01"
                            "a\x01"
                            "b",
                            &field),
                     HPACK_FIELD);
    assert_true(hpack_skip(&table, &src, end));
    assert_ptr_equal(src, block + 4); /* the first index without an entry */
    assert_false(hpack_skip(&table, &src, end));
    assert_int_equal(decode_one(&src, end, &field), HPACK_BROKEN);
    src = block + 5;
    assert_false(hpack_skip(&table, &src, end)); /* 0 is not an index */
    src = block + 6;
    assert_false(hpack_skip(&table, &src, end));
    src = block;
    assert_true(hpack_skip(&table, &src, block + 2));
    assert_ptr_equal(src, block + 2);
}

/* hpack_encode_known() writes what hpack_encode() writes. */
static void expect_known(struct hpack_encoder *encoder, const struct http2_field *field,
                         unsigned status)
{
    uint8_t shortly[HPACK_KNOWN_MAX], block[256];
    size_t len = hpack_encode_known(encoder, shortly, status, field);
    assert_true(len != 0);
    assert_int_equal(hpack_encode(encoder, block, status, field, 1), len);
    assert_memory_equal(shortly, block, len);
}

static void a_field_in_the_table_is_written_shortly(void **state)
{
    struct http2_field fields[HTTP2_INTERN_MAX + 1];
    static char values[HTTP2_INTERN_MAX + 1][4];
    struct hpack_encoder encoder;
    uint8_t block[256];
    (void)state;
    hpack_encoder_init(&encoder);
    for (unsigned i = 0; i <= HTTP2_INTERN_MAX; i++) {
        snprintf(values[i], sizeof(values[i]), "%u", i);
        fields[i] = (struct http2_field){.name = "n",
                                         .name_len = 1,
                                         .value = values[i],
                                         .value_len = (uint32_t)strlen(values[i]),
                                         .intern = (uint8_t)i};
        assert_int_equal(hpack_encode_known(&encoder, block, 200, &fields[i]), 0);
        hpack_encode(&encoder, block, 200, &fields[i], 1); /* enters the table; not the one of 0 */
        assert_int_equal(hpack_encode_known(&encoder, block, 0, &fields[0]), 0);
        for (unsigned of = 1; of <= i; of++) {
            expect_known(&encoder, &fields[of], 0);
            expect_known(&encoder, &fields[of], 200);
        }
    }
    hpack_encoder_resize(&encoder, 2048); /* the next block begins with the update */
    assert_int_equal(hpack_encode_known(&encoder, block, 200, &fields[1]), 0);
    hpack_encode(&encoder, block, 200, &fields[1], 1);
    expect_known(&encoder, &fields[1], 200);
    hpack_encoder_resize(&encoder, 0); /* no table */
    hpack_encode(&encoder, block, 200, &fields[1], 1);
    assert_int_equal(hpack_encode_known(&encoder, block, 200, &fields[1]), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_field_in_the_table_is_written_shortly),
        T(every_byte_has_its_code),
        T(long_conversations_are_decoded_as_they_were_meant),
        T(name_of_an_entry_that_goes_is_kept),
        T(first_entry_may_have_no_text_of_its_own),
        T(size_updates_evict),
        T(broken_representations_are_told),
        T(strings_not_in_the_code_are_told),
        T(malformed_fields_enter_the_table_all_the_same),
        T(what_an_entry_held_is_overwritten),
        T(fields_that_are_not_wanted_are_skipped_by_their_indexes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
