/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes everything that reads a request message: prefix, inflating, protobuf, UTF-8, the method.
 * The first byte of an input selects the method (its low four bits), the encoding (bits 4 and 5:
 * identity, gzip, deflate), and whether the prefix is right (bit 6: the input has its own prefix).
 * The rest is the message. When the connection is closed, the worker must not keep anything of it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "fuzz_worker.h"
#include "service/users/user_service.h"

enum { PATHS_MAX = 16, MESSAGE_MAX = 16000 };

static char paths[PATHS_MAX][96];
static unsigned num_paths;

static void start(void)
{
    fuzz_worker_start("message", 100000);
    for (size_t m = 0; m < user_service_table.num_methods && num_paths < PATHS_MAX; m++) {
        snprintf(paths[num_paths], sizeof(paths[0]), "/%s/%s", user_service_table.name,
                 user_service_table.methods[m].name);
        num_paths++;
    }
}

static size_t put_text(uint8_t *to, const char *text)
{
    size_t len = strlen(text);
    to[0] = (uint8_t)len;
    memcpy(to + 1, text, len);
    return 1 + len;
}

/* A literal field that is not indexed. */
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

static void send_call(int fd, uint8_t how, const uint8_t *data, size_t len)
{
    static const char *const encodings[] = {"identity", "gzip", "deflate", "identity"};
    uint8_t block[512] = {0x83, 0x86}; /* :method: POST, :scheme: http */
    size_t block_len = 2;
    block[block_len++] = 0x04; /* :path, a literal that is not indexed */
    block_len += put_text(block + block_len, paths[(how & 15) % num_paths]);
    block_len += put_field(block + block_len, "content-type", "application/grpc");
    block_len += put_field(block + block_len, "te", "trailers");
    block_len += put_field(block + block_len, "grpc-encoding", encodings[how >> 4 & 3]);
    static uint8_t out[20000];
    memcpy(out, fuzz_greeting, sizeof(fuzz_greeting));
    size_t at = sizeof(fuzz_greeting);
    at += put_frame(out + at, 1, 4, block_len);
    memcpy(out + at, block, block_len);
    at += block_len;
    len = MIN(len, MESSAGE_MAX);
    bool own_prefix = (how & 0x40) != 0;
    at += put_frame(out + at, 0, 1, len + (own_prefix ? 0 : 5));
    if (!own_prefix) {
        out[at++] = (how & 0x30) != 0 && (how & 0x30) != 0x30;
        memcpy(out + at, (uint8_t[]){0, 0, (uint8_t)(len >> 8), (uint8_t)len}, 4);
        at += 4;
    }
    memcpy(out + at, data, len);
    (void)!send(fd, out, at + len, MSG_NOSIGNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (fuzz_worker.server == NULL)
        start();
    int fd = len == 0 ? -1 : fuzz_worker_connect();
    if (fd < 0)
        return 0;
    send_call(fd, data[0], data + 1, len - 1);
    fuzz_worker_disconnect(fd);
    return 0;
}
