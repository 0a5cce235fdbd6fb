/* SPDX-License-Identifier: MIT */
#include "http2/drain.h"

#include <assert.h>
#include <sys/socket.h>

#include "base/container_of.h"
#include "http2/conn_error.h"
#include "http2/out.h"
#include "http2/transport.h"
#include "http2/turn.h"

static void enter_phase(struct http2_conn *conn, enum http2_drain_phase phase)
{
    assert(phase > conn->drain_phase);
    conn->drain_phase = phase;
}

/* By the monotonic clock: libh2o's own time-outs wait longer where a wall clock is set back. */
static void arm_drain_timer(struct http2_conn *conn, uint64_t ms)
{
    struct timers *timers = conn->context->timers;
    timer_arm(timers, &conn->drain_timer, timers_now(timers) + ms);
}

static void send_first_goaway(struct http2_conn *conn)
{
    static const uint8_t ping[8] = HTTP2_PING_DRAIN;
    enter_phase(conn, HTTP2_DRAIN_ANNOUNCED);
    http2_out_goaway(conn, INT32_MAX, HTTP2_NO_ERROR, conn->drain_why);
    http2_out_ping(conn, 0, ping);
    arm_drain_timer(conn, HTTP2_LINGER_MS);
    http2_turn_touch(conn);
}

static void send_final_goaway(struct http2_conn *conn)
{
    enter_phase(conn, HTTP2_DRAIN_FINAL);
    conn->goaway_id = conn->last_id;
    timer_disarm(conn->context->timers, &conn->drain_timer);
    http2_out_goaway(conn, conn->last_id, HTTP2_NO_ERROR, conn->drain_why);
}

static void drain_give_up(struct http2_conn *conn)
{
    http2_conn_lost(conn);
    http2_turn_touch(conn);
}

static void on_drain_timer(struct timer *timer)
{
    struct http2_conn *conn = container_of(timer, struct http2_conn, drain_timer);
    switch (conn->drain_phase) {
    case HTTP2_DRAIN_DUE:
        if (conn->state == HTTP2_CONN_OPEN)
            send_first_goaway(conn);
        else if (conn->state < HTTP2_CONN_OPEN) /* the handshake has not ended in time */
            drain_give_up(conn);
        break;
    case HTTP2_DRAIN_ANNOUNCED:
        if (conn->state == HTTP2_CONN_OPEN)
            send_final_goaway(conn);
        break;
    case HTTP2_DRAIN_LINGERING:
    case HTTP2_DRAIN_SHUT:
        drain_give_up(conn);
        break;
    case HTTP2_DRAIN_NONE:
    case HTTP2_DRAIN_FINAL:
        assert(!"the drain timer fired in a phase that does not arm it");
    }
}

void http2_drain_init(struct http2_conn *conn)
{
    conn->drain_timer.expired = on_drain_timer;
}

void http2_drain_dispose(struct http2_conn *conn)
{
    timer_disarm(conn->context->timers, &conn->drain_timer);
}

void http2_drain_begin(struct http2_conn *conn, const char *why)
{
    if (conn->drain_phase != HTTP2_DRAIN_NONE || conn->state >= HTTP2_CONN_CLOSING)
        return;
    enter_phase(conn, HTTP2_DRAIN_DUE);
    conn->drain_why = why;
    if (conn->state != HTTP2_CONN_OPEN) {
        if (conn->context->settings.handshake_timeout == 0) /* else life.c bounds the handshake */
            arm_drain_timer(conn, HTTP2_LINGER_MS);
    } else if (conn->num_streams == 0) {
        arm_drain_timer(conn, HTTP2_QUIET_MS);
    } else {
        send_first_goaway(conn);
    }
}

void http2_drain_conn_opened(struct http2_conn *conn)
{
    assert(conn->state == HTTP2_CONN_OPEN);
    if (conn->drain_phase == HTTP2_DRAIN_DUE)
        arm_drain_timer(conn, HTTP2_QUIET_MS);
}

void http2_drain_stream_opened(struct http2_conn *conn)
{
    if (conn->drain_phase == HTTP2_DRAIN_DUE)
        send_first_goaway(conn);
}

void http2_drain_acknowledged(struct http2_conn *conn)
{
    if (conn->drain_phase == HTTP2_DRAIN_ANNOUNCED && conn->state == HTTP2_CONN_OPEN)
        send_final_goaway(conn);
}

void http2_drain_linger(struct http2_conn *conn)
{
    assert(conn->state == HTTP2_CONN_CLOSING);
    if (conn->drain_phase < HTTP2_DRAIN_LINGERING) {
        enter_phase(conn, HTTP2_DRAIN_LINGERING);
        arm_drain_timer(conn, HTTP2_LINGER_MS);
    }
    if (conn->drain_phase == HTTP2_DRAIN_SHUT || conn->writing)
        return;
    enter_phase(conn, HTTP2_DRAIN_SHUT);
    conn->transport->shutdown(conn);
    shutdown(h2o_socket_get_fd(conn->sock), SHUT_WR);
}
