/* SPDX-License-Identifier: MIT */
/*
 * The ring has one producer, the worker, and one consumer, the thread.
 *
 * Only the worker stores head, the count of bytes appended. Only the thread stores tail, the count
 * of bytes taken. The worker's release store of head pairs with the thread's acquire load: all
 * bytes before head are written. The thread's release store of tail pairs with the worker's acquire
 * load: all bytes before tail may be overwritten.
 *
 * The thread sleeps on a semaphore. Before it sleeps, it sets `asleep` and then loads head once
 * more. The worker stores head and then loads `asleep`. Each side has a full fence between the two,
 * so at least one of them sees what the other one stored, and no line has to wait for the next one.
 */
#include "service/observe/access_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/output.h"

enum {
    BATCH_MS = 10,         /* how long the thread collects lines before it writes them */
    CHUNK_MAX = 64 * 1024, /* bytes of one write to a file; to a pipe ACCESS_LOG_LINE_MAX */
    RETRY_MS = 100, /* pause after a write to a non-blocking descriptor has failed (EAGAIN) */
};

/* Each side writes to a cache line of its own.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct access_log {
    int fd;
    bool json;
    /* written by the worker */
    _Alignas(64) uint64_t head;
    uint64_t tail_seen; /* an earlier value of tail, which spares loads of it */
    uint64_t dropped;   /* lines that found the ring full */
    bool added;         /* lines were appended since the last flush */
    bool hurried;       /* the thread was woken because the ring is half full */
    /* written by the thread */
    _Alignas(64) uint64_t tail;
    uint64_t failed;     /* lines whose write failed */
    int error;           /* errno of the last write that failed */
    uint64_t wait_until; /* ms of the monotonic clock; set by the worker before `stop` */
    size_t chunk_max;
    char *chunk;
    /* written by both */
    _Alignas(64) bool asleep, stop;
    sem_t wake;
    pthread_t thread;
    size_t size; /* bytes of the ring */
    char *ring;
};

/* ---- the worker ---- */

bool access_log_append(struct access_log *log, const char *line, size_t len)
{
    if (log->head + len - log->tail_seen > log->size) {
        log->tail_seen = __atomic_load_n(&log->tail, __ATOMIC_ACQUIRE);
        if (log->head + len - log->tail_seen > log->size) {
            log->dropped++;
            return false;
        }
    }
    assert(len <= ACCESS_LOG_LINE_MAX);
    size_t at = log->head & (log->size - 1), first = log->size - at;
    if (first >= len) {
        memcpy(log->ring + at, line, len);
    } else {
        memcpy(log->ring + at, line, first);
        memcpy(log->ring, line + first, len - first);
    }
    __atomic_store_n(&log->head, log->head + len, __ATOMIC_RELEASE);
    log->added = true;
    return true;
}

void access_log_flush(struct access_log *log)
{
    if (!log->added)
        return;
    log->added = false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&log->asleep, __ATOMIC_RELAXED)) {
        __atomic_store_n(&log->asleep, false, __ATOMIC_RELAXED);
        log->hurried = false;
        sem_post(&log->wake);
    } else if (log->head - log->tail_seen > log->size / 2) {
        log->tail_seen = __atomic_load_n(&log->tail, __ATOMIC_ACQUIRE);
        bool half_full = log->head - log->tail_seen > log->size / 2;
        if (half_full && !log->hurried)
            sem_post(&log->wake); /* do not wait for more lines */
        log->hurried = half_full;
    }
}

uint64_t access_log_dropped(const struct access_log *log)
{
    return log->dropped + __atomic_load_n(&log->failed, __ATOMIC_RELAXED);
}

int access_log_error(const struct access_log *log)
{
    return __atomic_load_n(&log->error, __ATOMIC_RELAXED);
}

bool access_log_json(const struct access_log *log)
{
    return log->json;
}

/* ---- the thread ---- */

/* Sleeps for `ms`, or until the worker wakes the thread. */
static void pause_ms(struct access_log *log, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    sem_clockwait(&log->wake, CLOCK_MONOTONIC, &until);
}

static uint64_t lines_in(const char *bytes, size_t len)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += bytes[i] == '\n';
    return lines;
}

/* The log ends, and the time for the last writes is over. */
static bool access_log_is_over(const struct access_log *log)
{
    return __atomic_load_n(&log->stop, __ATOMIC_ACQUIRE) && clock_monotonic_ms() >= log->wait_until;
}

/* Writes all lines. Those that cannot be written are counted. */
static void write_chunk(struct access_log *log, const char *bytes, size_t len)
{
    while (len != 0) {
        ssize_t written = write(log->fd, bytes, len);
        if (written < 0 && errno == EAGAIN && !access_log_is_over(log)) {
            pause_ms(log, RETRY_MS);
            continue;
        }
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            __atomic_store_n(&log->error, written < 0 ? errno : ENOSPC, __ATOMIC_RELAXED);
            __atomic_store_n(&log->failed, log->failed + lines_in(bytes, len), __ATOMIC_RELAXED);
            return;
        }
        bytes += written;
        len -= (size_t)written;
    }
}

/* Copies whole lines out of the ring, as many as one write takes. @return their bytes */
static size_t take_chunk(struct access_log *log)
{
    uint64_t head = __atomic_load_n(&log->head, __ATOMIC_ACQUIRE);
    size_t len = MIN((size_t)(head - log->tail), log->chunk_max);
    size_t at = log->tail & (log->size - 1), first = log->size - at;
    memcpy(log->chunk, log->ring + at, MIN(len, first));
    if (len > first)
        memcpy(log->chunk + first, log->ring, len - first);
    while (len != 0 && log->chunk[len - 1] != '\n')
        len--;
    __atomic_store_n(&log->tail, log->tail + len, __ATOMIC_RELEASE);
    return len;
}

static void wait_for_lines(struct access_log *log)
{
    __atomic_store_n(&log->asleep, true, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&log->head, __ATOMIC_ACQUIRE) != log->tail ||
        __atomic_load_n(&log->stop, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&log->asleep, false, __ATOMIC_RELAXED);
        return;
    }
    while (sem_wait(&log->wake) != 0)
        continue;
    if (!__atomic_load_n(&log->stop, __ATOMIC_ACQUIRE))
        pause_ms(log, BATCH_MS);
}

static void *write_lines(void *data)
{
    struct access_log *log = data;
    for (;;) {
        bool stop = __atomic_load_n(&log->stop,
                                    __ATOMIC_ACQUIRE); /* loaded before the last lines are taken */
        size_t len = take_chunk(log);
        if (len != 0)
            write_chunk(log, log->chunk, len);
        else if (stop)
            return NULL;
        else
            wait_for_lines(log);
    }
}

/* ---- the file ---- */

int access_log_open(const char *path)
{
    return path == NULL ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) : output_open(path);
}

bool access_log_open_again(const char *path, int fd)
{
    if (output_descriptor(path) >= 0) /* a descriptor has no path to open again */
        return true;
    int file = access_log_open(path);
    if (file < 0)
        return false;
    bool done = dup3(file, fd, O_CLOEXEC) == fd; /* a write under way still goes to the old file */
    close(file);
    return done;
}

/* ---- begin and end ---- */

static void access_log_free(struct access_log *log)
{
    if (log->ring != NULL)
        munmap(log->ring, log->size);
    free(log->chunk);
    sem_destroy(&log->wake);
    free(log);
}

struct access_log *access_log_create(int fd, bool json, size_t ring_size)
{
    assert(ring_size >= ACCESS_LOG_LINE_MAX && (ring_size & (ring_size - 1)) == 0);
    struct access_log *log = aligned_alloc(64, sizeof(*log));
    if (log == NULL)
        return NULL;
    memset(log, 0, sizeof(*log));
    log->fd = fd;
    log->json = json;
    log->size = ring_size;
    sem_init(&log->wake, 0, 0);
    /* Lines of several writers stay whole: an append to a file is atomic, a write to a pipe is up
     * to PIPE_BUF. */
    struct stat st;
    log->chunk_max = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? CHUNK_MAX : ACCESS_LOG_LINE_MAX;
    log->chunk = malloc(log->chunk_max);
    void *ring = mmap(NULL, ring_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    log->ring = ring != MAP_FAILED ? ring : NULL;
    int error = log->chunk == NULL || log->ring == NULL
                    ? ENOMEM
                    : pthread_create(&log->thread, NULL, write_lines, log);
    if (error == 0)
        return log;
    access_log_free(log);
    errno = error;
    return NULL;
}

void access_log_destroy(struct access_log *log, unsigned wait_ms)
{
    if (log == NULL)
        return;
    log->wait_until = clock_monotonic_ms() + wait_ms;
    __atomic_store_n(&log->stop, true, __ATOMIC_RELEASE);
    sem_post(&log->wake);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000 + 1;
    if (pthread_clockjoin_np(log->thread, NULL, CLOCK_MONOTONIC, &until) == 0)
        access_log_free(log);
    /* else the thread hangs in a write: its memory is freed with the process */
}
