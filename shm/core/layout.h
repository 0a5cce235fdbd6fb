/* SPDX-License-Identifier: MIT */
/*
 * The shared layout: every struct that lies in the segment. It is a contract between builds:
 * shm_layout_hash() covers each size and offset here, and a process refuses a segment with another
 * hash. docs/store.md has the byte map.
 *
 * Pointers in these structs are plain addresses, because every process maps the segment at
 * SHM_BASE. Words that a transaction changes have 8 bytes and are 8-aligned, because an entry of
 * the redo log is one such word.
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
 * The address of the segment in each process; SHM_SIZE_MAX bytes may be mapped there. Another
 * architecture has another address, hence another layout: a segment does not move between machines.
 *
 * x86-64: the kernel maps libraries and everything else from the top of the address space down. It
 * starts at most 1 TiB (vm.mmap_rnd_bits = 28, the default) plus the stack's gap below the end of
 * the address space: of 20,000 started processes none had a mapping below 0x7efc00000000, which is
 * 432 GiB above SHM_BASE. A segment takes up to 384 GiB of that; 48 GiB remain for what a process
 * maps before it attaches. (With mmap_rnd_bits = 32, the maximum, one process in 44 has a mapping
 * in the 384 GiB, and one in 4,000 in the first 16 GiB: see shm_exec_again().) SHM_BASE is above
 * programs and heaps at 0x55..., above the address sanitizer's shadow, and in the region that the
 * thread sanitizer leaves to the program, from 0x7e8000000000 on.
 *
 * Other architectures, in practice aarch64: one address must fit kernels with 39, 42 and 48 address
 * bits. With 39 bits (512 GiB) programs lie at 341 GiB (two thirds) and above, and the kernel maps
 * from the top down or, with an unlimited stack, from 128 GiB up. The address sanitizer's shadow
 * starts at 64 GiB (1 << 36) and ends at 128 GiB, with 48 bits at 32 TiB. Below 64 GiB there is
 * only a program that is linked to a fixed address, with its heap, at 4 MiB. So the segment lies
 * from 16 to 56 GiB. (36 bits, possible only on kernels with 16 KiB pages, are too few.)
 */
#ifdef __x86_64__
#define SHM_BASE UINT64_C(0x7e9000000000)
_Static_assert(SHM_SIZE_MAX <= UINT64_C(384) << 30, "below 0x7ef000000000");
#else
#define SHM_BASE UINT64_C(0x400000000)
_Static_assert(SHM_SIZE_MAX <= UINT64_C(40) << 30, "ends 8 GiB below the shadow");
#endif

#define SHM_NEVER UINT64_MAX /* `died` of a node or body that is not deleted */
#define SHM_HUGE  (UINT64_C(2) << 20)

enum {
    SHM_PAGE = 4096, /* the layout's unit; the machine's pages may be larger */
    SHM_LINE = 64,
    SHM_GRANULE = 16,      /* sizes and addresses of nodes and blocks are multiples of it */
    SHM_SECRET_SIZE = 192, /* the size of XXH3's default secret */
    SHM_LOG_MAX = 5372,    /* entries of the redo log: see the sum in txn.h */
    SHM_FEED_SIZE = 16384, /* entries of the feed's ring, a power of two */
    SHM_PINS = 126,        /* per slot */
    SHM_LEVELS = 12,       /* of the sparse index by sequence number */
    SHM_EXTENT = 64 << 10, /* bytes that the allocator takes from the arena at a time */
    SHM_CLASSES = 56,      /* size classes of blocks: see alloc.c */
    SHM_SLOTS_STEP = 16,   /* slots that get memory at a time */
    SHM_REQUESTS_SIZE = SHM_REQUESTS_MAX + 1, /* entries of the requests' ring, a power of two */
};

/* ---- page 0: written once, before the file gets its name ---- */

struct shm_header {
    char magic[8];
    uint64_t layout; /* shm_layout_hash() */
    uint64_t base;
    uint64_t created_at;                 /* seconds since the epoch */
    uint8_t store_id[SHM_STORE_ID_SIZE]; /* identifies the table, here and in its data file */
    uint64_t reserved0[2];
    uint8_t
        secret[SHM_SECRET_SIZE]; /* keys the hashes, so that no client can choose colliding ids */
    uint8_t reserved[SHM_PAGE - 64 - SHM_SECRET_SIZE - 8];
    uint64_t check; /* checksum of everything before it */
};
_Static_assert(sizeof(struct shm_header) == SHM_PAGE, "page 0");

/* ---- records ---- */

/* Bodies and towers lie in blocks. A block starts with `link`, which points to the next block of
 * the list that the block is in: of free, retired or held blocks. Building a record in a free block
 * does not touch `link`, so that the free list is intact if the process dies before its commit. */

/** One version of a user, newest first. */
struct shm_body {
    struct shm_body *link;  /* next block of the list; see above */
    struct shm_body *prev;  /* the older version */
    struct shm_body **from; /* the word that points here: node->body, or a newer body's prev */
    uint64_t born;          /* the commit that made it */
    uint64_t died;          /* the commit that replaced or deleted it */
    uint64_t token;         /* grace period to wait for, once retired: grace.h */
    union {
        struct {
            uint32_t check;       /* over born and both parts of bytes */
            uint16_t length;      /* of the body proper, the first part of bytes */
            uint16_t hidden : 12, /* length of the second part */
                state : 4;        /* enum shm_body_state */
        };
        uint16_t quarter[4]; /* the last one: hidden and state */
        uint64_t word;       /* these four: a commit that changes the state stores it */
    };
    uint8_t bytes[];
};
_Static_assert(sizeof(struct shm_body) == 56, "a body's head");
_Static_assert(SHM_BODY_MAX < 1 << 12, "lengths fit");

/* Where the fields lie in `word`. */
enum { SHM_BODY_LENGTH_SHIFT = 32, SHM_BODY_HIDDEN_SHIFT = 48, SHM_BODY_STATE_SHIFT = 60 };

enum shm_body_state {
    SHM_BODY_LIVE = 1,
    SHM_BODY_REPLACED, /* retired by an update, still in the chain */
    SHM_BODY_DELETED,  /* retired, the newest body of a deleted user: represents the node, too */
    SHM_BODY_UNLINKED, /* out of the chain, waits for a second grace period */
    SHM_BODY_LAST,     /* was DELETED; out of all lists together with its node (`from`) and tower */
    SHM_BODY_RESERVED, /* in its slot's reserve, while the process fills it for its next batch. (A
                          body in the reserve may be LIVE: the batch is built, not committed) */
};

/**
 * A user's identity, with its unique keys: a user whose keys change gets another node (rename.h).
 * Where the allocator can, it places the user's first body right behind the
 * node: a lookup reads the end of the node and the body, and prefetches both together.
 */
struct shm_node {
    struct cds_list_head order;      /* by seq; unlinked: prev is the node's tower or NULL */
    uint64_t born;                   /* the commit that made the node */
    uint64_t died;                   /* the commit that ended it; free node: the next free one */
    struct cds_hlist_node unique[2]; /* by user name, by e-mail */
    uint64_t hash;
    uint32_t check; /* over id, seq, born, hash, and whether it is SHM_NODE_RENAMED */
    uint32_t state; /* enum shm_node_state */
    uint64_t seq;   /* the user's, in order of creation, from 1 */
    struct cds_hlist_node by_id;
    uint8_t id[SHM_ID_SIZE];
    struct shm_body *body; /* the newest */
};
_Static_assert(sizeof(struct shm_node) == 128 && sizeof(struct shm_node) % SHM_GRANULE == 0,
               "nodes and blocks may be neighbours");

enum shm_node_state {
    SHM_NODE_LIVE = 1,
    SHM_NODE_UNLINKED,
    SHM_NODE_RENAMED = 4, /* a bit: it took the place of an older node of its user: rename.h */
};

/** An entry of the sparse index by seq: one user in 64 has one. */
struct shm_tower {
    struct shm_body *link; /* next free block */
    struct shm_node *node; /* the newest of its user */
    uint64_t seq;          /* of node */
    uint64_t height;       /* entries of next, 1 to SHM_LEVELS */
    struct shm_tower *next[];
};
_Static_assert(sizeof(struct shm_tower) == 32, "a tower's head");

/* ---- control pages ---- */

/** A queue of retired bodies, oldest first. Changed under the writer lock, through the log. */
struct shm_queue {
    struct shm_body *head, *tail;
    uint64_t count, bytes;
};
_Static_assert(sizeof(struct shm_queue) == 32, "a queue's size");

/** A hash table's array: consecutive extents of the arena. {NULL, 0}: no table. */
struct shm_table {
    struct cds_hlist_head *buckets;
    uint64_t count; /* of buckets, a power of two */
};

/** How far a take-over, which may be killed, has built a table; see rebuild.c. */
struct shm_rebuild {
    struct shm_table to; /* the table; {NULL, 0}: no rebuild is under way */
    uint64_t what;       /* enum shm_rebuild_what */
    uint64_t done;       /* old buckets moved, last seq in the new index, or extents freed */
};
enum shm_rebuild_what {
    SHM_REBUILD_IDS = 0,   /* the ids move to a larger table */
    SHM_REBUILD_UNIQUE,    /* + the key's number: a new index is filled */
    SHM_REBUILD_MOVE = 8,  /* + the key's number: an index moves to a larger table */
    SHM_REBUILD_FREE = 16, /* `to` is an unused table whose memory is being freed */
};

/** What is known of the data file, to which a journal process writes the table (disk.h). */
struct shm_disk {
    uint64_t state; /* enum shm_disk_state; by the journal, and by an owner at its start */
    uint64_t error; /* errno of the failure that the state is about, or 0 */
    uint64_t since; /* ms of CLOCK_MONOTONIC: when the state changed */

    /* written through the log */
    uint64_t version; /* the last commit that the file has */
    uint64_t feed;    /* feed_head as of that commit */
    uint64_t users;   /* as of the published commit, if `durable` is set */

    uint32_t bell;     /* a futex: changes when the journal has to wake up (bell.h) */
    uint32_t sleeping; /* 1: the journal sleeps, or is about to */
    uint64_t failed;   /* ms of CLOCK_MONOTONIC: when `error` came first, maybe states before */
    char path[SHM_DATA_FILE_MAX]; /* the file's, absolute; by an owner at its start; "": none */
};
_Static_assert(sizeof(struct shm_disk) == 64 + SHM_DATA_FILE_MAX, "a line and the path");

/** A request that was done. Number n of all time lies at index n mod SHM_REQUESTS_SIZE. */
struct shm_request_entry {
    uint8_t id[SHM_ID_SIZE];
    uint8_t user[SHM_ID_SIZE];
    uint64_t version;     /* the commit that did it */
    uint64_t time;        /* seconds since the epoch */
    uint64_t fingerprint; /* the caller's, of its contents */
    uint32_t back;        /* the chain goes on so many numbers before this one; 0: it ends */
    uint32_t check;       /* over all of the above */
};
_Static_assert(sizeof(struct shm_request_entry) == SHM_LINE, "one cache line");

/** The requests that were done: requests.h. Zeroed: they have no memory yet. */
struct shm_requests {
    struct shm_request_entry *entries; /* SHM_REQUESTS_SIZE of them, and as many chains' heads */
    uint64_t count;                    /* requests ever noted */
};
/* Their memory: consecutive extents of the arena. */
enum { SHM_REQUESTS_BYTES = SHM_REQUESTS_SIZE * (SHM_LINE + 8) };
_Static_assert(SHM_REQUESTS_BYTES % SHM_EXTENT == 0, "whole extents");

/** The allocator's words. The first SHM_CLASSES are heads of free lists. */
enum shm_alloc_word {
    SHM_ALLOC_NODE_FREE = SHM_CLASSES, /* linked through died */
    SHM_ALLOC_CUR,                     /* [CUR, END) is the unused rest of the current extent */
    SHM_ALLOC_END,
    SHM_ALLOC_ARENA_CUR,  /* the first extent that was never used */
    SHM_ALLOC_BYTES_USED, /* nodes and blocks that are not free */
    SHM_ALLOC_RESERVED,   /* this word and those after it are 0 */
    SHM_ALLOC_WORDS = 64,
};
_Static_assert(SHM_ALLOC_RESERVED < SHM_ALLOC_WORDS && SHM_ALLOC_WORDS <= 64,
               "a transaction keeps a bit per word");

struct shm_control {
    /* read by all processes, written once per commit */
    uint64_t version;       /* commits so far */
    uint64_t published;     /* the commit that readers see: publication.h */
    uint64_t published_gp;  /* the token of the grace period that began when `published` was set */
    uint64_t gp;            /* grace periods started so far, from 1: grace.h */
    uint64_t slots_ready;   /* slots that have memory: [0, slots_ready) */
    uint64_t pid_namespace; /* the owner's: robust mutexes work within one namespace only */
    uint64_t tracker;       /* 0, or 1 + the slot whose verify needs the dirty map: dirty.h */
    uint64_t durable;       /* 1: shm_publish() sets `published`; 0: each commit does */

    pthread_mutex_t writer; /* robust, process-shared */
    uint8_t pad0[SHM_LINE - sizeof(pthread_mutex_t)];

    /* Written under the writer lock from here on. Followers of the feed and tools read it, too. */
    uint64_t users;
    uint64_t seq;       /* the last sequence number given to a user */
    uint64_t feed_head; /* entries ever written to the feed */
    uint64_t arena_end; /* address; the arena has memory below it */
    uint64_t max_users;
    uint64_t limit;   /* segment-size in bytes: arena_end - SHM_BASE is at most this */
    uint64_t full_at; /* us of CLOCK_MONOTONIC: when a growth found no memory. A hint, not logged */
    uint64_t reserved1;

    struct cds_list_head order; /* users by seq */
    struct shm_table ids;
    struct shm_table unique[SHM_KEYS];

    uint64_t alloc[SHM_ALLOC_WORDS];

    struct shm_tower *index[SHM_LEVELS];       /* the sparse index: first tower of each level */
    struct shm_tower **index_tail[SHM_LEVELS]; /* the next[] word to append to */

    struct shm_queue retired;  /* wait until no reader can look for them */
    struct shm_queue unlinked; /* wait until no reader can hold a pointer to them */
    uint64_t held_count;       /* bodies that only pins keep: the sum over all pins */
    uint64_t held_bytes;
    uint64_t held_max; /* bytes; beyond it the oldest pins are revoked */
    uint64_t reserved2;
    struct shm_rebuild rebuild;
    uint64_t feed_first; /* the first entry ever written to the ring; those before it never were */
    uint64_t feed_from;  /* the version before that entry's: the ring has no change up to it */
    uint64_t feed_rebuilt; /* the ring's entries up to this version were made by a load; 0: none */
    uint64_t reserved3;
    struct shm_disk disk;
    struct shm_requests requests;
    /* Of an index that was made later than the users: the commit from which on it has them. Whoever
     * sees an older one does not find in it who was deleted or had another key then. */
    uint64_t index_from[SHM_KEYS];

    uint8_t reserved[SHM_PAGE - 4 * SHM_LINE - 8 * SHM_ALLOC_WORDS - 16 * SHM_LEVELS - 160 -
                     sizeof(struct shm_disk) - sizeof(struct shm_requests) - 8 * SHM_KEYS];
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

/* Versions and sequence numbers of a loaded table are less; those that commits give cannot come
 * this far. A sequence number is the upper 56 bits of a feed entry's `what`. */
#define SHM_COUNT_MAX (UINT64_C(1) << 56)

struct shm_feed_entry {
    uint64_t version;
    uint64_t what; /* the user's sequence number, times 256, plus enum shm_change_kind */
    uint8_t id[SHM_ID_SIZE];
};
_Static_assert(sizeof(struct shm_feed_entry) == 32, "two per cache line");

/** A pin keeps the memory of one version for the snapshots that share it. The slot's process writes
 * the first three words, and clears `revoked` when it begins a pin; reclaim writes the others. */
struct shm_pin {
    uint64_t version;
    uint64_t count;   /* snapshots that share it; 0: free, if held is NULL */
    uint64_t started; /* ms of CLOCK_MONOTONIC: when the first of them began */

    /* written through the log */
    uint64_t held_for;     /* the version that `held` and `revoked` are about */
    struct shm_body *held; /* list of retired bodies that are kept for this pin */
    uint64_t held_count, held_bytes;
    uint64_t revoked; /* 0, or the token after whose grace period this pin keeps nothing */
};
_Static_assert(sizeof(struct shm_pin) == SHM_LINE, "one cache line");

struct shm_slot {
    pthread_mutex_t life; /* robust; the slot's process holds it as long as it lives */
    uint8_t pad0[48 - sizeof(pthread_mutex_t)];
    uint32_t state; /* 0: free, 1: taken */
    uint32_t pid;   /* for people; the mutex tells whether the process lives */
    uint32_t kind;  /* enum shm_actor_kind */
    uint32_t number;

    uint64_t ctr; /* 0: offline; else the gp that the process saw when it went online */
    uint64_t started_at;
    uint64_t pins_high; /* pins [0, pins_high) have ever been used, by any process in the slot */
    struct shm_body *reserve; /* blocks for the next batch: reserve.h. Written through the log */
    uint64_t reserve_count;
    uint64_t waits; /* the process waits for this commit to be published; 0: for none */
    uint64_t reserved[2];

    struct shm_pin pins[SHM_PINS];
};
_Static_assert(offsetof(struct shm_slot, pins) == 128, "a slot's head has two cache lines");
_Static_assert(sizeof(struct shm_slot) == 2 * SHM_PAGE, "a slot has two pages");

/* ---- where things lie: offsets from SHM_BASE ---- */

enum {
    SHM_CONTROL_AT = SHM_PAGE,
    SHM_LOG_AT = 2 * SHM_PAGE,
    SHM_FEED_AT = 24 * SHM_PAGE,
    SHM_DIRTY_AT = SHM_FEED_AT + SHM_FEED_SIZE * 32, /* the dirty map: dirty.h */
    SHM_DIRTY_BITS = 1 << 20,
    SHM_CONTROL_END = SHM_DIRTY_AT + SHM_DIRTY_BITS / 8, /* a hole from here to the slots */
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
