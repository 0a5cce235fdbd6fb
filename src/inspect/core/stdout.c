/* SPDX-License-Identifier: MIT */
#include "inspect/core/stdout.h"

#include <errno.h>
#include <poll.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "inspect/core/guard.h"

void stdout_open(void)
{
    static char buffer[STDOUT_BUFFER_SIZE];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
}

bool stdout_is_full(FILE *stream)
{
    return __fpending(stream) >= STDOUT_FLUSH_AT;
}

bool stdout_flush(enum inspect_exit *code)
{
    /* main() flushes once more after the command: the second failure must not be reported. */
    static enum inspect_exit failed = INSPECT_DONE;
    static bool over;

    if (!over && fflush(stdout) == 0 && !ferror(stdout))
        return true;
    if (!over && errno != EPIPE)
        failed = report_fail(INSPECT_FAILED, "cannot write: %s", strerror(errno));
    over = true;
    *code = failed;
    return false;
}

bool stdout_sleep(int ms)
{
    struct pollfd ends[] = {{.fd = STDOUT_FILENO}, /* no events: poll() reports errors anyway */
                            {.fd = guard_signal_fd(), .events = POLLIN}};
    return poll(ends, 2, ms) <= 0 || (ends[0].revents & (POLLERR | POLLHUP)) == 0;
}
