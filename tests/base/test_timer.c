/* SPDX-License-Identifier: MIT */
/* The wheel, compared with a model that looks at every timer each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/container_of.h"
#include "base/timer.h"

enum { NUM = 300 };

static struct model {
    struct timer timer;
    unsigned fired;
} all[NUM];
static struct timers *wheel;
static uint64_t now;

static void count(struct timer *timer)
{
    struct model *model = container_of(timer, struct model, timer);
    assert_false(timer_armed(timer));
    assert_true(timer->at <= now);
    model->fired++;
}

static int setup(void **state)
{
    (void)state;
    memset(all, 0, sizeof(all));
    for (size_t i = 0; i < NUM; i++)
        all[i].timer.expired = count;
    now = 1000000;
    wheel = timers_create(now);
    return wheel == NULL;
}

static int teardown(void **state)
{
    (void)state;
    timers_destroy(wheel);
    return 0;
}

static uint64_t random_delay(void)
{
    uint64_t wide = (uint64_t)random() << 31 ^ (uint64_t)random();
    switch (random() % 4) {
    case 0:
        return wide % 4;
    case 1:
        return wide % 200;
    case 2:
        return wide % 100000;
    default:
        return wide % (UINT64_C(1) << (random() % 46));
    }
}

static uint64_t first_due(void)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < NUM; i++) {
        if (timer_armed(&all[i].timer) && all[i].timer.at < first)
            first = all[i].timer.at;
    }
    return first;
}

static void random_step(void)
{
    struct model *model = &all[random() % NUM];
    bool due[NUM];
    if (random() % 4 == 0) {
        timer_disarm(wheel, &model->timer);
        return;
    }
    timer_arm(wheel, &model->timer, now + random_delay() - (random() % 8 == 0 ? 3 : 0));
    if (random() % 3 != 0)
        return;
    int32_t wait = timers_wait(wheel, now);
    uint64_t first = first_due();
    assert_true(wait >= 0 && (first <= now ? wait == 0 : (uint64_t)wait <= first - now));
    now += random() % 2 == 0 ? (uint64_t)wait : random_delay();
    for (size_t i = 0; i < NUM; i++) {
        due[i] = timer_armed(&all[i].timer) && all[i].timer.at <= now;
        all[i].fired = 0;
    }
    timers_run(wheel, now);
    for (size_t i = 0; i < NUM; i++)
        assert_int_equal(all[i].fired, due[i]);
}

static void fires_exactly_what_is_due_whatever_the_times(void **state)
{
    (void)state;
    srandom(7);
    for (unsigned i = 0; i < 30000; i++)
        random_step();
}

static void waiting_as_told_reaches_a_timer_in_few_steps(void **state)
{
    unsigned steps = 0;
    (void)state;
    timer_arm(wheel, &all[0].timer, now + 86400000);
    while (all[0].fired == 0) {
        int32_t wait = timers_wait(wheel, now);
        assert_true(wait > 0);
        now += (uint64_t)wait;
        timers_run(wheel, now);
        assert_true(++steps < 12);
    }
    assert_int_equal(now, 1000000 + 86400000);
    assert_int_equal(timers_wait(wheel, now), -1);
}

static void times_at_the_ends_of_the_clock_are_taken(void **state)
{
    (void)state;
    timer_arm(wheel, &all[0].timer, UINT64_MAX);
    timer_arm(wheel, &all[1].timer, 0);
    assert_int_equal(timers_wait(wheel, now), 0);
    timers_run(wheel, now);
    assert_int_equal(all[1].fired, 1);
    assert_int_equal(timers_wait(wheel, now), INT32_MAX);
    now = UINT64_MAX;
    timers_run(wheel, now);
    assert_int_equal(all[0].fired, 1);
}

static void arm_again(struct timer *timer)
{
    count(timer);
    timer_arm(wheel, timer, now);
}

static void a_timer_that_arms_itself_for_now_waits_for_the_next_run(void **state)
{
    (void)state;
    all[0].timer.expired = arm_again;
    timer_arm(wheel, &all[0].timer, now);
    for (unsigned i = 1; i < 5; i++) {
        assert_int_equal(timers_wait(wheel, now), 0);
        timers_run(wheel, now);
        assert_int_equal(all[0].fired, i);
    }
}

static void disarm_the_others(struct timer *timer)
{
    count(timer);
    for (size_t i = 0; i < NUM; i++)
        timer_disarm(wheel, &all[i].timer);
}

static void a_callback_may_disarm_timers_of_its_own_millisecond(void **state)
{
    unsigned fired = 0;
    (void)state;
    for (size_t i = 0; i < NUM; i++) {
        all[i].timer.expired = disarm_the_others;
        timer_arm(wheel, &all[i].timer, now + 5);
    }
    now += 5;
    timers_run(wheel, now);
    for (size_t i = 0; i < NUM; i++)
        fired += all[i].fired;
    assert_int_equal(fired, 1);
    assert_int_equal(timers_wait(wheel, now), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(fires_exactly_what_is_due_whatever_the_times),
        TEST(waiting_as_told_reaches_a_timer_in_few_steps),
        TEST(times_at_the_ends_of_the_clock_are_taken),
        TEST(a_timer_that_arms_itself_for_now_waits_for_the_next_run),
        TEST(a_callback_may_disarm_timers_of_its_own_millisecond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
