/* SPDX-License-Identifier: MIT */
/*
 * Verify of a live segment, to which other processes write. What is checked is a copy of one state,
 * made in the way that a running virtual machine is migrated: everything is copied without the
 * lock, while writers mark the pages that they change (dirty.h). Then the marked pages are copied
 * again, and so on, until few enough are left to be copied under the writer lock: the copy is
 * the state at that moment.
 *
 * Writers may change pages faster than they are copied. So after some rounds, or after a round
 * without progress, the rest is copied in portions ("bites") under the lock. A writer waits for one
 * bite, which is short, and can take the lock before the next. (Between bites this process spins
 * for some microseconds. sched_yield() is no good: on a busy machine it returns after writers have
 * changed everything again.)
 *
 * Slots change without the lock, each by its own process. Only the words there that the log changes
 * must fit the rest of the copy; for the others an older state passes the same checks.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <urcu/arch.h>

#include "base/clock.h"
#include "shm/core/dirty.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/segment/cgroup_room.h"
#include "shm/slots/slot.h"
#include "shm/store.h"
#include "shm/verify/image.h"
#include "shm/verify/verify.h"

enum {
    ROUNDS = 8,
    BITE = 64,        /* pages; takes some 20 us */
    PATIENCE = 1000,  /* bites of this size; then they are larger */
    LARGE_BITE = 256, /* pages; takes some 100 us */
    BITES = 20000,    /* then SHM_EBUSY */
    TURN_NS = 10000,  /* between two bites */
    MAP_WORDS = SHM_DIRTY_BITS / 64,
};

#define ROOM (UINT64_C(256) << 20)

struct copy {
    int fd; /* the segment's */
    uint8_t *image;
    uint64_t size;       /* bytes of address space of the image */
    uint64_t slots;      /* slots [0, slots) are copied */
    uint64_t *map;       /* dirty map: what has to be copied again */
    uint64_t left;       /* bits set in it */
    uint64_t locked_max; /* the most pages copied in one hold of the lock */
};

static uint64_t load_shared_word(const void *at)
{
    return __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
}

/* Copies word by word, so that no word is torn although writers change them meanwhile. */
static void copy_range(struct copy *copy, uint64_t from, uint64_t to)
{
    const uint64_t *source = (const uint64_t *)(uintptr_t)(SHM_BASE + from);
    uint64_t *target = (uint64_t *)(void *)(copy->image + from);
    for (uint64_t i = 0; i < (to - from) / sizeof(*target); i++)
        target[i] = load_shared_word(&source[i]);
}

static uint64_t used_end(void)
{
    return load_shared_word(&shm_control()->alloc[SHM_ALLOC_ARENA_CUR]) - SHM_BASE;
}

/* The end of what is copied, at most the file's: the control page may be damaged. */
static uint64_t copy_end(const struct copy *copy)
{
    struct stat st;
    uint64_t end = used_end() < copy->size ? used_end() : copy->size;
    uint64_t file = fstat(copy->fd, &st) == 0 ? (uint64_t)st.st_size / SHM_PAGE * SHM_PAGE : 0;
    return end < file ? end : file;
}

/* Whether the used part of the arena has grown beyond the copy. (If it ends beyond the arena itself
 * the segment is damaged: verify reports that.) */
static bool copy_outgrown(const struct copy *copy)
{
    uint64_t end = load_shared_word(&shm_control()->arena_end) - SHM_BASE;
    return used_end() > copy->size && used_end() <= end;
}

/* ---- the map ---- */

/* Moves the bits that writers have set since into copy->map. Under the lock. */
static void take_map(struct copy *copy)
{
    uint64_t *marked = shm_dirty_map();
    for (size_t i = 0; i < MAP_WORDS; i++) {
        if (marked[i] == 0)
            continue;
        copy->left += (uint64_t)__builtin_popcountll(marked[i] & ~copy->map[i]);
        copy->map[i] |= marked[i];
        marked[i] = 0;
    }
}

/* Copies every page that has this bit, except holes and the dirty map. */
static void copy_bit(struct copy *copy, uint64_t bit, uint64_t slots_end, uint64_t end)
{
    for (uint64_t at = bit * SHM_PAGE; at < end; at += (uint64_t)SHM_DIRTY_BITS * SHM_PAGE) {
        bool wanted =
            at < SHM_DIRTY_AT || (at >= SHM_SLOTS_AT && at < slots_end) || at >= SHM_ARENA_AT;
        if (wanted)
            copy_range(copy, at, at + SHM_PAGE);
    }
}

/* Copies the pages of up to `max` bits of the map. @return how many bits */
static uint64_t copy_marked(struct copy *copy, uint64_t max)
{
    uint64_t done = 0, end = copy_end(copy);
    uint64_t slots_end = SHM_SLOTS_AT + copy->slots * sizeof(struct shm_slot);
    for (size_t i = 0; i < MAP_WORDS && done < max && copy->left > 0; i++)
        while (copy->map[i] != 0 && done < max) {
            unsigned bit = (unsigned)__builtin_ctzll(copy->map[i]);
            copy->map[i] &= copy->map[i] - 1;
            copy->left--;
            copy_bit(copy, i * 64 + bit, slots_end, end);
            done++;
        }
    return done;
}

/* ---- rounds ---- */

static void copy_new_slots(struct copy *copy)
{
    uint64_t ready = __atomic_load_n(&shm_control()->slots_ready, __ATOMIC_ACQUIRE);
    if (ready <= copy->slots || ready > SHM_SLOTS)
        return;
    copy_range(copy, SHM_SLOTS_AT + copy->slots * sizeof(struct shm_slot),
               SHM_SLOTS_AT + ready * sizeof(struct shm_slot));
    copy->slots = ready;
}

static void copy_all(struct copy *copy)
{
    uint64_t end = copy_end(copy);
    copy_new_slots(copy);
    copy_range(copy, 0, SHM_DIRTY_AT);
    if (end > SHM_ARENA_AT)
        copy_range(copy, SHM_ARENA_AT, end);
}

/* Copies what is left, if it is little. Under the lock.
 * @return whether the image is now the segment's state */
static bool finish_copy(struct copy *copy)
{
    take_map(copy);
    if (copy_outgrown(copy) || copy->left > BITE)
        return false;
    uint64_t ready = shm_control()->slots_ready;
    if (ready > copy->slots && ready <= SHM_SLOTS)
        return false;
    uint64_t pages = copy_marked(copy, BITE);
    if (pages > copy->locked_max)
        copy->locked_max = pages;
    for (uint64_t i = 0; i < copy->slots; i++) /* the slots' heads: pins_high, above all */
        copy_range(copy, SHM_SLOTS_AT + i * sizeof(struct shm_slot),
                   SHM_SLOTS_AT + i * sizeof(struct shm_slot) + offsetof(struct shm_slot, pins));
    copy_range(copy, SHM_CONTROL_AT, SHM_CONTROL_AT + SHM_PAGE);
    copy_range(copy, SHM_LOG_AT, SHM_LOG_AT + SHM_PAGE); /* the log's state */
    return true;
}

/* @return SHM_OK: the copy is complete; SHM_EBUSY: not yet */
static int try_finish(struct shm_store *store, struct copy *copy)
{
    int rc = shm_writer_wait(store);
    if (rc != SHM_OK)
        return rc;
    rc = finish_copy(copy) ? SHM_OK : SHM_EBUSY;
    shm_writer_unlock();
    return rc;
}

static int copy_bite(struct shm_store *store, struct copy *copy, uint64_t size)
{
    int rc = shm_writer_wait(store);
    if (rc != SHM_OK)
        return rc;
    take_map(copy);
    uint64_t pages = 0;
    if (copy->left > BITE)
        pages = copy_marked(copy, size);
    else
        rc = finish_copy(copy) ? SHM_OK : SHM_EBUSY;
    shm_writer_unlock();
    if (pages > copy->locked_max)
        copy->locked_max = pages;
    return pages > 0 ? SHM_EBUSY : rc;
}

static void spin_for_writers(void)
{
    uint64_t until = clock_monotonic_ns() + TURN_NS;
    while (clock_monotonic_ns() < until)
        caa_cpu_relax();
}

static int copy_live(struct shm_store *store, struct copy *copy)
{
    uint64_t before = UINT64_MAX;
    int rc = SHM_EBUSY;
    copy_all(copy);
    for (int round = 0; round < ROUNDS && rc == SHM_EBUSY; round++) {
        rc = try_finish(store, copy);
        if (rc != SHM_EBUSY || copy->left > before / 4 * 3 || copy_outgrown(copy))
            break;
        before = copy->left;
        copy_new_slots(copy);
        copy_marked(copy, UINT64_MAX);
    }
    for (int i = 0; i < BITES && rc == SHM_EBUSY && !copy_outgrown(copy); i++) {
        copy_new_slots(copy);
        rc = copy_bite(store, copy, i < PATIENCE ? BITE : LARGE_BITE);
        spin_for_writers();
    }
    return rc;
}

/* ---- the claim on the dirty map ---- */

/* Makes writers mark what they change. Only one verify can run at a time, because there is one map;
 * a dead process's claim does not count. @return SHM_EBUSY: another verify runs */
static int track(struct shm_store *store, const struct shm_actor *actor)
{
    struct shm_control *control = shm_control();
    int rc = shm_writer_wait(store);
    if (rc != SHM_OK)
        return rc;
    uint64_t other = __atomic_load_n(&control->tracker, __ATOMIC_RELAXED);
    if (other != 0 && other <= shm_slots_ready() && !shm_slot_dead(shm_slot((unsigned)other - 1))) {
        rc = SHM_EBUSY;
    } else {
        memset(shm_dirty_map(), 0, SHM_DIRTY_BITS / 8);
        __atomic_store_n(&control->tracker, UINT64_C(1) + shm_actor_slot(actor), __ATOMIC_RELEASE);
    }
    shm_writer_unlock();
    return rc;
}

static int take_image(struct shm_store *store, struct copy *copy)
{
    struct shm_actor *actor;
    int rc = shm_actor_join(&actor, store, SHM_ACTOR_TOOL, 0, NULL);
    if (rc != SHM_OK)
        return rc;
    rc = track(store, actor);
    if (rc == SHM_OK)
        rc = copy_live(store, copy);
    shm_actor_leave(actor); /* ends the marking, too */
    return rc;
}

int shm_store_verify(struct shm_store *store, struct shm_verify_report *report,
                     void (*on_fault)(void *data, const char *line), void *data)
{
    memset(report, 0, sizeof(*report));
    if (store->locked_out)
        return SHM_EPERM;
    if (shm_outgrown(store))
        return SHM_EOUTGROWN;
    /* with room for what writers add meanwhile */
    uint64_t limit = load_shared_word(&shm_control()->arena_end) - SHM_BASE;
    if (limit < store->size)
        limit = shm_round_up(limit + limit / 2 + ROOM, SHM_PAGE);
    if (limit < SHM_ARENA_AT || limit > store->size)
        limit = store->size;
    struct stat st;
    if (fstat(store->fd, &st) == 0 && shm_room_for((uint64_t)st.st_blocks * 512, NULL) != SHM_OK)
        return SHM_ESPACE;
    struct copy copy = {.fd = store->fd, .size = limit, .map = calloc(MAP_WORDS, sizeof(uint64_t))};
    copy.image = mmap(NULL, limit, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int rc = SHM_ESYS;
    if (copy.map != NULL && copy.image != MAP_FAILED) {
        (void)madvise(copy.image, limit, MADV_HUGEPAGE);
        (void)madvise(copy.image, limit, MADV_DONTDUMP);
        rc = take_image(store, &copy);
    }
    const struct shm_image source = {.bytes = copy.image,
                                     .size = limit,
                                     .key_of = store->key_of,
                                     .on_fault = on_fault,
                                     .data = data};
    if (rc == SHM_EBUSY && shm_outgrown(store))
        rc = SHM_EOUTGROWN;
    if (rc == SHM_OK)
        rc = shm_verify_image(&source, report);
    report->pages_locked = copy.locked_max;
    if (copy.image != MAP_FAILED)
        munmap(copy.image, limit);
    free(copy.map);
    return rc;
}
