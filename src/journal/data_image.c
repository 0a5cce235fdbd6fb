/* SPDX-License-Identifier: MIT */
#include "journal/data_image.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/container_of.h"
#include "journal/data_vfs.h"

/* The two bytes of a database's header that say whether it has a write-ahead log. */
enum { MARK_AT = 18, MARK_LEN = 2, MARK_LOG = 2, MARK_NO_LOG = 1 };

struct image_file {
    sqlite3_file base; /* first: SQLite sees this */
    struct data_image *image;
};

static sqlite3_vfs image_vfs;
static struct data_image *opening; /* what the next image_open() opens */

static struct data_image *image_of(sqlite3_file *file)
{
    return container_of(file, struct image_file, base)->image;
}

static int image_close(sqlite3_file *file)
{
    (void)file;
    return SQLITE_OK;
}

/* @return the bytes read, fewer at the end of the file; -1 with errno */
static ssize_t read_fully(int fd, char *out, size_t amount, off_t offset)
{
    size_t got = 0;
    while (got < amount) {
        ssize_t len = pread(fd, out + got, amount - got, offset + (off_t)got);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return -1;
        if (len == 0)
            break;
        got += (size_t)len;
    }
    return (ssize_t)got;
}

/* A file that was kept as it was has the mark for a write-ahead log, which an image cannot have. */
static void hide_mark(char *out, int amount, sqlite3_int64 offset)
{
    for (int i = MARK_AT; i < MARK_AT + MARK_LEN; i++)
        if (i >= offset && i < offset + amount && out[i - offset] == MARK_LOG)
            out[i - offset] = MARK_NO_LOG;
}

static int image_read(sqlite3_file *file, void *out, int amount, sqlite3_int64 offset)
{
    struct data_image *image = image_of(file);
    enum { READS_A_SIGN = 256 };
    if (image->total != 0 && ++image->pages_read % READS_A_SIGN == 0 && image->progress != NULL &&
        !image->progress(image->data, MIN(image->pages_read, image->total), image->total))
        image->stopped = true;
    if (image->stopped)
        return SQLITE_IOERR_READ;
    ssize_t got = read_fully(image->fd, out, (size_t)amount, offset);
    if (got < 0)
        return SQLITE_IOERR_READ;
    memset((char *)out + got, 0, (size_t)(amount - got));
    hide_mark(out, (int)got, offset);
    return got == amount ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int image_write(sqlite3_file *file, const void *data, int amount, sqlite3_int64 offset)
{
    size_t done = 0;
    while (done < (size_t)amount) {
        ssize_t len = pwrite(image_of(file)->fd, (const char *)data + done, (size_t)amount - done,
                             offset + (off_t)done);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? SQLITE_FULL
                                                                        : SQLITE_IOERR_WRITE;
        done += (size_t)len;
    }
    return SQLITE_OK;
}

static int image_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return ftruncate(image_of(file)->fd, size) == 0 ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

/* The caller syncs the file when it is whole. */
static int image_sync(sqlite3_file *file, int flags)
{
    (void)file;
    (void)flags;
    return SQLITE_OK;
}

static int image_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct stat st;
    if (fstat(image_of(file)->fd, &st) != 0)
        return SQLITE_IOERR_FSTAT;
    *size = st.st_size;
    return SQLITE_OK;
}

static int image_lock(sqlite3_file *file, int level)
{
    (void)file;
    (void)level;
    return SQLITE_OK;
}

static int image_reserved(sqlite3_file *file, int *reserved)
{
    (void)file;
    *reserved = 0;
    return SQLITE_OK;
}

static int image_control(sqlite3_file *file, int operation, void *argument)
{
    (void)file;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int image_number(sqlite3_file *file)
{
    (void)file;
    return 0; /* the usual sectors, no traits */
}

/* Version 1: without a write-ahead log. */
static const sqlite3_io_methods image_methods = {
    .iVersion = 1,
    .xClose = image_close,
    .xRead = image_read,
    .xWrite = image_write,
    .xTruncate = image_truncate,
    .xSync = image_sync,
    .xFileSize = image_size,
    .xLock = image_lock,
    .xUnlock = image_lock,
    .xCheckReservedLock = image_reserved,
    .xFileControl = image_control,
    .xSectorSize = image_number,
    .xDeviceCharacteristics = image_number,
};

static int image_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                      int *out_flags)
{
    struct image_file *opened = container_of(file, struct image_file, base);
    (void)vfs;
    (void)name;
    file->pMethods = NULL;
    if (opening == NULL || !(flags & SQLITE_OPEN_MAIN_DB))
        return SQLITE_CANTOPEN;
    opened->image = opening;
    file->pMethods = &image_methods;
    if (out_flags != NULL)
        *out_flags = flags;
    return SQLITE_OK;
}

static int image_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    (void)name;
    (void)sync_folder;
    return SQLITE_OK;
}

static int image_access(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
    (void)vfs;
    (void)name;
    (void)flags;
    *result = 0; /* no journal, no log */
    return SQLITE_OK;
}

static int image_full_name(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
    (void)vfs;
    sqlite3_snprintf(size, out, "%s", name);
    return SQLITE_OK;
}

static const char *image_vfs_name(void)
{
    static const char name[] = "rosterd-image";
    if (image_vfs.zName != NULL)
        return name;
    if (data_vfs_name() == NULL) /* it configures SQLite */
        return NULL;
    /* The rest of it: random numbers, the time, sleeping. */
    sqlite3_vfs *found = sqlite3_vfs_find(NULL);
    if (found == NULL)
        return NULL;
    image_vfs = *found;
    image_vfs.pNext = NULL;
    image_vfs.szOsFile = (int)sizeof(struct image_file);
    image_vfs.xOpen = image_open;
    image_vfs.xDelete = image_delete;
    image_vfs.xAccess = image_access;
    image_vfs.xFullPathname = image_full_name;
    image_vfs.zName = name;
    if (sqlite3_vfs_register(&image_vfs, 0) == SQLITE_OK)
        return name;
    image_vfs.zName = NULL;
    return NULL;
}

enum data_result data_image_connect(struct data_image *image, enum data_access access, sqlite3 **db,
                                    struct fault *fault)
{
    assert(access != DATA_ACCESS_WRITE);
    const char *vfs = image_vfs_name();
    *db = NULL;
    if (vfs == NULL)
        return data_sqlite_fault(NULL, image->name, SQLITE_NOMEM, "open it", fault);
    opening = image;
    enum data_result result = data_connect_by(db, image->name, vfs, access, fault);
    opening = NULL;
    return result;
}

static enum data_result set_stopped(const struct data_image *image, struct fault *fault)
{
    fault_set(fault, "%s: interrupted", image->name);
    return DATA_FAILED;
}

enum data_result data_image_show(struct data_image *image, uint64_t done, uint64_t total,
                                 struct fault *fault)
{
    if (image->progress == NULL || image->progress(image->data, done, total))
        return DATA_OK;
    image->stopped = true;
    return set_stopped(image, fault);
}

enum data_result data_image_fault(const struct data_image *image, sqlite3 *db, int rc,
                                  const char *what, struct fault *fault)
{
    return image->stopped ? set_stopped(image, fault)
                          : data_sqlite_fault(db, image->name, rc, what, fault);
}

bool data_image_unmark(const struct data_image *image)
{
    static const char mark[MARK_LEN] = {MARK_NO_LOG, MARK_NO_LOG};
    return pwrite(image->fd, mark, sizeof(mark), MARK_AT) == (ssize_t)sizeof(mark);
}
