/* SPDX-License-Identifier: MIT */
/* When the journal puts commits off: simulated clients and a simulated disk, beside the same ones
 * with a journal that never does. */
#include "journal/gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/param.h>

#include <cmocka.h>

enum {
    CLIENTS_MAX = 1024,
    LOOK_NS = 2000, /* of a journal that does not sleep between two looks */
    US = 1000,
    SECONDS = 4,
};
static const uint64_t second = 1000000000;

/* Clients that wait for their answers and then think, and others that send at a rate of their own.
 */
struct load {
    uint64_t think_ns, sync_ns, rate;
    uint64_t slow_ns;     /* how long a slow commit takes */
    unsigned slow_each;   /* one commit of so many is slow; 0: none is */
    unsigned waiting;     /* clients that wait for their answers */
    unsigned jitter;      /* per cent: think times, and times between changes at a rate */
    unsigned sync_jitter; /* per cent, of the commits' times */
    unsigned burst;       /* so many changes at a rate come 1 us after each other; 0: one */
};

struct outcome {
    uint64_t answered, commits;          /* of all clients; in SECONDS */
    uint64_t of_waiting, mean_us, apart; /* windows that were put off */
};

struct world {
    const struct load *load;
    uint64_t now_ns, random;
    uint64_t next[CLIENTS_MAX];     /* when a client sends; UINT64_MAX: it waits for its answer */
    uint64_t next_at_rate, at_rate; /* when the next comes; how many have come */
    uint64_t waits_since_ns;        /* of all changes in the window, the sum */
    uint64_t changes, of_waiting;
    bool in_window[CLIENTS_MAX];
};

static uint64_t jittered_by(struct world *world, uint64_t ns, unsigned jitter)
{
    world->random = world->random * 6364136223846793005 + 1442695040888963407;
    uint64_t part = (world->random >> 33) % 2001; /* of thousandths: 0 to 2 times */
    return ns + ns * jitter / 100 * part / 1000 - ns * jitter / 100;
}

static uint64_t jittered(struct world *world, uint64_t ns)
{
    return jittered_by(world, ns, world->load->jitter);
}

static uint64_t commit_ns(struct world *world, uint64_t commits)
{
    const struct load *load = world->load;
    if (load->slow_each != 0 && commits % load->slow_each == 1)
        return load->slow_ns;
    return load->sync_jitter != 0 ? jittered_by(world, load->sync_ns, load->sync_jitter)
                                  : load->sync_ns;
}

/* Takes what has come into the window. */
static void take(struct world *world)
{
    for (unsigned i = 0; i < world->load->waiting; i++) {
        if (world->next[i] > world->now_ns)
            continue;
        world->waits_since_ns += world->next[i];
        world->next[i] = UINT64_MAX;
        world->in_window[i] = true;
        world->changes++;
        world->of_waiting++;
    }
    while (world->load->rate != 0 && world->next_at_rate <= world->now_ns) {
        world->waits_since_ns += world->next_at_rate;
        unsigned burst = MAX(world->load->burst, 1U);
        world->changes++;
        world->at_rate++;
        world->next_at_rate +=
            world->at_rate % burst != 0
                ? (uint64_t)US
                : MAX(jittered(world, burst * second / world->load->rate), (uint64_t)1);
    }
}

static uint64_t pending(const struct world *world)
{
    uint64_t count = world->load->rate != 0 && world->next_at_rate <= world->now_ns;
    for (unsigned i = 0; i < world->load->waiting; i++)
        count += world->next[i] <= world->now_ns;
    return count;
}

static void sleep_until_something_comes(struct world *world)
{
    uint64_t first = world->load->rate != 0 ? world->next_at_rate : UINT64_MAX;
    for (unsigned i = 0; i < world->load->waiting; i++)
        first = MIN(first, world->next[i]);
    world->now_ns = MAX(world->now_ns, first);
}

/* @param never commits are never put off */
static struct outcome simulate_from(struct gather *gather, const struct load *load, bool never)
{
    static struct world all;
    struct world *world = &all;
    struct outcome outcome = {0};
    uint64_t wait_ns = 0;
    memset(world, 0, sizeof(*world));
    world->load = load;
    /* a clock that has run for some time; a load that changes does so without a pause */
    world->now_ns =
        gather->spacing.commit_at_ns + (gather->spacing.commit_at_ns == 0 ? second : 300 * US);
    uint64_t end_ns = world->now_ns + SECONDS * second;
    world->next_at_rate = world->now_ns + 1;
    for (unsigned i = 0; i < load->waiting; i++)
        world->next[i] = world->now_ns + jittered(world, load->think_ns);
    while (world->now_ns < end_ns) {
        sleep_until_something_comes(world);
        world->changes = world->of_waiting = world->waits_since_ns = 0;
        memset(world->in_window, 0, sizeof(world->in_window));
        take(world);
        gather_begin_window(gather);
        while (gather_wants_more(gather, world->changes, world->now_ns)) {
            bool apart = gather->spacing.apart;
            world->now_ns += apart ? gather_look_ns(gather) : LOOK_NS;
            take(world);
        }
        outcome.apart += gather->spacing.apart;
        const struct spacing_window window = {world->changes, world->now_ns,
                                              commit_ns(world, outcome.commits)};
        world->now_ns += window.commit_ns;
        wait_ns += world->changes * world->now_ns - world->waits_since_ns;
        for (unsigned i = 0; i < load->waiting; i++)
            if (world->in_window[i])
                world->next[i] = world->now_ns + jittered(world, load->think_ns);
        gather_note_window(gather, &window, pending(world));
        if (never)
            gather->spacing = (struct spacing){0};
        outcome.answered += world->changes;
        outcome.of_waiting += world->of_waiting;
        outcome.commits++;
    }
    outcome.mean_us = wait_ns / MAX(outcome.answered, (uint64_t)1) / 1000;
    return outcome;
}

static struct outcome simulate(const struct load *load, bool never)
{
    struct gather gather = {0};
    return simulate_from(&gather, load, never);
}

static void assert_share(uint64_t value, uint64_t of, unsigned least, unsigned most)
{
    assert_in_range(value * 100, of * least, of * most);
}

/* ---- clients that do not wait for their answers ---- */

static void changes_at_a_rate_share_syncs(void **state)
{
    (void)state;
    for (unsigned jitter = 0; jitter <= 100; jitter += 50)
        for (uint64_t sync_us = 50; sync_us <= 200; sync_us *= 2)
            for (uint64_t rate = 10000; rate <= 40000; rate *= 2) {
                const struct load load = {.rate = rate, .jitter = jitter, .sync_ns = sync_us * US};
                struct outcome with = simulate(&load, false), without = simulate(&load, true);
                if (rate * sync_us < 1000000) { /* nothing to share */
                    assert_int_equal(with.commits, without.commits);
                    continue;
                }
                assert_share(with.commits, without.commits, 15, 60);
                assert_in_range(with.mean_us, sync_us, 4 * sync_us);
            }
}

/* Nothing is saved there: each burst takes one window, or two. */
static void bursts_are_not_put_off(void **state)
{
    (void)state;
    for (uint64_t sync_us = 60; sync_us <= 240; sync_us *= 2)
        for (unsigned burst = 5; burst <= 40; burst *= 2) {
            const struct load load = {.rate = burst * 770, .burst = burst, .sync_ns = sync_us * US};
            struct outcome with = simulate(&load, false), without = simulate(&load, true);
            assert_in_range(with.mean_us, 1, without.mean_us * 14 / 10);
        }
}

/* Each window has so many that a sync is none too much. */
static void many_changes_are_not_put_off(void **state)
{
    const struct load load = {.rate = 400000, .jitter = 100, .sync_ns = 100 * US};
    (void)state;
    struct outcome with = simulate(&load, false);
    assert_true(with.apart * 100 < with.commits);
}

static void slow_commits_now_and_then_change_nothing(void **state)
{
    const struct load load = {
        .rate = 10000, .jitter = 100, .sync_ns = 150 * US, .slow_each = 300, .slow_ns = 6000 * US};
    (void)state;
    struct outcome with = simulate(&load, false), without = simulate(&load, true);
    assert_share(with.commits, without.commits, 15, 50);
}

/* As disks are that others write to, too. */
static void commits_of_any_length_change_nothing(void **state)
{
    (void)state;
    for (uint64_t sync_us = 150; sync_us <= 350; sync_us += 50) {
        const struct load load = {.rate = 10000,
                                  .jitter = 100,
                                  .sync_ns = sync_us * US,
                                  .sync_jitter = 60,
                                  .slow_each = 20,
                                  .slow_ns = 1500 * US};
        struct outcome with = simulate(&load, false), without = simulate(&load, true);
        assert_share(with.commits, without.commits, 15, 70);
        assert_true(with.apart * 100 > with.commits * 50);
    }
}

static void few_changes_are_not_put_off(void **state)
{
    (void)state;
    for (uint64_t sync_us = 20; sync_us <= 160; sync_us *= 2)
        for (uint64_t rate = 500; rate <= 4000; rate *= 2) {
            const struct load load = {.rate = rate, .jitter = 100, .sync_ns = sync_us * US};
            struct outcome with = simulate(&load, false), without = simulate(&load, true);
            assert_int_equal(with.commits, without.commits);
            assert_int_equal(with.mean_us, without.mean_us);
        }
}

/* ---- clients that wait for their answers ---- */

static void clients_that_wait_are_answered_as_often(void **state)
{
    static const unsigned clients[] = {1, 4, 8, 32, 100};
    static const uint64_t thinks_us[] = {20, 50, 300, 4000};
    (void)state;
    for (size_t i = 0; i < sizeof(clients) / sizeof(*clients); i++)
        for (size_t j = 0; j < sizeof(thinks_us) / sizeof(*thinks_us); j++)
            for (uint64_t sync_us = 20; sync_us <= 1280; sync_us *= 4)
                for (unsigned jitter = 0; jitter <= 100; jitter += 100) {
                    const struct load load = {.waiting = clients[i],
                                              .think_ns = thinks_us[j] * US,
                                              .jitter = jitter,
                                              .sync_ns = sync_us * US};
                    struct outcome with = simulate(&load, false), without = simulate(&load, true);
                    assert_share(with.answered, without.answered, 92, 108);
                    if (sync_us > 1000) /* a slow disk */
                        assert_int_equal(with.commits, without.commits);
                }
}

/* They are a good part of all. */
static void clients_that_wait_beside_others_are_answered_as_often(void **state)
{
    (void)state;
    for (uint64_t sync_us = 50; sync_us <= 200; sync_us *= 2)
        for (unsigned clients = 4; clients <= 16; clients *= 2) {
            const struct load load = {.waiting = clients,
                                      .think_ns = 100 * US,
                                      .rate = 10000,
                                      .jitter = 100,
                                      .sync_ns = sync_us * US};
            struct outcome with = simulate(&load, false), without = simulate(&load, true);
            assert_share(with.of_waiting, without.of_waiting, 95, 105);
        }
}

/* Beside very many others it is put off with them, by so much. */
static void one_client_beside_many_waits_for_a_bounded_time(void **state)
{
    const struct load load = {
        .waiting = 1, .think_ns = 20 * US, .rate = 20000, .jitter = 100, .sync_ns = 200 * US};
    (void)state;
    struct outcome with = simulate(&load, false), without = simulate(&load, true);
    assert_share(with.of_waiting, without.of_waiting, 45, 100);
}

static void trials_of_clients_that_wait_become_rare(void **state)
{
    const struct load load = {
        .waiting = 8, .think_ns = 50 * US, .jitter = 100, .sync_ns = 150 * US};
    struct gather gather = {0};
    struct outcome last = {0};
    (void)state;
    for (unsigned i = 0; i < 7; i++)
        last = simulate_from(&gather, &load, false);
    assert_int_equal(gather.spacing.hold_ns, 16 * second);
    assert_true(last.apart * 100 < last.commits);
}

/* The clients are others than those of the trial: what it found is tried again. */
static void load_that_changes_is_tried_again(void **state)
{
    const struct load loads[] = {
        {.rate = 10000, .jitter = 100, .sync_ns = 150 * US},
        {.waiting = 8, .think_ns = 50 * US, .jitter = 100, .sync_ns = 150 * US},
    };
    struct gather gather = {0};
    (void)state;
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < 5 && !gather.spacing.outcome; i++) /* a hold lasts up to 16 s */
            (void)simulate_from(&gather, &loads[0], false);
        assert_true(gather.spacing.outcome);
        struct outcome with = simulate_from(&gather, &loads[1], false);
        assert_false(gather.spacing.outcome);
        /* these clients wait for the next trial, in a second */
        assert_share(with.answered, simulate(&loads[1], true).answered, 70, 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_at_a_rate_share_syncs),
        cmocka_unit_test(bursts_are_not_put_off),
        cmocka_unit_test(many_changes_are_not_put_off),
        cmocka_unit_test(slow_commits_now_and_then_change_nothing),
        cmocka_unit_test(commits_of_any_length_change_nothing),
        cmocka_unit_test(few_changes_are_not_put_off),
        cmocka_unit_test(clients_that_wait_are_answered_as_often),
        cmocka_unit_test(clients_that_wait_beside_others_are_answered_as_often),
        cmocka_unit_test(one_client_beside_many_waits_for_a_bounded_time),
        cmocka_unit_test(trials_of_clients_that_wait_become_rare),
        cmocka_unit_test(load_that_changes_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
