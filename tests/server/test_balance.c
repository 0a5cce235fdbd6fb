/* SPDX-License-Identifier: MIT */
/* Who takes a connection, as workers decide it one after the other. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/worker/balance.h"

static struct balance *balance;
static struct balance_left left;

static int make(void **state)
{
    (void)state;
    balance = balance_create(4);
    for (unsigned i = 0; i < 4; i++)
        balance_accepting(balance, i, true);
    return balance == NULL;
}

static int destroy(void **state)
{
    (void)state;
    balance_destroy(balance);
    return 0;
}

static bool takes(unsigned worker)
{
    if (!balance_take(balance, worker, &left))
        return false;
    balance_add(balance, worker, 1);
    return true;
}

static bool was_woken(unsigned worker)
{
    struct pollfd fd = {.fd = balance_wake_fd(balance, worker), .events = POLLIN};
    bool woken = poll(&fd, 1, 0) == 1;
    balance_awake(balance, worker);
    return woken;
}

static void the_one_with_fewest_takes_it(void **state)
{
    (void)state;
    assert_true(takes(0));
    assert_false(takes(0)); /* the others have none */
    assert_true(was_woken(left.worker));
    assert_true(takes(1));
    assert_true(takes(2));
    assert_false(takes(1));
    assert_int_equal(left.worker, 3);
    assert_true(takes(3));
    assert_true(takes(1)); /* one each: anybody's */
    assert_false(takes(1));
}

static void eight_on_four_are_two_each_whoever_looks_first(void **state)
{
    (void)state;
    unsigned taken = 0, counts[4] = {0};
    for (unsigned eager = 3; taken < 8; eager = (eager * 5 + 3) % 4) {
        unsigned worker = eager;
        if (!takes(worker)) {
            worker = left.worker; /* it was woken, and looks */
            assert_true(takes(worker));
        }
        counts[worker]++;
        taken++;
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(counts[i], 2);
}

static void who_does_not_run_is_passed_over_until_it_runs(void **state)
{
    (void)state;
    balance_add(balance, 0, 1);
    balance_add(balance, 1, 1);
    balance_add(balance, 2, 1);
    assert_false(takes(0));
    assert_int_equal(left.worker, 3);
    balance_turn(balance, 3); /* it has run: it is only slow */
    balance_pass_over(balance, &left);
    assert_false(takes(0));
    balance_pass_over(balance, &left); /* it has not */
    assert_true(takes(0));
    assert_true(takes(1));
    balance_turn(balance, 3);
    assert_false(takes(0));
    assert_int_equal(left.worker, 3);
}

static void who_does_not_accept_does_not_count(void **state)
{
    (void)state;
    balance_add(balance, 0, 5);
    for (unsigned i = 1; i < 4; i++)
        balance_accepting(balance, i, false);
    assert_true(takes(0));
    balance_accepting(balance, 2, true);
    assert_false(takes(0));
    assert_int_equal(left.worker, 2);
}

static void the_dead_leave_nothing(void **state)
{
    (void)state;
    balance_add(balance, 1, 7);
    balance_add(balance, 2, 3);
    assert_int_equal(balance_connections(balance), 10);
    balance_forget(balance, 1);
    assert_int_equal(balance_connections(balance), 3);
    assert_true(takes(0)); /* 1 does not accept any more, 3 has as many */
}

static void a_generation_that_leaves_takes_nothing(void **state)
{
    (void)state;
    assert_false(balance_is_closed(balance));
    balance_close(balance);
    assert_true(balance_is_closed(balance));
}

static void many_connections_are_spread_within_a_sixteenth(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        balance_add(balance, i, 160);
    for (int i = 0; i < 11; i++)
        assert_true(takes(0));
    assert_false(takes(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_one_with_fewest_takes_it, make, destroy),
        cmocka_unit_test_setup_teardown(eight_on_four_are_two_each_whoever_looks_first, make,
                                        destroy),
        cmocka_unit_test_setup_teardown(who_does_not_run_is_passed_over_until_it_runs, make,
                                        destroy),
        cmocka_unit_test_setup_teardown(who_does_not_accept_does_not_count, make, destroy),
        cmocka_unit_test_setup_teardown(the_dead_leave_nothing, make, destroy),
        cmocka_unit_test_setup_teardown(a_generation_that_leaves_takes_nothing, make, destroy),
        cmocka_unit_test_setup_teardown(many_connections_are_spread_within_a_sixteenth, make,
                                        destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
