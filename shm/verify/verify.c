/* SPDX-License-Identifier: MIT */
/*
 * Every invariant, checked on an image of a segment that is taken as hostile:
 * a pointer is an offset to be tested for range and alignment, every block is
 * marked in a bitmap of 16-byte granules, so that an overlap is found, a walk
 * in a circle ends, and in the end the granules that nobody owns are a leak.
 *
 *   verify_control.c  page 0, the control page, slots, the feed
 *   verify_users.c    the order list with nodes and bodies, and the sparse index
 *   verify_tables.c   the hash tables
 *   verify_memory.c   retired, held and free blocks, and what is left
 *
 * A large image is checked by several threads: lists are cut into pieces, and
 * each thread walks several at a time, since what a walk costs is waiting for memory.
 */
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shm/verify/verify_parts.h"

enum { THREADS_MAX = 16, TELL_MS = 100 };
/* An arena below this is not worth a thread. */
#define SPREAD_FROM (UINT64_C(32) << 20)

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

/* Signals are for the threads that the program has anyway. */
void verify_spread(struct verify *v, struct verify_pieces *pieces,
                   void (*run)(struct verify *v, struct verify_tally *tally,
                               struct verify_pieces *pieces))
{
    struct thread threads[THREADS_MAX];
    unsigned started = 0;
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

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void verify_progress(struct verify *v, uint64_t done)
{
    uint64_t all = __atomic_add_fetch(&v->done, done, __ATOMIC_RELAXED);
    if (v->image->progress == NULL || !pthread_equal(pthread_self(), v->caller) ||
        now_ms() < v->told_at + TELL_MS)
        return;
    v->told_at = now_ms();
    uint64_t percent = v->work != 0 ? all * 100 / v->work : 0;
    v->image->progress(v->image->progress_data, "checking", percent < 99 ? (unsigned)percent : 99);
}

/* ---- all of it ---- */

static unsigned count_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count < THREADS_MAX ? (unsigned)count : THREADS_MAX;
}

static void fill_report(struct verify *v)
{
    v->report->users = v->sum.live;
    v->report->bodies = v->sum.bodies;
    v->report->free_blocks = v->sum.free_blocks;
    v->report->bytes_used = v->sum.bytes_used;
    v->report->bytes_free = v->sum.bytes_free;
    v->report->bytes_tables = v->sum.bytes_tables;
}

static void check_all(struct verify *v)
{
    verify_control(v);
    verify_slots(v);
    verify_feed(v);
    verify_users(v);
    verify_levels(v);
    verify_tables(v);
    verify_queues(v);
    verify_allocator(v);
    if (v->sum.live != v->control->users)
        verify_fault(v, "%llu users are there, the segment says %llu",
                     (unsigned long long)v->sum.live, (unsigned long long)v->control->users);
}

static int check_arena(struct verify *v)
{
    v->from = SHM_ARENA_AT;
    v->to = v->control->alloc[SHM_ALLOC_ARENA_CUR] - SHM_BASE;
    v->threads = v->to - v->from >= SPREAD_FROM ? count_cpus() : 1;
    const struct shm_rebuild *rebuild = &v->control->rebuild;
    for (unsigned key = 0; key < SHM_KEYS; key++) {
        if (v->control->unique[key].buckets != NULL)
            v->indexed[key] = UINT64_MAX;
        else if (rebuild->to.buckets != NULL && rebuild->what == SHM_REBUILD_UNIQUE + key)
            v->indexed[key] = rebuild->done;
    }
    v->work = 2 * v->control->users + v->control->ids.count / 8 + 1;
    size_t granules = (v->to - v->from) / VERIFY_GRANULE / 64 + 1;
    size_t nodes = (v->to - v->from) / VERIFY_GRANULE / 64 + 1;
    uint64_t *maps = calloc(3 * granules + nodes, sizeof(*maps));
    if (maps == NULL)
        return SHM_ESYS;
    v->taken = maps;
    v->retired = maps + granules;
    v->tower = maps + 2 * granules;
    v->node = maps + 3 * granules;
    check_all(v);
    free(maps);
    return SHM_OK;
}

int shm_verify_image(const struct shm_image *image, struct shm_verify_report *report)
{
    memset(report, 0, sizeof(*report));
    struct verify v = {.image = image, .report = report, .lock = PTHREAD_MUTEX_INITIALIZER};
    v.header = (const void *)image->bytes;
    v.control = (const void *)(image->bytes + SHM_CONTROL_AT);
    v.caller = pthread_self();
    v.told_at = now_ms();
    struct shm_fault why;
    int rc = SHM_OK;
    if (shm_check_header(v.header, "image", &why) != SHM_OK)
        verify_fault(&v, "%s", why.text);
    else if (verify_bounds(&v))
        rc = check_arena(&v);
    fill_report(&v);
    pthread_mutex_destroy(&v.lock);
    if (rc != SHM_OK)
        return rc;
    return report->faults == 0 ? SHM_OK : SHM_ECORRUPT;
}
