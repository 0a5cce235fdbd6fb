/* SPDX-License-Identifier: MIT */
/* Which worker takes a new connection, when the workers decide one after the other. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server/worker/balance.h"

static struct balance *balance;
static struct balance_left left;

static int open_balance(void **state)
{
    (void)state;
    balance = balance_create(4);
    for (unsigned i = 0; i < 4; i++)
        balance_accepting(balance, i, true);
    return balance == NULL;
}

static int close_balance(void **state)
{
    (void)state;
    balance_destroy(balance);
    return 0;
}

/* A connection waits and this worker sees it first. @return false: `left` names the worker that it
 * was left to */
static bool takes(unsigned worker)
{
    if (!balance_take(balance, worker, &left))
        return false;
    balance_add(balance, worker, 1);
    return true;
}

/* Whether the worker was woken since the last look. */
static bool was_woken(unsigned worker)
{
    struct pollfd fd = {.fd = balance_wake_fd(balance, worker), .events = POLLIN};
    bool woken = poll(&fd, 1, 0) == 1;
    balance_awake(balance, worker);
    return woken;
}

static void worker_with_fewest_connections_takes_it(void **state)
{
    (void)state;
    assert_true(takes(0));
    assert_false(takes(0)); /* the others have fewer: none */
    assert_true(was_woken(left.worker));
    assert_true(takes(1));
    assert_true(takes(2));
    assert_false(takes(1));
    assert_int_equal(left.worker, 3);
    assert_true(takes(3));
    assert_true(takes(1)); /* one each: any of them may take it */
    assert_false(takes(1));
}

static void eight_connections_on_four_workers_are_two_each_whoever_looks_first(void **state)
{
    (void)state;
    unsigned taken = 0, counts[4] = {0};
    for (unsigned eager = 3; taken < 8; eager = (eager * 5 + 3) % 4) {
        unsigned worker = eager;
        if (!takes(worker)) {
            worker = left.worker; /* it was woken, and looks next */
            assert_true(takes(worker));
        }
        counts[worker]++;
        taken++;
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(counts[i], 2);
}

static void worker_that_does_not_run_is_passed_over_until_it_runs(void **state)
{
    (void)state;
    balance_add(balance, 0, 1);
    balance_add(balance, 1, 1);
    balance_add(balance, 2, 1);
    assert_false(takes(0));
    assert_int_equal(left.worker, 3);
    balance_turn(balance, 3); /* worker 3 has run meanwhile: it is only slow */
    balance_pass_over(balance, &left);
    assert_false(takes(0));
    balance_pass_over(balance, &left); /* worker 3 has not run meanwhile */
    assert_true(takes(0));
    assert_true(takes(1));
    balance_turn(balance, 3);
    assert_false(takes(0));
    assert_int_equal(left.worker, 3);
}

static void worker_that_does_not_accept_is_not_considered(void **state)
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

static void connections_of_a_dead_worker_are_forgotten(void **state)
{
    (void)state;
    balance_add(balance, 1, 7);
    balance_add(balance, 2, 3);
    assert_int_equal(balance_connections(balance), 10);
    balance_forget(balance, 1);
    assert_int_equal(balance_connections(balance), 3);
    assert_true(takes(0)); /* worker 1 does not accept any more, worker 3 has no fewer */
}

static void closed_generation_takes_nothing(void **state)
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
    assert_false(takes(0)); /* it has 171 then: more than a sixteenth over 160 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(worker_with_fewest_connections_takes_it, open_balance,
                                        close_balance),
        cmocka_unit_test_setup_teardown(
            eight_connections_on_four_workers_are_two_each_whoever_looks_first, open_balance,
            close_balance),
        cmocka_unit_test_setup_teardown(worker_that_does_not_run_is_passed_over_until_it_runs,
                                        open_balance, close_balance),
        cmocka_unit_test_setup_teardown(worker_that_does_not_accept_is_not_considered, open_balance,
                                        close_balance),
        cmocka_unit_test_setup_teardown(connections_of_a_dead_worker_are_forgotten, open_balance,
                                        close_balance),
        cmocka_unit_test_setup_teardown(closed_generation_takes_nothing, open_balance,
                                        close_balance),
        cmocka_unit_test_setup_teardown(many_connections_are_spread_within_a_sixteenth,
                                        open_balance, close_balance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
