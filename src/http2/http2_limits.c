/* SPDX-License-Identifier: MIT */
#include "http2/http2_limits.h"

#include <assert.h>
#include <stddef.h>

static const char *const limit_names[HTTP2_NUM_LIMITS] = {
    [HTTP2_LIMIT_CONCURRENT_STREAMS] = "max_concurrent_streams",
    [HTTP2_LIMIT_HEADER_LIST] = "max_header_size",
    [HTTP2_LIMIT_HEADER_BLOCK] = "header_block",
    [HTTP2_LIMIT_HEADER_TIME] = "header_time",
    [HTTP2_LIMIT_HANDSHAKE_TIME] = "handshake_timeout",
    [HTTP2_LIMIT_PENDING_OUTPUT] = "pending_output",
    [HTTP2_LIMIT_MEMORY] = "max_connection_memory",
    [HTTP2_LIMIT_TURN] = "turn",
    [HTTP2_LIMIT_RESETS] = "resets",
    [HTTP2_LIMIT_PINGS] = "pings",
    [HTTP2_LIMIT_SETTINGS] = "settings",
    [HTTP2_LIMIT_EMPTY_FRAMES] = "empty_frames",
    [HTTP2_LIMIT_WINDOW_UPDATES] = "window_updates",
    [HTTP2_LIMIT_OTHER_FRAMES] = "other_frames",
    [HTTP2_LIMIT_AGE] = "max_connection_age",
    [HTTP2_LIMIT_IDLE] = "max_connection_idle",
    [HTTP2_LIMIT_KEEPALIVE] = "keepalive_timeout",
};

const char *http2_limit_name(enum http2_limit limit)
{
    assert(limit < HTTP2_NUM_LIMITS && limit_names[limit] != NULL);
    return limit_names[limit];
}
