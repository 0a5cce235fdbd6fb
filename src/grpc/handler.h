/* SPDX-License-Identifier: MIT */
/* What http2 calls: the callbacks of struct http2_handler. */
#ifndef ROSTERD_GRPC_HANDLER_H
#define ROSTERD_GRPC_HANDLER_H

#include "grpc/server.h"

/** The handler of a server's connections. */
struct http2_handler grpc_handler_of(struct grpc_server *server);

#endif
