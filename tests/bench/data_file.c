/* SPDX-License-Identifier: MIT */
/*
 * Measures the data file alone: CPU time and bytes written for each user, in transactions of 256
 * and of one, and how fast all rows are read with their sums checked.
 *   data_file [--users N] [--singles N] [--folder DIR]
 * Prints one line per figure, with fields separated by tabs: text, figure, unit, target or "-".
 * Exit 1 if something fails; a missed target is no failure.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "journal/data_file.h"
#include "tests/journal/data_create.h"

enum { BODY = 60, BATCH = 256 };

static char folder[512], path[600];
static uint64_t users = 20000, singles = 20;

static void clean_up(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".tmp", ".new"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
        char name[640];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    rmdir(folder);
}

static void need(enum data_result result, const struct fault *fault)
{
    if (result == DATA_OK)
        return;
    fprintf(stderr, "data_file: %s\n", fault->text);
    exit(1);
}

static void print_figure(const char *text, double figure, const char *unit, const char *target)
{
    printf("%s\t%.2f\t%s\t%s\n", text, figure, unit, target);
}

static struct data_row make_user(uint64_t seq, uint64_t version)
{
    static uint8_t body[BODY];
    struct data_row row = {.seq = seq, .version = version, .body = body, .body_len = BODY};
    uint64_t mixed = seq * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < BODY; i++)
        body[i] = (uint8_t)(mixed >> i % 56);
    memcpy(row.id, &mixed, sizeof(mixed));
    memcpy(row.id + 8, &seq, sizeof(seq));
    return row;
}

/* Writes `count` users behind `first`, and prints what each cost. */
static void write_users(struct data_file *file, uint64_t first, uint64_t count, uint64_t batch,
                        const char *cpu_target)
{
    struct fault fault;
    char text[64];
    const struct data_counts before = *data_counts();
    uint64_t begin = clock_monotonic_ns(), cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t seq = first + 1; seq <= first + count;) {
        need(data_file_begin(file, &fault), &fault);
        uint64_t version = seq;
        for (uint64_t i = 0; i < batch && seq <= first + count; i++, seq++) {
            struct data_row row = make_user(seq, version);
            need(data_file_put(file, &row, &fault), &fault);
        }
        need(data_file_commit(file, version, seq - 1, &fault), &fault);
        need(data_file_maintain(file, &fault), &fault);
    }
    cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    begin = clock_monotonic_ns() - begin;
    const struct data_counts *after = data_counts();
    double each = (double)count;
    snprintf(text, sizeof(text), "batches of %d: CPU a user", (int)batch);
    print_figure(text, (double)cpu / each / 1000, "us", cpu_target);
    snprintf(text, sizeof(text), "batches of %d: written a user", (int)batch);
    print_figure(text, (double)(after->bytes_written - before.bytes_written) / each, "bytes", "-");
    snprintf(text, sizeof(text), "batches of %d: users a second", (int)batch);
    print_figure(text, each / ((double)begin / 1e9), "/s", "-");
    snprintf(text, sizeof(text), "batches of %d: a sync", (int)batch);
    print_figure(text,
                 (double)(after->sync_ns - before.sync_ns) / (double)(after->syncs - before.syncs) /
                     1000,
                 "us", "-");
}

static void read_users(void)
{
    struct fault fault;
    struct data_rows *rows;
    struct data_row row;
    struct data_meta meta;
    enum data_result result;
    uint64_t begin = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID), count = 0;
    need(data_rows_open(&rows, path, &meta, &fault), &fault);
    while ((result = data_rows_next(rows, &row, &fault)) == DATA_OK)
        count++;
    need(result == DATA_NONE ? DATA_OK : result, &fault);
    data_rows_close(rows);
    begin = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
    print_figure("rows read a second of CPU", (double)count / ((double)begin / 1e9) / 1e6, "M/s",
                 "1.5");
}

static void print_file_size(uint64_t count)
{
    struct stat st;
    if (stat(path, &st) == 0)
        print_figure("file, a user beyond its body", (double)st.st_size / (double)count - BODY,
                     "bytes", "120");
}

static void rewrite_users(uint64_t count)
{
    struct fault fault;
    struct data_rewrite *rewrite;
    const struct data_meta meta = {.version = count, .seq = count};
    uint64_t cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
    need(data_rewrite_begin(&rewrite, path, &meta, &fault), &fault);
    for (uint64_t seq = 1; seq <= count; seq++) {
        struct data_row row = make_user(seq, seq);
        need(data_rewrite_put(rewrite, &row, &fault), &fault);
    }
    need(data_rewrite_finish(rewrite, &fault), &fault);
    cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    print_figure("rewrite: CPU a user", (double)cpu / (double)count / 1000, "us", "-");
}

static bool parse_arguments(int argc, char **argv, const char **parent)
{
    static const struct option options[] = {{"users", required_argument, NULL, 'u'},
                                            {"singles", required_argument, NULL, 's'},
                                            {"folder", required_argument, NULL, 'f'},
                                            {0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'u')
            users = strtoull(optarg, NULL, 10);
        else if (option == 's')
            singles = strtoull(optarg, NULL, 10);
        else if (option == 'f')
            *parent = optarg;
        else
            return false;
    }
    return optind == argc && users > 0 && singles > 0;
}

int main(int argc, char **argv)
{
    struct fault fault;
    struct data_file *file;
    const struct data_meta meta = {.version = 0};
    const char *parent = ".";
    if (!parse_arguments(argc, argv, &parent)) {
        fprintf(stderr, "usage: data_file [--users N] [--singles N] [--folder DIR]\n");
        return 2;
    }
    snprintf(folder, sizeof(folder), "%s/bench-data-XXXXXX", parent);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    snprintf(path, sizeof(path), "%s/bench.db", folder);
    atexit(clean_up);
    need(data_file_create(&file, path, DATA_SYNC_FULL, &meta, &fault), &fault);
    write_users(file, 0, users, BATCH, "3.5");
    write_users(file, users, singles, 1, "-");
    data_file_close(file, true);
    print_file_size(users + singles);
    read_users();
    rewrite_users(users);
    return 0;
}
