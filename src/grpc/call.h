/* SPDX-License-Identifier: MIT */
/* A call's state, for the files of this folder. The public interface is grpc.h. */
#ifndef ROSTERD_GRPC_CALL_H
#define ROSTERD_GRPC_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/container_of.h"
#include "base/timer.h"
#include "grpc/arena.h"
#include "grpc/grpc.h"
#include "grpc/methods.h"
#include "http2/http2.h"

struct grpc_metadata;
struct grpc_response_field;

/** Bytes of a call's arena that lie inside the call. Each idle call costs them: keep this small. */
enum { GRPC_CALL_INLINE = 256 };

/** Body bytes that could not be used when they came: the beginning of a message, or everything
 * that comes while the call is held back. See inbox.h. */
struct grpc_inbox {
    uint8_t *bytes;
    size_t off, len, cap; /* bytes[off] to bytes[off + len - 1] wait */
    size_t uncredited;    /* how many of them, from the last one on, http2's window still lacks */
};

/**
 * A call's life: http2 opens its stream, and the interceptors' starts run. Then it is either
 * `rejected` (answered as HTTP does), `finished` with a status, or `opened` (on_open ran). An
 * opened call gets messages until it is `half_closed`, and is `finished` when its status is set. It
 * is `ended` when trailers or RST_STREAM went out, which may be later, if replies wait. When the
 * stream closes, on_end and the interceptors' ends run, and http2 reuses the memory.
 */
struct grpc_call {
    struct http2_stream stream; /* first: http2 allocates the whole struct */
    /* The members from here ... */
    struct grpc_server *server;
    const struct grpc_method_entry *entry;
    struct grpc_call *next, **prev; /* in the server's list of open calls */
    struct timer timer;             /* armed for the deadline */
    uint64_t deadline;              /* ms; UINT64_MAX: none */
    h2o_iovec_t path;
    void *state;
    struct grpc_metadata *metadata;
    struct grpc_response_field *initial, *trailing;
    char *message; /* grpc-message, percent-encoded; NULL: none */
    uint32_t message_len;
    uint8_t status;        /* enum grpc_status, once finished */
    uint8_t chain;         /* interceptors whose start was called, so that their end is due */
    unsigned rejected : 1; /* answered as HTTP does: see reject.h */
    unsigned foreign : 1;  /* rejected because its content-type is not gRPC's */
    unsigned opened : 1;   /* on_open was called, so on_end is due */
    unsigned busy : 1;     /* a callback of the call is running, or the loop that calls them */
    unsigned paused : 1;   /* grpc_call_pause() */
    unsigned stopped : 1;  /* messages wait for the connection's next turn */
    unsigned want_write : 1;
    unsigned headers_sent : 1;
    unsigned remote_end : 1;           /* the request's END_STREAM came */
    unsigned half_closed : 1;          /* on_half_close was called */
    unsigned finished : 1;             /* status is set; only on_end follows */
    unsigned ended : 1;                /* trailers or RST_STREAM went out */
    unsigned unsupported_encoding : 1; /* the trailers name the encodings that we take */
    unsigned request_encoding : 2;     /* GRPC_COMPRESS_*, or 0: identity */
    unsigned reply_accepted : 2;       /* GRPC_COMPRESS_* that the client takes and we may send */
    unsigned reply_encoding : 2;       /* the one that the headers announced, or 0 */
    unsigned plain_replies : 1;        /* grpc_call_compress(call, false) */
    unsigned has_metadata : 1;         /* the arena holds, or held, request metadata */
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t started_ns;
    uint64_t duration_ns; /* 0: not known yet */
    const char *identity;
    uint32_t inflated_from; /* compressed size of on_message's message; 0: it came plain */
    size_t arena_held;      /* bytes of the arena's blocks that count for the connection */
    struct grpc_inbox inbox;
    struct grpc_call *partial_next, **partial_prev; /* prev NULL: no message is incomplete */
    uint64_t partial_at;                            /* ms: when that message began */
    /* ... to here are zeroed when a call opens. */
    struct grpc_arena arena;
    _Alignas(GRPC_ARENA_ALIGN) uint8_t inline_memory[GRPC_CALL_INLINE];
};
_Static_assert(offsetof(struct grpc_call, stream) == 0, "struct http2_handler wants it so");

/** The status message of a call that would make its connection hold too much memory. */
#define GRPC_HOLDS_TOO_MUCH "the connection's calls hold as much as max-connection-memory allows"

static inline struct grpc_call *grpc_call_of(struct http2_stream *stream)
{
    return container_of(stream, struct grpc_call, stream);
}

/** Whether requests of the call's method hold secrets. */
static inline bool grpc_call_secret(const struct grpc_call *call)
{
    return call->entry->method != NULL && (call->entry->method->flags & GRPC_METHOD_SECRET) != 0;
}

#endif
