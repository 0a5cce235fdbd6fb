/* SPDX-License-Identifier: MIT */
#include "grpc/compress.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "grpc/grpc.h"

enum {
    WINDOW_BITS = 15,
    AS_GZIP = 16, /* zlib's way to ask for that format */
    MEM_LEVEL = 8,
    KEEP_MAX = 256 * 1024, /* a larger buffer is given back after its message */
    FIRST = 4096,
    DEFLATE_RATIO = 1032, /* the most that a byte can inflate to */
};

/* A buffer that grows. */
struct buffer {
    uint8_t *bytes;
    size_t cap, used;
};

struct grpc_compress {
    z_stream inflater, deflater;
    bool can_inflate, can_deflate;
    unsigned deflates_as; /* GRPC_COMPRESS_*: a deflater cannot change its format */
    struct buffer in, out;
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

/* Its old bytes are overwritten where they move. @return false: no memory */
static bool grow(struct buffer *buffer, size_t cap)
{
    if (cap <= buffer->cap)
        return true;
    uint8_t *bytes = malloc(cap);
    if (bytes == NULL)
        return false;
    if (buffer->used != 0) {
        memcpy(bytes, buffer->bytes, buffer->used);
        explicit_bzero(buffer->bytes, buffer->used);
    }
    free(buffer->bytes);
    buffer->bytes = bytes;
    buffer->cap = cap;
    return true;
}

static void shrink(struct buffer *buffer)
{
    buffer->used = 0;
    if (buffer->cap <= KEEP_MAX)
        return;
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

struct grpc_compress *grpc_compress_create(void)
{
    struct grpc_compress *compress = calloc(1, sizeof(*compress));
    if (compress == NULL)
        return NULL;
    compress->inflater.zalloc = compress->deflater.zalloc = take;
    compress->inflater.zfree = compress->deflater.zfree = give;
    return compress;
}

static void end_inflater(struct grpc_compress *compress)
{
    if (compress->can_inflate)
        inflateEnd(&compress->inflater);
    compress->can_inflate = false;
}

void grpc_compress_destroy(struct grpc_compress *compress)
{
    if (compress == NULL)
        return;
    end_inflater(compress);
    if (compress->can_deflate)
        deflateEnd(&compress->deflater);
    free(compress->in.bytes);
    free(compress->out.bytes);
    free(compress);
}

void grpc_compress_forget(struct grpc_compress *compress)
{
    if (compress->in.used != 0)
        explicit_bzero(compress->in.bytes, compress->in.used);
    shrink(&compress->in);
    end_inflater(compress); /* its window had the same bytes */
}

/* ---- inflating ---- */

static bool begin_inflater(struct grpc_compress *compress, unsigned encoding)
{
    int bits = encoding == GRPC_COMPRESS_GZIP ? WINDOW_BITS + AS_GZIP : WINDOW_BITS;
    if (compress->can_inflate)
        return inflateReset2(&compress->inflater, bits) == Z_OK;
    compress->can_inflate = inflateInit2(&compress->inflater, bits) == Z_OK;
    return compress->can_inflate;
}

/* How much room is likely to be enough: a gzip ends with its length (RFC 1952 2.3.1), which may be
 * a lie, or the last member's alone. */
static size_t likely_size(unsigned encoding, const uint8_t *in, size_t len, size_t max)
{
    uint32_t size;
    if (encoding != GRPC_COMPRESS_GZIP || len < sizeof(size))
        return FIRST;
    memcpy(&size, in + len - sizeof(size), sizeof(size)); /* the low byte first, as we have it */
    return size > FIRST && size <= max && size / DEFLATE_RATIO <= len ? size + (size_t)1 : FIRST;
}

/* A gzip file may have several members, whose contents follow each other (RFC 1952 2.2); what
 * begins no member fails as the next one's header. */
static bool next_member(struct grpc_compress *compress, unsigned encoding, unsigned *members)
{
    return encoding == GRPC_COMPRESS_GZIP && ++*members < GRPC_INFLATE_MAX_MEMBERS &&
           inflateReset(&compress->inflater) == Z_OK;
}

/* One byte more than max is room enough to see that there is more. */
static enum grpc_inflate_result inflate_into(struct grpc_compress *compress, unsigned encoding,
                                             size_t max)
{
    unsigned members = 0;
    z_stream *stream = &compress->inflater;
    struct buffer *buffer = &compress->in;
    for (;;) {
        size_t cap = buffer->used < buffer->cap ? buffer->cap : 2 * buffer->cap;
        cap = cap < max + 1 ? cap : max + 1;
        if (cap > buffer->cap && !grow(buffer, cap))
            return GRPC_INFLATE_NO_MEMORY;
        size_t room = (buffer->cap < max + 1 ? buffer->cap : max + 1) - buffer->used;
        stream->next_out = buffer->bytes + buffer->used;
        stream->avail_out = (uInt)room;
        int result = inflate(stream, Z_NO_FLUSH);
        buffer->used += room - stream->avail_out;
        if (buffer->used > max)
            return GRPC_INFLATE_TOO_LARGE;
        if (result == Z_STREAM_END && stream->avail_in == 0)
            return GRPC_INFLATE_DONE;
        if (result == Z_STREAM_END) {
            if (!next_member(compress, encoding, &members))
                return GRPC_INFLATE_CORRUPT;
            continue;
        }
        if (result == Z_MEM_ERROR)
            return GRPC_INFLATE_NO_MEMORY;
        if (result != Z_OK || stream->avail_out != 0) /* all was read, and it is not the end */
            return GRPC_INFLATE_CORRUPT;
    }
}

enum grpc_inflate_result grpc_inflate(struct grpc_compress *compress, unsigned encoding,
                                      const uint8_t *in, size_t len, size_t max, uint8_t **out,
                                      size_t *out_len)
{
    shrink(&compress->in);
    if (!begin_inflater(compress, encoding) ||
        !grow(&compress->in, likely_size(encoding, in, len, max)))
        return GRPC_INFLATE_NO_MEMORY;
    compress->inflater.next_in = (uint8_t *)(uintptr_t)in;
    compress->inflater.avail_in = (uInt)len;
    enum grpc_inflate_result result = inflate_into(compress, encoding, max);
    *out = compress->in.bytes;
    *out_len = compress->in.used;
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
    shrink(&compress->out);
    /* room for what is worth it, and not for more */
    if (len < 2 || !begin_deflater(compress, encoding) || !grow(&compress->out, len - 1))
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
