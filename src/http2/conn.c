/* SPDX-License-Identifier: MIT */
#include "http2/conn.h"

#include <assert.h>
#include <stdlib.h>

#include "http2/conn_error.h"
#include "http2/drain.h"
#include "http2/headers.h"
#include "http2/input.h"
#include "http2/life.h"
#include "http2/out.h"
#include "http2/socket.h"
#include "http2/stream.h"
#include "http2/turn.h"

enum { INITIAL_BUCKETS = 8, INITIAL_WINDOW = 65535 }; /* RFC 9113 6.9.2 */

struct http2_conn *http2_conn_create(struct http2_context *context, h2o_socket_t *sock)
{
    struct http2_conn *conn = malloc(sizeof(*conn));
    struct http2_stream **buckets = calloc(INITIAL_BUCKETS, sizeof(struct http2_stream *));
    if (conn == NULL || buckets == NULL) {
        free(conn);
        free(buckets);
        h2o_socket_close(sock);
        return NULL;
    }
    *conn = (struct http2_conn){
        .context = context,
        .sock = sock,
        .transport = &http2_socket_transport,
        .peer = H2O_HTTP2_SETTINGS_DEFAULT,
        .buckets = buckets,
        .num_buckets = INITIAL_BUCKETS,
        .goaway_id = INT32_MAX,
        .send_window = INITIAL_WINDOW,
        .recv_window = HTTP2_CONN_WINDOW,
        .budget = HTTP2_TURN_QUANTUM,
        .calm = http2_calm_new(context->settings.max_concurrent_streams),
        .decoder.size = HPACK_TABLE_SIZE,
    };
    sock->data = conn;
    hpack_encoder_init(&conn->encoder);
    h2o_linklist_init_anchor(&conn->turns);
    h2o_linklist_init_anchor(&conn->stopped);
    h2o_linklist_init_anchor(&conn->closed);
    h2o_linklist_insert(&context->conns, &conn->link);
    context->counts.connections_accepted++;
    context->counts.connections_open++;
    http2_drain_init(conn);
    http2_life_begin(conn);
    return conn;
}

static void unlink_if_linked(h2o_linklist_t *link)
{
    if (h2o_linklist_is_linked(link))
        h2o_linklist_unlink(link);
}

void http2_conn_destroy(struct http2_conn *conn)
{
    struct http2_context *context = conn->context;
    http2_turn_begin(conn); /* what the handler does in on_close is no part of an earlier turn */
    conn->busy++; /* the handler, which gets on_close now, must not have the connection touched */
    http2_conn_lost(conn);
    http2_streams_reap(conn);
    assert(conn->num_streams == 0);
    http2_life_end(conn);
    http2_drain_dispose(conn);
    unlink_if_linked(&conn->touched);
    unlink_if_linked(&conn->waiting);
    h2o_linklist_unlink(&conn->link);
    conn->transport->dispose(conn);
    h2o_socket_close(conn->sock);
    hpack_table_dispose(&conn->decoder);
    http2_memo_dispose(&conn->memo);
    http2_out_free(conn);
    http2_input_drop(conn);
    http2_block_drop(conn);
    assert(conn->held == 0);
    free(conn->buckets);
    free(conn->peer_text);
    free(conn->subject);
    free(conn);
    context->counts.connections_open--;
}
