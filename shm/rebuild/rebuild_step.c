/* SPDX-License-Identifier: MIT */
#include "shm/rebuild/rebuild_step.h"

#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"

enum { TELL_EVERY = 64 };

int rebuild_begin(struct rebuild *r)
{
    int rc = shm_writer_wait(r->store);
    if (rc != SHM_OK)
        return shm_writer_fail(r->store, rc, r->fault);
    shm_txn_begin(&r->txn);
    return SHM_OK;
}

void rebuild_commit(struct rebuild *r)
{
    shm_txn_seal(&r->txn, 0);
    shm_txn_apply(&r->txn);
    shm_writer_unlock();
    SHM_POINT("rebuild step");
}

void rebuild_log_table(struct rebuild *r, struct shm_table *table, const struct shm_table *value)
{
    shm_txn_pointer(&r->txn, &table->buckets, value != NULL ? value->buckets : NULL);
    shm_txn_word(&r->txn, &table->count, value != NULL ? value->count : 0);
}

void rebuild_log_state(struct rebuild *r, const struct shm_table *to, uint64_t what, uint64_t done)
{
    rebuild_log_table(r, &rebuild_state()->to, to);
    shm_txn_word(&r->txn, &rebuild_state()->what, what);
    shm_txn_word(&r->txn, &rebuild_state()->done, done);
}

void rebuild_tell(struct rebuild *r, const char *what, uint64_t done, uint64_t all)
{
    if (r->config->progress != NULL && r->steps++ % TELL_EVERY == 0)
        r->config->progress(r->config->progress_data, what,
                            all != 0 ? (unsigned)(done * 100 / all) : 0);
}
