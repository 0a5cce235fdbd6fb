/* SPDX-License-Identifier: MIT */
/* The address of the peer, as text and as a key. The text is formatted at its first use, and kept
 * as long as the connection. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "http2/conn_state.h"

static char *format_peer(const struct http2_conn *conn)
{
    char host[INET6_ADDRSTRLEN], *text = NULL;
    struct sockaddr_storage address;
    socklen_t len = h2o_socket_getpeername(conn->sock, (struct sockaddr *)&address);
    if (len < sizeof(address.ss_family))
        return NULL;
    int made = -1;
    if (address.ss_family == AF_UNIX) {
        made = asprintf(&text, "unix:");
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
        unsigned port = ntohs(in6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) { /* IPv4, accepted by a socket for both */
            inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
            made = asprintf(&text, "%s:%u", host, port);
        } else {
            inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
            made = asprintf(&text, "[%s]:%u", host, port);
        }
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        made = asprintf(&text, "%s:%u", host, ntohs(in->sin_port));
    }
    return made < 0 ? NULL : text;
}

const char *http2_conn_peer(struct http2_conn *conn)
{
    if (conn->peer_text == NULL)
        conn->peer_text = format_peer(conn);
    return conn->peer_text != NULL ? conn->peer_text : "unknown";
}

size_t http2_conn_peer_key(const struct http2_conn *conn, uint8_t key[ADDRESS_KEY_MAX])
{
    struct sockaddr_storage address;
    socklen_t len = h2o_socket_getpeername(conn->sock, (struct sockaddr *)&address);
    return len < sizeof(address.ss_family) ? 0 : address_key((struct sockaddr *)&address, key);
}
