/* SPDX-License-Identifier: MIT */
/*
 * A handler for tests of http2: it notes what it was told and answers by the
 * path of the request.
 *   /echo     each DATA goes back; trailers at the end
 *   /body/N   N bytes at once, then trailers
 *   /flood/N  N bytes as on_writable asks for them, then trailers
 *   /hold     nothing is consumed or sent until the test does
 *   /early    trailers before the client's end
 *   /work/X   takes all of a turn's work, notes X in the log, trailers
 *   /spin/X   the same, and lasts 3 ms
 *   /slow     takes a byte of its DATA in each turn, notes it as a '.', then trailers
 *   /keep/N   holds N bytes until it is reset; where it may not, it is reset at once
 */
#ifndef ROSTERD_TESTS_HTTP2_FIXTURE_H
#define ROSTERD_TESTS_HTTP2_FIXTURE_H

#include "peer.h"

struct test_stream {
    struct http2_stream http2;
    size_t to_send;
    bool echo, hold, ending, slow;
    size_t undelivered;
};

struct fixture {
    h2o_loop_t *loop;
    struct timers *timers;
    struct http2_context *context;
    unsigned requests, closes, completes, trailers, too_large;
    uint32_t last_error;
    size_t data_bytes;
    char data[256];    /* the first of them */
    char fields[1024]; /* of the last request */
    struct test_stream *last;
    char log[256];
    unsigned refused; /* what /keep and /body could not get */
};
extern struct fixture fixture;

int fixture_setup(void **state);
/** The same where a connection may hold 256 KiB. */
int fixture_setup_with_little_memory(void **state);
/** The same where a peer that is silent for 60 ms gets a PING, and 60 ms later is given up. */
int fixture_setup_with_keepalive(void **state);
int fixture_teardown(void **state);
void fixture_finish(struct test_stream *stream);

#endif
