/* SPDX-License-Identifier: MIT */
/*
 * Physical redo: one transaction under the writer lock.
 *
 *   begin -> log each (word, new value) -> seal -> list calls -> apply
 *
 * No shared word changes before seal. seal is the commit point: it stores
 * SEALED with release after the entries and all the private memory that they
 * lead to, so whoever finds SEALED, through the mutex of a dead holder, finds
 * them whole. After it everything is a repetition of the log: the list calls
 * write words that are logged (and in the new records what is there already),
 * apply writes all of them again in log order, and so does recovery. Entries
 * are absolute values, so doing it twice, or half and then whole, is the same.
 * `version` and then `gp` come last: a reader who sees one sees the rest.
 *
 * Room: an insert of SHM_BATCH_MAX users logs at most, a user: its bucket, the
 * former first node's prev, a recycled node's died, two unique indexes of two words
 * each, and SHM_LEVELS links of a tower; once: 2 of the order list, the allocator's
 * words, SHM_LEVELS tails, and a dozen counters. 256 * 19 + 2 + 64 + 12 + 12 = 4954.
 */
#ifndef ROSTERD_SHM_LOG_H
#define ROSTERD_SHM_LOG_H

#include "shm/dirty.h"
#include "shm/internal.h"

_Static_assert(SHM_BATCH_MAX *(7 + SHM_LEVELS) + 2 + SHM_ALLOC_WORDS + SHM_LEVELS + 12 <=
                   SHM_LOG_MAX,
               "the largest batch fits the log");

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

/** Under the lock of a dead holder: finishes or drops its transaction. @return SHM_ECORRUPT */
int shm_log_recover(struct shm_log *log, uint64_t size);
/** Whether every entry leads into [0, size). */
bool shm_log_sane(const struct shm_log *log, uint64_t size);

#endif
