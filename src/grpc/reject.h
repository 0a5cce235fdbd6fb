/* SPDX-License-Identifier: MIT */
/* Requests that are not gRPC's: they get an HTTP status and a line of text (gRPC PROTOCOL-HTTP2,
 * http-grpc-status-mapping.md). */
#ifndef ROSTERD_GRPC_REJECT_H
#define ROSTERD_GRPC_REJECT_H

#include "grpc/call.h"

/**
 * Answers the request with a status and a text, both at once; the call is finished.
 * END_STREAM follows as soon as grpc_reject_end() finds it due.
 * @param status 400, 405 or 415
 * @param text a static line of plain ASCII, with a newline
 */
void grpc_reject(struct grpc_call *call, const struct http2_request *request, unsigned status,
                 const char *text);
/** Ends the response of a rejected request if that is due. */
void grpc_reject_end(struct grpc_call *call);

#endif
