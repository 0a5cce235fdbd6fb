/* SPDX-License-Identifier: MIT */
/*
 * gRPC's message encodings (compression.md): gzip (RFC 1952), and deflate, which is zlib's format
 * (RFC 1950). A worker has one inflater and one deflater, made at their first use. Each message is
 * whole, so no state is kept from one to the next. libdeflate inflates, in a sixth of zlib's time:
 * a few bytes that inflate to many must not cost much time. zlib deflates: for very repetitive data
 * it takes half of libdeflate's time.
 */
#ifndef ROSTERD_GRPC_COMPRESS_H
#define ROSTERD_GRPC_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grpc_compress;

enum grpc_inflate_result {
    GRPC_INFLATE_DONE,
    GRPC_INFLATE_TOO_LARGE, /* inflates to more than max */
    GRPC_INFLATE_CORRUPT,   /* not of this encoding, cut off, or followed by more bytes */
    GRPC_INFLATE_NO_MEMORY,
};

enum {
    /** Bytes of a buffer. Larger ones are kept until grpc_compress_trim(). */
    GRPC_COMPRESS_KEEP = 256 * 1024,
    /** The most members of one gzip message. Programs that write several make one of each 64 KiB or
     * so; the shortest members have 20 bytes and no content. */
    GRPC_INFLATE_MAX_MEMBERS = 4096,
};

/** @return NULL: out of memory */
struct grpc_compress *grpc_compress_create(void);
/** NULL is ignored. */
void grpc_compress_destroy(struct grpc_compress *compress);

/**
 * Inflates a whole message.
 * @param encoding GRPC_COMPRESS_GZIP (of one member or several) or GRPC_COMPRESS_DEFLATE
 * @param max the most bytes that the message may have, all members together
 * @param out set to the message, which is valid until the next call or grpc_compress_forget()
 * @param out_len set to its length; if inflating failed, to the number of bytes that may have been
 *   produced
 */
enum grpc_inflate_result grpc_inflate(struct grpc_compress *compress, unsigned encoding,
                                      const uint8_t *in, size_t len, size_t max, uint8_t **out,
                                      size_t *out_len);
/** Overwrites the message that was inflated last, wherever it is kept. */
void grpc_compress_forget(struct grpc_compress *compress);

/** Whether memory is kept that only large messages need. (Allocating it for each of them would cost
 * more than inflating does.) */
bool grpc_compress_is_large(const struct grpc_compress *compress);
/** Frees that memory. */
void grpc_compress_trim(struct grpc_compress *compress);

/**
 * Compresses a whole message, fast rather than well.
 * @param out set to the compressed message, which is valid until the next call
 * @return its bytes; 0: it would not be smaller, or there is no memory
 */
size_t grpc_deflate(struct grpc_compress *compress, unsigned encoding, const uint8_t *in,
                    size_t len, const uint8_t **out);

/** The known encodings in a grpc-accept-encoding, as GRPC_COMPRESS_* bits. */
unsigned grpc_compress_accepted(const char *value, size_t len);
/** "gzip" or "deflate"; NULL for any other number. */
const char *grpc_compress_name(unsigned encoding);
/** The GRPC_COMPRESS_* of the name; 0 for any other name. */
unsigned grpc_compress_by_name(const char *name, size_t len);

#endif
