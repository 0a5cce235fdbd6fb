/* SPDX-License-Identifier: MIT */
/*
 * A client that does as little for a call as redis-benchmark does for a SET: the bytes of a request
 * are made once, and only its stream and its user's number change. So a figure is the server's, and
 * not that of a client's HTTP/2 library. Each reply is checked: its frames, its grpc-status and its
 * length. Prints one line of JSON.
 *
 *   calls create HOST PORT    [-n CALLS] [-c CONNECTIONS] [-m STREAMS] [-r RATE [-b BURST]]
 *   calls get    HOST PORT ID [-n CALLS] [-c CONNECTIONS] [-m STREAMS] [-r RATE [-b BURST]]
 *
 * STREAMS calls are under way on each connection. -r: RATE calls a second are due, evenly spread,
 * whether or not earlier ones have been answered, and latency counts from when a call was due.
 * STREAMS is then how many may be under way: more than that, and the client gives up. -b: BURST
 * calls are due at the same time, and go out together; one is the default.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    CONNECTIONS_MAX = 16,
    BUFFER = 1 << 18,
    REQUEST_MAX = 256,
    MESSAGE_MAX = 64,
    STREAMS_MAX = 1 << 17, /* of a connection, under way; a power of two */
    HEAD = 9,              /* of a frame */
    END_STREAM = 1,
    ACK = 1,
    END_HEADERS = 4,
    WINDOW = 0x7fffffff, /* for replies; more than those of a run have */
    DEFAULT_WINDOW = 65535,
    BLOCK_MAX = 64,
};

/* A header block that changes no table, and what it said. */
struct block {
    uint8_t bytes[BLOCK_MAX];
    size_t len;
    bool status_ok;
};

struct conn {
    int fd;
    unsigned under_way;
    uint32_t next_stream;
    int64_t window; /* the bytes of DATA that the server still takes */
    nghttp2_hd_inflater *inflater;
    struct block known[2]; /* of headers, of trailers */
    size_t in_len, out_len;
    uint64_t begun[STREAMS_MAX]; /* ns; of a stream, by the lower bits of its number */
    uint8_t in[BUFFER], out[BUFFER];
};

static struct {
    const char *path;
    uint8_t message[MESSAGE_MAX]; /* with its prefix */
    size_t message_len;
    size_t numbers[2]; /* where it has eight digits of the call's number; 0: nowhere */
    uint64_t calls, started, finished, bytes, reply_bytes;
    uint64_t rate, began_ns; /* calls a second, or 0 */
    uint64_t burst;          /* calls that are due together */
    uint64_t *latencies;     /* ns */
    uint64_t now_ns;         /* when the replies at hand came */
    unsigned connections, streams;
    struct conn conns[CONNECTIONS_MAX];
} run;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("calls: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24), at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8), at[3] = (uint8_t)value;
}

static uint8_t *put_head(uint8_t *at, size_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
    at[0] = (uint8_t)(len >> 16), at[1] = (uint8_t)(len >> 8), at[2] = (uint8_t)len;
    at[3] = type, at[4] = flags;
    put_u32(at + 5, stream);
    return at + HEAD;
}

static void put_frame(struct conn *conn, uint8_t type, uint8_t flags, uint32_t stream,
                      const uint8_t *payload, size_t len)
{
    if (conn->out_len + HEAD + len > sizeof(conn->out))
        die("the server does not read");
    uint8_t *at = put_head(conn->out + conn->out_len, len, type, flags, stream);
    if (len != 0)
        memcpy(at, payload, len);
    conn->out_len += HEAD + len;
}

/* ---- requests ---- */

/* A header block for the first request, which fills the server's table, and one for all others. */
static size_t put_fields(uint8_t *at, bool first)
{
    const char *fields[][2] = {
        {":path", run.path},
        {":authority", "localhost"},
        {"te", "trailers"},
        {"content-type", "application/grpc"},
        {"user-agent", "rosterd-bench/1"},
    };
    enum { NUM = sizeof(fields) / sizeof(fields[0]), DYNAMIC = 62 };
    uint8_t *begin = at;
    *at++ = 0x83; /* :method POST */
    *at++ = 0x86; /* :scheme http */
    for (unsigned i = 0; i != NUM; i++) {
        if (!first) {
            *at++ = (uint8_t)(0x80 | (DYNAMIC + NUM - 1 - i));
            continue;
        }
        *at++ = 0x40; /* literal, from now on in the table */
        for (unsigned part = 0; part != 2; part++) {
            size_t len = strlen(fields[i][part]);
            *at++ = (uint8_t)len;
            memcpy(at, fields[i][part], len);
            at += len;
        }
    }
    return (size_t)(at - begin);
}

/* When a call is due. */
static uint64_t due_ns(uint64_t number)
{
    return run.began_ns + number / run.burst * run.burst * UINT64_C(1000000000) / run.rate;
}

static void start_call(struct conn *conn)
{
    uint8_t fields[REQUEST_MAX], message[MESSAGE_MAX];
    char digits[8];
    uint32_t stream = conn->next_stream;
    size_t len = put_fields(fields, stream == 1);
    conn->begun[stream / 2 % STREAMS_MAX] =
        run.rate == 0 ? clock_monotonic_ns() : due_ns(run.started);
    put_frame(conn, NGHTTP2_HEADERS, END_HEADERS, stream, fields, len);
    memcpy(message, run.message, run.message_len);
    for (uint64_t i = sizeof(digits), number = run.started; i-- != 0; number /= 10)
        digits[i] = (char)('0' + number % 10);
    for (unsigned i = 0; i != 2 && run.numbers[i] != 0; i++)
        memcpy(message + run.numbers[i], digits, sizeof(digits));
    put_frame(conn, NGHTTP2_DATA, END_STREAM, stream, message, run.message_len);
    conn->window -= (int64_t)run.message_len;
    if (conn->window < 0)
        die("the server has opened no window for requests");
    conn->next_stream += 2;
    conn->under_way++;
    run.started++;
}

static void make_message(const char *id)
{
    static const char user[] = "\x0a\x0cuser00000000\x12\x18user00000000@example.com";
    uint8_t *at = run.message + 5;
    size_t len = sizeof(user) - 1;
    if (id == NULL) {
        memcpy(at, user, len);
        run.numbers[0] = 5 + 2 + 4;
        run.numbers[1] = run.numbers[0] + 8 + 2 + 4;
    } else {
        len = strlen(id) + 2;
        if (len > MESSAGE_MAX - 5)
            die("the id is too long");
        at[0] = 0x0a;
        at[1] = (uint8_t)(len - 2);
        memcpy(at + 2, id, len - 2);
    }
    run.message[4] = (uint8_t)len;
    run.message_len = len + 5;
    run.path =
        id == NULL ? "/userservice.UserService/CreateUser" : "/userservice.UserService/GetUser";
}

/* ---- replies ---- */

/* @return whether the fields have grpc-status 0 */
static bool inflate(struct conn *conn, const uint8_t *bytes, size_t len)
{
    bool ok = false;
    for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(conn->inflater, &nv, &flags, bytes, len, 1);
        if (n < 0)
            die("a header block cannot be decoded");
        bytes += n;
        len -= (size_t)n;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0)
            continue;
        bool status = nv.namelen == 11 && memcmp(nv.name, "grpc-status", 11) == 0;
        if (status && nv.valuelen == 1 && nv.value[0] == '0')
            ok = true;
        else if (status || (nv.namelen == 12 && memcmp(nv.name, "grpc-message", 12) == 0))
            fprintf(stderr, "calls: %s: %.*s\n", (const char *)nv.name, (int)nv.valuelen,
                    (const char *)nv.value);
    }
    nghttp2_hd_inflate_end_headers(conn->inflater);
    return ok;
}

/* A block of indexed fields alone, each of one byte, changes no table and always means the same. */
static bool changes_nothing(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i != len; i++)
        if (bytes[i] < 0x80 || bytes[i] == 0xff)
            return false;
    return len <= BLOCK_MAX;
}

static bool fields_ok(struct conn *conn, const uint8_t *bytes, size_t len, bool trailers)
{
    struct block *known = &conn->known[trailers];
    if (len == known->len && memcmp(bytes, known->bytes, len) == 0)
        return known->status_ok;
    bool ok = inflate(conn, bytes, len);
    known->len = 0;
    if (changes_nothing(bytes, len)) {
        memcpy(known->bytes, bytes, len);
        known->len = len;
        known->status_ok = ok;
    } else {
        conn->known[!trailers].len = 0;
    }
    return ok;
}

static void take_headers(struct conn *conn, uint32_t stream, uint8_t flags, const uint8_t *payload,
                         size_t len)
{
    if ((flags & END_HEADERS) == 0 || (flags & ~(END_HEADERS | END_STREAM)) != 0)
        die("HEADERS with the flags %#x", flags);
    bool trailers = (flags & END_STREAM) != 0;
    bool ok = fields_ok(conn, payload, len, trailers);
    if (!trailers)
        return;
    if (!ok)
        die("a call has failed");
    run.latencies[run.finished++] = run.now_ns - conn->begun[stream / 2 % STREAMS_MAX];
    conn->under_way--;
    if (run.rate == 0 && run.started != run.calls)
        start_call(conn);
}

static void take_data(const uint8_t *payload, size_t len)
{
    if (len < 5 || payload[0] != 0 || read_u32(payload + 1) != len - 5)
        die("a reply is not one message in one frame");
    if (run.reply_bytes == 0)
        run.reply_bytes = len;
    if (len != run.reply_bytes)
        die("a reply has %zu bytes, the first one has %" PRIu64, len, run.reply_bytes);
    run.bytes += len;
}

static void take_frame(struct conn *conn, const uint8_t *head, const uint8_t *payload, size_t len)
{
    uint8_t type = head[3], flags = head[4];
    switch (type) {
    case NGHTTP2_HEADERS:
        take_headers(conn, read_u32(head + 5), flags, payload, len);
        break;
    case NGHTTP2_DATA:
        take_data(payload, len);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (len == 4 && read_u32(head + 5) == 0)
            conn->window += read_u32(payload);
        break;
    case NGHTTP2_SETTINGS:
        if ((flags & ACK) == 0)
            put_frame(conn, NGHTTP2_SETTINGS, ACK, 0, NULL, 0);
        break;
    case NGHTTP2_PING:
        if ((flags & ACK) == 0)
            put_frame(conn, NGHTTP2_PING, ACK, 0, payload, len);
        break;
    default:
        die("the server has sent a frame of type %u", type);
    }
}

/* ---- connections ---- */

static void flush(struct conn *conn)
{
    for (size_t sent = 0; sent != conn->out_len;) {
        ssize_t n = send(conn->fd, conn->out + sent, conn->out_len - sent, MSG_NOSIGNAL);
        if (n < 0)
            die("send: %s", strerror(errno));
        sent += (size_t)n;
    }
    conn->out_len = 0;
}

static void receive(struct conn *conn)
{
    ssize_t n = recv(conn->fd, conn->in + conn->in_len, sizeof(conn->in) - conn->in_len, 0);
    if (n <= 0)
        die("the server has closed the connection");
    run.now_ns = clock_monotonic_ns();
    conn->in_len += (size_t)n;
    size_t done = 0;
    while (conn->in_len - done >= HEAD) {
        const uint8_t *head = conn->in + done;
        size_t len = read_u32(head) >> 8;
        if (len > sizeof(conn->in) - HEAD)
            die("a frame of %zu bytes", len);
        if (conn->in_len - done < HEAD + len)
            break;
        take_frame(conn, head, head + HEAD, len);
        done += HEAD + len;
    }
    memmove(conn->in, conn->in + done, conn->in_len - done);
    conn->in_len -= done;
    flush(conn);
}

static void open_conn(struct conn *conn, const char *host, const char *port)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    uint8_t more[4], settings[6] = {0, NGHTTP2_SETTINGS_ENABLE_PUSH, 0, 0, 0, 0};
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0 || inet_pton(AF_INET, host, &addr.sin_addr) != 1 ||
        connect(conn->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
        die("%s:%s: %s", host, port, strerror(errno));
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (nghttp2_hd_inflate_new(&conn->inflater) != 0)
        die("no memory");
    conn->next_stream = 1;
    conn->window = DEFAULT_WINDOW;
    memcpy(conn->out, preface, sizeof(preface) - 1);
    conn->out_len = sizeof(preface) - 1;
    put_frame(conn, NGHTTP2_SETTINGS, 0, 0, settings, sizeof(settings));
    put_u32(more, WINDOW - DEFAULT_WINDOW);
    put_frame(conn, NGHTTP2_WINDOW_UPDATE, 0, 0, more, sizeof(more));
}

static void flush_all(void)
{
    for (unsigned i = 0; i != run.connections; i++)
        flush(&run.conns[i]);
}

/* Starts the calls that are due. A server that stands still for a moment opens no window meanwhile:
 * then calls start late, and their latency counts from when they were due.
 * @return the nanoseconds until the next is due; -1: none is left, or the window must open first */
static int64_t start_due_calls(void)
{
    while (run.started != run.calls) {
        uint64_t now = clock_monotonic_ns(), due = due_ns(run.started);
        if (due > now)
            return (int64_t)(due - now);
        while (run.started != run.calls && due_ns(run.started) == due) {
            struct conn *conn = &run.conns[run.started % run.connections];
            if (conn->under_way == run.streams)
                die("%u calls are under way", run.streams);
            if (conn->window < (int64_t)run.message_len) {
                flush_all();
                return -1;
            }
            start_call(conn);
        }
        flush_all();
    }
    return -1;
}

/* Waits for replies. */
static void turn(struct pollfd *fds, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    if (ppoll(fds, run.connections, timeout_ns < 0 ? NULL : &timeout, NULL) < 0)
        die("ppoll: %s", strerror(errno));
    for (unsigned i = 0; i != run.connections; i++)
        if (fds[i].revents != 0)
            receive(&run.conns[i]);
}

static void drive(void)
{
    struct pollfd fds[CONNECTIONS_MAX];
    prctl(PR_SET_TIMERSLACK, 1); /* by default the kernel wakes a sleeper up to 50 us late */
    run.began_ns = clock_monotonic_ns();
    for (unsigned i = 0; i != run.connections; i++) {
        for (unsigned m = 0; run.rate == 0 && m != run.streams && run.started != run.calls; m++)
            start_call(&run.conns[i]);
        flush(&run.conns[i]);
        fds[i] = (struct pollfd){.fd = run.conns[i].fd, .events = POLLIN};
    }
    while (run.finished != run.calls)
        turn(fds, run.rate == 0 ? -1 : start_due_calls());
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_us(double p)
{
    return (double)run.latencies[(uint64_t)(p * (double)(run.calls - 1))] / 1000;
}

static bool parse(int argc, char **argv)
{
    int opt;
    run.calls = run.burst = 1; /* no initializer, which would fill the program */
    run.connections = run.streams = 1;
    while ((opt = getopt(argc, argv, "n:c:m:r:b:")) != -1) {
        if (opt == 'n')
            run.calls = strtoull(optarg, NULL, 10);
        else if (opt == 'c')
            run.connections = (unsigned)atoi(optarg);
        else if (opt == 'm')
            run.streams = (unsigned)atoi(optarg);
        else if (opt == 'r')
            run.rate = strtoull(optarg, NULL, 10);
        else if (opt == 'b')
            run.burst = strtoull(optarg, NULL, 10);
        else
            return false;
    }
    bool get = optind < argc && strcmp(argv[optind], "get") == 0;
    unsigned streams_max = run.rate == 0 ? BUFFER / REQUEST_MAX : STREAMS_MAX;
    return argc - optind == (get ? 4 : 3) && (get || strcmp(argv[optind], "create") == 0) &&
           run.calls >= 1 && run.connections >= 1 && run.connections <= CONNECTIONS_MAX &&
           run.streams >= 1 && run.streams <= streams_max && run.burst >= 1 &&
           run.burst <= BUFFER / REQUEST_MAX;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fputs("usage: calls create|get HOST PORT [ID] [-n CALLS] [-c CONNECTIONS] [-m STREAMS] "
              "[-r RATE [-b BURST]]\n",
              stderr);
        return 2;
    }
    make_message(argv[optind + 3]);
    run.latencies = malloc(run.calls * sizeof(*run.latencies));
    if (run.latencies == NULL)
        die("no memory");
    for (unsigned i = 0; i != run.connections; i++)
        open_conn(&run.conns[i], argv[optind + 1], argv[optind + 2]);
    uint64_t begin = clock_monotonic_ns();
    drive();
    double seconds = (double)(clock_monotonic_ns() - begin) / 1e9;
    qsort(run.latencies, run.calls, sizeof(*run.latencies), by_value);
    printf("{\"calls\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"p50_us\": %.3f, "
           "\"p99_us\": %.3f}\n",
           run.finished, run.bytes, seconds, percentile_us(0.5), percentile_us(0.99));
    for (unsigned i = 0; i != run.connections; i++) {
        nghttp2_hd_inflate_del(run.conns[i].inflater);
        close(run.conns[i].fd);
    }
    free(run.latencies);
    return 0;
}
