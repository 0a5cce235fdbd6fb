/* SPDX-License-Identifier: MIT */
/*
 * The gRPC runtime: calls of all four kinds over http2 streams, event-driven;
 * nothing here blocks, and no callback may. Rules are those of gRPC's
 * PROTOCOL-HTTP2 and statuscodes documents. Knows no service of its own.
 */
#ifndef ROSTERD_GRPC_GRPC_H
#define ROSTERD_GRPC_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <protobuf-c/protobuf-c.h>

#include "base/timer.h"
#include "grpc/arena.h"
#include "grpc/status.h"
#include "http2/http2.h"

struct grpc_server; /* one per worker: services, interceptors, calls */
struct grpc_call;

enum grpc_kind { GRPC_UNARY, GRPC_CLIENT_STREAMING, GRPC_SERVER_STREAMING, GRPC_BIDI_STREAMING };

/**
 * What the author of a method writes. A call's callbacks come in the order
 * on_open, on_message*, on_half_close, on_end, with on_writable in between
 * where asked for; any of them may be NULL (nothing to do). For unary and
 * server-streaming methods the runtime sees to it that on_message comes exactly
 * once, before on_half_close. After grpc_call_finish() only on_end follows.
 */
struct grpc_method {
    const char *name; /* "GetUser", as in the .proto */
    const ProtobufCMessageDescriptor *request, *response;
    size_t state_size; /* bytes of grpc_call_state(), zeroed when the call opens */
    unsigned flags;    /* GRPC_METHOD_* */
    /** Bytes of one request, of a compressed one also when inflated; beyond: RESOURCE_EXHAUSTED,
     * told before any of it is kept. 0, or more than max_message_size: that one is the bound. */
    uint32_t max_request;
    void (*on_open)(struct grpc_call *call);
    /** A request, decoded and its strings checked for UTF-8. It is the
     * handler's to read and write until the callback returns, not longer. */
    void (*on_message)(struct grpc_call *call, ProtobufCMessage *message);
    void (*on_half_close)(struct grpc_call *call);
    /** grpc_call_writable() is true again, as asked by grpc_call_want_write(). */
    void (*on_writable)(struct grpc_call *call);
    /** Exactly once for each on_open, last, whatever ended the call; the call's memory is
     * reused after it. status is what the client was told, or GRPC_CANCELLED where it
     * reset the call or was lost, or GRPC_DEADLINE_EXCEEDED. */
    void (*on_end)(struct grpc_call *call, enum grpc_status status);
};
enum {
    /** Requests hold secrets: their bytes are overwritten wherever the runtime keeps them, as
     * soon as on_message returns. */
    GRPC_METHOD_SECRET = 1,
    /** Requests must not be compressed: such a one is UNIMPLEMENTED, with grpc-accept-encoding
     * (gRPC's compression.md has it so for encodings that a server does not take). */
    GRPC_METHOD_PLAIN = 2,
};

struct grpc_service {
    const char *name; /* "userservice.UserService" */
    const struct grpc_method *methods;
    size_t num_methods;
};

/** A step around every call; interceptors form an ordered chain, and the first one added is the
 * outermost: it sees how every other one decided. */
struct grpc_interceptor {
    /** GRPC_OK to go on; else the call ends with this status and *message (a static string),
     * and the handler never hears of it. NULL: nothing to do at the start. Called for every
     * request, known method or not, gRPC's or not (those are answered as HTTP does afterwards),
     * before anything else is told of it. */
    enum grpc_status (*start)(struct grpc_call *call, void *data, const char **message);
    /** Once for each call that reached this step of the chain (also where its start refused it),
     * after on_end and before the call's memory goes; in reverse order. */
    void (*end)(struct grpc_call *call, void *data, enum grpc_status status);
    void *data;
    size_t state_size; /* bytes of grpc_call_interceptor_state(), zeroed when the call opens */
};

/* Message encodings besides identity, as bits. */
enum { GRPC_COMPRESS_GZIP = 1, GRPC_COMPRESS_DEFLATE = 2 };

struct grpc_config {
    uint32_t max_message_size;     /* bytes of one message; beyond: RESOURCE_EXHAUSTED */
    uint64_t message_timeout;      /* ms from a message's first byte to its last; 0: no bound */
    unsigned compression;          /* GRPC_COMPRESS_*: what replies may be encoded with */
    uint32_t compression_min_size; /* bytes of a reply from which on it is compressed */
    uint32_t busy_poll_us;         /* see poll.h; 0: never */
    struct http2_settings http2;
};

/* ---- the server ---- */

/** The loop must outlive the server. @return NULL when memory is exhausted */
struct grpc_server *grpc_server_create(h2o_loop_t *loop, const struct grpc_config *config);
/** Closes all connections at once: calls end with GRPC_CANCELLED. */
void grpc_server_destroy(struct grpc_server *server);
/**
 * Makes the service's methods callable. Kinds, paths and string fields are
 * taken from a serialized google.protobuf.FileDescriptorSet, as protoc writes
 * it. The service and its methods must outlive the server. Before the first
 * connection.
 * @return NULL, or what does not fit (a method of the .proto without an
 *   implementation or the other way round, a message of another type, a request
 *   type that contains itself); valid until the next call. Nothing was added then.
 */
const char *grpc_server_add_service(struct grpc_server *server, const struct grpc_service *service,
                                    const uint8_t *descriptor_set, size_t len, void *data);
/** Appends to the chain (at most 16); the struct must outlive the server. */
void grpc_server_add_interceptor(struct grpc_server *server,
                                 const struct grpc_interceptor *interceptor);
struct http2_context *grpc_server_http2(struct grpc_server *server);
struct timers *grpc_server_timers(struct grpc_server *server);
/** Drives the loop for one turn: waits at most max_wait_ms (-1: no bound) for events, handles
 * them, fires timers. */
void grpc_server_run_once(struct grpc_server *server, int32_t max_wait_ms);
/** Graceful end: GOAWAYs go out, running calls finish. Done when grpc_server_calls() is 0. */
void grpc_server_shutdown(struct grpc_server *server);
/** Ends every open call, and each that still comes, with this status, as GRPC_UNAVAILABLE after a
 * graceful end took too long. Replies that wait for a slow reader are cut off (RST_STREAM
 * CANCEL). message is a static string. on_end follows from the loop. */
void grpc_server_end_calls(struct grpc_server *server, enum grpc_status status,
                           const char *message);
size_t grpc_server_calls(const struct grpc_server *server);
/** How many messages were refused for max_message_size, a method's max_request or what decoding
 * may cost (decode.h). */
uint64_t grpc_server_oversized(const struct grpc_server *server);
/** How many messages were ended for message_timeout. */
uint64_t grpc_server_overdue(const struct grpc_server *server);
/** A monotonic clock, read at most once in a turn of the loop. */
uint64_t grpc_server_now_ms(const struct grpc_server *server);

/** Methods in the order added, for counters: 0 <= index < count. The last index,
 * grpc_server_method_count() - 1, stands for every unknown method. */
size_t grpc_server_method_count(const struct grpc_server *server);
const char *grpc_server_method_service(const struct grpc_server *server, size_t index);
const char *grpc_server_method_name(const struct grpc_server *server, size_t index);
enum grpc_kind grpc_server_method_kind(const struct grpc_server *server, size_t index);

/* ---- a call ---- */

void *grpc_call_state(struct grpc_call *call);        /* state_size bytes */
void *grpc_call_service_data(struct grpc_call *call); /* as given to add_service */
struct grpc_server *grpc_call_server(struct grpc_call *call);
/** Counted in the connection's memory after each message and when metadata came. */
struct grpc_arena *grpc_call_arena(struct grpc_call *call);
/** Counts memory that a method keeps for the call elsewhere, until it is released or the call's
 * end.
 * @return false: the connection would hold more than it may; it is not counted, and the method does
 * without it */
bool grpc_call_hold(struct grpc_call *call, size_t len);
void grpc_call_release(struct grpc_call *call, size_t len);
size_t grpc_call_method_index(const struct grpc_call *call);
h2o_iovec_t grpc_call_path(const struct grpc_call *call);
/** ms on grpc_server_now_ms()'s clock, UINT64_MAX where the client set none */
uint64_t grpc_call_deadline(const struct grpc_call *call);
/** "127.0.0.1:4711", "[::1]:4711" or "unix:"; valid as long as the connection */
const char *grpc_call_peer(struct grpc_call *call);
/** The connection that the call came on, to tell those of one from others': the same for all of
 * them, and valid as long as the call. Not to be looked into. */
const void *grpc_call_connection(const struct grpc_call *call);
/** The subject of the client's certificate (RFC 2253), or NULL */
const char *grpc_call_peer_subject(struct grpc_call *call);
uint64_t grpc_call_messages_in(const struct grpc_call *call);
uint64_t grpc_call_messages_out(const struct grpc_call *call);
/** Bytes of those messages with their prefixes, as they are on the wire. */
uint64_t grpc_call_bytes_in(const struct grpc_call *call);
uint64_t grpc_call_bytes_out(const struct grpc_call *call);
/** CLOCK_MONOTONIC, ns. A call starts when the turn of the loop in which it came began, or when the
 * call before it in that turn ended: one reading of the clock a call is enough. */
uint64_t grpc_call_started_ns(const struct grpc_call *call);
/** Only in an interceptor's end: from start until now, the same for all of the chain. */
uint64_t grpc_call_duration_ns(struct grpc_call *call);
/** grpc-message as the client was told it, percent-encoded; base NULL where it was none. */
h2o_iovec_t grpc_call_status_message(const struct grpc_call *call);
/** This interceptor's state_size bytes. */
void *grpc_call_interceptor_state(struct grpc_call *call,
                                  const struct grpc_interceptor *interceptor);
/** Who calls, as an interceptor found out, for others to tell; not copied, so it must stay until
 * the call has ended. NULL: nobody knows. */
void grpc_call_set_identity(struct grpc_call *call, const char *name);
const char *grpc_call_identity(const struct grpc_call *call);

/** The value of the first such request metadata; for a `-bin` name decoded from base64. base is
 * NULL where there is none. Comma lists of -bin values: iterate with grpc_call_metadata_at().
 * Valid as long as the call. */
h2o_iovec_t grpc_call_metadata_of(struct grpc_call *call, const char *name, size_t len);
static inline h2o_iovec_t grpc_call_metadata(struct grpc_call *call, const char *name)
{
    return grpc_call_metadata_of(call, name, strlen(name));
}
/** Overwrites the values of all request metadata of this name, which are empty afterwards: for who
 * has seen a secret that nobody after it needs. All metadata is overwritten when the call ends. */
void grpc_call_wipe_metadata(struct grpc_call *call, const char *name);
/** Each custom request metadata in order (comma lists of -bin split, decoded).
 * @return false past the last */
bool grpc_call_metadata_at(struct grpc_call *call, size_t index, h2o_iovec_t *name,
                           h2o_iovec_t *value);
/** Response metadata; copied; -bin values are given raw. Initial: only before the response's
 * headers went out, that is in an interceptor's start, in on_open, and for a single reply until
 * it is sent. @return false after that, and for a name that HTTP/2 or gRPC does not allow (not
 * lower case, grpc-*) or a text value outside printable ASCII */
bool grpc_call_add_initial_metadata(struct grpc_call *call, const char *name, const void *value,
                                    size_t len);
bool grpc_call_add_trailing_metadata(struct grpc_call *call, const char *name, const void *value,
                                     size_t len);

/** Sends a message. It is packed at once. A producer must ask grpc_call_writable() before each
 * message of a stream. Where it would make the connection hold too much, or there is no memory, the
 * call ends RESOURCE_EXHAUSTED. */
void grpc_call_send(struct grpc_call *call, const ProtobufCMessage *message);
/** The same for `len` bytes that the caller writes where this points, and then commits: at once,
 * before anything else of this header.
 * @return NULL: nothing is sent, for the call has ended (or does so by this) */
uint8_t *grpc_call_reserve(struct grpc_call *call, size_t len);
void grpc_call_commit(struct grpc_call *call);
/** Whether messages from now on are compressed where the client takes it and they are worth it:
 * they are, until this says no. */
void grpc_call_compress(struct grpc_call *call, bool compress);
/** In on_message: the message came compressed. */
bool grpc_call_was_compressed(const struct grpc_call *call);
/** Room for at least one more message before it would wait in memory. */
bool grpc_call_writable(const struct grpc_call *call);
void grpc_call_want_write(struct grpc_call *call);
/** Takes `ns` nanoseconds of a method's work from the connection's turn. Who has more to do stops
 * when a part is done and goes on in on_writable, as asked by grpc_call_want_write(): in this turn,
 * where it has time left, else when others have had theirs. */
void grpc_call_work(struct grpc_call *call, size_t ns);
/** No on_message and no on_half_close until grpc_call_resume(): the client is held back by flow
 * control. (A bidirectional call whose replies wait is held back by itself.) Resumed outside of the
 * call's own callbacks, they may come before grpc_call_resume() returns: resume a queue of calls
 * from a timer, not each from the one before it. */
void grpc_call_pause(struct grpc_call *call);
void grpc_call_resume(struct grpc_call *call);
/** Ends the call: waiting messages go out, then the trailers. message (UTF-8) may be NULL; it is
 * copied, percent-encoded and cut after 1,024 bytes. A second finish is ignored. GRPC_OK without
 * the reply that a method with a single one owes becomes GRPC_INTERNAL. */
void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message);
void grpc_call_finishf(struct grpc_call *call, enum grpc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** The same with details (google.rpc.Status in grpc-status-details-bin): a message of a type that
 * clients know, such as google.rpc.BadRequest. Kept small by the caller: clients bound headers. */
void grpc_call_finish_detail(struct grpc_call *call, enum grpc_status status, const char *message,
                             const ProtobufCMessage *detail);

#endif
