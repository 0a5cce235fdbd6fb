/* SPDX-License-Identifier: MIT */
/*
 * A service for tests of the runtime: grpctest.Test. What a method does is said
 * by the name of the item it gets:
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
 * else the item is echoed. Produce sends `number` items of the size of `raw`;
 * Collect replies with how many items came.
 */
#ifndef ROSTERD_TESTS_GRPC_SERVE_H
#define ROSTERD_TESTS_GRPC_SERVE_H

#include "grpc_client.h"
#include "grpc/grpc.h"
#include "tests/grpc/test_service.pb-c.h"

struct serve {
    h2o_loop_t *loop;
    struct grpc_server *server;
    struct peer *peer;
    struct grpc_call *call;    /* the newest */
    struct grpc_call *waiting; /* paused by its message */
    unsigned opens, ends, starts, step_ends;
    enum grpc_status status; /* the last that on_end got */
    char log[1024];          /* what the callbacks were, a word each */
    uint64_t produced;
    bool open_pauses, open_resumes;           /* on_open pauses the call, and goes on */
    enum grpc_status open_fails;              /* on_open ends the call */
    enum grpc_status refuse;                  /* what the first step of the chain says */
    void (*at_start)(struct grpc_call *call); /* what the first step of the chain does, too */
    const uint8_t *secret_in_place;           /* the password in the arena, after on_message */
    void (*at_secret)(const uint8_t *secret); /* while on_message has it */
};
extern struct serve serve;

int serve_setup(void **state);
enum { SERVE_MESSAGE_TIMEOUT = 80 };
/** The same with a message_timeout of so many ms. */
int serve_setup_impatient(void **state);
/** The same where a connection may hold 512 KiB. */
int serve_setup_with_little_memory(void **state);
int serve_teardown(void **state);
/** Turns the loop, with timers, until ms have passed. */
void serve_for(unsigned ms);

#endif
