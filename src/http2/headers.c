/* SPDX-License-Identifier: MIT */
/* HEADERS and CONTINUATION: from a header block to a request or a trailer section. */
#include "http2/conn.h"

#include <stdlib.h>
#include <string.h>

#include "http2/hpack_scan.h"

/* What a block was found to be. */
enum block_fault {
    BLOCK_GOOD,
    BLOCK_MALFORMED, /* a stream error, RFC 9113 8.1.1: the table is in step */
    BLOCK_BROKEN,    /* the table may be out of step: the connection cannot go on */
};

struct block {
    bool trailers;
    int pseudo; /* H2O_HPACK_PARSE_HEADERS_*_EXISTS */
    bool regular_seen;
    bool too_large;
    bool table_changed;
    size_t list_size;       /* RFC 9113 6.5.2 */
    size_t content_length;  /* SIZE_MAX: none */
    enum http2_error error; /* of a broken one */
};

static void clear_scratch(struct http2_context *context)
{
    h2o_req_t *req = &context->scratch;
    h2o_mem_clear_pool(&req->pool);
    memset(&req->input, 0, sizeof(req->input));
    req->headers.entries = context->fields;
    req->headers.size = 0;
    req->headers.capacity = HTTP2_FIELDS_MAX;
}

static size_t pseudo_size(const h2o_req_t *req)
{
    /* names are 5 to 10 bytes; :scheme is kept as a pointer, its value is at most "https" or so */
    return req->input.method.len + req->input.path.len + req->input.authority.len + 5 + 29 + 4 * 32;
}

static void count_field(struct http2_context *context, struct block *block)
{
    h2o_req_t *req = &context->scratch;
    const h2o_header_t *field = &req->headers.entries[req->headers.size - 1];
    block->list_size += field->name->len + field->value.len + 32;
    if (block->list_size > context->settings.max_header_list_size ||
        req->headers.size == HTTP2_FIELDS_MAX) {
        /* decoding goes on for the table's sake, but nothing more is kept */
        block->too_large = true;
        req->headers.size--;
    }
}

static enum block_fault decode_field(struct http2_conn *conn, const uint8_t *src,
                                     const struct hpack_field_shape *shape, struct block *block)
{
    h2o_req_t *req = &conn->context->scratch;
    size_t had_fields = req->headers.size, content_length = SIZE_MAX,
           table_start = conn->decoder.entry_start_index;
    int had_pseudo = block->pseudo;
    const char *why = NULL;
    int ret =
        h2o_hpack_parse_headers(req, &conn->decoder, src, shape->len,
                                block->regular_seen || block->trailers ? NULL : &block->pseudo,
                                &content_length, NULL, &why);
    if (block->pseudo == had_pseudo)
        block->regular_seen = true;
    if (content_length != SIZE_MAX)
        block->content_length = content_length;
    if (req->headers.size != had_fields)
        count_field(conn->context, block);
    if (ret == 0)
        return BLOCK_GOOD;
    if (ret == H2O_HTTP2_ERROR_INVALID_HEADER_CHAR)
        return BLOCK_MALFORMED;
    if (ret == H2O_HTTP2_ERROR_PROTOCOL &&
        (!shape->indexing || table_start != conn->decoder.entry_start_index))
        return BLOCK_MALFORMED;
    block->error = ret == H2O_HTTP2_ERROR_PROTOCOL ? HTTP2_PROTOCOL_ERROR : HTTP2_COMPRESSION_ERROR;
    return BLOCK_BROKEN;
}

static enum block_fault apply_size_update(struct http2_conn *conn, const uint8_t *src, size_t len)
{
    /* libh2o's decoder wants a field behind an update; an indexed `:path: /` without a place for
     * pseudo-header fields is read and refused, after the update was done */
    uint8_t bytes[16];
    size_t content_length;
    const char *why = NULL;
    if (len >= sizeof(bytes))
        return BLOCK_BROKEN;
    memcpy(bytes, src, len);
    bytes[len] = 0x84;
    int ret = h2o_hpack_parse_headers(&conn->context->scratch, &conn->decoder, bytes, len + 1, NULL,
                                      &content_length, NULL, &why);
    return ret == H2O_HTTP2_ERROR_PROTOCOL ? BLOCK_GOOD : BLOCK_BROKEN;
}

static enum block_fault decode_block(struct http2_conn *conn, const uint8_t *src, size_t len,
                                     struct block *block)
{
    const uint8_t *end = src + len;
    enum block_fault worst = BLOCK_GOOD;
    bool first = true;
    block->content_length = SIZE_MAX;
    block->error = HTTP2_COMPRESSION_ERROR;
    clear_scratch(conn->context);
    while (src != end) {
        struct hpack_field_shape shape;
        enum block_fault fault = BLOCK_GOOD;
        switch (hpack_scan_next(src, end, &shape)) {
        case HPACK_SCAN_FIELD:
            block->table_changed |= shape.indexing;
            fault = decode_field(conn, src, &shape, block);
            first = false;
            break;
        case HPACK_SCAN_UPDATE:
            block->table_changed = true;
            fault = first ? apply_size_update(conn, src, shape.len) : BLOCK_BROKEN;
            break;
        case HPACK_SCAN_EMPTY_NAME:
            block->error = HTTP2_PROTOCOL_ERROR;
            return BLOCK_BROKEN;
        case HPACK_SCAN_MALFORMED:
            return BLOCK_BROKEN;
        }
        if (fault == BLOCK_BROKEN)
            return fault;
        if (fault == BLOCK_MALFORMED)
            worst = fault;
        src += shape.len;
    }
    return worst;
}

/* RFC 9113 8.3.1: what a request must have. */
static bool is_request(const struct http2_context *context, const struct block *block)
{
    const int needed = H2O_HPACK_PARSE_HEADERS_METHOD_EXISTS |
                       H2O_HPACK_PARSE_HEADERS_SCHEME_EXISTS | H2O_HPACK_PARSE_HEADERS_PATH_EXISTS;
    return (block->pseudo & needed) == needed && context->scratch.input.path.len != 0;
}

static void describe(struct http2_context *context, struct block *block,
                     struct http2_request *request)
{
    const h2o_req_t *req = &context->scratch;
    if (block->list_size + pseudo_size(req) > context->settings.max_header_list_size)
        block->too_large = true;
    *request = (struct http2_request){.method = req->input.method,
                                      .authority = req->input.authority,
                                      .path = req->input.path,
                                      .fields = req->headers.entries,
                                      .num_fields = req->headers.size,
                                      .fields_too_large = block->too_large};
}

static void refuse(struct http2_conn *conn, uint32_t id, enum http2_error error)
{
    http2_closed_set(conn, id, HTTP2_CLOSED_BY_US);
    if (http2_conn_spend(conn, HTTP2_COST_RESET, HTTP2_LIMIT_RESETS))
        http2_out_rst_stream(conn, id, error);
}

/* Opening a stream closes all idle ones below it. */
static void skip_streams(struct http2_conn *conn, uint32_t id)
{
    uint32_t at = conn->last_id == 0 ? 1 : conn->last_id + 2;
    if (id - at > 2 * HTTP2_CLOSED_MEMORY)
        at = id - 2 * HTTP2_CLOSED_MEMORY;
    for (; at != id; at += 2)
        http2_closed_set(conn, at, HTTP2_CLOSED_SKIPPED);
}

/* A new stream. @param request NULL: it is malformed */
static void open_request(struct http2_conn *conn, uint32_t id, bool end_stream,
                         const struct http2_request *request, size_t content_length)
{
    skip_streams(conn, id);
    conn->last_id = id;
    if (id > conn->goaway_id)
        return; /* the GOAWAY has told that it is not served; the table is in step */
    http2_closed_set(conn, id, HTTP2_CLOSED_ENDED);
    bool length_fits = !end_stream || content_length == SIZE_MAX || content_length == 0;
    if (request == NULL || !length_fits) {
        refuse(conn, id, HTTP2_PROTOCOL_ERROR);
        return;
    }
    if (conn->num_streams >= conn->context->settings.max_concurrent_streams) {
        http2_conn_limit(conn, HTTP2_LIMIT_CONCURRENT_STREAMS);
        refuse(conn, id, HTTP2_REFUSED_STREAM);
        return;
    }
    struct http2_request whole = *request;
    whole.end_stream = end_stream;
    struct http2_stream *stream = http2_stream_open(conn, id);
    if (stream == NULL) {
        refuse(conn, id, HTTP2_REFUSED_STREAM);
        return;
    }
    if (content_length != SIZE_MAX)
        stream->content_length = content_length;
    stream->remote_closed = end_stream;
    conn->budget = HTTP2_OUT_TARGET;
    conn->context->handler->on_request(stream, &whole);
}

static void handle_request(struct http2_conn *conn, uint32_t id, bool end_stream,
                           const uint8_t *src, size_t len, struct block *block,
                           enum block_fault fault)
{
    struct http2_request request;
    if (fault != BLOCK_GOOD || !is_request(conn->context, block)) {
        open_request(conn, id, end_stream, NULL, SIZE_MAX);
        return;
    }
    describe(conn->context, block, &request);
    if (block->too_large)
        http2_conn_limit(conn, HTTP2_LIMIT_HEADER_LIST);
    if (!block->table_changed && !block->too_large)
        http2_memo_note(&conn->memo, src, len, &request, block->content_length);
    open_request(conn, id, end_stream, &request, block->content_length);
}

static void refuse_more(struct http2_stream *stream, enum http2_error error)
{
    if (http2_conn_spend(stream->conn, HTTP2_COST_RESET, HTTP2_LIMIT_RESETS))
        http2_stream_reset(stream, error);
}

static void handle_trailers(struct http2_stream *stream, bool end_stream, struct block *block,
                            enum block_fault fault)
{
    struct http2_context *context = stream->conn->context;
    bool length_fits = stream->content_length == UINT64_MAX || stream->content_length == 0;
    if (fault != BLOCK_GOOD || !end_stream || !length_fits || block->too_large) {
        refuse_more(stream, HTTP2_PROTOCOL_ERROR);
        return;
    }
    stream->remote_closed = 1;
    stream->conn->budget = HTTP2_OUT_TARGET;
    context->handler->on_trailers(stream, context->scratch.headers.entries,
                                  context->scratch.headers.size);
}

static void headers_on_closed(struct http2_conn *conn, uint32_t id)
{
    switch (http2_closed_get(conn, id)) {
    case HTTP2_CLOSED_BY_US:
        return; /* it was on its way when our RST_STREAM was */
    case HTTP2_CLOSED_BY_PEER:
        refuse(conn, id, HTTP2_STREAM_CLOSED);
        return;
    case HTTP2_CLOSED_ENDED:
        http2_conn_fail(conn, HTTP2_STREAM_CLOSED, "HEADERS on a closed stream");
        return;
    case HTTP2_CLOSED_SKIPPED:
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "a stream identifier that goes back");
    }
}

/* A whole block. It is decoded in any case: the table must stay in step. */
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
    struct http2_stream *stream = http2_stream_find(conn, id);
    struct block block = {.trailers = stream != NULL};
    enum block_fault fault = decode_block(conn, src, len, &block);
    if (block.table_changed)
        http2_memo_forget(&conn->memo);
    if (fault == BLOCK_GOOD && conn->block_self_dependent)
        fault = BLOCK_MALFORMED;
    if (fault == BLOCK_BROKEN)
        http2_conn_fail(conn, block.error, "a header block that cannot be decoded");
    else if (stream != NULL && stream->remote_closed)
        refuse_more(stream, HTTP2_STREAM_CLOSED);
    else if (stream != NULL)
        handle_trailers(stream, end_stream, &block, fault);
    else if (id > conn->last_id)
        handle_request(conn, id, end_stream, src, len, &block, fault);
    else
        headers_on_closed(conn, id);
}

static void append_block(struct http2_conn *conn, const uint8_t *bytes, size_t len)
{
    size_t max = 2 * (size_t)conn->context->settings.max_header_list_size;
    if (conn->block_len + len > (max > HTTP2_BLOCK_MAX ? max : HTTP2_BLOCK_MAX)) {
        http2_conn_limit(conn, HTTP2_LIMIT_HEADER_BLOCK);
        http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM, "a header block without end");
        return;
    }
    if (len == 0)
        return;
    conn->block = h2o_mem_realloc(conn->block, conn->block_len + len);
    memcpy(conn->block + conn->block_len, bytes, len);
    conn->block_len += len;
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
        return;
    }
    conn->block_stream = frame->stream_id;
    conn->block_end_stream = end_stream;
    append_block(conn, payload.headers, payload.headers_len);
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
    if (!end_headers || conn->state >= HTTP2_CONN_CLOSING)
        return;
    conn->block_stream = 0;
    handle_block(conn, frame->stream_id, conn->block_end_stream, conn->block, conn->block_len);
    free(conn->block);
    conn->block = NULL;
    conn->block_len = 0;
}
