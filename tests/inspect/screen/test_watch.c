/* SPDX-License-Identifier: MIT */
/* watch as JSON lines; tests/e2e/test_watch.py tests its screen. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/clock.h"
#include "shm/counters.h"
#include "tests/inspect/tool.h"

static struct json_object *next_sample(struct tool_running *tool)
{
    const char *line = tool_line(tool);
    assert_non_null(line);
    return json_parse(line);
}

static double double_field(struct json_object *object, const char *key)
{
    return json_object_get_double(json_field(object, key));
}

static void assert_present(struct json_object *object, bool present)
{
    assert_int_equal(json_object_get_boolean(json_field(object, "present")), present);
}

static void watch_without_a_terminal_is_refused(void **state)
{
    (void)state;
    struct tool_result got = tool_run(ON_SEGMENT, "watch", NULL);
    tool_assert_failed(&got, 2, "stdout is not a terminal (see --json)");
    tool_free(&got);
}

static void an_interval_out_of_bounds_is_refused(void **state)
{
    static const char *const wrong[] = {"0",  "0.05", "4000",  "x",    "1x",  "",
                                        " 1", "inf",  "0x1p3", "1e99", "nan", "-1"};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct tool_result got = tool_run(ON_SEGMENT, "--json", "watch", "--", wrong[i], NULL);
        tool_assert_failed(&got, 2, wrong[i]);
        tool_free(&got);
    }
}

static void watch_prints_an_object_each_interval(void **state)
{
    struct shm_store *store = segment_open();
    struct tool_running tool;
    (void)state;
    segment_insert_three(store);
    tool_follow(&tool, ON_SEGMENT, "--json", "watch", "0.2", NULL);
    json_object_put(next_sample(&tool));
    uint64_t start = clock_monotonic_ms();
    for (unsigned i = 0; i < 5; i++) {
        struct json_object *object = next_sample(&tool);
        assert_present(object, true);
        assert_int_equal(json_number_field(json_field(object, "segment"), "users"), 3);
        json_object_put(object);
    }
    uint64_t took = clock_monotonic_ms() - start;
    assert_true(took > 500); /* five intervals of 0.2 s; the first sample may be late */
    kill(tool.pid, SIGTERM);
    struct tool_result got = tool_end(&tool);
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.err, "");
    tool_free(&got);
    segment_close();
}

static void watch_tells_how_fast_counters_and_versions_grow(void **state)
{
    static const char *const names[] = {"grpc_server_started_total{m=\"GetUser\"}",
                                        "rosterd_connections_open"};
    struct shm_store *store = segment_open();
    struct shm_counters *counters;
    struct shm_fault fault = {{0}};
    struct shm_actor *actor;
    struct tool_running tool;
    (void)state;
    if (shm_counters_open(&counters, segment_name(), names, 2, &fault) != SHM_OK ||
        shm_actor_join(&actor, store, SHM_ACTOR_WORKER, 0, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    uint64_t *row = shm_counters_row(counters, shm_actor_slot(actor));
    shm_counter_add(&row[0], 1000);
    shm_counter_add(&row[1], 7);
    tool_follow(&tool, ON_SEGMENT, "--json", "watch", "0.3", NULL);
    json_object_put(next_sample(&tool));
    shm_counter_add(&row[0], 3000);
    segment_insert_three(store);
    struct json_object *object = next_sample(&tool);
    struct json_object *calls = json_field(json_field(object, "counters"), names[0]);
    assert_int_equal(json_number_field(calls, "value"), 4000);
    /* 3000 in 0.3 s, or in a longer time on a busy machine */
    assert_true(double_field(calls, "now") > 300 && double_field(calls, "now") <= 10200);
    assert_true(double_field(calls, "avg10") == double_field(calls, "now"));
    struct json_object *open = json_field(json_field(object, "counters"), names[1]);
    assert_true(double_field(open, "now") == 7 && double_field(open, "avg60") == 7);
    double commits = double_field(json_field(object, "commits_per_second"), "now");
    assert_true(commits > 0.3 && commits <= 10.2);
    struct json_object *worker = json_object_array_get_idx(json_field(object, "workers"), 0);
    assert_int_equal(json_number_field(worker, "calls"), 4000);
    assert_int_equal(json_number_field(worker, "connections"), 7);
    assert_true(double_field(worker, "calls_per_second") > 300);
    json_object_put(object);
    object = next_sample(&tool); /* nothing has happened since */
    calls = json_field(json_field(object, "counters"), names[0]);
    assert_true(double_field(calls, "now") == 0 && double_field(calls, "avg10") > 0);
    json_object_put(object);
    kill(tool.pid, SIGINT);
    struct tool_result got = tool_end(&tool);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    shm_actor_leave(actor);
    shm_counters_close(counters);
    segment_close();
}

/* Waits for a sample in which the method has been called `calls` times. */
static struct json_object *sample_of_calls(struct tool_running *tool, const char *method,
                                           uint64_t calls, struct json_object **sample)
{
    for (;;) {
        struct json_object *numbers;
        *sample = next_sample(tool);
        if (json_object_object_get_ex(json_field(*sample, "methods"), method, &numbers) &&
            json_number_field(numbers, "calls") == calls)
            return numbers;
        json_object_put(*sample);
    }
}

static void watch_tells_percentiles_of_the_last_calls_of_a_method(void **state)
{
#define LABELS "{grpc_service=\"a.Users\",grpc_method=\"Get\""
    static const char *const names[] = {
        "grpc_server_started_total" LABELS "}",
        "grpc_server_handled_total" LABELS ",grpc_code=\"OK\"}",
        "grpc_server_handled_total" LABELS ",grpc_code=\"Internal\"}",
        "grpc_server_handling_seconds_bucket" LABELS ",le=\"0.001\"}",
        "grpc_server_handling_seconds_bucket" LABELS ",le=\"0.01\"}",
        "grpc_server_handling_seconds_bucket" LABELS ",le=\"+Inf\"}",
    };
    static const uint64_t before[] = {1000, 1000, 0, 0, 0, 1000}; /* long ago, and slow */
    static const uint64_t last[] = {100, 90, 10, 50, 98, 100};
    struct shm_store *store = segment_open();
    struct shm_counters *counters;
    struct shm_fault fault = {{0}};
    struct tool_running tool;
    struct json_object *sample;
    (void)state;
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    if (shm_counters_open(&counters, segment_name(), names, 6, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    uint64_t *row = shm_counters_row(counters, shm_actor_slot(actor));
    for (size_t i = 0; i < 6; i++)
        shm_counter_add(&row[i], before[i]);
    tool_follow(&tool, ON_SEGMENT, "--json", "watch", "0.1", NULL);
    struct json_object *get = sample_of_calls(&tool, "Users/Get", 1000, &sample);
    assert_int_equal(json_number_field(get, "recent_calls"), 0);
    assert_false(json_object_object_get_ex(get, "p50_ms", NULL));
    json_object_put(sample);
    for (size_t i = 6; i-- > 0;) /* the calls come last, so that a sample that has them has all */
        shm_counter_add(&row[i], last[i]);
    get = sample_of_calls(&tool, "Users/Get", 1100, &sample);
    assert_int_equal(json_number_field(get, "recent_calls"), 100);
    assert_int_equal(json_number_field(get, "recent_errors"), 10);
    assert_int_equal(json_number_field(get, "errors"), 10);
    assert_true(double_field(get, "p50_ms") == 1);
    assert_true(double_field(get, "p90_ms") > 8 && double_field(get, "p90_ms") < 9);
    assert_true(double_field(get, "p99_ms") == 10); /* or longer: the last bound */
    json_object_put(sample);
    kill(tool.pid, SIGTERM);
    struct tool_result got = tool_end(&tool);
    tool_free(&got);
    shm_actor_leave(actor);
    shm_counters_close(counters);
    segment_close();
}

static void watch_tells_the_cpu_and_memory_of_a_process(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    struct tool_running tool;
    (void)state;
    tool_follow(&tool, ON_SEGMENT, "--json", "watch", "0.1", NULL);
    json_object_put(next_sample(&tool));
    double cpu = 0;
    while (cpu < 1) { /* this process is the worker, and busy */
        uint64_t until = clock_monotonic_ms() + 50;
        while (clock_monotonic_ms() < until)
            ;
        struct json_object *sample = next_sample(&tool);
        struct json_object *worker = json_object_array_get_idx(json_field(sample, "workers"), 0);
        cpu = double_field(worker, "cpu_percent");
        assert_true(cpu >= 0);
        assert_true(json_number_field(worker, "memory_bytes") > 4096);
        json_object_put(sample);
    }
    kill(tool.pid, SIGTERM);
    struct tool_result got = tool_end(&tool);
    tool_free(&got);
    shm_actor_leave(actor);
    segment_close();
}

static void watch_goes_on_with_the_next_segment(void **state)
{
    struct tool_running tool;
    struct json_object *object;
    (void)state;
    segment_insert_three(segment_open());
    tool_follow(&tool, ON_SEGMENT, "--json", "watch", "0.1", NULL);
    object = next_sample(&tool);
    assert_present(object, true);
    json_object_put(object);
    segment_close();
    do { /* the server has ended, the segment is still there */
        object = next_sample(&tool);
        assert_present(object, true);
        bool owned = json_object_get_boolean(json_field(json_field(object, "segment"), "owned"));
        json_object_put(object);
        if (!owned)
            break;
    } while (true);
    segment_remove();
    bool present;
    do {
        object = next_sample(&tool);
        present = json_object_get_boolean(json_field(object, "present"));
        if (!present)
            assert_non_null(strstr(json_string_field(object, "reason"), segment_name()));
        json_object_put(object);
    } while (present);
    segment_open();
    do {
        object = next_sample(&tool);
        present = json_object_get_boolean(json_field(object, "present"));
        if (present)
            assert_int_equal(json_number_field(json_field(object, "segment"), "users"), 0);
        json_object_put(object);
    } while (!present);
    kill(tool.pid, SIGTERM);
    struct tool_result got = tool_end(&tool);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    segment_close();
}

static void watch_ends_when_nobody_reads_it_any_more(void **state)
{
    struct tool_running tool;
    (void)state;
    segment_open();
    tool_follow(&tool, ON_SEGMENT, "--json", "watch", "3600", NULL);
    json_object_put(next_sample(&tool));
    fclose(tool.out);
    tool.out = NULL;
    struct tool_result got = tool_end(&tool);
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.err, "");
    tool_free(&got);
    segment_close();
}

int main(void)
{
#define BARE(test) cmocka_unit_test_teardown(test, segment_teardown)
    const struct CMUnitTest tests[] = {
        BARE(watch_without_a_terminal_is_refused),
        BARE(an_interval_out_of_bounds_is_refused),
        BARE(watch_prints_an_object_each_interval),
        BARE(watch_tells_how_fast_counters_and_versions_grow),
        BARE(watch_tells_percentiles_of_the_last_calls_of_a_method),
        BARE(watch_tells_the_cpu_and_memory_of_a_process),
        BARE(watch_goes_on_with_the_next_segment),
        BARE(watch_ends_when_nobody_reads_it_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
