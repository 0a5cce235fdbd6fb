/* SPDX-License-Identifier: MIT */
#include "shm/readers/readers.h"

#include <stdlib.h>

#include <urcu/arch.h>

#include "shm/core/mapping.h"
#include "shm/core/publication.h"
#include "shm/core/test_points.h"
#include "shm/slots/slot.h"

enum {
    ROOM_MIN = 256,
    ENDED_MAX = 64, /* a search may pass at most this many ended pins */
};

/* ---- grace periods ---- */

/* The newest token that has passed: the least ctr of all online slots. The number of slots is
 * loaded after gp; otherwise a slot that was created, and used by a reader, in between would be
 * missed. */
static uint64_t look_at_grace(void)
{
    uint64_t passed = __atomic_load_n(&shm_control()->gp, __ATOMIC_ACQUIRE);
    cmm_smp_mb(); /* pairs with a reader's xchg: see grace.h, 3 */
    SHM_POINT("looking");
    unsigned ready = shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        uint64_t ctr = __atomic_load_n(&shm_slot(i)->ctr, __ATOMIC_ACQUIRE);
        if (ctr != 0 && ctr < passed && !shm_slot_dead(shm_slot(i)))
            passed = ctr;
    }
#ifdef SHM_MUTANT_NO_GRACE
    passed = SHM_NEVER;
#endif
    return passed;
}

/* ---- publications ---- */

/* Loads the newest publication. If another one is stored in between, the token is the later one's,
 * which is only later than necessary. */
static void load_publication(struct shm_readers *r)
{
    r->publication.version = shm_kept_from();
    SHM_POINT("publication seen");
    r->publication.token = __atomic_load_n(&shm_control()->published_gp, __ATOMIC_ACQUIRE);
}

/* A publication stays the one to wait for until its grace period has passed; otherwise a journal
 * that publishes all the time would be waited for all the time. */
static void note_publications(struct shm_readers *r, uint64_t passed)
{
#ifdef SHM_MUTANT_FORGET_PUBLISHED
    r->publication.version = SHM_NEVER;
#endif
#ifdef SHM_MUTANT_EARLY_PUBLICATION
    passed = SHM_NEVER;
#endif
    if (passed >= r->publication.token && r->publication.version > r->seen)
        r->seen = r->publication.version;
}

/* ---- pins ---- */

bool shm_readers_holds_for_another(const struct shm_pin *pin, uint64_t version)
{
    return __atomic_load_n(&pin->held, __ATOMIC_RELAXED) != NULL &&
           __atomic_load_n(&pin->held_for, __ATOMIC_RELAXED) != version;
}

/* Whether the pin is revoked for this version, and every section that may not have seen `revoked`
 * has ended. `revoked` may be meant for another version that the pin had a moment ago. It is
 * cleared before `held_for` becomes this version, so it is loaded a second time (as in
 * shm_is_revoked()). */
static bool is_void(const struct shm_readers *r, const struct shm_pin *pin, uint64_t version)
{
    if (__atomic_load_n(&pin->revoked, __ATOMIC_ACQUIRE) == 0)
        return false;
    SHM_POINT("half void");
    if (__atomic_load_n(&pin->held_for, __ATOMIC_ACQUIRE) != version)
        return false;
    uint64_t revoked = __atomic_load_n(&pin->revoked, __ATOMIC_RELAXED);
#ifdef SHM_MUTANT_EARLY_REVOKE
    (void)r;
    return revoked != 0;
#else
    return revoked != 0 && shm_readers_passed(r, revoked);
#endif
}

/* Whether the pin still keeps this version. */
static bool pin_stands(const struct shm_readers *r, const struct shm_pin *pin, uint64_t version)
{
    return __atomic_load_n(&pin->count, __ATOMIC_ACQUIRE) != 0 &&
           __atomic_load_n(&pin->version, __ATOMIC_RELAXED) == version && !is_void(r, pin, version);
}

/* Returns the array with room for one more element. NULL: out of memory; the array is unchanged. */
static void *with_room(void *array, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return array;
    size_t larger = *room == 0 ? ROOM_MIN : 2 * *room;
    void *now = realloc(array, larger * size);
    if (now != NULL)
        *room = larger;
    return now;
}

void shm_readers_add_source(struct shm_readers *r, struct shm_pin *pin)
{
    struct shm_pin **sources =
        with_room(r->sources, &r->room_sources, r->num_sources, sizeof(struct shm_pin *));
    if (sources == NULL) /* out of memory: the next look finds the pin again */
        return;
    r->sources = sources;
    r->sources[r->num_sources++] = pin;
}

static bool is_revoked(const struct shm_pin *pin, uint64_t version)
{
    return __atomic_load_n(&pin->revoked, __ATOMIC_RELAXED) != 0 &&
           __atomic_load_n(&pin->held_for, __ATOMIC_RELAXED) == version;
}

void shm_readers_note_held(struct shm_readers *r, const struct shm_pin_seen *seen, uint64_t bytes)
{
    bool asked = r->revocable != 0 && seen->version <= r->pins[r->revocable - 1].version;
    if (asked && is_revoked(seen->pin, seen->version))
        r->going += bytes;
}

void shm_readers_note_taken(struct shm_readers *r, uint64_t bytes)
{
    r->going -= bytes < r->going ? bytes : r->going;
}

/* @return false: out of memory */
static bool see_pin(struct shm_readers *r, struct shm_pin *pin)
{
    bool holds = __atomic_load_n(&pin->held, __ATOMIC_RELAXED) != NULL;
    bool counts = __atomic_load_n(&pin->count, __ATOMIC_ACQUIRE) != 0;
    struct shm_pin_seen seen = {__atomic_load_n(&pin->version, __ATOMIC_RELAXED), pin};
    bool voided = !counts || is_void(r, pin, seen.version);
    bool source = holds && (voided || shm_readers_holds_for_another(pin, seen.version));
    if (source) {
        shm_readers_add_source(r, pin);
        r->going += __atomic_load_n(&pin->held_bytes, __ATOMIC_RELAXED);
    }
    if (voided)
        return true;
#ifdef SHM_MUTANT_FEW_PINS
    if (r->num_pins == ROOM_MIN)
        return true;
#endif
    struct shm_pin_seen *pins =
        with_room(r->pins, &r->room_pins, r->num_pins, sizeof(struct shm_pin_seen));
    if (pins == NULL)
        return false;
    r->pins = pins;
    r->pins[r->num_pins++] = seen;
    return true;
}

static bool has_pins(const struct shm_slot *slot, unsigned high)
{
    for (unsigned p = 0; p < high; p++)
        if (__atomic_load_n(&slot->pins[p].count, __ATOMIC_ACQUIRE) != 0)
            return true;
    return false;
}

/* Sees all pins. The slots of dead processes are cleared first, because their pins keep nothing.
 * @return false: out of memory */
static bool look_at_pins(struct shm_readers *r)
{
    unsigned ready = shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        struct shm_slot *slot = shm_slot(i);
        unsigned high = shm_slot_pins_high(slot);
        if (has_pins(slot, high))
            (void)shm_slot_dead(slot);
        for (unsigned p = 0; p < high; p++)
            if (!see_pin(r, &slot->pins[p]))
                return false;
    }
    return true;
}

static int by_version(const void *a, const void *b)
{
    uint64_t one = ((const struct shm_pin_seen *)a)->version;
    uint64_t other = ((const struct shm_pin_seen *)b)->version;
    return one < other ? -1 : one > other;
}

/* ---- the look ---- */

/* The slots are read before the pins: a pin that is read before its process was seen offline may be
 * missed. */
void shm_readers_look(struct shm_readers *r)
{
    r->num_pins = r->num_sources = r->ended = r->revocable = 0;
    r->going = 0;
    r->passed = 0;
    if (r->publication.version <= r->seen)
        load_publication(r); /* before the slots: the look must come after it */
#ifdef SHM_MUTANT_PINS_FIRST
    bool seen = look_at_pins(r);
    SHM_POINT("half looked");
    uint64_t passed = look_at_grace();
#else
    uint64_t passed = look_at_grace();
    SHM_POINT("half looked");
    r->passed = passed;
    bool seen = look_at_pins(r);
#endif
    r->passed = seen ? passed : 0;
    note_publications(r, r->passed);
    if (!seen) /* a pin that was not seen may need a body in another pin's list */
        r->num_pins = r->num_sources = 0;
    if (r->num_pins > 1)
        qsort(r->pins, r->num_pins, sizeof(*r->pins), by_version);
    SHM_POINT("looked");
}

void shm_readers_free(struct shm_readers *r)
{
    free(r->pins);
    free(r->sources);
}

/* ---- decisions by the last look ---- */

bool shm_readers_outdated(const struct shm_readers *r)
{
    return r->ended > ENDED_MAX;
}

struct shm_pin_seen shm_readers_pin(struct shm_readers *r, uint64_t born, uint64_t died)
{
#ifdef SHM_MUTANT_NO_PINS
    died = born; /* as if no version showed it */
#endif
    size_t low = 0, high = r->num_pins;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->pins[middle].version < died)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low > 0 && r->pins[low - 1].version >= born && !shm_readers_outdated(r); low--) {
        struct shm_pin_seen *seen = &r->pins[low - 1];
        if (seen->pin == NULL)
            continue;
        if (pin_stands(r, seen->pin, seen->version))
            return *seen;
        if (low > r->revocable) /* otherwise its bytes are counted already */
            r->going += seen->pin->held_bytes;
        seen->pin = NULL;
        r->ended++;
    }
    return (struct shm_pin_seen){0};
}

/* Since the look, another process may have emptied a source's list, or the pin may be in use again.
 * Its list may then have bodies that were retired after the look, and the look does not tell which
 * pins need those. So each source is checked again. */
struct shm_pin *shm_readers_source(struct shm_readers *r)
{
    for (; r->num_sources != 0; r->num_sources--) {
        struct shm_pin *pin = r->sources[r->num_sources - 1];
        uint64_t version = __atomic_load_n(&pin->version, __ATOMIC_RELAXED);
#ifdef SHM_MUTANT_UNSEEN_SOURCE
        if (pin->held != NULL && shm_readers_passed(r, pin->held->token) &&
#else
        if (pin->held != NULL && shm_readers_settled(r, pin->held) &&
#endif
            (!pin_stands(r, pin, version) || shm_readers_holds_for_another(pin, version)))
            return pin;
    }
    return NULL;
}

/* A body is held for the newest pin that needs it. When the oldest pins are revoked, exactly the
 * bodies in their lists therefore become free. */
struct shm_pin_seen shm_readers_to_revoke(struct shm_readers *r, unsigned *asks)
{
    const struct shm_control *control = shm_control();
    while (control->held_bytes > control->held_max &&
           control->held_bytes - control->held_max > r->going && r->revocable < r->num_pins) {
        if ((*asks)-- == 0)
            break;
        const struct shm_pin_seen *seen = &r->pins[r->revocable++];
        if (seen->pin == NULL)
            continue;
        r->going += seen->pin->held_bytes; /* also if another process has revoked it */
        if (pin_stands(r, seen->pin, seen->version) && !is_revoked(seen->pin, seen->version) &&
            !shm_readers_holds_for_another(seen->pin, seen->version))
            return *seen;
    }
    return (struct shm_pin_seen){0};
}
