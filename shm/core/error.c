/* SPDX-License-Identifier: MIT */
#include "shm/error.h"

const char *shm_strerror(int error)
{
    switch (error) {
    case SHM_OK:
        return "no error";
    case SHM_ENOENT:
        return "no such user";
    case SHM_EEXIST:
        return "exists already";
    case SHM_EBUSY:
        return "the writer lock is held by another process";
    case SHM_EFULL:
        return "the table has reached max-users";
    case SHM_ESPACE:
        return "/dev/shm is full, or the control group has no memory left";
    case SHM_EINVAL:
        return "invalid argument";
    case SHM_ESLOTS:
        return "no free slot in the segment";
    case SHM_EPINS:
        return "too many snapshots are open in this process";
    case SHM_ENOSEG:
        return "no such segment";
    case SHM_EOWNED:
        return "a live server owns the segment";
    case SHM_ELAYOUT:
        return "the segment has another layout";
    case SHM_ECORRUPT:
        return "the segment is corrupt";
    case SHM_EPERM:
        return "another user owns the segment or may write to it";
    case SHM_EBASE:
        return "the segment's address range is taken in this process";
    case SHM_ESYS:
        return "a system call failed";
    case SHM_ELIMIT:
        return "the segment is at its bound (segment-size)";
    case SHM_EKEY:
        return "another user has this unique key";
    case SHM_EREVOKED:
        return "the snapshot kept too much memory from being freed";
    case SHM_ERESYNC:
        return "the follower is too far behind the change feed";
    case SHM_EMORE:
        return "the listing has not reached its next user yet";
    case SHM_EOUTGROWN:
        return "the segment has grown since this process attached: attach again";
    case SHM_EREADONLY:
        return "the data file has failed, and the table is read-only";
    case SHM_EDISK:
        return "the data file does not fit the segment";
    case SHM_ESTALE:
        return "the user has been changed since";
    case SHM_EREPEAT:
        return "the request was done already";
    default:
        return "unknown error";
    }
}
