/* SPDX-License-Identifier: MIT */
/*
 * Turns: what a connection does before the others of its loop are served.
 *
 * Every callback of the loop enters by http2_turn_enter() and leaves by http2_turn_settle(), which
 * gives closed streams their on_close, lets waiting streams send, writes, and frees a lost
 * connection: so nothing disappears under a callback that is still running. Output that a
 * handler queues from elsewhere (a timer) is flushed by http2_context_run(), in the same turn of
 * the loop.
 *
 * A turn ends after HTTP2_TURN_US, or HTTP2_TURN_WORK bytes of work. What is left (frames in the
 * carry, messages in a stream's handler, output) waits: the connection stands in context->waiting,
 * and so does, before each read, one that has used up a turn lately (it is heavy). Those that stand
 * there share HTTP2_WAITING_US of each turn of the loop, one after the other, however many they
 * are. So whoever asks for little is served at once, beside any number of connections that ask
 * for as much as they can.
 *
 * Who is not known yet may ask for much, too. So when HTTP2_OVERS_MAX turns of one turn of the loop
 * were cut short, whoever else has something to read waits in context->fresh, and so does a new TLS
 * connection, for its first words have us sign. Fresh ones and waiting ones are served alternately.
 *
 * The clock is read when HTTP2_TURN_LOOK bytes of work are done, for the first time as the
 * beginning of what is measured: a turn that does little never reads it.
 */
#include <sys/socket.h>
#include <time.h>

#include "http2/conn.h"

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- a turn's measure ---- */

static void begin(struct http2_conn *conn)
{
    conn->over = 0;
    conn->turn_used = 0;
    conn->turn_look = HTTP2_TURN_LOOK;
    conn->turn_began_ns = 0;
    conn->written = 0;
}

void http2_turn_look(struct http2_conn *conn)
{
    uint32_t turn_us = conn->context->settings.turn_us;
    uint64_t now = clock_ns(), ns = UINT64_C(1000) * (turn_us != 0 ? turn_us : HTTP2_TURN_US);
    conn->turn_look = conn->turn_used + HTTP2_TURN_LOOK;
    if (conn->busy == 0)
        return; /* a timer's work is in nobody's turn */
    if (conn->turn_began_ns == 0)
        conn->turn_began_ns = now;
    if (conn->over || (now - conn->turn_began_ns < ns && conn->turn_used < HTTP2_TURN_WORK))
        return;
    conn->over = 1;
    conn->context->overs++;
    conn->heavy_until_ms = timers_now(conn->context->timers) + HTTP2_HEAVY_MS;
    http2_conn_limit(conn, HTTP2_LIMIT_TURN);
}

void http2_stream_work(struct http2_stream *stream, size_t bytes)
{
    http2_turn_spend(stream->conn, bytes < HTTP2_TURN_WORK ? (uint32_t)bytes : HTTP2_TURN_WORK);
}

bool http2_stream_in_turn(const struct http2_stream *stream)
{
    return !stream->conn->over;
}

void http2_stream_stop(struct http2_stream *stream)
{
    if (stream->closed || h2o_linklist_is_linked(&stream->stopped))
        return;
    h2o_linklist_insert(&stream->conn->stopped, &stream->stopped);
    http2_turn_wait(stream->conn);
}

/* ---- who waits ---- */

void http2_turn_wait(struct http2_conn *conn)
{
    if (!h2o_linklist_is_linked(&conn->waiting))
        h2o_linklist_insert(&conn->context->waiting, &conn->waiting);
}

void http2_conn_touch(struct http2_conn *conn)
{
    if (conn->busy == 0 && !h2o_linklist_is_linked(&conn->touched))
        h2o_linklist_insert(&conn->context->touched, &conn->touched);
}

/* ---- reading ---- */

static void on_readable(h2o_socket_t *sock, const char *err);

static void stop_reading(struct http2_conn *conn)
{
    if (!conn->reading_stopped) {
        h2o_socket_read_stop(conn->sock);
        conn->reading_stopped = 1;
    }
}

static bool has_more(const struct http2_conn *conn)
{
    return conn->unhandled || conn->readable || !http2_list_empty(&conn->stopped);
}

/* The socket is watched while what it brings would be handled. */
static void adjust_reading(struct http2_conn *conn)
{
    bool closing = conn->state == HTTP2_CONN_CLOSING;
    if (!closing && !http2_account_may_read(conn)) {
        if (!conn->reading_stopped)
            http2_conn_limit(conn, HTTP2_LIMIT_PENDING_OUTPUT);
        stop_reading(conn);
    } else if (!closing && has_more(conn)) {
        stop_reading(conn);
        http2_turn_wait(conn);
    } else if (conn->reading_stopped) {
        conn->reading_stopped = 0;
        h2o_socket_read_start(conn->sock, on_readable);
    }
}

/* ---- entering and leaving ---- */

void http2_turn_enter(struct http2_conn *conn)
{
    if (conn->busy++ == 0)
        begin(conn);
}

/* Streams send and the socket takes, as long as both go on and the turn lasts. */
static void send_all(struct http2_conn *conn)
{
    for (;;) {
        http2_out_pump(conn);
        http2_streams_reap(conn);
        if (conn->broken)
            http2_conn_lost(conn);
        if (conn->state == HTTP2_CONN_LOST)
            return;
        http2_write(conn);
        if (conn->writing || conn->state == HTTP2_CONN_LOST)
            return;
        bool more = !http2_list_empty(&conn->turns) && conn->send_window > 0 &&
                    conn->state < HTTP2_CONN_CLOSING;
        if (!more)
            return;
        if (conn->over || conn->written >= HTTP2_YIELD_BYTES) {
            http2_turn_wait(conn);
            return;
        }
    }
}

void http2_turn_settle(struct http2_conn *conn)
{
    if (conn->busy > 1) {
        conn->busy--;
        return;
    }
    send_all(conn);
    http2_streams_reap(conn);
    conn->busy = 0;
    if (conn->state == HTTP2_CONN_LOST) {
        http2_conn_destroy(conn);
        return;
    }
    if (conn->drained && conn->num_streams == 0 && conn->state == HTTP2_CONN_OPEN)
        conn->state = HTTP2_CONN_CLOSING;
    adjust_reading(conn);
    if (conn->state == HTTP2_CONN_CLOSING)
        http2_conn_linger(conn);
}

/* ---- a turn ---- */

static void go_on_with_streams(struct http2_conn *conn)
{
    const struct http2_handler *handler = conn->context->handler;
    while (!conn->over && conn->state < HTTP2_CONN_CLOSING && !http2_list_empty(&conn->stopped)) {
        struct http2_stream *stream =
            H2O_STRUCT_FROM_MEMBER(struct http2_stream, stopped, conn->stopped.next);
        h2o_linklist_unlink(&stream->stopped);
        handler->on_turn(stream);
    }
}

static void read_once(struct http2_conn *conn)
{
    size_t len;
    conn->readable = conn->unhandled = 0;
    if (!http2_input_read(conn, &len)) {
        http2_conn_lost(conn);
        return;
    }
    http2_input_handle(conn, conn->context->input, len);
    if (conn->tls != NULL && http2_tls_ended(conn) && !conn->unhandled)
        http2_conn_hang_up(conn);
}

static void take_turn(struct http2_conn *conn)
{
    http2_turn_enter(conn);
    go_on_with_streams(conn);
    if (conn->state == HTTP2_CONN_CLOSING) {
        if (!http2_input_discard(conn))
            http2_conn_lost(conn);
    } else if (!conn->over && (conn->unhandled || conn->readable) && http2_account_may_read(conn)) {
        read_once(conn);
    }
    http2_turn_settle(conn);
}

static bool is_heavy(const struct http2_conn *conn)
{
    return conn->heavy_until_ms != 0 && timers_now(conn->context->timers) < conn->heavy_until_ms;
}

static bool is_fresh(const struct http2_conn *conn)
{
    return conn->context->overs >= HTTP2_OVERS_MAX || (conn->tls != NULL && http2_tls_is_new(conn));
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct http2_conn *conn = sock->data;
    if (err != NULL) {
        http2_turn_enter(conn);
        http2_conn_lost(conn);
        http2_turn_settle(conn);
        return;
    }
    conn->readable = 1;
    http2_input_came(conn);
    bool waits = conn->waiting.next != NULL, heavy = is_heavy(conn);
    if (conn->state == HTTP2_CONN_CLOSING || !(waits || heavy || is_fresh(conn))) {
        take_turn(conn);
        return;
    }
    stop_reading(conn);
    if (!waits)
        h2o_linklist_insert(heavy ? &conn->context->waiting : &conn->context->fresh,
                            &conn->waiting);
}

void http2_turn_start(struct http2_conn *conn)
{
    h2o_socket_dont_read(conn->sock, 1);
    h2o_socket_read_start(conn->sock, on_readable);
}

/* ---- the loop's turn ---- */

static struct http2_conn *first_of(h2o_linklist_t *list, size_t offset)
{
    struct http2_conn *conn = (struct http2_conn *)((uint8_t *)list->next - offset);
    h2o_linklist_unlink(list->next);
    return conn;
}

static void flush_touched(struct http2_context *context)
{
    while (!http2_list_empty(&context->touched)) {
        struct http2_conn *conn = first_of(&context->touched, offsetof(struct http2_conn, touched));
        http2_turn_enter(conn);
        http2_turn_settle(conn);
    }
}

static bool somebody_waits(const struct http2_context *context)
{
    return !http2_list_empty(&context->fresh) || !http2_list_empty(&context->waiting);
}

bool http2_context_pending(const struct http2_context *context)
{
    return !http2_list_empty(&context->touched) || somebody_waits(context);
}

static void give_turn(h2o_linklist_t *list)
{
    if (!http2_list_empty(list))
        take_turn(first_of(list, offsetof(struct http2_conn, waiting)));
}

bool http2_context_run(struct http2_context *context)
{
    flush_touched(context);
    if (somebody_waits(context)) {
        uint64_t until = clock_ns() + HTTP2_WAITING_US * UINT64_C(1000);
        do {
            give_turn(&context->fresh);
            give_turn(&context->waiting);
        } while (somebody_waits(context) && clock_ns() < until);
        flush_touched(context);
    }
    context->overs = 0;
    return http2_context_pending(context);
}
