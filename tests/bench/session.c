/* SPDX-License-Identifier: MIT */
/*
 * What a unary call and an idle connection cost in our http2 layer and in nghttp2's session.
 * tests/bench/session.py runs this program and prints the table; see also session.h.
 *
 * Usage:
 *   session PARTY calls BLOCKS DEPTH CALLS
 *     CALLS requests of 200 bytes on one connection, DEPTH of them at a time. BLOCKS: `same`, each
 *     request has the same header block after the first; `changing`, two fields differ. Prints CPU
 *     nanoseconds per call. Under valgrind --tool=callgrind --collect-atstart=no only the server's
 *     turns are counted, after a warm-up.
 *   session PARTY idle CONNECTIONS
 *     Prints bytes of resident memory per connection: after the handshake, and after a call.
 * PARTY: ours, nghttp2
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>
#include <valgrind/callgrind.h>

#include "base/clock.h"
#include "session.h"

enum { WARM_UP = 2000, BUFFER = 512 * 1024 };

/* The client: it only encodes requests and counts answers. */
struct client {
    int fd;
    nghttp2_hd_deflater *deflater;
    bool changing;
    uint32_t next_id;
    uint8_t out[BUFFER], in[BUFFER];
    size_t out_len, in_len;
    uint64_t replies;
};

static h2o_loop_t *loop;
static const struct session_party *party;

void session_die(const char *what)
{
    fprintf(stderr, "session: %s\n", what);
    exit(1);
}

/* ---- the client ---- */

static uint8_t *put_frame(struct client *client, uint8_t type, uint8_t flags, uint32_t id,
                          size_t len)
{
    if (len + 9 > sizeof(client->out) - client->out_len)
        session_die("the conversation is longer than its buffer");
    uint8_t *at = client->out + client->out_len;
    uint8_t head[9] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
        (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    memcpy(at, head, 9);
    client->out_len += 9 + len;
    return at + 9;
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static void put_request(struct client *client)
{
    char timeout[16], trace[64];
    snprintf(timeout, sizeof(timeout), "%uu", 9000000 + client->next_id);
    snprintf(trace, sizeof(trace), "00-%032" PRIx64 "-%016" PRIx64 "-01",
             client->next_id * UINT64_C(0x9e3779b97f4a7c15),
             client->next_id * UINT64_C(0xc2b2ae3d27d4eb4f));
    nghttp2_nv fields[] = {field(":method", "POST"),
                           field(":scheme", "http"),
                           field(":path", "/test.Echo/Echo"),
                           field(":authority", "localhost"),
                           field("te", "trailers"),
                           field("content-type", "application/grpc"),
                           field("user-agent", "rosterd-bench/1"),
                           field("grpc-timeout", timeout),
                           field("traceparent", trace)};
    uint8_t block[1024];
    ssize_t len = nghttp2_hd_deflate_hd(client->deflater, block, sizeof(block), fields,
                                        client->changing ? 9 : 7);
    if (len < 0)
        session_die("the client cannot encode its request");
    memcpy(
        put_frame(client, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, client->next_id, (size_t)len),
        block, (size_t)len);
    memset(
        put_frame(client, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, client->next_id, SESSION_MESSAGE),
        'm', SESSION_MESSAGE);
    client->next_id += 2;
}

static void connect_client(struct client *client, bool changing)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        session_die("socketpair");
    client->fd = fds[0];
    client->changing = changing;
    client->next_id = 1;
    client->in_len = 0;
    nghttp2_hd_deflate_new(&client->deflater, 4096);
    party->accept(h2o_evloop_socket_create(loop, fds[1], 0));
    memcpy(client->out, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    client->out_len = NGHTTP2_CLIENT_MAGIC_LEN;
    memcpy(put_frame(client, NGHTTP2_SETTINGS, 0, 0, 6), "\0\x04\x40\0\0\0", 6);
    memcpy(put_frame(client, NGHTTP2_WINDOW_UPDATE, 0, 0, 4), "\x3f\xff\0\0", 4);
}

static void count_replies(struct client *client)
{
    ssize_t n;
    while ((n = recv(client->fd, client->in + client->in_len, sizeof(client->in) - client->in_len,
                     0)) > 0) {
        size_t used = 0, size;
        for (client->in_len += (size_t)n; client->in_len - used >= 9; used += size) {
            const uint8_t *at = client->in + used;
            size = 9 + ((size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2]);
            if (client->in_len - used < size)
                break;
            if (at[3] == NGHTTP2_RST_STREAM || at[3] == NGHTTP2_GOAWAY)
                session_die("the server has reset a stream or the connection");
            client->replies += at[3] == NGHTTP2_HEADERS && (at[4] & NGHTTP2_FLAG_END_STREAM) != 0;
        }
        memmove(client->in, client->in + used, client->in_len - used);
        client->in_len -= used;
    }
}

/* Sends what was put, and turns the server until `replies` more have come.
 * @return CPU nanoseconds of its turns */
static uint64_t exchange(struct client *client, uint64_t replies, bool count)
{
    uint64_t until = client->replies + replies, ns = 0;
    if (send(client->fd, client->out, client->out_len, 0) != (ssize_t)client->out_len)
        session_die("the conversation does not fit into the socket");
    client->out_len = 0;
    for (unsigned turns = 0; turns == 0 || client->replies < until; turns++) {
        if (turns == 1000)
            session_die("no answer");
        uint64_t began = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
        if (count)
            CALLGRIND_TOGGLE_COLLECT;
        party->turn(loop);
        if (count)
            CALLGRIND_TOGGLE_COLLECT;
        ns += clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - began;
        count_replies(client);
    }
    return ns;
}

/* ---- the measurements ---- */

static uint64_t do_calls(struct client *client, unsigned depth, uint64_t calls, bool count)
{
    uint64_t ns = 0;
    for (uint64_t done = 0; done < calls; done += depth) {
        for (unsigned i = 0; i < depth; i++)
            put_request(client);
        ns += exchange(client, depth, count);
    }
    return ns;
}

static void measure_calls(const char *blocks, unsigned depth, uint64_t calls)
{
    static struct client client;
    connect_client(&client, strcmp(blocks, "changing") == 0);
    exchange(&client, 0, false);
    do_calls(&client, depth, WARM_UP, false);
    uint64_t ns = do_calls(&client, depth, calls, true);
    printf("%" PRIu64 "\n", ns / calls);
    close(client.fd);
    nghttp2_hd_deflate_del(client.deflater);
}

static size_t resident(void)
{
    unsigned long size, pages;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu", &size, &pages) != 2)
        session_die("/proc/self/statm");
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void measure_idle(unsigned connections)
{
    static struct client client;
    struct rlimit limit;
    int *fds = calloc(connections, sizeof(*fds));
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (fds == NULL || limit.rlim_cur < 2 * (rlim_t)connections + 100)
        session_die("not enough file descriptors");
    connect_client(&client, true); /* what all connections share exists after this one */
    put_request(&client);
    exchange(&client, 1, false);
    size_t before = resident();
    for (unsigned i = 0; i < connections; i++) {
        nghttp2_hd_deflate_del(client.deflater);
        connect_client(&client, true);
        exchange(&client, 0, false);
        fds[i] = client.fd;
    }
    malloc_trim(0);
    printf("%zu", (resident() - before) / connections);
    for (unsigned i = 0; i < connections; i++) {
        client.fd = fds[i];
        client.next_id = 1;
        nghttp2_hd_deflate_del(client.deflater);
        nghttp2_hd_deflate_new(&client.deflater, 4096);
        put_request(&client);
        exchange(&client, 1, false);
    }
    malloc_trim(0);
    printf(" %zu\n", (resident() - before) / connections);
    for (unsigned i = 0; i < connections; i++)
        close(fds[i]);
    nghttp2_hd_deflate_del(client.deflater);
    free(fds);
}

static void usage(void)
{
    fputs("usage: session ours|nghttp2 calls same|changing DEPTH CALLS\n"
          "       session ours|nghttp2 idle CONNECTIONS\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        usage();
    party = strcmp(argv[1], session_ours.name) == 0 ? &session_ours : &session_nghttp2;
    loop = h2o_evloop_create();
    party->start(loop);
    if (argc == 6 && strcmp(argv[2], "calls") == 0)
        measure_calls(argv[3], (unsigned)strtoul(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
    else if (argc == 4 && strcmp(argv[2], "idle") == 0)
        measure_idle((unsigned)strtoul(argv[3], NULL, 10));
    else
        usage();
    party->stop();
    return 0;
}
