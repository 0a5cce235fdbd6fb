/* SPDX-License-Identifier: MIT */
/*
 * The gRPC runtime: serves calls of all four kinds (unary, client, server and bidirectional
 * streaming) over HTTP/2 (gRPC PROTOCOL-HTTP2, statuscodes). It is event-driven and knows no
 * service of its own.
 *
 * A program makes an event loop of libh2o, a server on it, adds services and interceptors, hands
 * connected sockets to http2_accept() with grpc_server_http2(), and calls grpc_server_run_once() in
 * a loop. Requests and replies are structs that protoc-c generates. The program ignores SIGPIPE,
 * and is compiled with -DH2O_USE_LIBUV=0 -DH2O_USE_EPOLL=1, as the runtime itself.
 *
 * Threads: a server, its calls and all functions here belong to the thread of its loop. A process
 * may have several servers, each with a loop of its own.
 *
 * Callbacks run inside grpc_server_run_once(), grpc_server_destroy() or grpc_call_resume(), and
 * must not block. Unless a comment says otherwise, a callback may call any grpc_call_*() function
 * on any open call, and grpc_server_end_calls() and grpc_server_shutdown(); it must not destroy the
 * server or run its loop.
 *
 * Memory: a call that needs memory when there is none ends with RESOURCE_EXHAUSTED. The runtime
 * never ends the process, but libh2o does when its own allocations (a socket, for example) fail.
 */
#ifndef ROSTERD_GRPC_GRPC_H
#define ROSTERD_GRPC_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <protobuf-c/protobuf-c.h>

#include "base/address_key.h"
#include "base/fault.h"
#include "base/timer.h"
#include "grpc/arena.h"
#include "grpc/status.h"
#include "http2/http2.h"

#if H2O_USE_LIBUV
#error "the runtime uses libh2o's own event loop: compile with -DH2O_USE_LIBUV=0"
#endif

struct grpc_server; /* services, interceptors and open calls of one event loop */
struct grpc_call;   /* valid from an interceptor's start or on_open until the last end callback */

/* ---- what a program implements ---- */

/**
 * A method, as its author writes it. The callbacks of a call come in this order: on_open,
 * on_message (any number), on_half_close, on_end; on_writable comes in between, where it was asked
 * for. Any of them may be NULL. For a method whose client sends a single message (unary and server
 * streaming) on_message comes exactly once, before on_half_close; otherwise the call has ended.
 * After grpc_call_finish() only on_end follows. No callback is made from inside another callback of
 * the same call.
 */
struct grpc_method {
    const char *name; /* "GetUser", as in the .proto */
    const ProtobufCMessageDescriptor *request, *response;
    size_t state_size; /* bytes of grpc_call_state(); zeroed when the call opens */
    unsigned flags;    /* GRPC_METHOD_* */
    /** The most bytes of one request message; of a compressed one also when inflated. A larger one
     * ends the call with RESOURCE_EXHAUSTED before any of it is kept. 0, or more than
     * max_message_size: max_message_size is the bound. */
    uint32_t max_request;
    /** For interceptors, which find it by grpc_call_method(): who may call the method, for example.
     * The runtime does not read it. */
    unsigned access;
    /** The call was admitted; no message has come yet. */
    void (*on_open)(struct grpc_call *call);
    /** A request message, decoded, its strings valid UTF-8. The method may read and write it until
     * the callback returns; its memory is reused then. */
    void (*on_message)(struct grpc_call *call, ProtobufCMessage *message);
    /** The client has sent its last message. */
    void (*on_half_close)(struct grpc_call *call);
    /** grpc_call_writable() is true again; comes once for each grpc_call_want_write(). */
    void (*on_writable)(struct grpc_call *call);
    /**
     * The call is over. Comes last and exactly once for each on_open, however the call ended; the
     * interceptors' ends follow, and then the call's memory is reused.
     * @param status the status that the client got; GRPC_CANCELLED if the client reset the call or
     *   the connection was lost
     */
    void (*on_end)(struct grpc_call *call, enum grpc_status status);
};
enum {
    /** Requests hold secrets. Their bytes are overwritten wherever the runtime keeps them, as soon
     * as on_message returns, and are left out of core dumps. */
    GRPC_METHOD_SECRET = 1,
    /** Requests must not be compressed. A compressed one ends the call with UNIMPLEMENTED and a
     * grpc-accept-encoding, as gRPC's compression.md wants it for encodings that a server does not
     * take. */
    GRPC_METHOD_PLAIN = 2,
};

struct grpc_service {
    const char *name; /* "userservice.UserService" */
    const struct grpc_method *methods;
    size_t num_methods;
};

/** Code that runs around every call. Interceptors form a chain; the first one added is the
 * outermost: it sees how all others decided. */
struct grpc_interceptor {
    /**
     * Called for every request before anything else is done with it: also for an unknown method,
     * and for a request that is not gRPC's (which is answered as HTTP does afterwards).
     * It may add metadata and set the identity; it must not send or finish.
     * @param message to be set to a static string if the call is refused
     * @return GRPC_OK to go on. Otherwise the call ends with this status and message, and the
     *   method never learns of it
     * NULL: the interceptor does nothing at the start.
     */
    enum grpc_status (*start)(struct grpc_call *call, void *data, const char **message);
    /** Called once for each call that reached this interceptor (also if its own start refused the
     * call), after on_end, in reverse order. The call's memory is reused after the last one.
     * NULL: the interceptor does nothing at the end. */
    void (*end)(struct grpc_call *call, void *data, enum grpc_status status);
    void *data;
};

/* Message encodings other than identity, as bits. */
enum { GRPC_COMPRESS_GZIP = 1, GRPC_COMPRESS_DEFLATE = 2 };

struct grpc_config {
    uint32_t max_message_size;     /* bytes of a request message; beyond: RESOURCE_EXHAUSTED */
    uint64_t message_timeout;      /* ms from a message's first byte to its last; 0: no bound */
    unsigned compression;          /* GRPC_COMPRESS_*: encodings that replies may have */
    uint32_t compression_min_size; /* bytes from which on a reply message is compressed */
    /** How long, in microseconds, a turn of the loop may poll for the next request of a client that
     * sends one small request after the other, instead of sleeping; 0: never. */
    uint32_t busy_poll_us;
    struct http2_settings http2;
};

/* ---- the server ---- */

/** @param loop must outlive the server; config is copied
 * @return NULL: out of memory */
struct grpc_server *grpc_server_create(h2o_loop_t *loop, const struct grpc_config *config);
/** Closes all connections at once. Open calls end with GRPC_CANCELLED, from inside this function.
 * Not to be called from a callback. */
void grpc_server_destroy(struct grpc_server *server);
/**
 * Makes the service's methods callable. Before the first connection.
 * @param service must outlive the server, with its methods
 * @param descriptor_set a serialized google.protobuf.FileDescriptorSet, as protoc
 *   --descriptor_set_out --include_imports writes it: it says which methods stream, and which
 *   fields are strings. Not needed afterwards
 * @param data for grpc_call_service_data()
 * @return false with `fault` filled if service and descriptor set do not fit: a method of the
 *   .proto without an implementation or the other way round, a message of another type, a request
 *   type that contains itself or has required fields. Nothing was added then
 */
bool grpc_server_add_service(struct grpc_server *server, const struct grpc_service *service,
                             const uint8_t *descriptor_set, size_t len, void *data,
                             struct fault *fault);
/** Appends to the chain, which has room for 16. Before the first connection.
 * @param interceptor must outlive the server */
void grpc_server_add_interceptor(struct grpc_server *server,
                                 const struct grpc_interceptor *interceptor);
/** For http2_accept() and http2_context_counts(). Belongs to the server. */
struct http2_context *grpc_server_http2(struct grpc_server *server);
/** The server's timers, for the program's own (base/timer.h). They fire in
 * grpc_server_run_once(), at times of grpc_server_now_ms()'s clock. */
struct timers *grpc_server_timers(struct grpc_server *server);
/** Runs one turn of the loop: waits for events, handles them, fires timers. Returns early after a
 * signal.
 * @param max_wait_ms the longest wait; -1: no bound */
void grpc_server_run_once(struct grpc_server *server, int32_t max_wait_ms);
/** Begins a graceful end: each connection gets a GOAWAY, running calls finish. It is done when
 * grpc_server_calls() is 0. */
void grpc_server_shutdown(struct grpc_server *server);
/**
 * Ends every open call, and every call that still comes, with this status: GRPC_UNAVAILABLE, for
 * example, after a graceful end took too long. Replies that wait for a slow reader are dropped
 * (RST_STREAM CANCEL). The on_end callbacks follow from the loop, not from inside this function.
 * @param message a static string
 */
void grpc_server_end_calls(struct grpc_server *server, enum grpc_status status,
                           const char *message);
/** How many calls are open. */
size_t grpc_server_calls(const struct grpc_server *server);
/** How many messages were refused because of max_message_size, a method's max_request, or what
 * decoding may cost. */
uint64_t grpc_server_oversized(const struct grpc_server *server);
/** How many messages were ended because of message_timeout. */
uint64_t grpc_server_overdue(const struct grpc_server *server);
/** CLOCK_MONOTONIC in ms, read at most once in a turn of the loop. */
uint64_t grpc_server_now_ms(const struct grpc_server *server);
/** After a turn, or in it: something that calls wait for, or the next requests of clients that were
 * just answered, are expected in about `ns`. If that is at most ten times as long as
 * grpc_config.busy_poll_us, the next turn polls for it instead of sleeping. */
void grpc_server_poll_expect(struct grpc_server *server, uint64_t ns);

/** The number of method indexes: one for each method, in the order added, and a last one that
 * stands for all unknown methods. */
size_t grpc_server_method_count(const struct grpc_server *server);
/** The service and the method with this index; both are "unknown" for the last index. */
const char *grpc_server_method_service(const struct grpc_server *server, size_t index);
const char *grpc_server_method_name(const struct grpc_server *server, size_t index);

/* ---- what a call is ---- */

/** The method's own memory: state_size bytes, as long as the call. NULL before on_open. */
void *grpc_call_state(struct grpc_call *call);
/** The `data` of grpc_server_add_service(). */
void *grpc_call_service_data(struct grpc_call *call);
struct grpc_server *grpc_call_server(struct grpc_call *call);
/** Memory that lives as long as the call. After each message the runtime counts what has been
 * allocated from it as held by the connection. */
struct grpc_arena *grpc_call_arena(struct grpc_call *call);
/** Counts memory that a method keeps elsewhere for the call, until it is released or the call ends.
 * @return false: the connection would hold more than max_memory of struct http2_settings. Nothing
 * was counted, and the method must do without the memory */
bool grpc_call_hold(struct grpc_call *call, size_t len);
/** @param len at most what is held */
void grpc_call_release(struct grpc_call *call, size_t len);
/** How many bytes grpc_call_hold() would take now. To ask does not count as a refusal. */
size_t grpc_call_may_hold(const struct grpc_call *call);
/** For grpc_server_method_name(). */
size_t grpc_call_method_index(const struct grpc_call *call);
/** The method as its author wrote it, valid as long as the server; NULL: it is unknown. */
const struct grpc_method *grpc_call_method(const struct grpc_call *call);
/** The request's :path, valid as long as the call. base is NULL if the request had none, or
 * if there was no memory for it. */
h2o_iovec_t grpc_call_path(const struct grpc_call *call);
/** The deadline, in ms on grpc_server_now_ms()'s clock; UINT64_MAX: the client set none. */
uint64_t grpc_call_deadline(const struct grpc_call *call);
/** "127.0.0.1:4711", "[::1]:4711", "unix:" or "unknown"; valid as long as the connection. */
const char *grpc_call_peer(struct grpc_call *call);
/** The part of that address by which clients are counted (base/address_key.h).
 * @return the bytes; 0: there is none, as of a unix socket's peer */
size_t grpc_call_peer_key(const struct grpc_call *call, uint8_t key[ADDRESS_KEY_MAX]);
/** Identifies the connection: the same pointer for all calls of one connection, valid as long as
 * the call. Only for comparing. */
const void *grpc_call_connection(const struct grpc_call *call);
/** The subject of the client's certificate (RFC 2253), valid as long as the connection; NULL: it
 * sent none. */
const char *grpc_call_peer_subject(struct grpc_call *call);
/** Messages that came and were decoded, and messages that were sent. */
uint64_t grpc_call_messages_in(const struct grpc_call *call);
uint64_t grpc_call_messages_out(const struct grpc_call *call);
/** Bytes of messages with their prefixes, as they are on the wire. */
uint64_t grpc_call_bytes_in(const struct grpc_call *call);
uint64_t grpc_call_bytes_out(const struct grpc_call *call);
/** When the call started: CLOCK_MONOTONIC in ns. This is when the turn of the loop began in which
 * the request came, or when the last call before it in that turn ended, so that one reading of the
 * clock for each call is enough. */
uint64_t grpc_call_started_ns(const struct grpc_call *call);
/** From the start until now, in ns. Only in an interceptor's end; the same for all of the chain. */
uint64_t grpc_call_duration_ns(struct grpc_call *call);
/** grpc-message as it was sent, percent-encoded; base is NULL if there was none. */
h2o_iovec_t grpc_call_status_message(const struct grpc_call *call);
/** Records the caller's name, as an interceptor has found it, for other interceptors and methods.
 * @param name not copied: must stay valid until the call has ended. NULL: unknown */
void grpc_call_set_identity(struct grpc_call *call, const char *name);
/** The name of grpc_call_set_identity(), or NULL. */
const char *grpc_call_identity(const struct grpc_call *call);

/* ---- metadata ---- */

/** The value of the first request metadata with this name; that of a `-bin` name is decoded from
 * base64. base is NULL if there is none. Further values of a list: grpc_call_metadata_at(). Valid
 * as long as the call. */
h2o_iovec_t grpc_call_metadata_of(struct grpc_call *call, const char *name, size_t len);
static inline h2o_iovec_t grpc_call_metadata(struct grpc_call *call, const char *name)
{
    return grpc_call_metadata_of(call, name, strlen(name));
}
/** Overwrites the values of all request metadata with this name; they are empty afterwards. For an
 * interceptor that has read a secret which nothing after it needs. (All metadata is overwritten
 * when the call ends.) */
void grpc_call_wipe_metadata(struct grpc_call *call, const char *name);
/** All custom request metadata in order; comma lists of `-bin` values are split and decoded.
 * @return false: index is past the last one */
bool grpc_call_metadata_at(struct grpc_call *call, size_t index, h2o_iovec_t *name,
                           h2o_iovec_t *value);
/**
 * Adds response metadata. Name and value are copied; the value of a `-bin` name is given raw.
 * Initial metadata can be added until the response's headers go out: in an interceptor's start, in
 * on_open, and for a single reply until it is sent. Trailing metadata can be added until the
 * trailers go out.
 * @return false: it is too late, there is no memory, HTTP/2 or gRPC does not allow the name (upper
 *   case, grpc-*), or a text value is not printable ASCII
 */
bool grpc_call_add_initial_metadata(struct grpc_call *call, const char *name, const void *value,
                                    size_t len);
bool grpc_call_add_trailing_metadata(struct grpc_call *call, const char *name, const void *value,
                                     size_t len);

/* ---- replies ---- */

/** Sends a message, which is packed at once and not needed afterwards. In a stream of messages, ask
 * grpc_call_writable() before each. If the connection would hold too much, or there is no memory,
 * the call ends with RESOURCE_EXHAUSTED. Ignored after the end of the call. */
void grpc_call_send(struct grpc_call *call, const ProtobufCMessage *message);
/** Like grpc_call_send(), for a message that the caller packs itself: returns room for `len` bytes,
 * which the caller fills and then commits, before it calls anything else of this header.
 * @return NULL: the call has ended (now, or before); do not commit */
uint8_t *grpc_call_reserve(struct grpc_call *call, size_t len);
/** Sends the message that was written where grpc_call_reserve() pointed. */
void grpc_call_commit(struct grpc_call *call);
/** The first bytes of memory for grpc_call_give(): the runtime writes the message's prefix there.
 */
enum { GRPC_GIVE_HEAD = 5 };
/**
 * Sends the only reply of a call, which lies in memory of its own. A large one is not copied.
 * @param bytes GRPC_GIVE_HEAD bytes and the message; memory from malloc(), which the runtime frees,
 *   also if the call has ended
 * @param len bytes of the message
 * @param cap the size of the memory, which grpc_call_hold() has counted; the runtime releases it
 * @return false: the call has ended (now, or before)
 */
bool grpc_call_give(struct grpc_call *call, uint8_t *bytes, size_t len, size_t cap);
/** Whether further messages may be compressed, if the client takes that and they are large enough.
 * True for a new call. */
void grpc_call_compress(struct grpc_call *call, bool compress);
/** In on_message: whether the message came compressed. */
bool grpc_call_was_compressed(const struct grpc_call *call);
/** Whether a message would go out now, rather than wait in memory. */
bool grpc_call_writable(const struct grpc_call *call);
/** Asks for on_writable, once. */
void grpc_call_want_write(struct grpc_call *call);
/** Counts `ns` nanoseconds of a method's work against the connection's turn. A method with much to
 * do works in parts: after each it asks for on_writable by grpc_call_want_write(), which comes in
 * this turn if it has time left, else after other connections have had theirs. */
void grpc_call_work(struct grpc_call *call, size_t ns);

/* ---- flow control ---- */

/** Holds the client back by flow control: no on_message and no on_half_close until
 * grpc_call_resume(). (A bidirectional call whose replies wait is held back without this.) */
void grpc_call_pause(struct grpc_call *call);
/** Ends a pause. Outside of the call's own callbacks, its on_message and on_half_close may run
 * inside this function; to resume several calls, do it from a timer rather than each from the
 * callback of the one before. */
void grpc_call_resume(struct grpc_call *call);

/* ---- the end ---- */

/**
 * Ends the call: messages that wait go out, then the trailers. on_end follows from the loop, not
 * from inside this function. Ignored if the call is finished already. GRPC_OK without the reply
 * that a method with a single reply owes becomes GRPC_INTERNAL.
 * @param message UTF-8 or NULL; it is copied, cut after 1,024 bytes and percent-encoded
 */
void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message);
/** Whether the call has its status, by whomever: only on_end follows. A timer of a service may
 * still expire then, and must not begin anything. */
bool grpc_call_is_finished(const struct grpc_call *call);
/** grpc_call_finish() with a formatted message. */
void grpc_call_finishf(struct grpc_call *call, enum grpc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** grpc_call_finish() with details: a google.rpc.Status in grpc-status-details-bin.
 * @param message not NULL
 * @param detail of a type that clients know, such as google.rpc.BadRequest, and small, because
 *   clients bound the size of headers */
void grpc_call_finish_detail(struct grpc_call *call, enum grpc_status status, const char *message,
                             const ProtobufCMessage *detail);

#endif
