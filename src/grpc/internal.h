/* SPDX-License-Identifier: MIT */
/* What the files of this folder share; nobody else includes it. */
#ifndef ROSTERD_GRPC_INTERNAL_H
#define ROSTERD_GRPC_INTERNAL_H

#include <string.h>

#include "grpc/codec.h"
#include "grpc/compress.h"
#include "grpc/grpc.h"
#include "grpc/poll.h"

/* ---- methods ---- */

struct grpc_method_entry {
    const struct grpc_method *method; /* NULL: stands for every unknown method */
    const struct grpc_service *service;
    void *data;
    const struct grpc_codec *codec; /* of the request */
    char *path;
    size_t path_len;
    size_t index;
    enum grpc_kind kind;
    bool single_request, streaming_reply; /* from kind */
};

struct grpc_methods {
    struct grpc_method_entry **entries; /* in the order added */
    size_t count;
    struct grpc_method_entry **table; /* by path, open addressing */
    size_t table_mask;                /* slots - 1; slots is a power of two */
    struct grpc_codec *codecs;
    char error[256];
};

/** As grpc_server_add_service(). */
const char *grpc_methods_add(struct grpc_methods *methods, const struct grpc_service *service,
                             const uint8_t *set, size_t len, void *data);
/** @return NULL where no such method was added */
const struct grpc_method_entry *grpc_methods_find(const struct grpc_methods *methods,
                                                  const char *path, size_t len);
void grpc_methods_free(struct grpc_methods *methods);

/* ---- metadata ---- */

/** A field of the request; texts end with a NUL that the lengths do not count. */
struct grpc_metadata {
    struct grpc_metadata *next;
    const char *name, *value;
    size_t name_len, value_len;
};

struct grpc_response_field {
    struct grpc_response_field *next;
    struct http2_field field;
};

enum grpc_metadata_result {
    GRPC_METADATA_KEPT,
    GRPC_METADATA_BAD_BINARY,
    GRPC_METADATA_TOO_MANY,
    GRPC_METADATA_NO_MEMORY,
};
/** Values that lists of one request may be split into, beside one for each field: the client's
 * table of fields has a list of a thousand, which costs it a byte each time. */
enum { GRPC_METADATA_SPLIT_MAX = 128 };

/** Appends one request field at **tail; a `-bin` one decoded, and split where it is a list.
 * @param split counts what lists were split into, for all fields of a request */
enum grpc_metadata_result grpc_metadata_keep(struct grpc_arena *arena, struct grpc_metadata ***tail,
                                             const h2o_header_t *field, unsigned *split);
/** Appends a field to those of the response, `-bin` ones encoded. @return false: out of memory */
bool grpc_metadata_respond(struct grpc_call *call, struct grpc_response_field **list,
                           const char *name, const void *value, size_t len);

/* ---- the server ---- */

enum { GRPC_MAX_INTERCEPTORS = 16 };

struct grpc_server {
    h2o_loop_t *loop;
    struct http2_context *http2;
    struct http2_handler handler;
    struct timers *timers;
    struct grpc_poll poll;
    struct grpc_call *calls; /* open ones */
    size_t num_calls;
    uint32_t max_message_size;
    uint64_t oversized;
    unsigned compression; /* GRPC_COMPRESS_* that replies may have */
    uint32_t compression_min_size;
    struct grpc_compress *compress;
    /* the grpc-accept-encoding that came last, for they are mostly the same */
    uint8_t accept_len, accept_bits;
    char accept_text[62];
    /* a reply that its method writes, to be compressed by grpc_call_commit() */
    struct grpc_call *staged;
    uint8_t *stage;
    size_t stage_len, stage_cap;
    bool scratch_busy; /* a message lies in scratch: its on_message runs */
    bool ended;        /* grpc_server_end_calls() was called */
    enum grpc_status end_status;
    const char *end_message;
    /* calls with the beginning of a message, longest ago first; ended after message_timeout ms */
    struct grpc_call *partial_first, **partial_last;
    uint64_t message_timeout;
    struct timer partial_timer;
    uint64_t overdue;        /* messages that it ended */
    struct timer trim_timer; /* armed while memory for large messages is kept */
    struct grpc_methods methods;
    struct grpc_method_entry unknown;
    const struct grpc_interceptor *interceptors[GRPC_MAX_INTERCEPTORS];
    size_t interceptor_state_at[GRPC_MAX_INTERCEPTORS]; /* in a call's interceptor_state */
    size_t interceptor_state_size;                      /* of all together */
    unsigned num_interceptors;
    uint64_t clock_ns; /* 0: not read yet in this turn */
    /* the message that on_message has; the other where it may hold a secret */
    struct grpc_arena scratch, secret_scratch;
    _Alignas(GRPC_ARENA_ALIGN) uint8_t scratch_memory[16 * 1024];
};

/** The clock of this turn, in ns: read once, and again by grpc_server_read_clock_ns(). */
uint64_t grpc_server_clock_ns(struct grpc_server *server);
uint64_t grpc_server_read_clock_ns(struct grpc_server *server);

/* ---- a call ---- */

/** An idle call's memory is what it costs: keep it small. */
enum { GRPC_CALL_INLINE = 256 };

/** Body bytes that could not be used where they came: the beginning of a
 * message, or whatever comes while the call is held. */
struct grpc_inbox {
    uint8_t *bytes;
    size_t off, len, cap; /* bytes[off] to bytes[off + len] are waiting */
    size_t uncredited;    /* of them, the last so many are still owed to http2 */
};

struct grpc_call {
    struct http2_stream stream; /* first: http2 allocates the whole */
    /* Zeroed from here ... */
    struct grpc_server *server;
    const struct grpc_method_entry *entry;
    struct grpc_call *next, **prev; /* among the server's open calls */
    struct timer timer;             /* the deadline's */
    uint64_t deadline;
    h2o_iovec_t path;
    void *state;
    struct grpc_metadata *metadata;
    struct grpc_response_field *initial, *trailing;
    char *message; /* grpc-message, encoded */
    uint32_t message_len;
    uint8_t status;        /* enum grpc_status, once finished */
    uint8_t chain;         /* interceptors whose end is due */
    unsigned rejected : 1; /* answered as HTTP does: see grpc_request_end_rejected() */
    unsigned foreign : 1;  /* so, and its content-type is not gRPC's */
    unsigned opened : 1;   /* on_end is due */
    unsigned busy : 1;     /* a callback of the call's runs, or the loop that makes them */
    unsigned paused : 1;
    unsigned stopped : 1; /* messages wait for the connection's next turn */
    unsigned want_write : 1;
    unsigned headers_sent : 1;
    unsigned remote_end : 1;  /* the request's END_STREAM came */
    unsigned half_closed : 1; /* on_half_close was made */
    unsigned finished : 1;    /* status is set; only on_end follows */
    unsigned ended : 1;       /* trailers or RST_STREAM went out */
    unsigned unsupported_encoding : 1;
    unsigned request_encoding : 2; /* GRPC_COMPRESS_*, or 0: identity */
    unsigned reply_accepted : 2;   /* that the client takes and we may send */
    unsigned reply_encoding : 2;   /* as told in the headers */
    unsigned plain_replies : 1;    /* grpc_call_compress(call, false) */
    unsigned has_metadata : 1;     /* the arena holds, or held, what the client sent as such */
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t started_ns, duration_ns; /* the latter 0: not known yet */
    uint8_t *interceptor_state;       /* of the whole chain */
    const char *identity;
    uint32_t inflated_from; /* bytes that on_message's message was compressed to; 0: it was not */
    size_t arena_held;      /* of the arena's blocks, counted for the connection */
    struct grpc_inbox inbox;
    struct grpc_call *partial_next, **partial_prev; /* prev NULL: no message has begun */
    uint64_t partial_at;                            /* ms, when it did */
    /* ... to here. */
    struct grpc_arena arena;
    _Alignas(GRPC_ARENA_ALIGN) uint8_t inline_memory[GRPC_CALL_INLINE];
};

static inline struct grpc_call *grpc_call_of(struct http2_stream *stream)
{
    return (struct grpc_call *)stream;
}

static inline bool grpc_call_secret(const struct grpc_call *call)
{
    return call->entry->method != NULL && (call->entry->method->flags & GRPC_METHOD_SECRET) != 0;
}

/** The http2 handler's on_request: checks, chain, on_open. */
void grpc_request_open(struct http2_stream *stream, const struct http2_request *request);
/** Ends the response to a request that was none of gRPC's, as soon as that is due. */
void grpc_request_end_rejected(struct grpc_call *call);

/**
 * Takes body bytes: delivers the messages they complete, keeps the rest. Also
 * without bytes, when something that held the call is gone. Gives back their
 * window when they are used.
 */
void grpc_receive(struct grpc_call *call, uint8_t *data, size_t len);
/** Frees the inbox, overwriting it where it may hold secrets. */
void grpc_receive_free(struct grpc_call *call);
/** The same, and gives its window back. */
void grpc_receive_discard(struct grpc_call *call);

/**
 * A whole message to its method, inflated where it was compressed. The bytes are overwritten where
 * they may be a secret. The call may have ended afterwards.
 */
void grpc_deliver(struct grpc_call *call, uint8_t *bytes, size_t len, bool compressed);
/** Bytes that a request of the call may have, on the wire and inflated. */
uint32_t grpc_call_max_request(const struct grpc_call *call);
void grpc_trim_init(struct grpc_server *server);
/** Memory for a large message was used: it is given back where no other comes soon. */
void grpc_trim_later(struct grpc_server *server);

/** What a call is told that would make its connection hold too much. */
#define GRPC_HOLDS_TOO_MUCH "the connection's calls hold as much as max-connection-memory allows"

/** Messages whose end does not come: partial.c. */
void grpc_partial_init(struct grpc_server *server, uint64_t timeout_ms);
/** The call has the beginning of a message, or has it no more. */
void grpc_partial_note(struct grpc_call *call, bool begun);

/** Counts what the arena took since the last look as held for the connection. @return false: too
 * much, and the call has ended */
bool grpc_call_hold_arena(struct grpc_call *call);

void grpc_send_headers(struct grpc_call *call);
/** Ends the response: trailers, or trailers-only. Nothing may be waiting in the stream. */
void grpc_send_end(struct grpc_call *call);
/** What waits is dropped: RST_STREAM. */
void grpc_send_reset(struct grpc_call *call, enum http2_error error);
/** grpc_call_finish() at once, without waiting for a slow reader: what waits is cut off. */
void grpc_call_cut(struct grpc_call *call, enum grpc_status status, const char *message);
void grpc_call_deadline_passed(struct timer *timer);

/* The http2 handler's other callbacks. */
void grpc_call_on_data(struct http2_stream *stream, uint8_t *data, size_t len, bool end_stream);
void grpc_call_on_trailers(struct http2_stream *stream, const h2o_header_t *fields,
                           size_t num_fields);
void grpc_call_on_writable(struct http2_stream *stream);
void grpc_call_on_turn(struct http2_stream *stream);
void grpc_call_on_close(struct http2_stream *stream, bool complete, uint32_t error);

#endif
