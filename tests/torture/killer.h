/* SPDX-License-Identifier: MIT */
/*
 * The killer runs one operation on a segment and kills it at every position, that is, wherever the
 * segment's bytes or the process's hold on a lock differ from the instruction before.
 *
 * killer_world.c  the segment, its expected users, and the survivor's checks
 * killer_fill.c   fills segments with users in every state
 * killer_image.c  saves and restores the bytes of the segment
 * killer_trace.c  a child that is single-stepped by ptrace
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
    KILLER_USERS = 1024,             /* number of possible users */
    KILLER_STATES = 4,               /* largest number of commits per operation, plus one */
    KILLER_FRESH = KILLER_USERS - 1, /* user that the survivor creates */
    KILLER_BIG = 800, /* with world.big, users below this number have bodies of the largest size */
};

/** The killer's store, inherited by its children. NULL: the children open the segment
 * themselves. */
extern struct shm_store *world_store;

/** Shared by the killer and all its children. */
struct world {
    char name[64];
    struct shm_config config; /* configuration that the segment is opened with */
    /* Configuration it was created with; a later owner may ask for it again. */
    struct shm_config made;
    bool big;         /* bodies of the largest size */
    uint64_t version; /* version before the operation */
    unsigned commits; /* number of the operation's commits */
    bool requested;   /* the first of them does request WORLD_REQUEST */
    uint32_t salt[KILLER_USERS];
    /* generation of each user after this many commits of the operation; 0: no such user */
    uint8_t state[KILLER_STATES][KILLER_USERS];
    char why[512]; /* what the survivor found wrong */
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
/** Chooses an id with a hash that `fits` for user n. User n must not exist yet. */
void world_choose(struct world *w, unsigned n, bool (*fits)(uint64_t hash, uint64_t data),
                  uint64_t data);
/** Height of the user's tower in the index by sequence. */
unsigned world_tower(const struct world *w, unsigned n);
uint64_t world_bucket(const struct world *w, unsigned n);

/* Write `count` users from n on, with the body of this generation. @return SHM_OK or an error */
int world_insert(struct world *w, struct shm_actor *actor, unsigned n, unsigned count,
                 unsigned generation);
int world_update(struct world *w, struct shm_actor *actor, unsigned n, unsigned count,
                 unsigned generation);
int world_delete(struct world *w, struct shm_actor *actor, unsigned n, unsigned count);
/* From now on an update of one user wants the version that user n has now. @return that version */
uint64_t world_depend(struct world *w, struct shm_actor *actor, unsigned n);
/* Sets the request of the next write of one user; 0: none. */
void world_request(unsigned n);
struct shm_actor *world_join(struct world *w);
/** Publishes the newest commit, if there is a data file. @return SHM_OK or an error */
int world_publish(struct shm_actor *actor);

/* Users of most segments: 0 to 89 exist, and some of them were updated; 90 to 99 were deleted,
 * so that there are free blocks. The operations use 100 and up. */
enum {
    WORLD_TOWER = 20, /* has a tower of two levels in the index by sequence */
    /* Some users from here on have ids chosen for towers and chains. */
    WORLD_NEW = 100,
    WORLD_LARGE = KILLER_BIG + 100, /* users for which the arena must grow */
    WORLD_REQUEST = 200,
    WORLD_RENAMED = 16, /* a bit of a generation: the user has another key than without it */
};
void world_fill(struct world *w);
/** Like world_fill(), and leaves retired blocks: replaced bodies, one of them of a user updated
 * twice, and deleted users with and without a tower. */
void world_fill_and_retire(struct world *w);
/** Like world_fill(), and leaves dead processes: one in a read section, others with snapshots
 * that hold retired blocks. */
void world_fill_and_die(struct world *w);
/** Fills the arena until the next user needs it to grow. */
void world_fill_arena(struct world *w);
void world_fill_plainly(struct world *w);
/** Does housekeeping until nothing is left to do. */
void world_drain(struct shm_actor *actor);

/** Declares that after one more commit, `count` users from n on are of this generation. */
void world_expect(struct world *w, unsigned n, unsigned count, unsigned generation);

/**
 * Runs in a fresh child after the kill: recovers the segment in the way `way` (0 to WORLD_WAYS -
 * 1), and checks everything.
 * @param version that must be committed after recovery of the dead process
 */
void world_survive(struct world *w, uint64_t version, unsigned way);
enum { WORLD_WAYS = 3 };

/* ---- the segment's bytes ---- */

struct image {
    int fd;
    uint8_t *map;      /* mapping of the whole file and beyond; separate from the store's mapping */
    uint64_t map_size; /* bytes */
    uint64_t size;     /* size of the file when it was saved */
    uint64_t slots;    /* bytes of slots that had memory when saved */
    uint8_t *bytes;
};
void image_open(struct image *image, const struct world *w);
void image_save(struct image *image);
void image_restore(struct image *image);
/** @return whether all bytes are equal to the saved ones. */
bool image_is_as_saved(const struct image *image);
void image_close(struct image *image);
static inline struct shm_control *image_control(const struct image *image)
{
    return (struct shm_control *)(void *)(image->map + SHM_CONTROL_AT);
}
/** @return the version that a recovery of these bytes will find committed. */
uint64_t image_version(const struct image *image);
bool image_sealed(const struct image *image);
/** @return a hash of one page, without what differs between two processes: thread ids and times. */
uint64_t image_hash_page(const struct image *image, uint64_t offset);

/* ---- single-stepping the operation ---- */

struct killer_case {
    const char *name;
    /** Runs in a separate child with the store open: creates the users; may die in any way. */
    void (*prepare)(struct world *w);
    /** Declares with world_expect() what the operation's commits change. NULL: it makes no
     * commit. */
    void (*expect)(struct world *w);
    /** Runs in the child before the stepped part: joins, pins. May be NULL. */
    void (*before)(struct world *w);
    /** The stepped part. It checks with world_check() that it worked. */
    void (*run)(struct world *w);
    bool opens;    /* run opens the store itself, as the next owner */
    unsigned slow; /* 1: takes a million steps under sanitizers; 2: in any build */
    bool big;
    uint64_t size; /* size of the segment in bytes; 0: the smallest possible */
    /** Set the configuration that the segment is created with, and the one that it is opened
     * with later. May be NULL. */
    void (*configure)(struct shm_config *config);
    void (*reconfigure)(struct shm_config *config);
    /**
     * The case that this case follows: it begins with the segment that a child left that was
     * killed in `after`, at one of the sealed positions, `after_percent` of the way through
     * them. May be NULL.
     */
    const struct killer_case *after;
    unsigned after_percent;
};

/** A position: `steps` steps after the instruction at `ip` was reached `arrivals` times. */
struct position {
    uint64_t ip;
    uint32_t arrivals, steps;
    uint64_t hash;    /* hash of the watched pages */
    uint64_t version; /* version that recovery must find */
    bool sealed;
};
struct trace {
    struct position *at;
    size_t count, room;
    uint64_t steps;
    uint64_t *pages; /* offsets of the pages that the operation writes, sorted */
    size_t num_pages;
};
/**
 * For operations that open the store: whether to step also the part before they map the
 * segment. There they read the file and check copies of it, which takes hundreds of thousands
 * of steps.
 */
extern bool trace_all;
/** Runs the operation once to find the pages that it writes, and once step by step. @return
 * whether it ran to its end */
bool trace_record(struct trace *trace, const struct killer_case *kase, struct world *w,
                  struct image *image);
void trace_free(struct trace *trace);
/** Runs the operation to the position and kills it there. @return whether it reached the
 * position with the recorded bytes */
bool trace_kill_at(const struct trace *trace, const struct position *at,
                   const struct killer_case *kase, struct world *w, struct image *image);

extern const struct killer_case *const killer_cases[];

#endif
