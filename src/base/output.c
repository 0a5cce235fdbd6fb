/* SPDX-License-Identifier: MIT */
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { DIGITS_MAX = 6 }; /* of a descriptor's number */

static int parse_descriptor(const char *text)
{
    size_t len = strlen(text);
    int number = 0;
    if (len == 0 || len > DIGITS_MAX || strspn(text, "0123456789") != len)
        return -1;
    for (size_t i = 0; i < len; i++)
        number = number * 10 + (text[i] - '0');
    return number;
}

int output_descriptor(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (strncmp(path, folders[i], strlen(folders[i])) == 0)
            return parse_descriptor(path + strlen(folders[i]));
    return -1;
}

/* All descriptors of our own are close-on-exec. A log must not go to one of them: in the segment it
 * would overwrite the users. */
bool output_descriptor_is_good(int fd)
{
    int flags = fcntl(fd, F_GETFD), mode = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0 && (mode & O_ACCMODE) != O_RDONLY)
        return true;
    errno = EBADF;
    return false;
}

int output_open(const char *path)
{
    int fd = output_descriptor(path);
    if (fd < 0)
        return open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);
    return output_descriptor_is_good(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;
}

const char *output_error(int error)
{
    switch (error) {
    case EBADF:
        return "this process was not started with such a descriptor to write to";
    case ENXIO:
        return "no process reads this FIFO, or it is a socket";
    default:
        return strerror(error);
    }
}
