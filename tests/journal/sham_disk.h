/* SPDX-License-Identifier: MIT */
/*
 * A disk that fails when it is told to, and that can keep a record (disk_record.h): a file system
 * layer of SQLite below the one of src/journal, and the functions of data_os. Syncs do nothing.
 * Files whose calls it does not know, as -shm, which is mapped, are left alone.
 */
#ifndef ROSTERD_TESTS_JOURNAL_SHAM_DISK_H
#define ROSTERD_TESTS_JOURNAL_SHAM_DISK_H

#include <stdbool.h>

enum disk_call {
    DISK_WRITE,
    DISK_SYNC,
    DISK_TRUNCATE,
    DISK_DELETE, /* by SQLite */
    DISK_READ,
    DISK_CREATE,
    DISK_RENAME,
    DISK_UNLINK, /* by us */
    DISK_SYNC_FOLDER,
    DISK_MEMORY, /* an allocation of SQLite */
    DISK_CALLS,
};

/** Before the first file is opened. */
void disk_install(void);
/** The n-th call of this kind from now on fails, counted from 1; 0: none. A write that fails has
 * written its first half. @param error EIO, ENOSPC or ENOMEM */
void disk_fail(enum disk_call call, unsigned nth, bool all_later_ones, int error);
/** No more calls fail. */
void disk_mend(void);
/** Calls neither fail nor count. */
void disk_pause(bool pause);
/** @return whether a call has failed since disk_fail() */
bool disk_failed(void);
/**
 * @return the calls that changed the database `path` or its log after one of these has failed with
 * EIO, or with ENOSPC in a sync, although no new file has taken its name. disk_forgive() forgets.
 */
unsigned disk_later_writes(void);
void disk_forgive(void);

#endif
