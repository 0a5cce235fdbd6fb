/* SPDX-License-Identifier: MIT */
/*
 * Decoding is one pass over the bytes. A type with repeated fields takes two: the first counts
 * values, so that each array is allocated once, at its final size. Texts point into one copy of the
 * whole message, whose cost does not depend on how short they are, or into the message itself if it
 * stays where it is.
 */
#include "grpc/decode.h"

#include <string.h>
#include <sys/param.h>

#include "grpc/grpc_wire.h"

struct decoding {
    struct grpc_arena *arena;
    const uint8_t *bytes;
    size_t len;
    uint8_t
        *copy; /* of all bytes, with room for one more, or the bytes themselves; NULL: not made */
    size_t memory; /* bytes that may still be allocated */
    size_t fields; /* fields that may still come */
    enum grpc_decode_result result;
};

/** Records the first error. @return NULL, as the place where decoding goes on */
static const uint8_t *decode_fail(struct decoding *decoding, enum grpc_decode_result result)
{
    if (decoding->result == GRPC_DECODED)
        decoding->result = result;
    return NULL;
}

/** @return NULL: too much or out of memory, which is recorded */
static void *decode_alloc(struct decoding *decoding, size_t size)
{
    size = (size + GRPC_ARENA_ALIGN - 1) & ~(size_t)(GRPC_ARENA_ALIGN - 1);
    if (size > decoding->memory) {
        decode_fail(decoding, GRPC_DECODE_TOO_LARGE);
        return NULL;
    }
    decoding->memory -= size;
    void *memory = grpc_arena_alloc(decoding->arena, size);
    if (memory == NULL)
        decode_fail(decoding, GRPC_DECODE_NO_MEMORY);
    return memory;
}

/** Where the copy has the byte that lies at `at`; makes the copy at first use.
 * @return NULL: out of memory, which is recorded */
static inline uint8_t *keep_copy(struct decoding *decoding, const uint8_t *at)
{
    if (decoding->copy == NULL) {
        decoding->copy = grpc_arena_alloc(decoding->arena, decoding->len + 1);
        if (decoding->copy == NULL) {
            decode_fail(decoding, GRPC_DECODE_NO_MEMORY);
            return NULL;
        }
        memcpy(decoding->copy, decoding->bytes, decoding->len);
    }
    return decoding->copy + (at - decoding->bytes);
}

/** Reads a tag, and counts its field. */
static inline const uint8_t *next_tag(struct decoding *decoding, const uint8_t *at,
                                      const uint8_t *end, uint32_t *tag)
{
    if (decoding->fields == 0)
        return decode_fail(decoding, GRPC_DECODE_TOO_MANY);
    decoding->fields--;
    return grpc_wire_tag(at, end, tag);
}

static inline const uint8_t *skip_field(struct decoding *decoding, const uint8_t *at,
                                        const uint8_t *end, uint32_t tag)
{
    if ((tag & 7) == GRPC_WIRE_VARINT && at != end && *at < 0x80)
        return at + 1;
    at = grpc_wire_skip(at, end, tag, &decoding->fields);
    if (at == NULL && decoding->fields == 0)
        return decode_fail(decoding, GRPC_DECODE_TOO_MANY);
    return at;
}

static const struct grpc_member *search_member(const struct grpc_codec *codec, uint32_t number)
{
    for (unsigned low = 0, high = codec->num_members; low < high;) {
        unsigned middle = (low + high) / 2;
        /* The loop does not run without members. */
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        uint32_t id = codec->members[middle].field->id;
        if (id == number)
            return &codec->members[middle];
        if (id < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static inline const struct grpc_member *find_member(const struct grpc_codec *codec, uint32_t number)
{
    if (number >= GRPC_CODEC_DIRECT)
        return search_member(codec, number);
    unsigned at = codec->direct[number];
    return at == 0 ? NULL : &codec->members[at - 1];
}

/** Whether the member can be read from this wire type: as one value, or as packed values. */
static inline bool fits_wire(const struct grpc_member *member, unsigned wire)
{
    return wire == member->wire || (wire == GRPC_WIRE_LENGTH && member->repeated);
}

/* ---- one value ---- */

static void store_varint(ProtobufCType type, void *to, uint64_t value)
{
    uint32_t half = (uint32_t)value;
    switch (type) {
    case PROTOBUF_C_TYPE_SINT32:
        half = (half >> 1) ^ -(half & 1);
        memcpy(to, &half, sizeof(half));
        break;
    case PROTOBUF_C_TYPE_SINT64:
        value = (value >> 1) ^ -(value & 1);
        memcpy(to, &value, sizeof(value));
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        memcpy(to, &value, sizeof(value));
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)to = value != 0;
        break;
    default: /* int32, uint32, enum; a negative one has all ones in its upper half */
        memcpy(to, &half, sizeof(half));
    }
}

static inline bool store_text(struct decoding *decoding, ProtobufCType type, void *to,
                              const uint8_t *at, size_t len)
{
    uint8_t *kept = keep_copy(decoding, at);
    if (kept == NULL)
        return false;
    if (type == PROTOBUF_C_TYPE_BYTES) {
        *(ProtobufCBinaryData *)to = (ProtobufCBinaryData){.len = len, .data = kept};
    } else {
        /* This overwrites the next field's tag in the copy; tags are read from the bytes. */
        kept[len] = '\0';
        *(char **)to = (char *)kept;
    }
    return true;
}

static bool decode_members(struct decoding *decoding, const struct grpc_codec *codec, void *message,
                           const uint8_t *at, const uint8_t *end);

static void *new_message(struct decoding *decoding, const struct grpc_codec *codec)
{
    void *message = decode_alloc(decoding, codec->type->sizeof_message);
    if (message != NULL)
        codec->type->message_init(message);
    return message;
}

/** Decodes a message field. A message that is there already is merged with the new one. */
static bool store_message(struct decoding *decoding, const struct grpc_codec *codec, void *to,
                          const uint8_t *at, const uint8_t *end)
{
    void **message = to;
    if (*message == NULL)
        *message = new_message(decoding, codec);
    return *message != NULL && decode_members(decoding, codec, *message, at, end);
}

/** Reads one value from `at` and writes it to `to`, where the member lies in memory. */
static const uint8_t *store_value(struct decoding *decoding, const struct grpc_member *member,
                                  void *to, const uint8_t *at, const uint8_t *end)
{
    if (member->wire == GRPC_WIRE_VARINT) {
        uint64_t value;
        at = grpc_wire_varint(at, end, &value);
        if (at != NULL)
            store_varint(member->field->type, to, value);
        return at;
    }
    if (member->wire != GRPC_WIRE_LENGTH) { /* the low byte first, as in memory */
        if ((size_t)(end - at) < member->size)
            return NULL;
        memcpy(to, at, member->size);
        return at + member->size;
    }
    size_t len;
    at = grpc_wire_length(at, end, &len);
    if (at == NULL)
        return NULL;
    bool stored = member->nested != NULL ? store_message(decoding, member->nested, to, at, at + len)
                                         : store_text(decoding, member->field->type, to, at, len);
    return stored ? at + len : NULL;
}

/* ---- one field ---- */

/** Where a member lies in its message. */
static uint8_t *member_place(void *message, unsigned offset)
{
    return (uint8_t *)message + offset;
}

/** Makes the member the one of its oneof that is set. The value of another member is dropped. */
static void choose_member(const struct grpc_member *member, void *message)
{
    uint32_t *chosen = (uint32_t *)(void *)member_place(message, member->field->quantifier_offset);
    if (*chosen != member->field->id)
        memset(member_place(message, member->field->offset), 0, member->size);
    *chosen = member->field->id;
}

/** Appends a value to a repeated member, whose array has room for it: the values were counted. */
static const uint8_t *append_value(struct decoding *decoding, const struct grpc_member *member,
                                   void *message, const uint8_t *at, const uint8_t *end)
{
    size_t *count = (size_t *)(void *)member_place(message, member->field->quantifier_offset);
    uint8_t *values = *(uint8_t **)(void *)member_place(message, member->field->offset);
    at = store_value(decoding, member, values + *count * member->size, at, end);
    ++*count;
    return at;
}

static const uint8_t *append_packed_values(struct decoding *decoding,
                                           const struct grpc_member *member, void *message,
                                           const uint8_t *at, const uint8_t *end)
{
    size_t len;
    at = grpc_wire_length(at, end, &len);
    if (at == NULL)
        return NULL;
    end = at + len;
    while (at != NULL && at != end)
        at = append_value(decoding, member, message, at, end);
    return at;
}

/** Reads the value of a known field, whose wire type fits. */
static const uint8_t *decode_field(struct decoding *decoding, const struct grpc_member *member,
                                   void *message, unsigned wire, const uint8_t *at,
                                   const uint8_t *end)
{
    const ProtobufCFieldDescriptor *field = member->field;
    if (member->repeated)
        return wire == member->wire ? append_value(decoding, member, message, at, end)
                                    : append_packed_values(decoding, member, message, at, end);
    if (member->oneof)
        choose_member(member, message);
    else if (field->quantifier_offset != 0)
        *(protobuf_c_boolean *)(void *)member_place(message, field->quantifier_offset) = 1;
    return store_value(decoding, member, member_place(message, field->offset), at, end);
}

/* ---- a message ---- */

/** Adds to *count how many values a field of a repeated member has. */
static const uint8_t *count_values(const struct grpc_member *member, unsigned wire,
                                   const uint8_t *at, const uint8_t *end, size_t *count)
{
    if (wire != GRPC_WIRE_LENGTH || member->wire == GRPC_WIRE_LENGTH) {
        ++*count;
        size_t none = 0;
        return grpc_wire_skip(at, end, wire, &none);
    }
    size_t len;
    at = grpc_wire_length(at, end, &len);
    if (at == NULL)
        return NULL;
    if (member->wire != GRPC_WIRE_VARINT) {
        unsigned size = member->wire == GRPC_WIRE_FIXED32 ? 4 : 8;
        *count += len / size;
        return len % size == 0 ? at + len : NULL;
    }
    for (size_t i = 0; i < len; i++)
        *count += (size_t)(at[i] < 0x80); /* true for the last byte of each varint */
    return at + len;
}

/** Takes the next tag, if it is the same one again. @return whether it was */
static inline bool same_tag_follows(struct decoding *decoding, uint8_t tag, const uint8_t **at,
                                    const uint8_t *end)
{
    if (*at == end || **at != tag || decoding->fields == 0)
        return false;
    decoding->fields--;
    ++*at;
    return true;
}

/** As count_values(), for repeated texts, of which mostly one lies behind the other: counts on
 * while the same tag follows.
 * @param tag of one byte */
static inline const uint8_t *count_texts(struct decoding *decoding, uint8_t tag, const uint8_t *at,
                                         const uint8_t *end, size_t *count)
{
    do {
        size_t len;
        at = grpc_wire_length(at, end, &len);
        if (at == NULL)
            return NULL;
        ++*count;
        at += len;
    } while (same_tag_follows(decoding, tag, &at, end));
    return at;
}

/** Whether append_texts() and count_texts() take the field. */
static inline bool are_texts(const struct grpc_member *member, uint32_t tag)
{
    return member->texts && (tag & 7) == GRPC_WIRE_LENGTH && tag < 0x80;
}

/** The first pass: counts the values of all repeated members of a message. */
static bool count_all(struct decoding *decoding, const struct grpc_codec *codec, size_t *counts,
                      const uint8_t *at, const uint8_t *end)
{
    size_t fields = decoding->fields; /* the second pass counts them */
    while (at != NULL && at != end) {
        uint32_t tag = 0;
        at = next_tag(decoding, at, end, &tag);
        if (at == NULL)
            break;
        const struct grpc_member *member = find_member(codec, tag >> 3);
        if (member != NULL && are_texts(member, tag))
            at = count_texts(decoding, (uint8_t)tag, at, end, &counts[member->repeated - 1]);
        else if (member != NULL && member->repeated && fits_wire(member, tag & 7))
            at = count_values(member, tag & 7, at, end, &counts[member->repeated - 1]);
        else
            at = skip_field(decoding, at, end, tag);
    }
    decoding->fields = fields;
    return at != NULL;
}

/** Allocates the arrays of repeated members. If the message is merged with an earlier one, copies
 * the values that it already has. */
static bool make_arrays(struct decoding *decoding, const struct grpc_codec *codec, void *message,
                        const size_t *counts)
{
    for (unsigned i = 0; i < codec->num_members; i++) {
        const struct grpc_member *member = &codec->members[i];
        if (!member->repeated || counts[member->repeated - 1] == 0)
            continue;
        size_t had = *(size_t *)(void *)member_place(message, member->field->quantifier_offset);
        void **values = (void **)(void *)member_place(message, member->field->offset);
        size_t size = (had + counts[member->repeated - 1]) * member->size;
        void *array = decode_alloc(decoding, size);
        if (array == NULL)
            return false;
        memset(array, 0, size);
        if (had != 0)
            memcpy(array, *values, had * member->size);
        *values = array;
    }
    return true;
}

static bool prepare_arrays(struct decoding *decoding, const struct grpc_codec *codec, void *message,
                           const uint8_t *at, const uint8_t *end)
{
    size_t *counts = decode_alloc(decoding, codec->num_repeated * sizeof(*counts));
    if (counts == NULL)
        return false;
    memset(counts, 0, codec->num_repeated * sizeof(*counts));
    return count_all(decoding, codec, counts, at, end) &&
           make_arrays(decoding, codec, message, counts);
}

/** What decode_field() does for a plain member, in fewer instructions: most fields are plain. */
static inline const uint8_t *decode_plain_field(struct decoding *decoding,
                                                const struct grpc_member *member, void *message,
                                                const uint8_t *at, const uint8_t *end)
{
    size_t len;
    at = grpc_wire_length(at, end, &len);
    if (at == NULL || !store_text(decoding, PROTOBUF_C_TYPE_BYTES,
                                  member_place(message, member->field->offset), at, len))
        return NULL;
    return at + len;
}

/** As decode_plain_field(), for the values of a repeated member: reads on while the same tag
 * follows.
 * @param tag of one byte */
static inline const uint8_t *append_texts(struct decoding *decoding,
                                          const struct grpc_member *member, void *message,
                                          uint8_t tag, const uint8_t *at, const uint8_t *end)
{
    size_t *count = (size_t *)(void *)member_place(message, member->field->quantifier_offset);
    ProtobufCBinaryData *values =
        *(ProtobufCBinaryData **)(void *)member_place(message, member->field->offset);
    do {
        size_t len;
        at = grpc_wire_length(at, end, &len);
        if (at == NULL || !store_text(decoding, PROTOBUF_C_TYPE_BYTES, &values[*count], at, len))
            return NULL;
        ++*count;
        at += len;
    } while (same_tag_follows(decoding, tag, &at, end));
    return at;
}

static bool decode_members(struct decoding *decoding, const struct grpc_codec *codec, void *message,
                           const uint8_t *at, const uint8_t *end)
{
    if (codec->num_repeated != 0 && at != end && !prepare_arrays(decoding, codec, message, at, end))
        return false;
    while (at != end) {
        uint32_t tag;
        at = next_tag(decoding, at, end, &tag);
        if (at == NULL)
            return false;
        const struct grpc_member *member = find_member(codec, tag >> 3);
        if (member != NULL && member->plain && (tag & 7) == GRPC_WIRE_LENGTH)
            at = decode_plain_field(decoding, member, message, at, end);
        else if (member != NULL && are_texts(member, tag))
            at = append_texts(decoding, member, message, (uint8_t)tag, at, end);
        else if (member != NULL && fits_wire(member, tag & 7))
            at = decode_field(decoding, member, message, tag & 7, at, end);
        else
            at = skip_field(decoding, at, end, tag);
        if (at == NULL)
            return false;
    }
    return true;
}

static enum grpc_decode_result decode_message(struct decoding *decoding,
                                              const struct grpc_codec *codec,
                                              ProtobufCMessage **message)
{
    const uint8_t *bytes = decoding->bytes, *end = bytes + decoding->len;
    decoding->memory = decoding->len + GRPC_DECODE_SPARE;
    *message = new_message(decoding, codec);
    if (*message != NULL && decode_members(decoding, codec, *message, bytes, end))
        return GRPC_DECODED;
    return decoding->result != GRPC_DECODED ? decoding->result : GRPC_DECODE_MALFORMED;
}

enum grpc_decode_result grpc_decode(const struct grpc_codec *codec, struct grpc_arena *arena,
                                    const uint8_t *bytes, size_t len, ProtobufCMessage **message)
{
    struct decoding decoding = {
        .arena = arena, .bytes = bytes, .len = len, .fields = GRPC_DECODE_MAX_FIELDS};
    return decode_message(&decoding, codec, message);
}

enum grpc_decode_result grpc_decode_in_place(const struct grpc_codec *codec,
                                             struct grpc_arena *arena, uint8_t *bytes, size_t len,
                                             size_t max_fields, ProtobufCMessage **message)
{
    struct decoding decoding = {.arena = arena, .bytes = bytes, .len = len, .fields = max_fields};
    if (!codec->terminated) /* else NULs would overwrite tags that have not been read */
        decoding.copy = bytes;
    return decode_message(&decoding, codec, message);
}

size_t grpc_decode_fields_of(size_t compressed_len)
{
    size_t fields = GRPC_DECODE_FIELDS_SPARE + GRPC_DECODE_FIELDS_PER_BYTE * compressed_len;
    return MIN(fields, GRPC_DECODE_MAX_FIELDS);
}
