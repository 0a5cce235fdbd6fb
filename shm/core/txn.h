/* SPDX-License-Identifier: MIT */
/*
 * Physical redo: one transaction under the writer lock.
 *
 *   begin -> log each (word, new value) -> seal -> list calls -> apply
 *
 * No shared word changes before seal. seal is the commit point: it stores
 * SEALED with release after the entries and all the private memory that they
 * lead to, so whoever gets the mutex and finds SEALED finds them whole: from a dead
 * holder, or after one who could not finish the dead one's commit (writer_lock.c). After it everything is
 * a repetition of the log: the list calls write words that are logged (and in the new records what
 * is there already), apply writes all of them again in log order, and so does recovery. Entries are
 * absolute values, so doing it twice, or half and then whole, is the same. `version` and then `gp`
 * come last: a reader who sees one sees the rest.
 *
 * Room: an insert of SHM_BATCH_MAX users logs at most, a user: its bucket, the
 * former first node's prev, a recycled node's died, two unique indexes of two words
 * each, and SHM_LEVELS links of a tower; once: 2 of the order list, the allocator's
 * words, SHM_LEVELS tails, and a dozen counters. 256 * 19 + 2 + 64 + 12 + 12 = 4954.
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
    size_t links;  /* entries before this one are what the list calls will write */
    uint64_t loaded, dirty;          /* bit w: alloc[w] is loaded, has changed */
    uint64_t alloc[SHM_ALLOC_WORDS]; /* private copy of the allocator's words */
    struct shm_tower **index_tail[SHM_LEVELS];
    unsigned index_height;     /* levels of index_tail that have changed */
    unsigned queues;           /* bit q: queue[q] is loaded and has changed */
    struct shm_queue queue[2]; /* by enum shm_queue_name */
    uint64_t gp;               /* the new value of control.gp; 0: unchanged */
    bool tracked;              /* a verify copies the segment: mark what changes (dirty.h) */
};

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

/** What is logged so far is what the list calls will write (checked by --enable-debug-checks). */
static inline void shm_txn_links_end(struct shm_txn *txn)
{
    txn->links = txn->count;
}

/** The commit point. version 0: this transaction is none that readers see. */
void shm_txn_seal(struct shm_txn *txn, uint64_t version);
/** Stores every logged word and empties the log. */
void shm_txn_apply(struct shm_txn *txn);

/**
 * How far a log reaches: all words that it would change lie below this offset, in bytes from
 * SHM_BASE; at least SHM_CONTROL_AT.
 * @param size of the segment, in bytes up to its arena_end, however much of it is mapped here
 * @return 0 where it makes no sense: its state, its count, or an entry outside of the segment
 */
uint64_t shm_log_end(const struct shm_log *log, uint64_t size);
/** Under the writer lock, where the log is SEALED and makes sense: finishes its transaction. All
 * below shm_log_end() is mapped, to be written. */
void shm_log_replay(struct shm_log *log);

#endif
