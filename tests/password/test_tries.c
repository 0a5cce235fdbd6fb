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

static bool take(struct tries *tries, const char *key, uint64_t now)
{
    struct tries_pass pass;
    uint64_t wait;
    return tries_take(tries, 0, key, strlen(key), &ten_an_hour, now, &pass, &wait);
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
    assert_false(tries_take(tries, 0, "ada", 3, &ten_an_hour, NOW + 1000, &pass, &wait));
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
    assert_true(tries_take(tries, 1, "ada", 3, &ten_an_hour, NOW, &pass, &wait));
    tries_destroy(tries);
}

static void successful_try_is_given_back(void **state)
{
    (void)state;
    struct tries *tries = tries_create();
    for (unsigned i = 0; i < 50; i++) {
        struct tries_pass pass;
        uint64_t wait;
        assert_true(tries_take(tries, 0, "ada", 3, &ten_an_hour, NOW, &pass, &wait));
        tries_give_back(tries, &pass);
    }
    assert_int_equal(take_all(tries, "ada", NOW), 10);
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
        assert_true(tries_take(tries, 0, "ada", 3, &none, NOW, &pass, &wait));
    tries_give_back(tries, &pass);
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
            (void)tries_take(tries, 0, &i, sizeof(i), &ten_an_hour, NOW, &pass, &wait);
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t other = i;
        if (!tries_take(tries, 1, &other, sizeof(other), &ten_an_hour, NOW, &pass, &wait))
            refused++;
        tries_give_back(tries, &pass);
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
        cmocka_unit_test(rate_of_nothing_is_no_limit),
        cmocka_unit_test(all_processes_count_together),
        cmocka_unit_test(used_up_keys_hardly_affect_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
