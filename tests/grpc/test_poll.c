/* SPDX-License-Identifier: MIT */
/* When the loop polls instead of sleeping, and when it stops polling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "grpc/poll.h"
#include "tests/http2/fixture.h"

enum { LONG_US = 1000000 }; /* a bound that no turn of these tests reaches */

static struct peer *connect_and_settle(struct grpc_poll *poll, uint32_t bound_us)
{
    struct peer *peer = peer_connect(fixture.context, true);
    peer_turn(peer);
    grpc_poll_init(poll, bound_us);
    grpc_poll_turn(poll, fixture.context, 0); /* records the counts */
    return peer;
}

/* After one small request. */
static struct peer *connect_and_make_eager(struct grpc_poll *poll)
{
    struct peer *peer = connect_and_settle(poll, LONG_US);
    peer_request(peer, 1, true, "/body/1", NULL);
    grpc_poll_turn(poll, fixture.context, 1000);
    assert_true(poll->eager);
    return peer;
}

static void lone_request_makes_the_next_turn_poll(void **state)
{
    (void)state;
    struct grpc_poll poll;
    struct peer *peer = connect_and_settle(&poll, LONG_US);
    assert_false(poll.eager);
    peer_request(peer, 1, true, "/body/1", NULL);
    grpc_poll_turn(&poll, fixture.context, 1000);
    assert_true(poll.eager);
    peer_request(peer, 3, true, "/body/1", NULL);
    uint64_t start = clock_monotonic_ms();
    grpc_poll_turn(&poll, fixture.context, 1000); /* found by polling */
    assert_true(clock_monotonic_ms() - start < 900);
    assert_true(poll.eager);
    assert_int_equal(fixture.requests, 2);
    peer_close(peer);
}

static void poll_that_finds_nothing_is_bounded_and_the_last(void **state)
{
    (void)state;
    struct grpc_poll poll;
    struct peer *peer = connect_and_make_eager(&poll);
    poll.bound_ns = 2000000;
    clock_t cpu = clock();
    grpc_poll_turn(&poll, fixture.context, 300);
    assert_false(poll.eager);
    for (int i = 0; i != 3; i++)
        grpc_poll_turn(&poll, fixture.context, 100);
    assert_false(poll.eager);
    peer_request(peer, 3, true, "/body/1", NULL);
    grpc_poll_turn(&poll, fixture.context, 1000);
    assert_int_equal(fixture.requests, 2);
    assert_true(poll.eager);
    assert_int_equal(poll.holdoff, 16);
    grpc_poll_turn(&poll, fixture.context, 300); /* it could poll, and does not */
    assert_int_equal(poll.holdoff, 15);
    /* waiting for 900 ms costs 2 ms of polling, not 600 */
    assert_true((double)(clock() - cpu) / CLOCKS_PER_SEC < 0.1);
    peer_close(peer);
}

/* @return the ms that a turn took which may sleep for `wait_ms` */
static uint64_t turn_ms(struct grpc_poll *poll, int32_t wait_ms)
{
    uint64_t start = clock_monotonic_ms();
    grpc_poll_turn(poll, fixture.context, wait_ms);
    return clock_monotonic_ms() - start;
}

/* Calls wait for something that takes longer than the network. No lone request came. */
static void what_is_expected_is_polled_for(void **state)
{
    enum { BOUND_MS = 20, EXPECTED_MS = 40, SHORT_MS = 1 };
    (void)state;
    struct grpc_poll poll;
    struct peer *peer = connect_and_settle(&poll, BOUND_MS * 1000);
    clock_t cpu = clock();
    grpc_poll_expect(&poll, EXPECTED_MS * UINT64_C(1000000));
    assert_true(turn_ms(&poll, 2 * EXPECTED_MS) >= 2 * EXPECTED_MS - 1); /* nothing comes */
    clock_t polled = clock() - cpu;
    assert_int_equal(poll.holdoff, 16);
    for (unsigned i = 16; i-- != 0;) { /* the poll was in vain */
        grpc_poll_expect(&poll, EXPECTED_MS * UINT64_C(1000000));
        grpc_poll_turn(&poll, fixture.context, SHORT_MS);
        assert_int_equal(poll.holdoff, i);
    }
    cpu = clock();
    grpc_poll_turn(&poll, fixture.context, 2 * EXPECTED_MS); /* an expectation is for one turn */
    assert_true(clock() - cpu < polled / 2);
    grpc_poll_expect(&poll, GRPC_POLL_TIMES * BOUND_MS * UINT64_C(1000000) + 1);
    assert_int_equal(poll.expected_ns, 0); /* too far away */
    grpc_poll_expect(&poll, GRPC_POLL_TIMES * BOUND_MS * UINT64_C(1000000));
    assert_int_equal(poll.expected_ns, GRPC_POLL_TIMES * BOUND_MS * UINT64_C(1000000));
    assert_true(turn_ms(&poll, SHORT_MS) < GRPC_POLL_TIMES * BOUND_MS); /* a timer is due */
    peer_close(peer);
}

static void what_was_expected_ends_the_poll(void **state)
{
    (void)state;
    struct grpc_poll poll;
    struct peer *peer = connect_and_settle(&poll, LONG_US);
    grpc_poll_expect(&poll, LONG_US * UINT64_C(1000));
    peer_request(peer, 1, true, "/body/1", NULL);
    peer_request(peer, 3, true, "/body/1", NULL);
    assert_true(turn_ms(&poll, LONG_US / 1000) < LONG_US / 1000);
    assert_int_equal(fixture.requests, 2);
    assert_int_equal(poll.holdoff, 0);
    peer_close(peer);
}

static void many_requests_in_a_turn_make_no_poll(void **state)
{
    (void)state;
    struct grpc_poll poll;
    struct peer *peer = connect_and_settle(&poll, LONG_US);
    peer_request(peer, 1, true, "/body/1", NULL);
    peer_request(peer, 3, true, "/body/1", NULL);
    grpc_poll_turn(&poll, fixture.context, 1000);
    assert_int_equal(fixture.requests, 2);
    assert_false(poll.eager);
    peer_close(peer);
}

static void what_is_no_request_never_polls(void **state)
{
    (void)state;
    struct grpc_poll poll;
    struct peer *peer = connect_and_settle(&poll, LONG_US);
    peer_settings(peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000);
    grpc_poll_turn(&poll, fixture.context, 1000);
    assert_false(poll.eager);
    peer_close(peer);
}

/* The bytes of a connection that waits for its turn are not read meanwhile, so they are not
 * counted. */
static void connection_that_waits_for_its_turn_ends_the_poll(void **state)
{
    (void)state;
    struct grpc_poll poll;
    struct peer *heavy = peer_connect(fixture.context, true);
    struct peer *peer = connect_and_settle(&poll, LONG_US);
    peer_request(heavy, 1, true, "/work/x", NULL);
    peer_turn(heavy);
    grpc_poll_turn(&poll, fixture.context, 0);
    peer_request(peer, 1, true, "/body/1", NULL);
    grpc_poll_turn(&poll, fixture.context, 1000);
    assert_true(poll.eager);
    peer_request(heavy, 3, true, "/work/x", NULL);
    uint64_t start = clock_monotonic_ms();
    grpc_poll_turn(&poll, fixture.context, 1000);
    assert_true(clock_monotonic_ms() - start < 500);
    assert_true(http2_context_pending(fixture.context));
    (void)http2_context_run(fixture.context);
    assert_string_equal(fixture.log, "xx");
    peer_close(heavy);
    peer_close(peer);
}

static void bound_of_zero_never_polls(void **state)
{
    (void)state;
    struct grpc_poll poll;
    struct peer *peer = connect_and_settle(&poll, 0);
    peer_request(peer, 1, true, "/body/1", NULL);
    grpc_poll_turn(&poll, fixture.context, 1000);
    assert_int_equal(fixture.requests, 1);
    assert_false(poll.eager);
    peer_close(peer);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    static const struct CMUnitTest tests[] = {
        T(lone_request_makes_the_next_turn_poll),
        T(poll_that_finds_nothing_is_bounded_and_the_last),
        T(what_is_expected_is_polled_for),
        T(what_was_expected_ends_the_poll),
        T(many_requests_in_a_turn_make_no_poll),
        T(what_is_no_request_never_polls),
        T(connection_that_waits_for_its_turn_ends_the_poll),
        T(bound_of_zero_never_polls),
    };
    return cmocka_run_group_tests_name("poll", tests, NULL, NULL);
}
