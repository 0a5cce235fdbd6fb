/* SPDX-License-Identifier: MIT */
#include "journal/data_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "journal/data_os.h"
#include "journal/data_path.h"

enum { SERVER_BYTE, WRITER_BYTE };
/* Of the data file itself: far behind SQLite's own locks. */
static const off_t INODE_BYTE = INT64_MAX - 1;
enum { INODE_WAIT_MS = 1000 }; /* for a process that is ending */
enum { ENDING_MS = 10000 };    /* for the children of a server that was killed */

/* The kernel has no wait with a limit for these locks. */
static const struct timespec lock_pause = {.tv_nsec = 2000000};

static enum data_result open_lock_file(const char *path, int *fd, struct fault *fault)
{
    char resolved[DATA_PATH_SIZE], name[DATA_PATH_SIZE];
    *fd = -1;
    enum data_result result = data_path_resolve(path, resolved, fault);
    if (result != DATA_OK)
        return result;
    data_path_beside(resolved, ".lock", name);
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (*fd < 0)
        return data_os_fault(path, "open its .lock file", fault);
    return DATA_OK;
}

/* @return 0, or errno: EAGAIN if another has it */
static int try_lock(int fd, off_t byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? EAGAIN : errno;
}

/* @return as try_lock() */
static int wait_for_lock(int fd, off_t byte, unsigned wait_ms)
{
    const uint64_t end = clock_monotonic_ms() + wait_ms;
    int error;
    while ((error = try_lock(fd, byte)) == EAGAIN && clock_monotonic_ms() < end)
        nanosleep(&lock_pause, NULL);
    return error;
}

/* Whether the file was removed before the lock was taken: then another one may have its name. */
static bool lock_is_void(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

static enum data_result lock_failed(const char *path, int *fd, int error, struct fault *fault)
{
    close(*fd);
    *fd = -1;
    errno = error;
    return data_os_fault(path, "lock it", fault);
}

/* @return the pid that the lock's owner has noted, or 0 */
static long noted_pid(int fd)
{
    char text[32] = "";
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
    return len > 0 ? strtol(text, NULL, 10) : 0;
}

/* If the master is gone, its children end, too: they share the lock, and one that is in a system
 * call for the disk ends only after that. @return as try_lock() */
static int lock_after_children(int fd)
{
    const uint64_t end = clock_monotonic_ms() + ENDING_MS;
    int error;
    while ((error = try_lock(fd, SERVER_BYTE)) == EAGAIN && clock_monotonic_ms() < end) {
        long pid = noted_pid(fd);
        if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            break;
        nanosleep(&lock_pause, NULL);
    }
    return error;
}

static void set_server_busy(const char *path, int fd, struct fault *fault)
{
    long pid = noted_pid(fd);
    if (pid > 0)
        fault_set(fault,
                  "data-file %s: another rosterd uses it (pid %ld): stop that one first, or "
                  "name another file",
                  path, pid);
    else
        fault_set(fault,
                  "data-file %s: another rosterd uses it: stop that one first, or name another "
                  "file",
                  path);
}

enum data_result data_lock_server(const char *path, int *fd, struct fault *fault)
{
    enum data_result result = open_lock_file(path, fd, fault);
    if (result != DATA_OK)
        return result;
    int error = lock_after_children(*fd);
    if (error == EAGAIN) {
        set_server_busy(path, *fd, fault);
        close(*fd);
        *fd = -1;
        return DATA_BUSY;
    }
    if (error != 0)
        return lock_failed(path, fd, error, fault);
    if (lock_is_void(*fd)) {
        close(*fd);
        return data_lock_server(path, fd, fault);
    }
    data_lock_sign(*fd);
    return DATA_OK;
}

enum data_result data_lock_writer(const char *path, unsigned wait_ms, int *fd, struct fault *fault)
{
    enum data_result result = open_lock_file(path, fd, fault);
    if (result != DATA_OK)
        return result;
    int error = wait_for_lock(*fd, WRITER_BYTE, wait_ms);
    if (error == EAGAIN) {
        close(*fd);
        *fd = -1;
        fault_set(fault, "data-file %s: another process writes it: wait until it ends", path);
        return DATA_BUSY;
    }
    if (error != 0)
        return lock_failed(path, fd, error, fault);
    if (!lock_is_void(*fd))
        return DATA_OK;
    close(*fd);
    return data_lock_writer(path, wait_ms, fd, fault);
}

enum data_result data_lock_inode(const char *path, int *fd, struct fault *fault)
{
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0)
        return data_os_fault(path, "open it", fault);
    int error = wait_for_lock(*fd, INODE_BYTE, INODE_WAIT_MS);
    if (error == 0)
        return DATA_OK;
    if (error != EAGAIN)
        return lock_failed(path, fd, error, fault);
    close(*fd);
    *fd = -1;
    fault_set(
        fault,
        "data-file %s: another rosterd writes it, by another name (a hard link), or its .lock "
        "file was removed: stop that one first",
        path);
    return DATA_BUSY;
}

void data_lock_remove(const char *path, int fd)
{
    char resolved[DATA_PATH_SIZE], name[DATA_PATH_SIZE];
    if (try_lock(fd, WRITER_BYTE) != 0 || data_path_resolve(path, resolved, NULL) != DATA_OK)
        return;
    data_path_beside(resolved, ".lock", name);
    (void)unlink(name);
}

/* On a full disk the file stays without a pid, or with an old one. */
void data_lock_sign(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%-10ld\n", (long)getpid());
    (void)!pwrite(fd, text, (size_t)len, 0);
}
