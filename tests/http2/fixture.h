/* SPDX-License-Identifier: MIT */
/*
 * A handler for tests of http2: it notes what it was told and answers by the
 * path of the request.
 *   /echo     each DATA goes back; trailers at the end
 *   /body/N   N bytes at once, then trailers
 *   /flood/N  N bytes as on_writable asks for them, then trailers
 *   /hold     nothing is consumed or sent until the test does
 *   /early    trailers before the client's end
 */
#ifndef ROSTERD_TESTS_HTTP2_FIXTURE_H
#define ROSTERD_TESTS_HTTP2_FIXTURE_H

#include "peer.h"

struct test_stream {
    struct http2_stream http2;
    size_t to_send;
    bool echo, hold, ending;
};

struct fixture {
    h2o_loop_t *loop;
    struct http2_timers *timers;
    struct http2_context *context;
    unsigned requests, closes, completes, trailers, too_large;
    uint32_t last_error;
    size_t data_bytes;
    char data[256];    /* the first of them */
    char fields[1024]; /* of the last request */
    struct test_stream *last;
};
extern struct fixture fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);
void fixture_finish(struct test_stream *stream);

#endif
