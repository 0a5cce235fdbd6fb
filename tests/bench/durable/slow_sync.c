/* SPDX-License-Identifier: MIT */
/*
 * A slow disk, for LD_PRELOAD: while the file SLOW_SYNC_FILE exists, fdatasync and fsync first
 * sleep for as many milliseconds as it says. Nothing else of the program is slower, and no time of
 * the CPU is used.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long delay_ms(void)
{
    const char *path = getenv("SLOW_SYNC_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char text[16] = "";
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n <= 0 ? 0 : strtol(text, NULL, 10);
}

static int sync_slowly(const char *name, int fd)
{
    long ms = delay_ms();
    if (ms > 0)
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return next(fd);
}

int fdatasync(int fd)
{
    return sync_slowly("fdatasync", fd);
}

int fsync(int fd)
{
    return sync_slowly("fsync", fd);
}
