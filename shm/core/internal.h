/* SPDX-License-Identifier: MIT */
/* What the library's files share: the handles and the paths between the files. */
#ifndef ROSTERD_SHM_CORE_INTERNAL_H
#define ROSTERD_SHM_CORE_INTERNAL_H

#include <stdbool.h>
#include <string.h>

#include "shm/core/layout.h"
#include "shm/name.h"

#define SHM_DIRECTORY "/dev/shm"

struct shm_store {
    int fd;
    bool owner;      /* by descriptor: true in the owner's forked children, too */
    bool readonly;   /* the arena is mapped so: a tool */
    bool locked_out; /* all of it is, for want of the right to write: no slot, no lock */
    shm_key_of *key_of;
    uint64_t size; /* bytes mapped from SHM_BASE */
    char name[256];
};

enum { SHM_PENDING = 8 * SHM_BATCH_MAX }; /* a batch changes at most 3 buckets a user */

/** Scratch of one insert, so that the stack stays small. */
struct shm_batch {
    uint64_t hash[SHM_BATCH_MAX];
    uint32_t check[SHM_BATCH_MAX];
    struct shm_node *node[SHM_BATCH_MAX];
    struct shm_body *body[SHM_BATCH_MAX]; /* of an update */
    struct shm_tower *tower[SHM_BATCH_MAX];
    bool recycled[SHM_BATCH_MAX]; /* node[i] comes from the free list */
    /* what buckets will lead to (chain.h): open addressing, stamped to save the clearing */
    struct {
        uint64_t bucket, stamp;
        struct cds_hlist_node *first;
    } pending[SHM_PENDING];
    uint64_t stamp;
};

/** One transaction being built; see log.h. */
struct shm_txn {
    struct shm_log *log;
    bool at_bound; /* the arena cannot grow: free blocks may be split. Set before it begins */
    size_t count;
    size_t links; /* entries before this one are what the list calls write */
    uint64_t loaded, dirty;
    uint64_t alloc[SHM_ALLOC_WORDS];
    struct shm_tower **index_tail[SHM_LEVELS];
    unsigned index_height;     /* levels of index_tail that changed */
    unsigned queues;           /* bit q: queue[q] is loaded, and changes */
    struct shm_queue queue[2]; /* enum shm_queue_name */
    uint64_t gp;               /* its new value; 0: it stays */
    bool tracked;              /* what it changes is marked: dirty.h */
};

enum shm_queue_name { SHM_RETIRED, SHM_UNLINKED };

struct shm_actor {
    struct shm_slot *slot;
    struct cds_hlist_head *buckets;
    uint64_t bucket_mask;
    uint8_t secret[SHM_SECRET_SIZE]; /* the header's, on lines of our own */
    bool online;
    unsigned unique;                   /* bit k: by_key[k] is there */
    struct shm_table by_key[SHM_KEYS]; /* control.unique, which lies in a line that writers use */
    struct shm_keys *keys;             /* NULL where unique is 0 */
    size_t retired;                    /* by this actor since it last reclaimed */
    size_t unseen;                  /* retired by this actor since it last looked at the readers */
    struct shm_readers *readers;    /* as it saw them: readers.h */
    bool reserved;                  /* the batch's bodies are in the slot's reserve: reserve.h */
    struct shm_body *next_reserved; /* of them, for this transaction */
    uint8_t pins_free;              /* entries of pin_free */
    uint8_t pin_last;               /* the newest pin begun */
    unsigned number;                /* of the slot */
    struct shm_store *store;
    uint8_t pin_free[SHM_PINS];
    struct shm_txn txn;
    struct shm_batch batch;
};

static inline struct shm_header *shm_header(void)
{
    return (struct shm_header *)(uintptr_t)SHM_BASE;
}

static inline struct shm_control *shm_control(void)
{
    return (struct shm_control *)(uintptr_t)(SHM_BASE + SHM_CONTROL_AT);
}

static inline struct shm_log *shm_log(void)
{
    return (struct shm_log *)(uintptr_t)(SHM_BASE + SHM_LOG_AT);
}

static inline struct shm_feed_entry *shm_feed(void)
{
    return (struct shm_feed_entry *)(uintptr_t)(SHM_BASE + SHM_FEED_AT);
}

static inline struct shm_slot *shm_slot(unsigned i)
{
    return (struct shm_slot *)(uintptr_t)(SHM_BASE + SHM_SLOTS_AT) + i;
}

static inline uint64_t shm_round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/** Whether the segment's limit was raised, and its arena has grown beyond what is mapped here. */
static inline bool shm_outgrown(const struct shm_store *store)
{
    const struct shm_control *control = shm_control();
    uint64_t end = __atomic_load_n(&control->arena_end, __ATOMIC_RELAXED) - SHM_BASE;
    return end > store->size && end <= __atomic_load_n(&control->limit, __ATOMIC_RELAXED);
}

/** Fills fault, where there is one, and returns error: `return shm_fail(...)`. */
int shm_fail(struct shm_fault *fault, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* file.c: the file under the segment */
enum shm_access {
    SHM_AS_OWNER,
    SHM_AS_TOOL,
    SHM_AS_READER,  /* a tool that makes do with a descriptor to read from; see shm_file_writable()
                     */
    SHM_AS_REMOVER, /* who only changes its names, and maps nothing: root may, whosever it is */
};
int shm_file_path(char path[300], const char *name, struct shm_fault *fault);
/** The same for what a user of the store calls a segment: NAME.stats is that of its counters. */
int shm_segment_path(char path[300], const char *name, struct shm_fault *fault);
int shm_file_open(int *fd, const char *name, enum shm_access access, struct shm_fault *fault);
/** A file without a name yet, sealed off from others; nothing is left of it if we die. */
int shm_file_create(int *fd, const char *name, struct shm_fault *fault);
/** Gives it its name. @return SHM_EEXIST where somebody was faster */
int shm_file_publish(int fd, const char *name, struct shm_fault *fault);
/** Gives [at, at + length) memory, if the process's control groups have it: room.h.
 * @return SHM_ESPACE, SHM_ESYS */
int shm_file_allocate(int fd, uint64_t at, uint64_t length, struct shm_fault *fault);
/** The same for who has asked shm_room_for() already, or takes what its margin is for. */
int shm_file_fallocate(int fd, uint64_t at, uint64_t length, struct shm_fault *fault);
/** Whether this path leads to it, and not by a symbolic link. */
bool shm_file_is_at(int fd, const char *path);
/** How it has been opened. */
bool shm_file_writable(int fd);

/* name.c: see name.h. The name is one that shm_file_path() takes */
/** Whether a live owner of another file than this one has a right to the name. @return SHM_EOWNED
 */
int shm_name_check_claim(int fd, const char *name, struct shm_fault *fault);
/** Makes the second link where there is none, and gives the name back where it is gone. By an
 * owner, at any time. */
enum shm_name_state shm_name_hold(int fd, const char *name);
/** Removes the second link, if it is this file's. By the owner, at its end. @return false where it
 * stays: it is the last one, and what it leads to would be gone */
bool shm_name_release(int fd, const char *name);
/** "/dev/shm/.NAME.kept" */
void shm_name_kept_path(char path[300], const char *name);
/** Removes the second link that a dead owner left, where nothing has the name. */
void shm_name_remove_stale(const char *name);

/* owner.c */
/** Takes the owner lock for this descriptor. @return SHM_EOWNED, SHM_ESYS */
int shm_owner_take(int fd, const char *name, struct shm_fault *fault);
/** The same, beside others who do so: who takes it for itself finds a live owner. */
int shm_owner_share(int fd, const char *name, struct shm_fault *fault);
/** A tool that writes, beside others of its kind. @return SHM_EBUSY while an owner attaches */
int shm_guest_enter(int fd, const char *name, struct shm_fault *fault);
/** No tool may write from here on. Waits up to a second for those who do. @return SHM_EBUSY */
int shm_guests_exclude(int fd, const char *name, struct shm_fault *fault);
void shm_guests_admit(int fd);
bool shm_owner_present(const struct shm_store *store);
uint64_t shm_pid_namespace(void);

/* check.c: is this file a segment that we may map and change? */
struct shm_geometry {
    uint64_t limit, arena_end, slots_ready, users;
};
void shm_header_fill(struct shm_header *header);
int shm_check_header(const struct shm_header *header, const char *name, struct shm_fault *fault);
int shm_check_file(int fd, const char *name, struct shm_geometry *geometry,
                   struct shm_fault *fault);
/** Every invariant; a corrupt segment is left as it was. */
int shm_check_contents(int fd, const struct shm_config *config, const struct shm_geometry *geometry,
                       struct shm_fault *fault);

/* lock.c */
/**
 * Whoever gets it finds no commit unfinished: what a dead holder has sealed is finished first.
 * @return SHM_OK; SHM_EBUSY after some 50 us; SHM_EPERM without the right to write the segment;
 *   SHM_ECORRUPT: the log makes no sense. SHM_EOUTGROWN (this mapping is smaller than what is to
 *   be finished) and SHM_ESYS: the lock is left to others, who can
 */
int shm_writer_lock(struct shm_store *store);
/** The same for who has time: up to a second. */
int shm_writer_wait(struct shm_store *store);
void shm_writer_unlock(void);
/** Whether a dead process has left it held or a commit unfinished, and that is mended now. */
bool shm_writer_reap(struct shm_store *store);
/** Says in fault that the lock could not be taken, and who holds it. @return error */
int shm_writer_fail(const struct shm_store *store, int error, struct shm_fault *fault);
/** A robust, process-shared mutex. */
int shm_mutex_init(pthread_mutex_t *mutex);

/* segment.c */
/** The bytes of a hash table: whole extents. */
uint64_t shm_table_size(uint64_t buckets);
uint64_t shm_bucket_count(uint64_t max_users);
uint64_t shm_held_max(const struct shm_config *config);
struct shm_store *shm_store_new(const char *name, int *rc, struct shm_fault *fault);
int shm_segment_map(struct shm_store *store, struct shm_fault *fault);
void shm_segment_unmap(struct shm_store *store);
int shm_check_unique(const struct shm_config *config, struct shm_fault *fault);
/** Whether a segment of this bound can be mapped everywhere. @return SHM_EINVAL */
int shm_check_size(uint64_t size, struct shm_fault *fault);

/* takeover.c */
/** @return as shm_store_open(); SHM_ENOSEG where there is none */
int shm_take_over(struct shm_store *store, const struct shm_config *config,
                  struct shm_fault *fault);

/* slot.c */
void shm_slots_init(unsigned from, unsigned to);
unsigned shm_slots_ready(void);
/** Whether nobody lives in the slot; what a dead process left in it is cleared then. */
bool shm_slot_dead(struct shm_slot *slot);
/** The same, and nobody joins there until it is given back. @return false where somebody lives */
bool shm_slot_take(struct shm_slot *slot);
void shm_slot_give(struct shm_slot *slot);

/* reclaim.c */
/** Up to `max` steps of one block each, which says in *steps how many it made. Takes the writer
 * lock for a few of them at a time. @return SHM_OK; as shm_writer_lock() */
int shm_reclaim(struct shm_actor *actor, unsigned max, unsigned *steps);
/** What a writer does after a commit that retired so many, without the lock: the same, now and
 * then. */
void shm_reclaim_some(struct shm_actor *actor, size_t retired);

/* maintain.c */
/** After an allocation that found nothing: grows the arena or, at its bound, frees what nobody
 * needs any more. @return SHM_OK to try again; SHM_ELIMIT, SHM_ESPACE, SHM_EBUSY, SHM_ESYS */
int shm_make_room(struct shm_actor *actor, unsigned *tries);

/* grow.c */
/** Makes the arena one step larger. @return SHM_ELIMIT, SHM_ESPACE, SHM_EBUSY, SHM_ESYS */
int shm_grow(struct shm_store *store);
/** The same for who can do without: for a while after SHM_ESPACE, of whichever process, it is
 * returned again without another try. */
int shm_grow_unless_full(struct shm_store *store);
/** Makes the arena reach to this address at least, at once or not at all: by an owner at its start.
 * @return SHM_ELIMIT, SHM_ESPACE, SHM_EBUSY (the writer lock, after a second), SHM_ESYS */
int shm_grow_to(struct shm_store *store, uint64_t end, struct shm_fault *fault);
/** As control.full_at, but of this process: when its control groups had no memory to grow. */
extern uint64_t shm_group_full_at;
/** Gives the arena room ahead of the writers, where it has little. @return whether it did */
bool shm_grow_ahead(struct shm_store *store);
/** Gives [at, at + length) of the mapped file memory, in huge pages where it can. */
int shm_allocate_huge(int fd, uint64_t at, uint64_t length, struct shm_fault *fault);

/* tower.c */
unsigned shm_tower_height(uint64_t hash); /* 0: none */
/** The node of the last tower at or before seq, or NULL. */
struct shm_node *shm_tower_find(uint64_t seq);

/* Points where the tests' build kills the process. */
#ifdef SHM_TEST_HOOKS
extern void (*shm_test_hook)(const char *point);
extern unsigned shm_cursor_pass_max; /* nodes that a call of a cursor passes */
#define SHM_POINT(name)                                                                            \
    do {                                                                                           \
        if (shm_test_hook != NULL)                                                                 \
            shm_test_hook(name);                                                                   \
    } while (0)
#else
#define SHM_POINT(name)                                                                            \
    do {                                                                                           \
    } while (0)
#endif

#endif
