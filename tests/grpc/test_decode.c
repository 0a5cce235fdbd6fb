/* SPDX-License-Identifier: MIT */
/* Decoding: messages must be what protobuf-c makes of the bytes, and their cost is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grpc/decode.h"
#include "grpc/grpc_wire.h"
#include "tests/grpc/test_service.pb-c.h"

static const uint8_t set_bytes[] = {
#include "tests/grpc/test_service_set.h"
};

static struct grpc_codec *codecs;
static const struct grpc_codec *item_codec, *numbers_codec, *range_codec;
static struct grpc_arena arena;

static int make_codecs(void **state)
{

    (void)state;
    Google__Protobuf__FileDescriptorSet *set =
        google__protobuf__file_descriptor_set__unpack(NULL, sizeof(set_bytes), set_bytes);
    item_codec = grpc_codec_get(&codecs, set, &grpctest__item__descriptor, NULL);
    numbers_codec = grpc_codec_get(&codecs, set, &grpctest__numbers__descriptor, NULL);
    range_codec = grpc_codec_get(
        &codecs, set, &google__protobuf__descriptor_proto__reserved_range__descriptor, NULL);
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    grpc_arena_init(&arena, NULL, 0);
    return item_codec == NULL || numbers_codec == NULL || range_codec == NULL;
}

static int free_codecs(void **state)
{
    (void)state;
    grpc_codecs_free(codecs);
    return 0;
}

static int clear_arena(void **state)
{
    (void)state;
    grpc_arena_clear(&arena, false);
    return 0;
}

/* ---- helpers ---- */

static enum grpc_decode_result decode(const struct grpc_codec *codec, const void *bytes, size_t len,
                                      void *message)
{
    /* a block of exactly this size, so that a sanitizer finds a read past its end */
    uint8_t *copy = calloc(1, len + (len == 0));
    memcpy(copy, bytes, len);
    enum grpc_decode_result result =
        grpc_decode(codec, &arena, copy, len, (ProtobufCMessage **)message);
    memset(copy, 0xee, len); /* the message must not point there */
    free(copy);
    return result;
}

#define ITEM(bytes)    item_of(bytes, sizeof(bytes) - 1)
#define NUMBERS(bytes) numbers_of(bytes, sizeof(bytes) - 1)
static Grpctest__Item *item_of(const void *bytes, size_t len)
{
    Grpctest__Item *item;
    assert_int_equal(decode(item_codec, bytes, len, &item), GRPC_DECODED);
    return item;
}
static Grpctest__Numbers *numbers_of(const void *bytes, size_t len)
{
    Grpctest__Numbers *numbers;
    assert_int_equal(decode(numbers_codec, bytes, len, &numbers), GRPC_DECODED);
    return numbers;
}

static void malformed(const struct grpc_codec *codec, const void *bytes, size_t len)
{
    void *message;
    assert_int_equal(decode(codec, bytes, len, &message), GRPC_DECODE_MALFORMED);
}
#define MALFORMED(codec, bytes) malformed((codec), (bytes), sizeof(bytes) - 1)

static void assert_text(const ProtobufCBinaryData *text, const char *expected)
{
    assert_int_equal(text->len, strlen(expected));
    assert_memory_equal(text->data, expected, text->len);
}

/* ---- the same as protobuf-c ---- */

static uint64_t seed = 1;
static unsigned dice(unsigned sides)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % sides;
}

struct bytes {
    uint8_t at[8192];
    size_t len;
};

static void put_varint(struct bytes *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        to->at[to->len++] = (uint8_t)(value | 0x80);
    to->at[to->len++] = (uint8_t)value;
}

static uint64_t any_number(void)
{
    uint64_t bits = (uint64_t)dice(1 << 22) << 42 ^ (uint64_t)dice(1 << 22) << 21 ^ dice(1 << 22);
    return bits >> dice(64);
}

static void put_fixed(struct bytes *to, size_t size)
{
    uint64_t value = any_number();
    memcpy(to->at + to->len, &value, size);
    to->len += size;
}

static void put_nested(struct bytes *to, uint32_t number, const struct bytes *body)
{
    put_varint(to, number << 3 | GRPC_WIRE_LENGTH);
    put_varint(to, body->len);
    memcpy(to->at + to->len, body->at, body->len);
    to->len += body->len;
}

static void put_value(struct bytes *to, const ProtobufCFieldDescriptor *field);

/** Writes a random field of this type. protobuf-c loses numbers when it merges messages, so a
 * singular number is written once: `used` has a bit for each member. */
static void put_any(struct bytes *to, const ProtobufCMessageDescriptor *type, uint64_t *used)
{
    const ProtobufCFieldDescriptor *field = &type->fields[dice(type->n_fields)];
    struct bytes list = {.len = 0};
    bool packable = field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_BYTES &&
                    field->type != PROTOBUF_C_TYPE_MESSAGE;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED) {
        if ((*used & UINT64_C(1) << field->id) != 0)
            return;
        *used |= UINT64_C(1) << field->id;
    }
    if (field->label != PROTOBUF_C_LABEL_REPEATED || !packable || dice(2) == 0) {
        put_value(to, field);
        return;
    }
    for (unsigned n = dice(4); n-- != 0;) {
        struct bytes one = {.len = 0};
        put_value(&one, field);
        size_t tag = field->id < 16 ? 1 : 2;
        memcpy(list.at + list.len, one.at + tag, one.len - tag);
        list.len += one.len - tag;
    }
    put_nested(to, field->id, &list);
}

static void put_value(struct bytes *to, const ProtobufCFieldDescriptor *field)
{
    struct bytes body = {.len = 0};
    uint64_t used = 0;
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        for (unsigned n = dice(4); n-- != 0;)
            put_any(&body, field->descriptor, &used);
        put_nested(to, field->id, &body);
        break;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        body.len = dice(2) == 0 ? dice(4) : dice(40);
        memset(body.at, 'a' + (int)dice(26), body.len);
        put_nested(to, field->id, &body);
        break;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        put_varint(to, field->id << 3 | GRPC_WIRE_FIXED32);
        put_fixed(to, 4);
        break;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        put_varint(to, field->id << 3 | GRPC_WIRE_FIXED64);
        put_fixed(to, 8);
        break;
    default:
        put_varint(to, field->id << 3 | GRPC_WIRE_VARINT);
        put_varint(to, any_number());
    }
}

/** Writes fields that no type here has: of each wire type, and nested groups. */
static void put_unknown(struct bytes *to, unsigned depth)
{
    struct bytes body = {.len = dice(9)};
    uint32_t number = 100 + dice(1000000);
    switch (dice(depth < 4 ? 5 : 4)) {
    case 0:
        put_varint(to, number << 3 | GRPC_WIRE_VARINT);
        put_varint(to, any_number());
        break;
    case 1:
        put_varint(to, number << 3 | GRPC_WIRE_FIXED32);
        put_fixed(to, 4);
        break;
    case 2:
        put_varint(to, number << 3 | GRPC_WIRE_FIXED64);
        put_fixed(to, 8);
        break;
    case 3:
        put_nested(to, number, &body);
        break;
    default:
        put_varint(to, number << 3 | GRPC_WIRE_GROUP);
        for (unsigned n = dice(4); n-- != 0;)
            put_unknown(to, depth + 1);
        put_varint(to, number << 3 | GRPC_WIRE_GROUP_END);
    }
}

static size_t pack(const ProtobufCMessage *message, uint8_t *to, size_t cap)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    assert_true(len <= cap);
    return protobuf_c_message_pack(message, to);
}

/** Asserts that protobuf-c and our decoder make the same of `known`, and our decoder also with
 * unknown fields in between. */
static void compare(const struct grpc_codec *codec, const struct bytes *known,
                    const struct bytes *mixed)
{
    static uint8_t expected[1 << 16], packed[1 << 16];
    ProtobufCMessage *theirs = protobuf_c_message_unpack(codec->type, NULL, known->len, known->at);
    ProtobufCMessage *ours;
    assert_non_null(theirs);
    size_t len = pack(theirs, expected, sizeof(expected));
    protobuf_c_message_free_unpacked(theirs, NULL);
    for (int i = 0; i < 2; i++) {
        const struct bytes *from = i == 0 ? known : mixed;
        assert_int_equal(decode(codec, from->at, from->len, &ours), GRPC_DECODED);
        assert_ptr_equal(ours->descriptor, codec->type);
        assert_int_equal(ours->n_unknown_fields, 0);
        assert_int_equal(pack(ours, packed, sizeof(packed)), len);
        assert_memory_equal(packed, expected, len);
        clear_arena(NULL);
    }
}

static void random_messages_are_what_protobuf_c_makes_of_them(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        const struct grpc_codec *codec = round % 2 == 0 ? item_codec : numbers_codec;
        static struct bytes known, mixed;
        uint64_t used = 0;
        known.len = mixed.len = 0;
        for (unsigned n = dice(12); n-- != 0;) {
            size_t before = known.len;
            put_any(&known, codec->type, &used);
            if (dice(3) == 0)
                put_unknown(&mixed, 0);
            memcpy(mixed.at + mixed.len, known.at + before, known.len - before);
            mixed.len += known.len - before;
        }
        compare(codec, &known, &mixed);
    }
}

static void a_message_cut_anywhere_is_malformed_but_between_fields(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        const struct grpc_codec *codec = round % 2 == 0 ? item_codec : numbers_codec;
        static struct bytes known;
        uint64_t used = 0;
        known.len = 0;
        for (unsigned n = dice(8); n-- != 0;)
            put_any(&known, codec->type, &used);
        for (size_t cut = 0; cut <= known.len; cut++) {
            ProtobufCMessage *ours;
            ProtobufCMessage *theirs = protobuf_c_message_unpack(codec->type, NULL, cut, known.at);
            assert_int_equal(decode(codec, known.at, cut, &ours),
                             theirs != NULL ? GRPC_DECODED : GRPC_DECODE_MALFORMED);
            if (theirs != NULL)
                protobuf_c_message_free_unpacked(theirs, NULL);
            clear_arena(NULL);
        }
    }
}

/* ---- rules that all implementations share ---- */

static void the_last_of_a_field_counts(void **state)
{
    (void)state;
    assert_text(&ITEM("\x0a\x03one\x10\x05\x0a\x03two\x10\x06")->name, "two");
    assert_int_equal(ITEM("\x10\x05\x10\x06")->number, 6);
    assert_text(&ITEM("\x0a\x03one\x0a\x00")->name, "");
    assert_string_equal(ITEM("\x5a\x03one\x5a\x03two")->terminated, "two");
}

static void a_message_that_comes_twice_is_merged(void **state)
{
    (void)state;
    const Grpctest__Inner *inner = ITEM("\x2a\x05\x0a\x01"
                                        "a\x10\x01\x2a\x02\x10\x02")
                                       ->inner;
    assert_text(&inner->label, "a");
    assert_int_equal(inner->number, 2);
}

static void of_a_oneof_the_last_is_set(void **state)
{
    (void)state;
    const Grpctest__Item *item = ITEM("\x42\x01x\x3a\x02\x08\x07");
    assert_int_equal(item->choice_case, GRPCTEST__ITEM__CHOICE_BARE);
    assert_int_equal(item->bare->number, 7);
    item = ITEM("\x3a\x02\x08\x07\x42\x01x");
    assert_int_equal(item->choice_case, GRPCTEST__ITEM__CHOICE_TEXT);
    assert_text(&item->text, "x");
    item = ITEM("\x3a\x02\x08\x07\x3a\x00"); /* merged with itself */
    assert_int_equal(item->bare->number, 7);
    item =
        ITEM("\x3a\x02\x08\x07\x42\x01x\x3a\x00"); /* but not after another member of the oneof */
    assert_int_equal(item->bare->number, 0);
}

static void repeated_numbers_may_be_packed_or_not_or_both(void **state)
{
    (void)state;
    const Grpctest__Numbers *numbers =
        NUMBERS("\x82\x01\x02\x01\x02\x80\x01\x03\x82\x01\x00\x8a\x01\x02\x01\x02\x88\x01\x03");
    assert_int_equal(numbers->n_many, 3);
    assert_int_equal(numbers->many[2], 3);
    assert_int_equal(numbers->n_unpacked, 3);
    assert_int_equal(numbers->unpacked[0], -1);
    assert_int_equal(numbers->unpacked[2], -2);
}

static void a_known_number_with_another_wire_type_is_unknown(void **state)
{
    (void)state;
    const Grpctest__Item *item = ITEM("\x08\x05\x12\x01x\x15"
                                      "1234\x11"
                                      "12345678\x20\x07\x2b\x08\x01\x2c\x0a\x02ok");
    assert_text(&item->name, "ok");
    assert_int_equal(item->number, 0);
    assert_int_equal(item->n_tags, 0);
    assert_null(item->inner);
}

static void groups_end_with_their_own_number_at_most_100_deep(void **state)
{
    char deep[202];
    (void)state;
    ITEM("\xa3\x06\xab\x06\x08\x01\xac\x06\x12\x01x\xa4\x06");
    MALFORMED(item_codec, "\xa3\x06");         /* a group without an end */
    MALFORMED(item_codec, "\xa4\x06");         /* an end without a group */
    MALFORMED(item_codec, "\xa3\x06\xac\x06"); /* the end of another group */
    MALFORMED(item_codec, "\xa3\x06\xab\x06\xa4\x06\xac\x06");
    for (unsigned depth = 100; depth <= 101; depth++) {
        memset(deep, 0x4b, depth);
        memset(deep + depth, 0x4c, depth);
        /* 9 is a field of Item, but not of this wire type: skipped as a group */
        ProtobufCMessage *message;
        assert_int_equal(decode(item_codec, deep, 2 * (size_t)depth, &message),
                         depth == 100 ? GRPC_DECODED : GRPC_DECODE_MALFORMED);
    }
}

static void what_is_no_wire_format_is_malformed(void **state)
{
    (void)state;
    MALFORMED(item_codec, "\x00\x01");                 /* number 0 */
    MALFORMED(item_codec, "\x02\x01x");                /* number 0 with a length */
    MALFORMED(item_codec, "\x0e\x01");                 /* wire type 6 */
    MALFORMED(item_codec, "\x0f\x01");                 /* and 7 */
    MALFORMED(item_codec, "\xf6\x07\x01");             /* of an unknown number */
    MALFORMED(item_codec, "\x8a\x80\x80\x80\x80\x00"); /* a tag of six bytes */
    MALFORMED(item_codec, "\x8a\x80\x80\x80\x10\x00"); /* a number over 2^29 - 1 */
    MALFORMED(item_codec, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); /* 11 bytes */
    MALFORMED(item_codec, "\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    MALFORMED(item_codec, "\x0a\x83\x80\x80\x80\x10"
                          "abc");                                           /* 2^32 + 3 bytes */
    MALFORMED(item_codec, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"); /* -1 */
    MALFORMED(numbers_codec, "\x82\x01\x02\x01\x81"); /* packed, the last number cut off */
    MALFORMED(numbers_codec, "\x92\x01\x05"
                             "12345");         /* packed, not a multiple of 4 bytes */
    MALFORMED(item_codec, "\x2a\x02\x0a\x01"); /* a text that reaches beyond its message */
}

static void longer_forms_of_numbers_are_read(void **state)
{
    (void)state;
    assert_text(&ITEM("\x8a\x80\x80\x80\x00\x83\x80\x80\x80\x00"
                      "abc")
                     ->name,
                "abc");
    assert_int_equal(NUMBERS("\x08\x83\x80\x80\x80\x10")->i32, 3); /* 2^32 + 3 */
    assert_int_equal(NUMBERS("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")->i32, -1);
    assert_true(NUMBERS("\x68\x80\x80\x04")->yes);
    ITEM("\xf8\xff\xff\xff\x0f\x01"); /* the largest field number */
}

static void an_empty_message_has_its_defaults(void **state)
{
    (void)state;
    const Grpctest__Item *item = item_of("", 0);
    assert_int_equal(item->name.len, 0);
    assert_string_equal(item->terminated, "");
    assert_int_equal(item->choice_case, 0);
}

static void a_field_of_proto2_says_whether_it_was_there(void **state)
{
    Google__Protobuf__DescriptorProto__ReservedRange *range;
    (void)state;
    assert_int_equal(decode(range_codec, "\x10\x00", 2, &range), GRPC_DECODED);
    assert_false(range->has_start);
    assert_true(range->has_end);
}

/* ---- what a message may cost ---- */

enum { MIB = 1 << 20 };

/* The linker's --wrap sends calls of malloc() here. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
static size_t allocated;

void *__wrap_malloc(size_t size)
{
    allocated += size;
    return __real_malloc(size);
}

/** Decodes `len` bytes that repeat one field. */
static uint8_t *filled(const char *field, size_t field_len, size_t len)
{
    uint8_t *bytes = malloc(len);
    for (size_t at = 0; at + field_len <= len; at += field_len)
        memcpy(bytes + at, field, field_len);
    return bytes;
}

static enum grpc_decode_result cost(const struct grpc_codec *codec, const char *field,
                                    size_t field_len, size_t count, size_t *memory)
{
    ProtobufCMessage *message;
    size_t len = field_len * count;
    uint8_t *bytes = filled(field, field_len, len);
    allocated = 0;
    enum grpc_decode_result result = grpc_decode(codec, &arena, bytes, len, &message);
    *memory = allocated;
    /* the arena may have allocated its next block of 64 KiB */
    assert_true(*memory <= 2 * len + GRPC_DECODE_SPARE + 65536 + 4096);
    grpc_arena_clear(&arena, false);
    free(bytes);
    return result;
}
#define COST(field, count) cost(item_codec, (field), sizeof(field) - 1, (count), &memory)

static void unknown_fields_take_no_memory(void **state)
{
    size_t memory;
    (void)state;
    assert_int_equal(COST("\x78\x00", MIB), GRPC_DECODED);
    assert_true(memory < 4096);
    assert_int_equal(COST("\x7a\x02xx", MIB), GRPC_DECODED);
    assert_true(memory < 4096);
    assert_int_equal(COST("\x7b\x7c", MIB / 2), GRPC_DECODED);
    assert_true(memory < 4096);
}

static void a_field_given_a_million_times_takes_the_memory_of_the_message(void **state)
{
    size_t memory;
    (void)state;
    assert_int_equal(COST("\x0a\x01x", 1000000), GRPC_DECODED);
    assert_in_range(memory, 3000000, 3000000 + 4096);
    assert_int_equal(COST("\x2a\x02\x10\x01", 500000), GRPC_DECODED); /* each is merged */
    assert_true(memory < 4096);
}

static void texts_of_bytes_that_stay_are_not_copied(void **state)
{
    /* Item has a NUL-terminated text, so the message is copied */
    char bytes[] = "\x0a\x03"
                   "abc\x62\x02xy";
    Grpctest__Item *item;

    (void)state;
    assert_false(numbers_codec->terminated);
    assert_true(item_codec->terminated);
    assert_int_equal(grpc_decode_in_place(item_codec, &arena, (uint8_t *)bytes, sizeof(bytes) - 1,
                                          10, (ProtobufCMessage **)(void *)&item),
                     GRPC_DECODED);
    assert_text(&item->name, "abc");
}

static void fields_of_a_compressed_message_are_bounded_by_what_came(void **state)
{
    uint8_t *bytes = filled("\x78\x00", 2, MIB);
    ProtobufCMessage *message;
    (void)state;
    size_t may = grpc_decode_fields_of(1000);
    assert_int_equal(may, GRPC_DECODE_FIELDS_SPARE + 1000 * GRPC_DECODE_FIELDS_PER_BYTE);
    assert_int_equal(grpc_decode_in_place(item_codec, &arena, bytes, 2 * may, may, &message),
                     GRPC_DECODED);
    assert_int_equal(grpc_decode_in_place(item_codec, &arena, bytes, 2 * may + 2, may, &message),
                     GRPC_DECODE_TOO_MANY);
    assert_int_equal(grpc_decode_fields_of(MIB), GRPC_DECODE_MAX_FIELDS);
    free(bytes);
    bytes = filled("\x22\x00", 2, 2000); /* repeated texts, which are read in one run */
    assert_int_equal(grpc_decode_in_place(item_codec, &arena, bytes, 2000, 1000, &message),
                     GRPC_DECODED);
    assert_int_equal(((Grpctest__Item *)message)->n_tags, 1000);
    assert_int_equal(grpc_decode_in_place(item_codec, &arena, bytes, 2000, 999, &message),
                     GRPC_DECODE_TOO_MANY);
    free(bytes);
}

static void more_than_a_million_fields_are_refused(void **state)
{
    size_t memory;
    (void)state;
    assert_int_equal(COST("\x78\x00", MIB + 1), GRPC_DECODE_TOO_MANY);
    assert_int_equal(COST("\x0a\x00", MIB + 1), GRPC_DECODE_TOO_MANY);
    assert_int_equal(COST("\x7b\x7c", MIB / 2 + 1), GRPC_DECODE_TOO_MANY);
    /* fields inside messages count, too */
    assert_int_equal(COST("\x2a\x04\x10\x01\x10\x02", MIB / 3 + 1), GRPC_DECODE_TOO_MANY);
}

static void elements_that_cost_more_than_they_say_are_refused(void **state)
{
    size_t memory;
    (void)state;
    assert_int_equal(COST("\x22\x00", 16384), GRPC_DECODED);
    assert_int_equal(COST("\x22\x00", 1000000), GRPC_DECODE_TOO_LARGE);
    assert_int_equal(COST("\x32\x00", 1000000), GRPC_DECODE_TOO_LARGE); /* messages */
    assert_int_equal(COST("\x52\x00", 1000000), GRPC_DECODE_TOO_LARGE); /* of a map */
    assert_int_equal(COST("\x62\x06"
                          "abcdef",
                          300000),
                     GRPC_DECODED);
    assert_int_equal(COST("\x22\x0eserver.example", 100000), GRPC_DECODED);
    /* alternating members of a oneof: each message is a new one */
    assert_int_equal(COST("\x3a\x00\x42\x00", 100000), GRPC_DECODE_TOO_LARGE);
}

static void packed_numbers_count_as_what_they_take(void **state)
{
    enum { COUNT = 100000 };
    static uint8_t bytes[6 + 2 * COUNT];
    struct bytes head = {.len = 0};
    ProtobufCMessage *message;
    (void)state;
    put_varint(&head, 40 << 3 | GRPC_WIRE_LENGTH);
    put_varint(&head, COUNT / 8 * 8);
    memcpy(bytes, head.at, head.len);
    assert_int_equal(grpc_decode(numbers_codec, &arena, bytes, head.len + COUNT / 8 * 8, &message),
                     GRPC_DECODED);
    grpc_arena_clear(&arena, false);
    head.len = 0;
    put_varint(&head, 17 << 3 | GRPC_WIRE_LENGTH);
    put_varint(&head, COUNT);
    memcpy(bytes, head.at, head.len); /* zeros: one byte on the wire is eight in memory */
    assert_int_equal(grpc_decode(numbers_codec, &arena, bytes, head.len + COUNT, &message),
                     GRPC_DECODE_TOO_LARGE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, clear_arena)
    const struct CMUnitTest tests[] = {
        TEST(random_messages_are_what_protobuf_c_makes_of_them),
        TEST(a_message_cut_anywhere_is_malformed_but_between_fields),
        TEST(the_last_of_a_field_counts),
        TEST(a_message_that_comes_twice_is_merged),
        TEST(of_a_oneof_the_last_is_set),
        TEST(repeated_numbers_may_be_packed_or_not_or_both),
        TEST(a_known_number_with_another_wire_type_is_unknown),
        TEST(groups_end_with_their_own_number_at_most_100_deep),
        TEST(what_is_no_wire_format_is_malformed),
        TEST(longer_forms_of_numbers_are_read),
        TEST(an_empty_message_has_its_defaults),
        TEST(a_field_of_proto2_says_whether_it_was_there),
        TEST(unknown_fields_take_no_memory),
        TEST(a_field_given_a_million_times_takes_the_memory_of_the_message),
        TEST(texts_of_bytes_that_stay_are_not_copied),
        TEST(fields_of_a_compressed_message_are_bounded_by_what_came),
        TEST(more_than_a_million_fields_are_refused),
        TEST(elements_that_cost_more_than_they_say_are_refused),
        TEST(packed_numbers_count_as_what_they_take),
    };
    return cmocka_run_group_tests(tests, make_codecs, free_codecs);
}
