/* SPDX-License-Identifier: MIT */
/* From a request's header section to an open call, or to the answer that none was opened. */
#ifndef ROSTERD_GRPC_REQUEST_H
#define ROSTERD_GRPC_REQUEST_H

#include "http2/http2.h"

/** The on_request callback of http2's handler: runs the interceptors, checks the request, calls
 * on_open. */
void grpc_request_open(struct http2_stream *stream, const struct http2_request *request);

#endif
