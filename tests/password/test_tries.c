/* SPDX-License-Identifier: MIT */
/* Tries of a key are bounded over time, for all processes; other keys are not affected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "password/tries.h"

static const struct tries_rate ten_an_hour = {.count = 10, .window = 3600000};
enum { COMES_BACK = 360000, NOW = 5000000 };

static enum tries_result take_as(struct tries *tries, unsigned kind, const char *key, uint64_t now,
                                 struct tries_pass *pass, uint64_t *wait)
{
    return tries_take(tries, tries_key(tries, kind, key, strlen(key)), &ten_an_hour, now, pass,
                      wait);
}

/* Whether there was a try. It failed. */
static bool take(struct tries *tries, const char *key, uint64_t now)
{
    struct tries_pass pass;
    uint64_t wait;
    bool taken = take_as(tries, 0, key, now, &pass, &wait) == TRIES_TAKEN;
    tries_use(tries, &pass);
    return taken;
}

static unsigned take_all(struct tries *tries, const char *key, uint64_t now)
{
    unsigned taken = 0;
    while (take(tries, key, now))
        taken++;
    return taken;
}

static void tries_come_back_one_by_one(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    struct tries_pass pass;
    uint64_t wait = 0;
    assert_non_null(tries);
    assert_int_equal(take_all(tries, "ada", NOW), 10);
    assert_int_equal(take_as(tries, 0, "ada", NOW + 1000, &pass, &wait), TRIES_NONE);
    assert_int_equal(wait, COMES_BACK - 1000);
    assert_false(take(tries, "ada", NOW + COMES_BACK - 1));
    assert_int_equal(take_all(tries, "ada", NOW + COMES_BACK), 1);
    assert_int_equal(take_all(tries, "ada", NOW + 4 * COMES_BACK), 3);
    assert_int_equal(take_all(tries, "ada", NOW + 400 * COMES_BACK), 10);
    tries_destroy(tries);
}

static void other_keys_and_kinds_have_their_own(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    struct tries_pass pass;
    uint64_t wait;
    assert_int_equal(take_all(tries, "ada", NOW), 10);
    assert_int_equal(take_all(tries, "ben", NOW), 10);
    assert_int_equal(take_as(tries, 1, "ada", NOW, &pass, &wait), TRIES_TAKEN);
    tries_destroy(tries);
}

static void successful_try_is_given_back(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    for (unsigned i = 0; i < 50; i++) {
        struct tries_pass pass;
        uint64_t wait;
        assert_int_equal(take_as(tries, 0, "ada", NOW, &pass, &wait), TRIES_TAKEN);
        tries_give_back(tries, &pass, NOW);
    }
    assert_int_equal(take_all(tries, "ada", NOW), 10);
    tries_destroy(tries);
}

/* @param open as many of the ten tries are being verified, and the others have failed */
static struct tries *use_all(struct tries_pass passes[10], unsigned open)
{
    struct tries *tries = tries_create();
    uint64_t wait;
    assert_non_null(tries);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(take_as(tries, 0, "ada", NOW, &passes[i], &wait), TRIES_TAKEN);
        if (i >= open)
            tries_use(tries, &passes[i]);
    }
    return tries;
}

static void next_try_waits_only_for_enough_that_are_open(void **state)
{
    (void)state;
    struct tries_pass passes[10], pass;
    uint64_t wait;
    for (unsigned open = 0; open <= 10; open++) {
        struct tries *tries = use_all(passes, open);
        assert_int_equal(take_as(tries, 0, "ada", NOW, &pass, &wait),
                         open != 0 ? TRIES_LATER : TRIES_NONE);
        assert_int_equal(wait, COMES_BACK);
        for (unsigned i = 0; i < open; i++) {
            assert_int_equal(take_as(tries, 0, "ada", NOW, &pass, &wait), TRIES_LATER);
            tries_use(tries, &passes[i]);
        }
        assert_int_equal(take_as(tries, 0, "ada", NOW, &pass, &wait), TRIES_NONE);
        tries_destroy(tries);
    }
}

static void try_that_comes_back_is_the_next_ones(void **state)
{
    (void)state;
    struct tries_pass passes[10], pass;
    uint64_t wait;
    struct tries *tries = use_all(passes, 3);
    tries_give_back(tries, &passes[0], NOW);
    tries_give_back(tries, &passes[0], NOW); /* no second time */
    assert_int_equal(take_as(tries, 0, "ada", NOW, &pass, &wait), TRIES_TAKEN);
    tries_use(tries, &pass);
    assert_int_equal(take_as(tries, 0, "ada", NOW, &pass, &wait), TRIES_LATER);
    tries_destroy(tries);
}

/* A worker was killed: soon nobody waits for its tries. */
static void tries_that_nobody_ends_are_forgotten(void **state)
{
    enum { MINUTE = 60000 };
    (void)state;
    struct tries_pass passes[10], pass;
    uint64_t wait;
    struct tries *tries = use_all(passes, 1);
    assert_int_equal(take_as(tries, 0, "ada", NOW + MINUTE, &pass, &wait), TRIES_LATER);
    assert_int_equal(take_as(tries, 0, "ada", NOW + 2 * MINUTE, &pass, &wait), TRIES_NONE);
    /* also if somebody takes each try that comes back */
    for (uint64_t now = NOW + COMES_BACK; now < NOW + 100 * COMES_BACK; now += COMES_BACK) {
        assert_true(take(tries, "ada", now));
        assert_int_equal(take_as(tries, 0, "ada", now, &pass, &wait), TRIES_NONE);
    }
    tries_use(tries, &passes[0]); /* it was not dead after all */
    assert_int_equal(take_as(tries, 0, "ada", NOW + 99 * COMES_BACK, &pass, &wait), TRIES_NONE);
    tries_destroy(tries);
}

static void try_ends_in_a_later_minute(void **state)
{
    enum { MINUTE = 60000 };
    (void)state;
    struct tries_pass passes[10], pass;
    uint64_t wait;
    struct tries *tries = use_all(passes, 2);
    assert_int_equal(take_as(tries, 0, "ada", NOW + MINUTE, &pass, &wait), TRIES_LATER);
    tries_use(tries, &passes[0]);
    assert_int_equal(take_as(tries, 0, "ada", NOW + MINUTE, &pass, &wait), TRIES_LATER);
    tries_give_back(tries, &passes[1], NOW + MINUTE);
    assert_true(take(tries, "ada", NOW + MINUTE));
    assert_int_equal(take_as(tries, 0, "ada", NOW + MINUTE, &pass, &wait), TRIES_NONE);
    tries_destroy(tries);
}

/* Its verification took longer than that. What it had is another one's by now. */
static void try_that_has_come_back_by_itself_is_not_given_back(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    struct tries_pass slow, half;
    uint64_t wait;
    assert_int_equal(take_as(tries, 0, "ada", NOW, &slow, &wait), TRIES_TAKEN);
    assert_int_equal(take_as(tries, 0, "ada", NOW, &half, &wait), TRIES_TAKEN);
    assert_int_equal(take_all(tries, "ada", NOW + 3 * COMES_BACK / 2), 9);
    tries_give_back(tries, &slow, NOW + 3 * COMES_BACK / 2);
    assert_false(take(tries, "ada", NOW + 3 * COMES_BACK / 2));
    tries_give_back(tries, &half, NOW + 3 * COMES_BACK / 2); /* the half that has not come back */
    assert_true(take(tries, "ada", NOW + 3 * COMES_BACK / 2));
    assert_false(take(tries, "ada", NOW + 3 * COMES_BACK / 2));
    tries_destroy(tries);
}

static void process_whose_clock_is_behind_forgets_no_open_try(void **state)
{
    enum { NEXT_MINUTE = 5040000 };
    (void)state;
    struct tries_pass ahead, pass;
    uint64_t wait;
    struct tries *tries = tries_create();
    assert_int_equal(take_as(tries, 0, "ada", NEXT_MINUTE, &ahead, &wait), TRIES_TAKEN);
    assert_int_equal(take_all(tries, "ada", NEXT_MINUTE - 1), 8);
    assert_int_equal(take_all(tries, "ada", NEXT_MINUTE), 1);
    assert_int_equal(take_as(tries, 0, "ada", NEXT_MINUTE - 1, &pass, &wait), TRIES_LATER);
    assert_int_equal(take_as(tries, 0, "ada", NEXT_MINUTE, &pass, &wait), TRIES_LATER);
    tries_use(tries, &ahead);
    assert_int_equal(take_as(tries, 0, "ada", NEXT_MINUTE, &pass, &wait), TRIES_NONE);
    tries_destroy(tries);
}

/* One comes back each millisecond, however short the window is. */
static void more_tries_than_milliseconds_are_bounded_too(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    const struct tries_rate many = {.count = 2000, .window = 1000};
    uint64_t key = tries_key(tries, 0, "ada", 3), wait;
    struct tries_pass pass;
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(tries_take(tries, key, &many, NOW, &pass, &wait), TRIES_TAKEN);
        tries_use(tries, &pass);
    }
    assert_int_equal(tries_take(tries, key, &many, NOW, &pass, &wait), TRIES_NONE);
    assert_int_equal(tries_take(tries, key, &many, NOW + 1, &pass, &wait), TRIES_TAKEN);
    tries_destroy(tries);
}

/* As after a reload. */
static void shorter_window_is_waited_for_only(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    const struct tries_rate minute = {.count = 10, .window = 60000};
    struct tries_pass pass;
    uint64_t wait;
    assert_int_equal(take_all(tries, "ada", NOW), 10);
    assert_int_equal(tries_take(tries, tries_key(tries, 0, "ada", 3), &minute, NOW, &pass, &wait),
                     TRIES_NONE);
    assert_in_range(wait, 1, 6000);
    for (unsigned i = 0; i <= 10; i++)
        assert_int_equal(
            tries_take(tries, tries_key(tries, 0, "ada", 3), &minute, NOW + 60000, &pass, &wait),
            i < 10 ? TRIES_TAKEN : TRIES_LATER);
    tries_destroy(tries);
}

static void rate_of_nothing_is_no_limit(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    const struct tries_rate none = {.count = 0, .window = 1000};
    struct tries_pass pass;
    uint64_t wait;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(tries_take(tries, 1, &none, NOW, &pass, &wait), TRIES_TAKEN);
    tries_give_back(tries, &pass, NOW);
    assert_int_equal(take_all(tries, "ada", NOW), 10);
    tries_destroy(tries);
}

static void all_processes_count_together(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    for (unsigned i = 0; i < 5; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            _exit(take(tries, "ada", NOW) && take(tries, "ada", NOW) ? 0 : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    assert_false(take(tries, "ada", NOW));
    tries_destroy(tries);
}

/* What tries.h says about the worst: 72,000 keys that are used up. */
static void used_up_keys_hardly_affect_others(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    struct tries_pass pass;
    uint64_t wait, refused = 0;
    for (uint32_t i = 0; i < 72000; i++)
        for (unsigned k = 0; k < 10; k++)
            (void)tries_take(tries, tries_key(tries, 0, &i, sizeof(i)), &ten_an_hour, NOW, &pass,
                             &wait);
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t other = i;
        refused += tries_take(tries, tries_key(tries, 1, &other, sizeof(other)), &ten_an_hour, NOW,
                              &pass, &wait) != TRIES_TAKEN;
        tries_give_back(tries, &pass, NOW);
    }
    assert_in_range(refused, 0, 2500);
    tries_destroy(tries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_come_back_one_by_one),
        cmocka_unit_test(other_keys_and_kinds_have_their_own),
        cmocka_unit_test(successful_try_is_given_back),
        cmocka_unit_test(next_try_waits_only_for_enough_that_are_open),
        cmocka_unit_test(try_that_comes_back_is_the_next_ones),
        cmocka_unit_test(tries_that_nobody_ends_are_forgotten),
        cmocka_unit_test(try_ends_in_a_later_minute),
        cmocka_unit_test(try_that_has_come_back_by_itself_is_not_given_back),
        cmocka_unit_test(process_whose_clock_is_behind_forgets_no_open_try),
        cmocka_unit_test(more_tries_than_milliseconds_are_bounded_too),
        cmocka_unit_test(shorter_window_is_waited_for_only),
        cmocka_unit_test(rate_of_nothing_is_no_limit),
        cmocka_unit_test(all_processes_count_together),
        cmocka_unit_test(used_up_keys_hardly_affect_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
