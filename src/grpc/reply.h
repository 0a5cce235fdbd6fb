/* SPDX-License-Identifier: MIT */
/* A response but for its messages: headers, trailers, or a reset (gRPC PROTOCOL-HTTP2). */
#ifndef ROSTERD_GRPC_REPLY_H
#define ROSTERD_GRPC_REPLY_H

#include "grpc/call.h"

/** Decides how messages of the reply that are worth it will be compressed. Before the headers. */
void grpc_choose_encoding(struct grpc_call *call);
/** Sends the response's headers with the initial metadata. Once. */
void grpc_send_headers(struct grpc_call *call);
/** Ends the response of a finished call: by trailers, or by headers that are trailers, too
 * (Trailers-Only). Nothing may wait in the stream. */
void grpc_send_end(struct grpc_call *call);
/** Ends the response by RST_STREAM: what waits in the stream is dropped. */
void grpc_send_reset(struct grpc_call *call, enum http2_error error);

#endif
