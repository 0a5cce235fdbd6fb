/* SPDX-License-Identifier: MIT */
/*
 * The shared layout: every struct that lies in the segment. It is a contract
 * between builds: shm_layout_hash() covers each size and offset here, and a
 * segment with another hash is refused. docs/store.md has the byte map.
 *
 * Pointers in here are plain addresses: every process maps the segment at
 * SHM_BASE. Words that a transaction changes are 8 bytes and 8-aligned, for
 * the redo log knows nothing smaller.
 */
#ifndef ROSTERD_SHM_CORE_LAYOUT_H
#define ROSTERD_SHM_CORE_LAYOUT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <urcu/hlist.h>
#include <urcu/list.h>

#include "shm/store.h"

/*
 * Where the segment lies in each process, and how much may lie there (SHM_SIZE_MAX). A
 * build for another architecture has another layout; a segment does not move between machines.
 *
 * x86-64: below what the kernel maps from the top down, libraries and all. It begins at most 1 TiB
 * (vm.mmap_rnd_bits 28, the default) and the stack's gap below the end of the address space: of
 * 20,000 starts none had anything below 0x7efc00000000, 432 GiB above the base. 48 GiB of them are
 * left for what a process maps before it attaches. (At 32 bits, the most that can be set, one start
 * in 44 has something in these 384 GiB and one in 4,000 in 16 GiB: see shm_exec_again().) Above
 * programs and heaps at 0x55..., above the shadow of the address sanitizer, and in the region that
 * the thread sanitizer leaves to programs, from 0x7e8000000000 on.
 *
 * Elsewhere, which is aarch64: the same address has to do for kernels with 39, 42 and 48 bits of
 * addresses. In 39 bits, 512 GiB, programs lie from two thirds on, at 341 GiB, and the kernel maps
 * from the top down, or with an unlimited stack from 128 GiB up. The address sanitizer's shadow
 * begins at 64 GiB (1 << 36) and goes to 128 GiB, or with 48 bits to 32 TiB. Below it there is
 * nothing but a program that is linked to a fixed address, with its heap, at 4 MiB: so 16 to 56
 * GiB. (36 bits, which only kernels with pages of 16 KiB can be built for, are too few.)
 */
#ifdef __x86_64__
#define SHM_BASE UINT64_C(0x7e9000000000)
_Static_assert(SHM_SIZE_MAX <= UINT64_C(384) << 30, "below 0x7ef000000000");
#else
#define SHM_BASE UINT64_C(0x400000000)
_Static_assert(SHM_SIZE_MAX <= UINT64_C(40) << 30, "8 GiB below the shadow");
#endif

#define SHM_NEVER UINT64_MAX /* `died` of what lives */
#define SHM_HUGE  (UINT64_C(2) << 20)

enum {
    SHM_PAGE = 4096, /* of the layout; the machine's may be larger */
    SHM_LINE = 64,
    SHM_GRANULE = 16,      /* nodes and blocks are multiples of it, and so are their addresses */
    SHM_SECRET_SIZE = 192, /* as XXH3_64bits_withSecret() likes it */
    SHM_LOG_MAX = 5372,    /* entries: see the sum in txn.h */
    SHM_FEED_SIZE = 16384, /* entries of the ring, a power of two */
    SHM_PINS = 126,        /* a slot */
    SHM_LEVELS = 12,       /* of the sparse index */
    SHM_EXTENT = 64 << 10, /* what is taken from the arena at a time */
    SHM_CLASSES = 56,      /* size classes of blocks: see alloc.c */
    SHM_SLOTS_STEP = 16,   /* slots made at a time */
};

/* ---- page 0: written once, before the segment has a name ---- */

struct shm_header {
    char magic[8];
    uint64_t layout; /* shm_layout_hash() */
    uint64_t base;
    uint64_t created_at; /* seconds since the epoch */
    uint64_t reserved0[4];
    uint8_t secret[SHM_SECRET_SIZE]; /* keys the hash, against chosen ids */
    uint8_t reserved[SHM_PAGE - 64 - SHM_SECRET_SIZE - 8];
    uint64_t check; /* over all before it */
};
_Static_assert(sizeof(struct shm_header) == SHM_PAGE, "page 0");

/* ---- records ---- */

/* A block of a body's or a tower's size starts with `link`. While the block is
 * free it leads to the next free one, while it is retired to the next retired
 * one; building a record in a free block leaves it alone, so that a death
 * before the commit point leaves the free list whole. */

/** One version of a user, newest first. */
struct shm_body {
    struct shm_body *link;  /* next free, retired or held; see above */
    struct shm_body *prev;  /* the older version */
    struct shm_body **from; /* the word that leads here: its node's body, a newer one's prev */
    uint64_t born;          /* the commit that made it */
    uint64_t died;          /* the commit that replaced or deleted it */
    uint64_t token;         /* its grace period, once retired */
    uint32_t check;         /* over born, length and bytes */
    uint16_t length;        /* of bytes */
    uint16_t state;         /* enum shm_body_state */
    uint8_t bytes[];
};
_Static_assert(sizeof(struct shm_body) == 56, "a body's head");

enum shm_body_state {
    SHM_BODY_LIVE = 1,
    SHM_BODY_REPLACED, /* retired by an update, still in the chain */
    SHM_BODY_DELETED,  /* the newest of a deleted user: stands for its node too */
    SHM_BODY_UNLINKED, /* out of the chain, waits for a second grace period */
    SHM_BODY_LAST,     /* was DELETED, out of the chain with its node (`from`) and tower */
    SHM_BODY_RESERVED, /* in its slot's reserve: being filled, for a batch that is to come. Or LIVE:
                          that batch has built it, and is not committed */
};

/**
 * A user's identity. Its first body lies behind it where the allocator could do so: a lookup
 * reads the end of the node and the body, side by side, and asks for both at once.
 */
struct shm_node {
    struct cds_list_head order; /* by seq; unlinked: prev is its tower or NULL */
    uint64_t born;
    uint64_t died;                   /* free node: the next free one */
    struct cds_hlist_node unique[2]; /* by user name, by e-mail */
    uint64_t hash;
    uint32_t check; /* over id, seq, born, hash */
    uint32_t state; /* enum shm_node_state */
    uint64_t seq;   /* creation order, from 1 */
    struct cds_hlist_node by_id;
    uint8_t id[SHM_ID_SIZE];
    struct shm_body *body; /* the newest */
};
_Static_assert(sizeof(struct shm_node) == 128 && sizeof(struct shm_node) % SHM_GRANULE == 0,
               "nodes and blocks lie side by side");

enum shm_node_state { SHM_NODE_LIVE = 1, SHM_NODE_UNLINKED };

/** An entry of the sparse index by seq: one user in 64 has one. */
struct shm_tower {
    struct shm_body *link; /* next free */
    struct shm_node *node;
    uint64_t seq;    /* of node */
    uint64_t height; /* of next, 1 to SHM_LEVELS */
    struct shm_tower *next[];
};
_Static_assert(sizeof(struct shm_tower) == 32, "a tower's head");

/* ---- control pages ---- */

/** Retired bodies, oldest first. Changed under the writer lock, by the log. */
struct shm_queue {
    struct shm_body *head, *tail;
    uint64_t count, bytes;
};
_Static_assert(sizeof(struct shm_queue) == 32, "a queue");

/** The array of a hash table: a run of the arena's extents. NULL and 0: there is none. */
struct shm_table {
    struct cds_hlist_head *buckets;
    uint64_t count; /* of buckets, a power of two */
};

/** How far a table has been built by a take-over that may be killed; see rebuild.c. */
struct shm_rebuild {
    struct shm_table to; /* NULL: none is under way */
    uint64_t what;       /* enum shm_rebuild_what */
    uint64_t done;       /* old buckets moved, the last seq in the index, or extents freed */
};
enum shm_rebuild_what {
    SHM_REBUILD_IDS = 0,   /* the ids move to a larger table */
    SHM_REBUILD_UNIQUE,    /* + the key's number: a new index is filled */
    SHM_REBUILD_MOVE = 8,  /* + the key's number: an index moves to a larger table */
    SHM_REBUILD_FREE = 16, /* `to` is a table that is not used any more */
};

/** The allocator's words. The first SHM_CLASSES are heads of free lists. */
enum shm_alloc_word {
    SHM_ALLOC_NODE_FREE = SHM_CLASSES, /* linked through died */
    SHM_ALLOC_CUR,                     /* the unused rest of the current extent */
    SHM_ALLOC_END,
    SHM_ALLOC_ARENA_CUR,  /* the first extent never used */
    SHM_ALLOC_BYTES_USED, /* nodes and blocks that are not free */
    SHM_ALLOC_RESERVED,   /* from here on: 0 */
    SHM_ALLOC_WORDS = 64,
};
_Static_assert(SHM_ALLOC_RESERVED < SHM_ALLOC_WORDS && SHM_ALLOC_WORDS <= 64,
               "a transaction keeps a bit for each");

struct shm_control {
    /* read by everybody, written once a commit */
    uint64_t version;       /* commits so far */
    uint64_t gp;            /* grace periods so far, from 1 */
    uint64_t slots_ready;   /* slots that have memory: [0, slots_ready) */
    uint64_t pid_namespace; /* of the owner: robust mutexes need one for all */
    uint64_t tracker;       /* 0, or 1 + the slot that wants the dirty map written; see dirty.h */
    uint64_t reserved0[3];

    pthread_mutex_t writer; /* robust, process-shared */
    uint8_t pad0[SHM_LINE - sizeof(pthread_mutex_t)];

    /* under the writer lock from here on; readers of the feed and tools look, too */
    uint64_t users;
    uint64_t seq;       /* the last given out */
    uint64_t feed_head; /* entries ever written to the feed */
    uint64_t arena_end; /* address: what lies below has memory */
    uint64_t max_users;
    uint64_t limit;   /* bytes of address space, the bound of arena_end */
    uint64_t full_at; /* us of CLOCK_MONOTONIC: no memory to grow then. A hint, not logged */
    uint64_t reserved1;

    struct cds_list_head order; /* users by seq */
    struct shm_table ids;
    struct shm_table unique[SHM_KEYS];

    uint64_t alloc[SHM_ALLOC_WORDS];

    struct shm_tower *index[SHM_LEVELS];       /* the sparse index: first of each level */
    struct shm_tower **index_tail[SHM_LEVELS]; /* the next[] word to append to */

    struct shm_queue retired;  /* waiting for the readers of their time */
    struct shm_queue unlinked; /* waiting for those who may still hold a pointer */
    uint64_t held_count;       /* bodies that only pins keep: the sum over all pins */
    uint64_t held_bytes;
    uint64_t held_max; /* bytes; beyond, the oldest pin is revoked */
    uint64_t reserved2;
    struct shm_rebuild rebuild;

    uint8_t reserved[SHM_PAGE - 4 * SHM_LINE - 8 * SHM_ALLOC_WORDS - 16 * SHM_LEVELS - 128];
};
_Static_assert(sizeof(struct shm_control) == SHM_PAGE, "one control page");
_Static_assert(offsetof(struct shm_control, users) == 2 * SHM_LINE, "a mutex fits a line");
_Static_assert(offsetof(struct shm_control, alloc) == 4 * SHM_LINE, "tables fill a line");

struct shm_log_entry {
    uint64_t offset; /* of the word, from SHM_BASE */
    uint64_t value;
};

enum shm_log_state { SHM_LOG_IDLE = 0, SHM_LOG_SEALED = 1 };

struct shm_log {
    uint64_t state;
    uint64_t count;
    uint64_t reserved[6];
    struct shm_log_entry entry[SHM_LOG_MAX];
};
_Static_assert(sizeof(struct shm_log) == 64 + 16 * SHM_LOG_MAX, "the redo log");

struct shm_feed_entry {
    uint64_t version;
    uint64_t kind; /* enum shm_change_kind */
    uint8_t id[SHM_ID_SIZE];
};
_Static_assert(sizeof(struct shm_feed_entry) == 32, "two a line");

/** A snapshot's hold on its version: a line, of which the slot's process writes
 * the first three words (and clears `revoked` when it begins), reclaim the others. */
struct shm_pin {
    uint64_t version;
    uint64_t count;   /* snapshots that share it; 0: free, if held is NULL */
    uint64_t started; /* ms of CLOCK_MONOTONIC, of the first of them */

    uint64_t held_for;     /* the version that `held` and `revoked` are about; by the log, like */
    struct shm_body *held; /* retired, and kept for this pin */
    uint64_t held_count, held_bytes;
    uint64_t revoked; /* 0, or the token after whose grace period this pin keeps nothing */
};
_Static_assert(sizeof(struct shm_pin) == SHM_LINE, "a line");

struct shm_slot {
    pthread_mutex_t life; /* robust: held while the process lives */
    uint8_t pad0[48 - sizeof(pthread_mutex_t)];
    uint32_t state; /* 0 free, 1 taken */
    uint32_t pid;   /* for people: liveness is the mutex */
    uint32_t kind;  /* enum shm_actor_kind */
    uint32_t number;

    uint64_t ctr; /* 0 offline, else the gp seen when it went online */
    uint64_t started_at;
    uint64_t pins_high;       /* pins ever used, of all the slot's processes: [0, pins_high) */
    struct shm_body *reserve; /* blocks that wait for a batch: see reserve.h. By the log */
    uint64_t reserve_count;
    uint64_t reserved[3];

    struct shm_pin pins[SHM_PINS];
};
_Static_assert(offsetof(struct shm_slot, pins) == 128, "two lines a slot's head");
_Static_assert(sizeof(struct shm_slot) == 2 * SHM_PAGE, "two pages a slot");

/* ---- where things lie: offsets from SHM_BASE ---- */

enum {
    SHM_CONTROL_AT = SHM_PAGE,
    SHM_LOG_AT = 2 * SHM_PAGE,
    SHM_FEED_AT = 24 * SHM_PAGE,
    SHM_DIRTY_AT = SHM_FEED_AT + SHM_FEED_SIZE * 32, /* a bitmap of pages; see dirty.h */
    SHM_DIRTY_BITS = 1 << 20,
    SHM_CONTROL_END = SHM_DIRTY_AT + SHM_DIRTY_BITS / 8, /* no memory, up to the slots */
    SHM_SLOTS_AT = 1 << 20,
    SHM_ARENA_AT = 10 << 20,
};
_Static_assert(SHM_LOG_AT + sizeof(struct shm_log) <= SHM_FEED_AT, "the log ends before the feed");
_Static_assert(SHM_CONTROL_END <= SHM_SLOTS_AT && SHM_CONTROL_END % SHM_PAGE == 0,
               "the dirty map ends before the slots");
_Static_assert(SHM_SLOTS_AT + SHM_SLOTS * sizeof(struct shm_slot) <= SHM_ARENA_AT,
               "the slots end before the arena");
_Static_assert(sizeof(void *) == 8 && sizeof(pthread_mutex_t) <= 48, "a 64-bit machine");

/** The smallest multiple of `to` that is at least n. */
static inline uint64_t shm_round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/** The fingerprint of this layout. */
uint64_t shm_layout_hash(void);
/** What header->check must be. */
uint64_t shm_header_check(const struct shm_header *header);

#endif
