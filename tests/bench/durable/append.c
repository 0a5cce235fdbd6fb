/* SPDX-License-Identifier: MIT */
/*
 * The least that a durable write can cost on this disk: pwrite and fdatasync of BYTES bytes, again
 * and again. Prints one line of JSON.
 *
 *   append FILE BYTES [-n WRITES] [-o]
 *
 * Appends to FILE, which it makes and removes. -o: writes over bytes that were written and synced
 * before, so that no write changes the file's size. The file system then has only data to sync.
 * After OVER_WRITES of them it begins again with the first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { OVER_WRITES = 2000 };

static void give_up(const char *what)
{
    fprintf(stderr, "append: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int by_duration(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void put(int fd, const uint8_t *bytes, size_t len, off_t offset)
{
    ssize_t n = pwrite(fd, bytes, len, offset);
    if (n != (ssize_t)len)
        give_up("pwrite");
}

int main(int argc, char **argv)
{
    size_t writes = 1000;
    bool over = false;
    int opt;
    while ((opt = getopt(argc, argv, "n:o")) != -1) {
        if (opt == 'n')
            writes = strtoull(optarg, NULL, 10);
        else if (opt == 'o')
            over = true;
        else
            return 2;
    }
    if (argc - optind != 2 || writes == 0) {
        fputs("usage: append FILE BYTES [-n WRITES] [-o]\n", stderr);
        return 2;
    }
    const char *path = argv[optind];
    size_t len = strtoull(argv[optind + 1], NULL, 10);
    uint8_t *bytes = malloc(len);
    uint64_t *took = malloc(writes * sizeof(*took));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || bytes == NULL || took == NULL)
        give_up(path);
    memset(bytes, 'x', len);
    size_t places = over && writes > OVER_WRITES ? OVER_WRITES : writes;
    for (size_t i = 0; over && i != places; i++)
        put(fd, bytes, len, (off_t)(i * len));
    if (fsync(fd) != 0)
        give_up("fsync");

    for (size_t i = 0; i != writes; i++) {
        uint64_t start = clock_monotonic_ns();
        put(fd, bytes, len, (off_t)(i % places * len));
        if (fdatasync(fd) != 0)
            give_up("fdatasync");
        took[i] = clock_monotonic_ns() - start;
    }
    qsort(took, writes, sizeof(*took), by_duration);
    printf("{\"p50_us\": %.3f, \"p99_us\": %.3f}\n", (double)took[writes / 2] / 1000,
           (double)took[writes * 99 / 100] / 1000);
    if (unlink(path) != 0)
        give_up("unlink");
    close(fd);
    free(bytes);
    free(took);
    return 0;
}
