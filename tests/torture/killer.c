/* SPDX-License-Identifier: MIT */
/*
 * The trials: each operation is killed at its positions, and a survivor checks the segment after
 * each kill.
 * Usage: killer [CASE]...
 * KILLER_TRIALS=N: at most N positions of each case, evenly spread. 0: all positions, and the slow
 * cases, too.
 * Ends with `killer: N positions, N kills, N lost`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/torture/killer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/error.h"
#include "shm/segment/segment_file.h"

/* Number of trials in a short round, as `make check` runs it. Each instruction of a trial costs two
 * system calls, and the sanitizers execute many more. */
#ifdef SANITIZED
enum { TRIALS_DEFAULT = 5, SLOW = 1 };
#else
enum { TRIALS_DEFAULT = 40, SLOW = 2 };
#endif
enum { FAILURES_SHOWN = 5, SURVIVOR_S = 60, CASES_MAX = 64 };

static struct world *world;
static uint64_t total_positions, total_kills, total_lost;
extern char __executable_start;

static void unlink_segment(void)
{
    char path[300];
    if (world != NULL && shm_file_path(path, world->name, NULL) == SHM_OK)
        unlink(path);
}

static void on_signal(int number)
{
    unlink_segment();
    signal(number, SIG_DFL);
    raise(number);
}

/* ---- children that are not stepped ---- */

static void run_open(struct world *w)
{
    struct shm_fault fault;
    if (shm_store_open(&world_store, &w->config, &fault) != SHM_OK)
        world_fail(w, "cannot open the store: %s", fault.text);
}

/* Runs the function in a forked child. @return whether the child succeeded */
static bool in_child(void (*run)(struct world *w), struct world *w)
{
    int status;
    pid_t parent = getpid();
    w->why[0] = '\0';
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(99);
        alarm(SURVIVOR_S);
        run(w);
        _exit(0);
    }
    bool ended = pid > 0 && waitpid(pid, &status, 0) == pid;
    if (ended && status != 0 && w->why[0] == '\0')
        snprintf(w->why, sizeof(w->why), "the child ended with status %#x", (unsigned)status);
    return ended && status == 0;
}

static uint64_t survivor_version;
static unsigned survivor_way;

static void survive(struct world *w)
{
    world_survive(w, survivor_version, survivor_way);
}

/* ---- a case ---- */

static unsigned trials_wanted(void)
{
    const char *text = getenv("KILLER_TRIALS");
    return text != NULL ? (unsigned)atoi(text) : TRIALS_DEFAULT;
}

static bool lost(const struct killer_case *kase, const struct trace *trace, size_t i,
                 const char *why)
{
    const struct position *at = &trace->at[i];
    print_error("%s: killed at position %zu of %zu (%s, program + %#llx, arrival %u, step %u; "
                "checked in way %u): %s\n",
                kase->name, i, trace->count, at->sealed ? "sealed" : "not sealed",
                (unsigned long long)(at->ip - (uint64_t)(uintptr_t)&__executable_start),
                at->arrivals, at->steps, survivor_way, why);
    return false;
}

/* Kills a child at a position of its trace. A child on a busy machine may go another way, for it
 * waits by the clock: then the next one tries. */
static bool kill_at(const struct trace *trace, const struct position *at,
                    const struct killer_case *kase, struct image *image)
{
    enum { TRIES = 3 };
    for (unsigned tries = 0; tries < TRIES; tries++)
        if (trace_kill_at(trace, at, kase, world, image))
            return true;
    return false;
}

/* @param way in which the survivor checks */
static bool try_position(const struct killer_case *kase, const struct trace *trace, size_t i,
                         unsigned way, struct image *image)
{
    const struct position *at = &trace->at[i];
    if (!kill_at(trace, at, kase, image))
        return lost(kase, trace, i, "the child did not reach the position a second time");
    total_kills++;
    survivor_version = at->version;
    survivor_way = way;
    if (!in_child(survive, world))
        return lost(kase, trace, i, world->why);
    return true;
}

/* The version must never decrease from position to position, and must end with all commits. */
static void check_commits(const struct killer_case *kase, const struct trace *trace)
{
    for (size_t i = 1; i < trace->count; i++)
        if (trace->at[i].version < trace->at[i - 1].version)
            fail_msg("%s: position %zu undoes a commit", kase->name, i);
    assert_int_equal(trace->at[trace->count - 1].version, world->version + world->commits);
}

static void try_all(const struct killer_case *kase, struct image *image)
{
    struct trace trace;
    assert_true(trace_record(&trace, kase, world, image));
    check_commits(kase, &trace);
    unsigned wanted = trials_wanted(), failed = 0;
    size_t tried = wanted == 0 || wanted > trace.count ? trace.count : wanted;
    for (size_t k = 0; k < tried && failed < FAILURES_SHOWN; k++) {
        size_t i = tried == 1 ? 0 : k * (trace.count - 1) / (tried - 1);
        failed += try_position(kase, &trace, i, (unsigned)(k % WORLD_WAYS), image) ? 0 : 1;
    }
    print_message("%s: %llu steps, %zu positions, %zu tried\n", kase->name,
                  (unsigned long long)trace.steps, trace.count, tried);
    total_positions += tried;
    total_lost += failed;
    trace_free(&trace);
    assert_int_equal(failed, 0);
}

/* Prepares a case that begins with the segment that another case's killed child left. */
static void kill_first(const struct killer_case *kase, struct image *image)
{
    struct trace trace;
    size_t sealed[2] = {0, 0};
    assert_true(trace_record(&trace, kase->after, world, image));
    for (size_t i = 0; i < trace.count; i++) {
        if (!trace.at[i].sealed)
            continue;
        sealed[0] = sealed[0] == 0 ? i : sealed[0];
        sealed[1] = i;
    }
    assert_int_not_equal(sealed[0], 0);
    size_t at = sealed[0] + (sealed[1] - sealed[0]) * kase->after_percent / 100;
    while (!trace.at[at].sealed) /* between two transactions */
        at++;
    assert_true(kill_at(&trace, &trace.at[at], kase->after, image));
    assert_true(image_sealed(image));
    image_save(image);
    trace_free(&trace);
}

static void create_world(const struct killer_case *kase)
{
    memset(world, 0, sizeof(*world));
    snprintf(world->name, sizeof(world->name), "/rosterd-killer-%ld", (long)getpid());
    world->big = kase->big;
    world->config = (struct shm_config){.name = world->name,
                                        .size = kase->size != 0 ? kase->size : 12 << 20,
                                        .max_users = 2 * KILLER_USERS,
                                        .unique = 3,
                                        .key_of = world_key_of};
    if (kase->configure != NULL)
        kase->configure(&world->config);
    world->made = world->config;
}

static void close_store(void)
{
    shm_store_close(world_store);
    world_store = NULL;
}

static void run_case(void **state)
{
    const struct killer_case *kase = *state;
    const struct killer_case *first = kase->after != NULL ? kase->after : kase;
    struct image image;
    struct shm_fault fault;
    create_world(first);
    unlink_segment();
    /* A child creates the segment, because each process remembers a different state of the
     * arena's growth. */
    assert_true(in_child(run_open, world));
    assert_int_equal(shm_store_open(&world_store, &world->config, &fault), SHM_OK);
    if (!in_child(first->prepare, world))
        fail_msg("%s: %s", first->name, world->why);
    image_open(&image, world);
    image_save(&image);
    world->version = image_control(&image)->version;
    if (first->expect != NULL)
        first->expect(world);
    if (first->opens)
        close_store();
    if (first->reconfigure != NULL)
        first->reconfigure(&world->config);
    if (kase->after != NULL) {
        kill_first(kase, &image);
        if (kase->expect != NULL)
            kase->expect(world);
    }
    if (kase->opens)
        close_store();
    if (kase->reconfigure != NULL)
        kase->reconfigure(&world->config);
    try_all(kase, &image);
    image_close(&image);
}

static int clean_up(void **state)
{
    (void)state;
    close_store();
    unlink_segment();
    return 0;
}

/* Makes addresses and bound symbols the same in each run, so that a person can compare
 * positions. Blocks are copied and cleared with vector instructions, because each byte would be
 * a step otherwise. */
static void settle(char **argv)
{
    int now = personality(0xffffffff);
    if (getenv("KILLER_SETTLED") != NULL)
        return;
    if (now != -1)
        (void)personality((unsigned long)now | ADDR_NO_RANDOMIZE);
    setenv("KILLER_SETTLED", "1", 1);
    setenv("LD_BIND_NOW", "1", 1);
    setenv("GLIBC_TUNABLES",
           "glibc.cpu.x86_rep_stosb_threshold=1073741824:"
           "glibc.cpu.x86_rep_movsb_threshold=1073741824",
           1);
    execv("/proc/self/exe", argv);
}

static size_t choose_cases(struct CMUnitTest *tests, int argc, char **argv)
{
    size_t count = 0;
    for (size_t i = 0; killer_cases[i] != NULL && count < CASES_MAX; i++) {
        bool chosen = argc == 1 && (trace_all || killer_cases[i]->slow < SLOW);
        for (int a = 1; a < argc; a++)
            chosen = chosen || strcmp(argv[a], killer_cases[i]->name) == 0;
        if (chosen)
            tests[count++] =
                (struct CMUnitTest){.name = killer_cases[i]->name,
                                    .test_func = run_case,
                                    .teardown_func = clean_up,
                                    .initial_state = (void *)(uintptr_t)killer_cases[i]};
    }
    return count;
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[CASES_MAX];
    settle(argv);
    world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (world == MAP_FAILED)
        return 2;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGABRT, on_signal);
    trace_all = trials_wanted() == 0;
    size_t count = choose_cases(tests, argc, argv);
    if (count == 0) {
        fprintf(stderr, "killer: no such case\n");
        return 2;
    }
    int failed = _cmocka_run_group_tests("killer", tests, count, NULL, NULL);
    printf("killer: %llu positions, %llu kills, %llu lost\n", (unsigned long long)total_positions,
           (unsigned long long)total_kills, (unsigned long long)total_lost);
    return failed != 0;
}
