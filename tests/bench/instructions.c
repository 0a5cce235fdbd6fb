/* SPDX-License-Identifier: MIT */
/*
 * Runs calls of one kind for callgrind, which counts the server's instructions. A whole worker in
 * this process serves a conversation that was recorded beforehand, over a socket pair. Only the
 * turns of the worker's loop are counted, after a warm-up, so that the figure is the same in every
 * run.
 *
 * Usage: instructions KIND CALLS, under
 *   valgrind --tool=callgrind --collect-atstart=no
 * KIND: get, get-changing, create, batch, list or chat; for the last three CALLS counts messages.
 * Variants of get use another chain: get-bare has no counters, get-log writes the access log,
 * get-token checks a token, get-hashed one whose hash is in the file, get-metadata sends the token
 * without a check, get-wrong-first and get-wrong-last send a token whose first or last byte is
 * wrong. Prints the number of replies.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#include "tests/bench/bench_worker.h"

enum {
    USERS = 10000,
    MAX_USERS = 1000000,
    ROUND = 100,
    PART = 64 * 1024,
    FRAME = 16384,
    WARM_UP = 2000
};

struct client {
    int fd;
    nghttp2_hd_deflater *deflater;
    uint32_t next_id;
    uint8_t out[1 << 18];
    size_t out_len;
    uint64_t replies; /* number of trailers received */
};

/* ---- the conversation ---- */

static uint8_t *frame(struct client *client, uint8_t type, uint8_t flags, uint32_t id, size_t len)
{
    if (client->out_len + 9 + len > sizeof(client->out))
        worker_die("conversation", "longer than its buffer");
    uint8_t *at = client->out + client->out_len;
    uint8_t head[9] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
        (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    memcpy(at, head, 9);
    client->out_len += 9 + len;
    return at + 9;
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static void put_headers(struct client *client, const char *method, const char *kind)
{
    bool changing = strcmp(kind, "get-changing") == 0;
    char token[] = "Bearer " WORKER_TOKEN;
    if (strcmp(kind, "get-wrong-first") == 0)
        token[7] ^= 1;
    if (strcmp(kind, "get-wrong-last") == 0)
        token[sizeof(token) - 2] ^= 1;
    bool authorized = strcmp(kind, "get-token") == 0 || strcmp(kind, "get-metadata") == 0 ||
                      strcmp(kind, "get-hashed") == 0 || strncmp(kind, "get-wrong", 9) == 0;
    char path[64], timeout[16], trace[64];
    snprintf(path, sizeof(path), "/userservice.UserService/%s", method);
    snprintf(timeout, sizeof(timeout), "%uu", 9000000 + client->next_id);
    snprintf(trace, sizeof(trace), "00-%032" PRIx64 "-%016" PRIx64 "-01",
             client->next_id * UINT64_C(0x9e3779b97f4a7c15),
             client->next_id * UINT64_C(0xc2b2ae3d27d4eb4f));
    nghttp2_nv fields[] = {nv(":method", "POST"),
                           nv(":scheme", "http"),
                           nv(":path", path),
                           nv(":authority", "localhost"),
                           nv("te", "trailers"),
                           nv("content-type", "application/grpc"),
                           nv("user-agent", "rosterd-bench/1"),
                           changing ? nv("grpc-timeout", timeout) : nv("authorization", token),
                           nv("traceparent", trace)};
    uint8_t block[1024];
    ssize_t len = nghttp2_hd_deflate_hd(client->deflater, block, sizeof(block), fields,
                                        changing     ? 9
                                        : authorized ? 8
                                                     : 7);
    memcpy(frame(client, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, client->next_id, (size_t)len),
           block, (size_t)len);
}

static size_t put_text(uint8_t *dst, uint8_t field, const char *text)
{
    size_t len = strlen(text);
    dst[0] = (uint8_t)(field << 3 | 2);
    dst[1] = (uint8_t)len;
    memcpy(dst + 2, text, len);
    return len + 2;
}

/* Writes a request of this kind with its prefix. @return its length */
static size_t build_message(uint8_t *dst, const char *kind, uint64_t number, uint64_t calls)
{
    char name[32], email[64];
    uint8_t *at = dst + 5;
    size_t len = 0;
    snprintf(name, sizeof(name), "user%08" PRIu64, number);
    snprintf(email, sizeof(email), "%s@example.com", name);
    if (strncmp(kind, "get", 3) == 0) {
        char id[37];
        const uint8_t *b = worker_known_id;
        snprintf(id, sizeof(id),
                 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
                 b[15]);
        len = put_text(at, 1, id);
    } else if (strcmp(kind, "chat") == 0) {
        len = put_text(at, 1, "bench");
        len += put_text(at + len, 2, "hello, is anybody there?");
    } else if (strcmp(kind, "list") == 0) {
        at[len++] = 8;
        for (uint64_t v = calls; v != 0; v >>= 7)
            at[len++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
    } else {
        len = put_text(at, 1, name);
        len += put_text(at + len, 2, email);
    }
    memcpy(dst, (uint8_t[]){0, 0, 0, 0, (uint8_t)len}, 5);
    return len + 5;
}

static void count_replies(struct client *client)
{
    static uint8_t in[1 << 20];
    static size_t len;
    ssize_t n;
    while ((n = recv(client->fd, in + len, sizeof(in) - len, 0)) > 0) {
        size_t used = 0, size;
        for (len += (size_t)n; len - used >= 9; used += size) {
            const uint8_t *at = in + used;
            size = 9 + ((size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2]);
            if (len - used < size)
                break;
            /* After an answer that precedes the request's end, the server sends RST_STREAM with
             * NO_ERROR. */
            bool reset = at[3] == NGHTTP2_RST_STREAM && memcmp(at + 9, "\0\0\0\0", 4) != 0;
            if (reset || at[3] == NGHTTP2_GOAWAY)
                worker_die("server", "reset a stream or the connection");
            client->replies += at[3] == NGHTTP2_HEADERS && (at[4] & NGHTTP2_FLAG_END_STREAM) != 0;
        }
        memmove(in, in + used, len - used);
        len -= used;
    }
}

/* Sends the recorded bytes to the worker, and lets the worker handle all of them. */
static void exchange(struct client *client, struct worker *worker, bool count)
{
    size_t sent = 0;
    for (unsigned idle = 0; idle != 3;) {
        size_t part = client->out_len - sent < PART ? client->out_len - sent : PART;
        if (part != 0) {
            ssize_t n = send(client->fd, client->out + sent, part, MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                worker_die("send", strerror(errno));
            sent += n > 0 ? (size_t)n : 0;
            idle = 0;
        } else {
            idle++;
        }
        uint64_t had = http2_context_counts(grpc_server_http2(worker->server))->bytes_out;
        if (count)
            CALLGRIND_TOGGLE_COLLECT;
        worker_turn(worker);
        if (count)
            CALLGRIND_TOGGLE_COLLECT;
        count_replies(client);
        if (http2_context_counts(grpc_server_http2(worker->server))->bytes_out != had ||
            http2_context_pending(grpc_server_http2(worker->server)))
            idle = 0;
    }
    client->out_len = 0;
}

static void do_unary(struct client *client, struct worker *worker, const char *kind, uint64_t calls,
                     bool count)
{
    const char *method = strcmp(kind, "create") == 0 ? "CreateUser" : "GetUser";
    for (uint64_t done = 0; done != calls;) {
        for (unsigned i = 0; i != ROUND && done != calls; i++, done++, client->next_id += 2) {
            uint8_t message[256];
            size_t len = build_message(message, kind, done, calls);
            put_headers(client, method, kind);
            memcpy(frame(client, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, client->next_id, len),
                   message, len);
        }
        exchange(client, worker, count);
    }
}

/* Makes one call with this many request messages, in DATA frames of the largest size. */
static void do_stream(struct client *client, struct worker *worker, const char *kind,
                      uint64_t messages, bool count)
{
    bool chat = strcmp(kind, "chat") == 0, list = strcmp(kind, "list") == 0;
    put_headers(client, chat ? "Chat" : list ? "ListUsers" : "BatchCreateUsers", kind);
    uint8_t body[FRAME];
    size_t used = 0;
    for (uint64_t i = 0; i != (list ? 1 : messages); i++) {
        if (used > FRAME - 256) {
            memcpy(frame(client, NGHTTP2_DATA, 0, client->next_id, used), body, used);
            used = 0;
            if (client->out_len > 2 * PART)
                exchange(client, worker, count);
        }
        used += build_message(body + used, kind, i, messages);
    }
    memcpy(frame(client, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, client->next_id, used), body, used);
    client->next_id += 2;
    exchange(client, worker, count);
}

static void talk(struct client *client, struct worker *worker, const char *kind, uint64_t calls,
                 bool count)
{
    bool unary = strncmp(kind, "get", 3) == 0 || strcmp(kind, "create") == 0;
    uint64_t had = client->replies;
    (unary ? do_unary : do_stream)(client, worker, kind, calls, count);
    if (client->replies - had != (unary ? calls : 1))
        worker_die(kind, "some replies are missing");
}

static void greet(struct client *client, struct worker *worker)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        worker_die("socketpair", strerror(errno));
    client->fd = fds[0];
    client->next_id = 1;
    nghttp2_hd_deflate_new(&client->deflater, 4096);
    http2_accept(grpc_server_http2(worker->server),
                 h2o_evloop_socket_create(worker->loop, fds[1], 0));
    memcpy(client->out, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    client->out_len = NGHTTP2_CLIENT_MAGIC_LEN;
    memcpy(frame(client, NGHTTP2_SETTINGS, 0, 0, 6), "\0\x04\x40\0\0\0", 6); /* large windows */
    memcpy(frame(client, NGHTTP2_WINDOW_UPDATE, 0, 0, 4), "\x40\0\0\0", 4);
    exchange(client, worker, false);
}

static unsigned parts_of(const char *kind)
{
    if (strcmp(kind, "get-bare") == 0)
        return 0;
    if (strcmp(kind, "get-log") == 0)
        return WORKER_METRICS | WORKER_LOG;
    if (strcmp(kind, "get-token") == 0 || strncmp(kind, "get-wrong", 9) == 0)
        return WORKER_METRICS | WORKER_TOKENS;
    if (strcmp(kind, "get-hashed") == 0)
        return WORKER_METRICS | WORKER_HASHED_TOKENS;
    return WORKER_METRICS;
}

int main(int argc, char **argv)
{
    static struct worker worker;
    static struct client client;
    if (argc != 3) {
        fputs("usage: instructions KIND CALLS\n", stderr);
        return 2;
    }
    char segment[64];
    uint64_t calls = strtoull(argv[2], NULL, 10);
    snprintf(segment, sizeof(segment), "/rosterd-instructions-%d", (int)getpid());
    worker_start(&worker, segment, USERS, MAX_USERS, parts_of(argv[1]));
    greet(&client, &worker);
    talk(&client, &worker, argv[1], WARM_UP, false);
    talk(&client, &worker, argv[1], calls, true);
    close(client.fd);
    nghttp2_hd_deflate_del(client.deflater);
    worker_end(&worker);
    printf("%" PRIu64 "\n", client.replies);
    return 0;
}
