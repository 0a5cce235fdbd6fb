/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "shm/readers.h"

#include "shm/grace.h"

void shm_readers_init(struct shm_readers *r)
{
    r->looked = r->seen = false;
    r->num_sources = 0;
}

/* ---- grace periods ---- */

/* Which tokens have passed: up to the least ctr of all who are online. */
static void look_at_slots(struct shm_readers *r)
{
    r->looked = true;
    cmm_smp_mb(); /* pairs with a reader's xchg: see grace.h, 3 */
    uint64_t passed = shm_control()->gp;
    unsigned ready = shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        uint64_t ctr = __atomic_load_n(&shm_slot(i)->ctr, __ATOMIC_ACQUIRE);
        if (ctr != 0 && ctr < passed && !shm_slot_dead(shm_slot(i)))
            passed = ctr;
    }
    __atomic_store_n(&shm_control()->grace, passed, __ATOMIC_RELAXED);
}

bool shm_readers_passed(struct shm_readers *r, uint64_t token)
{
#ifdef SHM_MUTANT_NO_GRACE
    token = 0;
#endif
    if (token > shm_control()->grace && !r->looked)
        look_at_slots(r);
    return token <= shm_control()->grace;
}

/* ---- pins ---- */

static bool has_ended(struct shm_readers *r, const struct shm_pin *pin)
{
    uint64_t revoked = __atomic_load_n(&pin->revoked, __ATOMIC_RELAXED);
#ifdef SHM_MUTANT_EARLY_REVOKE
    if (revoked != 0)
        return true;
#endif
    return __atomic_load_n(&pin->count, __ATOMIC_ACQUIRE) == 0 ||
           (revoked != 0 && shm_readers_passed(r, revoked));
}

static void see_pin(struct shm_readers *r, struct shm_slot *slot, struct shm_pin *pin)
{
    if (has_ended(r, pin)) {
        r->revoking = r->revoking || pin->held != NULL; /* room is being made */
        if (pin->held != NULL && r->num_sources < SHM_SOURCES)
            r->source[r->num_sources++] = pin;
        return;
    }
    uint64_t version = __atomic_load_n(&pin->version, __ATOMIC_RELAXED);
    if (pin->held != NULL && pin->revoked != 0)
        r->revoking = true;
    else if (pin->held != NULL && (r->oldest == NULL || version < r->oldest->version))
        r->oldest = pin;
    if (r->num_pins < SHM_PINS_SEEN)
        r->pins[r->num_pins++] = (struct shm_pin_seen){version, pin, slot};
    else
        r->all = false;
}

static unsigned pins_high(const struct shm_slot *slot)
{
    uint64_t high = __atomic_load_n(&slot->pins_high, __ATOMIC_ACQUIRE);
    return high < SHM_PINS ? (unsigned)high : SHM_PINS;
}

/* After the look at the slots, whatever is asked first: a pin must be read later
 * than its process was seen offline, or it may be missed. */
static void see_pins(struct shm_readers *r)
{
    if (!r->looked)
        look_at_slots(r);
    r->num_pins = r->num_sources = 0;
    r->oldest = NULL;
    r->revoking = false;
    r->seen = r->all = true;
    unsigned ready = shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        struct shm_slot *slot = shm_slot(i);
        unsigned high = pins_high(slot);
        for (unsigned p = 0; p < high; p++)
            see_pin(r, slot, &slot->pins[p]);
    }
}

/* Two pins, and the versions between which a block is needed: the older pin, if it needs it. */
static void prefer(struct shm_pin_seen *best, const struct shm_pin_seen *other, uint64_t born,
                   uint64_t died)
{
    if (other->version >= born && other->version < died &&
        (best->pin == NULL || other->version < best->version))
        *best = *other;
}

static struct shm_pin_seen oldest_between(struct shm_readers *r, uint64_t born, uint64_t died)
{
    struct shm_pin_seen best = {0};
    for (unsigned i = 0; i < r->num_pins; i++)
        prefer(&best, &r->pins[i], born, died);
    unsigned ready = r->all ? 0 : shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        struct shm_slot *slot = shm_slot(i);
        unsigned high = pins_high(slot);
        for (unsigned p = 0; p < high; p++) {
            struct shm_pin_seen one = {slot->pins[p].version, &slot->pins[p], slot};
            if (!has_ended(r, &slot->pins[p]))
                prefer(&best, &one, born, died);
        }
    }
    return best;
}

struct shm_pin *shm_readers_pin(struct shm_readers *r, uint64_t born, uint64_t died)
{
#ifdef SHM_MUTANT_NO_PINS
    died = born; /* as if no version showed it */
#endif
    for (;;) {
        if (!r->seen)
            see_pins(r);
        struct shm_pin_seen best = oldest_between(r, born, died);
        /* a dead process's pin keeps nothing: its slot is cleared, and we look again */
        if (best.pin == NULL || !shm_slot_dead(best.slot))
            return best.pin;
        if (!has_ended(r, best.pin)) /* taken over by a live process just now */
            return best.pin;
        r->seen = false;
    }
}

struct shm_pin *shm_readers_source(struct shm_readers *r)
{
    if (shm_control()->held_count != 0 && !r->seen)
        see_pins(r);
    while (r->num_sources != 0) {
        struct shm_pin *pin = r->source[r->num_sources - 1];
        if (pin->held != NULL)
            return pin;
        r->num_sources--;
    }
    return NULL;
}

struct shm_pin *shm_readers_to_revoke(struct shm_readers *r)
{
    see_pins(r); /* again: what was held a moment ago counts */
    return r->revoking ? NULL : r->oldest;
}
