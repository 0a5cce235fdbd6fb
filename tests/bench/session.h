/* SPDX-License-Identifier: MIT */
/*
 * The two parties of the session benchmark: this project's http2 layer, and nghttp2's session with
 * the smallest server around it. Both run on libh2o's event loop, keep the one message of a
 * request, and answer with the same message and a trailer.
 */
#ifndef ROSTERD_TESTS_BENCH_SESSION_H
#define ROSTERD_TESTS_BENCH_SESSION_H

#include <stdint.h>

#include <h2o.h>

enum { SESSION_MESSAGE = 205 }; /* gRPC's prefix and 200 bytes */

struct session_party {
    const char *name;
    /** Prepares the server. */
    void (*start)(h2o_loop_t *loop);
    /** Serves a connected socket. */
    void (*accept)(h2o_socket_t *sock);
    /** Runs the loop once, without waiting, and everything that must run in the same turn. */
    void (*turn)(h2o_loop_t *loop);
    /** Closes all connections. */
    void (*stop)(void);
};

extern const struct session_party session_ours, session_nghttp2;

void session_die(const char *what) __attribute__((noreturn));

#endif
