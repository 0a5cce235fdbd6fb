/* SPDX-License-Identifier: MIT */
/* The health service: which statuses its watchers get, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proto/grpc/health/v1/health.pb-c.h"
#include "service/builtin/health.h"
#include "tests/service/fakes.h"

static struct grpc_server *server;
static struct health *health;

static int open_server(void **state)
{
    static const char *const names[] = {"a.A", "b.B"};
    static const struct service_config config = {.names = names, .num_names = 2};
    (void)state;
    server = fake_server_create();
    health = health_service.create(&config);
    assert_non_null(health);
    assert_true(service_add(&health_service, health, server, NULL));
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    health_service.destroy(health);
    fake_server_destroy(server);
    return 0;
}

static struct grpc_call *ask(const char *method, const char *service, unsigned writable)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct grpc_call *call = fake_call_open(server, method);
    call->writable = writable;
    request.service = (ProtobufCBinaryData){.len = strlen(service), .data = (uint8_t *)service};
    call->method->on_message(call, &request.base);
    return call;
}

/* The last status that was sent on the call. */
static int told(const struct grpc_call *call)
{
    assert_true(call->messages > 0);
    Grpc__Health__V1__HealthCheckResponse *response =
        grpc__health__v1__health_check_response__unpack(NULL, call->out_len, call->out);
    assert_non_null(response);
    int status = (int)response->status;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    return status;
}

static void check_follows_what_is_set(void **state)
{
    (void)state;
    assert_true(health_set(health, "a.A", HEALTH_NOT_SERVING));
    struct grpc_call *call = ask("Check", "a.A", UINT32_MAX);
    assert_int_equal(told(call), HEALTH_NOT_SERVING);
    assert_int_equal(call->status, GRPC_OK);
    fake_call_end(call, GRPC_OK);
    call = ask("Check", "b.B", UINT32_MAX);
    assert_int_equal(told(call), HEALTH_SERVING);
    fake_call_end(call, GRPC_OK);
    assert_false(health_set(health, "c.C", HEALTH_SERVING));
}

static void watcher_is_told_of_each_change_and_of_no_other(void **state)
{
    (void)state;
    struct grpc_call *a = ask("Watch", "a.A", UINT32_MAX), *b = ask("Watch", "b.B", UINT32_MAX);
    assert_int_equal(told(a), HEALTH_SERVING);
    health_set(health, "a.A", HEALTH_NOT_SERVING);
    assert_int_equal(told(a), HEALTH_NOT_SERVING);
    health_set(health, "a.A", HEALTH_NOT_SERVING); /* no change */
    assert_int_equal(a->messages, 2);
    health_set(health, "a.A", HEALTH_SERVING);
    assert_int_equal(told(a), HEALTH_SERVING);
    assert_int_equal(a->messages, 3);
    assert_int_equal(b->messages, 1);
    fake_call_end(a, GRPC_CANCELLED);
    fake_call_end(b, GRPC_CANCELLED);
    health_set(health, "a.A",
               HEALTH_NOT_SERVING); /* there is no watcher left, so no freed call may be touched */
}

static void slow_watcher_finds_the_newest_status_only(void **state)
{
    (void)state;
    struct grpc_call *call = ask("Watch", "a.A", 1);
    for (int i = 0; i < 100; i++) {
        health_set(health, "a.A", HEALTH_NOT_SERVING);
        health_set(health, "a.A", HEALTH_SERVING);
    }
    health_set(health, "a.A", HEALTH_NOT_SERVING);
    assert_int_equal(call->messages, 1);
    assert_true(call->wants_write);
    call->writable = 1;
    call->method->on_writable(call);
    assert_int_equal(call->messages, 2);
    assert_int_equal(told(call), HEALTH_NOT_SERVING);
    fake_call_end(call, GRPC_CANCELLED);
}

static void drain_ends_every_watch_also_of_who_does_not_read(void **state)
{
    (void)state;
    struct grpc_call *reads = ask("Watch", "", UINT32_MAX), *stuck = ask("Watch", "a.A", 1),
                     *unknown = ask("Watch", "c.C", UINT32_MAX);
    assert_int_equal(told(unknown), HEALTH_SERVICE_UNKNOWN);
    health_service.drain(health);
    assert_int_equal(told(reads), HEALTH_NOT_SERVING);
    assert_int_equal(reads->status, GRPC_UNAVAILABLE);
    assert_int_equal(stuck->messages, 1);
    assert_int_equal(stuck->status, GRPC_UNAVAILABLE);
    assert_int_equal(unknown->status, GRPC_UNAVAILABLE);
    fake_call_end(reads, GRPC_UNAVAILABLE);
    fake_call_end(stuck, GRPC_UNAVAILABLE);
    fake_call_end(unknown, GRPC_UNAVAILABLE);
}

static void draining_is_for_good(void **state)
{
    (void)state;
    health_service.drain(health);
    health_set(health, "a.A", HEALTH_SERVING);
    assert_int_equal(health_get(health, "a.A", 3), HEALTH_NOT_SERVING);
    struct grpc_call *call = ask("Watch", "a.A", UINT32_MAX); /* it began during the drain */
    assert_int_equal(told(call), HEALTH_NOT_SERVING);
    assert_int_equal(call->status, GRPC_UNAVAILABLE);
    fake_call_end(call, GRPC_UNAVAILABLE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)
    const struct CMUnitTest tests[] = {
        TEST(check_follows_what_is_set),
        TEST(watcher_is_told_of_each_change_and_of_no_other),
        TEST(slow_watcher_finds_the_newest_status_only),
        TEST(drain_ends_every_watch_also_of_who_does_not_read),
        TEST(draining_is_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
