/* SPDX-License-Identifier: MIT */
#include "shm/verify/verify_state.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

enum { TELL_MS = 100 };

void verify_fault(struct verify *v, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    pthread_mutex_lock(&v->lock);
    v->report->faults++;
    if (v->image->on_fault != NULL)
        v->image->on_fault(v->image->data, line);
    pthread_mutex_unlock(&v->lock);
}

bool verify_mark(struct verify *v, struct verify_tally *tally, const void *pointer, uint64_t size)
{
    uint64_t bit = verify_bit(v, pointer, VERIFY_GRANULE);
    uint64_t end = bit + size / VERIFY_GRANULE;
    tally->marked += end - bit;
    while (bit < end) {
        uint64_t count = 64 - bit % 64 < end - bit ? 64 - bit % 64 : end - bit;
        uint64_t mask = (count == 64 ? ~UINT64_C(0) : (UINT64_C(1) << count) - 1) << (bit % 64);
        if ((__atomic_fetch_or(&v->taken[bit / 64], mask, __ATOMIC_RELAXED) & mask) != 0)
            return false;
        bit += count;
    }
    return true;
}

/* ---- threads ---- */

struct thread {
    pthread_t id;
    struct verify *v;
    struct verify_pieces *pieces;
    void (*run)(struct verify *v, struct verify_tally *tally, struct verify_pieces *pieces);
};

static void add_tally(struct verify_tally *sum, const struct verify_tally *tally)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)tally;
    _Static_assert(sizeof(*sum) % sizeof(*to) == 0, "a tally is all counts");
    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += from[i];
}

static void *run_thread(void *data)
{
    struct thread *thread = data;
    struct verify_tally tally = {0};
    thread->run(thread->v, &tally, thread->pieces);
    pthread_mutex_lock(&thread->v->lock);
    add_tally(&thread->v->sum, &tally);
    pthread_mutex_unlock(&thread->v->lock);
    return NULL;
}

uint64_t verify_take(struct verify_pieces *pieces)
{
    uint64_t i = __atomic_fetch_add(&pieces->next, 1, __ATOMIC_RELAXED);
    return i < pieces->count ? i : UINT64_MAX;
}

/* The threads block all signals, so that the program's own threads handle them. */
void verify_spread(struct verify *v, struct verify_pieces *pieces,
                   void (*run)(struct verify *v, struct verify_tally *tally,
                               struct verify_pieces *pieces))
{
    struct thread threads[VERIFY_THREADS_MAX];
    unsigned started = 0;
    assert(v->threads <= VERIFY_THREADS_MAX);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; started + 1 < v->threads && started + 1 < pieces->count; started++) {
        threads[started] = (struct thread){.v = v, .pieces = pieces, .run = run};
        if (pthread_create(&threads[started].id, NULL, run_thread, &threads[started]) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    struct thread mine = {.v = v, .pieces = pieces, .run = run};
    run_thread(&mine);
    while (started > 0)
        pthread_join(threads[--started].id, NULL);
}

void verify_progress(struct verify *v, uint64_t done)
{
    uint64_t all = __atomic_add_fetch(&v->done, done, __ATOMIC_RELAXED);
    if (v->image->progress == NULL || !pthread_equal(pthread_self(), v->caller) ||
        clock_monotonic_coarse_ms() < v->told_at + TELL_MS)
        return;
    v->told_at = clock_monotonic_coarse_ms();
    uint64_t percent = v->work != 0 ? all * 100 / v->work : 0;
    v->image->progress(v->image->progress_data, "checking", percent < 99 ? (unsigned)percent : 99);
}
