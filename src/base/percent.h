/* SPDX-License-Identifier: MIT */
/* The percent-encoding of grpc-message (gRPC PROTOCOL-HTTP2): bytes outside 0x20-0x24 and 0x26-0x7E
 * become %XX. */
#ifndef ROSTERD_BASE_PERCENT_H
#define ROSTERD_BASE_PERCENT_H

#include <stddef.h>

/** The length of the encoded text. */
size_t percent_length(const char *text, size_t len);
/** Writes percent_length() bytes, without a NUL. @return the end of what was written */
char *percent_encode(char *to, const char *text, size_t len);
/** The reverse, of text that percent_encode() wrote; stops when `to` is full.
 * @param size bytes of `to` @return the bytes written, without a NUL */
size_t percent_decode(char *to, size_t size, const char *text, size_t len);

#endif
