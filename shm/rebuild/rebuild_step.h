/* SPDX-License-Identifier: MIT */
/* What the files of a rebuild share: rebuild.c says what is done and when, rebuild_move.c moves
 * a table, rebuild_fill.c fills an index. */
#ifndef ROSTERD_SHM_REBUILD_REBUILD_STEP_H
#define ROSTERD_SHM_REBUILD_REBUILD_STEP_H

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"
#include "shm/core/write_batch.h"
#include "shm/error.h"
#include "shm/store.h"

enum {
    REBUILD_IDS = SHM_KEYS,   /* as a table's number; an index's is its key's */
    REBUILD_LOG_SPARE = 16,   /* words that end a transaction */
    REBUILD_WORDS_A_NODE = 4, /* that its move logs, at most */
    REBUILD_NODES_MAX = SHM_LOG_MAX / REBUILD_WORDS_A_NODE, /* that one transaction moves */
};

struct rebuild {
    struct shm_store *store;
    const struct shm_config *config;
    struct shm_fault *fault;
    struct shm_txn txn;
    uint64_t steps;
    struct shm_batch batch;
    /* a chain, or the end of it, and the bucket that each of its nodes goes to */
    struct cds_hlist_node *node[REBUILD_NODES_MAX];
    struct cds_hlist_head *target[REBUILD_NODES_MAX];
};

static inline struct shm_rebuild *rebuild_state(void)
{
    return &shm_control()->rebuild;
}

/* The table that readers use: of the ids, or of a key. */
static inline struct shm_table *rebuild_table(unsigned which)
{
    return which == REBUILD_IDS ? &shm_control()->ids : &shm_control()->unique[which];
}

/* ---- rebuild.c ---- */

/** A step: takes the writer lock and begins a transaction. @return as shm_writer_wait() */
int rebuild_begin(struct rebuild *r);
void rebuild_commit(struct rebuild *r);
/** Logs where the rebuild stands. @param to NULL: at its end */
void rebuild_log_state(struct rebuild *r, const struct shm_table *to, uint64_t what, uint64_t done);
/** Logs a table's new place. @param value NULL: there is none any more */
void rebuild_log_table(struct rebuild *r, struct shm_table *table, const struct shm_table *value);
/** Says how far it is, now and then. */
void rebuild_tell(struct rebuild *r, const char *what, uint64_t done, uint64_t all);

#endif
