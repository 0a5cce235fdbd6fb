/* SPDX-License-Identifier: MIT */
/*
 * What the runtime must know of a request type beyond what protobuf-c knows:
 * which of its fields hold text, and how each lies on the wire and in memory.
 * protobuf-c checks no UTF-8, and the C codecs keep strings as bytes
 * (string_as_bytes, so that U+0000 does not cut them), so the
 * FileDescriptorSet tells.
 */
#ifndef ROSTERD_GRPC_CODEC_H
#define ROSTERD_GRPC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "proto/google/protobuf/descriptor.pb-c.h"

struct grpc_codec;

/** A string field, or a message field with strings somewhere inside. */
struct grpc_text_field {
    const ProtobufCFieldDescriptor *field;
    const struct grpc_codec *nested; /* NULL: this is the string */
};

/** A field, as decode.c needs it. */
struct grpc_member {
    const ProtobufCFieldDescriptor *field;
    const struct grpc_codec *nested; /* of a message; else NULL */
    uint8_t wire;                    /* GRPC_WIRE_* of one value */
    uint8_t size;                    /* bytes of one value in memory */
    bool oneof;
    bool plain;        /* bytes that are there once, and nothing says whether they are */
    unsigned repeated; /* which of the repeated ones it is, from 1; 0: it is none */
};
/** Numbers below this are found by one look. */
enum { GRPC_CODEC_DIRECT = 32 };

struct grpc_codec {
    const ProtobufCMessageDescriptor *type;
    struct grpc_codec *next;
    struct grpc_member *members; /* ascending by number, as type->fields */
    unsigned num_members, num_repeated;
    uint16_t direct[GRPC_CODEC_DIRECT]; /* by number: which of members, from 1; 0: none */
    struct grpc_text_field *fields;
    size_t num_fields; /* in fields */
    bool terminated;   /* a text of it, or of what is inside of it, ends with a NUL */
    bool building;     /* to find types that contain themselves */
};

/**
 * The codec of a type, made at its first use and kept in *codecs.
 * @param why set where NULL is returned: the type is not in the set, does not fit the
 *   descriptor, has a required field (proto2), or contains itself (decoding goes as deep as
 *   messages do, and such would go to the end of the stack)
 */
const struct grpc_codec *grpc_codec_get(struct grpc_codec **codecs,
                                        const Google__Protobuf__FileDescriptorSet *set,
                                        const ProtobufCMessageDescriptor *type, const char **why);
void grpc_codecs_free(struct grpc_codec *codecs);

/** A place in a message, for the error's text. */
struct grpc_field_name {
    const char *message, *field; /* "userservice.User", "email" */
};
/** @return false where a string is not UTF-8; *where names it */
bool grpc_codec_check_text(const struct grpc_codec *codec, const ProtobufCMessage *message,
                           struct grpc_field_name *where);

#endif
