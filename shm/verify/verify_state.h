/* SPDX-License-Identifier: MIT */
/* The state of a verify that its parts share; verify.c lists the parts. */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_STATE_H
#define ROSTERD_SHM_VERIFY_VERIFY_STATE_H

#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/store.h"
#include "shm/verify/image.h"

enum {
    VERIFY_GRANULE = SHM_GRANULE,
    VERIFY_THREADS_MAX = 16,
};

/** Counts of one thread; sums of all threads. All members are uint64_t. */
struct verify_tally {
    uint64_t marked; /* granules */
    uint64_t nodes, live, bodies, retired;
    uint64_t bytes_used, bytes_free, bytes_tables, free_blocks;
    uint64_t towers[SHM_LEVELS];   /* nodes that have a tower of this level */
    uint64_t keyed[SHM_KEYS];      /* nodes whose link says that they are in this index */
    uint64_t linked[1 + SHM_KEYS]; /* nodes met in the table of ids, and of each key */
};

struct verify {
    const struct shm_image *image;
    const struct shm_header *header;
    const struct shm_control *control;
    uint64_t from, to; /* offsets of the arena's used part */
    unsigned threads;
    uint64_t indexed[SHM_KEYS]; /* the key's index has the users up to this seq; 0: no index */
    /* bitmaps; several threads set bits */
    uint64_t *taken;   /* a bit per granule: the granule is part of a claimed block */
    uint64_t *retired; /* per granule: a retired body starts here that was met in no list yet */
    uint64_t *tower;   /* per granule: a tower of level 0 starts here */
    uint64_t *node;    /* per granule: a node of the order list starts here */
    struct verify_tally sum;
    pthread_mutex_t lock; /* protects sum, the report and on_fault */
    struct shm_verify_report *report;
    uint64_t work, done; /* for the progress, in units of about a memory access */
    uint64_t told_at;    /* ms: when the progress was last reported */
    pthread_t caller;    /* the thread that called shm_verify_image() */
};

/** Reports a violation, as one line. */
void verify_fault(struct verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- threads ---- */

/** Pieces of work, numbered from 0, which threads take one after the other. */
struct verify_pieces {
    uint64_t next, count;
    void *data;
};
/** Takes the next piece. @return its number; UINT64_MAX: there are no more */
uint64_t verify_take(struct verify_pieces *pieces);
/** Runs `run` in this thread and, if there are several pieces, in up to v->threads - 1 others;
 * waits for all. Each has a tally of its own, which is then added to v->sum. */
void verify_spread(struct verify *v, struct verify_pieces *pieces,
                   void (*run)(struct verify *v, struct verify_tally *tally,
                               struct verify_pieces *pieces));
/** Counts work as done. The calling thread also reports the progress, at most every 100 ms. */
void verify_progress(struct verify *v, uint64_t done);

/* ---- pointers of the segment ---- */

/** The offset of a segment's pointer from SHM_BASE; any value is possible. */
static inline uint64_t verify_offset(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer - SHM_BASE;
}

/** Where the image has the `size` bytes that a pointer of the segment points to.
 * @return NULL: they are not in the used part of the arena, or not aligned */
static inline const void *verify_at(const struct verify *v, const void *pointer, uint64_t size,
                                    uint64_t align)
{
    uint64_t offset = verify_offset(pointer);
    if (offset < v->from || offset > v->to || size > v->to - offset || offset % align != 0)
        return NULL;
    return v->image->bytes + offset;
}

/** The number of a pointer's bit in a map with a bit for each `unit` bytes of the arena. */
static inline uint64_t verify_bit(const struct verify *v, const void *pointer, uint64_t unit)
{
    return (verify_offset(pointer) - v->from) / unit;
}

static inline bool verify_get(const uint64_t *map, uint64_t bit)
{
    return (__atomic_load_n(&map[bit / 64], __ATOMIC_RELAXED) >> (bit % 64) & 1) != 0;
}

static inline void verify_set(uint64_t *map, uint64_t bit)
{
    __atomic_fetch_or(&map[bit / 64], UINT64_C(1) << (bit % 64), __ATOMIC_RELAXED);
}

/** Claims [pointer, pointer + size), whose range verify_at() has checked.
 * @return false: a part of it is claimed already */
bool verify_mark(struct verify *v, struct verify_tally *tally, const void *pointer, uint64_t size);

#endif
