/* SPDX-License-Identifier: MIT */
#include "http2/loop.h"

#include <assert.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "http2/account.h"
#include "http2/conn.h"
#include "http2/conn_error.h"
#include "http2/drain.h"
#include "http2/input.h"
#include "http2/response.h"
#include "http2/stream.h"
#include "http2/transport.h"
#include "http2/turn.h"
#include "http2/write.h"

static void on_conn_readable(h2o_socket_t *sock, const char *err);
static void on_conn_writable(h2o_socket_t *sock, const char *err);

/* ---- what the socket is watched for ---- */

static void stop_reading(struct http2_conn *conn)
{
    if (!conn->reading_stopped) {
        h2o_socket_read_stop(conn->sock);
        conn->reading_stopped = 1;
    }
}

static bool has_more_to_do(const struct http2_conn *conn)
{
    return conn->unhandled || conn->readable || !http2_list_empty(&conn->stopped);
}

/* The socket is watched for input only while that input would be handled. */
static void adjust_reading(struct http2_conn *conn)
{
    bool closing = conn->state == HTTP2_CONN_CLOSING;
    if (!closing && !http2_account_may_read(conn)) {
        if (!conn->reading_stopped)
            http2_conn_limit(conn, HTTP2_LIMIT_PENDING_OUTPUT);
        stop_reading(conn);
    } else if (!closing && has_more_to_do(conn)) {
        stop_reading(conn);
        http2_turn_wait(conn);
    } else if (conn->reading_stopped) {
        conn->reading_stopped = 0;
        h2o_socket_read_start(conn->sock, on_conn_readable);
    }
}

static void adjust_writing(struct http2_conn *conn)
{
    if (conn->writing && !h2o_socket_is_writing(conn->sock))
        h2o_socket_notify_write(conn->sock, on_conn_writable);
}

/* ---- entering and settling ---- */

static void loop_enter(struct http2_conn *conn)
{
    if (conn->busy++ == 0)
        http2_turn_begin(conn);
}

/* Alternates between streams that send and writing, until one of them stops or the turn is over. */
static void send_and_write(struct http2_conn *conn)
{
    for (;;) {
        http2_response_pump(conn);
        http2_streams_reap(conn);
        if (conn->out_failed)
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

/* The connection may be freed when this returns. */
static void loop_settle(struct http2_conn *conn)
{
    assert(conn->busy != 0);
    if (conn->busy > 1) {
        conn->busy--;
        return;
    }
    send_and_write(conn);
    http2_streams_reap(conn);
    conn->busy = 0;
    if (conn->state == HTTP2_CONN_LOST) {
        http2_conn_destroy(conn);
        return;
    }
    if (conn->drain_phase == HTTP2_DRAIN_FINAL && conn->num_streams == 0 &&
        conn->state == HTTP2_CONN_OPEN)
        conn->state = HTTP2_CONN_CLOSING;
    adjust_reading(conn);
    adjust_writing(conn);
    if (conn->state == HTTP2_CONN_CLOSING)
        http2_drain_linger(conn);
}

/* ---- a turn ---- */

static void continue_stopped_streams(struct http2_conn *conn)
{
    const struct http2_handler *handler = conn->context->handler;
    while (!conn->over && conn->state < HTTP2_CONN_CLOSING && !http2_list_empty(&conn->stopped)) {
        struct http2_stream *stream =
            container_of(conn->stopped.next, struct http2_stream, stopped);
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
    if (!conn->unhandled && conn->transport->ended(conn))
        http2_conn_hang_up(conn);
}

static void take_conn_turn(struct http2_conn *conn)
{
    loop_enter(conn);
    continue_stopped_streams(conn);
    if (conn->state == HTTP2_CONN_CLOSING) {
        if (!http2_input_discard(conn))
            http2_conn_lost(conn);
    } else if (!conn->over && (conn->unhandled || conn->readable) && http2_account_may_read(conn)) {
        read_once(conn);
    }
    loop_settle(conn);
}

static bool is_heavy(const struct http2_conn *conn)
{
    return conn->heavy_until_ms != 0 && timers_now(conn->context->timers) < conn->heavy_until_ms;
}

static bool is_fresh(const struct http2_conn *conn)
{
    return conn->context->overs >= HTTP2_OVERS_MAX || conn->transport->is_new(conn);
}

static void lose_connection(struct http2_conn *conn)
{
    loop_enter(conn);
    http2_conn_lost(conn);
    loop_settle(conn);
}

static void on_conn_readable(h2o_socket_t *sock, const char *err)
{
    struct http2_conn *conn = sock->data;
    if (err != NULL) {
        lose_connection(conn);
        return;
    }
    conn->readable = 1;
    http2_input_came(conn);
    bool waits = h2o_linklist_is_linked(&conn->waiting), heavy = is_heavy(conn);
    if (conn->state == HTTP2_CONN_CLOSING || !(waits || heavy || is_fresh(conn))) {
        take_conn_turn(conn);
        return;
    }
    stop_reading(conn);
    if (!waits)
        h2o_linklist_insert(heavy ? &conn->context->waiting : &conn->context->fresh,
                            &conn->waiting);
}

static void on_conn_writable(h2o_socket_t *sock, const char *err)
{
    struct http2_conn *conn = sock->data;
    conn->writing = 0;
    if (err != NULL) {
        lose_connection(conn);
        return;
    }
    loop_enter(conn);
    loop_settle(conn);
}

void http2_loop_start(struct http2_conn *conn)
{
    h2o_socket_dont_read(conn->sock, 1);
    h2o_socket_read_start(conn->sock, on_conn_readable);
}

/* ---- the loop's turn ---- */

static void flush_touched(struct http2_context *context)
{
    while (!http2_list_empty(&context->touched)) {
        struct http2_conn *conn = container_of(context->touched.next, struct http2_conn, touched);
        h2o_linklist_unlink(&conn->touched);
        loop_enter(conn);
        loop_settle(conn);
    }
}

static bool is_any_waiting(const struct http2_context *context)
{
    return !http2_list_empty(&context->fresh) || !http2_list_empty(&context->waiting);
}

bool http2_context_pending(const struct http2_context *context)
{
    return !http2_list_empty(&context->touched) || is_any_waiting(context);
}

/* Gives a turn to the first connection in the list, if there is one. */
static void give_conn_turn(h2o_linklist_t *list)
{
    if (http2_list_empty(list))
        return;
    struct http2_conn *conn = container_of(list->next, struct http2_conn, waiting);
    h2o_linklist_unlink(&conn->waiting);
    take_conn_turn(conn);
}

bool http2_context_run(struct http2_context *context)
{
    flush_touched(context);
    if (is_any_waiting(context)) {
        uint64_t until = clock_monotonic_ns() + HTTP2_WAITING_US * UINT64_C(1000);
        do {
            give_conn_turn(&context->fresh);
            give_conn_turn(&context->waiting);
        } while (is_any_waiting(context) && clock_monotonic_ns() < until);
        flush_touched(context);
    }
    context->overs = 0;
    return http2_context_pending(context);
}
