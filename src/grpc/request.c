/* SPDX-License-Identifier: MIT */
/* From a request's header section to an open call, or to the answer that none was opened. */
#include <strings.h>

#include "grpc/internal.h"
#include "grpc/timeout.h"

/** What the header section says, read in one pass. */
struct head {
    bool content_type_fits, timeout_given, timeout_malformed, unsupported_encoding, has_metadata;
    unsigned encoding;         /* GRPC_COMPRESS_*, or 0 */
    const h2o_iovec_t *accept; /* grpc-accept-encoding */
    uint64_t timeout;
};

/** application/grpc or application/grpc+proto, and parameters: grpc-web and +json begin so too. */
static bool content_type_fits(const char *value, size_t len)
{
    static const char grpc[] = "application/grpc", proto[] = "+proto";
    size_t at = sizeof(grpc) - 1;

    if (len < at || (memcmp(value, grpc, at) != 0 && strncasecmp(value, grpc, at) != 0))
        return false;
    if (len == at)
        return true;
    if (len - at >= sizeof(proto) - 1 && strncasecmp(value + at, proto, sizeof(proto) - 1) == 0)
        at += sizeof(proto) - 1;
    while (at < len && (value[at] == ' ' || value[at] == '\t'))
        at++;
    return at == len || value[at] == ';';
}

static bool is_text(const h2o_iovec_t *text, const char *expected, size_t len)
{
    return text->len == len && memcmp(text->base, expected, len) == 0;
}
#define IS(text, literal) is_text((text), (literal), sizeof(literal) - 1)

/** Names that gRPC or HTTP uses itself; the others are metadata. */
static bool is_reserved(const h2o_iovec_t *name)
{
    return name == &H2O_TOKEN_CONTENT_TYPE->buf || name == &H2O_TOKEN_TE->buf ||
           name == &H2O_TOKEN_USER_AGENT->buf ||
           (name->len >= 5 && memcmp(name->base, "grpc-", 5) == 0);
}

static void read_grpc_field(struct head *head, const h2o_header_t *field)
{
    if (IS(field->name, "grpc-timeout")) {
        head->timeout_given = true;
        if (!grpc_timeout_parse(field->value.base, field->value.len, &head->timeout))
            head->timeout_malformed = true;
    } else if (IS(field->name, "grpc-encoding")) {
        head->encoding = grpc_compress_by_name(field->value.base, field->value.len);
        head->unsupported_encoding = head->encoding == 0 && !IS(&field->value, "identity");
    } else if (IS(field->name, "grpc-accept-encoding")) {
        head->accept = &field->value;
    }
}

static void read_head(struct head *head, const struct http2_request *request)
{
    memset(head, 0, sizeof(*head));
    for (size_t i = 0; i < request->num_fields; i++) {
        const h2o_header_t *field = &request->fields[i];
        if (!is_reserved(field->name))
            head->has_metadata = true;
        else if (field->name == &H2O_TOKEN_CONTENT_TYPE->buf)
            head->content_type_fits = content_type_fits(field->value.base, field->value.len);
        else
            read_grpc_field(head, field);
    }
}

void grpc_request_end_rejected(struct grpc_call *call)
{
    if (call->ended || call->stream.local_closed || (call->foreign && !call->remote_end))
        return;
    if (http2_stream_pending(&call->stream) != 0) {
        http2_stream_want_write(&call->stream);
        return;
    }
    call->ended = true;
    http2_stream_end(&call->stream);
}

/** What HTTP answers: a status and a line of text. Both go out at once. Where the client does not
 * speak gRPC, END_STREAM follows the request's: until then the stream is open to be told what is
 * wrong with the rest of it (RFC 9113 8.1.1). */
static void reject(struct grpc_call *call, const struct http2_request *request, unsigned status,
                   const char *text)
{
    static const struct http2_field text_plain = {
        .name = "content-type", .name_len = 12, .value = "text/plain", .value_len = 10};
    static const struct http2_field internal = {
        .name = "grpc-status", .name_len = 11, .value = "13", .value_len = 2};
    static const struct http2_field allow = {
        .name = "allow", .name_len = 5, .value = "POST", .value_len = 4};
    struct http2_field fields[3] = {text_plain, internal, allow};
    bool head_only = IS(&request->method, "HEAD");
    size_t len = strlen(text), num_fields = status == 415 ? 1 : status == 405 ? 3 : 2;

    call->finished = true;
    call->rejected = true;
    /* what gRPC clients make of the HTTP status (http-grpc-status-mapping.md) */
    call->status = status == 415 ? GRPC_UNKNOWN : GRPC_INTERNAL;
    call->message = (char *)(uintptr_t)text; /* plain ASCII: nothing to encode */
    call->message_len = (uint32_t)len - 1;   /* without the end of the line */
    http2_stream_send_headers(&call->stream, status, fields, num_fields, head_only);
    call->foreign = status == 415;
    call->ended = head_only;
    if (head_only)
        return;
    uint8_t *to = http2_stream_reserve(&call->stream, len);
    if (to == NULL) { /* its window is closed, and the connection holds too much */
        grpc_send_reset(call, HTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    memcpy(to, text, len);
    grpc_request_end_rejected(call);
}

/** @return whether the request is none of gRPC's, and has been answered */
static bool is_rejected(struct grpc_call *call, const struct http2_request *request,
                        const struct head *head)
{
    if (!head->content_type_fits)
        reject(call, request, 415,
               "content-type must be application/grpc or "
               "application/grpc+proto\n");
    else if (!IS(&request->method, "POST"))
        reject(call, request, 405, "gRPC calls are made by POST\n");
    else if (head->timeout_malformed)
        reject(call, request, 400, "grpc-timeout is malformed\n");
    return call->rejected;
}

static void find_method(struct grpc_call *call, const struct http2_request *request)
{
    struct grpc_server *server = call->server;

    call->entry = request->path.len == 0
                      ? NULL
                      : grpc_methods_find(&server->methods, request->path.base, request->path.len);
    if (call->entry != NULL) {
        call->path = (h2o_iovec_t){.base = call->entry->path, .len = call->entry->path_len};
        return;
    }
    call->entry = &server->unknown;
    char *copy = grpc_arena_alloc(&call->arena, request->path.len + 1);
    if (copy == NULL || request->path.len == 0)
        return;
    memcpy(copy, request->path.base, request->path.len);
    call->path = (h2o_iovec_t){.base = copy, .len = request->path.len};
}

static enum grpc_metadata_result
keep_metadata(struct grpc_call *call, const struct http2_request *request, h2o_iovec_t *culprit)
{
    struct grpc_metadata **tail = &call->metadata;
    unsigned split = 0;

    for (size_t i = 0; i < request->num_fields; i++) {
        const h2o_header_t *field = &request->fields[i];
        if (is_reserved(field->name))
            continue;
        enum grpc_metadata_result result = grpc_metadata_keep(&call->arena, &tail, field, &split);
        if (result != GRPC_METADATA_KEPT) {
            *culprit = *field->name;
            return result;
        }
    }
    return GRPC_METADATA_KEPT;
}

/** Makes room for what the interceptors keep of a call. @return false: out of memory */
static bool open_chain(struct grpc_call *call)
{
    size_t size = call->server->interceptor_state_size;

    if (size == 0)
        return true;
    call->interceptor_state = grpc_arena_alloc(&call->arena, size);
    if (call->interceptor_state == NULL)
        return false;
    memset(call->interceptor_state, 0, size);
    return true;
}

static enum grpc_status run_chain(struct grpc_call *call, const char **message)
{
    const struct grpc_server *server = call->server;

    while (call->chain < server->num_interceptors) {
        const struct grpc_interceptor *step = server->interceptors[call->chain++];
        enum grpc_status status =
            step->start == NULL ? GRPC_OK : step->start(call, step->data, message);
        if (status != GRPC_OK)
            return status;
    }
    return GRPC_OK;
}

/** What the client takes and we may send. Its list is mostly the one that came before. */
static unsigned accepted(struct grpc_server *server, const h2o_iovec_t *list)
{
    if (list == NULL || server->compression == 0)
        return 0;
    if (list->len == server->accept_len && memcmp(list->base, server->accept_text, list->len) == 0)
        return server->accept_bits;
    unsigned bits = grpc_compress_accepted(list->base, list->len) & server->compression;
    if (list->len <= sizeof(server->accept_text)) {
        memcpy(server->accept_text, list->base, list->len);
        server->accept_len = (uint8_t)list->len;
        server->accept_bits = (uint8_t)bits;
    }
    return bits;
}

/** Metadata, then the chain, then what is wrong with the request, in that order: nothing is told
 * before the chain let the call pass, and whatever is told is seen by the chain. Where the header
 * list is too large, what seems missing may be the rest of it, so nothing is made of that. */
static void admit(struct grpc_call *call, const struct http2_request *request,
                  const struct head *head)
{
    struct grpc_server *server = call->server;
    enum grpc_metadata_result kept = GRPC_METADATA_KEPT;
    h2o_iovec_t culprit = {.base = NULL};
    const char *message = NULL;

    call->has_metadata = head->has_metadata;
    if (head->has_metadata) {
        kept = keep_metadata(call, request, &culprit);
        http2_stream_work(&call->stream, call->arena.allocated);
    }
    enum grpc_status status = GRPC_RESOURCE_EXHAUSTED;
    if (open_chain(call))
        status = run_chain(call, &message);
    else
        message = "out of memory";
    if (request->fields_too_large) /* the chain may have missed a field that was cut off */
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the request's header list is too large");
    else if (status != GRPC_OK)
        grpc_call_finish(call, status, message);
    else if (is_rejected(call, request, head))
        return;
    else if (server->ended)
        grpc_call_finish(call, server->end_status, server->end_message);
    else if (call->entry->method == NULL)
        grpc_call_finishf(call, GRPC_UNIMPLEMENTED, "unknown method %.*s%s",
                          call->path.len > 128 ? 128 : (int)call->path.len, call->path.base,
                          call->path.len > 128 ? "..." : "");
    else if (kept == GRPC_METADATA_NO_MEMORY)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
    else if (kept == GRPC_METADATA_TOO_MANY)
        grpc_call_finishf(call, GRPC_RESOURCE_EXHAUSTED, "metadata %.*s has too many values",
                          culprit.len > 128 ? 128 : (int)culprit.len, culprit.base);
    else if (kept == GRPC_METADATA_BAD_BINARY)
        grpc_call_finishf(call, GRPC_INTERNAL, "metadata %.*s is not base64",
                          culprit.len > 128 ? 128 : (int)culprit.len, culprit.base);
    else if (head->unsupported_encoding) {
        call->unsupported_encoding = true;
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "unsupported grpc-encoding");
    } else if (head->timeout_given && head->timeout == 0)
        grpc_call_finish(call, GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
}

static void open_method(struct grpc_call *call, const struct head *head)
{
    const struct grpc_method *method = call->entry->method;

    if (head->timeout_given) {
        call->deadline = grpc_server_now_ms(call->server) + head->timeout;
        call->timer.expired = grpc_call_deadline_passed;
        timer_arm(call->server->timers, &call->timer, call->deadline);
    }
    if (method->state_size != 0) {
        call->state = grpc_arena_alloc(&call->arena, method->state_size);
        if (call->state == NULL) {
            grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
            return;
        }
        memset(call->state, 0, method->state_size);
    }
    call->opened = true;
    if (method->on_open != NULL)
        method->on_open(call);
    /* Some clients wait for the headers of a streaming reply before they go on. */
    if (call->entry->streaming_reply && !call->finished && !call->headers_sent)
        grpc_send_headers(call);
}

void grpc_request_open(struct http2_stream *stream, const struct http2_request *request)
{
    struct grpc_server *server = http2_context_handler(http2_conn_context(stream->conn))->data;
    struct grpc_call *call = grpc_call_of(stream);
    struct head head;

    memset(&call->server, 0,
           offsetof(struct grpc_call, arena) - offsetof(struct grpc_call, server));
    call->server = server;
    call->entry = &server->unknown;
    call->deadline = UINT64_MAX;
    call->remote_end = request->end_stream;
    grpc_arena_init(&call->arena, call->inline_memory, sizeof(call->inline_memory));
    read_head(&head, request);
    call->request_encoding = head.encoding & 3;
    call->reply_accepted = accepted(server, head.accept) & 3;
    call->started_ns = grpc_server_clock_ns(server);
    server->num_calls++;
    call->next = server->calls;
    call->prev = &server->calls;
    if (call->next != NULL)
        call->next->prev = &call->next;
    server->calls = call;

    find_method(call, request);
    call->busy = true;
    admit(call, request, &head);
    if (!call->finished && grpc_call_hold_arena(call))
        open_method(call, &head);
    call->busy = false;
    if (call->remote_end)
        grpc_receive(call, NULL, 0);
}
