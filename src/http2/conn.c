/* SPDX-License-Identifier: MIT */
/* The life of a connection: made, drained, ended. What it does in between is in turn.c. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http2/conn.h"

static void send_first_goaway(struct http2_conn *conn);

/* On the monotonic clock: libh2o's own timeouts wait for a wall clock that was set back. */
static void wait_at_most(struct http2_conn *conn, uint64_t ms)
{
    struct timers *timers = conn->context->timers;
    timer_arm(timers, &conn->linger_timer, timers_now(timers) + ms);
}

static void on_linger_timeout(struct timer *timer)
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
void http2_conn_linger(struct http2_conn *conn)
{
    if (!conn->lingering) {
        conn->lingering = 1;
        wait_at_most(conn, HTTP2_LINGER_MS);
    }
    if (conn->shut || conn->writing)
        return;
    conn->shut = 1;
    if (conn->tls != NULL)
        http2_tls_shutdown(conn);
    shutdown(h2o_socket_get_fd(conn->sock), SHUT_WR);
}

/* ---- the ends ---- */

void http2_conn_lost(struct http2_conn *conn)
{
    if (conn->state == HTTP2_CONN_LOST)
        return;
    conn->state = HTTP2_CONN_LOST;
    http2_streams_lose(conn);
}

void http2_conn_hang_up(struct http2_conn *conn)
{
    if (conn->state >= HTTP2_CONN_CLOSING)
        return;
    conn->state = HTTP2_CONN_CLOSING;
    http2_streams_lose(conn);
    http2_conn_touch(conn);
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
    http2_out_goaway(conn, last_served(conn), error, why);
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
    if (http2_calm_spend(&conn->calm, cost, timers_now(conn->context->timers)))
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
    http2_out_goaway(conn, INT32_MAX, HTTP2_NO_ERROR, why);
    http2_out_ping(conn, 0, ping);
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
    timer_disarm(conn->context->timers, &conn->linger_timer);
    http2_out_goaway(conn, conn->last_id, HTTP2_NO_ERROR, conn->drain_why);
}

void http2_conn_destroy(struct http2_conn *conn)
{
    struct http2_context *context = conn->context;
    http2_turn_enter(conn); /* handlers that are told now must not have it flushed */
    conn->state = HTTP2_CONN_LOST;
    http2_streams_lose(conn);
    http2_streams_reap(conn);
    http2_life_end(conn);
    timer_disarm(context->timers, &conn->linger_timer);
    if (h2o_linklist_is_linked(&conn->touched))
        h2o_linklist_unlink(&conn->touched);
    if (h2o_linklist_is_linked(&conn->waiting))
        h2o_linklist_unlink(&conn->waiting);
    h2o_linklist_unlink(&conn->link);
    if (conn->tls != NULL)
        http2_tls_free(conn);
    h2o_socket_close(conn->sock);
    hpack_table_dispose(&conn->decoder);
    http2_memo_dispose(&conn->memo);
    http2_out_free(conn);
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
    enum { BUCKETS = 8 };
    struct http2_conn *conn = malloc(sizeof(*conn));
    struct http2_stream **buckets = calloc(BUCKETS, sizeof(struct http2_stream *));
    if (conn == NULL || buckets == NULL) {
        free(conn);
        free(buckets);
        h2o_socket_close(sock);
        return NULL;
    }
    *conn = (struct http2_conn){
        .context = context,
        .sock = sock,
        .peer = H2O_HTTP2_SETTINGS_DEFAULT,
        .buckets = buckets,
        .num_buckets = BUCKETS,
        .goaway_id = INT32_MAX,
        .send_window = 65535,
        .recv_window = HTTP2_CONN_WINDOW,
        .budget = HTTP2_TURN_QUANTUM,
        .calm.credit = HTTP2_CREDIT_MAX,
        .linger_timer.expired = on_linger_timeout,
        .decoder.size = HPACK_TABLE_SIZE,
    };
    sock->data = conn;
    hpack_encoder_init(&conn->encoder);
    h2o_linklist_init_anchor(&conn->turns);
    h2o_linklist_init_anchor(&conn->stopped);
    h2o_linklist_init_anchor(&conn->closed);
    h2o_linklist_insert(&context->conns, &conn->link);
    context->counts.connections_accepted++;
    context->counts.connections_open++;
    http2_life_begin(conn);
    return conn;
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
    if (conn != NULL)
        http2_turn_start(conn);
}
