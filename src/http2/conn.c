/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection: reading, writing, draining, closing.
 *
 * Every callback of the loop enters by conn_enter() and leaves by
 * conn_settle(), which gives closed streams their on_close, lets waiting
 * streams send, writes once, and frees a lost connection: so nothing
 * disappears under a callback that is still running. Output that a handler
 * queues from elsewhere (a timer) is settled by a zero time-out in the same
 * turn of the loop.
 */
#include "http2/conn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_read(h2o_socket_t *sock, const char *err);
static void on_written(h2o_socket_t *sock, const char *err);
static void on_may_go_on(h2o_socket_t *sock, const char *err);

static void conn_enter(struct http2_conn *conn)
{
    conn->busy++;
}

/* ---- reading ---- */

static void stop_reading(struct http2_conn *conn)
{
    if (!conn->reading_stopped) {
        h2o_socket_read_stop(conn->sock);
        conn->reading_stopped = 1;
    }
}

/* ---- writing ---- */

void http2_conn_start_write(struct http2_conn *conn)
{
    if (conn->writing || conn->out->size == 0)
        return;
    conn->out_in_flight = conn->out;
    h2o_buffer_init(&conn->out, &conn->context->out_prototype);
    http2_out_close_data(conn);
    h2o_iovec_t vec = {conn->out_in_flight->bytes, conn->out_in_flight->size};
    conn->context->counts.bytes_out += vec.len;
    conn->written_since_yield += vec.len;
    conn->writing = 1;
    h2o_socket_write(conn->sock, &vec, 1, on_written);
}

/* After much output in a row: back to the loop's poll, so that others get their turn. The
 * callback comes when the socket can be written, which it mostly can at once. */
static void yield(struct http2_conn *conn)
{
    conn->written_since_yield = 0;
    conn->yielded = 1;
    conn->writing = 1;
    h2o_socket_notify_write(conn->sock, on_may_go_on);
}

static void send_first_goaway(struct http2_conn *conn);

/* On the monotonic clock: libh2o's own timeouts wait for a wall clock that was set back. */
static void wait_at_most(struct http2_conn *conn, uint64_t ms)
{
    struct http2_timers *timers = conn->context->timers;
    http2_timer_arm(timers, &conn->linger_timer, http2_timers_now(timers) + ms);
}

static void on_linger_timeout(struct http2_timer *timer)
{
    struct http2_conn *conn = H2O_STRUCT_FROM_MEMBER(struct http2_conn, linger_timer, timer);
    if (conn->goaway_due && conn->state == HTTP2_CONN_OPEN)
        send_first_goaway(conn);
    else if (conn->state == HTTP2_CONN_OPEN)
        http2_conn_drain_finish(conn);
    else
        http2_conn_destroy(conn); /* it had its time, or never spoke */
}

/* The last words get a second to be written; then, by FIN, the peer is told, and its own FIN is
 * waited for: to close over unread input would reset the connection and lose them. */
static void linger(struct http2_conn *conn)
{
    if (!conn->lingering) {
        conn->lingering = 1;
        wait_at_most(conn, HTTP2_LINGER_MS);
    }
    if (conn->shut || conn->writing)
        return;
    conn->shut = 1;
    if (conn->sock->ssl == NULL)
        shutdown(h2o_socket_get_fd(conn->sock), SHUT_WR);
}

static bool may_read(const struct http2_conn *conn)
{
    size_t in_flight = conn->out_in_flight != NULL ? conn->out_in_flight->size : 0;
    return conn->out->size + in_flight < HTTP2_OUT_MAX || conn->state == HTTP2_CONN_CLOSING;
}

static void adjust_reading(struct http2_conn *conn)
{
    if (!may_read(conn)) {
        if (!conn->reading_stopped)
            http2_conn_limit(conn, HTTP2_LIMIT_PENDING_OUTPUT);
        stop_reading(conn);
    } else if (conn->reading_stopped) {
        h2o_socket_read_start(conn->sock, on_read);
        conn->reading_stopped = 0;
    }
}

/* The end of every callback: see the top of this file. The connection may be gone after it. */
static void conn_settle(struct http2_conn *conn)
{
    if (conn->busy > 1) {
        conn->busy--;
        return;
    }
    if (conn->state < HTTP2_CONN_CLOSING && !conn->yielded)
        http2_out_pump(conn);
    http2_streams_reap(conn);
    conn->busy = 0;
    if (conn->state == HTTP2_CONN_LOST) {
        http2_conn_destroy(conn);
        return;
    }
    http2_conn_start_write(conn);
    adjust_reading(conn);
    if (conn->drained && conn->num_streams == 0 && conn->state == HTTP2_CONN_OPEN)
        conn->state = HTTP2_CONN_CLOSING;
    if (conn->state == HTTP2_CONN_CLOSING)
        linger(conn);
}

static void on_flush_timeout(h2o_timeout_entry_t *entry)
{
    struct http2_conn *conn = H2O_STRUCT_FROM_MEMBER(struct http2_conn, flush_timer, entry);
    conn_enter(conn);
    conn_settle(conn);
}

void http2_conn_touch(struct http2_conn *conn)
{
    if (conn->busy == 0 && !h2o_timeout_is_linked(&conn->flush_timer))
        h2o_timeout_link(conn->context->loop, &conn->context->zero_timeout, &conn->flush_timer);
}

static void on_written(h2o_socket_t *sock, const char *err)
{
    struct http2_conn *conn = sock->data;
    conn->writing = 0;
    h2o_buffer_dispose(&conn->out_in_flight);
    conn_enter(conn);
    if (err != NULL)
        http2_conn_lost(conn);
    else if (conn->written_since_yield >= HTTP2_YIELD_BYTES && conn->state == HTTP2_CONN_OPEN &&
             !h2o_linklist_is_empty(&conn->turns))
        yield(conn);
    conn_settle(conn);
}

static void on_may_go_on(h2o_socket_t *sock, const char *err)
{
    struct http2_conn *conn = sock->data;
    conn->writing = 0;
    conn->yielded = 0;
    conn_enter(conn);
    if (err != NULL)
        http2_conn_lost(conn);
    conn_settle(conn);
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct http2_conn *conn = sock->data;
    size_t len;
    conn_enter(conn);
    conn->written_since_yield = 0;
    conn->read_ms = http2_timers_now(conn->context->timers);
    conn->ping_ms = 0;
    if (err != NULL || !http2_input_read(conn, &len))
        http2_conn_lost(conn);
    else
        http2_input_handle(conn, conn->context->input, len);
    while (sock->ssl != NULL && sock->input->size != 0 && conn->state != HTTP2_CONN_LOST &&
           http2_input_read(conn, &len))
        http2_input_handle(conn, conn->context->input, len);
    conn_settle(conn);
}

/* ---- the ends ---- */

void http2_conn_lost(struct http2_conn *conn)
{
    if (conn->state == HTTP2_CONN_LOST)
        return;
    conn->state = HTTP2_CONN_LOST;
    http2_streams_lose(conn);
}

/* What a GOAWAY may name: never more than an earlier one did (RFC 9113 6.8). */
static uint32_t last_served(const struct http2_conn *conn)
{
    return conn->last_id < conn->goaway_id ? conn->last_id : conn->goaway_id;
}

void http2_conn_end(struct http2_conn *conn, enum http2_error error, const char *why)
{
    if (conn->state >= HTTP2_CONN_CLOSING)
        return;
    h2o_iovec_t debug = {(char *)(uintptr_t)why, strlen(why)};
    http2_out_close_data(conn);
    h2o_http2_encode_goaway_frame(&conn->out, last_served(conn), -(int)error, debug);
    conn->state = HTTP2_CONN_CLOSING;
    http2_streams_lose(conn);
    http2_conn_touch(conn);
}

void http2_conn_fail(struct http2_conn *conn, enum http2_error error, const char *why)
{
    if (conn->state >= HTTP2_CONN_CLOSING)
        return;
    conn->context->counts.protocol_errors++;
    http2_conn_end(conn, error, why);
}

void http2_conn_limit(struct http2_conn *conn, enum http2_limit limit)
{
    conn->context->counts.limit_hits[limit]++;
}

bool http2_conn_spend(struct http2_conn *conn, int32_t cost, enum http2_limit limit)
{
    if (http2_calm_spend(&conn->calm, cost, http2_timers_now(conn->context->timers)))
        return true;
    if (conn->state < HTTP2_CONN_CLOSING)
        http2_conn_limit(conn, limit);
    http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM, "too many frames that do nothing");
    return false;
}

/* RFC 9113 6.8: first a GOAWAY that refuses nothing, then, once a PING shows that the peer
 * has seen it, one that says which streams are the last. */
static void send_first_goaway(struct http2_conn *conn)
{
    static const uint8_t ping[8] = HTTP2_PING_DRAIN;
    const char *why = conn->drain_why;
    conn->goaway_due = 0;
    http2_out_close_data(conn);
    h2o_http2_encode_goaway_frame(&conn->out, INT32_MAX, 0, h2o_iovec_init(why, strlen(why)));
    h2o_http2_encode_ping_frame(&conn->out, 0, ping);
    wait_at_most(conn, HTTP2_LINGER_MS);
    http2_conn_touch(conn);
}

/* When the GOAWAY comes matters. In its handshake a client would take a close for a server that
 * cannot be reached, and fail the calls that wait: it may end it first, and has the time that it
 * always has, for grpcio leaves one half done until its next call. And one that has no stream
 * may be about to open one: grpc-go 1.34 then tries the call on the same connection again, and
 * fails it. A client with a stream open is safe from that, so the GOAWAY waits for a stream, or
 * for the connection to be quiet for a while. */
void http2_conn_drain(struct http2_conn *conn, const char *why)
{
    if (conn->draining || conn->state >= HTTP2_CONN_CLOSING)
        return;
    conn->draining = 1;
    conn->drain_why = why;
    conn->goaway_due = 1;
    if (conn->state != HTTP2_CONN_OPEN) {
        if (conn->context->settings.handshake_timeout == 0)
            wait_at_most(conn, HTTP2_LINGER_MS);
    } else if (conn->num_streams == 0)
        wait_at_most(conn, HTTP2_QUIET_MS);
    else
        send_first_goaway(conn);
}

void http2_conn_open(struct http2_conn *conn)
{
    conn->state = HTTP2_CONN_OPEN;
    if (conn->draining)
        wait_at_most(conn, HTTP2_QUIET_MS);
}

void http2_conn_stream_opened(struct http2_conn *conn)
{
    if (conn->goaway_due)
        send_first_goaway(conn);
}

void http2_conn_drain_finish(struct http2_conn *conn)
{
    if (conn->drained || conn->state != HTTP2_CONN_OPEN)
        return;
    conn->drained = 1;
    conn->goaway_id = conn->last_id;
    http2_timer_disarm(conn->context->timers, &conn->linger_timer);
    http2_out_close_data(conn);
    h2o_http2_encode_goaway_frame(&conn->out, conn->last_id, 0,
                                  h2o_iovec_init(conn->drain_why, strlen(conn->drain_why)));
    http2_conn_touch(conn);
}

void http2_conn_destroy(struct http2_conn *conn)
{
    struct http2_context *context = conn->context;
    conn_enter(conn); /* handlers that are told now must not have it flushed */
    conn->state = HTTP2_CONN_LOST;
    http2_streams_lose(conn);
    http2_streams_reap(conn);
    http2_life_end(conn);
    h2o_timeout_unlink(&conn->flush_timer);
    http2_timer_disarm(conn->context->timers, &conn->linger_timer);
    h2o_linklist_unlink(&conn->link);
    h2o_socket_close(conn->sock);
    hpack_table_dispose(&conn->decoder);
    http2_memo_dispose(&conn->memo);
    h2o_buffer_dispose(&conn->out);
    if (conn->out_in_flight != NULL)
        h2o_buffer_dispose(&conn->out_in_flight);
    http2_input_drop(conn);
    http2_block_drop(conn);
    free(conn->buckets);
    free(conn->peer_text);
    free(conn->subject);
    free(conn);
    context->counts.connections_open--;
}

struct http2_conn *http2_conn_create(struct http2_context *context, h2o_socket_t *sock)
{
    struct http2_conn *conn = h2o_mem_alloc(sizeof(*conn));
    *conn = (struct http2_conn){
        .context = context,
        .sock = sock,
        .peer = H2O_HTTP2_SETTINGS_DEFAULT,
        .num_buckets = 8,
        .goaway_id = INT32_MAX,
        .send_window = 65535,
        .recv_window = HTTP2_CONN_WINDOW,
        .budget = HTTP2_TURN_QUANTUM,
        .calm.credit = HTTP2_CREDIT_MAX,
        .flush_timer.cb = on_flush_timeout,
        .linger_timer.expired = on_linger_timeout,
        .decoder.size = HPACK_TABLE_SIZE,
    };
    hpack_encoder_init(&conn->encoder);
    conn->buckets = calloc(conn->num_buckets, sizeof(struct http2_stream *));
    if (conn->buckets == NULL)
        h2o_fatal("no memory");
    h2o_linklist_init_anchor(&conn->turns);
    h2o_linklist_init_anchor(&conn->closed);
    h2o_buffer_init(&conn->out, &context->out_prototype);
    h2o_linklist_insert(&context->conns, &conn->link);
    context->counts.connections_accepted++;
    context->counts.connections_open++;
    http2_life_begin(conn);
    return conn;
}

void http2_conn_start(struct http2_conn *conn)
{
    if (conn->sock->ssl == NULL)
        h2o_socket_dont_read(conn->sock, 1);
    h2o_socket_read_start(conn->sock, on_read);
    /* what came together with the handshake's end is decrypted by now, and no event tells of it */
    if (conn->sock->ssl != NULL && conn->sock->input->size != 0)
        on_read(conn->sock, NULL);
}

void http2_refuse(int fd, const char *why)
{
    /* SETTINGS first, for that is a server's preface (RFC 9113 3.4) */
    uint8_t out[2 * H2O_HTTP2_FRAME_HEADER_SIZE + 8 + 100];
    size_t len = strnlen(why, 100);
    uint8_t *end = h2o_http2_encode_frame_header(out, 0, H2O_HTTP2_FRAME_TYPE_SETTINGS, 0, 0);
    end = h2o_http2_encode_frame_header(end, 8 + len, H2O_HTTP2_FRAME_TYPE_GOAWAY, 0, 0);
    end = h2o_http2_encode32u(end, 0);
    end = h2o_http2_encode32u(end, HTTP2_ENHANCE_YOUR_CALM);
    memcpy(end, why, len);
    ssize_t sent = send(fd, out, (size_t)(end - out) + len, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent; /* it is told or not: it is closed */
    close(fd);
}

void http2_accept(struct http2_context *context, h2o_socket_t *sock)
{
    struct http2_conn *conn = http2_conn_create(context, sock);
    sock->data = conn;
    http2_conn_start(conn);
}
