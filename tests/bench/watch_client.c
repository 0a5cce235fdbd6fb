/* SPDX-License-Identifier: MIT */
/*
 * Many clients of Directory.WatchUsers in one process: each has a connection of its own, and
 * counts what it is told. The program speaks just enough HTTP/2 for that, so that it costs less
 * than the server: its windows are never used up, and it skips all frames but DATA.
 *   watch_client PORT WATCHES
 * prints "open" when all watches have begun, and {"events": N, "bytes": N, "ended": N} when its
 * standard input ends. The server ends a watch that falls too far behind.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FRAME_HEAD = 9,
    PREFIX = 5, /* of a message */
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_GOAWAY = 7,
    TYPE_BOOKMARK = 4,
    READ = 256 * 1024,
};

struct watch {
    int fd;
    uint8_t head[FRAME_HEAD];
    unsigned head_len;
    uint32_t frame_left;   /* of the frame's payload */
    uint8_t message[7];    /* prefix, tag and type */
    unsigned message_have; /* of these */
    uint32_t message_left; /* bytes of the message behind them */
};

static uint64_t events, bytes;
static unsigned begun, ended;
static uint8_t input[READ];

static void die(const char *what)
{
    fprintf(stderr, "watch_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the request ---- */

static uint8_t *put_text(uint8_t *out, const char *text)
{
    size_t len = strlen(text);
    *out++ = (uint8_t)len; /* below 127: one byte */
    return (uint8_t *)memcpy(out, text, len) + len;
}

static uint8_t *put_field(uint8_t *out, const char *name, const char *value)
{
    *out++ = 0; /* a literal, not indexed */
    return put_text(put_text(out, name), value);
}

static uint8_t *put_head(uint8_t *out, size_t len, uint8_t type, uint8_t flags, uint8_t stream)
{
    const uint8_t head[FRAME_HEAD] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, stream};
    return (uint8_t *)memcpy(out, head, sizeof(head)) + sizeof(head);
}

static size_t make_request(uint8_t *request)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const uint8_t window[] = {0, 4, 0x7f, 0xff, 0xff, 0xff}; /* SETTINGS: initial window */
    static const uint8_t more[] = {0x7f, 0xfe, 0xff, 0xff};         /* WINDOW_UPDATE */
    uint8_t fields[512], *end = fields, *out = request;
    out = (uint8_t *)memcpy(out, preface, sizeof(preface) - 1) + sizeof(preface) - 1;
    out = put_head(out, sizeof(window), FRAME_SETTINGS, 0, 0);
    out = (uint8_t *)memcpy(out, window, sizeof(window)) + sizeof(window);
    out = put_head(out, 0, FRAME_SETTINGS, 1, 0); /* an ACK ahead of the server's SETTINGS */
    out = put_head(out, sizeof(more), 8, 0, 0);
    out = (uint8_t *)memcpy(out, more, sizeof(more)) + sizeof(more);
    end = put_field(end, ":method", "POST");
    end = put_field(end, ":scheme", "http");
    end = put_field(end, ":path", "/rosterd.directory.v1.Directory/WatchUsers");
    end = put_field(end, ":authority", "localhost");
    end = put_field(end, "content-type", "application/grpc");
    end = put_field(end, "te", "trailers");
    out = put_head(out, (size_t)(end - fields), FRAME_HEADERS, 4, 1);
    out = (uint8_t *)memcpy(out, fields, (size_t)(end - fields)) + (end - fields);
    out = put_head(out, PREFIX, FRAME_DATA, 1, 1);
    memset(out, 0, PREFIX);
    return (size_t)(out + PREFIX - request);
}

static void begin_watch(struct watch *watch, uint16_t port, int epoll)
{
    uint8_t request[1024];
    size_t len = make_request(request);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    watch->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (watch->fd < 0 || connect(watch->fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        write(watch->fd, request, len) != (ssize_t)len)
        die("connect");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
    if (fcntl(watch->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, watch->fd, &event) != 0)
        die("epoll");
}

/* ---- what is told ---- */

static void message_begins(const struct watch *watch)
{
    if (watch->message[6] != TYPE_BOOKMARK)
        events++;
    else
        begun++;
}

static void take_data(struct watch *watch, const uint8_t *at, size_t len)
{
    while (len != 0) {
        size_t part;
        if (watch->message_have < sizeof(watch->message)) {
            part = MIN(len, sizeof(watch->message) - watch->message_have);
            memcpy(watch->message + watch->message_have, at, part);
            watch->message_have += (unsigned)part;
            if (watch->message_have == sizeof(watch->message)) {
                const uint8_t *size = watch->message + 1;
                watch->message_left = ((uint32_t)size[0] << 24 | (uint32_t)size[1] << 16 |
                                       (uint32_t)size[2] << 8 | size[3]) -
                                      2;
                message_begins(watch);
            }
        } else {
            part = MIN(len, watch->message_left);
            watch->message_left -= (uint32_t)part;
        }
        at += part;
        len -= part;
        if (watch->message_have == sizeof(watch->message) && watch->message_left == 0)
            watch->message_have = 0;
    }
}

static void check_frame(const struct watch *watch)
{
    uint8_t type = watch->head[3];
    bool ends = (watch->head[4] & 1) != 0 && (type == FRAME_HEADERS || type == FRAME_DATA);
    if (type == FRAME_RST_STREAM || type == FRAME_GOAWAY || ends)
        ended++;
}

static void take_input(struct watch *watch, const uint8_t *at, size_t len)
{
    while (len != 0) {
        size_t part;
        if (watch->head_len < FRAME_HEAD) {
            part = MIN(len, FRAME_HEAD - watch->head_len);
            memcpy(watch->head + watch->head_len, at, part);
            watch->head_len += (unsigned)part;
            watch->frame_left =
                (uint32_t)watch->head[0] << 16 | (uint32_t)watch->head[1] << 8 | watch->head[2];
            if (watch->head_len == FRAME_HEAD)
                check_frame(watch);
        } else {
            part = MIN(len, watch->frame_left);
            if (watch->head[3] == FRAME_DATA)
                take_data(watch, at, part);
            watch->frame_left -= (uint32_t)part;
        }
        at += part;
        len -= part;
        if (watch->head_len == FRAME_HEAD && watch->frame_left == 0)
            watch->head_len = 0;
    }
}

static void read_watch(struct watch *watch)
{
    ssize_t got = read(watch->fd, input, sizeof(input));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        die("read");
    bytes += (uint64_t)got;
    take_input(watch, input, (size_t)got);
}

int main(int argc, char **argv)
{
    struct epoll_event found[64], stdin_event = {.events = EPOLLIN};
    int epoll = epoll_create1(0);
    if (argc != 3 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &stdin_event) != 0)
        die("usage: watch_client PORT WATCHES");
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10);
    struct watch *watches = calloc(count, sizeof(*watches));
    for (unsigned i = 0; watches != NULL && i < count; i++)
        begin_watch(&watches[i], (uint16_t)strtoul(argv[1], NULL, 10), epoll);
    for (bool open = false, over = false; !over;) {
        int n = epoll_wait(epoll, found, sizeof(found) / sizeof(found[0]), -1);
        for (int i = 0; i < n; i++) {
            if (found[i].data.ptr == NULL)
                over = true;
            else
                read_watch(found[i].data.ptr);
        }
        if (!open && begun == count) {
            open = true;
            printf("open\n");
            fflush(stdout);
        }
    }
    printf("{\"events\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"ended\": %u}\n", events, bytes,
           ended);
    free(watches);
    return 0;
}
