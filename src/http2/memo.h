/* SPDX-License-Identifier: MIT */
/*
 * Remembers the last request's header block and what it was decoded to. A client sends the same
 * block for the same call again and again, and decoding it costs more than the rest of a call.
 *
 * Equal bytes mean equal fields only while the dynamic table is unchanged. So a block that changes
 * the table (by an entry, hence perhaps an eviction, or by a size update) is never remembered, and
 * every block that does so clears the memo, whether it is a request's, a trailer section's or one
 * that is refused. A block is stored decoded only when its bytes have come twice in a row.
 */
#ifndef ROSTERD_HTTP2_MEMO_H
#define ROSTERD_HTTP2_MEMO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "http2/http2.h"

enum { HTTP2_MEMO_MAX = 256 }; /* bytes of the longest block that is remembered */

struct http2_memo {
    uint8_t *block; /* HTTP2_MEMO_MAX bytes of secret memory; NULL: not allocated yet */
    size_t len;     /* of the block; 0: none is remembered */
    uint8_t *kept;  /* fields and texts of `request` in one piece; NULL: the block came once */
    size_t kept_len;
    struct http2_request request;
    struct http2_note note;
    size_t content_length; /* SIZE_MAX: none */
};

/** @return the request that this block means, without end_stream; NULL: decode the block */
static inline const struct http2_request *http2_memo_find(const struct http2_memo *memo,
                                                          const uint8_t *block, size_t len)
{
    return memo->kept != NULL && memo->len == len && memcmp(memo->block, block, len) == 0
               ? &memo->request
               : NULL;
}
/** Remembers a block that was a valid request and did not change the table. Without memory
 * nothing is remembered. */
void http2_memo_note(struct http2_memo *memo, const uint8_t *block, size_t len,
                     const struct http2_request *request, size_t content_length);
/** Clears the memo: the dynamic table has changed. */
void http2_memo_forget(struct http2_memo *memo);
/** Overwrites and frees the memo's memory. */
void http2_memo_dispose(struct http2_memo *memo);

#endif
