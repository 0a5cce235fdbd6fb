/* SPDX-License-Identifier: MIT */
#include "grpc/compress.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/secret.h"
#include "grpc/grpc.h"

enum {
    WINDOW_BITS = 15,
    AS_GZIP = 16, /* zlib's way to ask for that format */
    MEM_LEVEL = 8,
    FIRST = 4096,
    DEFLATE_RATIO = 1032, /* the most that a byte can inflate to */
    ROOM_STEP = 4,        /* where the room was too little there is so many times as much next */
};

/* A buffer that grows: it may hold a password, so it is left out of core dumps. */
struct buffer {
    uint8_t *bytes;
    size_t cap, used;
};

struct grpc_compress {
    struct libdeflate_decompressor *inflater; /* keeps tables of codes, and no text */
    z_stream deflater;
    bool can_deflate;
    unsigned deflates_as; /* GRPC_COMPRESS_*: a deflater cannot change its format */
    struct buffer in;     /* used: what may have been written to, by whatever was inflated */
    struct buffer out;
};

/* ---- memory ---- */

/* zlib's own memory holds what it read: it is overwritten before it is given back. */
union head {
    size_t size;
    max_align_t align;
};

static void *take(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    union head *head = calloc(1, sizeof(*head) + (size_t)items * size);
    if (head == NULL)
        return NULL;
    head->size = (size_t)items * size;
    return head + 1;
}

static void give(void *opaque, void *address)
{
    (void)opaque;
    union head *head = (union head *)address - 1;
    explicit_bzero(address, head->size);
    free(head);
}

/* Its first bytes move along; the old ones are gone. @return false: no memory */
static bool grow(struct buffer *buffer, size_t keep, size_t cap)
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

static void trim(struct buffer *buffer)
{
    if (buffer->cap <= GRPC_COMPRESS_KEEP)
        return;
    secret_free(buffer->bytes, buffer->cap);
    *buffer = (struct buffer){0};
}

struct grpc_compress *grpc_compress_create(void)
{
    struct grpc_compress *compress = calloc(1, sizeof(*compress));
    if (compress == NULL)
        return NULL;
    compress->deflater.zalloc = take;
    compress->deflater.zfree = give;
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
    trim(&compress->in);
    trim(&compress->out);
}

/* ---- inflating ---- */

/* A message on its way from `in` to the first bytes of the buffer. */
struct inflating {
    unsigned encoding;
    const uint8_t *in;
    size_t len; /* of what is left of it */
    size_t made;
    size_t room, max; /* for what is made: the room that there is now, and the most */
};

/* What the message is likely to have: a gzip ends with its length (RFC 1952 2.3.1), which may be a
 * lie, or the last member's alone. */
static size_t likely_size(const struct inflating *now)
{
    uint32_t size;
    if (now->encoding != GRPC_COMPRESS_GZIP || now->len < sizeof(size))
        return FIRST;
    memcpy(&size, now->in + now->len - sizeof(size), sizeof(size)); /* the low byte first */
    return size / DEFLATE_RATIO <= now->len ? size : FIRST;
}

/* Whoever lies makes us inflate again, with more room. The steps end at the most there may be, so
 * all that was for nothing is a third of that, however the lies are chosen. */
static size_t first_room(const struct inflating *now)
{
    size_t likely = likely_size(now), room = now->max;
    while (room / ROOM_STEP >= likely && room / ROOM_STEP >= FIRST)
        room /= ROOM_STEP;
    return room;
}

/* Inflates as much as there is room for. All of the room counts as written to: how much was is not
 * told where it failed, and what is written at once may be more than what counts. */
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
        if (!grow(&compress->in, now->made, room))
            return GRPC_INFLATE_NO_MEMORY;
        now->room = room;
    }
}

/* A gzip file may have several members, whose contents follow each other (RFC 1952 2.2); what
 * begins no member fails as the next one's header. */
static enum grpc_inflate_result inflate_all(struct grpc_compress *compress, struct inflating *now)
{
    unsigned members = 0, max = now->encoding == GRPC_COMPRESS_GZIP ? GRPC_INFLATE_MAX_MEMBERS : 1;
    enum grpc_inflate_result result;
    do
        result = members++ == max ? GRPC_INFLATE_CORRUPT : inflate_member(compress, now);
    while (result == GRPC_INFLATE_DONE && now->len != 0);
    return result;
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
    if (compress->inflater == NULL || !grow(&compress->in, 0, now.room))
        return GRPC_INFLATE_NO_MEMORY;
    enum grpc_inflate_result result = inflate_all(compress, &now);
    *out = compress->in.bytes;
    *out_len = result == GRPC_INFLATE_DONE ? now.made : now.room;
    return result;
}

/* ---- deflating ---- */

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
    /* room for what is worth it, and not for more */
    if (len < 2 || !begin_deflater(compress, encoding) || !grow(&compress->out, 0, len - 1))
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
