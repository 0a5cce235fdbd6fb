/* SPDX-License-Identifier: MIT */
/* A header or trailer field to send. */
#ifndef ROSTERD_HTTP2_HPACK_HTTP2_FIELD_H
#define ROSTERD_HTTP2_HPACK_HTTP2_FIELD_H

#include <stdint.h>

enum { HTTP2_INTERN_MAX = 31 };

/**
 * The name is in lower case. `intern` is a number from 1 to HTTP2_INTERN_MAX that identifies
 * exactly this name and value within the process, or 0. An interned field enters the peer's dynamic
 * table at its first use and costs one byte from then on; a field with 0 is sent literally.
 */
struct http2_field {
    const char *name, *value;
    uint32_t value_len;
    uint16_t name_len;
    uint8_t intern;
};

#endif
