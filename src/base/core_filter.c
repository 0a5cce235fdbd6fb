/* SPDX-License-Identifier: MIT */
#include "base/core_filter.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool core_filter_set(unsigned filter, unsigned *before)
{
    char text[16] = "";
    int fd = open("/proc/self/coredump_filter", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = read(fd, text, sizeof(text) - 1) > 0;
    if (good && before != NULL)
        *before = (unsigned)strtoul(text, NULL, 16);
    int len = snprintf(text, sizeof(text), "0x%x\n", filter);
    good = good && pwrite(fd, text, (size_t)len, 0) == len;
    close(fd);
    return good;
}
