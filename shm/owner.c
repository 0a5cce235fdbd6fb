/* SPDX-License-Identifier: MIT */
/*
 * Who owns the segment: an OFD write lock on its descriptor. It belongs to the
 * open file description, so the master's forked workers share it, and the
 * kernel drops it with the last of them, in whatever pid namespace they are.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "shm/internal.h"

static struct flock whole(short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return lock;
}

int shm_owner_take(int fd, const char *name, struct shm_fault *fault)
{
    struct flock lock = whole(F_WRLCK);
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return SHM_OK;
    if (errno == EAGAIN || errno == EACCES)
        return shm_fail(fault, SHM_EOWNED, "segment %s: a live server owns it", name);
    return shm_fail(fault, SHM_ESYS, "segment %s: cannot lock it: %s", name, strerror(errno));
}

bool shm_owner_present(const struct shm_store *store)
{
    if (store->owner)
        return true;
    struct flock lock = whole(F_WRLCK);
    return fcntl(store->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

uint64_t shm_pid_namespace(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}
