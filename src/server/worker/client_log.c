/* SPDX-License-Identifier: MIT */
#include "server/worker/client_log.h"

#include <stdint.h>

#include "base/clock.h"
#include "server/os/log.h"

enum { LINES_PER_SECOND = 100 };

/* One per process, like the log itself: http2 and the services call without any data of ours. */
static struct {
    uint64_t second_began; /* ms, monotonic */
    unsigned lines;        /* in this second, also those left out */
} client_log;

void client_log_line(const char *line)
{
    uint64_t now = clock_monotonic_coarse_ms();
    if (now - client_log.second_began >= 1000) {
        if (client_log.lines > LINES_PER_SECOND)
            log_info("%u lines like the last one were left out",
                     client_log.lines - LINES_PER_SECOND);
        client_log.second_began = now;
        client_log.lines = 0;
    }
    if (++client_log.lines <= LINES_PER_SECOND)
        log_info("%s", line);
}
