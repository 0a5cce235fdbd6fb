/* SPDX-License-Identifier: MIT */
#include "http2/tls/tls_io.h"

#include <openssl/bio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "base/container_of.h"

enum {
    WARM_MS = 1000,
    WARM_MAX = 2048, /* connections with buffers: 70 MiB */
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *dst, int room)
{
    struct http2_tls_io *io = BIO_get_data(bio);
    size_t len = MIN((size_t)room, io->in_len);
    BIO_clear_retry_flags(bio);
    if (len == (size_t)room)
        io->body = !io->body; /* OpenSSL asks for a header and a body in turn */
    io->half = len < (size_t)room && (len != 0 || io->half);
    if (len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(dst, io->in, len);
    io->in += len;
    io->in_len -= len;
    return (int)len;
}

static int bio_write(BIO *bio, const char *src, int len)
{
    struct http2_tls_io *io = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if ((size_t)len > HTTP2_TLS_SEALED - io->sealed_len) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(io->sealed + io->sealed_len, src, (size_t)len);
    io->sealed_len += (size_t)len;
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *data)
{
    (void)bio, (void)number, (void)data;
    return command == BIO_CTRL_FLUSH;
}

static void on_cooler_timer(struct timer *timer);

struct http2_tls_io *http2_tls_io_create(struct http2_context *context)
{
    struct http2_tls_io *io = malloc(sizeof(*io));
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "http2");
    if (io == NULL || method == NULL || BIO_meth_set_read(method, bio_read) != 1 ||
        BIO_meth_set_write(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1) {
        BIO_meth_free(method);
        free(io);
        return NULL;
    }
    memset(io, 0, offsetof(struct http2_tls_io, cipher));
    io->method = method;
    io->context = context;
    io->cooler.expired = on_cooler_timer;
    h2o_linklist_init_anchor(&io->warm);
    return io;
}

void http2_tls_io_dispose(struct http2_tls_io *io)
{
    timer_disarm(io->context->timers, &io->cooler);
    BIO_meth_free(io->method);
    free(io);
}

/* ---- OpenSSL's buffers ---- */

void http2_tls_cool(struct http2_tls_io *io, struct http2_tls *tls)
{
    if (!h2o_linklist_is_linked(&tls->warm))
        return;
    h2o_linklist_unlink(&tls->warm);
    io->num_warm--;
    /* Not while they hold half a record: OpenSSL would refuse, and some versions do it anyway
     * (CVE-2024-4741). */
    if (!tls->body && !tls->half)
        SSL_free_buffers(tls->ssl);
}

static struct http2_tls *coolest(struct http2_tls_io *io)
{
    return container_of(io->warm.next, struct http2_tls, warm);
}

static void on_cooler_timer(struct timer *timer)
{
    struct http2_tls_io *io = container_of(timer, struct http2_tls_io, cooler);
    uint64_t now = timers_now(io->context->timers);
    while (!h2o_linklist_is_empty(&io->warm) && coolest(io)->used_ms + WARM_MS <= now)
        http2_tls_cool(io, coolest(io));
    if (!h2o_linklist_is_empty(&io->warm))
        timer_arm(io->context->timers, timer, coolest(io)->used_ms + WARM_MS);
}

void http2_tls_warm_up(struct http2_conn *conn)
{
    struct http2_tls_io *io = conn->context->tls_io;
    struct http2_tls *tls = conn->tls;
    tls->used_ms = timers_now(conn->context->timers);
    if (h2o_linklist_is_linked(&tls->warm))
        h2o_linklist_unlink(&tls->warm);
    else if (++io->num_warm > WARM_MAX)
        http2_tls_cool(io, coolest(io));
    h2o_linklist_insert(&io->warm, &tls->warm);
    if (!timer_armed(&io->cooler))
        timer_arm(conn->context->timers, &io->cooler, tls->used_ms + WARM_MS);
}
