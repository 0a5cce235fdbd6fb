/* SPDX-License-Identifier: MIT */
/* TLS handshakes: the subject of the client's certificate, and the reason of a failure. */
#ifndef ROSTERD_HTTP2_TLS_TLS_HANDSHAKE_H
#define ROSTERD_HTTP2_TLS_TLS_HANDSHAKE_H

#include <stdbool.h>

struct http2_conn;

/** Continues the handshake with what was read. If it fails, the connection closes after the alert,
 * and settings.note gets a line. @return true: the handshake is complete */
bool http2_tls_shake_hands(struct http2_conn *conn);

#endif
