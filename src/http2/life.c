/* SPDX-License-Identifier: MIT */
/*
 * How long a connection may live, idle, stay silent or dawdle: gRPC's A9
 * (max_age, max_idle, keepalive), and the times to a complete handshake and a
 * complete frame or header block.
 *
 * One timer a connection, armed lazily: requests move none of it. It fires at
 * the earliest moment at which something may be due, looks, and is armed anew.
 * While streams are open an idle time-out cannot be due before max_idle from now.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "http2/conn.h"

static const uint64_t never = UINT64_MAX;

static uint64_t now_of(const struct http2_conn *conn)
{
    return timers_now(conn->context->timers);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void close_silently(struct http2_conn *conn, enum http2_limit limit)
{
    http2_conn_limit(conn, limit);
    http2_conn_lost(conn);
    http2_conn_touch(conn);
}

/* Each returns when to look again. */

static uint64_t look_at_handshake(struct http2_conn *conn, uint64_t now)
{
    uint64_t timeout = conn->context->settings.handshake_timeout;
    if (timeout == 0)
        return never;
    if (now < conn->accepted_ms + timeout)
        return conn->accepted_ms + timeout;
    if (conn->state == HTTP2_CONN_PREFACE) { /* whatever it is, it has not spoken HTTP/2 */
        close_silently(conn, HTTP2_LIMIT_HANDSHAKE_TIME);
        return never;
    }
    http2_conn_limit(conn, HTTP2_LIMIT_HANDSHAKE_TIME);
    http2_conn_fail(conn, HTTP2_SETTINGS_TIMEOUT, "handshake_timeout");
    return never;
}

static uint64_t look_at_frame(struct http2_conn *conn, uint64_t now)
{
    if (conn->partial_ms == 0)
        return never;
    if (conn->reading_stopped) /* it is we who do not read */
        conn->partial_ms = now;
    if (now < conn->partial_ms + HTTP2_FRAME_TIME_MS)
        return conn->partial_ms + HTTP2_FRAME_TIME_MS;
    http2_conn_limit(conn, HTTP2_LIMIT_HEADER_TIME);
    http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM, "a frame or header block takes too long");
    return never;
}

static uint64_t look_at_age(struct http2_conn *conn, uint64_t now)
{
    const struct http2_settings *settings = &conn->context->settings;
    if (settings->max_age == 0)
        return never;
    if (now < conn->age_at_ms)
        return conn->age_at_ms;
    if (!conn->aged) {
        conn->aged = 1;
        http2_conn_limit(conn, HTTP2_LIMIT_AGE);
        http2_conn_drain(conn, "max_age");
    }
    if (settings->max_age_grace == 0)
        return never; /* its streams end some time */
    if (now < conn->age_at_ms + settings->max_age_grace)
        return conn->age_at_ms + settings->max_age_grace;
    http2_conn_end(conn, HTTP2_NO_ERROR, "max_age");
    return never;
}

static uint64_t look_at_idle(struct http2_conn *conn, uint64_t now)
{
    uint64_t max = conn->context->settings.max_idle;
    if (max == 0 || conn->draining)
        return never;
    if (conn->num_streams != 0)
        return now + max;
    if (now < conn->idle_ms + max)
        return conn->idle_ms + max;
    http2_conn_limit(conn, HTTP2_LIMIT_IDLE);
    http2_conn_drain(conn, "max_idle");
    return never;
}

static uint64_t look_at_keepalive(struct http2_conn *conn, uint64_t now)
{
    static const uint8_t ping[8] = HTTP2_PING_KEEPALIVE;
    const struct http2_settings *settings = &conn->context->settings;
    if (settings->keepalive_time == 0)
        return never;
    if (conn->ping_ms != 0) { /* nothing came since it went out */
        if (now < conn->ping_ms + settings->keepalive_timeout)
            return conn->ping_ms + settings->keepalive_timeout;
        close_silently(conn, HTTP2_LIMIT_KEEPALIVE);
        return never;
    }
    if (now < conn->read_ms + settings->keepalive_time)
        return conn->read_ms + settings->keepalive_time;
    conn->ping_ms = now;
    http2_out_ping(conn, 0, ping);
    return now + settings->keepalive_timeout;
}

static void look(struct http2_conn *conn)
{
    uint64_t now = now_of(conn), at = never;
    if (conn->state < HTTP2_CONN_OPEN)
        at = look_at_handshake(conn, now);
    if (conn->state < HTTP2_CONN_CLOSING)
        at = earlier(at, look_at_frame(conn, now));
    if (conn->state == HTTP2_CONN_OPEN)
        at = earlier(at, look_at_age(conn, now));
    if (conn->state == HTTP2_CONN_OPEN)
        at = earlier(at, look_at_idle(conn, now));
    if (conn->state == HTTP2_CONN_OPEN)
        at = earlier(at, look_at_keepalive(conn, now));
    if (conn->state < HTTP2_CONN_CLOSING && at != never)
        timer_arm(conn->context->timers, &conn->life_timer, at);
}

static void on_life(struct timer *timer)
{
    look(H2O_STRUCT_FROM_MEMBER(struct http2_conn, life_timer, timer));
}

/* A tenth more or less, so that connections which came together do not all go together (A9). */
static uint64_t with_jitter(uint64_t ms)
{
    uint32_t random = UINT32_MAX / 2;
    uint64_t tenth = ms / 10;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        random = UINT32_MAX / 2; /* without jitter, then */
    return ms - tenth + 2 * tenth * random / UINT32_MAX;
}

/* What a dead peer has not acknowledged is given up no later than the keepalive would give it up,
 * and no later than the kernel would by itself. No shorter: the kernel takes a peer that has
 * stopped to read for a dead one. */
static void bound_unacknowledged(struct http2_conn *conn)
{
    const struct http2_settings *settings = &conn->context->settings;
    uint64_t ms = settings->keepalive_time + settings->keepalive_timeout;
    if (settings->keepalive_time == 0 || ms > HTTP2_KERNEL_GIVES_UP_MS)
        return;
    unsigned timeout = (unsigned)ms; /* fails on a unix socket, whose peer cannot vanish */
    setsockopt(h2o_socket_get_fd(conn->sock), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
               sizeof(timeout));
}

void http2_life_begin(struct http2_conn *conn)
{
    const struct http2_settings *settings = &conn->context->settings;
    int unsent = HTTP2_UNSENT_MAX;
    conn->accepted_ms = conn->read_ms = conn->idle_ms = now_of(conn);
    if (settings->max_age != 0)
        conn->age_at_ms = conn->accepted_ms + with_jitter(settings->max_age);
    bound_unacknowledged(conn);
    setsockopt(h2o_socket_get_fd(conn->sock), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent,
               sizeof(unsent));
    conn->life_timer.expired = on_life;
    look(conn);
}

void http2_life_open(struct http2_conn *conn)
{
    look(conn);
}

void http2_life_end(struct http2_conn *conn)
{
    timer_disarm(conn->context->timers, &conn->life_timer);
}

void http2_life_partial(struct http2_conn *conn, bool progress)
{
    bool partial = conn->carry_len != 0 || conn->block_stream != 0;
    if (!partial) {
        conn->partial_ms = 0;
        return;
    }
    if (conn->partial_ms != 0 && (!progress || conn->block_stream != 0))
        return;
    conn->partial_ms = now_of(conn);
    uint64_t at = conn->partial_ms + HTTP2_FRAME_TIME_MS;
    if (!timer_armed(&conn->life_timer) || conn->life_timer.at > at)
        timer_arm(conn->context->timers, &conn->life_timer, at);
}
