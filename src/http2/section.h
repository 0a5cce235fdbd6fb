/* SPDX-License-Identifier: MIT */
/*
 * A header or trailer section as it is decoded, field by field: what RFC 9113 8 allows in it, what
 * of it is kept, and the memory for that. What is kept may be a secret: it is overwritten.
 */
#ifndef ROSTERD_HTTP2_SECTION_H
#define ROSTERD_HTTP2_SECTION_H

#include <h2o.h>

#include "http2/hpack_decode.h"

/** Where one section after the other is kept; a context has one. */
struct http2_fields {
    h2o_header_t *all; /* in order; names in lower case */
    size_t num;
    h2o_iovec_t *names; /* those that are no tokens' */
    char *texts;
    size_t texts_len, texts_size;
    size_t texts_peak; /* up to here something was written */
    size_t max_size;   /* of a list, RFC 9113 6.5.2; bounds all of these */
};

struct http2_section {
    bool trailers;
    bool regular_seen;
    bool malformed;        /* a stream error, RFC 9113 8.1.1 */
    bool too_large;        /* over max_size: fields are missing */
    bool cut_off;          /* and a pseudo-header field's value is */
    size_t list_size;      /* RFC 9113 6.5.2 */
    size_t content_length; /* SIZE_MAX: none */
    /* base NULL: absent; kept, like the fields */
    h2o_iovec_t method, scheme, path, authority, host;
};

/** @return false: out of memory, and there is nothing to dispose of */
bool http2_fields_init(struct http2_fields *fields, size_t max_size);
void http2_fields_dispose(struct http2_fields *fields);
/** What was kept is overwritten: the section that it was of is over. */
void http2_fields_wipe(struct http2_fields *fields);
/** For the next field of this section. */
struct hpack_room http2_fields_room(const struct http2_fields *fields);

/** Begins one; fields is empty. */
void http2_section_init(struct http2_section *section, bool trailers);
/** The next field. Its texts are copied, where it is kept. */
void http2_section_add(struct http2_section *section, struct http2_fields *fields,
                       const struct hpack_field *field);
/** The last field was added: looks at what there is, and what there is not. `host` becomes the
 * authority where there is none. */
void http2_section_end(struct http2_section *section);

#endif
