/* SPDX-License-Identifier: MIT */
/*
 * A handler for tests of http2. It records its callbacks, and answers by the request's path:
 *   /echo     sends each DATA back; trailers at the end
 *   /body/N   sends N bytes at once, then trailers
 *   /give/N   sends N bytes at once, from memory that it gives to the stream, then trailers
 *   /flood/N  sends N bytes as on_writable allows, then trailers
 *   /hold     consumes and sends nothing; the test does
 *   /early    sends trailers before the client has ended the request
 *   /work/X   uses up the turn's work, notes X in the log, sends trailers
 *   /spin/X   like /work, and takes 3 ms
 *   /slow     takes one byte of its DATA in each turn and notes a '.', then sends trailers
 *   /keep/N   holds N bytes until it is reset; resets the stream if the bytes are refused
 */
#ifndef ROSTERD_TESTS_HTTP2_FIXTURE_H
#define ROSTERD_TESTS_HTTP2_FIXTURE_H

#include "peer.h"

enum { FIXTURE_MANY_STREAMS = 6000 };

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
    char data[256];    /* the first bytes */
    char fields[1024]; /* of the latest request */
    struct test_stream *last;
    char log[256];
    unsigned notes;   /* requests that came with a note which an earlier one had filled */
    unsigned refused; /* times that /keep and /body were refused memory */
};
extern struct fixture fixture;

/** Setup and teardown functions for cmocka. */
int fixture_setup(void **state);
/** Like fixture_setup(), with max_memory of 256 KiB. */
int fixture_setup_with_little_memory(void **state);
/** Like fixture_setup(), with a keepalive: PING after 60 ms of silence, and end after 60 ms more.
 */
int fixture_setup_with_keepalive(void **state);
/** Like fixture_setup(), with FIXTURE_MANY_STREAMS allowed. */
int fixture_setup_with_many_streams(void **state);
int fixture_teardown(void **state);
/** Expects a whole answer with `len` body bytes and the fixture's trailers. */
void fixture_expect_answer(struct peer *peer, uint32_t stream_id, size_t len);
/** Ends a stream by trailers, when its body has been sent. */
void fixture_finish(struct test_stream *stream);

#endif
