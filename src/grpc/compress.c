/* SPDX-License-Identifier: MIT */
#include "grpc/compress.h"

#include <assert.h>
#include <endian.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/secret.h"
#include "grpc/grpc.h"

enum {
    WINDOW_BITS = 15,
    AS_GZIP = 16, /* added to the window bits, it makes zlib write gzip's format */
    MEM_LEVEL = 8,
    LEAST_ROOM = 4096,
    DEFLATE_RATIO = 1032, /* the most bytes that one byte can inflate to */
    ROOM_STEP = 4,        /* factor by which the room grows if it was too small */
};

/** A buffer that grows. It may hold a password, so it is left out of core dumps. */
struct secret_buffer {
    uint8_t *bytes;
    size_t cap;
    size_t used; /* bytes that may have been written to */
};

struct grpc_compress {
    struct libdeflate_decompressor *inflater; /* keeps tables of codes, but no text */
    z_stream deflater;
    bool can_deflate;
    unsigned deflates_as;    /* GRPC_COMPRESS_*: a deflater cannot change its format */
    struct secret_buffer in; /* the message that was inflated last */
    struct secret_buffer out;
};

/* ---- memory ---- */

/** zlib's own memory holds what zlib has read, so it is overwritten before it is freed. The size
 * that this needs is kept in front of each allocation. */
union zlib_head {
    size_t size;
    max_align_t align;
};

static void *zlib_alloc(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    union zlib_head *head = calloc(1, sizeof(*head) + (size_t)items * size);
    if (head == NULL)
        return NULL;
    head->size = (size_t)items * size;
    return head + 1;
}

static void zlib_free(void *opaque, void *address)
{
    (void)opaque;
    union zlib_head *head = (union zlib_head *)address - 1;
    explicit_bzero(address, head->size);
    free(head);
}

/** Makes room for `cap` bytes. Copies the first `keep` bytes; the old buffer is overwritten.
 * @return false: out of memory */
static bool buffer_grow(struct secret_buffer *buffer, size_t keep, size_t cap)
{
    if (cap <= buffer->cap)
        return true;
    uint8_t *bytes = secret_alloc(cap);
    if (bytes == NULL)
        return false;
    if (keep != 0)
        memcpy(bytes, buffer->bytes, keep);
    secret_free(buffer->bytes, buffer->cap);
    buffer->bytes = bytes;
    buffer->cap = cap;
    buffer->used = keep;
    return true;
}

static void buffer_trim(struct secret_buffer *buffer)
{
    if (buffer->cap <= GRPC_COMPRESS_KEEP)
        return;
    secret_free(buffer->bytes, buffer->cap);
    *buffer = (struct secret_buffer){0};
}

struct grpc_compress *grpc_compress_create(void)
{
    struct grpc_compress *compress = calloc(1, sizeof(*compress));
    if (compress == NULL)
        return NULL;
    compress->deflater.zalloc = zlib_alloc;
    compress->deflater.zfree = zlib_free;
    return compress;
}

void grpc_compress_destroy(struct grpc_compress *compress)
{
    if (compress == NULL)
        return;
    libdeflate_free_decompressor(compress->inflater);
    if (compress->can_deflate)
        deflateEnd(&compress->deflater);
    secret_free(compress->in.bytes, compress->in.cap);
    secret_free(compress->out.bytes, compress->out.cap);
    free(compress);
}

void grpc_compress_forget(struct grpc_compress *compress)
{
    if (compress->in.used != 0)
        explicit_bzero(compress->in.bytes, compress->in.used);
    compress->in.used = 0;
}

bool grpc_compress_is_large(const struct grpc_compress *compress)
{
    return compress->in.cap > GRPC_COMPRESS_KEEP || compress->out.cap > GRPC_COMPRESS_KEEP;
}

void grpc_compress_trim(struct grpc_compress *compress)
{
    buffer_trim(&compress->in);
    buffer_trim(&compress->out);
}

/* ---- inflating ---- */

/** A message that is being inflated into the first bytes of the buffer. */
struct inflating {
    unsigned encoding;
    const uint8_t *in; /* the rest of the compressed bytes */
    size_t len;        /* its length */
    size_t made;       /* bytes that have been produced */
    size_t room, max;  /* bytes of room in the buffer, and the most that there may be */
};

/** Guesses the message's size. A gzip ends with its length (RFC 1952 2.3.1), but that may be a lie,
 * or the length of the last member only. */
static size_t likely_size(const struct inflating *now)
{
    uint32_t size;
    if (now->encoding != GRPC_COMPRESS_GZIP || now->len < sizeof(size))
        return LEAST_ROOM;
    memcpy(&size, now->in + now->len - sizeof(size), sizeof(size));
    size = le32toh(size);
    return size / DEFLATE_RATIO <= now->len ? size : LEAST_ROOM;
}

/** The room for the first attempt: the maximum, divided by ROOM_STEP as often as the likely size
 * still fits. A message with a false length makes us inflate again with more room. Because the
 * steps end at the maximum, the wasted attempts cost at most a third of it, however the length is
 * chosen. */
static size_t first_room(const struct inflating *now)
{
    size_t likely = likely_size(now), room = now->max;
    while (room / ROOM_STEP >= likely && room / ROOM_STEP >= LEAST_ROOM)
        room /= ROOM_STEP;
    return room;
}

/** Tries to inflate one member into the room there is. All of the room counts as written to: after
 * a failure libdeflate does not say how much it wrote, and it may write past the result's end. */
static enum libdeflate_result try_member(struct grpc_compress *compress, struct inflating *now)
{
    size_t used, made, room = now->room - now->made;
    uint8_t *to = compress->in.bytes + now->made;
    compress->in.used = now->room;
    enum libdeflate_result result =
        now->encoding == GRPC_COMPRESS_GZIP
            ? libdeflate_gzip_decompress_ex(compress->inflater, now->in, now->len, to, room, &used,
                                            &made)
            : libdeflate_zlib_decompress_ex(compress->inflater, now->in, now->len, to, room, &used,
                                            &made);
    if (result == LIBDEFLATE_SUCCESS) {
        now->in += used;
        now->len -= used;
        now->made += made;
    }
    return result;
}

/** Inflates one member, with more room as long as there is too little. */
static enum grpc_inflate_result inflate_member(struct grpc_compress *compress,
                                               struct inflating *now)
{
    for (;;) {
        enum libdeflate_result result = try_member(compress, now);
        if (result == LIBDEFLATE_SUCCESS)
            return GRPC_INFLATE_DONE;
        if (result != LIBDEFLATE_INSUFFICIENT_SPACE)
            return GRPC_INFLATE_CORRUPT;
        if (now->room == now->max)
            return GRPC_INFLATE_TOO_LARGE;
        size_t room = now->room <= now->max / ROOM_STEP ? now->room * ROOM_STEP : now->max;
        if (!buffer_grow(&compress->in, now->made, room))
            return GRPC_INFLATE_NO_MEMORY;
        now->room = room;
    }
}

/** Inflates all members: a gzip may have several, whose contents follow each other (RFC 1952 2.2).
 * Bytes behind the last member fail as the header of a further one. */
static enum grpc_inflate_result inflate_all(struct grpc_compress *compress, struct inflating *now)
{
    unsigned max = now->encoding == GRPC_COMPRESS_GZIP ? GRPC_INFLATE_MAX_MEMBERS : 1;
    for (unsigned members = 0; members != max; members++) {
        enum grpc_inflate_result result = inflate_member(compress, now);
        if (result != GRPC_INFLATE_DONE || now->len == 0)
            return result;
    }
    return GRPC_INFLATE_CORRUPT;
}

enum grpc_inflate_result grpc_inflate(struct grpc_compress *compress, unsigned encoding,
                                      const uint8_t *in, size_t len, size_t max, uint8_t **out,
                                      size_t *out_len)
{
    struct inflating now = {.encoding = encoding, .in = in, .len = len, .max = max};
    compress->in.used = 0;
    *out = NULL;
    *out_len = 0;
    if (compress->inflater == NULL)
        compress->inflater = libdeflate_alloc_decompressor();
    now.room = first_room(&now);
    if (compress->inflater == NULL || !buffer_grow(&compress->in, 0, now.room))
        return GRPC_INFLATE_NO_MEMORY;
    enum grpc_inflate_result result = inflate_all(compress, &now);
    *out = compress->in.bytes;
    *out_len = result == GRPC_INFLATE_DONE ? now.made : now.room;
    return result;
}

/* ---- deflating ---- */

/** Makes the deflater ready for a message. */
static bool begin_deflater(struct grpc_compress *compress, unsigned encoding)
{
    int bits = encoding == GRPC_COMPRESS_GZIP ? WINDOW_BITS + AS_GZIP : WINDOW_BITS;
    if (compress->can_deflate && compress->deflates_as == encoding)
        return deflateReset(&compress->deflater) == Z_OK;
    if (compress->can_deflate)
        deflateEnd(&compress->deflater);
    compress->can_deflate = deflateInit2(&compress->deflater, Z_BEST_SPEED, Z_DEFLATED, bits,
                                         MEM_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
    compress->deflates_as = encoding;
    return compress->can_deflate;
}

size_t grpc_deflate(struct grpc_compress *compress, unsigned encoding, const uint8_t *in,
                    size_t len, const uint8_t **out)
{
    z_stream *stream = &compress->deflater;
    assert(len <= UINT32_MAX); /* a message's length is a 32-bit number on the wire */
    /* A result that is not smaller than the message is of no use, so there is no room for it. */
    if (len < 2 || !begin_deflater(compress, encoding) || !buffer_grow(&compress->out, 0, len - 1))
        return 0;
    stream->next_in = (uint8_t *)(uintptr_t)in;
    stream->avail_in = (uInt)len;
    stream->next_out = compress->out.bytes;
    stream->avail_out = (uInt)(len - 1);
    if (deflate(stream, Z_FINISH) != Z_STREAM_END)
        return 0;
    *out = compress->out.bytes;
    return len - 1 - stream->avail_out;
}

/* ---- names ---- */

const char *grpc_compress_name(unsigned encoding)
{
    return encoding == GRPC_COMPRESS_GZIP      ? "gzip"
           : encoding == GRPC_COMPRESS_DEFLATE ? "deflate"
                                               : NULL;
}

unsigned grpc_compress_by_name(const char *name, size_t len)
{
    if (len == 4 && memcmp(name, "gzip", 4) == 0)
        return GRPC_COMPRESS_GZIP;
    if (len == 7 && memcmp(name, "deflate", 7) == 0)
        return GRPC_COMPRESS_DEFLATE;
    return 0;
}

unsigned grpc_compress_accepted(const char *value, size_t len)
{
    unsigned accepted = 0;
    size_t at = 0;
    while (at < len) {
        while (at < len && (value[at] == ',' || value[at] == ' ' || value[at] == '\t'))
            at++;
        size_t begin = at;
        while (at < len && value[at] != ',' && value[at] != ' ' && value[at] != '\t')
            at++;
        accepted |= grpc_compress_by_name(value + begin, at - begin);
    }
    return accepted;
}
