/* SPDX-License-Identifier: MIT */
#include "http2/section.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/secret.h"

enum { FIELD_OVERHEAD = 32 }; /* RFC 9113 6.5.2, 10.5.1 */

static bool text_is(h2o_iovec_t text, const char *expected)
{
    return text.len == strlen(expected) && memcmp(text.base, expected, text.len) == 0;
}

/* ---- memory of the fields ---- */

bool http2_fields_init(struct http2_fields *fields, size_t max_size)
{
    size_t max = max_size / FIELD_OVERHEAD + 1;
    *fields = (struct http2_fields){
        .all = malloc(max * sizeof(*fields->all)),
        .names = malloc(max * sizeof(*fields->names)),
        .texts = secret_alloc(max_size + HPACK_ROOM_MIN),
        .texts_size = max_size + HPACK_ROOM_MIN,
        .max_size = max_size,
    };
    if (fields->all != NULL && fields->names != NULL && fields->texts != NULL)
        return true;
    http2_fields_dispose(fields);
    return false;
}

void http2_fields_wipe(struct http2_fields *fields)
{
    explicit_bzero(fields->texts, fields->texts_peak);
    fields->num = fields->texts_len = fields->texts_peak = 0;
}

void http2_fields_dispose(struct http2_fields *fields)
{
    free(fields->all);
    free(fields->names);
    secret_free(fields->texts, fields->texts_size);
}

struct hpack_room http2_fields_room(const struct http2_fields *fields)
{
    return (struct hpack_room){fields->texts + fields->texts_len,
                               fields->texts_size - fields->texts_len};
}

/* Appends a text to the kept ones. It may lie in the room already, at or behind its new place. */
static h2o_iovec_t keep_text(struct http2_fields *fields, h2o_iovec_t text)
{
    char *to = fields->texts + fields->texts_len;
    memmove(to, text.base, text.len);
    fields->texts_len += text.len;
    return h2o_iovec_init(to, text.len);
}

/* Decoding may have written into the room behind the kept texts. */
static void note_peak(struct http2_fields *fields, const struct hpack_field *field)
{
    size_t peak = fields->texts_len + field->name.len + field->value.len;
    if (peak > fields->texts_size)
        peak = fields->texts_size;
    if (peak > fields->texts_peak)
        fields->texts_peak = peak;
}

/* Name and value may both lie in the room, the one that was decoded first in front. They are kept
 * in that order, so that neither is copied over the other. */
static void keep_field(struct http2_fields *fields, const struct hpack_field *field)
{
    h2o_header_t *kept = &fields->all[fields->num];
    kept->orig_name = NULL;
    if (field->token != NULL) {
        kept->name = (h2o_iovec_t *)(uintptr_t)&field->token->buf;
        kept->value = keep_text(fields, field->value);
    } else {
        bool name_first = field->name.base == fields->texts + fields->texts_len;
        kept->name = &fields->names[fields->num];
        if (name_first)
            *kept->name = keep_text(fields, field->name);
        kept->value = keep_text(fields, field->value);
        if (!name_first)
            *kept->name = keep_text(fields, field->name);
    }
    fields->num++;
}

/* ---- pseudo-header fields, RFC 9113 8.3 ---- */

static h2o_iovec_t *pseudo_of(struct http2_section *section, const h2o_token_t *token)
{
    return token == H2O_TOKEN_METHOD      ? &section->method
           : token == H2O_TOKEN_SCHEME    ? &section->scheme
           : token == H2O_TOKEN_PATH      ? &section->path
           : token == H2O_TOKEN_AUTHORITY ? &section->authority
                                          : NULL;
}

static void add_pseudo(struct http2_section *section, struct http2_fields *fields,
                       const struct hpack_field *field, bool kept)
{
    static const h2o_iovec_t not_kept = {.base = (char *)(uintptr_t) "", .len = 0};
    h2o_iovec_t *to = pseudo_of(section, field->token);
    if (section->trailers || section->regular_seen || to == NULL || to->base != NULL) {
        section->malformed = true;
        return;
    }
    *to = kept ? keep_text(fields, field->value) : not_kept;
    section->cut_off |= !kept;
}

/* ---- fields with a meaning, RFC 9113 8.2.2 and 8.3.1 ---- */

static bool is_connection_specific(const struct hpack_field *field)
{
    if (field->token == NULL)
        return text_is(field->name, "proxy-connection");
    return field->token == H2O_TOKEN_CONNECTION || field->token == H2O_TOKEN_KEEP_ALIVE ||
           field->token == H2O_TOKEN_TRANSFER_ENCODING || field->token == H2O_TOKEN_UPGRADE ||
           (field->token == H2O_TOKEN_TE &&
            !h2o_lcstris(field->value.base, field->value.len, H2O_STRLIT("trailers")));
}

/* @return SIZE_MAX: not a number, or larger than any body */
static size_t parse_length(h2o_iovec_t text)
{
    size_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] < '0' || text.base[i] > '9' || value > (SIZE_MAX - 10) / 10)
            return SIZE_MAX;
        value = value * 10 + (size_t)(text.base[i] - '0');
    }
    return text.len == 0 ? SIZE_MAX : value;
}

/* The same value may be repeated (RFC 9110 8.6). */
static void note_length(struct http2_section *section, const struct hpack_field *field)
{
    size_t length = parse_length(field->value);
    if (length == SIZE_MAX ||
        (section->content_length != SIZE_MAX && section->content_length != length))
        section->malformed = true;
    section->content_length = length;
}

static void note_host(struct http2_section *section, struct http2_fields *fields,
                      const struct hpack_field *field, bool kept)
{
    if (section->host.base != NULL)
        section->malformed = true;
    else if (kept)
        section->host = keep_text(fields, field->value);
}

static void add_regular(struct http2_section *section, struct http2_fields *fields,
                        const struct hpack_field *field, bool kept)
{
    section->regular_seen = true;
    if (is_connection_specific(field))
        section->malformed = true;
    else if (field->token == H2O_TOKEN_CONTENT_LENGTH)
        note_length(section, field);
    else if (field->token == H2O_TOKEN_HOST)
        note_host(section, fields, field, kept);
    else if (kept)
        keep_field(fields, field);
}

/* ---- the section ---- */

void http2_section_init(struct http2_section *section, bool trailers)
{
    *section = (struct http2_section){.trailers = trailers, .content_length = SIZE_MAX};
}

void http2_section_add(struct http2_section *section, struct http2_fields *fields,
                       const struct hpack_field *field)
{
    note_peak(fields, field);
    section->list_size += field->name.len + field->value.len + FIELD_OVERHEAD;
    if (section->list_size > fields->max_size)
        section->too_large = true; /* decoding continues, since the table must stay in step */
    bool kept = !section->too_large;
    if (field->faults != 0)
        section->malformed = true;
    else if (field->name.base != NULL && field->name.base[0] == ':')
        add_pseudo(section, fields, field, kept);
    else if (field->name.base != NULL && field->value.base != NULL)
        add_regular(section, fields, field, kept);
}

/* The host without the default port of its scheme. */
static h2o_iovec_t without_port(h2o_iovec_t host, h2o_iovec_t scheme)
{
    const char *port = text_is(scheme, "https") ? ":443" : ":80";
    size_t len = strlen(port);
    if (host.len > len && memcmp(host.base + host.len - len, port, len) == 0)
        host.len -= len;
    return host;
}

static bool is_same_host(const struct http2_section *section)
{
    h2o_iovec_t a = without_port(section->authority, section->scheme);
    h2o_iovec_t b = without_port(section->host, section->scheme);
    return a.len == b.len && strncasecmp(a.base, b.base, a.len) == 0;
}

static bool is_path(h2o_iovec_t path, h2o_iovec_t method)
{
    return path.len != 0 &&
           (path.base[0] == '/' || (text_is(path, "*") && text_is(method, "OPTIONS")));
}

static bool has_target(const struct http2_section *section)
{
    if (section->method.base == NULL)
        return false;
    if (text_is(section->method, "CONNECT")) /* RFC 9113 8.5 */
        return section->scheme.base == NULL && section->path.base == NULL &&
               section->authority.base != NULL;
    if (section->scheme.base == NULL || section->path.base == NULL)
        return false;
    return section->cut_off || (section->method.len != 0 && section->scheme.len != 0 &&
                                is_path(section->path, section->method));
}

static bool has_userinfo(h2o_iovec_t authority)
{
    return authority.len != 0 && memchr(authority.base, '@', authority.len) != NULL;
}

void http2_section_end(struct http2_section *section)
{
    if (section->trailers || section->malformed)
        return;
    if (section->authority.base == NULL)
        section->authority = section->host;
    section->malformed =
        !has_target(section) || has_userinfo(section->authority) ||
        (section->host.base != NULL && !section->too_large && !is_same_host(section));
}
