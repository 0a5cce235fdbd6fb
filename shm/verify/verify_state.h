/* SPDX-License-Identifier: MIT */
/* What the files of verify share; verify.c says how they divide it. */
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

/** What one thread has seen. */
struct verify_tally {
    uint64_t marked; /* granules */
    uint64_t nodes, live, bodies, retired;
    uint64_t bytes_used, bytes_free, bytes_tables, free_blocks;
    uint64_t towers[SHM_LEVELS];   /* nodes that have a tower of this level */
    uint64_t keyed[SHM_KEYS];      /* nodes that say that they are in this index */
    uint64_t linked[1 + SHM_KEYS]; /* nodes in the table of ids, of each key */
};

struct verify {
    const struct shm_image *image;
    const struct shm_header *header;
    const struct shm_control *control;
    uint64_t from, to; /* offsets of the arena's used part */
    unsigned threads;
    uint64_t indexed[SHM_KEYS]; /* the index of this key has the users up to this seq; 0: none */
    /* bitmaps; several threads set bits */
    uint64_t *taken;   /* a bit a granule: it belongs to something */
    uint64_t *retired; /* a granule: a retired body starts here, in no list yet */
    uint64_t *tower;   /* a granule: a tower of level 0 starts here */
    uint64_t *node;    /* a granule: a node of the order list starts here */
    struct verify_tally sum;
    pthread_mutex_t lock; /* of sum, the report and on_fault */
    struct shm_verify_report *report;
    uint64_t work, done; /* units of about a memory access, for the progress */
    uint64_t told_at;    /* ms */
    pthread_t caller;    /* of shm_verify_image() */
};

void verify_fault(struct verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- the work, by threads ---- */

/** Pieces of work, given out by number. */
struct verify_pieces {
    uint64_t next, count;
    void *data;
};
/** @return the number of a piece that nobody has had, or UINT64_MAX */
uint64_t verify_take(struct verify_pieces *pieces);
/** Runs `run` in as many threads as are of use, and returns when all have ended. */
void verify_spread(struct verify *v, struct verify_pieces *pieces,
                   void (*run)(struct verify *v, struct verify_tally *tally,
                               struct verify_pieces *pieces));
/** Counts work as done, and tells the progress, if it is time and this is the calling thread. */
void verify_progress(struct verify *v, uint64_t done);

/* ---- pointers of the segment ---- */

static inline uint64_t verify_offset(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer - SHM_BASE;
}

/** What a segment's pointer into the used arena leads to in the image, or NULL. */
static inline const void *verify_at(const struct verify *v, const void *pointer, uint64_t size,
                                    uint64_t align)
{
    uint64_t offset = verify_offset(pointer);
    if (offset < v->from || offset > v->to || size > v->to - offset || offset % align != 0)
        return NULL;
    return v->image->bytes + offset;
}

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

/** Claims [pointer, pointer + size), whose range has been tested. @return whether it was free */
bool verify_mark(struct verify *v, struct verify_tally *tally, const void *pointer, uint64_t size);

#endif
