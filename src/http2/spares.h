/* SPDX-License-Identifier: MIT */
/* A free list of memory pieces that all have the same size. */
#ifndef ROSTERD_HTTP2_SPARES_H
#define ROSTERD_HTTP2_SPARES_H

#include <stddef.h>
#include <stdint.h>

/** Zeroed with `max` set is an empty list. */
struct http2_spares {
    void *first; /* each piece begins with a pointer to the next one */
    uint32_t count;
    uint32_t max; /* pieces that are kept; more are freed */
};

/** @param size the same for each call on this list, at least that of a pointer
 * @return memory, not zeroed; NULL: out of memory */
void *http2_spares_take(struct http2_spares *spares, size_t size);
/** @param memory as returned by http2_spares_take() of this list */
void http2_spares_give(struct http2_spares *spares, void *memory);
/** Frees the pieces that are kept. */
void http2_spares_dispose(struct http2_spares *spares);

#endif
