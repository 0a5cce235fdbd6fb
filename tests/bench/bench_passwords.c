/* SPDX-License-Identifier: MIT */
/*
 * Keeps a queue of verifications full for some seconds, with a pool of its own, and prints a line
 * of JSON.
 *
 *   bench_passwords PROCESSES QUEUE SECONDS
 */
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "tests/password/pool_kit.h"

enum { QUEUE_MAX = 1024 };

static unsigned queue;
static uint64_t seconds;
static char usual_hash[PASSWORD_HASH_MAX + 1];

static void keep_full(struct kit_worker *worker)
{
    static struct kit_request requests[QUEUE_MAX];
    static bool open[QUEUE_MAX];
    uint64_t began = clock_monotonic_ms(), now = began;
    while (now < began + seconds * 1000) {
        for (unsigned i = 0; i < queue; i++)
            if (!open[i] || requests[i].times != 0)
                open[i] = kit_submit(worker, &requests[i], POOL_VERIFY, "hunter2", usual_hash,
                                     CLOCK_NEVER_MS) == POOL_SUBMITTED;
        kit_turn(worker);
        now = clock_monotonic_ms();
    }
    worker->kit->shared[0] = worker->outcomes[POOL_YES];
    worker->kit->shared[1] = now - began;
    CHECK(worker->done == worker->outcomes[POOL_YES]);
}

int main(int argc, char **argv)
{
    struct pool_kit kit;
    struct rusage used;
    struct fault fault;
    const struct kit_bounds bounds = {QUEUE_MAX, 60000, PASSWORD_COST_DEFAULT};
    unsigned processes = argc == 4 ? (unsigned)atoi(argv[1]) : 0;
    queue = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
    seconds = argc == 4 ? (uint64_t)atoi(argv[3]) : 0;
    if (processes == 0 || processes > KIT_PROCESSES || queue == 0 || queue > QUEUE_MAX) {
        fprintf(stderr, "usage: bench_passwords PROCESSES QUEUE SECONDS\n");
        return 2;
    }
    CHECK(password_prepare(&fault) && password_hash(usual_hash, "hunter2", 7, &bounds.cost));
    kit_open(&kit, processes);
    CHECK(kit_bury_worker(&kit, 0, kit_worker(&kit, 0, &bounds, keep_full)) == 0);
    double made = (double)kit.shared[0], ms = (double)kit.shared[1];
    kit_close(&kit);
    getrusage(RUSAGE_CHILDREN, &used);
    double cpu_ms = (double)used.ru_utime.tv_sec * 1e3 + (double)used.ru_utime.tv_usec / 1e3 +
                    (double)used.ru_stime.tv_sec * 1e3 + (double)used.ru_stime.tv_usec / 1e3;
    printf("{\"verifications\": %.0f, \"per_second\": %.1f, \"cpu_ms\": %.1f}\n", made,
           made * 1000 / ms, made > 0 ? cpu_ms / made : 0);
    return 0;
}
