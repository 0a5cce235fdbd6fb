/* SPDX-License-Identifier: MIT */
#include "shm/write/reserve.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/slots/slot.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
    FROM = 96 << 10, /* bytes of a batch; a smaller one is copied in about ten microseconds */
    AHEAD = 4 * SHM_EXTENT, /* bytes of the arena that other writers may take meanwhile */
    LOOKS = 4,
};

/* The ranges of the arena after the allocator's position, which have never been used. */
struct fresh {
    uint64_t cur, end;   /* the rest of the current extent */
    uint64_t next, upto; /* extents */
};

static uint64_t allocator_word(unsigned word)
{
    return __atomic_load_n(&shm_control()->alloc[word], __ATOMIC_RELAXED);
}

/* Populates the pages that the allocator is going to give to a batch, before the lock is taken: the
 * first touch of a page costs microseconds, because the kernel clears it. If another process
 * changes the allocator's words meanwhile, or the kernel does not support the call, the batch is
 * only slower. */
static struct fresh populate(const struct shm_store *store, uint64_t bytes)
{
    uint64_t arena_end = __atomic_load_n(&shm_control()->arena_end, __ATOMIC_ACQUIRE);
    struct fresh fresh = {allocator_word(SHM_ALLOC_CUR), allocator_word(SHM_ALLOC_END),
                          allocator_word(SHM_ALLOC_ARENA_CUR), 0};
    fresh.upto = fresh.next + shm_round_up(bytes, SHM_EXTENT) + AHEAD;
    if (fresh.upto > arena_end)
        fresh.upto = arena_end;
    if (arena_end - SHM_BASE > store->size)
        return fresh;
    uint64_t at[][2] = {{fresh.cur, fresh.end}, {fresh.next, fresh.upto}};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t from = at[i][0] / SHM_EXTENT * SHM_EXTENT; /* a page of any machine */
        if (from >= SHM_BASE + SHM_ARENA_AT && from < at[i][1] && at[i][1] <= arena_end)
            (void)madvise((void *)(uintptr_t)from, at[i][1] - from, MADV_POPULATE_WRITE);
    }
    return fresh;
}

/* Whether the batch can still be served from the populated ranges; called under the lock. */
static bool still_fresh(const struct fresh *fresh, uint64_t bytes)
{
    uint64_t next = allocator_word(SHM_ALLOC_ARENA_CUR);
    uint64_t need = shm_round_up(bytes, SHM_EXTENT);
    return next + need <= fresh->upto || fresh->upto >= shm_control()->arena_end;
}

/* The bytes of the batch's bodies and nodes. */
static uint64_t bytes_of(const struct shm_new_user *users, size_t count)
{
    uint64_t bytes = count * sizeof(struct shm_node);
    for (size_t i = 0; i < count; i++)
        bytes += shm_class_size(
            shm_class_of(sizeof(struct shm_body) + users[i].body_len + users[i].hidden_len));
    return bytes;
}

/* Whether the slot has the blocks for this batch, from an attempt that found the lock taken. */
static bool reserve_fits(const struct shm_slot *slot, const struct shm_new_user *users,
                         size_t count)
{
    const struct shm_body *body = slot->reserve;
    if (slot->reserve_count != count)
        return false;
    for (size_t i = 0; i < count; i++, body = body->link)
        if (body == NULL || body->length != users[i].body_len ||
            body->hidden != users[i].hidden_len)
            return false;
    return true;
}

/* ---- under the lock ---- */

/* Logs that all of a slot's blocks move to the free lists. The loop is bounded, in case the list is
 * damaged. */
static void log_release(struct shm_txn *txn, const struct shm_slot *slot)
{
    struct shm_body *body = slot->reserve;
    for (unsigned i = 0; body != NULL && i < SHM_BATCH_MAX; i++, body = body->link)
        shm_free_block(txn, body, shm_body_size(body));
    shm_txn_pointer(txn, &slot->reserve, NULL);
    shm_txn_word(txn, &slot->reserve_count, 0);
}

static void release_reserve(struct shm_slot *slot)
{
    struct shm_txn txn;
    txn.at_bound = false;
    shm_txn_begin(&txn);
    log_release(&txn, slot);
    shm_txn_seal(&txn, 0);
    shm_txn_apply(&txn);
}

static int reserve_blocks(struct shm_actor *actor, const struct shm_new_user *users, size_t count)
{
    struct shm_txn *txn = &actor->txn;
    struct shm_body **of = actor->batch.body;
    assert(count != 0 && count <= SHM_BATCH_MAX);
    shm_txn_begin(txn);
    for (size_t i = 0; i < count; i++) {
        of[i] = shm_alloc_block(txn, sizeof(**of) + users[i].body_len + users[i].hidden_len);
        if (of[i] == NULL)
            return SHM_ESPACE;
        shm_body_set(of[i], &users[i], SHM_BODY_RESERVED, 0);
    }
    for (size_t i = 0; i < count; i++)
        shm_txn_pointer(txn, &of[i]->link, i + 1 < count ? of[i + 1] : NULL);
    shm_txn_pointer(txn, &actor->slot->reserve, of[0]);
    shm_txn_word(txn, &actor->slot->reserve_count, count);
    shm_txn_seal(txn, 0);
    shm_txn_apply(txn);
    return SHM_OK;
}

/* ---- the actor's own reserve ---- */

static int release_own_reserve(struct shm_actor *actor)
{
    if (actor->slot->reserve == NULL)
        return SHM_OK;
    int rc = shm_writer_lock(actor->store);
    if (rc != SHM_OK)
        return rc;
    release_reserve(actor->slot);
    shm_writer_unlock();
    return SHM_OK;
}

static void fill_reserve(const struct shm_slot *slot, const struct shm_new_user *users)
{
    size_t i = 0;
    for (struct shm_body *body = slot->reserve; body != NULL; body = body->link, i++)
        shm_body_fill(body, &users[i]);
}

/* Takes the lock when the pages of the batch's memory are populated. */
static int lock_with_pages(struct shm_actor *actor, uint64_t bytes)
{
    for (int looks = 0;; looks++) {
        struct fresh fresh = populate(actor->store, bytes);
        int rc = shm_writer_lock(actor->store);
        if (rc != SHM_OK || looks == LOOKS || still_fresh(&fresh, bytes))
            return rc;
        shm_writer_unlock();
    }
}

static int reserve_anew(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                        size_t more)
{
    const struct shm_control *control = shm_control();
    int rc = release_own_reserve(actor);
    if (rc == SHM_OK)
        rc = lock_with_pages(actor, bytes_of(users, count));
    if (rc != SHM_OK)
        return rc;
    if (actor->slot->reserve != NULL) /* a dead process's: taking the lock has finished its log */
        release_reserve(actor->slot);
    rc = more != 0 && control->users + more > control->max_users
             ? SHM_EFULL
             : reserve_blocks(actor, users, count);
    shm_writer_unlock();
    return rc;
}

int shm_reserve_bodies(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                       size_t more)
{
    actor->reserved = false;
    uint64_t bytes = bytes_of(users, count);
    if (bytes <= FROM) {
        (void)populate(actor->store, bytes);
        return SHM_OK;
    }
    int rc =
        reserve_fits(actor->slot, users, count) ? SHM_OK : reserve_anew(actor, users, count, more);
    if (rc != SHM_OK)
        return rc;
    SHM_POINT("reserved");
    fill_reserve(actor->slot, users);
    SHM_POINT("filled");
    actor->reserved = true;
    return SHM_OK;
}

/* A reading tool cannot write to the arena, and does not trust the slot's contents. */
void shm_reserve_end(struct shm_actor *actor, int rc)
{
    if (rc != SHM_OK && rc != SHM_EBUSY && !actor->store->readonly)
        (void)release_own_reserve(actor);
    actor->reserved = false;
}

/* ---- reserves of dead processes ---- */

/* While this process holds the life mutex of a slot, the slot belongs to no other process. */
static bool reap_reserve(struct shm_store *store, unsigned i)
{
    struct shm_slot *slot = shm_slot(i);
    if (__atomic_load_n(&slot->reserve, __ATOMIC_RELAXED) == NULL || !shm_slot_take(slot))
        return false;
    bool mine = shm_writer_lock(store) == SHM_OK;
    if (mine) {
        release_reserve(slot);
        shm_writer_unlock();
    }
    shm_slot_give(slot);
    return mine;
}

/* A dead process may have left a sealed log. Its slot may belong to this actor before that log, and
 * with it the reserve, is finished. So the actor's own slot is checked too. */
bool shm_reserve_reap(struct shm_actor *actor)
{
    bool found = actor->slot->reserve != NULL;
    unsigned ready = shm_slots_ready();
    shm_reserve_end(actor, SHM_EINVAL);
    for (unsigned i = 0; i < ready; i++)
        found = reap_reserve(actor->store, i) || found;
    return found;
}
