/* SPDX-License-Identifier: MIT */
/* The steps of a rebuild: a transaction each, under the writer lock. rebuild.c decides which; it
 * uses rebuild_move.c to move a table and rebuild_fill.c to fill an index. */
#ifndef ROSTERD_SHM_REBUILD_REBUILD_STEP_H
#define ROSTERD_SHM_REBUILD_REBUILD_STEP_H

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"
#include "shm/core/write_batch.h"
#include "shm/error.h"
#include "shm/store.h"

enum {
    REBUILD_IDS = SHM_KEYS,   /* number of the table of ids; an index has its key's number */
    REBUILD_LOG_SPARE = 16,   /* log entries kept free for the end of a transaction */
    REBUILD_WORDS_A_NODE = 4, /* log entries for moving a node, at most */
    REBUILD_NODES_MAX =
        SHM_LOG_MAX / REBUILD_WORDS_A_NODE, /* nodes that one transaction moves, at most */
};

struct rebuild {
    struct shm_store *store;
    const struct shm_config *config;
    struct shm_fault *fault;
    struct shm_txn txn;
    uint64_t steps;
    struct shm_batch batch;
    /* nodes of a chain, or of its end, and the bucket that each moves to */
    struct cds_hlist_node *node[REBUILD_NODES_MAX];
    struct cds_hlist_head *target[REBUILD_NODES_MAX];
};

static inline struct shm_rebuild *rebuild_state(void)
{
    return &shm_control()->rebuild;
}

/** The table that readers use: REBUILD_IDS, or a key's number. */
static inline struct shm_table *rebuild_table(unsigned which)
{
    return which == REBUILD_IDS ? &shm_control()->ids : &shm_control()->unique[which];
}

/** Begins a step: takes the writer lock and begins r->txn. @return as shm_writer_wait() */
int rebuild_begin(struct rebuild *r);
/** Commits the step's transaction and releases the lock. */
void rebuild_commit(struct rebuild *r);
/** Logs a new state of control.rebuild. @param to NULL: the rebuild is finished */
void rebuild_log_state(struct rebuild *r, const struct shm_table *to, uint64_t what, uint64_t done);
/** Logs a new value of a table. @param value NULL: there is no table any more */
void rebuild_log_table(struct rebuild *r, struct shm_table *table, const struct shm_table *value);
/** Reports the progress, at every 64th call. */
void rebuild_tell(struct rebuild *r, const char *what, uint64_t done, uint64_t all);

#endif
