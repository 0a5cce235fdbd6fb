/* SPDX-License-Identifier: MIT */
/* Physical redo; txn.h explains why it is safe. */
#include "shm/core/txn.h"

#include <assert.h>
#include <unistd.h>

#include "shm/core/robust_mutex.h"
#include "shm/core/test_points.h"

static uint64_t *word_at(uint64_t offset)
{
    return (uint64_t *)(uintptr_t)(SHM_BASE + offset);
}

static void log_allocator(struct shm_txn *txn)
{
    uint64_t *words = shm_control()->alloc;
    for (uint64_t dirty = txn->dirty; dirty != 0; dirty &= dirty - 1) {
        int i = __builtin_ctzll(dirty);
        shm_txn_word(txn, &words[i], txn->alloc[i]);
    }
    for (unsigned level = 0; level < txn->index_height; level++)
        shm_txn_pointer(txn, &shm_control()->index_tail[level], txn->index_tail[level]);
}

static void log_queues(struct shm_txn *txn)
{
    struct shm_queue *words[] = {&shm_control()->retired, &shm_control()->unlinked};
    for (unsigned q = 0; q < 2; q++) {
        if ((txn->queues >> q & 1) == 0)
            continue;
        shm_txn_pointer(txn, &words[q]->head, txn->queue[q].head);
        shm_txn_pointer(txn, &words[q]->tail, txn->queue[q].tail);
        shm_txn_word(txn, &words[q]->count, txn->queue[q].count);
        shm_txn_word(txn, &words[q]->bytes, txn->queue[q].bytes);
    }
}

#ifdef SHM_DEBUG_CHECKS
/* Checks that this thread holds the writer lock. */
static void check_lock(void)
{
    assert((shm_mutex_word(&shm_control()->writer) & SHM_MUTEX_HOLDER) == (uint32_t)gettid());
}
#endif

void shm_txn_seal(struct shm_txn *txn, uint64_t version)
{
    log_allocator(txn);
    log_queues(txn);
#ifdef SHM_MUTANT_GP_FIRST
    if (txn->gp != 0)
        shm_txn_word(txn, &shm_control()->gp, txn->gp);
#endif
    if (version != 0) {
        shm_txn_word(txn, &shm_control()->version, version);
        if (shm_control()->durable == 0)
            shm_txn_word(txn, &shm_control()->published, version);
    }
#ifndef SHM_MUTANT_GP_FIRST
    if (txn->gp != 0) /* after version: a reader that sees the new gp sees what retired the block */
        shm_txn_word(txn, &shm_control()->gp, txn->gp);
#endif
    assert(txn->count <= SHM_LOG_MAX);
#ifdef SHM_DEBUG_CHECKS
    check_lock();
#endif
    txn->log->count = txn->count;
    SHM_POINT("before seal");
    __atomic_store_n(&txn->log->state, SHM_LOG_SEALED, __ATOMIC_RELEASE);
    SHM_POINT("sealed");
}

#ifdef SHM_DEBUG_CHECKS
/* Checks that the list calls wrote what the log says. If a word is logged twice the last entry
 * counts. */
static void check_links(const struct shm_txn *txn)
{
    const struct shm_log_entry *entry = txn->log->entry;
    for (size_t i = 0; i < txn->links; i++) {
        size_t last = i;
        for (size_t j = i + 1; j < txn->links; j++)
            if (entry[j].offset == entry[i].offset)
                last = j;
        assert(*word_at(entry[i].offset) == entry[last].value);
    }
}
#endif

static void log_replay(struct shm_log *log)
{
    for (uint64_t i = 0; i < log->count; i++) {
        if (i == log->count / 2)
            SHM_POINT("half replayed");
        if (i + 1 == log->count)
            SHM_POINT("all but one replayed");
        __atomic_store_n(word_at(log->entry[i].offset), log->entry[i].value, __ATOMIC_RELEASE);
    }
    SHM_POINT("replayed");
    __atomic_store_n(&log->state, SHM_LOG_IDLE, __ATOMIC_RELEASE);
}

void shm_txn_apply(struct shm_txn *txn)
{
#ifdef SHM_DEBUG_CHECKS
    check_links(txn);
#endif
    assert(txn->log->state == SHM_LOG_SEALED);
    log_replay(txn->log);
}

uint64_t shm_log_end(const struct shm_log *log, uint64_t size)
{
    uint64_t end = SHM_CONTROL_AT;
    if (log->state != SHM_LOG_IDLE && log->state != SHM_LOG_SEALED)
        return 0;
    if (log->state == SHM_LOG_IDLE)
        return end;
    if (log->count > SHM_LOG_MAX)
        return 0;
    for (uint64_t i = 0; i < log->count; i++) {
        uint64_t offset = log->entry[i].offset;
        if (offset % 8 != 0 || offset < SHM_CONTROL_AT || offset > size - 8)
            return 0;
        if (offset + 8 > end)
            end = offset + 8;
    }
    return end;
}

void shm_log_replay(struct shm_log *log)
{
#ifdef SHM_MUTANT_NO_REPLAY
    log->state = SHM_LOG_IDLE;
#else
    assert(log->state == SHM_LOG_SEALED);
    log_replay(log);
#endif
}
