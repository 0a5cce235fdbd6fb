/* SPDX-License-Identifier: MIT */
#include "fuzz_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { CLOSE_MS = 10000 };

const uint8_t fuzz_greeting[FUZZ_GREETING_SIZE] =
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
struct worker fuzz_worker;
static const char *fuzz_target;

static void fuzz_worker_stop(void)
{
    worker_end(&fuzz_worker);
}

void fuzz_worker_start(const char *target, uint64_t max_users)
{
    if (fuzz_worker.server != NULL)
        return;
    fuzz_target = target;
    char segment[64];
    snprintf(segment, sizeof(segment), "/rosterd-fuzz-%s-%d", target, (int)getpid());
    worker_start(&fuzz_worker, segment, 100, max_users, WORKER_METRICS);
    atexit(fuzz_worker_stop);
}

int fuzz_worker_connect(void)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        return -1;
    http2_accept(grpc_server_http2(fuzz_worker.server),
                 h2o_evloop_socket_create(fuzz_worker.loop, fds[1], 0));
    return fds[0];
}

void fuzz_worker_turn(int fd)
{
    uint8_t in[65536];
    worker_turn(&fuzz_worker);
    while (recv(fd, in, sizeof(in), MSG_DONTWAIT) > 0)
        ;
}

void fuzz_worker_disconnect(int fd)
{
    for (int i = 0; i != 4; i++)
        fuzz_worker_turn(fd);
    close(fd);
    const struct http2_counts *counts = http2_context_counts(grpc_server_http2(fuzz_worker.server));
    /* On a busy machine a turn may end after one message, so there is no number of turns in which a
     * connection has handled all that it received. */
    for (uint64_t until = clock_monotonic_ms() + CLOSE_MS;
         counts->connections_open != 0 && clock_monotonic_ms() < until;)
        worker_turn(&fuzz_worker);
    if (counts->connections_open != 0 || counts->streams_open != 0 ||
        grpc_server_calls(fuzz_worker.server) != 0)
        worker_die(fuzz_target, "the worker keeps something of a closed connection");
}
