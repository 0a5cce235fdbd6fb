/* SPDX-License-Identifier: MIT */
/*
 * The file lies in the tmpfs that shm_open() uses. A new one is created with O_TMPFILE, so that a
 * half-built segment never has a name and disappears when its process dies. It gets its name by one
 * linkat().
 */
#include "shm/segment/segment_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/segment/cgroup_room.h"

/* @return whether a name may have these bytes between its slashes */
static bool is_name_part(const char *part, size_t len)
{
    return len != 0 && part[0] != '.';
}

/* How many bytes of the name are its directory: "/DIRECTORY" of "/DIRECTORY/NAME", nothing of
 * "/NAME". */
static int directory_length(const char *name)
{
    return (int)(strrchr(name, '/') - name);
}

int shm_file_path(char path[300], const char *name, struct shm_fault *fault)
{
    if (name == NULL)
        name = "";
    const char *first = name[0] == '/' ? name + 1 : "";
    size_t len = strcspn(first, "/");
    const char *second = first[len] == '/' ? first + len + 1 : NULL;
    if (!is_name_part(first, len) ||
        (second != NULL &&
         (!is_name_part(second, strlen(second)) || strchr(second, '/') != NULL)) ||
        strlen(name) > 240)
        return shm_fail(
            fault, SHM_EINVAL,
            "segment '%.100s': a name is /NAME or /DIRECTORY/NAME, without a dot after a "
            "slash, and has at most 240 bytes",
            name);
    snprintf(path, 300, SHM_DIRECTORY "%s", name);
    return SHM_OK;
}

void shm_file_hidden_path(char path[300], const char *name, const char *suffix)
{
    int len = directory_length(name);
    snprintf(path, 300, SHM_DIRECTORY "%.*s/.%.240s.%s", len, name, name + len + 1, suffix);
}

/* The directory of a valid name. */
static void directory_path(char path[300], const char *name)
{
    snprintf(path, 300, SHM_DIRECTORY "%.*s", directory_length(name), name);
}

/* Whoever may write a directory of its own can give the segment's name to another file. In /dev/shm
 * itself, which everybody may write, only a name's user can: the directory is sticky.
 * @return SHM_ENOSEG: there is none */
static int check_directory(const char *name, struct shm_fault *fault)
{
    char path[300];
    struct stat st;
    if (directory_length(name) == 0)
        return SHM_OK;
    directory_path(path, name);
    if (lstat(path, &st) != 0)
        return shm_fail(fault, errno == ENOENT ? SHM_ENOSEG : SHM_ESYS, "segment %s: %s: %s", name,
                        path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return shm_fail(fault, SHM_EPERM, "segment %s: %s is no directory, and belongs to user %u",
                        name, path, (unsigned)st.st_uid);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return shm_fail(fault, SHM_EPERM,
                        "segment %s: the directory %s belongs to user %u, this is user %u", name,
                        path, (unsigned)st.st_uid, (unsigned)geteuid());
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return shm_fail(fault, SHM_EPERM,
                        "segment %s: others may write the directory %s (mode %04o), so it is not "
                        "trusted",
                        name, path, (unsigned)(st.st_mode & 07777));
    return SHM_OK;
}

int shm_file_make_directory(const char *name, struct shm_fault *fault)
{
    char path[300];
    directory_path(path, name);
    if (directory_length(name) != 0 && mkdir(path, 0750) != 0 && errno != EEXIST)
        return shm_fail(fault, errno == ENOSPC ? SHM_ESPACE : SHM_ESYS,
                        "segment %s: cannot make the directory %s: %s", name, path,
                        strerror(errno));
    return check_directory(name, fault);
}

int shm_segment_path(char path[300], const char *name, struct shm_fault *fault)
{
    static const char stats[] = ".stats";
    enum { LEN = sizeof(stats) - 1 };
    int rc = shm_file_path(path, name, fault);
    size_t len = rc == SHM_OK ? strlen(name) : 0;
    if (len < LEN || strcmp(name + len - LEN, stats) != 0)
        return rc;
    return shm_fail(fault, SHM_EINVAL,
                    "segment '%.100s': a name that ends in .stats is that of another segment's "
                    "counters",
                    name);
}

static int check_rights(int fd, const struct stat *st, const char *name, enum shm_access access,
                        struct shm_fault *fault)
{
    uid_t uid = geteuid();
    if (!S_ISREG(st->st_mode))
        return shm_fail(fault, SHM_EPERM, "segment %s: it is not a regular file", name);
    if (access == SHM_AS_READER && !shm_file_writable(fd))
        return SHM_OK; /* of any user: this process takes none of its locks and trusts no contents
                        */
    /* Even root is refused: the C library writes along a robust mutex's list, which leads through
     * memory that the file's user can write. So a process that maps the file must have no more
     * rights than that user. */
    if (st->st_uid != uid && !(access == SHM_AS_REMOVER && uid == 0))
        return shm_fail(fault, SHM_EPERM, "segment %s: it belongs to user %u, this is user %u",
                        name, (unsigned)st->st_uid, (unsigned)uid);
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return shm_fail(fault, SHM_EPERM,
                        "segment %s: others may write it (mode %04o), so it is not trusted", name,
                        (unsigned)(st->st_mode & 07777));
    return SHM_OK;
}

static int refuse_to_open(const char *name, const char *path, int error, struct shm_fault *fault)
{
    struct stat st;
    if (lstat(path, &st) != 0 || st.st_uid == geteuid())
        return shm_fail(fault, SHM_EPERM, "segment %s: cannot open it: %s", name, strerror(error));
    return shm_fail(fault, SHM_EPERM, "segment %s: cannot open it: %s; %s belongs to user %u", name,
                    strerror(error), path, (unsigned)st.st_uid);
}

int shm_file_open(int *fd, const char *name, enum shm_access access, struct shm_fault *fault)
{
    char path[300];
    int rc = shm_file_path(path, name, fault);
    if (rc != SHM_OK)
        return rc;
    /* Who only reads trusts no contents. */
    rc = access == SHM_AS_READER ? SHM_OK : check_directory(name, fault);
    if (rc != SHM_OK)
        return rc == SHM_ENOSEG ? shm_fail(fault, rc, "segment %s: no such segment", name) : rc;
    enum { FLAGS = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY };
    *fd = open(path, O_RDWR | FLAGS);
    if (*fd < 0 && errno == EACCES && access == SHM_AS_READER)
        *fd = open(path, O_RDONLY | FLAGS);
    if (*fd < 0 && errno == ENOENT)
        return shm_fail(fault, SHM_ENOSEG, "segment %s: no such segment", name);
    if (*fd < 0 && (errno == EACCES || errno == EPERM || errno == ELOOP || errno == EISDIR))
        return refuse_to_open(name, path, errno, fault);
    if (*fd < 0)
        return shm_fail(fault, SHM_ESYS, "segment %s: cannot open it: %s", name, strerror(errno));
    struct stat st;
    rc = fstat(*fd, &st) == 0 ? check_rights(*fd, &st, name, access, fault)
                              : shm_fail(fault, SHM_ESYS, "segment %s: %s", name, strerror(errno));
    if (rc != SHM_OK)
        close(*fd);
    return rc;
}

bool shm_file_is_foreign_in_own_directory(const char *name)
{
    char path[300];
    struct stat st;
    if (shm_file_path(path, name, NULL) != SHM_OK || directory_length(name) == 0 ||
        check_directory(name, NULL) != SHM_OK || lstat(path, &st) != 0 || st.st_uid == geteuid())
        return false;
    directory_path(path, name);
    return lstat(path, &st) == 0 && st.st_uid == geteuid();
}

int shm_file_create(int *fd, const char *name, struct shm_fault *fault)
{
    char path[300];
    int rc = shm_file_path(path, name, fault);
    if (rc == SHM_OK)
        rc = shm_file_make_directory(name, fault);
    if (rc != SHM_OK)
        return rc;
    directory_path(path, name);
    *fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0 && fchmod(*fd, 0600) == 0)
        return SHM_OK;
    int error = errno;
    if (*fd >= 0)
        close(*fd);
    return shm_fail(fault, error == ENOSPC ? SHM_ESPACE : SHM_ESYS,
                    "segment %s: cannot create a file in %s: %s", name, path, strerror(error));
}

int shm_file_publish(int fd, const char *name, struct shm_fault *fault)
{
    char path[300];
    char self[64];
    int rc = shm_file_path(path, name, fault);
    if (rc != SHM_OK)
        return rc;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
        return SHM_OK;
    if (errno == EEXIST)
        return shm_fail(fault, SHM_EEXIST, "segment %s: another process made it just now", name);
    return shm_fail(fault, errno == ENOSPC ? SHM_ESPACE : SHM_ESYS,
                    "segment %s: cannot link it into " SHM_DIRECTORY " (needs /proc): %s", name,
                    strerror(errno));
}

int shm_file_fallocate(int fd, uint64_t at, uint64_t length, struct shm_fault *fault)
{
    int rc;
    do {
        rc = fallocate(fd, 0, (off_t)at, (off_t)length);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return SHM_OK;
    if (errno == ENOSPC || errno == ENOMEM || errno == EFBIG)
        return shm_fail(fault, SHM_ESPACE, "%llu bytes of " SHM_DIRECTORY " are needed: %s",
                        (unsigned long long)length, strerror(errno));
    return shm_fail(fault, SHM_ESYS, "fallocate in " SHM_DIRECTORY ": %s", strerror(errno));
}

int shm_file_allocate(int fd, uint64_t at, uint64_t length, struct shm_fault *fault)
{
    int rc = shm_room_for(length, fault);
    return rc == SHM_OK ? shm_file_fallocate(fd, at, length, fault) : rc;
}

bool shm_file_writable(int fd)
{
    return (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

bool shm_file_is_at(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && there.st_ino == ours.st_ino &&
           there.st_dev == ours.st_dev;
}
