/* SPDX-License-Identifier: MIT */
/* The error codes of the store, and the text that explains one failure. */
#ifndef ROSTERD_SHM_ERROR_H
#define ROSTERD_SHM_ERROR_H

enum shm_error {
    SHM_OK = 0,
    SHM_ENOENT = -1,     /* no such user */
    SHM_EEXIST = -2,     /* the id or the name exists already */
    SHM_EBUSY = -3,      /* another process holds the writer lock: try later */
    SHM_EFULL = -4,      /* max_users reached */
    SHM_ESPACE = -5,     /* /dev/shm is full, or a control group's memory limit is reached */
    SHM_EINVAL = -6,     /* an invalid argument */
    SHM_ESLOTS = -7,     /* no free slot */
    SHM_EPINS = -8,      /* no free pin in this slot */
    SHM_ENOSEG = -9,     /* no such segment */
    SHM_EOWNED = -10,    /* a live server owns it */
    SHM_ELAYOUT = -11,   /* created by a build with another layout */
    SHM_ECORRUPT = -12,  /* an invariant of the segment does not hold */
    SHM_EPERM = -13,     /* another user owns the file, or may write it */
    SHM_EBASE = -14,     /* the fixed address range is taken in this process */
    SHM_ESYS = -15,      /* a system call failed; the fault has its errno's text */
    SHM_ELIMIT = -16,    /* the segment's own bound is reached */
    SHM_EKEY = -17,      /* another user has this unique key */
    SHM_EREVOKED = -18,  /* the snapshot kept too much memory and was revoked */
    SHM_ERESYNC = -19,   /* a follower of the feed fell too far behind */
    SHM_EOUTGROWN = -20, /* the segment has grown beyond this process's mapping: attach again */
    SHM_EMORE = -21,     /* a cursor has not found its next user yet: call again */
    SHM_EREADONLY = -22, /* the data file has failed: nothing is written any more */
    SHM_EDISK = -23,     /* the data file does not fit the segment; the fault says why */
    SHM_ESTALE = -24,    /* the user has another version than the write is for */
    SHM_EREPEAT = -25,   /* the request was done already */
};

/** The reason of a failure, for a person: one line without a newline. */
struct shm_fault {
    char text[512];
};

/** A short English text for each error, never NULL. */
const char *shm_strerror(int error);

#endif
