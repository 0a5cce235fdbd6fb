/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes a whole worker by the bytes of one connection. The first byte of an
 * input says how the rest arrives: bit 0: behind a good preface and SETTINGS;
 * bits 1 to 3: in pieces of that many bytes times 7, 0 all at once. When the
 * connection is gone, nothing of it may be left in the worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "tests/bench/worker.h"

static struct worker worker;

static void stop(void)
{
    worker_end(&worker);
}

static void start(void)
{
    char segment[64];
    snprintf(segment, sizeof(segment), "/rosterd-fuzz-%d", (int)getpid());
    worker_start(&worker, segment, 100, 5000, WORKER_METRICS);
    atexit(stop);
}

static void drain(int fd)
{
    uint8_t out[65536];
    while (recv(fd, out, sizeof(out), MSG_DONTWAIT) > 0)
        ;
}

static void feed(int fd, const uint8_t *data, size_t len, size_t piece)
{
    while (len != 0) {
        size_t n = piece != 0 && piece < len ? piece : len;
        ssize_t sent = send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        worker_turn(&worker);
        drain(fd);
        if (sent <= 0)
            return; /* the worker closed it, or does not read: both are its right */
        data += sent;
        len -= (size_t)sent;
    }
}

static void expect_nothing_left(void)
{
    const struct http2_counts *counts = http2_context_counts(grpc_server_http2(worker.server));
    for (int i = 0; i != 20 && counts->connections_open != 0; i++)
        worker_turn(&worker);
    if (counts->connections_open != 0 || counts->streams_open != 0 ||
        grpc_server_calls(worker.server) != 0)
        worker_die("connection", "something is left of it");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    int fds[2];
    if (worker.server == NULL)
        start();
    if (len == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        return 0;
    http2_accept(grpc_server_http2(worker.server),
                 h2o_evloop_socket_create(worker.loop, fds[1], 0));
    if ((data[0] & 1) != 0)
        feed(fds[0], (const uint8_t *)greeting, sizeof(greeting), 0);
    feed(fds[0], data + 1, len - 1, (size_t)(data[0] >> 1 & 7) * 7);
    for (int i = 0; i != 4; i++) {
        worker_turn(&worker);
        drain(fds[0]);
    }
    close(fds[0]);
    expect_nothing_left();
    return 0;
}
