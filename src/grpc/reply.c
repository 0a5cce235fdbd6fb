/* SPDX-License-Identifier: MIT */
#include "grpc/reply.h"

#include <assert.h>
#include <string.h>

#include "grpc/compress.h"
#include "grpc/metadata.h"

enum { SECTION_FEW = 24 }; /* fields that a section has room for on the stack */

/* Numbers for http2_field.intern, of fields that never change. */
enum {
    INTERN_CONTENT_TYPE = 1,
    INTERN_STATUS = 2,                                   /* plus an enum grpc_status */
    INTERN_ENCODING = INTERN_STATUS + GRPC_NUM_STATUSES, /* plus a GRPC_COMPRESS_* */
};
_Static_assert(INTERN_ENCODING + GRPC_COMPRESS_DEFLATE <= HTTP2_INTERN_MAX,
               "each field needs a number of its own");

static const struct http2_field content_type = {.name = "content-type",
                                                .name_len = 12,
                                                .value = "application/grpc",
                                                .value_len = 16,
                                                .intern = INTERN_CONTENT_TYPE};
static const struct http2_field accept_encoding = {.name = "grpc-accept-encoding",
                                                   .name_len = 20,
                                                   .value = "identity,gzip,deflate",
                                                   .value_len = 21};
static const struct http2_field accept_identity = {
    .name = "grpc-accept-encoding", .name_len = 20, .value = "identity", .value_len = 8};

#define STATUS_FIELD(number, text)                                                                 \
    [number] = {.name = "grpc-status",                                                             \
                .name_len = 11,                                                                    \
                .value = (text),                                                                   \
                .value_len = sizeof(text) - 1,                                                     \
                .intern = INTERN_STATUS + (number)}
static const struct http2_field statuses[GRPC_NUM_STATUSES] = {
    STATUS_FIELD(0, "0"),   STATUS_FIELD(1, "1"),   STATUS_FIELD(2, "2"),   STATUS_FIELD(3, "3"),
    STATUS_FIELD(4, "4"),   STATUS_FIELD(5, "5"),   STATUS_FIELD(6, "6"),   STATUS_FIELD(7, "7"),
    STATUS_FIELD(8, "8"),   STATUS_FIELD(9, "9"),   STATUS_FIELD(10, "10"), STATUS_FIELD(11, "11"),
    STATUS_FIELD(12, "12"), STATUS_FIELD(13, "13"), STATUS_FIELD(14, "14"), STATUS_FIELD(15, "15"),
    STATUS_FIELD(16, "16"),
};

/** A header section being built: on the stack as long as it is small. */
struct header_section {
    struct http2_field *fields;
    size_t count, cap;
    struct http2_field few[SECTION_FEW];
};

static size_t list_length(const struct grpc_response_field *list)
{
    size_t count = 0;
    for (; list != NULL; list = list->next)
        count++;
    return count;
}

/** Makes room for `count` fields. Without memory, those that do not fit are left out. */
static void section_init(struct header_section *section, struct grpc_call *call, size_t count)
{
    section->fields = section->few;
    section->count = 0;
    section->cap = SECTION_FEW;
    if (count <= SECTION_FEW)
        return;
    struct http2_field *many = grpc_arena_alloc(&call->arena, count * sizeof(*many));
    if (many == NULL)
        return;
    section->fields = many;
    section->cap = count;
}

static void section_add(struct header_section *section, const struct http2_field *field)
{
    if (section->count < section->cap)
        section->fields[section->count++] = *field;
}

static void section_add_list(struct header_section *section, const struct grpc_response_field *list)
{
    for (; list != NULL; list = list->next)
        section_add(section, &list->field);
}

/** Adds the status and what belongs to it: message, accepted encodings, trailing metadata. */
static void section_add_status(struct header_section *section, const struct grpc_call *call)
{
    section_add(section, &statuses[call->status]);
    if (call->message != NULL)
        section_add(section, &(struct http2_field){.name = "grpc-message",
                                                   .name_len = 12,
                                                   .value = call->message,
                                                   .value_len = call->message_len});
    if (call->unsupported_encoding)
        section_add(section, call->entry->method != NULL &&
                                     (call->entry->method->flags & GRPC_METHOD_PLAIN) != 0
                                 ? &accept_identity
                                 : &accept_encoding);
    section_add_list(section, call->trailing);
}

static struct http2_field encoding_field(const struct grpc_call *call)
{
    const char *name = grpc_compress_name(call->reply_encoding);
    return (struct http2_field){.name = "grpc-encoding",
                                .name_len = 13,
                                .value = name,
                                .value_len = (uint32_t)strlen(name),
                                .intern = (uint8_t)(INTERN_ENCODING + call->reply_encoding)};
}

void grpc_choose_encoding(struct grpc_call *call)
{
    assert(!call->headers_sent);
    call->reply_encoding =
        call->reply_accepted & GRPC_COMPRESS_GZIP ? GRPC_COMPRESS_GZIP : call->reply_accepted;
}

void grpc_send_headers(struct grpc_call *call)
{
    assert(!call->headers_sent);
    if (call->entry->streaming_reply && call->reply_accepted != 0)
        grpc_choose_encoding(call); /* how large the messages will be is not known yet */
    call->headers_sent = true;
    if (call->stream.local_closed)
        return;
    if (call->initial == NULL && call->reply_encoding == 0) {
        http2_stream_send_headers(&call->stream, 200, &content_type, 1, false);
        return;
    }
    struct header_section section;
    section_init(&section, call, 2 + list_length(call->initial));
    section_add(&section, &content_type);
    if (call->reply_encoding != 0) {
        struct http2_field encoding = encoding_field(call);
        section_add(&section, &encoding);
    }
    section_add_list(&section, call->initial);
    http2_stream_send_headers(&call->stream, 200, section.fields, section.count, false);
}

void grpc_send_end(struct grpc_call *call)
{
    assert(call->finished && !call->ended && !call->rejected);
    /* Initial metadata cannot go into trailers: it gets headers of its own. */
    if (!call->headers_sent && call->initial != NULL)
        grpc_send_headers(call);
    if (call->stream.local_closed)
        return; /* the client reset the stream and gets nothing more */
    call->ended = true;
    if (call->headers_sent && call->message == NULL && call->trailing == NULL &&
        !call->unsupported_encoding) { /* most calls end so */
        http2_stream_send_trailers(&call->stream, &statuses[call->status], 1);
        return;
    }
    struct header_section section;
    section_init(&section, call, 4 + list_length(call->trailing));
    if (call->headers_sent) {
        section_add_status(&section, call);
        http2_stream_send_trailers(&call->stream, section.fields, section.count);
        return;
    }
    section_add(&section, &content_type);
    section_add_status(&section, call);
    call->headers_sent = true;
    http2_stream_send_headers(&call->stream, 200, section.fields, section.count, true);
}

void grpc_send_reset(struct grpc_call *call, enum http2_error error)
{
    if (call->stream.local_closed)
        return;
    call->ended = true;
    http2_stream_reset(&call->stream, error);
}
