/* SPDX-License-Identifier: MIT */
/* Reads the value of grpc-timeout (gRPC PROTOCOL-HTTP2): 1 to 8 digits and a unit. */
#ifndef ROSTERD_GRPC_TIMEOUT_H
#define ROSTERD_GRPC_TIMEOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** @param ms set to milliseconds, rounded up, so that only a timeout of zero becomes 0
 * @return false: the value is malformed */
bool grpc_timeout_parse(const char *value, size_t len, uint64_t *ms);

#endif
