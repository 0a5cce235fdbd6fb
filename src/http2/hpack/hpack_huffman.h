/* SPDX-License-Identifier: MIT */
/* Decoding of strings in HPACK's Huffman code (RFC 7541 5.2, appendix B). */
#ifndef ROSTERD_HTTP2_HPACK_HPACK_HUFFMAN_H
#define ROSTERD_HTTP2_HPACK_HPACK_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** @param dst receives the first `room` bytes of the decoded string
 * @return the length of the decoded string, which may be more than `room`; -1: not valid code */
ssize_t hpack_huffman_decode(char *dst, size_t room, const uint8_t *src, size_t len);

#endif
