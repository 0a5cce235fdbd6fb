/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes a whole worker with the bytes of one connection. The first byte of an input says how the
 * rest arrives. Bit 0: a valid preface and SETTINGS are sent before it. Bits 1 to 3: the rest comes
 * in pieces of 7 times that many bytes; 0: all at once. When the connection is closed, the worker
 * must not keep anything of it.
 */
#include <sys/param.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "fuzz_worker.h"

static void feed(int fd, const uint8_t *data, size_t len, size_t piece)
{
    while (len != 0) {
        ssize_t sent =
            send(fd, data, piece != 0 ? MIN(piece, len) : len, MSG_DONTWAIT | MSG_NOSIGNAL);
        fuzz_worker_turn(fd);
        if (sent <= 0)
            return; /* the worker has closed the connection, or does not read: it may do both */
        data += sent;
        len -= (size_t)sent;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    fuzz_worker_start("connection", 5000);
    int fd = len == 0 ? -1 : fuzz_worker_connect();
    if (fd < 0)
        return 0;
    if ((data[0] & 1) != 0)
        feed(fd, fuzz_greeting, sizeof(fuzz_greeting), 0);
    feed(fd, data + 1, len - 1, (size_t)(data[0] >> 1 & 7) * 7);
    fuzz_worker_disconnect(fd);
    return 0;
}
