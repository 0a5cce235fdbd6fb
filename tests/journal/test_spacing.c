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
    SECONDS = 5,
};
static const uint64_t second = 1000000000;

/* Clients that wait for their answers and then think, and others that send at a rate of their own.
 */
struct load {
    unsigned waiting;
    uint64_t think_ns;
    unsigned jitter; /* per cent: think times, and times between changes at a rate */
    uint64_t rate;
    uint64_t sync_ns;
};

struct outcome {
    uint64_t answered, commits; /* of all clients; in SECONDS */
    uint64_t of_waiting, mean_us;
};

struct world {
    const struct load *load;
    uint64_t now_ns, random;
    uint64_t next[CLIENTS_MAX]; /* when a client sends; UINT64_MAX: it waits for its answer */
    uint64_t next_at_rate;
    uint64_t waits_since_ns; /* of all changes in the window, the sum */
    uint64_t changes, of_waiting;
    bool in_window[CLIENTS_MAX];
};

static uint64_t jittered(struct world *world, uint64_t ns)
{
    world->random = world->random * 6364136223846793005 + 1442695040888963407;
    uint64_t part = (world->random >> 33) % 2001; /* of thousandths: 0 to 2 times */
    return ns + ns * world->load->jitter / 100 * part / 1000 - ns * world->load->jitter / 100;
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
        world->next_at_rate += MAX(jittered(world, second / world->load->rate), (uint64_t)1);
        world->changes++;
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
    world->now_ns = gather->spacing.commit_at_ns + second; /* a clock that has run for some time */
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
        const struct spacing_window window = {world->changes, world->now_ns, load->sync_ns};
        world->now_ns += load->sync_ns;
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
    static const unsigned clients[] = {1, 2, 4, 8, 32, 100};
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

/* The clients are others than those of the trial: what it found is tried again. */
static void load_that_changes_is_tried_again(void **state)
{
    const struct load loads[] = {
        {.rate = 10000, .jitter = 100, .sync_ns = 150 * US},
        {.waiting = 8, .think_ns = 50 * US, .jitter = 100, .sync_ns = 150 * US},
    };
    (void)state;
    struct gather gather = {0};
    for (unsigned turn = 0; turn < 4; turn++) {
        (void)simulate_from(&gather, &loads[turn % 2], false);
        assert_int_equal(gather.spacing.outcome, turn % 2 == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_at_a_rate_share_syncs),
        cmocka_unit_test(few_changes_are_not_put_off),
        cmocka_unit_test(clients_that_wait_are_answered_as_often),
        cmocka_unit_test(clients_that_wait_beside_others_are_answered_as_often),
        cmocka_unit_test(load_that_changes_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
