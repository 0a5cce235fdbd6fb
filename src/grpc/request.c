/* SPDX-License-Identifier: MIT */
#include "grpc/request.h"

#include <string.h>
#include <strings.h>
#include <sys/param.h>

#include "grpc/call.h"
#include "grpc/compress.h"
#include "grpc/finish.h"
#include "grpc/metadata.h"
#include "grpc/receive.h"
#include "grpc/reject.h"
#include "grpc/reply.h"
#include "grpc/server.h"
#include "grpc/timeout.h"

/** The most bytes of a path or name that a status message repeats. */
enum { QUOTED_MAX = 128 };

/** What a request says apart from its metadata. http2 may keep it, for all requests with the same
 * header block (struct http2_note). */
struct request_head {
    const struct grpc_method_entry *entry; /* NULL: no method has this path */
    uint64_t timeout;                      /* ms */
    bool is_read;                          /* false: the other members mean nothing */
    bool is_post, content_type_fits, timeout_given, timeout_malformed, unsupported_encoding;
    bool has_metadata;
    unsigned encoding; /* GRPC_COMPRESS_*, or 0 */
    unsigned accepted; /* GRPC_COMPRESS_* that the client takes and the server may send */
};
_Static_assert(sizeof(struct request_head) <= sizeof(struct http2_note), "http2 can keep it");

/** Whether the value is application/grpc or application/grpc+proto, with or without parameters.
 * Other types begin like this, too: application/grpc-web, application/grpc+json. */
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

/** Whether gRPC or HTTP itself uses the name; all other fields are metadata. */
static bool is_reserved(const h2o_iovec_t *name)
{
    return name == &H2O_TOKEN_CONTENT_TYPE->buf || name == &H2O_TOKEN_TE->buf ||
           name == &H2O_TOKEN_USER_AGENT->buf ||
           (name->len >= 5 && memcmp(name->base, "grpc-", 5) == 0);
}

/** The encodings that the client takes and the server may send, as GRPC_COMPRESS_* bits. Most
 * requests bring the list that the request before them brought. */
static unsigned accepted_encodings(struct grpc_server *server, const h2o_iovec_t *list)
{
    if (server->compression == 0)
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

static void read_grpc_field(struct request_head *head, struct grpc_server *server,
                            const h2o_header_t *field)
{
    if (IS(field->name, "grpc-timeout")) {
        head->timeout_given = true;
        if (!grpc_timeout_parse(field->value.base, field->value.len, &head->timeout))
            head->timeout_malformed = true;
    } else if (IS(field->name, "grpc-encoding")) {
        head->encoding = grpc_compress_by_name(field->value.base, field->value.len);
        head->unsupported_encoding = head->encoding == 0 && !IS(&field->value, "identity");
    } else if (IS(field->name, "grpc-accept-encoding")) {
        head->accepted = accepted_encodings(server, &field->value);
    }
}

static void read_head(struct request_head *head, struct grpc_server *server,
                      const struct http2_request *request)
{
    *head = (struct request_head){.is_read = true, .is_post = IS(&request->method, "POST")};
    if (request->path.len != 0)
        head->entry = grpc_methods_find(&server->methods, request->path.base, request->path.len);
    for (size_t i = 0; i < request->num_fields; i++) {
        const h2o_header_t *field = &request->fields[i];
        if (!is_reserved(field->name))
            head->has_metadata = true;
        else if (field->name == &H2O_TOKEN_CONTENT_TYPE->buf)
            head->content_type_fits = content_type_fits(field->value.base, field->value.len);
        else
            read_grpc_field(head, server, field);
    }
}

/** What the request says: what an earlier one with the same header block said, or read anew. */
static const struct request_head *
head_of(struct grpc_server *server, const struct http2_request *request, struct request_head *room)
{
    struct request_head *head =
        request->note != NULL ? (struct request_head *)request->note->bytes : room;
    if (request->note == NULL || !head->is_read)
        read_head(head, server, request);
    return head;
}

/** Rejects a request that is not gRPC's. @return whether it was rejected */
static bool reject_foreign(struct grpc_call *call, const struct http2_request *request,
                           const struct request_head *head)
{
    if (!head->content_type_fits)
        grpc_reject(call, request, 415,
                    "content-type must be application/grpc or application/grpc+proto\n");
    else if (!head->is_post)
        grpc_reject(call, request, 405, "gRPC calls are made by POST\n");
    else if (head->timeout_malformed)
        grpc_reject(call, request, 400, "grpc-timeout is malformed\n");
    return call->rejected;
}

/** Sets the call's entry and path. The path of an unknown method is copied, for the log. */
static void set_method(struct grpc_call *call, const struct http2_request *request,
                       const struct grpc_method_entry *entry)
{
    call->entry = entry != NULL ? entry : &call->server->unknown;
    if (entry != NULL) {
        call->path = (h2o_iovec_t){.base = entry->path, .len = entry->path_len};
        return;
    }
    char *copy = grpc_arena_alloc(&call->arena, request->path.len + 1);
    if (copy == NULL || request->path.len == 0)
        return;
    memcpy(copy, request->path.base, request->path.len);
    call->path = (h2o_iovec_t){.base = copy, .len = request->path.len};
}

/** @param culprit set to the name of the field that was not kept */
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

/** Runs the interceptors' starts, outermost first, until one refuses the call. */
static enum grpc_status run_starts(struct grpc_call *call, const char **message)
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

/** Finishes the call if its metadata could not be kept. */
static void check_metadata(struct grpc_call *call, enum grpc_metadata_result kept,
                           const h2o_iovec_t *culprit)
{
    int len = (int)MIN(culprit->len, QUOTED_MAX);
    switch (kept) {
    case GRPC_METADATA_KEPT:
        return;
    case GRPC_METADATA_NO_MEMORY:
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    case GRPC_METADATA_TOO_MANY:
        grpc_call_finishf(call, GRPC_RESOURCE_EXHAUSTED, "metadata %.*s has too many values", len,
                          culprit->base);
        return;
    case GRPC_METADATA_BAD_BINARY:
        grpc_call_finishf(call, GRPC_INTERNAL, "metadata %.*s is not base64", len, culprit->base);
    }
}

/** Checks a request that is gRPC's and that all interceptors let pass: finishes the call with the
 * first thing that is wrong with it. */
static void check_request(struct grpc_call *call, const struct request_head *head,
                          enum grpc_metadata_result kept, const h2o_iovec_t *culprit)
{
    const struct grpc_server *server = call->server;
    if (server->ended)
        grpc_call_finish(call, server->end_status, server->end_message);
    else if (call->entry->method == NULL)
        grpc_call_finishf(call, GRPC_UNIMPLEMENTED, "unknown method %.*s%s",
                          (int)MIN(call->path.len, QUOTED_MAX), call->path.base,
                          call->path.len > QUOTED_MAX ? "..." : "");
    else if (kept != GRPC_METADATA_KEPT)
        check_metadata(call, kept, culprit);
    else if (head->unsupported_encoding) {
        call->unsupported_encoding = true;
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "unsupported grpc-encoding");
    } else if (head->timeout_given && head->timeout == 0)
        grpc_call_finish(call, GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
}

/**
 * Keeps the metadata, runs the interceptors, then checks the request, in this order: a client
 * learns nothing about its request before the interceptors let it pass, and they see how every
 * request is answered. If the header list was too large, a field that seems to be missing may have
 * been cut off, so nothing is concluded from what is there.
 */
static void admit_request(struct grpc_call *call, const struct http2_request *request,
                          const struct request_head *head)
{
    enum grpc_metadata_result kept = GRPC_METADATA_KEPT;
    h2o_iovec_t culprit = {.base = NULL};
    call->has_metadata = head->has_metadata;
    if (head->has_metadata) {
        kept = keep_metadata(call, request, &culprit);
        http2_stream_work(&call->stream, call->arena.allocated);
    }
    const char *message = NULL;
    enum grpc_status status = run_starts(call, &message);
    if (request->fields_too_large)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the request's header list is too large");
    else if (status != GRPC_OK)
        grpc_call_finish(call, status, message);
    else if (!reject_foreign(call, request, head))
        check_request(call, head, kept, &culprit);
}

/** Arms the deadline, makes the method's state, calls on_open. */
static void open_method(struct grpc_call *call, const struct request_head *head)
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
    /* Some clients wait for the headers of a streaming reply before they send more. */
    if (call->entry->streaming_reply && !call->finished && !call->headers_sent)
        grpc_send_headers(call);
}

/** Puts the call into the server's list of open calls. */
static void call_enter(struct grpc_server *server, struct grpc_call *call)
{
    server->num_calls++;
    call->next = server->calls;
    call->prev = &server->calls;
    if (call->next != NULL)
        call->next->prev = &call->next;
    server->calls = call;
}

void grpc_request_open(struct http2_stream *stream, const struct http2_request *request)
{
    struct grpc_server *server = http2_context_handler(http2_conn_context(stream->conn))->data;
    struct grpc_call *call = grpc_call_of(stream);
    memset(&call->server, 0,
           offsetof(struct grpc_call, arena) - offsetof(struct grpc_call, server));
    call->server = server;
    call->deadline = UINT64_MAX;
    call->remote_end = request->end_stream;
    grpc_arena_init(&call->arena, call->inline_memory, sizeof(call->inline_memory));
    struct request_head room;
    const struct request_head *head = head_of(server, request, &room);
    call->request_encoding = head->encoding & 3;
    call->reply_accepted = head->accepted & 3;
    call->started_ns = grpc_server_clock_ns(server);
    call_enter(server, call);
    set_method(call, request, head->entry);
    call->busy = true;
    admit_request(call, request, head);
    if (!call->finished && grpc_call_hold_arena(call))
        open_method(call, head);
    call->busy = false;
    if (call->remote_end)
        grpc_receive(call, NULL, 0);
}
