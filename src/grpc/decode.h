/* SPDX-License-Identifier: MIT */
/*
 * Bytes from a client into a message of protobuf-c's layout. protobuf_c_message_unpack() keeps
 * unknown fields and some 40 bytes for each field while it works, so that 4 MiB of two-byte
 * fields cost 150 MB; here what a message may cost is bounded, and what nobody reads is not kept.
 *
 * As every other implementation has it: unknown fields, groups among them, are passed over, and so
 * is a known number with another wire type; repeated numbers may be packed or not; of a field that
 * is there once the last one counts, and messages are merged.
 */
#ifndef ROSTERD_GRPC_DECODE_H
#define ROSTERD_GRPC_DECODE_H

#include "grpc/arena.h"
#include "grpc/codec.h"

enum {
    /** Fields of one message with all inside of it, known or not. Passing over one takes a few ns,
     * so this many take some milliseconds, the most that one message may hold up others. */
    GRPC_DECODE_MAX_FIELDS = 1 << 20,
    /** Those of a message that was compressed: fields are the dearest that a few bytes can become.
     * What people send has some five for each byte that it was compressed to. */
    GRPC_DECODE_FIELDS_SPARE = 4096,
    GRPC_DECODE_FIELDS_PER_BYTE = 64,
    /** What a message may cost besides a copy of itself is its own size and this: enough for 16,384
     * texts however short, or for any number of 14 bytes and more. */
    GRPC_DECODE_SPARE = 256 * 1024,
};

enum grpc_decode_result {
    GRPC_DECODED,
    GRPC_DECODE_MALFORMED, /* cut off, no wire format, or an unmatched group */
    GRPC_DECODE_TOO_MANY,  /* fields */
    GRPC_DECODE_TOO_LARGE, /* would take over 2 * len + GRPC_DECODE_SPARE bytes of memory */
    GRPC_DECODE_NO_MEMORY,
};

/**
 * @param codec of the message's type
 * @param bytes are read, and not needed any more afterwards: texts are copied
 * @param message is set where GRPC_DECODED is returned; all of it lies in the arena. Texts are not
 *   checked: see grpc_codec_check_text()
 */
enum grpc_decode_result grpc_decode(const struct grpc_codec *codec, struct grpc_arena *arena,
                                    const uint8_t *bytes, size_t len, ProtobufCMessage **message);
/**
 * The same of bytes that stay where they are while the message is in use: texts are not copied but
 * where the type has some that end with a NUL.
 * @param max_fields instead of GRPC_DECODE_MAX_FIELDS
 */
enum grpc_decode_result grpc_decode_in_place(const struct grpc_codec *codec,
                                             struct grpc_arena *arena, uint8_t *bytes, size_t len,
                                             size_t max_fields, ProtobufCMessage **message);
/** How many fields a message may have that came as so many compressed bytes. */
size_t grpc_decode_fields_of(size_t compressed_len);

#endif
