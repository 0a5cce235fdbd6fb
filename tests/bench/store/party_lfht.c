/* SPDX-License-Identifier: MIT */
/*
 * liburcu's lock-free hash table in one process with two threads, with as many buckets as users
 * from the start. There are two variants. One may grow and shrink (AUTO_RESIZE, ACCOUNTING, the
 * default memory layout). The other is the fastest for lookups: one array (max_nr_buckets is given,
 * so the table takes its mmap layout), without counting or resizing. Both have the record in the
 * node and get nodes from malloc. Both use liburcu's fastest flavour, QSBR, with a quiescent state
 * after each section.
 */
#include <pthread.h>
#include <stdlib.h>

#include <urcu/urcu-qsbr.h>

#include <urcu/rculfhash.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tests/bench/store/bench.h"

struct record {
    struct cds_lfht_node node;
    uint8_t id[BENCH_ID];
    uint8_t body[BENCH_BODY];
};

struct worker {
    unsigned cpu;
    uint64_t count;
    double ns;
};

static struct cds_lfht *table;
static uint64_t users;

static unsigned long hash_of(const uint8_t *id)
{
    return XXH3_64bits_withSeed(id, BENCH_ID, 42);
}

static int match(struct cds_lfht_node *node, const void *id)
{
    return memcmp(caa_container_of(node, struct record, node)->id, id, BENCH_ID) == 0;
}

static void load(uint64_t loaded)
{
    if (table == NULL)
        bench_die("cds_lfht", "cannot make a table");
    urcu_qsbr_register_thread();
    for (users = 0; users < loaded; users++) {
        struct record *record = malloc(sizeof(*record));
        if (record == NULL) {
            bench_die("cds_lfht", "out of memory");
            return;
        }
        cds_lfht_node_init(&record->node);
        bench_id(record->id, users);
        bench_body(record->body, users);
        cds_lfht_add(table, hash_of(record->id), &record->node);
        if (users % BENCH_SECTION == 0)
            urcu_qsbr_quiescent_state(); /* a resize waits for quiescent states */
    }
    urcu_qsbr_unregister_thread();
}

static unsigned long buckets_for(uint64_t max)
{
    unsigned long buckets = 1;
    while (buckets < max)
        buckets *= 2;
    return buckets;
}

static void open_growing(const char *file, unsigned role, uint64_t max, uint64_t loaded)
{
    (void)file;
    (void)role;
    table = cds_lfht_new_flavor(buckets_for(max), 1, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING,
                                &urcu_qsbr_flavor, NULL);
    load(loaded);
}

static void open_sized(const char *file, unsigned role, uint64_t max, uint64_t loaded)
{
    (void)file;
    (void)role;
    unsigned long buckets = buckets_for(max);
    table = cds_lfht_new_flavor(buckets, buckets, buckets, 0, &urcu_qsbr_flavor, NULL);
    load(loaded);
}

/* @return ns of CPU time */
static double look_up_batch(const struct bench_batch *batch)
{
    struct cds_lfht_iter iter;
    double start = bench_now();
    for (int i = 0; i < BENCH_BATCH; i++) {
        urcu_qsbr_read_lock();
        cds_lfht_lookup(table, hash_of(batch->id[i]), match, batch->id[i], &iter);
        struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
        if (node == NULL ||
            !bench_body_is(caa_container_of(node, struct record, node)->body, batch->n[i]))
            bench_die("cds_lfht", "a user is missing or wrong");
        urcu_qsbr_read_unlock();
        if (i % BENCH_SECTION == BENCH_SECTION - 1)
            urcu_qsbr_quiescent_state();
    }
    return bench_now() - start;
}

static void *look_up(void *data)
{
    static uint64_t seed = 77;
    struct worker *worker = data;
    struct bench_batch batch;
    uint64_t state = UINT64_C(88172645463325252) + __atomic_fetch_add(&seed, 1, __ATOMIC_RELAXED);
    bench_pin(worker->cpu);
    urcu_qsbr_register_thread();
    for (uint64_t done = 0; done < worker->count; done += BENCH_BATCH) {
        bench_batch_fill(&batch, &state, users);
        worker->ns += look_up_batch(&batch) / (double)worker->count;
    }
    urcu_qsbr_unregister_thread();
    return NULL;
}

static double run(enum bench_op op, uint64_t count)
{
    struct worker worker[2] = {{0, count, 0}, {1, count, 0}};
    pthread_t thread[2];
    if (op != BENCH_LOOKUP)
        bench_die("cds_lfht", "only looks up");
    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread[i], NULL, look_up, &worker[i]) != 0)
            bench_die("cds_lfht", "cannot make a thread");
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    return (worker[0].ns + worker[1].ns) / 2;
}

static void close_table(void)
{
    /* The process ends now, which frees the memory. */
}

const struct bench_party bench_lfht = {"cds_lfht", true, open_growing, run, close_table};
const struct bench_party bench_lfht_sized = {"cds_lfht, sized", true, open_sized, run, close_table};
