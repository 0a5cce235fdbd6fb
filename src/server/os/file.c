/* SPDX-License-Identifier: MIT */
#include "server/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* What is neither a file nor an empty one. */
static const char *refuse_kind(const struct stat *st)
{
    if (S_ISREG(st->st_mode) || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3)))
        return NULL;
    return S_ISDIR(st->st_mode) ? strerror(EISDIR) : "it is no regular file";
}

static bool map(struct file *file, size_t len)
{
    void *text = mmap(NULL, len + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (text == MAP_FAILED)
        return false;
    madvise(text, len + 1, MADV_DONTDUMP);
    file->text = text;
    file->len = len;
    return true;
}

/* One byte more than there was would have come since. */
static const char *read_all(struct file *file, int fd)
{
    size_t len = 0;
    while (len <= file->len) {
        ssize_t got = read(fd, file->text + len, file->len + 1 - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return strerror(errno);
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return len == file->len ? NULL : "it changed while it was read";
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static const char *read_fd(struct file *file, int fd, size_t max)
{
    static char text[64];
    struct stat before, after;
    if (fstat(fd, &before) != 0)
        return strerror(errno);
    const char *why = refuse_kind(&before);
    if (why != NULL)
        return why;
    size_t len = S_ISREG(before.st_mode) ? (size_t)before.st_size : 0;
    if (len > max) {
        snprintf(text, sizeof(text), "it is larger than %zuK", max >> 10);
        return text;
    }
    if (!map(file, len))
        return strerror(errno);
    file->mode = before.st_mode & 07777;
    why = read_all(file, fd);
    /* rewritten in place with as many bytes, half of them may be the old ones */
    if (why == NULL && (fstat(fd, &after) != 0 || !same_file(&before, &after)))
        why = "it changed while it was read";
    file->text[file->len] = '\0';
    return why;
}

const char *file_read(struct file *file, const char *path, size_t max)
{
    *file = (struct file){.text = NULL};
    /* O_NONBLOCK: the open of a FIFO would wait for its writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return strerror(errno);
    const char *why = read_fd(file, fd, max);
    close(fd);
    if (why != NULL)
        file_free(file);
    return why;
}

void file_free(struct file *file)
{
    if (file->text == NULL)
        return;
    explicit_bzero(file->text, file->len + 1);
    munmap(file->text, file->len + 1);
    file->text = NULL;
}
