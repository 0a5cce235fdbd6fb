/* SPDX-License-Identifier: MIT */
/*
 * Request messages, through all that reads them: prefix, inflating, protobuf, UTF-8, the method.
 * The first byte says which method (its low four bits), whether the message is compressed
 * (bits 4 and 5: not, gzip, deflate) and whether its prefix is right (bit 6: the input has its
 * own). When the connection is gone, nothing of it may be left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "service/users/user_service.h"
#include "tests/bench/worker.h"

static struct worker worker;
static const char *paths[16];
static unsigned num_paths;

static void stop(void)
{
    worker_end(&worker);
}

static void start(void)
{
    static char text[16][96];
    char segment[64];
    snprintf(segment, sizeof(segment), "/rosterd-fuzz-message-%d", (int)getpid());
    worker_start(&worker, segment, 100, 100000, WORKER_METRICS);
    for (size_t m = 0; m < user_service_table.num_methods && num_paths < 16; m++) {
        snprintf(text[num_paths], sizeof(text[0]), "/%s/%s", user_service_table.name,
                 user_service_table.methods[m].name);
        paths[num_paths] = text[num_paths];
        num_paths++;
    }
    atexit(stop);
}

static size_t put_text(uint8_t *to, const char *text)
{
    size_t len = strlen(text);
    to[0] = (uint8_t)len;
    memcpy(to + 1, text, len);
    return 1 + len;
}

/* A literal field that goes into no table. */
static size_t put_field(uint8_t *to, const char *name, const char *value)
{
    to[0] = 0;
    size_t len = 1 + put_text(to + 1, name);
    return len + put_text(to + len, value);
}

static size_t put_frame(uint8_t *to, uint8_t type, uint8_t flags, size_t len)
{
    memcpy(to,
           (uint8_t[]){(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0,
                       0, 1},
           9);
    return 9;
}

static void call(int fd, uint8_t how, const uint8_t *data, size_t len)
{
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    static const char *const encodings[] = {"identity", "gzip", "deflate", "identity"};
    static uint8_t out[20000];
    uint8_t block[512] = {0x83, 0x86}; /* :method: POST, :scheme: http */
    size_t block_len = 2, at = sizeof(greeting);
    bool own_prefix = (how & 0x40) != 0;
    block[block_len++] = 0x04; /* :path, literal */
    block_len += put_text(block + block_len, paths[(how & 15) % num_paths]);
    block_len += put_field(block + block_len, "content-type", "application/grpc");
    block_len += put_field(block + block_len, "te", "trailers");
    block_len += put_field(block + block_len, "grpc-encoding", encodings[how >> 4 & 3]);
    memcpy(out, greeting, sizeof(greeting));
    at += put_frame(out + at, 1, 4, block_len);
    memcpy(out + at, block, block_len);
    at += block_len;
    if (len > 16000)
        len = 16000;
    at += put_frame(out + at, 0, 1, len + (own_prefix ? 0 : 5));
    if (!own_prefix) {
        out[at++] = (how & 0x30) != 0 && (how & 0x30) != 0x30;
        memcpy(out + at, (uint8_t[]){0, 0, (uint8_t)(len >> 8), (uint8_t)len}, 4);
        at += 4;
    }
    memcpy(out + at, data, len);
    if (send(fd, out, at + len, MSG_NOSIGNAL) < 0)
        return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t in[65536];
    int fds[2];
    if (worker.server == NULL)
        start();
    if (len == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        return 0;
    http2_accept(grpc_server_http2(worker.server),
                 h2o_evloop_socket_create(worker.loop, fds[1], 0));
    call(fds[0], data[0], data + 1, len - 1);
    for (int i = 0; i != 4; i++) {
        worker_turn(&worker);
        while (recv(fds[0], in, sizeof(in), MSG_DONTWAIT) > 0)
            ;
    }
    close(fds[0]);
    const struct http2_counts *counts = http2_context_counts(grpc_server_http2(worker.server));
    for (int i = 0; i != 20 && counts->connections_open != 0; i++)
        worker_turn(&worker);
    if (counts->connections_open != 0 || grpc_server_calls(worker.server) != 0)
        worker_die("message", "something is left of it");
    return 0;
}
