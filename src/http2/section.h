/* SPDX-License-Identifier: MIT */
/*
 * A header or trailer section while it is decoded, field by field: checks what RFC 9113 8 allows,
 * and keeps the fields. Kept fields may be secrets, so their memory is overwritten afterwards.
 */
#ifndef ROSTERD_HTTP2_SECTION_H
#define ROSTERD_HTTP2_SECTION_H

#include <stdbool.h>
#include <stddef.h>

#include <h2o.h>

#include "http2/hpack/hpack_decode.h"
#include "http2/hpack/hpack_table.h"

/** Memory for the fields of one section at a time; a context has one. */
struct http2_fields {
    h2o_header_t *all; /* in their order; names in lower case */
    size_t num;
    h2o_iovec_t *names; /* of fields whose names are not libh2o's tokens */
    char *texts;        /* secret memory */
    size_t texts_len, texts_size;
    size_t texts_peak; /* bytes of texts that were written since they were last overwritten */
    size_t max_size;   /* of a header list, RFC 9113 6.5.2; all memory is sized by it */
};

struct http2_section {
    bool trailers;
    bool regular_seen;
    bool malformed;        /* a stream error, RFC 9113 8.1.1 */
    bool too_large;        /* over max_size: further fields are not kept */
    bool cut_off;          /* the value of a pseudo-header field was not kept, either */
    size_t list_size;      /* RFC 9113 6.5.2 */
    size_t content_length; /* SIZE_MAX: none */
    /* base NULL: absent. The texts are kept like those of fields. */
    h2o_iovec_t method, scheme, path, authority, host;
};

/** @return false: out of memory; there is nothing to dispose of */
bool http2_fields_init(struct http2_fields *fields, size_t max_size);
void http2_fields_dispose(struct http2_fields *fields);
/** Overwrites the texts of the section, whose fields are not used any more. */
void http2_fields_wipe(struct http2_fields *fields);
/** Room into which the next field of the section is decoded. */
struct hpack_room http2_fields_room(const struct http2_fields *fields);

/** Begins a section; its http2_fields must be empty. */
void http2_section_init(struct http2_section *section, bool trailers);
/** Checks the next field. Copies its texts if the field is kept. */
void http2_section_add(struct http2_section *section, struct http2_fields *fields,
                       const struct hpack_field *field);
/** Checks the whole section after its last field: mandatory pseudo-header fields must be there.
 * Without `:authority`, `host` takes its place. */
void http2_section_end(struct http2_section *section);

#endif
