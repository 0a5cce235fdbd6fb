/* SPDX-License-Identifier: MIT */
/*
 * grpctest.Test, the service of the runtime's tests. The name of the item that a method gets says
 * what the method does:
 *   fail N TEXT   finish with status N and TEXT
 *   silent        finish with OK and no reply
 *   twice         reply twice
 *   hang          nothing; serve.call is left for the test
 *   big N         reply with N bytes
 *   metadata      reply with the request's metadata as tags
 *   add           add initial and trailing metadata to the reply
 *   addfail       add initial metadata, then fail
 *   pause         Talk: reply, then pause
 *   wake          resume the call that paused last, then echo
 * With any other name, the item is echoed. Produce sends `number` items of the size of `raw`.
 * Collect replies with the number of items that came.
 */
#ifndef ROSTERD_TESTS_GRPC_SERVE_H
#define ROSTERD_TESTS_GRPC_SERVE_H

#include "grpc/grpc.h"
#include "grpc_client.h"
#include "tests/grpc/test_service.pb-c.h"

struct serve {
    h2o_loop_t *loop;
    struct grpc_server *server;
    struct peer *peer;
    struct grpc_call *call;    /* the one that opened last */
    struct grpc_call *waiting; /* the one that its message paused */
    unsigned opens, ends, starts, step_ends;
    enum grpc_status status; /* the last one that an end callback got */
    char log[1024];          /* a word for each callback */
    uint64_t produced;
    bool open_pauses, open_resumes;           /* on_open pauses, or resumes, the call */
    enum grpc_status open_fails;              /* on_open ends the call with this status */
    enum grpc_status refuse;                  /* what the first interceptor's start returns */
    void (*at_start)(struct grpc_call *call); /* called by the first interceptor's start */
    const uint8_t *secret_in_place;           /* where the password lay in on_message */
    void (*at_secret)(const uint8_t *secret); /* called in on_message */
};
extern struct serve serve;

int serve_setup(void **state);
enum { SERVE_MESSAGE_TIMEOUT = 80 };
/** serve_setup() with this message_timeout, in ms. */
int serve_setup_impatient(void **state);
/** serve_setup() with connections that may hold 512 KiB. */
int serve_setup_with_little_memory(void **state);
/** serve_setup() with replies that are compressed by gzip, if the client takes that. */
int serve_setup_compressing(void **state);
int serve_teardown(void **state);
/** Runs the server's loop for `ms` milliseconds. */
void serve_for(unsigned ms);

#endif
