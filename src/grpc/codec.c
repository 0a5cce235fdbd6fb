/* SPDX-License-Identifier: MIT */
#include "grpc/codec.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "grpc/descriptor.h"
#include "grpc/grpc_wire.h"

#define TYPE_STRING  GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_STRING
#define TYPE_MESSAGE GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_MESSAGE

/** Keeps a field that is a string or has strings inside; ignores all others.
 * @return false with `fault` filled if the field cannot be served */
static bool add_text_field(struct grpc_codec *codec, struct grpc_codec **codecs,
                           const Google__Protobuf__FileDescriptorSet *set,
                           const Google__Protobuf__FieldDescriptorProto *proto, struct fault *fault)
{
    if (proto->type != TYPE_STRING && proto->type != TYPE_MESSAGE)
        return true;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(codec->type, (unsigned)proto->number);
    if (field == NULL)
        return fault_set(fault, "%s.%s: the C code lacks this field", codec->type->name,
                         proto->name);
    bool same = proto->type == TYPE_MESSAGE
                    ? field->type == PROTOBUF_C_TYPE_MESSAGE
                    : field->type == PROTOBUF_C_TYPE_BYTES || field->type == PROTOBUF_C_TYPE_STRING;
    if (!same)
        return fault_set(fault, "%s.%s: this field has another type in the C code",
                         codec->type->name, proto->name);
    const struct grpc_codec *nested = NULL;
    if (proto->type == TYPE_MESSAGE) {
        nested = grpc_codec_get(codecs, set, field->descriptor, fault);
        if (nested == NULL)
            return false;
        if (nested->num_fields == 0)
            return true;
    }
    codec->fields[codec->num_fields++] = (struct grpc_text_field){.field = field, .nested = nested};
    return true;
}

static uint8_t value_wire(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return GRPC_WIRE_FIXED32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return GRPC_WIRE_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return GRPC_WIRE_LENGTH;
    default:
        return GRPC_WIRE_VARINT;
    }
}

static uint8_t value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    default:
        return sizeof(uint32_t);
    }
}

static bool add_members(struct grpc_codec *codec, struct grpc_codec **codecs,
                        const Google__Protobuf__FileDescriptorSet *set, struct fault *fault)
{
    for (unsigned i = 0; i < codec->type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &codec->type->fields[i];
        struct grpc_member *member = &codec->members[i];
        member->field = field;
        member->wire = value_wire(field->type);
        member->size = value_size(field->type);
        member->oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
        member->plain = field->type == PROTOBUF_C_TYPE_BYTES && field->quantifier_offset == 0;
        if (field->label == PROTOBUF_C_LABEL_REQUIRED)
            return fault_set(fault, "%s.%s: required fields are not supported", codec->type->name,
                             field->name);
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            member->repeated = ++codec->num_repeated;
            member->texts = field->type == PROTOBUF_C_TYPE_BYTES;
        }
        if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
            (member->nested = grpc_codec_get(codecs, set, field->descriptor, fault)) == NULL)
            return false;
        if (field->type == PROTOBUF_C_TYPE_STRING ||
            (member->nested != NULL && member->nested->terminated))
            codec->terminated = true;
        if (field->id < GRPC_CODEC_DIRECT)
            codec->direct[field->id] = (uint16_t)(i + 1);
    }
    codec->num_members = codec->type->n_fields;
    return true;
}

static struct grpc_codec *codec_create(const ProtobufCMessageDescriptor *type, size_t num_fields)
{
    struct grpc_codec *codec = calloc(1, sizeof(*codec));
    if (codec == NULL)
        return NULL;
    codec->type = type;
    codec->fields = calloc(num_fields + 1, sizeof(codec->fields[0]));
    codec->members = calloc(type->n_fields + (size_t)1, sizeof(codec->members[0]));
    if (codec->fields != NULL && codec->members != NULL)
        return codec;
    free(codec->fields);
    free(codec->members);
    free(codec);
    return NULL;
}

static bool codec_build(struct grpc_codec *codec, struct grpc_codec **codecs,
                        const Google__Protobuf__FileDescriptorSet *set,
                        const Google__Protobuf__DescriptorProto *proto, struct fault *fault)
{
    if (!add_members(codec, codecs, set, fault))
        return false;
    for (size_t i = 0; i < proto->n_field; i++) {
        if (!add_text_field(codec, codecs, set, proto->field[i], fault))
            return false;
    }
    return true;
}

const struct grpc_codec *grpc_codec_get(struct grpc_codec **codecs,
                                        const Google__Protobuf__FileDescriptorSet *set,
                                        const ProtobufCMessageDescriptor *type, struct fault *fault)
{
    for (struct grpc_codec *codec = *codecs; codec != NULL; codec = codec->next) {
        if (codec->type != type)
            continue;
        if (!codec->building)
            return codec;
        fault_set(fault, "%s contains itself: recursive types are not supported", type->name);
        return NULL;
    }
    const Google__Protobuf__DescriptorProto *proto = grpc_descriptor_message(set, type->name);
    if (proto == NULL) {
        fault_set(fault, "%s: the descriptor set lacks this type", type->name);
        return NULL;
    }
    struct grpc_codec *codec = codec_create(type, proto->n_field);
    if (codec == NULL) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    codec->next = *codecs;
    codec->building = true;
    *codecs = codec;
    if (!codec_build(codec, codecs, set, proto, fault))
        return NULL; /* stays marked as being built, so that it is never used */
    codec->building = false;
    return codec;
}

void grpc_codecs_free(struct grpc_codec *codecs)
{
    for (struct grpc_codec *next; codecs != NULL; codecs = next) {
        next = codecs->next;
        free(codecs->fields);
        free(codecs->members);
        free(codecs);
    }
}

/** Checks one value. `member` points to a ProtobufCBinaryData, char * or ProtobufCMessage *. */
static bool check_text_value(const struct grpc_text_field *text, const void *member,
                             struct grpc_field_name *where)
{
    if (text->nested != NULL) {
        const ProtobufCMessage *const *message = member;
        return *message == NULL || grpc_codec_check_text(text->nested, *message, where);
    }
    if (text->field->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *bytes = member;
        return utf8_valid(bytes->data, bytes->len);
    }
    const char *const *string = member;
    return *string == NULL || utf8_valid((const uint8_t *)*string, strlen(*string));
}

static bool check_repeated_text(const struct grpc_text_field *text, const ProtobufCMessage *message,
                                struct grpc_field_name *where)
{
    size_t count;
    memcpy(&count, (const uint8_t *)message + text->field->quantifier_offset, sizeof(count));
    const uint8_t *values;
    memcpy(&values, (const uint8_t *)message + text->field->offset, sizeof(values));
    size_t size =
        text->field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
    for (size_t i = 0; i < count; i++) {
        if (!check_text_value(text, values + i * size, where))
            return false;
    }
    return true;
}

/** Whether a field may be read: a member of a oneof only if it is the one that is set. */
static bool is_set(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
        return true;
    uint32_t set;
    memcpy(&set, (const uint8_t *)message + field->quantifier_offset, sizeof(set));
    return set == field->id;
}

bool grpc_codec_check_text(const struct grpc_codec *codec, const ProtobufCMessage *message,
                           struct grpc_field_name *where)
{
    for (size_t i = 0; i < codec->num_fields; i++) {
        const struct grpc_text_field *text = &codec->fields[i];
        const ProtobufCFieldDescriptor *field = text->field;
        bool valid =
            field->label == PROTOBUF_C_LABEL_REPEATED
                ? check_repeated_text(text, message, where)
                : !is_set(field, message) ||
                      check_text_value(text, (const uint8_t *)message + field->offset, where);
        if (valid)
            continue;
        if (text->nested == NULL) /* else the check of the nested message has named the field */
            *where = (struct grpc_field_name){codec->type->name, field->name};
        return false;
    }
    return true;
}
