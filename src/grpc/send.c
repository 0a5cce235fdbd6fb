/* SPDX-License-Identifier: MIT */
/* The response: headers, messages with their prefixes, trailers. */
#include <stdlib.h>

#include "grpc/internal.h"

enum {
    PREFIX = 5,
    MAX_FIELDS = 24,
    ECHO_SPARE = 16 * 1024, /* is_echo_of_little() */
    ECHO_RATIO = 256,
    DEFLATE_WORK = 8192, /* what it costs to begin: see http2_stream_work() */
};

/* Numbers under which http2 knows fields that always are the same. */
enum {
    INTERN_CONTENT_TYPE = 1,
    INTERN_STATUS = 2,
    INTERN_ENCODING = INTERN_STATUS + GRPC_NUM_STATUSES, /* and its GRPC_COMPRESS_* */
};
_Static_assert(INTERN_ENCODING + GRPC_COMPRESS_DEFLATE <= HTTP2_INTERN_MAX, "one for each");

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

/** A header section being put together: on the stack, as long as it is small. */
struct section {
    struct http2_field *fields;
    size_t count, cap;
    struct http2_field few[MAX_FIELDS];
};

static size_t list_length(const struct grpc_response_field *list)
{
    size_t count = 0;

    for (; list != NULL; list = list->next)
        count++;
    return count;
}

static void section_init(struct section *section, struct grpc_call *call, size_t count)
{
    section->fields = section->few;
    section->count = 0;
    section->cap = MAX_FIELDS;
    if (count <= MAX_FIELDS)
        return;
    struct http2_field *many = grpc_arena_alloc(&call->arena, count * sizeof(*many));
    if (many == NULL)
        return; /* what does not fit is left out */
    section->fields = many;
    section->cap = count;
}

static void add(struct section *section, const struct http2_field *field)
{
    if (section->count < section->cap)
        section->fields[section->count++] = *field;
}

static void add_list(struct section *section, const struct grpc_response_field *list)
{
    for (; list != NULL; list = list->next)
        add(section, &list->field);
}

static void add_status(struct section *section, const struct grpc_call *call)
{
    static const char values[GRPC_NUM_STATUSES][3] = {
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};

    add(section, &(struct http2_field){.name = "grpc-status",
                                       .name_len = 11,
                                       .value = values[call->status],
                                       .value_len = call->status < 10 ? 1 : 2,
                                       .intern = (uint8_t)(INTERN_STATUS + call->status)});
    if (call->message != NULL)
        add(section, &(struct http2_field){.name = "grpc-message",
                                           .name_len = 12,
                                           .value = call->message,
                                           .value_len = call->message_len});
    if (call->unsupported_encoding)
        add(section,
            call->entry->method != NULL && (call->entry->method->flags & GRPC_METHOD_PLAIN) != 0
                ? &accept_identity
                : &accept_encoding);
    add_list(section, call->trailing);
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

/** Before the headers: how messages that are worth it will be encoded. */
static void choose_encoding(struct grpc_call *call)
{
    call->reply_encoding =
        call->reply_accepted & GRPC_COMPRESS_GZIP ? GRPC_COMPRESS_GZIP : call->reply_accepted;
}

void grpc_send_headers(struct grpc_call *call)
{
    call->headers_sent = true;
    if (call->stream.local_closed)
        return;
    if (call->entry->streaming_reply && call->reply_accepted != 0)
        choose_encoding(call); /* nobody knows yet what is to come */
    if (call->initial == NULL && call->reply_encoding == 0) {
        http2_stream_send_headers(&call->stream, 200, &content_type, 1, false);
        return;
    }
    struct section section;
    section_init(&section, call, 2 + list_length(call->initial));
    add(&section, &content_type);
    if (call->reply_encoding != 0)
        add(&section, &(struct http2_field[]){encoding_field(call)}[0]);
    add_list(&section, call->initial);
    http2_stream_send_headers(&call->stream, 200, section.fields, section.count, false);
}

void grpc_send_end(struct grpc_call *call)
{
    struct section section;

    /* Initial metadata is no trailer: it gets headers of its own. */
    if (!call->headers_sent && call->initial != NULL)
        grpc_send_headers(call);
    if (call->stream.local_closed)
        return; /* the client reset it and hears nothing more */
    call->ended = true;
    section_init(&section, call, 4 + list_length(call->trailing));
    if (call->headers_sent) {
        add_status(&section, call);
        http2_stream_send_trailers(&call->stream, section.fields, section.count);
        return;
    }
    add(&section, &content_type);
    add_status(&section, call);
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

/** Memory for a message that grpc_call_commit() compresses. @return NULL: there is none */
static uint8_t *stage(struct grpc_call *call, size_t len)
{
    struct grpc_server *server = call->server;

    if (len > server->stage_cap) {
        free(server->stage);
        server->stage = malloc(len);
        server->stage_cap = server->stage != NULL ? len : 0;
    }
    if (server->stage == NULL)
        return NULL;
    server->staged = call;
    server->stage_len = len;
    return server->stage;
}

/** @return NULL: the call has ended */
static inline uint8_t *put_prefix(struct grpc_call *call, size_t len, uint8_t flag)
{
    uint8_t *to = http2_stream_reserve(&call->stream, PREFIX + len);
    uint32_t length = __builtin_bswap32((uint32_t)len);

    if (to == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, GRPC_HOLDS_TOO_MUCH);
        return NULL;
    }
    to[0] = flag;
    memcpy(to + 1, &length, sizeof(length));
    call->messages_out++;
    call->bytes_out += PREFIX + len;
    return to + PREFIX;
}

static void put_message(struct grpc_call *call, const uint8_t *bytes, size_t len, uint8_t flag)
{
    uint8_t *to = put_prefix(call, len, flag);

    if (to != NULL)
        memcpy(to, bytes, len);
}

void grpc_call_commit(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    const uint8_t *bytes;

    if (server->staged != call)
        return;
    server->staged = NULL;
    size_t len = grpc_deflate(server->compress, call->reply_encoding, server->stage,
                              server->stage_len, &bytes);
    http2_stream_work(&call->stream, DEFLATE_WORK + 8 * server->stage_len);
    if (len != 0)
        put_message(call, bytes, len, 1);
    else
        put_message(call, server->stage, server->stage_len, 0);
    if (server->stage_cap > GRPC_COMPRESS_KEEP || grpc_compress_is_large(server->compress))
        grpc_trim_later(server);
}

void grpc_call_compress(struct grpc_call *call, bool compress)
{
    call->plain_replies = !compress;
}

bool grpc_call_was_compressed(const struct grpc_call *call)
{
    return call->inflated_from != 0;
}

/** Few bytes that became many would have us compress these again, which costs ten times as much as
 * it did to inflate them. */
static bool is_echo_of_little(const struct grpc_call *call, size_t len)
{
    return call->inflated_from != 0 &&
           len > ECHO_SPARE + (uint64_t)ECHO_RATIO * call->inflated_from;
}

uint8_t *grpc_call_reserve(struct grpc_call *call, size_t len)
{
    if (!call->finished && !call->entry->streaming_reply && call->messages_out != 0)
        grpc_call_finish(call, GRPC_INTERNAL, "the method sent more than one reply");
    if (!call->finished && len > UINT32_MAX)
        grpc_call_finish(call, GRPC_INTERNAL, "the reply is too large");
    if (call->finished || call->stream.local_closed)
        return NULL;
    bool worth_it = call->reply_accepted != 0 && !call->plain_replies &&
                    len >= call->server->compression_min_size && !is_echo_of_little(call, len);
    if (!call->headers_sent) {
        if (worth_it)
            choose_encoding(call);
        grpc_send_headers(call);
    }
    if (worth_it && call->reply_encoding != 0) {
        uint8_t *to = stage(call, len);
        if (to != NULL)
            return to;
    }
    return put_prefix(call, len, 0);
}

void grpc_call_send(struct grpc_call *call, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);

    uint8_t *to = grpc_call_reserve(call, len);
    if (to == NULL)
        return;
    protobuf_c_message_pack(message, to);
    grpc_call_commit(call);
}

bool grpc_call_writable(const struct grpc_call *call)
{
    return !call->finished && !call->stream.local_closed &&
           http2_stream_pending(&call->stream) == 0 && http2_stream_room(&call->stream) != 0;
}

void grpc_call_want_write(struct grpc_call *call)
{
    if (call->finished || call->stream.local_closed)
        return;
    call->want_write = true;
    http2_stream_want_write(&call->stream);
}

void grpc_call_work(struct grpc_call *call, size_t ns)
{
    http2_stream_work(&call->stream, ns);
}
