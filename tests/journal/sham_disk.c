/* SPDX-License-Identifier: MIT */
#include "tests/journal/sham_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "journal/data_os.h"
#include "tests/journal/data_support.h"
#include "tests/journal/disk_record.h"

struct sham_file {
    sqlite3_file base;
    char name[64]; /* without the directory; "" for files that are left alone */
    sqlite3_file beneath[];
};

static sqlite3_vfs sham_vfs, *unix_vfs;
static struct data_os unix_os;

static struct {
    enum disk_call call;
    unsigned left; /* until the call that fails; 0: none fails */
    bool later, failed, paused;
    int error;
} plan;
static bool is_bad; /* the database has failed in a way after which nothing may be written */
static unsigned later_writes;

void disk_fail(enum disk_call call, unsigned nth, bool all_later_ones, int error)
{
    plan.call = call;
    plan.left = nth;
    plan.later = all_later_ones;
    plan.error = error;
    plan.failed = false;
}

void disk_mend(void)
{
    plan.left = 0;
}

void disk_pause(bool pause)
{
    plan.paused = pause;
}

bool disk_failed(void)
{
    return plan.failed;
}

unsigned disk_later_writes(void)
{
    return later_writes;
}

void disk_forgive(void)
{
    is_bad = false;
    later_writes = 0;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool is_database_or_log(const char *name)
{
    return strcmp(name, name_of(data_file_name)) == 0 || strcmp(name, "rosterd.db-wal") == 0;
}

/* @return whether this call fails */
static bool fails(enum disk_call call)
{
    if (plan.left == 0 || plan.call != call || plan.paused)
        return false;
    if (plan.left > 1) {
        plan.left--;
        return false;
    }
    if (!plan.later)
        plan.left = 0;
    plan.failed = true;
    return true;
}

/* As fails(), for calls that change a file. */
static bool change_fails(enum disk_call call, const char *name)
{
    if (is_bad && is_database_or_log(name))
        later_writes++;
    if (!fails(call))
        return false;
    if (is_database_or_log(name) && (plan.error != ENOSPC || call == DISK_SYNC))
        is_bad = true;
    errno = plan.error;
    return true;
}

static struct sham_file *sham(sqlite3_file *file)
{
    return (struct sham_file *)file;
}

static sqlite3_file *below(sqlite3_file *file)
{
    return sham(file)->beneath;
}

static int sham_close(sqlite3_file *file)
{
    return below(file)->pMethods->xClose(below(file));
}

static int sham_read(sqlite3_file *file, void *out, int amount, sqlite3_int64 offset)
{
    if (fails(DISK_READ)) {
        errno = EIO;
        return SQLITE_IOERR_READ;
    }
    return below(file)->pMethods->xRead(below(file), out, amount, offset);
}

static int sham_write(sqlite3_file *file, const void *data, int amount, sqlite3_int64 offset)
{
    if (change_fails(DISK_WRITE, sham(file)->name)) {
        below(file)->pMethods->xWrite(below(file), data, amount / 2, offset);
        errno = plan.error;
        return plan.error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    record_write(sham(file)->name, data, (size_t)amount, (uint64_t)offset);
    return below(file)->pMethods->xWrite(below(file), data, amount, offset);
}

static int sham_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (change_fails(DISK_TRUNCATE, sham(file)->name))
        return SQLITE_IOERR_TRUNCATE;
    record_truncate(sham(file)->name, (uint64_t)size);
    return below(file)->pMethods->xTruncate(below(file), size);
}

static int sham_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    if (change_fails(DISK_SYNC, sham(file)->name)) {
        record_failed_sync(sham(file)->name);
        return SQLITE_IOERR_FSYNC;
    }
    record_sync(sham(file)->name);
    return SQLITE_OK;
}

static int sham_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return below(file)->pMethods->xFileSize(below(file), size);
}

static int sham_lock(sqlite3_file *file, int level)
{
    return below(file)->pMethods->xLock(below(file), level);
}

static int sham_unlock(sqlite3_file *file, int level)
{
    return below(file)->pMethods->xUnlock(below(file), level);
}

static int sham_reserved(sqlite3_file *file, int *reserved)
{
    return below(file)->pMethods->xCheckReservedLock(below(file), reserved);
}

static int sham_control(sqlite3_file *file, int operation, void *argument)
{
    if (operation == SQLITE_FCNTL_LAST_ERRNO && plan.failed) {
        *(int *)argument = plan.error;
        return SQLITE_OK;
    }
    return below(file)->pMethods->xFileControl(below(file), operation, argument);
}

static int sham_sector_size(sqlite3_file *file)
{
    return below(file)->pMethods->xSectorSize(below(file));
}

static int sham_traits(sqlite3_file *file)
{
    return below(file)->pMethods->xDeviceCharacteristics(below(file));
}

static int sham_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    return below(file)->pMethods->xShmMap(below(file), region, size, extend, out);
}

static int sham_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return below(file)->pMethods->xShmLock(below(file), offset, count, flags);
}

static void sham_shm_barrier(sqlite3_file *file)
{
    below(file)->pMethods->xShmBarrier(below(file));
}

static int sham_shm_unmap(sqlite3_file *file, int remove)
{
    return below(file)->pMethods->xShmUnmap(below(file), remove);
}

static const sqlite3_io_methods sham_methods = {
    .iVersion = 2,
    .xClose = sham_close,
    .xRead = sham_read,
    .xWrite = sham_write,
    .xTruncate = sham_truncate,
    .xSync = sham_sync,
    .xFileSize = sham_size,
    .xLock = sham_lock,
    .xUnlock = sham_unlock,
    .xCheckReservedLock = sham_reserved,
    .xFileControl = sham_control,
    .xSectorSize = sham_sector_size,
    .xDeviceCharacteristics = sham_traits,
    .xShmMap = sham_shm_map,
    .xShmLock = sham_shm_lock,
    .xShmBarrier = sham_shm_barrier,
    .xShmUnmap = sham_shm_unmap,
};

static int sham_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                     int *out_flags)
{
    (void)vfs;
    memset(sham(file), 0, sizeof(struct sham_file));
    if (name != NULL) {
        snprintf(sham(file)->name, sizeof(sham(file)->name), "%s", name_of(name));
        record_open(sham(file)->name);
    }
    int rc = unix_vfs->xOpen(unix_vfs, name, below(file), flags, out_flags);
    file->pMethods = below(file)->pMethods == NULL ? NULL : &sham_methods;
    return rc;
}

static int sham_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    if (change_fails(DISK_DELETE, name_of(name)))
        return SQLITE_IOERR_DELETE;
    int rc = unix_vfs->xDelete(unix_vfs, name, 0);
    if (rc == SQLITE_OK)
        record_unlink(name_of(name));
    if (rc == SQLITE_OK && sync_folder)
        record_sync_folder();
    return rc;
}

static int sham_create(const char *path)
{
    if (change_fails(DISK_CREATE, ""))
        return -1;
    int result = unix_os.create(path);
    if (result == 0)
        record_open(name_of(path));
    return result;
}

static int sham_rename(const char *from, const char *to)
{
    if (change_fails(DISK_RENAME, ""))
        return -1;
    int result = unix_os.rename(from, to);
    if (result == 0)
        record_rename(name_of(from), name_of(to));
    if (result == 0 && strcmp(to, data_file_name) == 0)
        is_bad = false;
    return result;
}

static int sham_unlink(const char *path)
{
    if (change_fails(DISK_UNLINK, ""))
        return -1;
    int result = unix_os.unlink(path);
    if (result == 0)
        record_unlink(name_of(path));
    return result;
}

static int sham_sync_folder(const char *path)
{
    (void)path;
    if (change_fails(DISK_SYNC_FOLDER, ""))
        return -1;
    record_sync_folder();
    return 0;
}

static sqlite3_mem_methods real_memory;

static void *sham_malloc(int size)
{
    return fails(DISK_MEMORY) ? NULL : real_memory.xMalloc(size);
}

static void *sham_realloc(void *old, int size)
{
    return fails(DISK_MEMORY) ? NULL : real_memory.xRealloc(old, size);
}

void disk_install(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    sqlite3_mem_methods memory = real_memory;
    memory.xMalloc = sham_malloc;
    memory.xRealloc = sham_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &memory);
    unix_vfs = sqlite3_vfs_find(NULL);
    sham_vfs = *unix_vfs;
    sham_vfs.pNext = NULL;
    sham_vfs.zName = "sham";
    sham_vfs.szOsFile = (int)sizeof(struct sham_file) + unix_vfs->szOsFile;
    sham_vfs.xOpen = sham_open;
    sham_vfs.xDelete = sham_delete;
    sqlite3_vfs_register(&sham_vfs, 1);
    unix_os = data_os;
    data_os =
        (struct data_os){sham_create, sham_rename, sham_unlink, sham_sync_folder, unix_os.link};
}
