/* SPDX-License-Identifier: MIT */
/* Listings that are not read do not keep others from listing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/user_service.pb-c.h"
#include "service/users/pin_share.h"
#include "tests/service/fakes.h"

static struct grpc_server *server;
static const char connections[8];

static int open_server(void **state)
{
    (void)state;
    server = fake_server_create();
    fake_store.users = 50;
    fake_connection = &connections[0];
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    fake_server_destroy(server);
    return 0;
}

/* A listing whose client reads `writable` users. */
static struct grpc_call *list(unsigned writable)
{
    struct grpc_call *call = fake_call_open(server, "ListUsers");
    Userservice__ListUsersRequest request = USERSERVICE__LIST_USERS_REQUEST__INIT;
    request.page_size = 50;
    call->writable = writable;
    call->method->on_message(call, &request.base);
    return call;
}

static void read_on(struct grpc_call *call, unsigned writable)
{
    call->writable = writable;
    call->method->on_writable(call);
}

static void assert_crowded_out(const struct grpc_call *call)
{
    assert_int_equal(call->finishes, 1);
    assert_int_equal(call->status, GRPC_ABORTED);
    assert_string_equal(call->message, "the listing did not get on, and others could not begin: "
                                       "too many snapshots are open");
}

static void end(struct grpc_call *call)
{
    fake_call_end(call, call->finishes != 0 ? call->status : GRPC_CANCELLED);
}

/* ---- the pins of a worker ---- */

static void oldest_listing_that_is_stalled_makes_room_for_a_new_one(void **state)
{
    struct grpc_call *calls[3];

    (void)state;
    fake_store.pins = 3;
    for (int i = 0; i < 3; i++) {
        calls[i] = list(2);
        fake_pass(server, 10);
    }
    fake_pass(server, 300);
    struct grpc_call *other = list(UINT32_MAX);
    assert_int_equal(other->status, GRPC_OK);
    assert_int_equal(other->messages, 50);
    assert_crowded_out(calls[0]);
    assert_int_equal(calls[1]->finishes + calls[2]->finishes, 0);
    end(other);
    for (int i = 0; i < 3; i++)
        end(calls[i]);
}

static void listing_that_gets_on_is_left_alone(void **state)
{
    struct grpc_call *calls[3];

    (void)state;
    fake_store.pins = 3;
    for (int i = 0; i < 3; i++)
        calls[i] = list(2);
    fake_pass(server, 240);
    read_on(calls[0], 1);
    read_on(calls[1], 1);
    read_on(calls[2], 0); /* on_writable is called, but no user is sent */
    fake_pass(server, 20);
    struct grpc_call *other = list(2);
    assert_int_equal(other->finishes, 0);
    assert_crowded_out(calls[2]);
    struct grpc_call *late = list(2); /* all others make progress */
    assert_int_equal(late->status, GRPC_RESOURCE_EXHAUSTED);
    assert_string_equal(late->message, "too many listings at once, try again");
    assert_int_equal(calls[0]->finishes + calls[1]->finishes + other->finishes, 0);
    end(late);
    end(other);
    for (int i = 0; i < 3; i++)
        end(calls[i]);
}

static void listing_that_gets_on_slowly_has_its_time(void **state)
{
    struct grpc_call *calls[2];

    (void)state;
    fake_store.pins = 2;
    calls[0] = list(1);
    fake_pass(server, 10);
    calls[1] = list(1);
    for (int i = 0; i < 12; i++) {
        fake_pass(server, 180);
        read_on(calls[0], 1);
        read_on(calls[1], 1);
    }
    struct grpc_call *other = list(UINT32_MAX);
    assert_int_equal(other->status, GRPC_OK);
    assert_int_equal(other->messages, 50);
    assert_crowded_out(calls[0]);
    assert_int_equal(calls[1]->finishes, 0);
    end(other);
    end(calls[0]);
    end(calls[1]);
}

static void listings_of_one_pin_end_together(void **state)
{
    struct grpc_call *calls[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        calls[i] = list(2); /* they share pin 0 */
    fake_pass(server, 300);
    read_on(calls[3], 1);
    fake_store.pins = 1;
    struct grpc_call *other = list(UINT32_MAX);
    for (int i = 0; i < 3; i++)
        assert_crowded_out(calls[i]);
    assert_int_equal(calls[3]->finishes, 0);
    assert_int_equal(other->status, GRPC_OK);
    end(other);
    for (int i = 0; i < 4; i++)
        end(calls[i]);
}

static void new_listing_waits_for_a_pin_that_kept_memory(void **state)
{
    struct grpc_call *calls[3];

    (void)state;
    fake_store.pins = 3;
    fake_store.pins_keep = true;
    for (int i = 0; i < 3; i++)
        calls[i] = list(2);
    fake_pass(server, 300);
    struct grpc_call *other = list(UINT32_MAX), *another = list(UINT32_MAX);
    assert_crowded_out(calls[0]);
    fake_pass(server, 50);
    assert_int_equal(other->finishes + another->finishes, 0);
    assert_int_equal(calls[1]->finishes + calls[2]->finishes, 0); /* one pin is enough */
    fake_store.pins_keep = false;
    fake_store.pin_used[0] = false;
    fake_pass(server, 33);
    assert_int_equal(other->status, GRPC_OK);
    assert_int_equal(another->status, GRPC_OK);
    assert_int_equal(other->messages, 50);
    assert_int_equal(calls[1]->finishes + calls[2]->finishes, 0);
    end(other);
    end(another);
    for (int i = 0; i < 3; i++)
        end(calls[i]);
}

static void wait_for_a_pin_has_an_end(void **state)
{
    (void)state;
    fake_store.pins = 1;
    fake_store.pins_keep = true;
    struct grpc_call *first = list(2);
    fake_pass(server, 300);
    struct grpc_call *other = list(UINT32_MAX), *cancelled = list(UINT32_MAX);
    assert_crowded_out(first);
    end(cancelled); /* while it waits */
    fake_pass(server, 1100);
    assert_int_equal(other->status, GRPC_RESOURCE_EXHAUSTED);
    end(other);
    end(first);
}

/* ---- the pins of a connection ---- */

static void connection_waits_on_so_many_versions(void **state)
{
    struct grpc_call *calls[PIN_SHARE_MAX + 3];

    (void)state;
    fake_store.pins = 126;
    for (int i = 0; i < PIN_SHARE_MAX; i++) {
        calls[i] = list(2);
        assert_int_equal(calls[i]->finishes, 0);
    }
    struct grpc_call *over = list(2);
    assert_int_equal(over->status, GRPC_RESOURCE_EXHAUSTED);
    assert_string_equal(over->message,
                        "16 listings of this connection are under way, each of another version "
                        "of the table: read or cancel them first");
    end(over);
    assert_int_equal(fake_store.snapshots, PIN_SHARE_MAX);
    struct grpc_call *whole = list(UINT32_MAX); /* it never waits */
    assert_int_equal(whole->status, GRPC_OK);
    end(whole);
    fake_connection = &connections[1];
    struct grpc_call *other = list(2);
    assert_int_equal(other->finishes, 0);
    end(other);
    fake_connection = &connections[0];
    end(calls[7]);
    calls[7] = list(2);
    assert_int_equal(calls[7]->finishes, 0);
    for (int i = 0; i < PIN_SHARE_MAX; i++)
        end(calls[i]);
}

static void listings_of_one_version_count_once(void **state)
{
    struct grpc_call *calls[500];

    (void)state;
    for (int i = 0; i < 500; i++) {
        calls[i] = list(2);
        assert_int_equal(calls[i]->finishes, 0);
    }
    for (int i = 0; i < 500; i++)
        end(calls[i]);
}

static void shares_of_many_connections_are_told_apart(void **state)
{
    enum { CONNECTIONS = 1000 };
    static const char many[CONNECTIONS];
    static struct pin_shares shares;
    struct pin_share *taken[CONNECTIONS];

    (void)state;
    pin_shares_init(&shares);
    for (int i = 0; i < CONNECTIONS; i++) {
        for (uint32_t pin = 0; pin < PIN_SHARE_MAX; pin++)
            assert_non_null(taken[i] = pin_share_take(&shares, &many[i], pin));
        assert_non_null(pin_share_take(&shares, &many[i], 5));
        assert_null(pin_share_take(&shares, &many[i], PIN_SHARE_MAX));
        pin_share_give(taken[i], 5);
        assert_null(
            pin_share_take(&shares, &many[i], PIN_SHARE_MAX)); /* one listing still holds the pin */
    }
    for (int i = 0; i < CONNECTIONS; i++)
        for (uint32_t pin = 0; pin < PIN_SHARE_MAX; pin++)
            pin_share_give(taken[i], pin);
    for (int i = 0; i < PIN_SHARE_BUCKETS; i++)
        assert_true(cds_list_empty(&shares.buckets[i]));
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)
    const struct CMUnitTest tests[] = {
        test(oldest_listing_that_is_stalled_makes_room_for_a_new_one),
        test(listing_that_gets_on_is_left_alone),
        test(listing_that_gets_on_slowly_has_its_time),
        test(listings_of_one_pin_end_together),
        test(new_listing_waits_for_a_pin_that_kept_memory),
        test(wait_for_a_pin_has_an_end),
        test(connection_waits_on_so_many_versions),
        test(listings_of_one_version_count_once),
        test(shares_of_many_connections_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
