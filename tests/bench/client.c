/* SPDX-License-Identifier: MIT */
/*
 * A load client for gRPC servers, based on libnghttp2; every measured server gets the same client.
 * It checks each reply's frames and grpc-status, and prints one line of JSON with its results at
 * the end.
 *
 *   client get     HOST PORT ID    [-n CALLS] [-c CONNECTIONS] [-m STREAMS] [-r RATE] [-x] [-k]
 *   client create  HOST PORT       [-n CALLS] [-c CONNECTIONS] [-m STREAMS] [-r RATE]
 *   client list    HOST PORT SIZE  [-n CALLS] [-c CONNECTIONS] [-m STREAMS]
 *   client batch   HOST PORT COUNT [-n CALLS]
 *   client chat    HOST PORT COUNT [-m OUTSTANDING_MESSAGES] [-c CONNECTIONS]
 *   client idle    HOST PORT COUNT [-c CONNECTIONS]: Chat streams that send one message and then
 *                 stay idle until stdin ends
 *   client verify HOST PORT USERNAME PASSWORD [-m STREAMS]: Directory's VerifyPassword, so many at
 *                 the same time until stdin ends; those that are open then are abandoned
 *   client echo    HOST PORT REQUEST_BYTES REPLY_BYTES [-n CALLS]: plain TCP, without HTTP
 *
 * -x: each call has a different grpc-timeout and traceparent.
 * -r: RATE calls a second are due, evenly spread. A call whose connection has STREAMS calls open
 * starts late, and its latency counts from when it was due.
 * -k: latency counts from when a call is sent until the kernel has its reply. So it does not matter
 * how soon this client gets a CPU that it shares with other programs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { CONNECTIONS_MAX = 64, VERIFICATIONS_MAX = 1000000 };

struct conn {
    int fd;
    nghttp2_session *session;
    uint64_t open_streams;
};

struct call {
    uint64_t started_ns, to_send, sent, received;
    uint64_t left_of_message; /* bytes of the current message that are still to come */
    uint8_t head[5], head_len;
    uint8_t out[512]; /* the message being sent */
    size_t out_len, out_off;
    bool status_ok, deferred;
};

static struct {
    const char *mode, *id, *password;
    uint64_t calls, count, under_way;
    unsigned connections, streams;
    uint64_t rate, began_ns; /* calls a second, or 0 */
    bool changing, kernel_times;
    uint64_t unstamped; /* replies of which it does not say that: some of a connection's first */
    uint64_t reply_ns;  /* when the kernel had the replies at hand; with kernel_times */
    /* Progress. */
    uint64_t started, finished, messages, message_bytes, errors;
    uint64_t wire_out, wire_in; /* bytes written to and read from the sockets */
    uint64_t *latencies;
    char first_id[37];
    struct conn conns[CONNECTIONS_MAX];
} run = {.calls = 1, .connections = 1, .streams = 1, .under_way = 100};

static void die(const char *what)
{
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int dial(const char *host, const char *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &addr.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
        die(host);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (run.kernel_times && setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int)) != 0)
        die("SO_TIMESTAMPNS");
    return fd;
}

/* ---- messages ---- */

static size_t put_string(uint8_t *dst, uint8_t field, const char *text)
{
    size_t len = strlen(text);
    dst[0] = (uint8_t)(field << 3 | 2);
    dst[1] = (uint8_t)len;
    memcpy(dst + 2, text, len);
    return len + 2;
}

static void frame_message(struct call *call, size_t len)
{
    memcpy(call->out, (uint8_t[]){0, 0, 0, (uint8_t)(len >> 8), (uint8_t)len}, 5);
    call->out_len = len + 5;
    call->out_off = 0;
}

static size_t put_user(uint8_t *dst, uint64_t number)
{
    char name[32], email[64];
    snprintf(name, sizeof(name), "user%08" PRIu64, number % 100000000);
    snprintf(email, sizeof(email), "%s@example.com", name);
    size_t len = put_string(dst, 1, name);
    return len + put_string(dst + len, 2, email);
}

static void build_message(struct call *call)
{
    uint8_t *at = call->out + 5;
    size_t len = 0;
    if (strcmp(run.mode, "get") == 0) {
        len = put_string(at, 1, run.id);
    } else if (strcmp(run.mode, "verify") == 0) {
        len = put_string(at, 2, run.id); /* the username */
        len += put_string(at + len, 4, run.password);
    } else if (strcmp(run.mode, "list") == 0) {
        at[len++] = 8;
        for (uint64_t v = run.count; v != 0; v >>= 7)
            at[len++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
    } else if (strcmp(run.mode, "chat") == 0 || strcmp(run.mode, "idle") == 0) {
        len = put_string(at, 1, "bench");
        len += put_string(at + len, 2, "hello, is anybody there?");
    } else {
        len = put_user(at, run.started * 1000000 + call->sent);
    }
    frame_message(call, len);
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t cap,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct call *call = source->ptr;
    size_t used = 0;
    (void)session, (void)id, (void)user;
    while (used != cap) {
        if (call->out_off == call->out_len) {
            if (call->sent == call->to_send)
                break;
            if (strcmp(run.mode, "chat") == 0 && call->sent - call->received >= run.under_way)
                break;
            build_message(call);
            call->sent++;
        }
        size_t n = call->out_len - call->out_off;
        if (n > cap - used)
            n = cap - used;
        memcpy(buf + used, call->out + call->out_off, n);
        call->out_off += n;
        used += n;
    }
    bool done = call->sent == call->to_send && call->out_off == call->out_len;
    if (done && strcmp(run.mode, "idle") != 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (used == 0) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)used;
}

/* ---- calls ---- */

/* When the next call is due. */
static uint64_t due_ns(void)
{
    return run.began_ns + run.started * 1000000000 / run.rate;
}

/* What the kernel stamps replies with. */
static uint64_t clock_realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static const char *path(void)
{
#define USER_SERVICE "/userservice.UserService/"
    static const struct {
        const char *mode, *path;
    } paths[] = {{"get", USER_SERVICE "GetUser"},
                 {"create", USER_SERVICE "CreateUser"},
                 {"list", USER_SERVICE "ListUsers"},
                 {"batch", USER_SERVICE "BatchCreateUsers"},
                 {"chat", USER_SERVICE "Chat"},
                 {"idle", USER_SERVICE "Chat"},
                 {"verify", "/rosterd.directory.v1.Directory/VerifyPassword"}};
#undef USER_SERVICE
    for (size_t i = 0; i != sizeof(paths) / sizeof(paths[0]); i++)
        if (strcmp(paths[i].mode, run.mode) == 0)
            return paths[i].path;
    return NULL;
}

static void start_call(struct conn *conn)
{
    struct call *call = calloc(1, sizeof(*call));
    char timeout[16], trace[64];
    nghttp2_nv fields[10] = {nv(":method", "POST"),
                             nv(":scheme", "http"),
                             nv(":path", path()),
                             nv(":authority", "localhost"),
                             nv("te", "trailers"),
                             nv("content-type", "application/grpc"),
                             nv("user-agent", "rosterd-bench/1"),
                             nv("grpc-accept-encoding", "identity, deflate, gzip")};
    size_t num = 8;
    if (call == NULL)
        die("calloc");
    if (run.changing) {
        snprintf(timeout, sizeof(timeout), "%" PRIu64 "u", 9000000 + run.started % 900000);
        snprintf(trace, sizeof(trace), "00-%032" PRIx64 "-%016" PRIx64 "-01",
                 run.started * 0x9e3779b97f4a7c15u, run.started * 0xc2b2ae3d27d4eb4fu);
        fields[num++] = nv("grpc-timeout", timeout);
        fields[num++] = nv("traceparent", trace);
    }
    bool many = strcmp(run.mode, "batch") == 0 || strcmp(run.mode, "chat") == 0;
    call->to_send = many ? run.count : 1;
    call->started_ns = run.kernel_times ? clock_realtime_ns()
                       : run.rate == 0  ? clock_monotonic_ns()
                                        : due_ns();
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_body};
    if (nghttp2_submit_request(conn->session, NULL, fields, num, &body, call) < 0)
        die("nghttp2_submit_request");
    run.started++;
    conn->open_streams++;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags, (void)user;
    if (call != NULL && name_len == 11 && memcmp(name, "grpc-status", 11) == 0)
        call->status_ok = value_len == 1 && value[0] == '0';
    return 0;
}

static void note_first_id(const uint8_t *data, size_t len)
{
    if (run.first_id[0] == '\0' && len >= 43 && data[5] == 0x0a && data[6] == 36)
        memcpy(run.first_id, data + 7, 36);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user)
{
    struct call *call = nghttp2_session_get_stream_user_data(session, id);
    (void)flags, (void)user;
    if (call == NULL)
        return 0;
    if (run.messages == 0)
        note_first_id(data, len);
    run.message_bytes += len;
    while (len != 0) {
        if (call->left_of_message == 0 && call->head_len != 5) {
            call->head[call->head_len++] = *data++;
            len--;
            if (call->head_len != 5)
                continue;
            if (call->head[0] != 0)
                run.errors++;
            call->left_of_message = (uint64_t)call->head[1] << 24 | (uint64_t)call->head[2] << 16 |
                                    (uint64_t)call->head[3] << 8 | call->head[4];
        }
        uint64_t n = len < call->left_of_message ? len : call->left_of_message;
        data += n;
        len -= (size_t)n;
        call->left_of_message -= n;
        if (call->left_of_message == 0) {
            call->head_len = 0;
            call->received++;
            run.messages++;
        }
    }
    if (call->deferred) {
        call->deferred = false;
        nghttp2_session_resume_data(session, id);
    }
    return 0;
}

static uint64_t expected_messages(void)
{
    return strcmp(run.mode, "list") == 0 || strcmp(run.mode, "chat") == 0 ? run.count : 1;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct conn *conn = user;
    struct call *call = nghttp2_session_get_stream_user_data(session, id);
    if (error != 0 || !call->status_ok || call->received != expected_messages())
        run.errors++;
    if (run.latencies != NULL)
        run.latencies[run.finished] =
            (run.kernel_times ? run.reply_ns : clock_monotonic_ns()) - call->started_ns;
    run.finished++;
    conn->open_streams--;
    free(call);
    if (run.rate == 0 && run.started != run.calls)
        start_call(conn);
    return 0;
}

/* ---- connections ---- */

static void open_conn(struct conn *conn, const char *host, const char *port)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_client_new(&conn->session, callbacks, conn);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(conn->session, 0, settings, 2);
    nghttp2_session_set_local_window_size(conn->session, 0, 0, 1 << 30);
    conn->fd = dial(host, port);
    fcntl(conn->fd, F_SETFL, O_NONBLOCK);
}

/* Sends pending output. Keeps what the socket does not accept for the next time. */
static bool flush_conn(struct conn *conn)
{
    static struct {
        uint8_t *bytes;
        size_t len;
    } rest[CONNECTIONS_MAX];
    size_t i = (size_t)(conn - run.conns);
    static uint8_t buf[1 << 18];
    size_t used = 0;
    if (rest[i].len != 0) {
        memcpy(buf, rest[i].bytes, rest[i].len);
        used = rest[i].len;
        rest[i].len = 0;
    }
    const uint8_t *data;
    while (used < sizeof(buf) - 65536) {
        ssize_t n = nghttp2_session_mem_send(conn->session, &data);
        if (n <= 0)
            break;
        memcpy(buf + used, data, (size_t)n);
        used += (size_t)n;
    }
    if (used == 0)
        return true;
    ssize_t n = send(conn->fd, buf, used, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        die("send");
    size_t sent = n < 0 ? 0 : (size_t)n;
    run.wire_out += sent;
    if (sent == used)
        return !nghttp2_session_want_write(conn->session);
    if (rest[i].bytes == NULL)
        rest[i].bytes = malloc(sizeof(buf));
    memcpy(rest[i].bytes, buf + sent, used - sent);
    rest[i].len = used - sent;
    return false;
}

/* recv(), which notes when the last of the bytes came. */
static ssize_t receive_bytes(int fd, uint8_t *buf, size_t size)
{
    if (!run.kernel_times)
        return recv(fd, buf, size, 0);
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec iov = {buf, size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &msg, 0);
    struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec at;
        memcpy(&at, CMSG_DATA(head), sizeof(at));
        run.reply_ns = (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
    } else if (n > 0) {
        run.reply_ns = clock_realtime_ns();
        run.unstamped++;
    }
    return n;
}

static void receive(struct conn *conn)
{
    static uint8_t buf[1 << 18];
    ssize_t n = receive_bytes(conn->fd, buf, sizeof(buf));
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        fprintf(stderr, "client: the server closed the connection\n");
        exit(1);
    }
    run.wire_in += (uint64_t)n;
    if (nghttp2_session_mem_recv(conn->session, buf, (size_t)n) != n) {
        fprintf(stderr, "client: protocol error\n");
        exit(1);
    }
}

/* timeout_ns: negative for none */
static void turn(int64_t timeout_ns)
{
    struct pollfd fds[CONNECTIONS_MAX];
    for (unsigned i = 0; i != run.connections; i++) {
        bool all = flush_conn(&run.conns[i]);
        fds[i] = (struct pollfd){run.conns[i].fd, (short)(POLLIN | (all ? 0 : POLLOUT)), 0};
    }
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    if (ppoll(fds, run.connections, timeout_ns < 0 ? NULL : &timeout, NULL) < 0 && errno != EINTR)
        die("ppoll");
    for (unsigned i = 0; i != run.connections; i++)
        if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
            receive(&run.conns[i]);
}

/* ---- modes ---- */

static void turn_until_stdin_ends(void)
{
    char byte;
    fcntl(0, F_SETFL, O_NONBLOCK);
    while (read(0, &byte, 1) < 0 && errno == EAGAIN)
        turn(100000000);
}

static void hold_idle_streams(void)
{
    unsigned next = 0; /* connection */
    for (uint64_t i = 0; i != run.count; i++) {
        start_call(&run.conns[next++]);
        next = next == run.connections ? 0 : next;
    }
    uint64_t deadline = clock_monotonic_ns() + 30000000000u;
    while (run.messages != run.count && clock_monotonic_ns() < deadline)
        turn(20000000);
    if (run.messages != run.count) {
        fprintf(stderr, "client: %" PRIu64 " of %" PRIu64 " streams answered\n", run.messages,
                run.count);
        exit(1);
    }
    printf("open\n");
    fflush(stdout);
    turn_until_stdin_ends();
}

static void verify_until_stdin_ends(void)
{
    for (unsigned m = 0; m != run.streams; m++)
        for (unsigned c = 0; c != run.connections; c++)
            start_call(&run.conns[c]);
    turn_until_stdin_ends();
}

static void echo(const char *host, const char *port, size_t request, size_t reply)
{
    static uint8_t buf[65536];
    int fd = dial(host, port);
    for (uint64_t i = 0; i != run.calls; i++) {
        uint64_t start = clock_monotonic_ns();
        if (send(fd, buf, request, MSG_NOSIGNAL) != (ssize_t)request)
            die("send");
        for (size_t got = 0; got != reply;) {
            struct pollfd pfd = {fd, POLLIN, 0}; /* waits in poll(), like the HTTP client */
            poll(&pfd, 1, -1);
            ssize_t n = recv(fd, buf, reply - got, 0);
            if (n <= 0)
                die("recv");
            got += (size_t)n;
        }
        run.latencies[run.finished++] = clock_monotonic_ns() - start;
        run.messages++;
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile(double p)
{
    if (run.latencies == NULL || run.finished == 0)
        return 0;
    return (double)run.latencies[(uint64_t)(p * (double)(run.finished - 1))] / 1000;
}

static int usage(void)
{
    fputs("usage: client get|create|list|batch|chat|idle|verify|echo HOST PORT [ARG]... "
          "[-n N] [-c N] [-m N] [-r N] [-x] [-k]\n",
          stderr);
    return 2;
}

static void parse_options(int argc, char **argv)
{
    int opt;
    while ((opt = getopt(argc, argv, "n:c:m:r:xk")) != -1) {
        if (opt == 'n')
            run.calls = strtoull(optarg, NULL, 10);
        else if (opt == 'c')
            run.connections = (unsigned)atoi(optarg);
        else if (opt == 'm')
            run.streams = (unsigned)atoi(optarg), run.under_way = run.streams;
        else if (opt == 'r')
            run.rate = strtoull(optarg, NULL, 10);
        else if (opt == 'x')
            run.changing = true;
        else if (opt == 'k')
            run.kernel_times = true;
        else
            exit(usage());
    }
    if (run.connections < 1 || run.connections > CONNECTIONS_MAX)
        exit(usage());
}

/* Starts the calls that are due, each on the connection with the fewest open ones.
 * Returns the nanoseconds until the next is due; negative if replies must come before it can start.
 */
static int64_t start_due_calls(void)
{
    uint64_t now = clock_monotonic_ns();
    while (run.started != run.calls) {
        if (due_ns() > now)
            return (int64_t)(due_ns() - now);
        struct conn *conn = &run.conns[0];
        for (unsigned i = 1; i != run.connections; i++)
            if (run.conns[i].open_streams < conn->open_streams)
                conn = &run.conns[i];
        if (conn->open_streams >= run.streams)
            break;
        start_call(conn);
    }
    return -1;
}

static void drive_at_rate(void)
{
    prctl(PR_SET_TIMERSLACK, 1); /* by default the kernel wakes a sleeper up to 50 us late */
    run.began_ns = clock_monotonic_ns();
    while (run.finished != run.calls)
        turn(start_due_calls());
}

static void drive(void)
{
    if (run.rate != 0) {
        drive_at_rate();
        return;
    }
    bool whole_stream = strcmp(run.mode, "chat") == 0 || strcmp(run.mode, "batch") == 0;
    unsigned streams = whole_stream ? 1 : run.streams;
    for (unsigned m = 0; m != streams; m++)
        for (unsigned c = 0; c != run.connections; c++)
            if (run.started != run.calls)
                start_call(&run.conns[c]);
    while (run.finished != run.calls)
        turn(-1);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return usage();
    run.mode = argv[1];
    const char *host = argv[2], *port = argv[3], *arg = argc > 4 ? argv[4] : "",
               *second = argc > 5 ? argv[5] : "";
    parse_options(argc, argv);
    run.id = arg;
    run.password = second;
    run.count = strtoull(arg, NULL, 10);
    if (strcmp(run.mode, "verify") == 0)
        run.calls = VERIFICATIONS_MAX;
    run.latencies = malloc(sizeof(uint64_t) * (run.calls + 1));
    uint64_t start = clock_monotonic_ns();
    if (strcmp(run.mode, "echo") == 0) {
        echo(host, port, run.count, strtoull(second, NULL, 10));
    } else {
        if (path() == NULL)
            return usage();
        for (unsigned i = 0; i != run.connections; i++)
            open_conn(&run.conns[i], host, port);
        if (strcmp(run.mode, "idle") == 0) {
            hold_idle_streams();
            return 0;
        }
        if (strcmp(run.mode, "verify") == 0)
            verify_until_stdin_ends();
        else
            drive();
    }
    if (run.unstamped > run.finished / 100 + 2 * (uint64_t)run.connections) {
        fprintf(stderr, "client: the kernel did not say when %" PRIu64 " replies came\n",
                run.unstamped);
        return 1;
    }
    double seconds = (double)(clock_monotonic_ns() - start) / 1e9;
    qsort(run.latencies, run.finished, sizeof(uint64_t), by_value);
    printf("{\"calls\": %" PRIu64 ", \"messages\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"errors\": %" PRIu64 ", \"seconds\": %.6f, \"p50_us\": %.3f, \"p99_us\": %.3f, "
           "\"wire_out\": %" PRIu64 ", \"wire_in\": %" PRIu64 ", \"first_id\": \"%s\"}\n",
           run.finished, run.messages, run.message_bytes, run.errors, seconds, percentile(0.5),
           percentile(0.99), run.wire_out, run.wire_in, run.first_id);
    return run.errors != 0;
}
