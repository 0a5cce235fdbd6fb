/* SPDX-License-Identifier: MIT */
#include "http2/write.h"

#include "http2/conn_error.h"
#include "http2/conn_state.h"
#include "http2/out.h"
#include "http2/transport.h"

void http2_write(struct http2_conn *conn)
{
    struct http2_output *out = &conn->out;
    if (conn->writing || conn->state == HTTP2_CONN_LOST)
        return;
    size_t before = http2_output_waiting(out);
    http2_out_close_data(conn);
    if (!conn->transport->write(conn)) {
        http2_conn_lost(conn);
        return;
    }
    size_t wrote = before - http2_output_waiting(out);
    conn->context->counts.bytes_out += wrote;
    conn->written += wrote;
    bool all = http2_output_waiting(out) == 0;
    if (all)
        http2_out_free(conn);
    conn->writing = !all || conn->sealed_waiting != 0;
}
