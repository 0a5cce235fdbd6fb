/* SPDX-License-Identifier: MIT */
/*
 * Publishing commits that are on disk, and finding who waits for that.
 *
 * A publication is a transaction like a commit, so a death in its midst is finished by the next
 * process that takes the writer lock. It starts a grace period: `published` is stored before gp, so
 * a reader that goes online with the new gp sees the new `published` (grace.h). Reclaim waits for
 * that grace period before it frees what only commits before `published` show. It loads `published`
 * and then the grace period's token, so the token is stored first: a process that sees a
 * publication sees its token, or that of a later one.
 *
 * A waiting process stores the version in its slot, then loads `published`. The journal stores
 * `published`, then looks into the slots. Both have a full barrier in between, so one sees the
 * other.
 */
#include <string.h>

#include <urcu/arch.h>

#include "base/clock.h"
#include "shm/core/actor_handle.h"
#include "shm/core/grace.h"
#include "shm/core/mapping.h"
#include "shm/core/publication.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"
#include "shm/core/writer_lock.h"
#include "shm/disk.h"
#include "shm/slots/slot.h"

/* ---- waiting ---- */

uint64_t shm_published(const struct shm_store *store)
{
    (void)store;
    return shm_published_version();
}

bool shm_wait_begin(struct shm_actor *actor, uint64_t version)
{
    if (version <= shm_published_version())
        return false;
    __atomic_store_n(&actor->slot->waits, version, __ATOMIC_RELAXED);
    cmm_smp_mb(); /* pairs with shm_waiters() */
    if (version > shm_published_version())
        return true;
    shm_wait_end(actor);
    return false;
}

void shm_wait_end(struct shm_actor *actor)
{
    __atomic_store_n(&actor->slot->waits, 0, __ATOMIC_RELAXED);
}

void shm_waiters(const struct shm_store *store, void (*woken)(void *data, unsigned slot),
                 void *data)
{
    (void)store;
    cmm_smp_mb(); /* pairs with shm_wait_begin() */
    uint64_t published = shm_published_version();
    unsigned ready = shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        uint64_t waits = __atomic_load_n(&shm_slot(i)->waits, __ATOMIC_RELAXED);
        if (waits != 0 && waits <= published)
            woken(data, i);
    }
}

/* ---- publishing ---- */

static void log_publication(struct shm_txn *txn, const struct shm_durable *durable)
{
    struct shm_control *control = shm_control();
    txn->gp = control->gp + 1; /* shm_txn_seal() logs it last */
#ifdef SHM_MUTANT_TOKEN_LAST
    if (control->durable != 0 && durable->version > control->published)
        shm_txn_word(txn, &control->published, durable->version);
#else
    shm_txn_word(txn, &control->published_gp, txn->gp);
#endif
    shm_txn_word(txn, &control->disk.version, durable->version);
    shm_txn_word(txn, &control->disk.feed, durable->feed);
    if (control->durable != 0 && durable->version >= control->published) {
        shm_txn_word(txn, &control->disk.users, durable->users);
        shm_txn_word(txn, &control->published, durable->version);
    }
#ifdef SHM_MUTANT_TOKEN_LAST
    shm_txn_word(txn, &control->published_gp, txn->gp);
#endif
}

int shm_publish(struct shm_actor *actor, const struct shm_durable *durable)
{
    const struct shm_control *control = shm_control();
    struct shm_txn *txn = &actor->txn;
    int rc = shm_writer_wait(actor->store);
    if (rc != SHM_OK)
        return rc;
    if (durable->version > control->version || durable->feed > control->feed_head ||
        durable->users > control->seq) {
        rc = SHM_EINVAL;
    } else {
        txn->at_bound = false;
        shm_txn_begin(txn);
        log_publication(txn, durable);
        shm_txn_seal(txn, 0);
        shm_txn_apply(txn);
        SHM_POINT("publication applied");
    }
    shm_writer_unlock();
    return rc;
}

/* ---- the data file's state ---- */

void shm_disk_info(const struct shm_store *store, struct shm_disk_info *info)
{
    const struct shm_control *control = shm_control();
    const struct shm_disk *disk = &control->disk;
    (void)store;
    memset(info, 0, sizeof(*info));
    uint64_t feed = __atomic_load_n(&disk->feed, __ATOMIC_RELAXED);
    info->state = (enum shm_disk_state)__atomic_load_n(&disk->state, __ATOMIC_RELAXED);
    info->error = (int)__atomic_load_n(&disk->error, __ATOMIC_RELAXED);
    info->since_ms = __atomic_load_n(&disk->since, __ATOMIC_RELAXED);
    info->failed_ms = __atomic_load_n(&disk->failed, __ATOMIC_RELAXED);
    info->version = __atomic_load_n(&disk->version, __ATOMIC_RELAXED);
    info->behind = __atomic_load_n(&control->feed_head, __ATOMIC_RELAXED) - feed;
    info->behind_max = SHM_BACKLOG_MAX;
    info->durable = control->durable != 0;
    if (info->state == SHM_DISK_NONE)
        info->behind = 0;
    memcpy(info->path, disk->path, sizeof(info->path) - 1);
}

void shm_store_id(const struct shm_store *store, uint8_t id[SHM_STORE_ID_SIZE])
{
    (void)store;
    memcpy(id, shm_header()->store_id, SHM_STORE_ID_SIZE);
}

uint64_t shm_newest(const struct shm_store *store)
{
    (void)store;
    return shm_version();
}

uint64_t shm_last_seq(const struct shm_store *store)
{
    (void)store;
    return __atomic_load_n(&shm_control()->seq, __ATOMIC_ACQUIRE);
}

void shm_disk_set_state(struct shm_store *store, enum shm_disk_state state, int error)
{
    struct shm_disk *disk = &shm_control()->disk;
    (void)store;
    if (disk->state == state && disk->error == (uint64_t)error)
        return;
    uint64_t now = clock_monotonic_ms();
    /* A file that has failed goes through several states. */
    if (disk->error != (uint64_t)error)
        __atomic_store_n(&disk->failed, now, __ATOMIC_RELAXED);
    __atomic_store_n(&disk->since, now, __ATOMIC_RELAXED);
    __atomic_store_n(&disk->error, (uint64_t)error, __ATOMIC_RELAXED);
    __atomic_store_n(&disk->state, state, __ATOMIC_RELEASE);
}

/* ---- sleeping ---- */

static bool nothing_after(void *data)
{
    const uint64_t *version = data;
    return shm_version() <= *version;
}

void shm_disk_sleep(struct shm_actor *actor, uint64_t version, uint64_t milliseconds)
{
    shm_grace_offline(actor);
    shm_bell_sleep(&shm_control()->disk, nothing_after, &version, milliseconds);
}

void shm_disk_wake(struct shm_store *store)
{
    (void)store;
    shm_bell_wake(&shm_control()->disk);
}
