/* SPDX-License-Identifier: MIT */
/*
 * grpc.reflection.v1 and v1alpha: describes what is served by FileDescriptorProtos, so that clients
 * need no .proto. They come from the descriptor set that protoc makes at build time. The two
 * versions differ in the name of their package only.
 */
#ifndef ROSTERD_SERVICE_BUILTIN_REFLECTION_H
#define ROSTERD_SERVICE_BUILTIN_REFLECTION_H

#include "base/fault.h"
#include "grpc/grpc.h"
#include "service/core/service.h"

enum { REFLECTION_REQUEST_MAX = 8 * 1024 }; /* bytes of a request, which holds a name or two */

/** The methods of both versions; `reflection_service` is the row in the list of services. */
extern const struct grpc_service reflection_table, reflection_v1alpha_table;

#endif
