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
 *
 * Plain sockets are read here and not by libh2o: one read of a shared buffer a
 * turn, no buffer for an idle connection, and the bytes of a secret lie in one
 * place, where they can be overwritten.
 */
#include "http2/conn.h"

#include <errno.h>
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

static void keep_carry(struct http2_conn *conn, uint8_t *bytes, size_t len)
{
    if (len == 0)
        return;
    conn->carry = h2o_mem_alloc(len);
    memcpy(conn->carry, bytes, len);
    conn->carry_len = len;
    explicit_bzero(bytes, len); /* may be half of a secret, and nobody will look at it here */
}

static size_t take_carry(struct http2_conn *conn, uint8_t *dst)
{
    size_t len = conn->carry_len;
    if (len == 0)
        return 0;
    memcpy(dst, conn->carry, len);
    explicit_bzero(conn->carry, len);
    free(conn->carry);
    conn->carry = NULL;
    conn->carry_len = 0;
    return len;
}

/* The bytes that came, behind those carried over. @return false: nothing more will come */
static bool read_input(struct http2_conn *conn, size_t *len)
{
    uint8_t *input = conn->context->input;
    size_t carried = take_carry(conn, input);
    ssize_t n;
    if (conn->sock->ssl != NULL) {
        /* libh2o decrypted into its own buffer; what does not fit now waits there */
        h2o_buffer_t *src = conn->sock->input;
        n = (ssize_t)(src->size < HTTP2_READ_SIZE ? src->size : HTTP2_READ_SIZE);
        memcpy(input + carried, src->bytes, (size_t)n);
        explicit_bzero(src->bytes, (size_t)n);
        h2o_buffer_consume(&conn->sock->input, (size_t)n);
    } else {
        do
            n = read(h2o_socket_get_fd(conn->sock), input + carried, HTTP2_READ_SIZE);
        while (n < 0 && errno == EINTR);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
            return false;
        if (n < 0)
            n = 0;
    }
    conn->context->counts.bytes_in += (uint64_t)n;
    *len = carried + (size_t)n;
    return true;
}

/* Not our preface. HTTP/1 deserves an answer that its client can show.
 * @return bytes used, 0 to wait for the rest of what may be a request line */
static size_t refuse_preface(struct http2_conn *conn, const uint8_t *src, size_t len)
{
    static const char text[] = "HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n"
                               "Content-Type: text/plain\r\nContent-Length: 37\r\n\r\n"
                               "This port speaks HTTP/2 (gRPC) only.\n";
    enum { REQUEST_LINE_MAX = 2048 };
    const uint8_t *line_end = memchr(src, '\n', len);
    bool may_be_method = src[0] >= 'A' && src[0] <= 'Z';
    if (line_end == NULL && may_be_method && len < REQUEST_LINE_MAX)
        return 0;
    size_t line = line_end != NULL ? (size_t)(line_end - src) : 0;
    if (memmem(src, line, " HTTP/1.", 8) == NULL) {
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "not the HTTP/2 connection preface");
        return len;
    }
    memcpy(http2_out_room(conn, sizeof(text) - 1), text, sizeof(text) - 1);
    conn->out->size += sizeof(text) - 1;
    conn->state = HTTP2_CONN_CLOSING;
    return len;
}

static void send_preface(struct http2_conn *conn)
{
    const struct http2_settings *settings = &conn->context->settings;
    const struct {
        uint16_t id;
        uint32_t value;
    } values[] = {{H2O_HTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings->max_concurrent_streams},
                  {H2O_HTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
                  {H2O_HTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings->max_header_list_size}};
    size_t num = sizeof(values) / sizeof(values[0]);
    uint8_t *dst = http2_out_room(conn, H2O_HTTP2_FRAME_HEADER_SIZE + 6 * num);
    uint8_t *end = h2o_http2_encode_frame_header(dst, 6 * num, H2O_HTTP2_FRAME_TYPE_SETTINGS, 0, 0);
    for (size_t i = 0; i != num; i++) {
        *end++ = (uint8_t)(values[i].id >> 8);
        *end++ = (uint8_t)values[i].id;
        end = h2o_http2_encode32u(end, values[i].value);
    }
    conn->out->size += (size_t)(end - dst);
    h2o_http2_encode_window_update_frame(&conn->out, 0, HTTP2_CONN_WINDOW - 65535);
}

/* @return bytes used, 0 to wait for more */
static size_t handle_preface(struct http2_conn *conn, const uint8_t *src, size_t len)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    size_t whole = sizeof(preface) - 1;
    if (memcmp(src, preface, len < whole ? len : whole) != 0)
        return refuse_preface(conn, src, len);
    if (len < whole)
        return 0;
    send_preface(conn);
    conn->state = HTTP2_CONN_SETTINGS;
    return whole;
}

static void handle_input(struct http2_conn *conn, uint8_t *src, size_t len)
{
    size_t used = 0;
    if (conn->state == HTTP2_CONN_PREFACE && len != 0)
        used = handle_preface(conn, src, len);
    if (conn->state == HTTP2_CONN_SETTINGS || conn->state == HTTP2_CONN_OPEN)
        used += http2_frames_handle(conn, src + used, len - used);
    if (conn->state < HTTP2_CONN_CLOSING)
        keep_carry(conn, src + used, len - used);
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

static void on_linger_timeout(h2o_timeout_entry_t *entry)
{
    struct http2_conn *conn = H2O_STRUCT_FROM_MEMBER(struct http2_conn, linger_timer, entry);
    if (conn->state == HTTP2_CONN_CLOSING)
        http2_conn_destroy(conn);
    else
        http2_conn_drain_finish(conn);
}

/* The last words get a second to be written; then, by FIN, the peer is told, and its own FIN is
 * waited for: to close over unread input would reset the connection and lose them. */
static void linger(struct http2_conn *conn)
{
    if (!conn->lingering) {
        conn->lingering = 1;
        h2o_timeout_unlink(&conn->linger_timer);
        h2o_timeout_link(conn->context->loop, &conn->context->linger_timeout, &conn->linger_timer);
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
    if (err != NULL || !read_input(conn, &len))
        http2_conn_lost(conn);
    else
        handle_input(conn, conn->context->input, len);
    while (sock->ssl != NULL && sock->input->size != 0 && conn->state != HTTP2_CONN_LOST &&
           read_input(conn, &len))
        handle_input(conn, conn->context->input, len);
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

void http2_conn_fail(struct http2_conn *conn, enum http2_error error, const char *why)
{
    if (conn->state >= HTTP2_CONN_CLOSING)
        return;
    h2o_iovec_t debug = {(char *)(uintptr_t)why, strlen(why)};
    http2_out_close_data(conn);
    h2o_http2_encode_goaway_frame(&conn->out, last_served(conn), -(int)error, debug);
    conn->state = HTTP2_CONN_CLOSING;
    conn->context->counts.protocol_errors++;
    http2_streams_lose(conn);
    http2_conn_touch(conn);
}

bool http2_conn_spend(struct http2_conn *conn, int32_t cost)
{
    if (http2_calm_spend(&conn->calm, cost, h2o_now(conn->context->loop)))
        return true;
    http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM, "too many frames that do nothing");
    return false;
}

/* RFC 9113 6.8: first a GOAWAY that refuses nothing, then, once a PING shows that the peer
 * has seen it, one that says which streams are the last. */
void http2_conn_drain(struct http2_conn *conn)
{
    static const uint8_t ping[8] = "drain";
    if (conn->draining || conn->state >= HTTP2_CONN_CLOSING)
        return;
    conn->draining = 1;
    if (conn->state != HTTP2_CONN_OPEN) {
        conn->state = HTTP2_CONN_CLOSING; /* nothing was asked yet */
        http2_conn_touch(conn);
        return;
    }
    http2_out_close_data(conn);
    h2o_http2_encode_goaway_frame(&conn->out, INT32_MAX, 0, h2o_iovec_init(NULL, 0));
    h2o_http2_encode_ping_frame(&conn->out, 0, ping);
    h2o_timeout_link(conn->context->loop, &conn->context->linger_timeout, &conn->linger_timer);
    http2_conn_touch(conn);
}

void http2_conn_drain_finish(struct http2_conn *conn)
{
    if (conn->drained || conn->state != HTTP2_CONN_OPEN)
        return;
    conn->drained = 1;
    conn->goaway_id = conn->last_id;
    h2o_timeout_unlink(&conn->linger_timer);
    http2_out_close_data(conn);
    h2o_http2_encode_goaway_frame(&conn->out, conn->last_id, 0, h2o_iovec_init(NULL, 0));
    http2_conn_touch(conn);
}

void http2_conn_destroy(struct http2_conn *conn)
{
    struct http2_context *context = conn->context;
    conn_enter(conn); /* handlers that are told now must not have it flushed */
    conn->state = HTTP2_CONN_LOST;
    http2_streams_lose(conn);
    http2_streams_reap(conn);
    h2o_timeout_unlink(&conn->flush_timer);
    h2o_timeout_unlink(&conn->linger_timer);
    h2o_linklist_unlink(&conn->link);
    h2o_socket_close(conn->sock);
    h2o_hpack_dispose_header_table(&conn->decoder);
    http2_memo_forget(&conn->memo);
    h2o_buffer_dispose(&conn->out);
    if (conn->out_in_flight != NULL)
        h2o_buffer_dispose(&conn->out_in_flight);
    if (conn->carry != NULL)
        explicit_bzero(conn->carry, conn->carry_len);
    free(conn->carry);
    free(conn->block);
    free(conn->buckets);
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
        .linger_timer.cb = on_linger_timeout,
    };
    conn->decoder.hpack_capacity = conn->decoder.hpack_max_capacity = 4096;
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
    return conn;
}

void http2_accept(struct http2_context *context, h2o_socket_t *sock)
{
    struct http2_conn *conn = http2_conn_create(context, sock);
    sock->data = conn;
    if (sock->ssl == NULL)
        h2o_socket_dont_read(sock, 1);
    h2o_socket_read_start(sock, on_read);
}
