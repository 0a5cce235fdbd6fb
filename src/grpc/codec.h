/* SPDX-License-Identifier: MIT */
/*
 * What the runtime knows of a request type beyond protobuf-c's descriptor of it: which fields hold
 * text, and how each field lies on the wire and in memory. protobuf-c does not check UTF-8, and
 * the generated C code keeps strings as bytes (string_as_bytes, so that U+0000 does not cut them
 * short). Which bytes are text is therefore read from the FileDescriptorSet.
 */
#ifndef ROSTERD_GRPC_CODEC_H
#define ROSTERD_GRPC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/fault.h"
#include "proto/google/protobuf/descriptor.pb-c.h"

struct grpc_codec;

/** A string field, or a message field with string fields somewhere inside. */
struct grpc_text_field {
    const ProtobufCFieldDescriptor *field;
    const struct grpc_codec *nested; /* NULL: the field itself is a string */
};

/** A field in the form that decode.c needs. */
struct grpc_member {
    const ProtobufCFieldDescriptor *field;
    const struct grpc_codec *nested; /* the codec of a message field, else NULL */
    uint8_t wire;                    /* GRPC_WIRE_* of one value */
    uint8_t size;                    /* bytes of one value in memory */
    bool oneof;
    bool plain;        /* a single bytes field outside a oneof, without a has_ member */
    bool texts;        /* a repeated bytes field */
    unsigned repeated; /* the field's number among the repeated ones, from 1; 0: not repeated */
};
/** Fields with numbers below this are found by one array access. */
enum { GRPC_CODEC_DIRECT = 32 };

struct grpc_codec {
    const ProtobufCMessageDescriptor *type;
    struct grpc_codec *next;
    struct grpc_member *members; /* ascending by field number, as type->fields */
    unsigned num_members, num_repeated;
    uint16_t direct[GRPC_CODEC_DIRECT]; /* by field number: index in members + 1; 0: none */
    struct grpc_text_field *fields;
    size_t num_fields; /* in fields */
    bool terminated;   /* a text in it, or in a message inside it, is a NUL-terminated char * */
    bool building;     /* under construction: finding it then means that the type is recursive */
};

/**
 * The codec of a type. It is built at the first use and kept in *codecs.
 * @return NULL with `fault` filled if the type is not in the set, does not fit the generated C
 *   code, has a required field (proto2), or contains itself. (Decoding recurses as deep as types
 *   nest; a recursive type would let a client exhaust the stack.)
 */
const struct grpc_codec *grpc_codec_get(struct grpc_codec **codecs,
                                        const Google__Protobuf__FileDescriptorSet *set,
                                        const ProtobufCMessageDescriptor *type,
                                        struct fault *fault);
void grpc_codecs_free(struct grpc_codec *codecs);

/** Names a field for an error message. */
struct grpc_field_name {
    const char *message, *field; /* "userservice.User", "email" */
};
/** Checks that all strings of a message are valid UTF-8.
 * @return false if one is not; *where names its field */
bool grpc_codec_check_text(const struct grpc_codec *codec, const ProtobufCMessage *message,
                           struct grpc_field_name *where);

#endif
