/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inspect/core/guard.h"
#include "inspect/core/inspect.h"
#include "inspect/core/text.h"

enum inspect_exit inspect_fail(enum inspect_exit code, const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fputs("shm-inspect: ", stderr);
    text_print(stderr, line, strlen(line));
    putc('\n', stderr);
    return code;
}

enum inspect_exit inspect_fail_store(int error, const struct shm_fault *fault)
{
    enum inspect_exit code;

    switch (error) {
    case SHM_ENOSEG:
        code = INSPECT_NO_SEGMENT;
        break;
    case SHM_ELAYOUT:
    case SHM_ECORRUPT:
        code = INSPECT_BAD_SEGMENT;
        break;
    case SHM_EINVAL: /* the name of the segment */
        code = INSPECT_USAGE;
        break;
    default:
        code = INSPECT_FAILED;
    }
    return inspect_fail(code, "%s", fault->text[0] != '\0' ? fault->text : shm_strerror(error));
}

bool inspect_flush(enum inspect_exit *code)
{
    static enum inspect_exit failed; /* told once, though a command's last flush is main()'s */
    static bool over;

    if (!over && fflush(stdout) == 0 && !ferror(stdout))
        return true;
    if (!over && errno != EPIPE)
        failed = inspect_fail(INSPECT_FAILED, "cannot write: %s", strerror(errno));
    over = true;
    *code = failed;
    return false;
}

bool inspect_sleep(int ms)
{
    struct pollfd ends[2] = {{.fd = STDOUT_FILENO}, /* no events: errors and hang-ups alone */
                             {.fd = guard_fd(), .events = POLLIN}};

    return poll(ends, 2, ms) <= 0 || (ends[0].revents & (POLLERR | POLLHUP)) == 0;
}
