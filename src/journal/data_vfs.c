/* SPDX-License-Identifier: MIT */
#include "journal/data_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "journal/data_count.h"
#include "journal/data_file.h"
#include "journal/data_held.h"
#include "journal/data_memory.h"

enum {
    HEAD = 24,
    LOG_STEP = 1 << 20, /* bytes by which a log grows */
};

struct guarded_file {
    sqlite3_file base;      /* first: SQLite sees this */
    sqlite3_file *database; /* the database that this file belongs to; itself, if it is one */
    bool stopped;           /* of a database: no more writes to it and its files */
    int error;              /* of a database: errno of the failure that stopped it, or 0 */
    bool holds;             /* of a database: writes to its log are held back until a sync */
    const char *name;       /* SQLite's, valid while the file is open; NULL for a nameless file */
    dev_t dev;
    ino_t ino;
    sqlite3_int64 end;      /* of what was read or written */
    bool synced;            /* nothing was written since */
    bool cut_off;           /* somebody else has made it shorter */
    sqlite3_int64 room;     /* of a log: it was at least that long when it was last looked at */
    struct data_held held;  /* of a log */
    sqlite3_file *log;      /* of a database: its log, while that is open */
    uint8_t head[HEAD];     /* of a log that this connection has begun; it has a random number */
    sqlite3_file beneath[]; /* the real file, of the size that its layer asks for */
};

static sqlite3_vfs guard_vfs, *base_vfs;

/* process-wide, like the layer */
static void (*watcher)(void *data);
static void *watcher_data;

void data_watch(void (*alive)(void *data), void *data)
{
    watcher = alive;
    watcher_data = data;
}

static void show_alive(void)
{
    if (watcher != NULL)
        watcher(watcher_data);
}

static struct guarded_file *guarded(sqlite3_file *file)
{
    return container_of(file, struct guarded_file, base);
}

static sqlite3_file *real(sqlite3_file *file)
{
    return guarded(file)->beneath;
}

static bool is_stopped(sqlite3_file *file)
{
    sqlite3_file *database = guarded(file)->database;
    return database != NULL && guarded(database)->stopped;
}

static int last_error(sqlite3_file *file)
{
    int error = 0;
    if (real(file)->pMethods->xFileControl(real(file), SQLITE_FCNTL_LAST_ERRNO, &error) !=
        SQLITE_OK)
        return 0;
    return error;
}

/* @return rc; stops the database if rc is a failure other than a full disk */
static int stop_if_failed(sqlite3_file *file, int rc)
{
    sqlite3_file *database = guarded(file)->database;
#ifdef JOURNAL_MUTANT_RETRY_COMMIT
    database = NULL;
#endif
    if (rc != SQLITE_OK && rc != SQLITE_FULL && database != NULL) {
        guarded(database)->stopped = true;
        guarded(database)->error = last_error(file);
    }
    return rc;
}

/* What is still held belongs to no commit. */
static int guard_close(sqlite3_file *file)
{
    sqlite3_file *database = guarded(file)->database;
    if (database != NULL && guarded(database)->log == file)
        guarded(database)->log = NULL;
    data_held_drop(&guarded(file)->held);
    return real(file)->pMethods->xClose(real(file));
}

static int write_held(sqlite3_file *file);

static int guard_read(sqlite3_file *file, void *out, int amount, sqlite3_int64 offset)
{
    int rc = write_held(file);
    if (rc != SQLITE_OK)
        return rc;
    show_alive();
    rc = real(file)->pMethods->xRead(real(file), out, amount, offset);
    /* SQLite would call the file malformed. The disk did not even say what is in it. */
    return rc == SQLITE_IOERR_CORRUPTFS ? SQLITE_IOERR_READ : rc;
}

/* A quota and a limit of the file's size are like a full disk: nothing was written, and room may
 * come. SQLite knows ENOSPC only. */
static bool was_without_room(sqlite3_file *file)
{
    int error = last_error(file);
    return error == EDQUOT || error == EFBIG;
}

static int guard_size(sqlite3_file *file, sqlite3_int64 *size);

/*
 * Whether the name of the file leads to it, and its size. A symbolic link would do now, but the
 * next start would look for the log beside the link's target.
 *
 * It does not ask for the times, for it is called with each commit: Linux gives a file whose times
 * were read another time with its next write, and ext4 without a journal lets fdatasync() write the
 * inode, too, if it has changed.
 */
static bool leads_to(const struct guarded_file *file, struct statx *st)
{
    return file->name != NULL &&
           statx(AT_FDCWD, file->name, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_SIZE, st) == 0 &&
           makedev(st->stx_dev_major, st->stx_dev_minor) == file->dev && st->stx_ino == file->ino;
}

/* SQLite's own function asks for the times. */
static bool size_of(sqlite3_file *file, sqlite3_int64 *size)
{
    struct statx st;
    if (!leads_to(guarded(file), &st))
        return guard_size(file, size) == SQLITE_OK;
    *size = (sqlite3_int64)st.stx_size;
    return true;
}

/* Before the first write behind a sync: whether somebody has made the file shorter. Behind that
 * write it is as long as it should be, with a hole. A log that begins anew may be shorter, and that
 * is no harm: here, or by a program that has written to the database meanwhile. */
static void look_for_cut(sqlite3_file *file, sqlite3_int64 offset)
{
    struct guarded_file *guard = guarded(file);
    sqlite3_int64 size;
    uint8_t head[HEAD];
    bool look = offset != 0 && guard->synced;
    guard->synced = false;
    if (!look || !size_of(file, &size) || size >= guard->end)
        return;
    guard->cut_off = guard->database == file || guard_read(file, head, HEAD, 0) != SQLITE_OK ||
                     memcmp(head, guard->head, HEAD) == 0;
    guard->end = size;
}

static void note_end(sqlite3_file *file, const void *data, int amount, sqlite3_int64 offset)
{
    struct guarded_file *guard = guarded(file);
    if (offset == 0 && amount >= HEAD)
        memcpy(guard->head, data, HEAD);
    bool anew = offset == 0 && guard->database != file;
    guard->end = anew ? amount : MAX(guard->end, offset + amount);
}

/* Only the log of a connection that syncs it at the end of each commit: until then nobody else
 * reads what the commit has written. */
static bool holds_writes(sqlite3_file *file)
{
    sqlite3_file *database = guarded(file)->database;
    return database != NULL && database != file && guarded(database)->holds;
}

/* In pieces that SQLite's own layer writes at once: it takes less than 128 KiB. */
static int write_zeros(sqlite3_file *file, sqlite3_int64 from, sqlite3_int64 to)
{
    static const uint8_t zeros[64 << 10];
    int rc = SQLITE_OK;
    for (sqlite3_int64 len; rc == SQLITE_OK && from != to; from += len) {
        len = MIN((sqlite3_int64)sizeof(zeros), to - from);
        show_alive();
        rc = real(file)->pMethods->xWrite(real(file), zeros, (int)len, from);
    }
    return rc;
}

/*
 * A log that is about to become longer becomes longer by many commits' worth of zeros. A sync takes
 * twice as long where the length has changed, for the file system has a log of its own. SQLite
 * takes zeros for the end of a log. Without room for them the log grows by what is written.
 *
 * A log's head is written before, and synced (so this is only for a connection that syncs). Else
 * zeros could be on the disk where an older head still is, and what is left of its commits would be
 * replayed.
 */
static int lengthen_log(sqlite3_file *file, sqlite3_int64 offset, sqlite3_int64 end)
{
    struct guarded_file *guard = guarded(file);
    sqlite3_int64 size;
    if (!holds_writes(file))
        return SQLITE_OK;
    if (offset == 0) /* it begins anew, and another program may have made it shorter */
        guard->room = 0;
    if (offset == 0 || end <= guard->room)
        return SQLITE_OK;
    int rc = real(file)->pMethods->xFileSize(real(file), &size);
    if (rc != SQLITE_OK)
        return rc;
    guard->room = end <= size ? size : roundup(end, LOG_STEP);
    if (end <= size)
        return SQLITE_OK;
    rc = write_zeros(file, size, guard->room);
    if (rc == SQLITE_FULL || (rc == SQLITE_IOERR_WRITE && was_without_room(file))) {
        /* No more tries before it begins anew: each would fill the disk. */
        guard->room = INT64_MAX;
        rc = real(file)->pMethods->xTruncate(real(file), size);
    }
    return rc;
}

static int write_through(sqlite3_file *file, const void *data, int amount, sqlite3_int64 offset)
{
    if (is_stopped(file))
        return SQLITE_IOERR_WRITE;
    show_alive();
    look_for_cut(file, offset);
    int rc = lengthen_log(file, offset, offset + amount);
    if (rc == SQLITE_OK)
        rc = real(file)->pMethods->xWrite(real(file), data, amount, offset);
    if (rc == SQLITE_IOERR_WRITE && was_without_room(file))
        rc = SQLITE_FULL;
    if (rc == SQLITE_OK) {
        data_count_bytes((uint64_t)amount);
        note_end(file, data, amount, offset);
    }
    return stop_if_failed(file, rc);
}

static int write_held(sqlite3_file *file)
{
    struct data_held *held = &guarded(file)->held;
    int len = held->len;
    held->len = 0; /* after a failure, too: the commit has failed */
    return len == 0 ? SQLITE_OK : write_through(file, held->bytes, len, held->offset);
}

static int guard_write(sqlite3_file *file, const void *data, int amount, sqlite3_int64 offset)
{
    if (is_stopped(file))
        return SQLITE_IOERR_WRITE;
    struct data_held *held = &guarded(file)->held;
    if (holds_writes(file) && data_held_take(held, data, amount, offset))
        return SQLITE_OK;
    int rc = write_held(file);
    if (rc != SQLITE_OK || (holds_writes(file) && data_held_take(held, data, amount, offset)))
        return rc;
    return write_through(file, data, amount, offset);
}

static int guard_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = write_held(file);
    if (rc != SQLITE_OK)
        return rc;
    if (is_stopped(file))
        return SQLITE_IOERR_TRUNCATE;
    guarded(file)->end = MIN(guarded(file)->end, size);
    guarded(file)->room = MIN(guarded(file)->room, size);
    return stop_if_failed(file, real(file)->pMethods->xTruncate(real(file), size));
}

static int guard_sync(sqlite3_file *file, int flags)
{
    int rc = write_held(file);
    if (rc != SQLITE_OK)
        return rc;
    if (is_stopped(file))
        return SQLITE_IOERR_FSYNC;
    uint64_t begin = clock_monotonic_ns();
    show_alive();
    rc = real(file)->pMethods->xSync(real(file), flags);
    if (rc == SQLITE_OK) {
        data_count_sync(clock_monotonic_ns() - begin);
        guarded(file)->synced = true;
        return SQLITE_OK;
    }
#ifdef JOURNAL_MUTANT_RETRY_SYNC
    if (real(file)->pMethods->xSync(real(file), flags) == SQLITE_OK)
        return SQLITE_OK;
#endif
    /* Even with ENOSPC: pages that were written earlier are lost. */
    return stop_if_failed(file, SQLITE_IOERR_FSYNC);
}

static int guard_size(sqlite3_file *file, sqlite3_int64 *size)
{
    int rc = write_held(file);
    if (rc != SQLITE_OK)
        return rc;
    return real(file)->pMethods->xFileSize(real(file), size);
}

static int guard_lock(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xLock(real(file), level);
}

static int guard_unlock(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xUnlock(real(file), level);
}

static int guard_reserved(sqlite3_file *file, int *reserved)
{
    return real(file)->pMethods->xCheckReservedLock(real(file), reserved);
}

static int guard_control(sqlite3_file *file, int operation, void *argument)
{
    return real(file)->pMethods->xFileControl(real(file), operation, argument);
}

static int guard_sector_size(sqlite3_file *file)
{
    return real(file)->pMethods->xSectorSize(real(file));
}

static int guard_traits(sqlite3_file *file)
{
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static int guard_shm_map(sqlite3_file *file, int region, int size, int extend,
                         void volatile **memory)
{
    return real(file)->pMethods->xShmMap(real(file), region, size, extend, memory);
}

/* A commit is synced before its transaction ends. So what is held then was rolled back, and must
 * not be written any more: from now on others may write at the same place of the log. */
static int guard_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    enum { WRITER = 0 }; /* of the log's locks: the one of a transaction that writes */
    sqlite3_file *log = guarded(file)->log;
    if (log != NULL && offset == WRITER && (flags & SQLITE_SHM_UNLOCK) != 0)
        guarded(log)->held.len = 0;
    return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}

static void guard_shm_barrier(sqlite3_file *file)
{
    real(file)->pMethods->xShmBarrier(real(file));
}

static int guard_shm_unmap(sqlite3_file *file, int remove)
{
    return real(file)->pMethods->xShmUnmap(real(file), remove);
}

/* Version 2: without xFetch(), for no file is mapped (PRAGMA mmap_size=0). */
static const sqlite3_io_methods guard_methods = {
    .iVersion = 2,
    .xClose = guard_close,
    .xRead = guard_read,
    .xWrite = guard_write,
    .xTruncate = guard_truncate,
    .xSync = guard_sync,
    .xFileSize = guard_size,
    .xLock = guard_lock,
    .xUnlock = guard_unlock,
    .xCheckReservedLock = guard_reserved,
    .xFileControl = guard_control,
    .xSectorSize = guard_sector_size,
    .xDeviceCharacteristics = guard_traits,
    .xShmMap = guard_shm_map,
    .xShmLock = guard_shm_lock,
    .xShmBarrier = guard_shm_barrier,
    .xShmUnmap = guard_shm_unmap,
};

static int guard_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                      int *out_flags)
{
    struct guarded_file *guard = guarded(file);
    (void)vfs;
    memset(guard, 0, sizeof(*guard));
    if (flags & SQLITE_OPEN_MAIN_DB)
        guard->database = file;
    else if (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL))
        guard->database = sqlite3_database_file_object(name);
    int rc = base_vfs->xOpen(base_vfs, name, guard->beneath, flags, out_flags);
    /* A layer sets the methods if xClose() is to be called, even after a failure. */
    file->pMethods = guard->beneath[0].pMethods == NULL ? NULL : &guard_methods;
    struct stat st;
    if (rc == SQLITE_OK && name != NULL && lstat(name, &st) == 0) {
        guard->name = name;
        guard->dev = st.st_dev;
        guard->ino = st.st_ino;
        guard->end = st.st_size;
    }
    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0 && guard->database != NULL)
        guarded(guard->database)->log = file;
    return rc;
}

const char *data_vfs_name(void)
{
    static const char name[] = "rosterd";
    if (base_vfs != NULL)
        return name;
    /* SQLite's messages say less than our faults, and would have no place to go. */
    sqlite3_config(SQLITE_CONFIG_LOG, NULL, NULL);
    /* Nobody asks how much memory it has, and keeping that number costs a lock each time. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    data_memory_configure();
    sqlite3_vfs *found = sqlite3_vfs_find(NULL);
    if (found == NULL)
        return NULL;
    /* The functions that are copied use no more of their layer than its pAppData. */
    guard_vfs = *found;
    guard_vfs.pNext = NULL;
    guard_vfs.zName = name;
    guard_vfs.szOsFile = (int)sizeof(struct guarded_file) + found->szOsFile;
    guard_vfs.xOpen = guard_open;
    if (sqlite3_vfs_register(&guard_vfs, 0) != SQLITE_OK)
        return NULL;
    base_vfs = found;
    return name;
}

static struct guarded_file *file_of(sqlite3 *db, int which)
{
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(db, "main", which, &file) != SQLITE_OK || file == NULL ||
        file->pMethods != &guard_methods)
        return NULL;
    return guarded(file);
}

void data_vfs_hold_log(sqlite3 *db)
{
    struct guarded_file *file = file_of(db, SQLITE_FCNTL_FILE_POINTER);
    if (file != NULL)
        file->holds = true;
}

void data_vfs_stop(sqlite3 *db)
{
    struct guarded_file *file = file_of(db, SQLITE_FCNTL_FILE_POINTER);
    if (file != NULL)
        file->stopped = true;
}

int data_vfs_error(sqlite3 *db)
{
    struct guarded_file *file = file_of(db, SQLITE_FCNTL_FILE_POINTER);
    return file == NULL ? 0 : file->error;
}

static bool is_in_place(const struct guarded_file *file)
{
    struct statx st;
    return file != NULL && leads_to(file, &st) && !file->cut_off &&
           (file->database != &file->base || (sqlite3_int64)st.stx_size >= file->end);
}

bool data_vfs_database_in_place(sqlite3 *db)
{
    return is_in_place(file_of(db, SQLITE_FCNTL_FILE_POINTER));
}

bool data_vfs_log_in_place(sqlite3 *db)
{
    return is_in_place(file_of(db, SQLITE_FCNTL_JOURNAL_POINTER));
}

static int sync_file_of(sqlite3 *db, int which)
{
    struct guarded_file *file = file_of(db, which);
    return file == NULL ? SQLITE_IOERR_FSYNC : guard_sync(&file->base, SQLITE_SYNC_NORMAL);
}

int data_vfs_sync_log(sqlite3 *db)
{
    return sync_file_of(db, SQLITE_FCNTL_JOURNAL_POINTER);
}

int data_vfs_sync_database(sqlite3 *db)
{
    return sync_file_of(db, SQLITE_FCNTL_FILE_POINTER);
}

int data_vfs_rewrite_log(sqlite3 *db)
{
    enum { REWRITE_SYNC_BYTES = 64 << 20 }; /* so that no sync has gigabytes to write */
    uint8_t bytes[32768];
    sqlite3_int64 size = 0;
    struct guarded_file *file = file_of(db, SQLITE_FCNTL_JOURNAL_POINTER);
    int rc = file == NULL ? SQLITE_IOERR_READ : guard_size(&file->base, &size);
    for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += (sqlite3_int64)sizeof(bytes)) {
        int amount = (int)MIN((sqlite3_int64)sizeof(bytes), size - at);
        rc = guard_read(&file->base, bytes, amount, at);
        if (rc == SQLITE_OK)
            rc = guard_write(&file->base, bytes, amount, at);
        if (rc == SQLITE_OK && (at + amount) % REWRITE_SYNC_BYTES == 0)
            rc = guard_sync(&file->base, SQLITE_SYNC_NORMAL);
    }
    return rc == SQLITE_OK ? guard_sync(&file->base, SQLITE_SYNC_NORMAL) : rc;
}
