/* SPDX-License-Identifier: MIT */
/*
 * The last request's header block and what it decoded to. A client sends the
 * same block for the same call again and again, and decoding it costs more than
 * all the rest of a call.
 *
 * Same bytes mean the same fields only while the dynamic table is the same. So
 * a block that changes the table (an entry, hence an eviction, or a size
 * update) is never remembered, and whichever block does so forgets the memo,
 * be it a request's, a trailer section's or one that is refused. A block is
 * decoded for the memo when its bytes have come twice in a row.
 */
#ifndef ROSTERD_HTTP2_MEMO_H
#define ROSTERD_HTTP2_MEMO_H

#include "http2/http2.h"

enum { HTTP2_MEMO_MAX = 256 }; /* bytes of a block that is worth it */

struct http2_memo {
    uint8_t *block; /* has HTTP2_MEMO_MAX bytes; NULL: there was none yet */
    size_t len;     /* of block; 0: none */
    uint8_t *kept;  /* fields and texts of request, in one piece; NULL: seen only once */
    size_t kept_len;
    struct http2_request request;
    size_t content_length; /* SIZE_MAX: none */
};

/** @return what these bytes mean now, without end_stream; NULL: decode them */
static inline const struct http2_request *http2_memo_find(const struct http2_memo *memo,
                                                          const uint8_t *block, size_t len)
{
    return memo->kept != NULL && memo->len == len && memcmp(memo->block, block, len) == 0
               ? &memo->request
               : NULL;
}
/** A good request's block that left the table alone. Remembers it. */
void http2_memo_note(struct http2_memo *memo, const uint8_t *block, size_t len,
                     const struct http2_request *request, size_t content_length);
/** The table changed. */
void http2_memo_forget(struct http2_memo *memo);
/** The connection ends. */
void http2_memo_dispose(struct http2_memo *memo);

#endif
