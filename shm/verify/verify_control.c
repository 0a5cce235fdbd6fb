/* SPDX-License-Identifier: MIT */
/* Checks of the control page, the slots and the feed. */
#include "shm/verify/verify_control.h"

#include <string.h>

#include "shm/core/layout.h"
#include "shm/core/robust_mutex.h"
#include "shm/disk.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/feed.h"

static bool all_zero(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++)
        if (p[i] != 0)
            return false;
    return true;
}

#define ZERO(field) all_zero(&(field), sizeof(field))

/* Whether the mutex is of the kind that shm_mutex_init() makes. Its state may be anything. */
static bool is_mutex(const pthread_mutex_t *mutex)
{
#ifdef __GLIBC__
    pthread_mutex_t mine;
    if (shm_mutex_init(&mine) != SHM_OK)
        return true;
    bool same = mutex->__data.__kind == mine.__data.__kind;
    pthread_mutex_destroy(&mine);
    return same;
#else
    (void)mutex;
    return true;
#endif
}

bool verify_bounds(struct verify *v)
{
    const struct shm_control *control = v->control;
    uint64_t cur = control->alloc[SHM_ALLOC_ARENA_CUR];
    uint64_t end = control->arena_end - SHM_BASE;
    if (end > v->image->size || end > control->limit || end % SHM_PAGE != 0 ||
        control->limit % SHM_PAGE != 0 || control->limit > SHM_SIZE_MAX ||
        cur > control->arena_end || cur < SHM_BASE + SHM_ARENA_AT || cur % SHM_EXTENT != 0 ||
        control->slots_ready > SHM_SLOTS || control->slots_ready % SHM_SLOTS_STEP != 0) {
        verify_fault(v, "the control page's bounds are wrong");
        return false;
    }
    return true;
}

static bool publication_fits(const struct shm_control *control)
{
    const struct shm_disk *disk = &control->disk;
    return control->durable <= 1 && control->published <= control->version &&
           (control->durable == 1 || control->published == control->version) &&
           control->published_gp <= control->gp && control->feed_first <= control->feed_head &&
           control->feed_from <= control->version && control->feed_rebuilt <= control->version &&
           disk->state <= SHM_DISK_STOPPED && disk->version <= control->version &&
           disk->feed <= control->feed_head && disk->users <= control->seq &&
           memchr(disk->path, 0, sizeof(disk->path)) != NULL;
}

void verify_control(struct verify *v)
{
    const struct shm_control *control = v->control;
    const struct shm_log *log = (const void *)(v->image->bytes + SHM_LOG_AT);
    if (control->gp == 0 || control->users > control->max_users || control->users > control->seq ||
        control->seq > control->feed_head || control->version > control->feed_head ||
        control->max_users > UINT64_C(1) << 32 || control->held_max == 0 ||
        control->tracker > control->slots_ready)
        verify_fault(v, "the control page's counts are wrong");
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if (control->index_from[key] > control->version)
            verify_fault(v, "the version of an index is wrong");
    if (!publication_fits(control))
        verify_fault(v, "what the control page says about the data file is wrong");
    if (!ZERO(control->pad0) || control->reserved1 != 0 || !ZERO(control->reserved2) ||
        control->reserved3 != 0 || !ZERO(control->reserved) || !ZERO(log->reserved))
        verify_fault(v, "reserved bytes of the control pages are not zero");
    if (!is_mutex(&control->writer))
        verify_fault(v, "the writer lock is not a robust mutex");
    if (log->state != SHM_LOG_IDLE)
        verify_fault(v, "the redo log is in use");
}

void verify_feed(struct verify *v)
{
    const struct shm_feed_entry *ring = (const void *)(v->image->bytes + SHM_FEED_AT);
    uint64_t head = v->control->feed_head, last = v->control->feed_from;
    uint64_t keep = SHM_FEED_SIZE - SHM_BATCH_MAX, first = v->control->feed_first;
    for (uint64_t n = head > first + keep ? head - keep : first; n < head; n++) {
        const struct shm_feed_entry *entry = &ring[n % SHM_FEED_SIZE];
        uint64_t kind = entry->what % SHM_FEED_KINDS;
        if (entry->version < last || entry->version > v->control->version || kind == 0 ||
            kind > SHM_DELETED || entry->what / SHM_FEED_KINDS > v->control->seq) {
            verify_fault(v, "the change feed's entry %llu is wrong", (unsigned long long)n);
            return;
        }
        last = entry->version;
    }
    if (last != v->control->version)
        verify_fault(v, "the change feed ends at version %llu, the table at %llu",
                     (unsigned long long)last, (unsigned long long)v->control->version);
}

static void check_pin(struct verify *v, unsigned slot, unsigned number, const struct shm_pin *pin)
{
    if (pin->count != 0 && pin->version > v->control->version)
        verify_fault(v, "slot %u: pin %u has a version of the future", slot, number);
    if (pin->revoked > v->control->gp || pin->held_for > v->control->version)
        verify_fault(v, "slot %u: pin %u is wrong", slot, number);
}

void verify_slots(struct verify *v)
{
    const struct shm_slot *slots = (const void *)(v->image->bytes + SHM_SLOTS_AT);
    for (unsigned i = 0; i < v->control->slots_ready; i++) {
        const struct shm_slot *slot = &slots[i];
        if (slot->state > 1 || slot->ctr > v->control->gp || slot->kind > SHM_ACTOR_JOURNAL ||
            slot->pins_high > SHM_PINS || !ZERO(slot->pad0) || !ZERO(slot->reserved))
            verify_fault(v, "slot %u: its state or grace period is wrong", i);
        if (!is_mutex(&slot->life))
            verify_fault(v, "slot %u: its lock is not a robust mutex", i);
        for (unsigned p = 0; p < SHM_PINS; p++)
            check_pin(v, i, p, &slot->pins[p]);
    }
}
