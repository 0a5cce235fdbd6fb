/* SPDX-License-Identifier: MIT */
/*
 * The wheel has eleven levels of 64 slots; each level stands for six bits of the 64-bit time. A
 * timer lies at the level of the highest six-bit digit in which its time differs from `elapsed`, in
 * the slot of that digit. When the time reaches the beginning of a slot, its timers move to lower
 * levels; at level 0 they expire. So at every level all timers lie in slots behind that of
 * `elapsed`, and every timer of a lower level is due before all timers of a higher one: the next
 * slot is the first bit of the first bitmap that is not empty.
 */
#include "base/timer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"

enum { BITS = 6, SLOTS = 1 << BITS, LEVELS = (64 + BITS - 1) / BITS };

struct timers {
    uint64_t elapsed;
    uint64_t now;              /* 0: the clock must be read */
    uint64_t occupied[LEVELS]; /* a bit for each slot that is not empty */
    struct timer *slots[LEVELS * SLOTS];
    struct timer *due; /* timers that were armed for a time that had passed already */
};

struct timers *timers_create(uint64_t now_ms)
{
    struct timers *timers = calloc(1, sizeof(*timers));
    if (timers != NULL)
        timers->elapsed = now_ms;
    return timers;
}

void timers_destroy(struct timers *timers)
{
    free(timers);
}

uint64_t timers_now(struct timers *timers)
{
    if (timers->now == 0)
        timers->now = clock_monotonic_ms();
    return timers->now;
}

void timers_stale(struct timers *timers)
{
    timers->now = 0;
}

static void timer_link(struct timer **head, struct timer *timer)
{
    timer->next = *head;
    timer->prev = head;
    if (timer->next != NULL)
        timer->next->prev = &timer->next;
    *head = timer;
}

static void timer_unlink(struct timer *timer)
{
    *timer->prev = timer->next;
    if (timer->next != NULL)
        timer->next->prev = timer->prev;
    timer->prev = NULL;
}

static void insert_timer(struct timers *timers, struct timer *timer)
{
    if (timer->at <= timers->elapsed) {
        timer_link(&timers->due, timer);
        return;
    }
    unsigned highest = 63 - (unsigned)__builtin_clzll(timer->at ^ timers->elapsed);
    unsigned level = highest / BITS;
    unsigned slot = (unsigned)(timer->at >> (level * BITS)) & (SLOTS - 1);
    timer_link(&timers->slots[level * SLOTS + slot], timer);
    timers->occupied[level] |= UINT64_C(1) << slot;
}

void timer_arm(struct timers *timers, struct timer *timer, uint64_t at_ms)
{
    assert(timer->expired != NULL);
    timer_disarm(timers, timer);
    timer->at = at_ms;
    insert_timer(timers, timer);
}

void timer_disarm(struct timers *timers, struct timer *timer)
{
    if (timer->prev == NULL)
        return;
    struct timer **head = timer->prev;
    timer_unlink(timer);
    /* If the timer was the only one in a slot, `head` is the slot itself, and its bit is cleared.
     */
    uintptr_t offset = (uintptr_t)head - (uintptr_t)timers->slots;
    if (*head == NULL && offset < sizeof(timers->slots)) {
        size_t index = offset / sizeof(timers->slots[0]);
        timers->occupied[index / SLOTS] &= ~(UINT64_C(1) << (index % SLOTS));
    }
}

/* The first slot that is not empty, and the time at which it begins. @return false: all are empty
 */
static bool next_slot(const struct timers *timers, size_t *index, uint64_t *at)
{
    for (unsigned level = 0; level < LEVELS; level++) {
        if (timers->occupied[level] == 0)
            continue;
        unsigned slot = (unsigned)__builtin_ctzll(timers->occupied[level]);
        unsigned shift = level * BITS;
        uint64_t above = level + 1 < LEVELS ? ~UINT64_C(0) << (shift + BITS) : 0;
        *index = level * SLOTS + slot;
        *at = (timers->elapsed & above) | ((uint64_t)slot << shift);
        return true;
    }
    return false;
}

/* Moves a list to the caller's head, since callbacks may change the original list. */
static void take_list(struct timer **from, struct timer **to)
{
    *to = *from;
    *from = NULL;
    if (*to != NULL)
        (*to)->prev = to;
}

static void fire_all(struct timer **list)
{
    while (*list != NULL) {
        struct timer *timer = *list;
        timer_unlink(timer);
        timer->expired(timer);
    }
}

void timers_run(struct timers *timers, uint64_t now_ms)
{
    struct timer *list;
    size_t index;
    uint64_t at;
    take_list(&timers->due, &list);
    fire_all(&list);
    while (next_slot(timers, &index, &at) && at <= now_ms) {
        timers->elapsed = at;
        take_list(&timers->slots[index], &list);
        timers->occupied[index / SLOTS] &= ~(UINT64_C(1) << (index % SLOTS));
        struct timer *fire = NULL;
        while (list != NULL) {
            struct timer *timer = list;
            timer_unlink(timer);
            if (timer->at <= at)
                timer_link(&fire, timer);
            else
                insert_timer(timers, timer);
        }
        fire_all(&fire);
    }
    if (now_ms > timers->elapsed)
        timers->elapsed = now_ms;
}

int32_t timers_wait(const struct timers *timers, uint64_t now_ms)
{
    size_t index;
    uint64_t at;
    if (timers->due != NULL)
        return 0;
    if (!next_slot(timers, &index, &at))
        return -1;
    if (at <= now_ms)
        return 0;
    return at - now_ms > INT32_MAX ? INT32_MAX : (int32_t)(at - now_ms);
}
