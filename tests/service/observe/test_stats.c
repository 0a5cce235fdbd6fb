/* SPDX-License-Identifier: MIT */
/* The names of the counters. End-to-end tests check that they count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "service/observe/stats.h"
#include "service/services.h"

static bool has(const char *wanted)
{
    size_t count;
    const char *const *names = stats_names(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], wanted) == 0)
            return true;
    return false;
}

static void each_kind_of_method_is_named_by_its_type(void **state)
{
    (void)state;
    assert_true(has("grpc_server_started_total{grpc_type=\"unary\",grpc_service="
                    "\"userservice.UserService\",grpc_method=\"GetUser\"}"));
    assert_true(has("grpc_server_msg_sent_total{grpc_type=\"server_stream\",grpc_service="
                    "\"userservice.UserService\",grpc_method=\"ListUsers\"}"));
    assert_true(has("grpc_server_msg_received_total{grpc_type=\"client_stream\",grpc_service="
                    "\"userservice.UserService\",grpc_method=\"BatchCreateUsers\"}"));
    assert_true(has("grpc_server_handled_total{grpc_type=\"bidi_stream\",grpc_service="
                    "\"userservice.UserService\",grpc_method=\"Chat\",grpc_code=\"Cancelled\"}"));
}

static void unknown_methods_share_names(void **state)
{
    (void)state;
    assert_true(has("grpc_server_handled_total{grpc_type=\"unknown\",grpc_service=\"unknown\","
                    "grpc_method=\"unknown\",grpc_code=\"Unimplemented\"}"));
}

static void names_are_unique(void **state)
{
    (void)state;
    size_t count;
    const char *const *names = stats_names(&count);
    assert_int_equal(count, stats_num_methods() * STATS_PER_METHOD + STATS_NUM_COUNTERS);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i], names[k]);
}

enum { ROW_MAX = 4096 }; /* numbers of a row, with many more methods than there are */

static void dead_workers_gauges_go_to_zero_and_its_counts_stay(void **state)
{
    (void)state;
    size_t count;
    const char *const *names = stats_names(&count);
    static uint64_t row[ROW_MAX];
    assert_true(count <= ROW_MAX);
    for (size_t i = 0; i < count; i++)
        row[i] = 7;
    stats_clear_gauges(row);
    for (size_t i = 0; i < count; i++) {
        bool gauge = strcmp(names[i], "rosterd_connections_open") == 0 ||
                     strcmp(names[i], "rosterd_streams_open") == 0 ||
                     strcmp(names[i], "rosterd_watches_open") == 0 ||
                     strcmp(names[i], "rosterd_password_requests") == 0 ||
                     strcmp(names[i], "rosterd_journal_lag_seconds") == 0 ||
                     strncmp(names[i], "rosterd_creates_refused{", 24) == 0;
        assert_int_equal(row[i], gauge ? 0 : 7);
    }
}

static void totals_of_other_modules_are_added_to_what_the_row_has(void **state)
{
    (void)state;
    static uint64_t row[ROW_MAX];
    size_t count;
    stats_names(&count);
    assert_true(count <= ROW_MAX);
    uint64_t *process = row + stats_process_at();
    process[STATS_LOG_DROPPED] = 100; /* of the process that owned the row before */
    struct stats *stats = stats_create(row);
    assert_non_null(stats);
    stats_set_total(stats, STATS_LOG_DROPPED, 5);
    stats_set_total(stats, STATS_LOG_DROPPED, 5);
    stats_set_total(stats, STATS_LOG_DROPPED, 7);
    assert_int_equal(process[STATS_LOG_DROPPED], 107);
    stats_set_total(stats, STATS_STREAMS_OPEN, 3);
    stats_set_total(stats, STATS_STREAMS_OPEN, 1);
    assert_int_equal(process[STATS_STREAMS_OPEN], 1);
    stats_add(stats, STATS_RELOADS, 2);
    stats_add(stats, STATS_RELOADS, 1);
    assert_int_equal(process[STATS_RELOADS], 3);
    stats_destroy(stats);
    assert_int_equal(process[STATS_STREAMS_OPEN], 0);
    assert_int_equal(process[STATS_LOG_DROPPED], 107);
}

static void abandoned_stats_leave_the_row_alone(void **state)
{
    (void)state;
    static uint64_t row[ROW_MAX];
    struct stats *stats = stats_create(row);
    assert_non_null(stats);
    stats_set_total(stats, STATS_STREAMS_OPEN, 3);
    stats_abandon(stats);
    assert_int_equal(row[stats_process_at() + STATS_STREAMS_OPEN], 3);
}

static void methods_have_paths_for_the_obituary(void **state)
{
    (void)state;
    size_t count;
    assert_non_null(stats_names(&count));
    size_t num_services, at = 0;
    const struct grpc_service *const *services = services_all(&num_services);
    assert_true(num_services >= 4);
    for (size_t i = 0; i < num_services; i++)
        for (size_t k = 0; k < services[i]->num_methods; k++) {
            char path[128];
            snprintf(path, sizeof(path), "/%s/%s", services[i]->name, services[i]->methods[k].name);
            assert_string_equal(stats_method_name(at++), path);
        }
    assert_true(at >= 10);
    assert_int_equal(stats_num_methods(), at + 1);
    assert_string_equal(stats_method_name(at), "unknown");
    assert_string_equal(stats_method_name(1000), "unknown");
}

static int init(void **state)
{
    (void)state;
    size_t num_services;
    const struct grpc_service *const *services = services_all(&num_services);
    return stats_init(services, num_services) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_method_is_named_by_its_type),
        cmocka_unit_test(unknown_methods_share_names),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(dead_workers_gauges_go_to_zero_and_its_counts_stay),
        cmocka_unit_test(totals_of_other_modules_are_added_to_what_the_row_has),
        cmocka_unit_test(abandoned_stats_leave_the_row_alone),
        cmocka_unit_test(methods_have_paths_for_the_obituary),
    };
    return cmocka_run_group_tests_name("stats", tests, init, NULL);
}
