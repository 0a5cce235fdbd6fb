/* SPDX-License-Identifier: MIT */
/*
 * Checks every invariant on an image of a segment, which is not trusted: a pointer is an offset
 * whose range and alignment are checked, and every block is marked in a bitmap of 16-byte granules.
 * So an overlap is found, a walk in a circle ends, and granules that are not marked in the end are
 * a leak.
 *
 *   verify_control.c  page 0, the control page, slots, the feed
 *   verify_users.c    the order list with nodes and bodies, and the sparse index
 *   verify_tables.c   the hash tables
 *   verify_requests.c the requests that were done
 *   verify_memory.c   retired, held and free blocks, and what is left
 *
 * Several threads check a large image. Lists are cut into pieces, and each thread walks several
 * pieces in turn, because a walk spends its time waiting for memory.
 */
#include "shm/verify/verify.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "shm/core/layout.h"
#include "shm/error.h"
#include "shm/segment/check.h"
#include "shm/verify/verify_control.h"
#include "shm/verify/verify_memory.h"
#include "shm/verify/verify_requests.h"
#include "shm/verify/verify_state.h"
#include "shm/verify/verify_tables.h"
#include "shm/verify/verify_users.h"

/* A smaller arena is checked by one thread. */
#define SPREAD_FROM (UINT64_C(32) << 20)

/* ---- all of it ---- */

static unsigned count_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count < VERIFY_THREADS_MAX ? (unsigned)count : VERIFY_THREADS_MAX;
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

/* @return SHM_OK, SHM_ESYS (no memory) */
static int check_all(struct verify *v)
{
    verify_control(v);
    verify_slots(v);
    verify_feed(v);
    verify_users(v);
    verify_levels(v);
    verify_tables(v);
    if (!verify_requests(v))
        return SHM_ESYS;
    verify_queues(v);
    verify_allocator(v);
    if (v->sum.live != v->control->users)
        verify_fault(v, "%llu users are there, the segment says %llu",
                     (unsigned long long)v->sum.live, (unsigned long long)v->control->users);
    return SHM_OK;
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
    int rc = check_all(v);
    free(maps);
    return rc;
}

int shm_verify_image(const struct shm_image *image, struct shm_verify_report *report)
{
    memset(report, 0, sizeof(*report));
    struct verify v = {.image = image, .report = report, .lock = PTHREAD_MUTEX_INITIALIZER};
    v.header = (const void *)image->bytes;
    v.control = (const void *)(image->bytes + SHM_CONTROL_AT);
    v.caller = pthread_self();
    v.told_at = clock_monotonic_coarse_ms();
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
