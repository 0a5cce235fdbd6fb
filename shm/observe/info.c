/* SPDX-License-Identifier: MIT */
/* Current numbers about a segment, its slots and its pins; together they are no snapshot. These
 * functions follow no pointer and take no lock, so they work on any segment: live, dead or damaged.
 */
#include <string.h>

#include "base/clock.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/robust_mutex.h"
#include "shm/core/store_handle.h"
#include "shm/core/table_size.h"
#include "shm/segment/owner.h"
#include "shm/slots/slot.h"
#include "shm/store.h"

uint64_t shm_users(const struct shm_store *store)
{
    const struct shm_control *control = shm_control();
    (void)store; /* a process maps one segment at most */
    bool durable = __atomic_load_n(&control->durable, __ATOMIC_RELAXED) != 0;
    return __atomic_load_n(durable ? &control->disk.users : &control->users, __ATOMIC_RELAXED);
}

void shm_store_info(struct shm_store *store, struct shm_info *info)
{
    const struct shm_control *control = shm_control();
    memset(info, 0, sizeof(*info));
    info->users = shm_users(store);
    info->users_newest = __atomic_load_n(&control->users, __ATOMIC_RELAXED);
    info->max_users = __atomic_load_n(&control->max_users, __ATOMIC_RELAXED);
    info->published = __atomic_load_n(&control->published, __ATOMIC_ACQUIRE);
    info->version = __atomic_load_n(&control->version, __ATOMIC_ACQUIRE);
    info->bytes_mapped = __atomic_load_n(&control->arena_end, __ATOMIC_RELAXED) - SHM_BASE;
    info->bytes_reserved = __atomic_load_n(&control->limit, __ATOMIC_RELAXED);
    info->buckets = control->ids.count;
    info->bytes_used = __atomic_load_n(&control->alloc[SHM_ALLOC_BYTES_USED], __ATOMIC_RELAXED) +
                       shm_table_size(control->ids.count);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if (control->unique[key].buckets != NULL) {
            info->unique |= 1u << key;
            info->bytes_used += shm_table_size(control->unique[key].count);
        }
    uint64_t count = __atomic_load_n(&control->requests.count, __ATOMIC_RELAXED);
    info->requests = count < SHM_REQUESTS_MAX ? count : SHM_REQUESTS_MAX;
    if (__atomic_load_n(&control->requests.entries, __ATOMIC_RELAXED) != NULL)
        info->bytes_used += SHM_REQUESTS_BYTES;
    info->bytes_free = info->bytes_mapped - SHM_ARENA_AT - info->bytes_used;
    info->retired_count = __atomic_load_n(&control->retired.count, __ATOMIC_RELAXED) +
                          __atomic_load_n(&control->unlinked.count, __ATOMIC_RELAXED);
    info->retired_bytes = __atomic_load_n(&control->retired.bytes, __ATOMIC_RELAXED) +
                          __atomic_load_n(&control->unlinked.bytes, __ATOMIC_RELAXED);
    info->held_count = __atomic_load_n(&control->held_count, __ATOMIC_RELAXED);
    info->held_bytes = __atomic_load_n(&control->held_bytes, __ATOMIC_RELAXED);
    info->snapshot_max_bytes = control->held_max;
    info->rebuilding = __atomic_load_n(&control->rebuild.to.buckets, __ATOMIC_RELAXED) != NULL;
    for (unsigned i = 0; i < shm_slots_ready(); i++)
        info->actors += __atomic_load_n(&shm_slot(i)->state, __ATOMIC_RELAXED) != 0;
    info->created_at = shm_header()->created_at;
    info->owned = shm_owner_present(store);
    info->replaced = !shm_store_has_name(store);
    memcpy(info->name, store->name, sizeof(info->name));
}

/* ---- slots ---- */

enum life { LIFE_FREE, LIFE_LIVES, LIFE_DEAD };

static enum life life_of(const struct shm_slot *slot)
{
    uint32_t word = shm_mutex_word(&slot->life);
    if ((word & SHM_MUTEX_HOLDER_DIED) != 0)
        return LIFE_DEAD;
    return (word & SHM_MUTEX_HOLDER) != 0 ? LIFE_LIVES : LIFE_FREE;
}

static uint64_t load_word(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void add_slot_pins(const struct shm_slot *slot, struct shm_slot_info *info)
{
    unsigned high = shm_slot_pins_high(slot);
    for (unsigned p = 0; p < high; p++) {
        info->snapshots += load_word(&slot->pins[p].count);
        info->held_count += load_word(&slot->pins[p].held_count);
        info->held_bytes += load_word(&slot->pins[p].held_bytes);
    }
}

/* @return false: no process has the slot */
static bool read_slot(unsigned i, struct shm_slot_info *info)
{
    const struct shm_slot *slot = shm_slot(i);
    enum life life = life_of(slot);
    memset(info, 0, sizeof(*info));
    if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == 0 || life == LIFE_FREE)
        return false;
    uint64_t gp = load_word(&shm_control()->gp), ctr = load_word(&slot->ctr);
    info->slot = i;
    info->kind = (enum shm_actor_kind)slot->kind;
    info->number = slot->number;
    info->pid = slot->pid;
    info->started_at = slot->started_at;
    info->alive = life == LIFE_LIVES;
    info->online = ctr != 0;
    info->behind = ctr != 0 && ctr < gp ? gp - ctr : 0;
    return true;
}

bool shm_slot_next(struct shm_store *store, unsigned *from, struct shm_slot_info *info)
{
    (void)store;
    unsigned ready = shm_slots_ready();
    while (*from < ready) {
        unsigned i = (*from)++;
        if (!read_slot(i, info))
            continue;
        add_slot_pins(shm_slot(i), info);
        return true;
    }
    return false;
}

/* ---- pins ---- */

/* @return false: the pin is free */
static bool read_pin(unsigned i, unsigned p, struct shm_pin_info *info)
{
    const struct shm_pin *pin = &shm_slot(i)->pins[p];
    uint64_t count = load_word(&pin->count);
    if (count == 0 && __atomic_load_n(&pin->held, __ATOMIC_ACQUIRE) == NULL)
        return false;
    uint64_t version = load_word(&shm_control()->version), now = clock_monotonic_ms(),
             started = load_word(&pin->started);
    memset(info, 0, sizeof(*info));
    if (!read_slot(i, &info->holder))
        info->holder.slot = i;
    info->pin = p;
    info->version = load_word(&pin->version);
    info->behind = info->version < version ? version - info->version : 0;
    info->age_ms = started < now ? now - started : 0;
    info->snapshots = count;
    info->held_count = load_word(&pin->held_count);
    info->held_bytes = load_word(&pin->held_bytes);
    info->revoked = load_word(&pin->revoked) != 0;
    return true;
}

bool shm_pin_next(struct shm_store *store, unsigned *from, struct shm_pin_info *info)
{
    (void)store;
    unsigned ready = shm_slots_ready();
    while (*from / SHM_PINS < ready) {
        unsigned i = *from / SHM_PINS, p = *from % SHM_PINS;
        if (p >= shm_slot_pins_high(shm_slot(i))) {
            *from = (i + 1) * SHM_PINS;
            continue;
        }
        ++*from;
        if (read_pin(i, p, info))
            return true;
    }
    return false;
}
