/* SPDX-License-Identifier: MIT */
/*
 * gRPC's message encodings: gzip (RFC 1952) and deflate, which is zlib's format (RFC 1950).
 * One inflater and one deflater a worker, made when first needed; messages are whole, so
 * no state is kept between two of them. libdeflate inflates, for whoever sends little that becomes
 * much: it takes a sixth of zlib's time. zlib deflates: of what is all the same, in half of
 * libdeflate's time.
 */
#ifndef ROSTERD_GRPC_COMPRESS_H
#define ROSTERD_GRPC_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grpc_compress;

enum grpc_inflate_result {
    GRPC_INFLATE_DONE,
    GRPC_INFLATE_TOO_LARGE, /* more than max: nothing beyond was written */
    GRPC_INFLATE_CORRUPT,   /* not this encoding, cut off, or with more behind its end */
    GRPC_INFLATE_NO_MEMORY,
};

enum {
    /** Buffers that are larger are kept until grpc_compress_trim(). */
    GRPC_COMPRESS_KEEP = 256 * 1024,
    /** Members of one gzip message. Programs that write several make one of each 64 KiB or so; the
     * shortest have 20 bytes and nothing in them. */
    GRPC_INFLATE_MAX_MEMBERS = 4096,
};

/** @return NULL when memory is exhausted */
struct grpc_compress *grpc_compress_create(void);
void grpc_compress_destroy(struct grpc_compress *compress);

/**
 * @param encoding GRPC_COMPRESS_GZIP (of one member or of several) or GRPC_COMPRESS_DEFLATE
 * @param max bytes that the message may have, of all members together
 * @param out where it is, valid until the next call, or until grpc_compress_forget()
 * @param out_len its length; where there is no message, how many bytes may have been made of it
 */
enum grpc_inflate_result grpc_inflate(struct grpc_compress *compress, unsigned encoding,
                                      const uint8_t *in, size_t len, size_t max, uint8_t **out,
                                      size_t *out_len);
/** Overwrites what was inflated last, wherever it is kept. */
void grpc_compress_forget(struct grpc_compress *compress);

/** Whether there is something to trim: memory that only large messages need. To get it for each of
 * them costs more than to inflate it. */
bool grpc_compress_is_large(const struct grpc_compress *compress);
/** Gives it back. */
void grpc_compress_trim(struct grpc_compress *compress);

/** Compresses, fast rather than well. @return bytes at *out, valid until the next call; 0: it would
 * not be smaller, or there is no memory */
size_t grpc_deflate(struct grpc_compress *compress, unsigned encoding, const uint8_t *in,
                    size_t len, const uint8_t **out);

/** The encodings of a grpc-accept-encoding that we know, as GRPC_COMPRESS_* bits. */
unsigned grpc_compress_accepted(const char *value, size_t len);
/** "gzip", "deflate", or NULL for any other; 0 for any other name. */
const char *grpc_compress_name(unsigned encoding);
unsigned grpc_compress_by_name(const char *name, size_t len);

#endif
