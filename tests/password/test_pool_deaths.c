/* SPDX-License-Identifier: MIT */
/* Processes of the pool and workers are killed at any moment: no answer is lost but the one that a
 * dead process owed, none comes twice or to the wrong worker, and nothing leaks. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/password/pool_kit.h"

/* ---- one death ---- */

enum { LONG_REQUESTS = 4 };
/* A request takes so long that a process is stopped in its middle, not between answer and board. */
static const struct kit_bounds kit_long = {256, 60000, {64 << 20, 2}};

static void expect_one_lost(struct kit_worker *worker)
{
    struct kit_request requests[LONG_REQUESTS];
    for (unsigned i = 0; i < LONG_REQUESTS; i++)
        CHECK(kit_submit(worker, &requests[i], POOL_PRETEND, "x", NULL, CLOCK_NEVER_MS) ==
              POOL_SUBMITTED);
    kit_turn_until(worker, LONG_REQUESTS);
    CHECK(worker->outcomes[POOL_LOST] == 1);
    CHECK(worker->outcomes[POOL_NO] == LONG_REQUESTS - 1);
}

/* Returns once it has stopped: without waiting it might go on for a while on another CPU. */
static void stop_process(pid_t pid)
{
    int status;
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

static void killed_process_costs_the_request_that_it_works_on(void **state)
{
    (void)state;
    struct pool_kit kit;
    kit_open(&kit, 1);
    stop_process(kit.processes[0]);
    pid_t worker = kit_worker(&kit, 0, &kit_long, expect_one_lost);
    WAIT_FOR(pool_channels_load(kit.channels) == LONG_REQUESTS);
    do {
        kill(kit.processes[0], SIGCONT);
        usleep(1000);
        stop_process(kit.processes[0]);
    } while (__atomic_load_n(&kit.boards[0].busy, __ATOMIC_ACQUIRE) == 0);
    kit_end_process(&kit, 0, SIGKILL);
    kit_start_process(&kit, 0);
    assert_int_equal(kit_bury_worker(&kit, 0, worker), 0);
    kit_close(&kit);
}

static void leave_requests_behind(struct kit_worker *worker)
{
    struct kit_request requests[20];
    for (unsigned i = 0; i < 20; i++)
        CHECK(kit_submit(worker, &requests[i], POOL_PRETEND, "x", NULL, CLOCK_NEVER_MS) ==
              POOL_SUBMITTED);
    kit_wait_busy(worker->kit, 0);
    kill(getpid(), SIGKILL);
}

static void expect_own_answers(struct kit_worker *worker)
{
    struct kit_request requests[10];
    CHECK(pool_channels_load(worker->kit->channels) == 0);
    for (unsigned i = 0; i < 10; i++)
        CHECK(kit_submit(worker, &requests[i], POOL_VERIFY, "hunter2", kit_hash, CLOCK_NEVER_MS) ==
              POOL_SUBMITTED);
    kit_turn_until(worker, 10);
    CHECK(worker->outcomes[POOL_YES] == 10);
}

/* The ids of the next worker begin at 1 again: only the owner tells the two apart. */
static void next_worker_in_a_place_gets_no_answer_of_the_last_one(void **state)
{
    (void)state;
    struct pool_kit kit;
    kit_open(&kit, 1);
    for (unsigned i = 0; i < 5; i++) {
        pid_t dead = kit_worker(&kit, 0, &kit_usual, leave_requests_behind);
        assert_int_equal(kit_bury_worker(&kit, 0, dead), -1);
        pid_t next = kit_worker(&kit, 0, &kit_cheap, expect_own_answers);
        assert_int_equal(kit_bury_worker(&kit, 0, next), 0);
    }
    /* of the dead workers, at most the request that the process worked on was computed */
    assert_true(kit.boards[0].served <= 5 * (10 + 1));
    kit_close(&kit);
}

/* ---- a storm ---- */

enum { STORM_WORKERS = 3, STORM_PROCESSES = 2, STORM_MS = 3000, STORM_OPEN = 12 };

static const struct kit_bounds storm_bounds = {
    STORM_WORKERS * STORM_OPEN, 5000, {PASSWORD_MEMORY_LEAST, 1}};
enum { STORM_OVER, STORM_ANSWERS, STORM_LOST };

static void storm_count(struct kit_worker *worker, unsigned what)
{
    __atomic_fetch_add(&worker->kit->shared[what], 1, __ATOMIC_RELAXED);
}

/* Keeps some requests open, cancels a few, and knows what each answer must be. */
static void ask_in_the_storm(struct kit_worker *worker)
{
    struct kit_request requests[STORM_OPEN] = {{.times = 0}};
    bool open[STORM_OPEN] = {false}, right[STORM_OPEN];
    unsigned random = (unsigned)getpid();
    bool over = false;
    while (!over || pool_client_load(worker->client) != 0) {
        over = __atomic_load_n(&worker->kit->shared[STORM_OVER], __ATOMIC_ACQUIRE) != 0;
        for (unsigned i = 0; i < STORM_OPEN; i++) {
            if (open[i] && requests[i].times == 0)
                continue;
            if (open[i]) {
                enum pool_outcome outcome = requests[i].outcome;
                CHECK(outcome == POOL_LOST || outcome == (right[i] ? POOL_YES : POOL_NO));
                storm_count(worker, outcome == POOL_LOST ? STORM_LOST : STORM_ANSWERS);
                open[i] = false;
            }
            if (over)
                continue;
            right[i] = rand_r(&random) % 2 != 0;
            open[i] =
                kit_submit(worker, &requests[i], POOL_VERIFY, right[i] ? "hunter2" : "hunter3",
                           kit_hash, CLOCK_NEVER_MS) == POOL_SUBMITTED;
            if (open[i] && rand_r(&random) % 8 == 0) {
                pool_ticket_cancel(&requests[i].ticket);
                open[i] = false;
            }
        }
        kit_turn(worker);
    }
}

static void start_storm_worker(struct pool_kit *kit, pid_t *workers, unsigned place)
{
    workers[place] = kit_worker(kit, place, &storm_bounds, ask_in_the_storm);
}

static void deaths_cost_one_request_each(void **state)
{
    (void)state;
    struct pool_kit kit;
    pid_t workers[STORM_WORKERS];
    unsigned random = 1, killed = 0;
    uint64_t until = clock_monotonic_ms() + STORM_MS;
    kit_open(&kit, STORM_PROCESSES);
    for (unsigned i = 0; i < STORM_WORKERS; i++)
        start_storm_worker(&kit, workers, i);
    while (clock_monotonic_ms() < until) {
        usleep(1000 + (unsigned)rand_r(&random) % 20000);
        unsigned victim = (unsigned)rand_r(&random) % (STORM_WORKERS + STORM_PROCESSES);
        if (victim < STORM_PROCESSES) {
            kit_end_process(&kit, victim, SIGKILL);
            kit_start_process(&kit, victim);
            killed++;
        } else if (victim > STORM_PROCESSES) { /* the first worker lives through it all */
            unsigned place = victim - STORM_PROCESSES;
            kill(workers[place], SIGKILL);
            assert_int_equal(kit_bury_worker(&kit, place, workers[place]), -1);
            start_storm_worker(&kit, workers, place);
        }
    }
    __atomic_store_n(&kit.shared[STORM_OVER], 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < STORM_WORKERS; i++)
        assert_int_equal(kit_bury_worker(&kit, i, workers[i]), 0);
    assert_int_equal(pool_channels_load(kit.channels), 0);
    printf("%u processes killed, %u answers, %u lost\n", killed,
           (unsigned)kit.shared[STORM_ANSWERS], (unsigned)kit.shared[STORM_LOST]);
    assert_true(kit.shared[STORM_ANSWERS] > 20);
    assert_true(kit.shared[STORM_LOST] <= killed);
    kit_close(&kit);
}

/* ---- secrets ---- */

static void abort_with_a_core(bool in_pool, struct pool_kit *kit)
{
    struct fault fault;
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    CHECK(chdir(getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp") == 0);
    setrlimit(RLIMIT_CORE, &all);
    if (in_pool)
        CHECK(pool_server_open(kit->channels, &kit->boards[0], &fault) != NULL);
    signal(SIGABRT, SIG_DFL);
    kill(getpid(), SIGABRT);
}

static bool leaves_core(bool in_pool)
{
    struct pool_kit kit;
    int status;
    kit_open(&kit, 0);
    pid_t pid = fork();
    if (pid == 0)
        abort_with_a_core(in_pool, &kit);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    kit_close(&kit);
    if (WCOREDUMP(status)) {
        char path[64];
        snprintf(path, sizeof(path), "%s/core",
                 getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
        unlink(path);
    }
    return WCOREDUMP(status);
}

static void process_of_the_pool_leaves_no_core(void **state)
{
    (void)state;
    if (!leaves_core(false))
        skip(); /* no process does here */
    assert_false(leaves_core(true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_process_costs_the_request_that_it_works_on),
        cmocka_unit_test(next_worker_in_a_place_gets_no_answer_of_the_last_one),
        cmocka_unit_test(deaths_cost_one_request_each),
        cmocka_unit_test(process_of_the_pool_leaves_no_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
