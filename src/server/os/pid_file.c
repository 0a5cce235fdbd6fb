/* SPDX-License-Identifier: MIT */
#include "server/os/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { PID_TEXT = 16 }; /* a process id with its newline, and more than that */

/* Reads the start of a file. @return false, with errno set */
static bool read_start(const char *path, char text[PID_TEXT])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    ssize_t got = fd >= 0 ? read(fd, text, PID_TEXT - 1) : -1;
    int error = errno;
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    errno = error;
    return got >= 0;
}

/* Whether a file may be replaced: another program may have left the newline out. */
static bool is_pid(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return strlen(text) < PID_TEXT - 1 &&
           (text[digits] == '\0' || (digits != 0 && strcmp(text + digits, "\n") == 0));
}

bool pid_file_check(const char *path, struct fault *fault)
{
    char text[PID_TEXT];
    struct stat st;
    if (path == NULL)
        return true;
    if (strlen(path) >= PATH_MAX)
        return fault_set(fault, "%.100s...: %s", path, strerror(ENAMETOOLONG));
    if (!file_may_be_made(path))
        return fault_set_errno(fault, "%s", path);
    if (lstat(path, &st) != 0)
        return errno == ENOENT || fault_set_errno(fault, "%s", path);
    if (!S_ISREG(st.st_mode))
        return fault_set(fault, "%s: it is no regular file", path);
    if (!read_start(path, text))
        return fault_set_errno(fault, "%s", path);
    return is_pid(text) ||
           fault_set(fault, "%s: this file holds something else than a process id", path);
}

/* @return false, with errno set */
static bool write_pid(const char *path)
{
    char text[PID_TEXT];
    int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    (void)unlink(path); /* a start that was killed has left it */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    errno = 0;
    bool written = write(fd, text, (size_t)len) == len;
    int error = errno != 0 ? errno : ENOSPC;
    close(fd);
    if (!written)
        unlink(path);
    errno = error;
    return written;
}

bool pid_file_prepare(struct pid_file *file, const char *path, struct fault *fault)
{
    if (path == NULL)
        return true;
    if (!pid_file_check(path, fault))
        return false;
    snprintf(file->path, sizeof(file->path), "%s", path);
    snprintf(file->next, sizeof(file->next), "%s.new", path);
    file->prepared = write_pid(file->next);
    return file->prepared || fault_set_errno(fault, "%s", file->next);
}

bool pid_file_publish(struct pid_file *file, struct fault *fault)
{
    if (!file->prepared)
        return true;
    if (rename(file->next, file->path) != 0)
        return fault_set_errno(fault, "%s", file->path);
    file->prepared = false;
    return true;
}

static bool is_own(const char *path)
{
    char text[PID_TEXT], own[PID_TEXT];
    snprintf(own, sizeof(own), "%d\n", (int)getpid());
    return read_start(path, text) && strcmp(text, own) == 0;
}

void pid_file_remove(struct pid_file *file)
{
    if (file->prepared)
        unlink(file->next);
    else if (file->path[0] != '\0' && is_own(file->path))
        unlink(file->path);
    *file = (struct pid_file){.path = ""};
}
