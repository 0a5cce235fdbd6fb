/* SPDX-License-Identifier: MIT */
/* A gRPC client that does what tests say, well or badly, on tests/http2's peer. */
#ifndef ROSTERD_TESTS_GRPC_GRPC_CLIENT_H
#define ROSTERD_TESTS_GRPC_GRPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>

#include "tests/http2/peer.h"

struct reply {
    char headers[4096], trailers[4096]; /* "name: value\n..."; trailers-only: in trailers */
    uint8_t *body;
    size_t body_len;
    unsigned data_frames;
    bool ended, reset;
    uint32_t reset_code;
};

/** HEADERS of a call with te and content-type; extra name, value, ..., NULL. */
#define client_open(peer, id, path, end, ...)                                                      \
    peer_request(peer, id, end, path, "te", "trailers", "content-type", "application/grpc",        \
                 ##__VA_ARGS__, NULL)
/** Any header section: name, value, ..., NULL, pseudo-headers too. */
void client_headers(struct peer *peer, uint32_t id, bool end, ...);
/** DATA */
void client_data(struct peer *peer, uint32_t id, const void *bytes, size_t len, bool end);
/** The length-prefixed message; free() it. */
uint8_t *client_frame(const ProtobufCMessage *message, size_t *len);
/** A whole message in one DATA frame. */
void client_send(struct peer *peer, uint32_t id, const ProtobufCMessage *message, bool end);

/** Reads what comes until the stream ends (and what follows at once) or nothing comes. Frames of
 * other streams are passed over. reply_free() it. */
void client_read(struct peer *peer, uint32_t id, struct reply *reply);
void reply_free(struct reply *reply);
/** The value of a field among "name: value\n" lines, in a buffer of its own; NULL: none. */
const char *reply_field(const char *fields, const char *name);
/** grpc-status of the trailers, -1 without one. */
int reply_status(const struct reply *reply);
/** The reply's nth message; fails the test where there is none. */
ProtobufCMessage *reply_message(const struct reply *reply, unsigned n,
                                const ProtobufCMessageDescriptor *type);
unsigned reply_count(const struct reply *reply);

#endif
