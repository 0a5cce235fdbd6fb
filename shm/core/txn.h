/* SPDX-License-Identifier: MIT */
/*
 * Transactions with a physical redo log: one at a time, under the writer lock.
 *
 *   begin -> log each (word, new value) -> seal -> list calls -> apply
 *
 * No shared word changes before seal, which is the commit point. seal stores SEALED with release,
 * after the entries and all private memory that they point to. So a process that takes the lock
 * later and finds SEALED finds all of that complete, whether the last holder died or could not
 * finish a dead holder's commit (writer_lock.c).
 *
 * After seal everything only repeats the log: the list calls write words that are logged (and, in
 * new records, values that are there already), apply writes all logged words in the log's order,
 * and recovery does the same. Entries are absolute values, so writing them twice, or partly and
 * then completely, gives the same result. `version` and then `gp` are the last entries: a reader
 * that sees their new value sees all others.
 *
 * Size: an insert of SHM_BATCH_MAX users logs at most, per user: its bucket, the former first
 * node's prev, a recycled node's died, two words in each of two unique indexes, and SHM_LEVELS
 * links of a tower; and once: 2 words of the order list, the allocator's words, SHM_LEVELS tails,
 * and a dozen counters. 256 * 19 + 2 + 64 + 12 + 12 = 4954. (A write of one user also logs two
 * words of its request.)
 */
#ifndef ROSTERD_SHM_CORE_TXN_H
#define ROSTERD_SHM_CORE_TXN_H

#include <stdbool.h>

#include "shm/core/dirty.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/store.h"

_Static_assert(SHM_BATCH_MAX *(7 + SHM_LEVELS) + 2 + SHM_ALLOC_WORDS + SHM_LEVELS + 12 <=
                   SHM_LOG_MAX,
               "the largest batch fits the log");

enum shm_queue_name { SHM_RETIRED, SHM_UNLINKED };

/** A transaction that is being built, under the writer lock. */
struct shm_txn {
    struct shm_log *log;
    bool at_bound; /* the arena cannot grow: free blocks may be split. Set before shm_txn_begin() */
    size_t count;  /* entries logged */
    size_t links;  /* the list calls will write the entries before this one */
    uint64_t loaded, dirty;          /* bit w: alloc[w] is loaded, has changed */
    uint64_t alloc[SHM_ALLOC_WORDS]; /* private copy of the allocator's words */
    struct shm_tower **index_tail[SHM_LEVELS];
    unsigned index_height;     /* levels of index_tail that have changed */
    unsigned queues;           /* bit q: queue[q] is loaded and has changed */
    struct shm_queue queue[2]; /* by enum shm_queue_name */
    uint64_t gp;               /* the new value of control.gp; 0: unchanged */
    bool tracked;              /* a verify copies the segment: mark what changes (dirty.h) */
};

/** Starts a transaction with an empty log. `at_bound` keeps its value. */
static inline void shm_txn_begin(struct shm_txn *txn)
{
    txn->log = shm_log();
    txn->count = 0;
    txn->links = 0;
    txn->loaded = 0;
    txn->dirty = 0;
    txn->index_height = 0;
    txn->queues = 0;
    txn->gp = 0;
    txn->tracked = shm_dirty_wanted();
}

/** Logs the new value of a word of the segment. */
static inline void shm_txn_word(struct shm_txn *txn, const void *word, uint64_t value)
{
    struct shm_log_entry *entry = &txn->log->entry[txn->count++];
    if (txn->tracked)
        shm_dirty_mark(word, sizeof(value));
    entry->offset = (uint64_t)(uintptr_t)word - SHM_BASE;
    entry->value = value;
}

static inline void shm_txn_pointer(struct shm_txn *txn, const void *word, const void *value)
{
    shm_txn_word(txn, word, (uint64_t)(uintptr_t)value);
}

/** Notes that the entries so far are the words which the list calls will write. Builds with
 * --enable-debug-checks check that. */
static inline void shm_txn_links_end(struct shm_txn *txn)
{
    txn->links = txn->count;
}

/** Commits. @param version the new version; 0: readers see no difference, the version stays */
void shm_txn_seal(struct shm_txn *txn, uint64_t version);
/** Stores every logged word in the segment and empties the log. */
void shm_txn_apply(struct shm_txn *txn);

/**
 * The end of what a log changes: all its words lie below this offset from SHM_BASE, in bytes, which
 * is at least SHM_CONTROL_AT.
 * @param size of the segment up to its arena_end, in bytes, however much of it is mapped here
 * @return 0: the log is invalid: its state, its count, or an entry outside of the segment
 */
uint64_t shm_log_end(const struct shm_log *log, uint64_t size);
/** Finishes the transaction of a SEALED, valid log. Under the writer lock; everything below
 * shm_log_end() must be mapped writable. */
void shm_log_replay(struct shm_log *log);

#endif
