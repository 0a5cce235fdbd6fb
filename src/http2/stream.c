/* SPDX-License-Identifier: MIT */
#include "http2/stream.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container_of.h"
#include "http2/account.h"
#include "http2/out.h"
#include "http2/turn.h"

/* The ids of open streams lie close together, so the id modulo the table's size spreads them
 * evenly. */
static struct http2_stream **stream_bucket(struct http2_conn *conn, uint32_t id)
{
    return &conn->buckets[(id >> 1) & (conn->num_buckets - 1)];
}

struct http2_stream *http2_stream_find(struct http2_conn *conn, uint32_t id)
{
    struct http2_stream *stream = *stream_bucket(conn, id);
    while (stream != NULL && stream->id != id)
        stream = stream->hash_next;
    return stream;
}

static void grow_stream_table(struct http2_conn *conn)
{
    uint32_t old_num = conn->num_buckets;
    struct http2_stream **old = conn->buckets;
    struct http2_stream **grown = calloc(old_num * 2, sizeof(struct http2_stream *));
    if (grown == NULL)
        return; /* the table still works, with longer chains */
    conn->buckets = grown;
    conn->num_buckets = old_num * 2;
    for (uint32_t i = 0; i != old_num; i++) {
        struct http2_stream *next;
        for (struct http2_stream *stream = old[i]; stream != NULL; stream = next) {
            next = stream->hash_next;
            struct http2_stream **to = stream_bucket(conn, stream->id);
            stream->hash_next = *to;
            *to = stream;
        }
    }
    free(old);
}

struct http2_stream *http2_stream_open(struct http2_conn *conn, uint32_t id)
{
    struct http2_context *context = conn->context;
    size_t size = context->handler->stream_size;
    assert(id <= conn->last_id);
    if (!http2_account_hold(conn, size))
        return NULL;
    struct http2_stream *stream = http2_spares_take(&context->streams, size);
    if (stream == NULL) {
        http2_account_release(conn, size);
        return NULL;
    }
    if (conn->num_streams == conn->num_buckets)
        grow_stream_table(conn);
    struct http2_stream **to = stream_bucket(conn, id);
    *stream = (struct http2_stream){
        .conn = conn,
        .hash_next = *to,
        .id = id,
        .send_window = (int32_t)conn->peer.initial_window_size,
        .recv_window = HTTP2_STREAM_WINDOW,
        .content_length = UINT64_MAX,
    };
    *to = stream;
    conn->num_streams++;
    context->counts.streams_opened++;
    context->counts.streams_open++;
    return stream;
}

static void remove_from_stream_table(struct http2_stream *stream)
{
    struct http2_stream **at = stream_bucket(stream->conn, stream->id);
    while (*at != stream)
        at = &(*at)->hash_next;
    *at = stream->hash_next;
    assert(stream->conn->num_streams != 0);
    if (--stream->conn->num_streams == 0)
        stream->conn->idle_ms = timers_now(stream->conn->context->timers);
    stream->conn->context->counts.streams_open--;
}

static void free_stream(struct http2_stream *stream)
{
    struct http2_conn *conn = stream->conn;
    assert(stream->closed && !h2o_linklist_is_linked(&stream->stopped));
    free(stream->pending);
    http2_account_release(conn, stream->held + conn->context->handler->stream_size);
    http2_spares_give(&conn->context->streams, stream);
}

void http2_stream_closed(struct http2_stream *stream)
{
    struct http2_conn *conn = stream->conn;
    if (stream->closed)
        return;
    stream->closed = 1;
    stream->want_write = 0;
    stream->pending_off = stream->pending_len;
    if (conn->data_stream == stream)
        http2_out_close_data(conn);
    if (h2o_linklist_is_linked(&stream->turn))
        h2o_linklist_unlink(&stream->turn);
    if (h2o_linklist_is_linked(&stream->stopped))
        h2o_linklist_unlink(&stream->stopped);
    remove_from_stream_table(stream);
    h2o_linklist_insert(&conn->closed, &stream->turn);
    http2_turn_touch(conn);
}

void http2_streams_reap(struct http2_conn *conn)
{
    const struct http2_handler *handler = conn->context->handler;
    while (!h2o_linklist_is_empty(&conn->closed)) {
        struct http2_stream *stream = container_of(conn->closed.next, struct http2_stream, turn);
        h2o_linklist_unlink(&stream->turn);
        http2_conn_credit(conn, stream->recv_held);
        handler->on_close(stream, !stream->reset, stream->error);
        free_stream(stream);
    }
}

void http2_streams_lose(struct http2_conn *conn)
{
    for (uint32_t i = 0; i != conn->num_buckets; i++) {
        struct http2_stream *stream;
        while ((stream = conn->buckets[i]) != NULL) {
            stream->reset = 1;
            stream->error = HTTP2_CONNECT_ERROR;
            stream->local_closed = stream->remote_closed = 1;
            http2_stream_closed(stream);
        }
    }
}

/* ---- how streams were closed ---- */

enum http2_closed http2_closed_get(const struct http2_conn *conn, uint32_t id)
{
    uint32_t n = id >> 1;
    if ((conn->last_id >> 1) - n >= HTTP2_CLOSED_MEMORY)
        return HTTP2_CLOSED_BY_PEER; /* forgotten: this value has the milder answer */
    n %= HTTP2_CLOSED_MEMORY;
    return (conn->closed_how[n / 4] >> (n % 4 * 2)) & 3;
}

void http2_closed_set(struct http2_conn *conn, uint32_t id, enum http2_closed how)
{
    uint32_t n = (id >> 1) % HTTP2_CLOSED_MEMORY;
    uint8_t *byte = &conn->closed_how[n / 4];
    *byte = (uint8_t)((*byte & ~(3u << (n % 4 * 2))) | ((unsigned)how << (n % 4 * 2)));
}

/* ---- receive windows, RFC 9113 6.9 ---- */

void http2_conn_credit(struct http2_conn *conn, size_t len)
{
    conn->recv_unacked += (uint32_t)len;
    if (conn->recv_unacked < HTTP2_CONN_WINDOW / 2 || conn->state != HTTP2_CONN_OPEN)
        return;
    assert(conn->recv_unacked <= HTTP2_CONN_WINDOW - conn->recv_window);
    http2_out_window_update(conn, 0, conn->recv_unacked);
    conn->recv_window += conn->recv_unacked;
    conn->recv_unacked = 0;
}

void http2_stream_consume(struct http2_stream *stream, size_t len)
{
    struct http2_conn *conn = stream->conn;
    assert(len <= stream->recv_held);
    stream->recv_held -= (uint32_t)len;
    stream->recv_unacked += (uint32_t)len;
    http2_conn_credit(conn, len);
    if (stream->remote_closed || stream->recv_unacked < HTTP2_STREAM_WINDOW / 2)
        return;
    assert(stream->recv_unacked <= HTTP2_STREAM_WINDOW - stream->recv_window);
    http2_out_window_update(conn, stream->id, stream->recv_unacked);
    stream->recv_window += stream->recv_unacked;
    stream->recv_unacked = 0;
}
