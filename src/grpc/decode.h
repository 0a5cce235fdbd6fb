/* SPDX-License-Identifier: MIT */
/*
 * Decodes bytes from a client into a message of protobuf-c's layout. protobuf_c_message_unpack()
 * keeps unknown fields, and some 40 bytes for each field while it works, so that 4 MiB of two-byte
 * fields cost 150 MB. This decoder bounds what a message may cost, and keeps only known fields.
 *
 * Otherwise it decodes as all implementations do: unknown fields, groups among them, are skipped,
 * and so are known fields with another wire type; repeated numbers may be packed or not; if a
 * singular field occurs several times, the last value counts, and messages are merged.
 */
#ifndef ROSTERD_GRPC_DECODE_H
#define ROSTERD_GRPC_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "grpc/arena.h"
#include "grpc/codec.h"

enum {
    /** The most fields of one message with all messages inside it, known or not. Skipping one takes
     * a few nanoseconds, so this many take some milliseconds: the longest that one message may hold
     * up other calls. */
    GRPC_DECODE_MAX_FIELDS = 1 << 20,
    /** The bound for the fields of a compressed message: FIELDS_SPARE, plus FIELDS_PER_BYTE for
     * each compressed byte. Fields are the most expensive thing that few bytes can inflate to.
     * Ordinary messages have about five fields for each compressed byte. */
    GRPC_DECODE_FIELDS_SPARE = 4096,
    GRPC_DECODE_FIELDS_PER_BYTE = 64,
    /** In addition to a copy of itself, a message may take its own size plus this many bytes of
     * memory: enough for 16,384 texts of any length, or for any number of texts of 14 bytes and
     * more.
     */
    GRPC_DECODE_SPARE = 256 * 1024,
};

enum grpc_decode_result {
    GRPC_DECODED,
    GRPC_DECODE_MALFORMED, /* cut off, not in wire format, or with an unmatched group */
    GRPC_DECODE_TOO_MANY,  /* too many fields */
    GRPC_DECODE_TOO_LARGE, /* would take more than 2 * len + GRPC_DECODE_SPARE bytes of memory */
    GRPC_DECODE_NO_MEMORY,
};

/**
 * Decodes a message.
 * @param codec the codec of the message's type
 * @param bytes not needed afterwards: texts are copied
 * @param message set if GRPC_DECODED is returned; it lies in the arena as a whole. Its texts are
 * not checked for UTF-8: see grpc_codec_check_text()
 */
enum grpc_decode_result grpc_decode(const struct grpc_codec *codec, struct grpc_arena *arena,
                                    const uint8_t *bytes, size_t len, ProtobufCMessage **message);
/**
 * Like grpc_decode(), for bytes that stay where they are while the message is in use. Texts point
 * into them, unless the type has NUL-terminated texts, for which they are copied.
 * @param max_fields replaces GRPC_DECODE_MAX_FIELDS
 */
enum grpc_decode_result grpc_decode_in_place(const struct grpc_codec *codec,
                                             struct grpc_arena *arena, uint8_t *bytes, size_t len,
                                             size_t max_fields, ProtobufCMessage **message);
/** The most fields of a message that came as `compressed_len` compressed bytes. */
size_t grpc_decode_fields_of(size_t compressed_len);

#endif
