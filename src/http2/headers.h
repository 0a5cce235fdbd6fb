/* SPDX-License-Identifier: MIT */
/* HEADERS and CONTINUATION: from a header block to a request or a trailer section. */
#ifndef ROSTERD_HTTP2_HEADERS_H
#define ROSTERD_HTTP2_HEADERS_H

#include "http2/conn_state.h"

/** Handles a HEADERS frame, and overwrites its payload if it may hold a token. */
void http2_headers_handle(struct http2_conn *conn, const h2o_http2_frame_t *frame);
/** Handles a CONTINUATION frame, and overwrites its payload. */
void http2_continuation_handle(struct http2_conn *conn, const h2o_http2_frame_t *frame);
/** Overwrites and frees an incomplete header block. */
void http2_block_drop(struct http2_conn *conn);

#endif
