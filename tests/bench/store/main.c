/* SPDX-License-Identifier: MIT */
/*
 * Measures the store, liburcu's cds_lfht and LMDB in one run.
 *   bench_store [--small N] [--large N] [--rounds N]
 * Prints one line per figure, with fields separated by tabs: text, our figure, the figure that it
 * is compared with, ratio, target, verdict. Exit 1 if a target is missed. Every operation runs in
 * rounds, the parties taking turns, and the medians count. tests/bench/store.py makes a table of
 * the output.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/store/runner.h"

enum { ROUNDS_MAX = 99, PARTIES = 3 };

/* Operations per round. */
enum {
    LOOKUPS = 1000 * BENCH_BATCH,
    SLOW_LOOKUPS = 400 * BENCH_BATCH, /* of LMDB */
    INSERTS = 20000,
    SNAPSHOTS = 1000000,
    WRITES = 50000, /* updates and deletes */
};

enum figure { STORE, LFHT, LFHT_SIZED, LMDB, INSERT, SNAPSHOT, ALONE, DISTURBED, WRITER, FIGURES };

/* A table of one size: its processes, and their times. */
struct table {
    uint64_t users;
    char store_file[64], lmdb_file[64];
    struct runner store[2], lfht, sized, lmdb[2];
    double ns[FIGURES][ROUNDS_MAX];
};

static struct table tables[2];
static struct runner extra;
static unsigned rounds = 7;
static bool missed;

static void clean_up(void)
{
    runner_kill(&extra);
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            runner_kill(&tables[i].store[k]);
            runner_kill(&tables[i].lmdb[k]);
        }
        runner_kill(&tables[i].lfht);
        runner_kill(&tables[i].sized);
        bench_store_remove(tables[i].store_file);
        bench_lmdb_remove(tables[i].lmdb_file);
    }
}

static void on_signal(int number)
{
    (void)number; /* a waiting call fails with EINTR, and the program exits */
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* @return the median; `values` has one value per round. */
static double median_of(double *values)
{
    qsort(values, rounds, sizeof(*values), compare);
    return values[rounds / 2];
}

static double median(struct table *table, enum figure figure)
{
    return median_of(table->ns[figure]);
}

/* Prints a row. limit 0: no target. */
static void row(const char *what, double ours, double other, const char *unit, double limit)
{
    const char *verdict = "";
    double ratio = other > 0 ? ours / other : 0;
    if (limit > 0) {
        bool good = (other > 0 ? ratio : ours) <= limit;
        verdict = good ? "ok" : "MISSED";
        missed = missed || !good;
    }
    printf("%s\t%.*f %s\t", what, ours < 100 || *unit == 'b' ? 1 : 0, ours, unit);
    if (other > 0)
        printf("%.*f %s\t%.2f\t", other < 100 ? 1 : 0, other, unit, ratio);
    else
        printf("\t\t");
    if (limit > 0)
        printf("%g", limit);
    printf("\t%s\n", verdict);
    fflush(stdout);
}

static const char *sized(const char *format, uint64_t users)
{
    static char text[2][200];
    static int which;
    char number[32];
    if (users % 1000000 == 0)
        snprintf(number, sizeof(number), "%llu M", (unsigned long long)users / 1000000);
    else
        snprintf(number, sizeof(number), "%llu", (unsigned long long)users);
    which = !which;
    snprintf(text[which], sizeof(text[which]), "%s, %s users", format, number);
    return text[which];
}

static void start(struct table *table)
{
    uint64_t n = table->users, loaded = n - (uint64_t)rounds * INSERTS;
    fprintf(stderr, "%s\n", sized("bench: making the tables", n));
    for (unsigned role = 0; role < 2; role++)
        runner_start(&table->store[role], &bench_store, table->store_file, role, n, loaded);
    runner_start(&table->lfht, &bench_lfht, "", 0, n, n);
    runner_start(&table->sized, &bench_lfht_sized, "", 0, n, n);
    for (unsigned role = 0; role < 2; role++)
        runner_start(&table->lmdb[role], &bench_lmdb, table->lmdb_file, role, n, n);
}

static double both(const struct runner runner[2], enum bench_op op, uint64_t count)
{
    runner_ask(&runner[0], op, count);
    runner_ask(&runner[1], op, count);
    double first = runner_answer(&runner[0]);
    return (first + runner_answer(&runner[1])) / 2;
}

static void round_of(struct table *table, unsigned i)
{
    const struct runner *store = table->store;
    table->ns[STORE][i] = both(store, BENCH_LOOKUP, LOOKUPS);
    table->ns[LFHT][i] = runner_do(&table->lfht, BENCH_LOOKUP, LOOKUPS);
    table->ns[LFHT_SIZED][i] = runner_do(&table->sized, BENCH_LOOKUP, LOOKUPS);
    table->ns[LMDB][i] = both(table->lmdb, BENCH_LOOKUP, SLOW_LOOKUPS);
    table->ns[INSERT][i] = runner_do(&store[0], BENCH_INSERT, INSERTS);
    table->ns[SNAPSHOT][i] = runner_do(&store[0], BENCH_SNAPSHOT, SNAPSHOTS);
    table->ns[ALONE][i] = runner_do(&store[0], BENCH_LOOKUP, LOOKUPS);
    *bench_stop = 0;
    runner_ask(&store[1], BENCH_WRITE, 0);
    usleep(2000);
    table->ns[DISTURBED][i] = runner_do(&store[0], BENCH_LOOKUP, LOOKUPS);
    *bench_stop = 1;
    table->ns[WRITER][i] = runner_answer(&store[1]);
    (void)runner_do(&store[0], BENCH_RECLAIM, 0);
}

static void lookups(struct table *table)
{
    double ours = median(table, STORE);
    uint64_t n = table->users;
    row(sized("lookup from two processes, against cds_lfht in one", n), ours, median(table, LFHT),
        "ns", 0.5);
    row(sized("the same, cds_lfht in an array that cannot grow", n), ours,
        median(table, LFHT_SIZED), "ns", 0); /* a table that never grows: no target */
    row(sized("lookup from two processes, against LMDB", n), ours, median(table, LMDB), "ns", 0.2);
    row(sized("insert, one at a time, against a lookup", n), median(table, INSERT), ours, "ns", 4);
    row(sized("snapshot begin and end, against a lookup", n), median(table, SNAPSHOT), ours, "ns",
        0.5);
    row(sized("lookup under a writer at full speed, against one alone", n),
        median(table, DISTURBED), median(table, ALONE), "ns", 1.5);
}

/* Measures a writer's calls. They are the last figures of the small table, because they shrink
 * it. */
static void writes(struct table *table)
{
    const struct runner *store = table->store;
    double ns[4][ROUNDS_MAX] = {0};
    for (unsigned i = 0; i < rounds; i++) {
        ns[0][i] = runner_do(&store[0], BENCH_UPDATE, WRITES);
        (void)runner_do(&store[0], BENCH_RECLAIM, 0);
        (void)runner_do(&store[1], BENCH_ENTER, 0); /* keeps everything from being reclaimed */
        ns[1][i] = runner_do(&store[0], BENCH_UPDATE, WRITES);
        (void)runner_do(&store[1], BENCH_EXIT, 0);
        ns[2][i] = runner_do(&store[0], BENCH_RECLAIM, 0);
    }
    for (unsigned i = 0; i < rounds; i++) {
        ns[3][i] = runner_do(&store[0], BENCH_DELETE, WRITES / 10);
        (void)runner_do(&store[0], BENCH_RECLAIM, 0);
    }
    uint64_t n = table->users;
    row(sized("update, one at a time, reclaim included", n), median_of(ns[0]), 0, "ns", 0);
    row(sized("update, one at a time, without reclaim", n), median_of(ns[1]), 0, "ns", 0);
    row(sized("reclaim of a body", n), median_of(ns[2]), 0, "ns", 0);
    row(sized("delete, one at a time, reclaim included", n), median_of(ns[3]), 0, "ns", 0);
}

static void stop_peers(struct table *table)
{
    runner_stop(&table->lfht);
    runner_stop(&table->sized);
    for (int k = 0; k < 2; k++)
        runner_stop(&table->lmdb[k]);
    bench_lmdb_remove(table->lmdb_file);
}

static void stop_store(struct table *table)
{
    for (int k = 2; k-- > 0;)
        runner_stop(&table->store[k]);
}

/* Measures the memory of the large table, and what a new server needs to attach to it. */
static void memory(struct table *table)
{
    uint64_t n = table->users;
    double file = runner_do(&table->store[0], BENCH_FILE_BYTES, 0);
    row(sized("memory a user, of the whole file", n), file, 0, "bytes", 256);
    row(sized("memory a user, in use", n), runner_do(&table->store[0], BENCH_BYTES, 0), 0, "bytes",
        256);
    stop_store(table);
    double ms[ROUNDS_MAX] = {0};
    for (unsigned i = 0; i < rounds; i++) {
        runner_start(&extra, &bench_store_again, table->store_file, 0, n, 0);
        ms[i] = runner_do(&extra, BENCH_OPEN_MS, 0);
        runner_stop(&extra);
    }
    row(sized("re-attach and check, against twice as many lookups", n), median_of(ms),
        median(table, ALONE) * 2 * (double)n / 1e6, "ms", 1);
    bench_store_remove(table->store_file);
    fprintf(stderr, "%s\n", sized("bench: a table with two unique keys", n));
    runner_start(&extra, &bench_store_unique, table->store_file, 0, n, n);
    row(sized("memory for each unique index, a user", n),
        (runner_do(&extra, BENCH_FILE_BYTES, 0) - file) / 2, 0, "bytes", 32);
    double ns[2][ROUNDS_MAX] = {0};
    for (unsigned i = 0; i < rounds; i++) {
        ns[0][i] = runner_do(&extra, BENCH_LOOKUP_KEY, LOOKUPS);
        ns[1][i] = runner_do(&extra, BENCH_LOOKUP, LOOKUPS);
    }
    row(sized("lookup by a unique key, against one by id", n), median_of(ns[0]), median_of(ns[1]),
        "ns", 0);
    runner_stop(&extra);
}

static void options(int argc, char **argv)
{
    static const struct option known[] = {{"small", required_argument, NULL, 's'},
                                          {"large", required_argument, NULL, 'l'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {NULL, 0, NULL, 0}};
    tables[0].users = 1000000;
    tables[1].users = 10000000;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 's')
            tables[0].users = strtoull(optarg, NULL, 10);
        else if (c == 'l')
            tables[1].users = strtoull(optarg, NULL, 10);
        else if (c == 'r')
            rounds = (unsigned)strtoul(optarg, NULL, 10);
        else
            exit(2);
    }
    if (rounds < 1 || rounds > ROUNDS_MAX || optind != argc)
        bench_die("options", "--rounds N with 1 <= N <= 99, and no arguments");
    for (int i = 0; i < 2; i++)
        if (tables[i].users < (uint64_t)rounds * 2 * INSERTS || tables[i].users > UINT32_MAX)
            bench_die("options", "too few or too many users for so many rounds");
}

int main(int argc, char **argv)
{
    options(argc, argv);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    runner_init();
    for (int i = 0; i < 2; i++) {
        snprintf(tables[i].store_file, sizeof(tables[i].store_file), "rosterd-bench-%ld-%d",
                 (long)getpid(), i);
        snprintf(tables[i].lmdb_file, sizeof(tables[i].lmdb_file), "rosterd-bench-%ld-%d.lmdb",
                 (long)getpid(), i);
    }
    atexit(clean_up);
    for (int i = 0; i < 2; i++)
        start(&tables[i]);
    for (unsigned i = 0; i < rounds; i++) {
        fprintf(stderr, "bench: round %u of %u\n", i + 1, rounds);
        for (int k = 0; k < 2; k++)
            round_of(&tables[k], i);
    }
    for (int i = 0; i < 2; i++)
        lookups(&tables[i]);
    row("a lookup in the large table, against one in the small", median(&tables[1], STORE),
        median(&tables[0], STORE), "ns", 1.4);
    for (int i = 0; i < 2; i++)
        stop_peers(&tables[i]);
    writes(&tables[0]);
    stop_store(&tables[0]);
    memory(&tables[1]);
    return missed ? 1 : 0;
}
