/* SPDX-License-Identifier: MIT */
/*
 * One pass over the bytes; two where the type has repeated fields, the first of which counts, so
 * that each array is made once and at its size. Texts point into one copy of the whole message,
 * which costs what it costs however short they are, or into the message itself where it stays.
 */
#include "grpc/decode.h"

#include <string.h>

#include "grpc/grpc_wire.h"

struct decoding {
    struct grpc_arena *arena;
    const uint8_t *bytes;
    size_t len;
    uint8_t *copy; /* of all bytes and one more, or they themselves; NULL: nothing is kept yet */
    size_t memory; /* bytes that may still be allocated */
    size_t fields; /* that may still come */
    enum grpc_decode_result result;
};

/** What went wrong first is what is told. */
static const uint8_t *fail(struct decoding *decoding, enum grpc_decode_result result)
{
    if (decoding->result == GRPC_DECODED)
        decoding->result = result;
    return NULL;
}

static void *take_memory(struct decoding *decoding, size_t size)
{
    size = (size + GRPC_ARENA_ALIGN - 1) & ~(size_t)(GRPC_ARENA_ALIGN - 1);
    if (size > decoding->memory) {
        fail(decoding, GRPC_DECODE_TOO_LARGE);
        return NULL;
    }
    decoding->memory -= size;
    void *memory = grpc_arena_alloc(decoding->arena, size);
    if (memory == NULL)
        fail(decoding, GRPC_DECODE_NO_MEMORY);
    return memory;
}

/** Where the copy has what lies at `at`. */
static inline uint8_t *keep(struct decoding *decoding, const uint8_t *at)
{
    if (decoding->copy == NULL) {
        decoding->copy = grpc_arena_alloc(decoding->arena, decoding->len + 1);
        if (decoding->copy == NULL) {
            fail(decoding, GRPC_DECODE_NO_MEMORY);
            return NULL;
        }
        memcpy(decoding->copy, decoding->bytes, decoding->len);
    }
    return decoding->copy + (at - decoding->bytes);
}

static inline const uint8_t *next_tag(struct decoding *decoding, const uint8_t *at,
                                      const uint8_t *end, uint32_t *tag)
{
    if (decoding->fields == 0)
        return fail(decoding, GRPC_DECODE_TOO_MANY);
    decoding->fields--;
    return grpc_wire_tag(at, end, tag);
}

static inline const uint8_t *skip(struct decoding *decoding, const uint8_t *at, const uint8_t *end,
                                  uint32_t tag)
{
    if ((tag & 7) == GRPC_WIRE_VARINT && at != end && *at < 0x80)
        return at + 1;
    at = grpc_wire_skip(at, end, tag, &decoding->fields);
    if (at == NULL && decoding->fields == 0)
        return fail(decoding, GRPC_DECODE_TOO_MANY);
    return at;
}

static const struct grpc_member *search_member(const struct grpc_codec *codec, uint32_t number)
{
    for (unsigned low = 0, high = codec->num_members; low < high;) {
        unsigned middle = (low + high) / 2;
        /* no members, no middle. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
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

/** The field is one value, or a list of packed numbers. */
static inline bool fits(const struct grpc_member *member, unsigned wire)
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
    default: /* int32, uint32, enum: the upper half of a negative one is all ones */
        memcpy(to, &half, sizeof(half));
    }
}

static inline bool store_text(struct decoding *decoding, ProtobufCType type, void *to,
                              const uint8_t *at, size_t len)
{
    uint8_t *kept = keep(decoding, at);

    if (kept == NULL)
        return false;
    if (type == PROTOBUF_C_TYPE_BYTES) {
        *(ProtobufCBinaryData *)to = (ProtobufCBinaryData){.len = len, .data = kept};
    } else {
        /* What stands there in the copy is the next field's tag, which is read from the bytes. */
        kept[len] = '\0';
        *(char **)to = (char *)kept;
    }
    return true;
}

static bool fill_message(struct decoding *decoding, const struct grpc_codec *codec, void *message,
                         const uint8_t *at, const uint8_t *end);

static void *new_message(struct decoding *decoding, const struct grpc_codec *codec)
{
    void *message = take_memory(decoding, codec->type->sizeof_message);

    if (message != NULL)
        codec->type->message_init(message);
    return message;
}

/** One that is there already is merged with what comes. */
static bool store_message(struct decoding *decoding, const struct grpc_codec *codec, void *to,
                          const uint8_t *at, const uint8_t *end)
{
    void **message = to;

    if (*message == NULL)
        *message = new_message(decoding, codec);
    return *message != NULL && fill_message(decoding, codec, *message, at, end);
}

static const uint8_t *store(struct decoding *decoding, const struct grpc_member *member, void *to,
                            const uint8_t *at, const uint8_t *end)
{
    uint64_t value;
    size_t len;

    if (member->wire == GRPC_WIRE_VARINT) {
        at = grpc_wire_varint(at, end, &value);
        if (at != NULL)
            store_varint(member->field->type, to, value);
        return at;
    }
    if (member->wire != GRPC_WIRE_LENGTH) { /* as in memory: both have the low byte first */
        if ((size_t)(end - at) < member->size)
            return NULL;
        memcpy(to, at, member->size);
        return at + member->size;
    }
    at = grpc_wire_length(at, end, &len);
    if (at == NULL)
        return NULL;
    bool stored = member->nested != NULL ? store_message(decoding, member->nested, to, at, at + len)
                                         : store_text(decoding, member->field->type, to, at, len);
    return stored ? at + len : NULL;
}

/* ---- one field ---- */

static uint8_t *place(void *message, unsigned offset)
{
    return (uint8_t *)message + offset;
}

/** Another member of the oneof may have been set before: its value is dropped. */
static void choose(const struct grpc_member *member, void *message)
{
    uint32_t *chosen = (uint32_t *)(void *)place(message, member->field->quantifier_offset);

    if (*chosen != member->field->id)
        memset(place(message, member->field->offset), 0, member->size);
    *chosen = member->field->id;
}

/** Room is there: the values were counted. */
static const uint8_t *append(struct decoding *decoding, const struct grpc_member *member,
                             void *message, const uint8_t *at, const uint8_t *end)
{
    size_t *count = (size_t *)(void *)place(message, member->field->quantifier_offset);
    uint8_t *values = *(uint8_t **)(void *)place(message, member->field->offset);

    at = store(decoding, member, values + *count * member->size, at, end);
    ++*count;
    return at;
}

static const uint8_t *append_packed(struct decoding *decoding, const struct grpc_member *member,
                                    void *message, const uint8_t *at, const uint8_t *end)
{
    size_t len;

    at = grpc_wire_length(at, end, &len);
    if (at == NULL)
        return NULL;
    end = at + len;
    while (at != NULL && at != end)
        at = append(decoding, member, message, at, end);
    return at;
}

static const uint8_t *take_field(struct decoding *decoding, const struct grpc_member *member,
                                 void *message, unsigned wire, const uint8_t *at,
                                 const uint8_t *end)
{
    const ProtobufCFieldDescriptor *field = member->field;

    if (member->repeated)
        return wire == member->wire ? append(decoding, member, message, at, end)
                                    : append_packed(decoding, member, message, at, end);
    if (member->oneof)
        choose(member, message);
    else if (field->quantifier_offset != 0)
        *(protobuf_c_boolean *)(void *)place(message, field->quantifier_offset) = 1;
    return store(decoding, member, place(message, field->offset), at, end);
}

/* ---- a message ---- */

/** How many values a field of a repeated member has. */
static const uint8_t *count_values(const struct grpc_member *member, unsigned wire,
                                   const uint8_t *at, const uint8_t *end, size_t *count)
{
    size_t len;

    if (wire != GRPC_WIRE_LENGTH || member->wire == GRPC_WIRE_LENGTH) {
        ++*count;
        size_t none = 0;
        return grpc_wire_skip(at, end, wire, &none);
    }
    at = grpc_wire_length(at, end, &len);
    if (at == NULL)
        return NULL;
    if (member->wire != GRPC_WIRE_VARINT) {
        unsigned size = member->wire == GRPC_WIRE_FIXED32 ? 4 : 8;
        *count += len / size;
        return len % size == 0 ? at + len : NULL;
    }
    for (size_t i = 0; i < len; i++)
        *count += (size_t)(at[i] < 0x80); /* the last byte of each */
    return at + len;
}

static bool count_all(struct decoding *decoding, const struct grpc_codec *codec, size_t *counts,
                      const uint8_t *at, const uint8_t *end)
{
    size_t fields = decoding->fields; /* they are not yet taken */
    uint32_t tag;

    while (at != NULL && at != end) {
        at = next_tag(decoding, at, end, &tag);
        if (at == NULL)
            break;
        const struct grpc_member *member = find_member(codec, tag >> 3);
        if (member != NULL && member->repeated && fits(member, tag & 7))
            at = count_values(member, tag & 7, at, end, &counts[member->repeated - 1]);
        else
            at = skip(decoding, at, end, tag);
    }
    decoding->fields = fields;
    return at != NULL;
}

/** Makes room behind the values that a message which is merged may have. */
static bool make_arrays(struct decoding *decoding, const struct grpc_codec *codec, void *message,
                        const size_t *counts)
{
    for (unsigned i = 0; i < codec->num_members; i++) {
        const struct grpc_member *member = &codec->members[i];
        if (!member->repeated || counts[member->repeated - 1] == 0)
            continue;
        size_t had = *(size_t *)(void *)place(message, member->field->quantifier_offset);
        void **values = (void **)(void *)place(message, member->field->offset);
        size_t size = (had + counts[member->repeated - 1]) * member->size;
        void *array = take_memory(decoding, size);
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
    size_t *counts = take_memory(decoding, codec->num_repeated * sizeof(*counts));

    if (counts == NULL)
        return false;
    memset(counts, 0, codec->num_repeated * sizeof(*counts));
    return count_all(decoding, codec, counts, at, end) &&
           make_arrays(decoding, codec, message, counts);
}

/** What take_field() would do, without asking what kind of field it is: most are such texts. */
static inline const uint8_t *take_plain(struct decoding *decoding, const struct grpc_member *member,
                                        void *message, const uint8_t *at, const uint8_t *end)
{
    size_t len;

    at = grpc_wire_length(at, end, &len);
    if (at == NULL || !store_text(decoding, PROTOBUF_C_TYPE_BYTES,
                                  place(message, member->field->offset), at, len))
        return NULL;
    return at + len;
}

static bool fill_message(struct decoding *decoding, const struct grpc_codec *codec, void *message,
                         const uint8_t *at, const uint8_t *end)
{
    uint32_t tag;

    if (codec->num_repeated != 0 && at != end && !prepare_arrays(decoding, codec, message, at, end))
        return false;
    while (at != end) {
        at = next_tag(decoding, at, end, &tag);
        if (at == NULL)
            return false;
        const struct grpc_member *member = find_member(codec, tag >> 3);
        if (member != NULL && member->plain && (tag & 7) == GRPC_WIRE_LENGTH)
            at = take_plain(decoding, member, message, at, end);
        else if (member != NULL && fits(member, tag & 7))
            at = take_field(decoding, member, message, tag & 7, at, end);
        else
            at = skip(decoding, at, end, tag);
        if (at == NULL)
            return false;
    }
    return true;
}

static enum grpc_decode_result decode(struct decoding *decoding, const struct grpc_codec *codec,
                                      ProtobufCMessage **message)
{
    const uint8_t *bytes = decoding->bytes, *end = bytes + decoding->len;

    decoding->memory = decoding->len + GRPC_DECODE_SPARE;
    *message = new_message(decoding, codec);
    if (*message != NULL && fill_message(decoding, codec, *message, bytes, end))
        return GRPC_DECODED;
    return decoding->result != GRPC_DECODED ? decoding->result : GRPC_DECODE_MALFORMED;
}

enum grpc_decode_result grpc_decode(const struct grpc_codec *codec, struct grpc_arena *arena,
                                    const uint8_t *bytes, size_t len, ProtobufCMessage **message)
{
    struct decoding decoding = {
        .arena = arena, .bytes = bytes, .len = len, .fields = GRPC_DECODE_MAX_FIELDS};

    return decode(&decoding, codec, message);
}

enum grpc_decode_result grpc_decode_in_place(const struct grpc_codec *codec,
                                             struct grpc_arena *arena, uint8_t *bytes, size_t len,
                                             size_t max_fields, ProtobufCMessage **message)
{
    struct decoding decoding = {.arena = arena, .bytes = bytes, .len = len, .fields = max_fields};

    if (!codec->terminated) /* a NUL would be written over the next field */
        decoding.copy = bytes;
    return decode(&decoding, codec, message);
}

size_t grpc_decode_fields_of(size_t compressed_len)
{
    size_t fields = GRPC_DECODE_FIELDS_SPARE + GRPC_DECODE_FIELDS_PER_BYTE * compressed_len;

    return fields < GRPC_DECODE_MAX_FIELDS ? fields : GRPC_DECODE_MAX_FIELDS;
}
