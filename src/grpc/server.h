/* SPDX-License-Identifier: MIT */
/* A server's state, for the files of this folder. The public interface is grpc.h. */
#ifndef ROSTERD_GRPC_SERVER_H
#define ROSTERD_GRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/timer.h"
#include "grpc/arena.h"
#include "grpc/grpc.h"
#include "grpc/methods.h"
#include "grpc/poll.h"
#include "http2/http2.h"

struct grpc_compress;

enum { GRPC_MAX_INTERCEPTORS = 16 };

struct grpc_server {
    h2o_loop_t *loop;
    struct http2_context *http2;
    struct http2_handler handler;
    struct timers *timers;
    struct grpc_poll poll;
    struct grpc_call *calls; /* the open ones */
    size_t num_calls;
    uint32_t max_message_size;
    uint64_t oversized;            /* grpc_server_oversized() */
    unsigned compression;          /* GRPC_COMPRESS_*: encodings that replies may have */
    uint32_t compression_min_size; /* bytes from which on a reply is compressed */
    struct grpc_compress *compress;
    /* The grpc-accept-encoding that came last, and its meaning: most calls bring the same. */
    uint8_t accept_len, accept_bits;
    char accept_text[62];
    /* A reply that its method is writing, to be compressed by grpc_call_commit(). */
    struct grpc_call *staged; /* whose reply it is; NULL: none */
    uint8_t *stage;
    size_t stage_len, stage_cap;
    bool scratch_busy; /* the scratch arena holds a message: its on_message runs */
    bool ended;        /* grpc_server_end_calls() was called, with these arguments: */
    enum grpc_status end_status;
    const char *end_message;
    /* Calls that wait for the rest of a message, the longest wait first: see partial.h. */
    struct grpc_call *partial_first, **partial_last;
    void (*partial_overdue)(struct grpc_call *call);
    uint64_t message_timeout; /* ms; 0: no bound */
    struct timer partial_timer;
    uint64_t overdue;        /* grpc_server_overdue() */
    struct timer trim_timer; /* armed while memory for large messages is kept: see trim.h */
    struct grpc_methods methods;
    struct grpc_method_entry unknown; /* stands for every unknown method */
    const struct grpc_interceptor *interceptors[GRPC_MAX_INTERCEPTORS];
    unsigned num_interceptors;
    uint64_t clock_ns; /* CLOCK_MONOTONIC, read in this turn of the loop; 0: not read yet */
    /* Memory of the message that on_message is working on. The second arena is for methods with
     * GRPC_METHOD_SECRET. */
    struct grpc_arena scratch, secret_scratch;
    _Alignas(GRPC_ARENA_ALIGN) uint8_t scratch_memory[16 * 1024];
};

/** Reads the clock, for what follows in this turn of the loop. @return CLOCK_MONOTONIC in ns */
static inline uint64_t grpc_server_read_clock_ns(struct grpc_server *server)
{
    return server->clock_ns = clock_monotonic_ns();
}

/** The last reading of the clock in this turn of the loop; reads it if there is none. */
static inline uint64_t grpc_server_clock_ns(struct grpc_server *server)
{
    return server->clock_ns != 0 ? server->clock_ns : grpc_server_read_clock_ns(server);
}

#endif
