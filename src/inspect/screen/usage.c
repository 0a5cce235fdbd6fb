/* SPDX-License-Identifier: MIT */
#include "inspect/screen/usage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* @return false: the file cannot be read */
static bool read_proc_text(uint32_t pid, const char *name, char text[1024])
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, 1023);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    return len > 0;
}

struct usage usage_read(uint32_t pid)
{
    char text[1024];
    unsigned long long user, kernel, resident, shared;
    const struct usage unknown = {0};
    if (!read_proc_text(pid, "stat", text))
        return unknown;
    /* The second field is the program's name in parentheses, which may have any character in it. */
    const char *at = strrchr(text, ')');
    if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                             &user, &kernel) != 2)
        return unknown;
    if (!read_proc_text(pid, "statm", text) ||
        sscanf(text, "%*u %llu %llu", &resident, &shared) != 2)
        return unknown;
    return (struct usage){.known = true,
                          .cpu_ms = (user + kernel) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK),
                          .memory = (resident > shared ? resident - shared : 0) *
                                    (uint64_t)sysconf(_SC_PAGESIZE)};
}
