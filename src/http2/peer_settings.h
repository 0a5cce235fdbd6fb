/* SPDX-License-Identifier: MIT */
/* The client's SETTINGS, RFC 9113 6.5. */
#ifndef ROSTERD_HTTP2_PEER_SETTINGS_H
#define ROSTERD_HTTP2_PEER_SETTINGS_H

#include "http2/conn_state.h"

/** Applies a SETTINGS frame and acknowledges it, or takes note of an ACK of ours. */
void http2_peer_settings_handle(struct http2_conn *conn, const h2o_http2_frame_t *frame);

#endif
