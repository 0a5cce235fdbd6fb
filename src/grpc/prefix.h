/* SPDX-License-Identifier: MIT */
/* The prefix of each message in a body (gRPC PROTOCOL-HTTP2, Length-Prefixed-Message): one byte
 * that says whether the message is compressed, then its length in network byte order. */
#ifndef ROSTERD_GRPC_PREFIX_H
#define ROSTERD_GRPC_PREFIX_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

enum { GRPC_PREFIX_SIZE = 5 };

/** The length of the message behind the prefix. */
static inline uint32_t grpc_prefix_length(const uint8_t prefix[GRPC_PREFIX_SIZE])
{
    uint32_t length;
    memcpy(&length, prefix + 1, sizeof(length));
    return be32toh(length);
}

/** @return where the message belongs, right behind the prefix */
static inline uint8_t *grpc_prefix_write(uint8_t *to, uint8_t compressed, uint32_t len)
{
    uint32_t length = htobe32(len);
    to[0] = compressed;
    memcpy(to + 1, &length, sizeof(length));
    return to + GRPC_PREFIX_SIZE;
}

#endif
