/* SPDX-License-Identifier: MIT */
/* The one list of errors that the store returns, and the line that explains one. */
#ifndef ROSTERD_SHM_ERROR_H
#define ROSTERD_SHM_ERROR_H

enum shm_error {
    SHM_OK = 0,
    SHM_ENOENT = -1,   /* no such user */
    SHM_EEXIST = -2,   /* there already */
    SHM_EBUSY = -3,    /* the writer lock is held by another: try later */
    SHM_EFULL = -4,    /* max_users reached */
    SHM_ESPACE = -5,   /* /dev/shm is full, or a control group's memory limit is met */
    SHM_EINVAL = -6,   /* an argument */
    SHM_ESLOTS = -7,   /* no free slot */
    SHM_EPINS = -8,    /* no free pin in this slot */
    SHM_ENOSEG = -9,   /* no such segment */
    SHM_EOWNED = -10,  /* a live server owns it */
    SHM_ELAYOUT = -11, /* made by a build of another layout */
    SHM_ECORRUPT = -12,
    SHM_EPERM = -13,     /* somebody else's, or writable for somebody else */
    SHM_EBASE = -14,     /* the fixed address range is taken in this process */
    SHM_ESYS = -15,      /* a system call failed; the fault has its errno's text */
    SHM_ELIMIT = -16,    /* the segment's own bound */
    SHM_EKEY = -17,      /* another user has this unique key */
    SHM_EREVOKED = -18,  /* the snapshot kept too much from being freed */
    SHM_ERESYNC = -19,   /* a follower of the feed fell behind */
    SHM_EOUTGROWN = -20, /* the segment has grown beyond what is mapped here: attach again */
    SHM_EMORE = -21,     /* a listing has not found its next user yet: call again */
};

/** Why a call failed, for a person: one line without a newline. */
struct shm_fault {
    char text[512];
};

/** A short English text for each error, never NULL. */
const char *shm_strerror(int error);

#endif
