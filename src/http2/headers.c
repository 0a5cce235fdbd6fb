/* SPDX-License-Identifier: MIT */
#include "http2/headers.h"

#include <assert.h>
#include <string.h>
#include <sys/param.h>

#include "base/secret.h"
#include "http2/account.h"
#include "http2/conn_error.h"
#include "http2/drain.h"
#include "http2/hpack/hpack_decode.h"
#include "http2/out.h"
#include "http2/stream.h"
#include "http2/turn.h"

/* Fails the connection if a representation cannot be decoded: the dynamic table is out of step.
 * @param first no field came before it in the block
 * @return true: it is a field, or a size update in its place (RFC 7541 4.2: first in a block) */
static bool check_decoded(struct http2_conn *conn, enum hpack_result result, bool first)
{
    static const char undecodable[] = "a header block that cannot be decoded";
    switch (result) {
    case HPACK_FIELD:
        return true;
    case HPACK_SIZE_UPDATE:
        if (!first)
            http2_conn_fail(conn, HTTP2_COMPRESSION_ERROR, undecodable);
        return first;
    case HPACK_EMPTY_NAME:
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "a field without a name");
        return false;
    case HPACK_NO_MEMORY:
        http2_conn_fail(conn, HTTP2_INTERNAL_ERROR, "out of memory");
        return false;
    case HPACK_BROKEN:
        http2_conn_fail(conn, HTTP2_COMPRESSION_ERROR, undecodable);
        return false;
    }
    return false;
}

/* Decodes a block into a section, whose fields are kept in the context.
 * @return false: the connection has failed */
static bool decode_block(struct http2_conn *conn, const uint8_t *src, size_t len,
                         struct http2_section *section, bool *table_changed)
{
    struct http2_fields *fields = &conn->context->fields;
    size_t fields_left = fields->max_size / HPACK_ENTRY_OVERHEAD + HTTP2_FIELDS_BESIDE;
    const uint8_t *end = src + len;
    bool first = true;
    while (src != end) {
        struct hpack_field field;
        if (section->too_large && section->regular_seen && hpack_skip(&conn->decoder, &src, end))
            continue;
        if (fields_left-- == 0) {
            http2_conn_limit(conn, HTTP2_LIMIT_HEADER_BLOCK);
            http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM, "a header block of too many fields");
            return false;
        }
        enum hpack_result result = hpack_decode(&conn->decoder, &src, end,
                                                http2_fields_room(fields), &field, table_changed);
        if (!check_decoded(conn, result, first))
            return false;
        if (result == HPACK_SIZE_UPDATE)
            continue;
        first = false;
        http2_section_add(section, fields, &field);
    }
    http2_section_end(section);
    return true;
}

/* Answers a request or a late HEADERS frame by RST_STREAM; its stream is not open. */
static void refuse_headers(struct http2_conn *conn, uint32_t id, enum http2_error error)
{
    http2_closed_set(conn, id, HTTP2_CLOSED_BY_US);
    if (http2_conn_spend(conn, HTTP2_COST_RESET, HTTP2_LIMIT_RESETS))
        http2_out_rst_stream(conn, id, error);
}

/* RFC 9113 5.1.1: opening a stream closes all idle ones with lower ids. */
static void skip_streams(struct http2_conn *conn, uint32_t id)
{
    uint32_t at = conn->last_id == 0 ? 1 : conn->last_id + 2;
    if (id - at > 2 * HTTP2_CLOSED_MEMORY)
        at = id - 2 * HTTP2_CLOSED_MEMORY;
    for (; at != id; at += 2)
        http2_closed_set(conn, at, HTTP2_CLOSED_SKIPPED);
}

/* A request opens a stream. @param request NULL: it is malformed */
static void open_request(struct http2_conn *conn, uint32_t id, bool end_stream,
                         const struct http2_request *request, size_t content_length)
{
    skip_streams(conn, id);
    conn->last_id = id;
    if (id > conn->goaway_id) { /* the final GOAWAY says that it is not served */
        http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_OTHER_FRAMES);
        return;
    }
    http2_closed_set(conn, id, HTTP2_CLOSED_ENDED);
    bool length_fits = !end_stream || content_length == SIZE_MAX || content_length == 0;
    if (request == NULL || !length_fits) {
        refuse_headers(conn, id, HTTP2_PROTOCOL_ERROR);
        return;
    }
    if (conn->num_streams >= conn->context->settings.max_concurrent_streams) {
        http2_conn_limit(conn, HTTP2_LIMIT_CONCURRENT_STREAMS);
        refuse_headers(conn, id, HTTP2_REFUSED_STREAM);
        return;
    }
    struct http2_request whole = *request;
    whole.end_stream = end_stream;
    struct http2_stream *stream = http2_stream_open(conn, id);
    if (stream == NULL) {
        refuse_headers(conn, id, HTTP2_REFUSED_STREAM);
        return;
    }
    http2_drain_stream_opened(conn);
    if (content_length != SIZE_MAX)
        stream->content_length = content_length;
    /* An index is one byte of the block, and may stand for kilobytes to copy and to check. */
    http2_turn_spend(conn, HTTP2_WORK_LIST * request->list_size);
    stream->remote_closed = end_stream;
    conn->budget = HTTP2_OUT_TARGET;
    conn->context->handler->on_request(stream, &whole);
}

static void handle_request(struct http2_conn *conn, uint32_t id, bool end_stream,
                           const uint8_t *src, size_t len, const struct http2_section *section,
                           bool table_changed)
{
    const struct http2_fields *fields = &conn->context->fields;
    if (section->malformed) {
        open_request(conn, id, end_stream, NULL, SIZE_MAX);
        return;
    }
    const struct http2_request request = {.method = section->method,
                                          .authority = section->authority,
                                          .path = section->path,
                                          .fields = fields->all,
                                          .num_fields = fields->num,
                                          .list_size = (uint32_t)section->list_size,
                                          .fields_too_large = section->too_large};
    if (section->too_large)
        http2_conn_limit(conn, HTTP2_LIMIT_HEADER_LIST);
    else if (!table_changed)
        http2_memo_note(&conn->memo, src, len, &request, section->content_length);
    open_request(conn, id, end_stream, &request, section->content_length);
}

/* Ends an open stream whose HEADERS frame is an error. */
static void refuse_trailers(struct http2_stream *stream, enum http2_error error)
{
    if (http2_conn_spend(stream->conn, HTTP2_COST_RESET, HTTP2_LIMIT_RESETS))
        http2_stream_reset(stream, error);
}

static void handle_trailers(struct http2_stream *stream, bool end_stream,
                            const struct http2_section *section)
{
    struct http2_context *context = stream->conn->context;
    bool length_fits = stream->content_length == UINT64_MAX || stream->content_length == 0;
    if (section->malformed || !end_stream || !length_fits || section->too_large) {
        refuse_trailers(stream, HTTP2_PROTOCOL_ERROR);
        return;
    }
    stream->remote_closed = 1;
    stream->conn->budget = HTTP2_OUT_TARGET;
    context->handler->on_trailers(stream, context->fields.all, context->fields.num);
}

static void headers_on_closed(struct http2_conn *conn, uint32_t id)
{
    if (id > conn->goaway_id) {
        http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_OTHER_FRAMES);
        return;
    }
    switch (http2_closed_get(conn, id)) {
    case HTTP2_CLOSED_BY_US: /* the peer sent it before it saw our RST_STREAM */
        http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_OTHER_FRAMES);
        return;
    case HTTP2_CLOSED_BY_PEER:
        refuse_headers(conn, id, HTTP2_STREAM_CLOSED);
        return;
    case HTTP2_CLOSED_ENDED:
        http2_conn_fail(conn, HTTP2_STREAM_CLOSED, "HEADERS on a closed stream");
        return;
    case HTTP2_CLOSED_SKIPPED:
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "a stream identifier that goes back");
    }
}

static void handle_section(struct http2_conn *conn, uint32_t id, bool end_stream,
                           const uint8_t *src, size_t len)
{
    struct http2_stream *stream = http2_stream_find(conn, id);
    struct http2_section section;
    bool table_changed = false;
    http2_section_init(&section, stream != NULL);
    bool decoded = decode_block(conn, src, len, &section, &table_changed);
    if (table_changed)
        http2_memo_forget(&conn->memo);
    if (!decoded)
        return;
    section.malformed |= conn->block_self_dependent;
    if (stream != NULL && stream->remote_closed)
        refuse_trailers(stream, HTTP2_STREAM_CLOSED);
    else if (stream != NULL)
        handle_trailers(stream, end_stream, &section);
    else if (id > conn->last_id)
        handle_request(conn, id, end_stream, src, len, &section, table_changed);
    else
        headers_on_closed(conn, id);
}

/* A whole block. It is decoded in any case, because the dynamic table must stay in step. */
static void handle_block(struct http2_conn *conn, uint32_t id, bool end_stream, const uint8_t *src,
                         size_t len)
{
    if (id > conn->last_id && !conn->block_self_dependent) {
        const struct http2_request *known = http2_memo_find(&conn->memo, src, len);
        if (known != NULL) {
            open_request(conn, id, end_stream, known, conn->memo.content_length);
            return;
        }
    }
    handle_section(conn, id, end_stream, src, len);
    http2_fields_wipe(&conn->context->fields);
}

/* Doubles the block's memory until `needed` bytes fit. The old memory is overwritten, since it may
 * hold a token. @return false: no memory, or max_memory is reached */
static bool grow_block(struct http2_conn *conn, size_t needed)
{
    size_t size = conn->block_size == 0 ? HTTP2_FRAME_MAX : conn->block_size;
    while (size < needed)
        size *= 2;
    if (size == conn->block_size)
        return true;
    if (!http2_account_hold(conn, size))
        return false;
    uint8_t *grown = secret_alloc(size);
    if (grown == NULL) {
        http2_account_release(conn, size);
        return false;
    }
    if (conn->block_len != 0)
        memcpy(grown, conn->block, conn->block_len);
    size_t len = conn->block_len;
    http2_block_drop(conn);
    conn->block = grown;
    conn->block_len = len;
    conn->block_size = size;
    return true;
}

static void append_block(struct http2_conn *conn, const uint8_t *bytes, size_t len)
{
    size_t max =
        MAX(2 * (size_t)conn->context->settings.max_header_list_size, (size_t)HTTP2_BLOCK_MAX);
    if (conn->block_len + len > max) {
        http2_conn_limit(conn, HTTP2_LIMIT_HEADER_BLOCK);
        http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM, "a header block without end");
        return;
    }
    if (len == 0)
        return;
    if (!grow_block(conn, conn->block_len + len)) {
        http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM, "no memory for the header block");
        return;
    }
    memcpy(conn->block + conn->block_len, bytes, len);
    conn->block_len += len;
}

void http2_block_drop(struct http2_conn *conn)
{
    secret_free(conn->block, conn->block_size);
    http2_account_release(conn, conn->block_size);
    conn->block = NULL;
    conn->block_len = conn->block_size = 0;
}

/* Overwrites a frame in our input buffer, since it may hold a token. */
static void wipe_frame(const h2o_http2_frame_t *frame)
{
    explicit_bzero((uint8_t *)(uintptr_t)frame->payload, frame->length);
}

/* Most calls have one whole block of a few indexes, which is too short for a token. */
static bool may_hold_a_token(const h2o_http2_frame_t *frame)
{
    enum { INDEXES = 20 };
    return frame->length > INDEXES || (frame->flags & H2O_HTTP2_FRAME_FLAG_END_HEADERS) == 0;
}

void http2_headers_handle(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    h2o_http2_headers_payload_t payload;
    const char *why = NULL;
    int ret = h2o_http2_decode_headers_payload(&payload, frame, &why);
    if (ret != 0 || (frame->stream_id & 1) == 0) {
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, why != NULL ? why : "malformed HEADERS");
        return;
    }
    conn->block_self_dependent = (frame->flags & H2O_HTTP2_FRAME_FLAG_PRIORITY) != 0 &&
                                 payload.priority.dependency == frame->stream_id;
    bool end_stream = (frame->flags & H2O_HTTP2_FRAME_FLAG_END_STREAM) != 0;
    if ((frame->flags & H2O_HTTP2_FRAME_FLAG_END_HEADERS) != 0) {
        handle_block(conn, frame->stream_id, end_stream, payload.headers, payload.headers_len);
    } else {
        conn->block_stream = frame->stream_id;
        conn->block_end_stream = end_stream;
        append_block(conn, payload.headers, payload.headers_len);
    }
    if (may_hold_a_token(frame))
        wipe_frame(frame);
}

void http2_continuation_handle(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    if (conn->block_stream == 0 || frame->stream_id != conn->block_stream) {
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "CONTINUATION out of place");
        return;
    }
    bool end_headers = (frame->flags & H2O_HTTP2_FRAME_FLAG_END_HEADERS) != 0;
    bool empty = frame->length == 0 && !end_headers;
    if (!http2_conn_spend(conn, empty ? HTTP2_COST_EMPTY : HTTP2_COST_FRAME,
                          empty ? HTTP2_LIMIT_EMPTY_FRAMES : HTTP2_LIMIT_OTHER_FRAMES))
        return;
    append_block(conn, frame->payload, frame->length);
    wipe_frame(frame);
    if (!end_headers || conn->state >= HTTP2_CONN_CLOSING)
        return;
    conn->block_stream = 0;
    handle_block(conn, frame->stream_id, conn->block_end_stream, conn->block, conn->block_len);
    http2_block_drop(conn);
}
