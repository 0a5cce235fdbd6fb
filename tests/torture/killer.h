/* SPDX-License-Identifier: MIT */
/*
 * The killer: one operation on a segment, killed at every position at which the
 * segment's bytes or the process's hold on a lock differ from the position before.
 *
 * killer_world.c  the segment, what its users should be, and what a survivor checks
 * killer_fill.c   users in every state
 * killer_image.c  the segment's bytes, kept and restored
 * killer_trace.c  a child, stepped by ptrace
 * killer_cases.c  the operations
 * killer.c        the trials
 */
#ifndef ROSTERD_TESTS_TORTURE_KILLER_H
#define ROSTERD_TESTS_TORTURE_KILLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/core/layout.h"
#include "shm/store.h"

/* ---- the world ---- */

enum {
    KILLER_USERS = 1024,             /* numbers that users may have */
    KILLER_STATES = 4,               /* commits of an operation, and one */
    KILLER_FRESH = KILLER_USERS - 1, /* the survivor's own user */
    KILLER_BIG = 800, /* where world.big, users below have bodies as large as can be */
};

/** The killer's, inherited by its children; NULL: they open the segment themselves. */
extern struct shm_store *world_store;

/** Shared by the killer and all its children. */
struct world {
    char name[64];
    struct shm_config config; /* what it is opened with */
    struct shm_config made;   /* what it was made with: another owner may ask for that again */
    bool big;                 /* bodies are as large as can be */
    uint64_t version;         /* before the operation */
    unsigned commits;         /* from there to the operation's end */
    uint32_t salt[KILLER_USERS];
    /* each user's generation after so many commits of the operation; 0: there is none */
    uint8_t state[KILLER_STATES][KILLER_USERS];
    char why[512]; /* what a survivor found wrong */
};

/** Ends this process with a reason that the killer prints. */
void world_fail(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
#define world_check(w, what)                                                                       \
    do {                                                                                           \
        if (!(what))                                                                               \
            world_fail(w, "%s:%d: %s", __FILE__, __LINE__, #what);                                 \
    } while (0)

shm_key_of world_key_of;
void world_id(const struct world *w, unsigned n, uint8_t id[SHM_ID_SIZE]);
/** Gives user n, who is not there yet, an id whose hash `fits`. */
void world_choose(struct world *w, unsigned n, bool (*fits)(uint64_t hash, uint64_t data),
                  uint64_t data);
/** Height of the user's entry in the index by sequence. */
unsigned world_tower(const struct world *w, unsigned n);
uint64_t world_bucket(const struct world *w, unsigned n);

/* Writes of users n, n + 1, ...; the body is that of generation `generation`. */
int world_insert(struct world *w, struct shm_actor *actor, unsigned n, unsigned count,
                 unsigned generation);
int world_update(struct world *w, struct shm_actor *actor, unsigned n, unsigned count,
                 unsigned generation);
int world_delete(struct world *w, struct shm_actor *actor, unsigned n, unsigned count);
struct shm_actor *world_join(struct world *w);

/* Users of most segments: 0 to 89, of whom some have been replaced; 90 to 99 have been deleted,
 * so that there are free blocks. 100 and up are for the operations. */
enum {
    WORLD_TOWER = 20,               /* has an entry in the index by sequence, of two levels */
    WORLD_NEW = 100,                /* and some after it are chosen, for towers and chains */
    WORLD_LARGE = KILLER_BIG + 100, /* users who need more arena */
};
void world_fill(struct world *w);
/** And retired: replaced bodies, one of them twice, and deleted users with a tower and without. */
void world_fill_and_retire(struct world *w);
/** And processes that died: in a read section, with snapshots that hold retired blocks. */
void world_fill_and_die(struct world *w);
/** To where the next user needs more arena. */
void world_fill_arena(struct world *w);
void world_fill_plainly(struct world *w);
/** Housekeeping until there is no more to do. */
void world_drain(struct shm_actor *actor);

/** After one commit more, `count` users from n on will be of this generation. */
void world_expect(struct world *w, unsigned n, unsigned count, unsigned generation);

/**
 * In a fresh child, after the kill: recovers by what `way` says, and checks everything.
 * @param version that must be committed once the dead one is recovered
 */
void world_survive(struct world *w, uint64_t version, unsigned way);
enum { WORLD_WAYS = 3 };

/* ---- its bytes ---- */

struct image {
    int fd;
    uint8_t *map;      /* of the whole file and beyond, apart from the store's own mapping */
    uint64_t map_size; /* bytes */
    uint64_t size;     /* of the file when saved */
    uint64_t slots;    /* bytes of slots that had memory */
    uint8_t *bytes;
};
void image_open(struct image *image, const struct world *w);
void image_save(struct image *image);
void image_restore(struct image *image);
/** Whether all its bytes are as when saved. */
bool image_is_as_saved(const struct image *image);
void image_close(struct image *image);
static inline struct shm_control *image_control(const struct image *image)
{
    return (struct shm_control *)(void *)(image->map + SHM_CONTROL_AT);
}
/** The version that a recovery of these bytes will find committed. */
uint64_t image_version(const struct image *image);
bool image_sealed(const struct image *image);
/** A hash of one page, but for what no two processes share: thread ids, times. */
uint64_t image_hash_page(const struct image *image, uint64_t offset);

/* ---- the operation, stepped ---- */

struct killer_case {
    const char *name;
    /** In a child of its own, with the store open: makes the users, dies as it likes. */
    void (*prepare)(struct world *w);
    /** What the operation's commits will have changed. NULL: it makes none. */
    void (*expect)(struct world *w);
    /** In the child, before what is stepped: joins, pins. May be NULL. */
    void (*before)(struct world *w);
    /** What is stepped; world_check()s that it worked. */
    void (*run)(struct world *w);
    bool opens;    /* run opens the store itself, as the next owner */
    unsigned slow; /* 1: takes a million steps under sanitizers; 2: anywhere */
    bool big;
    uint64_t size; /* of the segment; 0: as small as can be */
    /** What the segment is made with, and what it is opened with later. May be NULL. */
    void (*configure)(struct shm_config *config);
    void (*reconfigure)(struct shm_config *config);
    /** What a killed child left is where this one begins: another case's, killed at one of its
     * sealed positions, `after_percent` of the way through them. May be NULL. */
    const struct killer_case *after;
    unsigned after_percent;
};

/** After `arrivals` arrivals at `ip`, `steps` steps. */
struct position {
    uint64_t ip;
    uint32_t arrivals, steps;
    uint64_t hash;    /* of the watched pages */
    uint64_t version; /* that recovery must find */
    bool sealed;
};
struct trace {
    struct position *at;
    size_t count, room;
    uint64_t steps;
    uint64_t *pages; /* that the operation writes, by offset */
    size_t num_pages;
};
/** Whether to step also what an operation that opens does before it maps the segment: it reads
 * the file then, and checks copies of it, for hundreds of thousands of steps. */
extern bool trace_all;
/** Runs the operation once to see what it writes, and once step by step. @return whether
 * it ran to its end */
bool trace_record(struct trace *trace, const struct killer_case *kase, struct world *w,
                  struct image *image);
void trace_free(struct trace *trace);
/** Runs the operation to the position and kills it there. @return whether it got there, with
 * the bytes that it had when recorded */
bool trace_kill_at(const struct trace *trace, const struct position *at,
                   const struct killer_case *kase, struct world *w, struct image *image);

extern const struct killer_case *const killer_cases[];

#endif
