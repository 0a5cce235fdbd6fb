/* SPDX-License-Identifier: MIT */
/*
 * A row has one writer: the worker in its place, and the master once that worker is dead. Readers
 * need no order between rows: a queue may exceed its bound by the requests of one moment.
 */
#include "password/pool_channels.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "password/pool_message.h"

enum {
    CHANNELS_LEAST = 32,
    CHANNELS_MOST = 1024,     /* as many as there are places of workers */
    CHANNELS_FOR_EACH = 8,    /* worker */
    DESCRIPTORS_FOR_EACH = 8, /* two for the channel, the others for all else */
};

struct channel_row {
    _Alignas(64) uint64_t owner; /* 0: none */
    uint32_t load;
};

struct channel_ends {
    int worker, pool; /* -1: closed in this process */
};

struct pool_channels {
    struct channel_row *rows; /* in memory that all processes share */
    unsigned count;
    struct channel_ends ends[];
};

static size_t rows_bytes(unsigned count)
{
    return count * sizeof(struct channel_row);
}

static bool open_ends(struct channel_ends *ends)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
        return false;
    *ends = (struct channel_ends){.worker = fds[0], .pool = fds[1]};
    return true;
}

struct pool_channels *pool_channels_create(unsigned workers, uint64_t descriptors)
{
    unsigned count =
        MIN(MAX(CHANNELS_FOR_EACH * workers, (unsigned)CHANNELS_LEAST), (unsigned)CHANNELS_MOST);
    count = (unsigned)MIN(count, MAX(descriptors / DESCRIPTORS_FOR_EACH, UINT64_C(1)));
    struct pool_channels *channels = malloc(sizeof(*channels) + count * sizeof(channels->ends[0]));
    if (channels == NULL)
        return NULL;
    void *rows =
        mmap(NULL, rows_bytes(count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (rows == MAP_FAILED) {
        free(channels);
        return NULL;
    }
    channels->rows = rows;
    channels->count = count;
    for (unsigned i = 0; i < count; i++)
        channels->ends[i] = (struct channel_ends){.worker = -1, .pool = -1};
    for (unsigned i = 0; i < count; i++) {
        if (open_ends(&channels->ends[i]))
            continue;
        int error = errno;
        pool_channels_destroy(channels);
        errno = error;
        return NULL;
    }
    return channels;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void pool_channels_destroy(struct pool_channels *channels)
{
    if (channels == NULL)
        return;
    for (unsigned i = 0; i < channels->count; i++) {
        close_end(&channels->ends[i].worker);
        close_end(&channels->ends[i].pool);
    }
    munmap(channels->rows, rows_bytes(channels->count));
    free(channels);
}

unsigned pool_channels_count(const struct pool_channels *channels)
{
    return channels->count;
}

/* ---- for the master ---- */

void pool_channels_forget(struct pool_channels *channels, unsigned place)
{
    if (place >= channels->count)
        return;
    __atomic_store_n(&channels->rows[place].owner, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&channels->rows[place].load, 0, __ATOMIC_RELAXED);
}

void pool_channels_answer_lost(const struct pool_channels *channels, unsigned place, uint64_t owner,
                               uint64_t id)
{
    const struct pool_answer answer = {.owner = owner, .id = id, .outcome = POOL_LOST};
    if (place >= channels->count || !pool_channels_is_owner(channels, place, owner))
        return;
    /* if the buffer is full, the worker's own timer ends the request */
    (void)!send(channels->ends[place].pool, &answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- for a worker ---- */

/* Answers for the worker that had this place before. */
static void drop_answers(int fd)
{
    struct pool_answer answer;
    while (recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) >= 0)
        ;
    explicit_bzero(&answer, sizeof(answer)); /* it may have a hash */
}

int pool_channels_keep(struct pool_channels *channels, unsigned place, uint64_t *owner)
{
    for (unsigned i = 0; i < channels->count; i++) {
        close_end(&channels->ends[i].pool);
        if (i != place)
            close_end(&channels->ends[i].worker);
    }
    *owner = 0;
    if (place >= channels->count || getrandom(owner, sizeof(*owner), 0) != (ssize_t)sizeof(*owner))
        return -1;
    *owner |= 1; /* 0 means none */
    __atomic_store_n(&channels->rows[place].load, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&channels->rows[place].owner, *owner, __ATOMIC_RELEASE);
    drop_answers(channels->ends[place].worker);
    return channels->ends[place].worker;
}

void pool_channels_set_load(struct pool_channels *channels, unsigned place, uint32_t requests)
{
    assert(place < channels->count);
    __atomic_store_n(&channels->rows[place].load, requests, __ATOMIC_RELAXED);
}

uint64_t pool_channels_load(const struct pool_channels *channels)
{
    uint64_t load = 0;
    for (unsigned i = 0; i < channels->count; i++)
        load += __atomic_load_n(&channels->rows[i].load, __ATOMIC_RELAXED);
    return load;
}

/* ---- for a process of the pool ---- */

void pool_channels_serve(struct pool_channels *channels)
{
    for (unsigned i = 0; i < channels->count; i++)
        close_end(&channels->ends[i].worker);
}

int pool_channels_fd(const struct pool_channels *channels, unsigned place)
{
    assert(place < channels->count);
    return channels->ends[place].pool;
}

bool pool_channels_is_owner(const struct pool_channels *channels, unsigned place, uint64_t owner)
{
    return owner != 0 && place < channels->count &&
           __atomic_load_n(&channels->rows[place].owner, __ATOMIC_ACQUIRE) == owner;
}
