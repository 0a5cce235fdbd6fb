/* SPDX-License-Identifier: MIT */
/*
 * Measures how long the writer lock is held, in CPU time of the thread that holds it. A process
 * that waits for the lock longer than 50 us gets SHM_EBUSY, so a long hold affects every writer. It
 * also measures the longest call of a listing that has a million deleted users before it.
 *   hold          a short round, which only shows that the program runs
 *   hold --full   the whole table; exit 1 if a target is missed
 * The library is the product's, plus its test points; two of them mark the beginning and the end of
 * a hold.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#include "tests/bench/hold.h"

enum { BODY_KEYS = 48 }; /* the body begins with the user's name and e-mail, 24 bytes each */

void (*shm_test_hook)(const char *point);
bool hold_full;

static char segment[64];
static bool missed;
static struct hold_row *row_now;
static uint64_t began;

/* Unlinks the file itself, because shm_store_unlink() refuses while this process has the
 * segment open. */
static void clean_up(void)
{
    char path[80];
    snprintf(path, sizeof(path), "/dev/shm%s", segment);
    unlink(path);
}

static void on_signal(int number)
{
    clean_up();
    _exit(128 + number);
}

void hold_die(const char *what, const char *why)
{
    fprintf(stderr, "hold: %s: %s\n", what, why);
    exit(2);
}

void hold_must(int result, const char *what)
{
    if (result != SHM_OK)
        hold_die(what, shm_strerror(result));
}

uint64_t hold_scale(uint64_t full, uint64_t least)
{
    if (hold_full)
        return full;
    return full / 100 > least ? full / 100 : least;
}

/* ---- measuring ---- */

uint64_t hold_cpu_ns(void)
{
    return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void add(struct hold_row *row, uint64_t ns)
{
    if (row->count == row->room) {
        row->room = row->room != 0 ? 2 * row->room : 4096;
        row->ns = realloc(row->ns, row->room * sizeof(*row->ns));
        if (row->ns == NULL)
            hold_die(row->what, "out of memory");
    }
    row->ns[row->count++] = ns;
}

static void on_point(const char *point)
{
    if (row_now == NULL)
        return;
    if (strcmp(point, "unlocking") == 0) {
        if (began != 0)
            add(row_now, hold_cpu_ns() - began);
        began = 0;
    } else if (strcmp(point, "lock taken") == 0) {
        began = hold_cpu_ns();
    }
}

void hold_count_to(struct hold_row *row)
{
    row_now = row;
    began = 0;
}

void hold_add_call(struct hold_row *row, uint64_t since)
{
    add(row, hold_cpu_ns() - since);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* @return the quantile in microseconds: `thousandths` thousandths of the holds are not longer. */
static double quantile(const struct hold_row *row, unsigned thousandths)
{
    size_t at = (row->count * thousandths + 999) / 1000;
    return (double)row->ns[at == 0 ? 0 : at - 1] / 1000;
}

void hold_print(struct hold_row *row)
{
    char target[32] = "";
    const char *verdict = "";
    if (row->count == 0)
        hold_die(row->what, "nothing was counted");
    qsort(row->ns, row->count, sizeof(*row->ns), by_value);
    double is = quantile(row, row->figure == HOLD_MAX ? 1000 : 999);
    if (row->target_us != 0) {
        snprintf(target, sizeof(target), "%s %.0f", row->figure == HOLD_MAX ? "max" : "p99.9",
                 row->target_us);
        verdict = is <= row->target_us ? "reached" : "missed";
        missed = missed || is > row->target_us;
    }
    printf("| %-64s | %7zu | %7.1f | %7.1f | %7.1f | %8.1f | %-10s | %-7s |\n", row->what,
           row->count, quantile(row, 500), quantile(row, 990), quantile(row, 999),
           quantile(row, 1000), target, verdict);
    fflush(stdout);
    free(row->ns);
    row->ns = NULL;
    row->count = row->room = 0;
}

/* ---- the table ---- */

static uint8_t bodies[SHM_BATCH_MAX][SHM_BODY_MAX];
static struct shm_new_user users[SHM_BATCH_MAX];

static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    if (body_len < BODY_KEYS)
        return 0;
    memcpy(out, body + (size_t)key * (BODY_KEYS / 2), BODY_KEYS / 2);
    return BODY_KEYS / 2;
}

static void make_id(uint8_t id[SHM_ID_SIZE], uint64_t n)
{
    uint64_t words[2] = {(n + 1) * UINT64_C(0x9e3779b97f4a7c15), n};
    memcpy(id, words, sizeof(words));
}

static void make_user(const struct hold_table *table, size_t i, uint64_t n)
{
    make_id(users[i].id, n);
    memset(bodies[i], 0, BODY_KEYS); /* all bytes of a key are compared */
    snprintf((char *)bodies[i], 24, "user%llu", (unsigned long long)n);
    snprintf((char *)bodies[i] + 24, 24, "user%llu@example.com", (unsigned long long)n);
    users[i].body = bodies[i];
    users[i].body_len = table->body_len;
}

void hold_open(struct hold_table *table, uint32_t body_len, bool unique)
{
    struct shm_fault fault = {.text = ""};
    struct shm_config config = {.name = segment,
                                .size = UINT64_C(8) << 30,
                                .max_users = hold_scale(2000000, 40000),
                                .unique = unique ? 3 : 0,
                                .key_of = key_of,
                                .snapshot_max_bytes = UINT64_C(4) << 30};
    *table = (struct hold_table){.body_len = body_len};
    hold_count_to(NULL);
    if (shm_store_open(&table->store, &config, &fault) != SHM_OK)
        hold_die("open", fault.text);
    table->actor = hold_join(table);
}

void hold_close(struct hold_table *table)
{
    hold_count_to(NULL);
    shm_actor_leave(table->actor);
    shm_store_close(table->store);
    shm_store_unlink(segment, NULL);
}

struct shm_actor *hold_join(struct hold_table *table)
{
    struct shm_actor *actor;
    struct shm_fault fault = {.text = ""};
    if (shm_actor_join(&actor, table->store, SHM_ACTOR_WORKER, 1, &fault) != SHM_OK)
        hold_die("join", fault.text);
    return actor;
}

void hold_insert(struct hold_table *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        make_user(table, i, table->high + i);
    hold_must(shm_users_insert(table->actor, users, count, NULL), "insert");
    shm_actor_offline(table->actor);
    table->high += count;
}

void hold_update(struct hold_table *table, uint64_t from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        make_user(table, i, from + i);
    hold_must(shm_users_update(table->actor, users, count, NULL), "update");
    shm_actor_offline(table->actor);
}

void hold_delete(struct hold_table *table, size_t count)
{
    uint8_t ids[SHM_BATCH_MAX][SHM_ID_SIZE];
    for (size_t i = 0; i < count; i++)
        make_id(ids[i], table->low + i);
    hold_must(shm_users_delete(table->actor, (const uint8_t(*)[SHM_ID_SIZE])ids, count, NULL),
              "delete");
    shm_actor_offline(table->actor);
    table->low += count;
}

void hold_same_email(struct hold_table *table)
{
    uint8_t ids[1][SHM_ID_SIZE];
    make_user(table, 0, table->high);
    memset(bodies[0] + 24, 'x', 24);
    hold_must(shm_users_insert(table->actor, users, 1, NULL), "insert");
    make_id(ids[0], table->high);
    hold_must(shm_users_delete(table->actor, (const uint8_t(*)[SHM_ID_SIZE])ids, 1, NULL),
              "delete");
    shm_actor_offline(table->actor);
    table->low = ++table->high;
}

void hold_fill(struct hold_table *table, uint64_t count)
{
    while (table->high - table->low < count) {
        uint64_t left = count - (table->high - table->low);
        hold_insert(table, left < SHM_BATCH_MAX ? (size_t)left : SHM_BATCH_MAX);
    }
    hold_maintain(table);
}

void hold_maintain(struct hold_table *table)
{
    enum { IDLE_MS = 100 };
    while (shm_maintain(table->actor) < IDLE_MS)
        ;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } scenes[] = {
        {"single", hold_scene_single_calls}, {"batches", hold_scene_batches},
        {"pins", hold_scene_pins},           {"maintain", hold_scene_maintain},
        {"email", hold_scene_same_email},    {"page", hold_scene_first_page},
    };
    int first = 1;
    if (argc > 1 && strcmp(argv[1], "--full") == 0) {
        hold_full = true;
        first = 2;
    }
    snprintf(segment, sizeof(segment), "/rosterd-hold-%d", (int)getpid());
    atexit(clean_up);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGABRT, on_signal);
    shm_test_hook = on_point;
    printf("| %-64s | %7s | %7s | %7s | %7s | %8s | %-10s | %-7s |\n",
           "microseconds of CPU in one hold", "holds", "p50", "p99", "p99.9", "max", "at most", "");
    printf("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < sizeof(scenes) / sizeof(*scenes); i++)
        if (argc == first || strcmp(argv[first], scenes[i].name) == 0)
            scenes[i].run();
    return hold_full && missed;
}
