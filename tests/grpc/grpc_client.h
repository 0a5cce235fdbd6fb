/* SPDX-License-Identifier: MIT */
/* A gRPC client for tests, which can also send what a good client would not. It works on the peer
 * of tests/http2. */
#ifndef ROSTERD_TESTS_GRPC_GRPC_CLIENT_H
#define ROSTERD_TESTS_GRPC_GRPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>

#include "tests/http2/peer.h"

struct reply {
    char headers[4096],
        trailers[4096]; /* "name: value\n..."; those of Trailers-Only are trailers */
    uint8_t *body;
    size_t body_len;
    unsigned data_frames;
    bool ended, reset;
    uint32_t reset_code;
};

/** Sends the HEADERS of a call, with te and content-type. Further arguments: name, value, ... */
#define client_open(peer, id, path, end, ...)                                                      \
    peer_request(peer, id, end, path, "te", "trailers", "content-type", "application/grpc",        \
                 ##__VA_ARGS__, NULL)
/** Sends HEADERS with exactly these fields: name, value, ..., NULL. */
void client_headers(struct peer *peer, uint32_t id, bool end, ...);
/** Sends a DATA frame. */
void client_data(struct peer *peer, uint32_t id, const void *bytes, size_t len, bool end);
/** The message with its prefix. The caller frees it. */
uint8_t *client_frame(const ProtobufCMessage *message, size_t *len);
/** Sends a message in one DATA frame. */
void client_send(struct peer *peer, uint32_t id, const ProtobufCMessage *message, bool end);

/** Reads frames as long as they come within a few turns of the loop. Frames of other streams are
 * skipped. The caller calls reply_free(). */
void client_read(struct peer *peer, uint32_t id, struct reply *reply);
void reply_free(struct reply *reply);
/** The value of a field among "name: value\n" lines, in a static buffer; NULL: there is none. */
const char *reply_field(const char *fields, const char *name);
/** grpc-status of the trailers; -1: there is none. */
int reply_status(const struct reply *reply);
/** The reply's nth message, from 0. Fails the test if there is none. */
ProtobufCMessage *reply_message(const struct reply *reply, unsigned n,
                                const ProtobufCMessageDescriptor *type);
unsigned reply_count(const struct reply *reply);

#endif
