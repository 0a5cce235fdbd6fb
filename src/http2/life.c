/* SPDX-License-Identifier: MIT */
#include "http2/life.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/param.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "http2/conn_error.h"
#include "http2/drain.h"
#include "http2/out.h"
#include "http2/turn.h"

static uint64_t conn_now(const struct http2_conn *conn)
{
    return timers_now(conn->context->timers);
}

static void close_silently(struct http2_conn *conn, enum http2_limit limit)
{
    http2_conn_limit(conn, limit);
    http2_conn_lost(conn);
    http2_turn_touch(conn);
}

/* Each of these handles what is due, and returns when to look again. */

static uint64_t look_at_handshake(struct http2_conn *conn, uint64_t now)
{
    uint64_t timeout = conn->context->settings.handshake_timeout;
    if (timeout == 0)
        return CLOCK_NEVER_MS;
    if (now < conn->accepted_ms + timeout)
        return conn->accepted_ms + timeout;
    if (conn->state == HTTP2_CONN_PREFACE) { /* a GOAWAY means nothing to this peer */
        close_silently(conn, HTTP2_LIMIT_HANDSHAKE_TIME);
        return CLOCK_NEVER_MS;
    }
    http2_conn_limit(conn, HTTP2_LIMIT_HANDSHAKE_TIME);
    http2_conn_fail(conn, HTTP2_SETTINGS_TIMEOUT, "handshake_timeout");
    return CLOCK_NEVER_MS;
}

static uint64_t look_at_frame(struct http2_conn *conn, uint64_t now)
{
    if (conn->partial_ms == 0)
        return CLOCK_NEVER_MS;
    if (conn->reading_stopped) /* the peer cannot continue: we do not read */
        conn->partial_ms = now;
    if (now < conn->partial_ms + HTTP2_FRAME_TIME_MS)
        return conn->partial_ms + HTTP2_FRAME_TIME_MS;
    http2_conn_limit(conn, HTTP2_LIMIT_HEADER_TIME);
    http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM, "a frame or header block takes too long");
    return CLOCK_NEVER_MS;
}

static uint64_t look_at_age(struct http2_conn *conn, uint64_t now)
{
    const struct http2_settings *settings = &conn->context->settings;
    if (settings->max_age == 0)
        return CLOCK_NEVER_MS;
    if (now < conn->age_at_ms)
        return conn->age_at_ms;
    if (!conn->aged) {
        conn->aged = 1;
        http2_conn_limit(conn, HTTP2_LIMIT_AGE);
        http2_drain_begin(conn, "max_age");
    }
    if (settings->max_age_grace == 0)
        return CLOCK_NEVER_MS; /* the connection lasts until its streams end */
    if (now < conn->age_at_ms + settings->max_age_grace)
        return conn->age_at_ms + settings->max_age_grace;
    http2_conn_end(conn, HTTP2_NO_ERROR, "max_age");
    return CLOCK_NEVER_MS;
}

static uint64_t look_at_idle(struct http2_conn *conn, uint64_t now)
{
    uint64_t max = conn->context->settings.max_idle;
    if (max == 0 || conn->drain_phase != HTTP2_DRAIN_NONE)
        return CLOCK_NEVER_MS;
    if (conn->num_streams != 0)
        return now + max;
    if (now < conn->idle_ms + max)
        return conn->idle_ms + max;
    http2_conn_limit(conn, HTTP2_LIMIT_IDLE);
    http2_drain_begin(conn, "max_idle");
    return CLOCK_NEVER_MS;
}

static uint64_t look_at_keepalive(struct http2_conn *conn, uint64_t now)
{
    static const uint8_t ping[8] = HTTP2_PING_KEEPALIVE;
    const struct http2_settings *settings = &conn->context->settings;
    if (settings->keepalive_time == 0)
        return CLOCK_NEVER_MS;
    if (conn->ping_ms != 0) { /* nothing has come since the PING was sent */
        if (now < conn->ping_ms + settings->keepalive_timeout)
            return conn->ping_ms + settings->keepalive_timeout;
        close_silently(conn, HTTP2_LIMIT_KEEPALIVE);
        return CLOCK_NEVER_MS;
    }
    if (now < conn->read_ms + settings->keepalive_time)
        return conn->read_ms + settings->keepalive_time;
    conn->ping_ms = now;
    http2_out_ping(conn, 0, ping);
    return now + settings->keepalive_timeout;
}

/* Each check may change the connection's state, which decides whether the next one is made. */
static void look_at_life(struct http2_conn *conn)
{
    static const struct {
        enum http2_conn_state first, last; /* the states in which the check is made */
        uint64_t (*check)(struct http2_conn *conn, uint64_t now);
    } checks[] = {
        {HTTP2_CONN_PREFACE, HTTP2_CONN_SETTINGS, look_at_handshake},
        {HTTP2_CONN_PREFACE, HTTP2_CONN_OPEN, look_at_frame},
        {HTTP2_CONN_OPEN, HTTP2_CONN_OPEN, look_at_age},
        {HTTP2_CONN_OPEN, HTTP2_CONN_OPEN, look_at_idle},
        {HTTP2_CONN_OPEN, HTTP2_CONN_OPEN, look_at_keepalive},
    };
    uint64_t now = conn_now(conn), at = CLOCK_NEVER_MS;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (conn->state < checks[i].first || conn->state > checks[i].last)
            continue;
        uint64_t due = checks[i].check(conn, now);
        at = MIN(at, due);
    }
    if (conn->state < HTTP2_CONN_CLOSING && at != CLOCK_NEVER_MS)
        timer_arm(conn->context->timers, &conn->life_timer, at);
}

static void on_life_timer(struct timer *timer)
{
    look_at_life(container_of(timer, struct http2_conn, life_timer));
}

/* A tenth more or less, so that connections that were opened together do not all end together
 * (A9). */
static uint64_t with_jitter(uint64_t ms)
{
    uint32_t random = UINT32_MAX / 2;
    uint64_t tenth = ms / 10;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        random = UINT32_MAX / 2; /* no jitter */
    return ms - tenth + 2 * tenth * random / UINT32_MAX;
}

/* TCP_USER_TIMEOUT: the kernel gives up a peer that acknowledges nothing when the keepalive would,
 * and not later than it does by itself. It must not be shorter, because to the kernel a peer that
 * has stopped reading looks like a dead one. */
static void bound_unacknowledged(struct http2_conn *conn)
{
    const struct http2_settings *settings = &conn->context->settings;
    uint64_t ms = settings->keepalive_time + settings->keepalive_timeout;
    if (settings->keepalive_time == 0 || ms > HTTP2_KERNEL_GIVES_UP_MS)
        return;
    unsigned timeout = (unsigned)ms;
    /* fails on a unix socket, whose peer cannot vanish */
    setsockopt(h2o_socket_get_fd(conn->sock), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
               sizeof(timeout));
}

void http2_life_begin(struct http2_conn *conn)
{
    const struct http2_settings *settings = &conn->context->settings;
    int unsent = HTTP2_UNSENT_MAX;
    conn->accepted_ms = conn->read_ms = conn->idle_ms = conn_now(conn);
    if (settings->max_age != 0)
        conn->age_at_ms = conn->accepted_ms + with_jitter(settings->max_age);
    bound_unacknowledged(conn);
    setsockopt(h2o_socket_get_fd(conn->sock), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent,
               sizeof(unsent));
    conn->life_timer.expired = on_life_timer;
    look_at_life(conn);
}

void http2_life_open(struct http2_conn *conn)
{
    look_at_life(conn);
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
    conn->partial_ms = conn_now(conn);
    uint64_t at = conn->partial_ms + HTTP2_FRAME_TIME_MS;
    if (!timer_armed(&conn->life_timer) || conn->life_timer.at > at)
        timer_arm(conn->context->timers, &conn->life_timer, at);
}
