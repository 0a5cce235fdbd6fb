/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes header blocks: decoding them with the memo and without it must give the same.
 *
 * An input is a sequence of blocks. A byte below 0x80 is the length of a new block, which follows;
 * a byte from 0x80 on repeats block number (byte & 0x7f). Two connections get the same blocks. The
 * second one gets another block before each, which changes no table: because the memo only keeps a
 * block that came twice in a row, it keeps nothing on that connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "http2/http2.h"

enum { BLOCKS_MAX = 128, TEXT_MAX = 1 << 16 };

struct side {
    int fd;
    uint32_t next_id;
    char text[TEXT_MAX]; /* the last block, decoded */
    size_t len;
};

static h2o_loop_t *loop;
static struct timers *timers;
static struct http2_context *context;
static struct side sides[2], *current;

static void note(const char *text, size_t len)
{
    if (len > sizeof(current->text) - current->len - 1)
        len = sizeof(current->text) - current->len - 1;
    memcpy(current->text + current->len, text, len);
    current->len += len;
}

static void note_text(h2o_iovec_t text)
{
    char size[32];
    int len = snprintf(size, sizeof(size), "%c%zu:", text.base == NULL ? 'n' : 's', text.len);
    note(size, (size_t)len);
    note(text.base == NULL ? "" : text.base, text.len);
}

static void on_request(struct http2_stream *stream, const struct http2_request *request)
{
    static const struct http2_field type = {.name = "content-type",
                                            .value = "text/plain",
                                            .name_len = 12,
                                            .value_len = 10,
                                            .intern = 1};
    note(request->fields_too_large ? "L" : "R", 1);
    note_text(request->method);
    note_text(request->authority);
    note_text(request->path);
    for (size_t i = 0; i < request->num_fields; i++) {
        note_text(*request->fields[i].name);
        note_text(request->fields[i].value);
    }
    http2_stream_send_headers(stream, 200, &type, 1, true);
}

static void on_data(struct http2_stream *stream, uint8_t *data, size_t len, bool end_stream)
{
    (void)data, (void)end_stream;
    http2_stream_consume(stream, len);
}

static void on_trailers(struct http2_stream *stream, const h2o_header_t *fields, size_t num)
{
    (void)stream, (void)fields, (void)num;
}

static void on_writable(struct http2_stream *stream)
{
    (void)stream;
}

static void on_close(struct http2_stream *stream, bool complete, uint32_t error)
{
    (void)stream, (void)complete, (void)error;
}

static void turn(void)
{
    h2o_evloop_run(loop, 0);
    timers_stale(timers);
    timers_run(timers, timers_now(timers));
    (void)http2_context_run(context);
}

static void start(void)
{
    static const struct http2_handler handler = {.stream_size = sizeof(struct http2_stream),
                                                 .on_request = on_request,
                                                 .on_data = on_data,
                                                 .on_trailers = on_trailers,
                                                 .on_writable = on_writable,
                                                 .on_close = on_close};
    static const struct http2_settings settings = {.max_concurrent_streams = 100,
                                                   .max_header_list_size = 4096};
    loop = h2o_evloop_create();
    timers = timers_create(1);
    context = http2_context_create(loop, timers, &handler, &settings);
}

static void die(const char *why)
{
    fprintf(stderr, "header_block: %s\n  with:    %.*s\n  without: %.*s\n", why, (int)sides[0].len,
            sides[0].text, (int)sides[1].len, sides[1].text);
    abort();
}

/* Records resets, GOAWAY and the end of the connection. Other answers do not matter here. */
static void read_answers(struct side *side)
{
    static uint8_t in[1 << 16];
    ssize_t got;
    while ((got = recv(side->fd, in, sizeof(in), MSG_DONTWAIT)) > 0) {
        size_t used = 0, size;
        for (; (size_t)got - used >= 9; used += size) {
            const uint8_t *at = in + used;
            size = 9 + ((size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2]);
            if ((size_t)got - used < size)
                break;
            if (at[3] == 3)
                note((const char[]){'X', (char)('0' + at[12])}, 2);
            if (at[3] == 7)
                note((const char[]){'G', (char)('0' + at[16])}, 2);
        }
    }
    if (got == 0)
        note("E", 1);
}

static void send_block(struct side *side, const uint8_t *block, size_t len)
{
    uint8_t frame[9 + 128] = {0, 0, (uint8_t)len, 1, 5}; /* END_STREAM, END_HEADERS */
    for (int i = 0; i < 4; i++)
        frame[5 + i] = (uint8_t)(side->next_id >> (24 - 8 * i));
    memcpy(frame + 9, block, len);
    side->next_id += 2;
    current = side;
    side->len = 0;
    if (send(side->fd, frame, 9 + len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        note("E", 1);
    for (int i = 0; i < 3; i++)
        turn();
    read_answers(side);
}

static void open_side(struct side *side)
{
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        exit(1);
    *side = (struct side){.fd = fds[0], .next_id = 1};
    http2_accept(context, h2o_evloop_socket_create(loop, fds[1], 0));
    current = side;
    if (send(side->fd, greeting, sizeof(greeting), MSG_NOSIGNAL) < 0)
        exit(1);
    turn();
    read_answers(side);
}

static bool is_over(const struct side *side)
{
    return memchr(side->text, 'G', side->len) != NULL || memchr(side->text, 'E', side->len) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    /* :method: GET, :scheme: http, :path: /, and a literal that is not indexed */
    static const uint8_t between[] = {0x82, 0x86, 0x84, 0, 1, 'x', 1, 'y'};
    const uint8_t *blocks[BLOCKS_MAX];
    size_t lens[BLOCKS_MAX], count = 0, at = 0;
    if (context == NULL)
        start();
    open_side(&sides[0]);
    open_side(&sides[1]);
    for (int sent = 0; at < len && sent < 200; sent++) {
        size_t which;
        uint8_t op = data[at++];
        if (op >= 0x80 && count != 0) {
            which = (op & 0x7fu) % count;
        } else {
            which = count < BLOCKS_MAX - 1 ? count++ : count - 1;
            lens[which] = (op & 0x7fu) < len - at ? (op & 0x7fu) : len - at;
            blocks[which] = data + at;
            at += lens[which];
        }
        send_block(&sides[0], blocks[which], lens[which]);
        send_block(&sides[1], between, sizeof(between));
        send_block(&sides[1], blocks[which], lens[which]);
        if (sides[0].len != sides[1].len || memcmp(sides[0].text, sides[1].text, sides[0].len) != 0)
            die("the memo changes what a block means");
        if (is_over(&sides[0]))
            break;
    }
    close(sides[0].fd);
    close(sides[1].fd);
    for (int i = 0; i < 4; i++)
        turn();
    return 0;
}
