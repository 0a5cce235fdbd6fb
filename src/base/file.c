/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/units.h"

static const char file_changed[] = "it changed while it was read";

/* Allows regular files and /dev/null. */
static bool check_file_kind(const struct stat *st, struct fault *fault)
{
    if (S_ISREG(st->st_mode) || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3)))
        return true;
    return fault_set(fault, "%s",
                     S_ISDIR(st->st_mode) ? strerror(EISDIR) : "it is not a regular file");
}

static bool map_file_text(struct file *file, size_t len)
{
    void *text = mmap(NULL, len + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (text == MAP_FAILED)
        return false;
    madvise(text, len + 1, MADV_DONTDUMP);
    file->text = text;
    file->len = len;
    return true;
}

/* Asks for one byte more than the file had: if it comes, the file has grown. */
static bool read_file_text(struct file *file, int fd, struct fault *fault)
{
    size_t len = 0;
    while (len <= file->len) {
        ssize_t got = read(fd, file->text + len, file->len + 1 - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_set(fault, "%s", strerror(errno));
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return len == file->len || fault_set(fault, file_changed);
}

static bool is_unchanged(const struct stat *before, const struct stat *after)
{
    return before->st_size == after->st_size && before->st_mtim.tv_sec == after->st_mtim.tv_sec &&
           before->st_mtim.tv_nsec == after->st_mtim.tv_nsec;
}

static bool read_file_fd(struct file *file, int fd, size_t max, struct fault *fault)
{
    struct stat before, after;
    if (fstat(fd, &before) != 0)
        return fault_set(fault, "%s", strerror(errno));
    if (!check_file_kind(&before, fault))
        return false;
    size_t len = S_ISREG(before.st_mode) ? (size_t)before.st_size : 0;
    if (len > max) {
        char bound[32];
        units_format_size(bound, sizeof(bound), max);
        return fault_set(fault, "it is larger than %s", bound);
    }
    if (!map_file_text(file, len))
        return fault_set(fault, "%s", strerror(errno));
    file->mode = before.st_mode & 07777;
    if (!read_file_text(file, fd, fault))
        return false;
    /* of a file that was rewritten in place with the same size, the text may be half old */
    if (fstat(fd, &after) != 0 || !is_unchanged(&before, &after))
        return fault_set(fault, file_changed);
    file->text[file->len] = '\0';
    return true;
}

bool file_read(struct file *file, const char *path, size_t max, struct fault *fault)
{
    *file = (struct file){.text = NULL};
    /* O_NONBLOCK: without it, opening a FIFO waits for a writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fault_set(fault, "%s", strerror(errno));
    bool good = read_file_fd(file, fd, max, fault);
    close(fd);
    if (!good)
        file_free(file);
    return good;
}

void file_free(struct file *file)
{
    if (file->text == NULL)
        return;
    explicit_bzero(file->text, file->len + 1);
    munmap(file->text, file->len + 1);
    file->text = NULL;
}

bool file_may_be_made(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", path);
    return access(dirname(copy), W_OK | X_OK) == 0;
}
