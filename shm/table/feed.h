/* SPDX-License-Identifier: MIT */
/*
 * The ring of the change feed. Entry n of all time is stored at index n mod SHM_FEED_SIZE.
 *
 * A writer fills the entries from feed_head on before its commit point, and logs only feed_head. A
 * death before the commit leaves garbage in entries that no follower may read. So the SHM_BATCH_MAX
 * entries ahead of feed_head are always scratch space, and entry n is valid only while
 * feed_head <= n + SHM_FEED_SIZE - SHM_BATCH_MAX. A follower first copies an entry and checks that
 * condition afterwards. Its load of feed_head comes after the copy (acquire fence). The writer's
 * stores to a scratch entry come after the feed_head that made the entry scratch (release fence). A
 * copy that saw such a store therefore sees that feed_head too.
 */
#ifndef ROSTERD_SHM_TABLE_FEED_H
#define ROSTERD_SHM_TABLE_FEED_H

#include <string.h>

#include "shm/core/dirty.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/store.h"

enum { SHM_FEED_KINDS = 256 }; /* an entry's word `what` is seq * SHM_FEED_KINDS + kind */

static inline void shm_feed_write(uint64_t n, uint64_t version, enum shm_change_kind kind,
                                  uint64_t seq, const uint8_t id[SHM_ID_SIZE])
{
    struct shm_feed_entry *entry = &shm_feed()[n % SHM_FEED_SIZE];
    uint64_t words[2];
    memcpy(words, id, sizeof(words));
    if (shm_dirty_wanted())
        shm_dirty_mark(entry, sizeof(*entry));
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&entry->version, version, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->what, seq * SHM_FEED_KINDS + kind, __ATOMIC_RELAXED);
    __atomic_store_n((uint64_t *)(void *)entry->id, words[0], __ATOMIC_RELAXED);
    __atomic_store_n((uint64_t *)(void *)entry->id + 1, words[1], __ATOMIC_RELAXED);
}

#endif
