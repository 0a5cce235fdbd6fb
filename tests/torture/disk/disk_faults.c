/* SPDX-License-Identifier: MIT */
/*
 * Linked into a rosterd of the tests: the system calls by which data reaches the disk, with faults,
 * and with a record of what the disk has.
 *
 * Faults: the tests and the processes share a board. Of the journal's calls of some kinds, those
 * from `first` to `last` fail. The second slot counts only when the first has failed a call: so a
 * test can let the replacement of a failed file fail, too. A file of which a sync failed, or a
 * write other than for lack of room, must not be written any more: the board counts where it is.
 * Syncs can be slow, so that a disaster is almost certain to meet one.
 *
 * Shadows: for each file, DISK_SHADOWS has a file of its inode's number with what a power cut would
 * leave. A write gets there by a successful sync only. After a sync that failed, the kernel takes
 * what was written for clean, and a later sync does not write it: so it never gets there, unless it
 * is written again. What a process has not synced when it dies gets there no more, even if another
 * process syncs that file: so no test of shadows kills the journal alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum fault_kind {
    FAULT_WRITE = 1,
    FAULT_SYNC = 2,
    FAULT_RENAME = 4,
    FAULT_UNLINK = 8,
    FAULT_TRUNCATE = 16,
    FAULT_READ = 32
};

/* main.py has the layout, too. */
struct fault_slot {
    uint64_t kinds, error, first, last; /* written by the test */
    uint64_t calls, failed;
};
enum { FAILED_MAX = 16, FILES_MAX = 32, COPY_SIZE = 1 << 16 };

struct fault_board {
    uint64_t armed;
    struct fault_slot slots[2];
    uint64_t late_writes;        /* to files that have failed */
    uint64_t failed[FAILED_MAX]; /* their inodes, or 0 */
    uint64_t sync_delay_us;      /* before each sync of the journal */
};

struct dirty_range {
    off_t from, end;
};
struct dirty_file {
    dev_t dev;
    ino_t ino;
    struct dirty_range *ranges;
    size_t num_ranges, max_ranges;
};

static struct fault_board *board;
static const char *shadows;
static struct dirty_file dirty_files[FILES_MAX];

__attribute__((constructor)) static void find_board(void)
{
    const char *name = getenv("DISK_FAULTS");
    shadows = getenv("DISK_SHADOWS");
    if (name == NULL)
        return;
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        abort();
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (board == MAP_FAILED)
        abort();
    close(fd);
}

/* ---- faults ---- */

static bool is_journal(void)
{
    char name[16] = "";
    return prctl(PR_GET_NAME, name) == 0 && strcmp(name, "rosterd-journal") == 0;
}

static bool slot_fires(struct fault_slot *slot, enum fault_kind kind)
{
    if (!(slot->kinds & kind))
        return false;
    uint64_t call = ++slot->calls;
    if (call < slot->first || call > slot->last)
        return false;
    slot->failed++;
    errno = (int)slot->error;
    return true;
}

/* @return true with errno: the call must fail */
static bool fault_due(enum fault_kind kind)
{
    if (board == NULL || !__atomic_load_n(&board->armed, __ATOMIC_ACQUIRE) || !is_journal())
        return false;
    bool second = board->slots[0].failed != 0;
    if (slot_fires(&board->slots[0], kind))
        return true;
    return second && slot_fires(&board->slots[1], kind);
}

/* Replaces the inode `from` in the list of those that have failed. @return whether it was there */
static bool exchange_failed(uint64_t from, uint64_t to)
{
    for (unsigned i = 0; board != NULL && i < FAILED_MAX; i++) {
        if (board->failed[i] == from) {
            board->failed[i] = to;
            return true;
        }
    }
    return false;
}

static void note_failed(int fd)
{
    struct stat st;
    int error = errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !exchange_failed(st.st_ino, st.st_ino) &&
        !exchange_failed(0, st.st_ino))
        abort();
    errno = error;
}

static void note_write(int fd)
{
    struct stat st;
    if (board != NULL && fstat(fd, &st) == 0 && exchange_failed(st.st_ino, st.st_ino))
        board->late_writes++;
}

/* ---- shadows ---- */

static void shadow_name(char name[PATH_MAX], ino_t ino)
{
    snprintf(name, PATH_MAX, "%s/%llu", shadows, (unsigned long long)ino);
}

static struct dirty_file *find_dirty(const struct stat *st)
{
    struct dirty_file *unused = NULL;
    for (struct dirty_file *file = dirty_files; file < dirty_files + FILES_MAX; file++) {
        if (file->ino == st->st_ino && file->dev == st->st_dev)
            return file;
        if (file->num_ranges == 0)
            unused = file;
    }
    if (unused == NULL)
        abort();
    unused->dev = st->st_dev;
    unused->ino = st->st_ino;
    return unused;
}

static void copy_range(int from, int to, off_t at, off_t end)
{
    static char buffer[COPY_SIZE];
    while (at < end) {
        size_t size = end - at < COPY_SIZE ? (size_t)(end - at) : COPY_SIZE;
        ssize_t got = syscall(SYS_pread64, from, buffer, size, at);
        if (got <= 0)
            return; /* the file is shorter now */
        if (syscall(SYS_pwrite64, to, buffer, got, at) != got)
            abort();
        at += got;
    }
}

/* What lies in a file that has no shadow yet was there at the start, so it is on disk. */
static int open_shadow(int fd, const struct stat *st)
{
    char name[PATH_MAX], own[64];
    shadow_name(name, st->st_ino);
    int shadow = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (shadow < 0)
        return open(name, O_WRONLY | O_CLOEXEC);
    snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
    int from = open(own, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        abort();
    copy_range(from, shadow, 0, st->st_size);
    close(from);
    return shadow;
}

static bool is_recorded(int fd, struct stat *st)
{
    return shadows != NULL && fstat(fd, st) == 0 && S_ISREG(st->st_mode);
}

static void before_change(int fd)
{
    struct stat st;
    if (!is_recorded(fd, &st))
        return;
    int error = errno;
    int shadow = open_shadow(fd, &st);
    if (shadow < 0)
        abort();
    close(shadow);
    errno = error;
}

static void note_dirty(int fd, off_t from, off_t end)
{
    struct stat st;
    if (!is_recorded(fd, &st))
        return;
    struct dirty_file *file = find_dirty(&st);
    if (file->num_ranges == file->max_ranges) {
        file->max_ranges = file->max_ranges * 2 + 64;
        file->ranges = realloc(file->ranges, file->max_ranges * sizeof(file->ranges[0]));
        if (file->ranges == NULL)
            abort();
    }
    file->ranges[file->num_ranges++] = (struct dirty_range){from, end};
}

static void after_sync(int fd, bool succeeded)
{
    struct stat st;
    char own[64];
    int error = errno;
    if (!is_recorded(fd, &st))
        return;
    struct dirty_file *file = find_dirty(&st);
    snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
    int from = open(own, O_RDONLY | O_CLOEXEC), shadow = open_shadow(fd, &st);
    if (from < 0 || shadow < 0)
        abort();
    for (size_t i = 0; succeeded && i < file->num_ranges; i++)
        copy_range(from, shadow, file->ranges[i].from, file->ranges[i].end);
    if (succeeded && syscall(SYS_ftruncate, shadow, st.st_size) != 0)
        abort();
    file->num_ranges = 0;
    close(shadow);
    close(from);
    errno = error;
}

/* The name is about to lose its file, and the inode's number may return. */
static void forget_shadow(const char *path)
{
    struct stat st;
    char name[PATH_MAX];
    if (shadows == NULL || lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    exchange_failed(st.st_ino, 0);
    shadow_name(name, st.st_ino);
    syscall(SYS_unlink, name);
    find_dirty(&st)->num_ranges = 0;
}

/* ---- the calls ---- */

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset)
{
    if (fault_due(FAULT_WRITE)) {
        if (errno != ENOSPC)
            note_failed(fd);
        return -1;
    }
    note_write(fd);
    before_change(fd);
    ssize_t written = syscall(SYS_pwrite64, fd, data, size, offset);
    if (written > 0)
        note_dirty(fd, offset, offset + written);
    return written;
}

ssize_t pread64(int fd, void *data, size_t size, off_t offset)
{
    if (fault_due(FAULT_READ))
        return -1;
    return syscall(SYS_pread64, fd, data, size, offset);
}

static int sync_by(long call, int fd)
{
    bool fails = fault_due(FAULT_SYNC);
    if (board != NULL && board->sync_delay_us != 0 && is_journal())
        usleep((useconds_t)board->sync_delay_us);
    int result = fails ? -1 : (int)syscall(call, fd);
    if (fails)
        note_failed(fd);
    after_sync(fd, result == 0);
    return result;
}

int fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

int ftruncate64(int fd, off_t size)
{
    if (fault_due(FAULT_TRUNCATE)) {
        note_failed(fd);
        return -1;
    }
    note_write(fd);
    before_change(fd);
    return (int)syscall(SYS_ftruncate, fd, size);
}

int rename(const char *from, const char *to)
{
    if (fault_due(FAULT_RENAME))
        return -1;
    forget_shadow(to);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    if (fault_due(FAULT_UNLINK))
        return -1;
    forget_shadow(path);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
