/* SPDX-License-Identifier: MIT */
/* Wrong usage, and the commands on the segment as a whole: status, verify, stats, unlink. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "shm/core/layout.h"
#include "shm/counters.h"
#include "tests/inspect/tool.h"
#include "user/user.h"

/* ---- failures before a command runs ---- */

static void a_missing_segment_ends_every_command_with_3(void **state)
{
    static const char *const commands[][2] = {
        {"status"}, {"list"},    {"get", ID_1}, {"verify"}, {"stats"},
        {"unlink"}, {"workers"}, {"readers"},   {"tail"},   {"watch", "--json"}};
    (void)state;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct tool_result got = tool_run(ON_SEGMENT, commands[i][0], commands[i][1], NULL);
        tool_assert_failed(&got, 3, segment_name());
        assert_string_equal(got.out, "");
        tool_free(&got);
    }
}

static void wrong_usage_is_named_and_ends_with_2(void **state)
{
    static const struct {
        const char *args[4], *what;
    } cases[] = {
        {{NULL}, "command is missing"},
        {{"frobnicate"}, "frobnicate"},
        {{"--frob", "status"}, "--frob"},
        {{"--frob=1", "status"}, "--frob"},
        {{"-x", "status"}, "-x"},
        {{"--json", "-x", "status"}, "-x"},
        {{"--json=yes", "status"}, "--json"},
        {{"status", "--segment"}, "--segment"},
        {{"status", "extra"}, "extra"},
        {{"get"}, "USER is missing"},
        {{"find"}, "USER is missing"},
        {{"find", "--filter", "disabled", "x"}, "unexpected argument: x"},
        {{"find", "--filter=disabled", "--username", "ada"}, "exclude each other"},
        {{"find", ID_1, "--limit", "1"}, "--limit needs --filter"},
        {{"find", "--filter", "disabled ="}, "--filter: "},
        {{"update", ID_1}, "update: nothing is to be changed"},
        {{"update", ID_1, "--disable", "--enable"}, "exclude each other"},
        {{"update", ID_1, "--if-etag", "\"1\""}, "update: nothing is to be changed"},
        {{"update", "--enable", ID_1, "--if-etag=x"}, "--if-etag: it is not an etag"},
        {{"update", "--enable", ID_1, "--if-etag=00000000000000000001"}, "--if-etag"},
        {{"update", "--label", "team"}, "USER is missing"},
        {{"update", "--label", "team", ID_1}, "--label team: it is not KEY=VALUE"},
        {{"update", "--label", "-x=y", ID_1}, "labels"},
        {{"update", "--label", "x=a\nb", ID_1}, "labels"},
        {{"update", "--label", "x=\xFF", ID_1}, "the value of a label is not UTF-8"},
        {{"update", "--remove-label", "x y", ID_1}, "labels"},
        {{"update", "--username", "", ID_1}, "username is required"},
        {{"update", "--username", "\xFF", ID_1}, "username is not UTF-8"},
        {{"update", "--email", "\xFF@a", ID_1}, "email is not UTF-8"},
        {{"update", "--email", "a", ID_1}, "email must have one @"},
        {{"update", "--roles", "a,a", ID_1}, "update: role \"a\": a role is named twice"},
        {{"disable"}, "USER is missing"},
        {{"disable", "--roles", "x", ID_1}, "an option that sets a field of a user cannot be used"},
        {{"create", "--enable"}, "an option that changes a user cannot be used with create"},
        {{"create", "--email", "x"}, "create: --username is missing"},
        {{"create", "username"}, "create: unexpected argument: username"},
        {{"list", "--with-secrets"}, "--with-secrets cannot be used with list"},
        {{"get", ID_1, ID_2}, ID_2},
        {{"get", "--username"}, "--username needs a value"},
        {{"get", ID_1, "--username", "ada"}, ID_1},
        {{"list", "--username", "ada"}, "--username cannot be used with list"},
        {{"list", "--limit", "ten"}, "--limit: ten"},
        {{"list", "--limit", "-1"}, "--limit: -1"},
        {{"list", "--limit", ""}, "--limit"},
        {{"list", "--after", "1x"}, "--after: 1x"},
        {{"list", "--after", "18446744073709551616"}, "--after"},
        {{"status", "--limit", "1"}, "--limit cannot be used with status"},
        {{"list", "--all"}, "--all cannot be used with list"},
        {{"--segment", "no-slash", "status"}, "no-slash"},
        {{"--segment", "/a/b/c", "status"}, "/a/b"},
        {{"--segment", "", "status"}, "segment"},
        {{"bad\n\x1B[2Jcommand"}, "bad\\n\\x1b[2Jcommand"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const *args = cases[i].args;
        struct tool_result got = tool_run(args[0], args[1], args[2], args[3], NULL);
        tool_assert_failed(&got, 2, cases[i].what);
        assert_string_equal(got.out, "");
        tool_free(&got);
    }
}

static void other_segment_is_named_where_one_is_missing(void **state)
{
    (void)state;
    segment_open();
    struct tool_result got = tool_run("--segment", "/rosterd-of-nobody", "status", NULL);
    tool_assert_failed(&got, 3, "segment /rosterd-of-nobody: no such segment; there is /rosterd-");
    tool_assert_failed(&got, 3, ": name it by --segment");
    tool_free(&got);
}

/* Whoever can make a file in /dev/shm could lead others to it. */
static void segment_of_another_user_is_not_offered(void **state)
{
    char path[128];
    (void)state;
    if (geteuid() != 0) /* only root can make one */
        skip();
    segment_open();
    snprintf(path, sizeof(path), "/dev/shm%s", segment_name());
    assert_int_equal(chown(path, 12345, 12345), 0);
    struct tool_result got = tool_run("--segment", "/rosterd-of-nobody", "status", NULL);
    tool_assert_failed(&got, 3, "segment /rosterd-of-nobody: no such segment");
    assert_null(strstr(got.err, segment_name()));
    tool_free(&got);
}

static void help_and_version_need_no_segment(void **state)
{
    struct tool_result help = tool_run("--help", NULL), version = tool_run("--version", NULL);
    (void)state;
    assert_int_equal(help.exit, 0);
    assert_string_equal(help.err, "");
    for (const char *const *word =
             (const char *const[]){
                 "status",  "list",       "get",       "verify",         "stats",
                 "unlink",  "workers",    "readers",   "watch",          "tail",
                 "--from",  "--username", "--segment", "--json",         "--limit",
                 "--after", "--all",      "find",      "create",         "update",
                 "disable", "enable",     "--filter",  "--with-secrets", NULL};
         *word != NULL; word++)
        assert_non_null(strstr(help.out, *word));
    assert_int_equal(version.exit, 0);
    assert_memory_equal(version.out, "shm-inspect ", 12);
    tool_free(&help);
    tool_free(&version);
}

static void what_is_no_segment_ends_with_4(void **state)
{
    char path[128];
    static const char zeros[65536];
    static const size_t sizes[] = {0, 1, 4096, sizeof(zeros)};
    (void)state;
    snprintf(path, sizeof(path), "/dev/shm%s", segment_name());
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, zeros, sizes[i]), sizes[i]);
        close(fd);
        struct tool_result got = tool_run(ON_SEGMENT, "status", NULL);
        tool_assert_failed(&got, 4, segment_name());
        tool_free(&got);
        got = tool_run(ON_SEGMENT, "backup", "/tmp/never-made", NULL);
        tool_assert_failed(&got, 4, "with --data-file PATH it is not needed");
        tool_free(&got);
    }
}

/* ---- status ---- */

static void status_tells_a_live_server_from_a_dead_one(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    for (int live = 1; live >= 0; live--) {
        struct tool_result text = tool_run(ON_SEGMENT, "status", NULL);
        assert_int_equal(text.exit, 0);
        assert_non_null(strstr(text.out, segment_name()));
        assert_non_null(
            strstr(text.out, live ? "server          attached\n" : "server          none\n"));
        assert_non_null(strstr(text.out, "users           3 of at most 100000\n"));
        tool_free(&text);

        struct tool_result json = tool_run(ON_SEGMENT, "--json", "status", NULL);
        assert_int_equal(json.exit, 0);
        struct json_object *object = json_parse(json.out);
        assert_string_equal(json_string_field(object, "name"), segment_name());
        assert_int_equal(json_object_get_type(json_field(object, "owned")), json_type_boolean);
        assert_int_equal(json_object_get_boolean(json_field(object, "owned")), live);
        assert_int_equal(json_number_field(object, "users"), 3);
        assert_int_equal(json_number_field(object, "max_users"), 100000);
        assert_true(json_number_field(object, "version") >= 3);
        assert_true(json_number_field(object, "buckets") > 0);
        assert_true(json_number_field(object, "created_at") > 1700000000);
        assert_true(json_number_field(object, "bytes_used") > 0);
        assert_true(json_number_field(object, "bytes_mapped") >=
                    json_number_field(object, "bytes_used"));
        assert_true(json_number_field(object, "bytes_reserved") >=
                    json_number_field(object, "bytes_mapped"));
        assert_int_equal(json_number_field(object, "actors"), 0);
        json_object_put(object);
        tool_free(&json);
        if (live)
            segment_close();
    }
}

/* ---- verify ---- */

static void verify_of_a_whole_segment_ends_with_0(void **state)
{
    struct tool_result text = tool_run(ON_SEGMENT, "verify", NULL);
    struct tool_result json = tool_run(ON_SEGMENT, "--json", "verify", NULL);
    (void)state;
    assert_string_equal(text.err, "");
    assert_int_equal(text.exit, 0);
    assert_memory_equal(text.out, "3 users, 3 bodies, ", 19);
    assert_non_null(strstr(text.out, ": 0 faults\n"));
    assert_int_equal(json.exit, 0);
    struct json_object *object = json_parse(json.out);
    assert_int_equal(json_number_field(object, "users"), 3);
    assert_int_equal(json_number_field(object, "faults"), 0);
    assert_int_equal(json_object_array_length(json_field(object, "fault_lines")), 0);
    json_object_put(object);
    tool_free(&text);
    tool_free(&json);
}

/* Flips a bit of the stored username `needle`. */
static void damage(const char *needle)
{
    char path[128];
    struct stat info;
    snprintf(path, sizeof(path), "/dev/shm%s", segment_name());
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &info), 0);
    /* Searches a copy: reading the holes of the file through a mapping would allocate memory. */
    char *copy = malloc((size_t)info.st_size);
    assert_non_null(copy);
    assert_int_equal(pread(fd, copy, (size_t)info.st_size, 0), info.st_size);
    char *found = memmem(copy, (size_t)info.st_size, needle, strlen(needle));
    assert_non_null(found);
    char flipped = (char)(*found ^ 1);
    assert_int_equal(pwrite(fd, &flipped, 1, found - copy), 1);
    free(copy);
    close(fd);
}

static void verify_of_a_damaged_body_ends_with_1(void **state)
{
    (void)state;
    damage("ada@example.org");
    struct tool_result text = tool_run(ON_SEGMENT, "verify", NULL);
    struct tool_result json = tool_run(ON_SEGMENT, "--json", "verify", NULL);
    tool_assert_failed(&text, 1, segment_name());
    assert_null(strstr(text.out, ": 0 faults\n"));
    tool_assert_failed(&json, 1, segment_name());
    struct json_object *object = json_parse(json.out);
    assert_true(json_number_field(object, "faults") > 0);
    assert_int_equal(json_object_array_length(json_field(object, "fault_lines")),
                     json_number_field(object, "faults"));
    json_object_put(object);
    tool_free(&text);
    tool_free(&json);
}

/* Returns a wrong key for users that are in the segment, so that an insert finds no conflict. */
static uint32_t lying_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    uint64_t at = (uint64_t)(uintptr_t)body;
    uint32_t len = user_key_of(key, body, body_len, out);
    if (len > 0 && at >= SHM_BASE && at < SHM_BASE + (UINT64_C(1) << 30))
        out[0] ^= 1;
    return len;
}

static void verify_names_two_users_with_one_email(void **state)
{
    (void)state;
    Userservice__User ada = user_make(BYTES("ada"), BYTES("ada@example.org"), 1700000000);
    Userservice__User bob = user_make(BYTES("bob"), BYTES("ada@EXAMPLE.org"), 1700000001);
    struct shm_store *store = segment_open_as((struct shm_config){.size = UINT64_C(1) << 30,
                                                                  .max_users = 10000,
                                                                  .unique = 1u << USER_KEY_EMAIL,
                                                                  .key_of = lying_key_of});
    segment_insert(store, 1, &ada);
    segment_insert(store, 2, &bob);
    segment_close();
    struct tool_result got = tool_run(ON_SEGMENT, "verify", NULL);
    tool_assert_failed(&got, 1, segment_name());
    assert_non_null(strstr(got.out, "unique index 1: users 1 and 2 have the same key 1\n"));
    tool_free(&got);
}

/* ---- stats ---- */

static void raw_stats_sum_the_counters(void **state)
{
    static const char *const names[] = {"calls{code=\"OK\"}", "idle", "big"};
    struct shm_counters *counters;
    struct shm_fault fault = {{0}};
    (void)state;
    segment_open();
    if (shm_counters_open(&counters, segment_name(), names, 3, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    shm_counter_add(&shm_counters_row(counters, 0)[0], 2);
    shm_counter_add(&shm_counters_row(counters, 7)[0], 5);
    shm_counter_add(&shm_counters_row(counters, 7)[2], UINT64_MAX);
    struct tool_result text = tool_run(ON_SEGMENT, "stats", "--raw", NULL);
    struct tool_result all = tool_run(ON_SEGMENT, "stats", "--raw", "--all", NULL);
    struct tool_result json = tool_run(ON_SEGMENT, "--json", "stats", NULL);
    assert_int_equal(text.exit, 0);
    assert_string_equal(text.out, "                   7  calls{code=\"OK\"}\n"
                                  "18446744073709551615  big\n");
    assert_string_equal(all.out, "                   7  calls{code=\"OK\"}\n"
                                 "                   0  idle\n"
                                 "18446744073709551615  big\n");
    assert_int_equal(json.exit, 0);
    assert_string_equal(json.out,
                        "{\"calls{code=\\\"OK\\\"}\":7,\"idle\":0,\"big\":18446744073709551615}\n");
    tool_free(&text);
    tool_free(&all);
    tool_free(&json);
    shm_counters_close(counters);
    segment_close();
}

#define METHOD(service, method, more)                                                              \
    "{grpc_type=\"unary\",grpc_service=\"" service "\",grpc_method=\"" method "\"" more "}"
#define TIMES "grpc_server_handling_seconds_bucket"

static struct shm_counters *open_counters(const char *const *names, const uint64_t *values,
                                          size_t count)
{
    struct shm_counters *counters;
    struct shm_fault fault = {{0}};
    segment_open();
    if (shm_counters_open(&counters, segment_name(), names, count, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    for (size_t i = 0; i < count; i++)
        shm_counter_add(&shm_counters_row(counters, 3)[i], values[i]);
    return counters;
}

/* Runs stats and asserts all that it prints. */
static void assert_stats(const char *expected, const char *option)
{
    struct tool_result got = tool_run(ON_SEGMENT, "stats", option, NULL);
    assert_string_equal(got.err, "");
    assert_string_equal(got.out, expected);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
}

static void stats_put_the_counters_of_a_method_together(void **state)
{
    static const char *const names[] = {
        "grpc_server_started_total" METHOD("a.UserService", "GetUser", ""),
        "grpc_server_handled_total" METHOD("a.UserService", "GetUser", ",grpc_code=\"OK\""),
        "grpc_server_handled_total" METHOD("a.UserService", "GetUser", ",grpc_code=\"NotFound\""),
        TIMES METHOD("a.UserService", "GetUser", ",le=\"0.001\""),
        TIMES METHOD("a.UserService", "GetUser", ",le=\"0.002\""),
        TIMES METHOD("a.UserService", "GetUser", ",le=\"+Inf\""),
        "grpc_server_started_total" METHOD("a.UserService", "ListUsers", ""),
        "grpc_server_started_total" METHOD("r.v1.Reflection", "ReflectionInfo", ""),
        "grpc_server_started_total" METHOD("r.v2.Reflection", "ReflectionInfo", ""),
    };
    static const uint64_t values[] = {1001, 990, 10, 500, 990, 1000, 0, 1, 2};
    struct shm_counters *counters = open_counters(names, values, 9);
    (void)state;
    assert_stats("method                  calls  errors  p50 ms  p90 ms  p99 ms   p99.9\n"
                 "UserService/GetUser      1001      10   1.000   1.816   2.000      >2\n"
                 "v1/ReflectionInfo           1       0       -       -       -       -\n"
                 "v2/ReflectionInfo           2       0       -       -       -       -\n"
                 "\n"
                 "calls         1004 begun, 1000 ended, 10 errors (1.00 %)\n"
                 "errors        NotFound 10\n",
                 NULL);
    struct tool_result all = tool_run(ON_SEGMENT, "stats", "--all", NULL);
    assert_non_null(strstr(all.out, "UserService/ListUsers         0       0       -"));
    tool_free(&all);
    shm_counters_close(counters);
    segment_close();
}

static void stats_tell_what_went_wrong(void **state)
{
    static const char *const names[] = {
        "grpc_server_started_total" METHOD("a.UserService", "GetUser", ""),
        "rosterd_connections_open",
        "rosterd_received_bytes_total",
        "rosterd_worker_deaths_total",
        "rosterd_journal_deaths_total",
        "rosterd_limits_hit_total{limit=\"pings\"}",
        "rosterd_limits_hit_total{limit=\"resets\"}",
        "rosterd_limits_hit_total{limit=\"\x1b[2J\"}",
        "rosterd_journal_fsync_seconds_bucket{le=\"0.01\"}",
        "rosterd_journal_fsync_seconds_bucket{le=\"+Inf\"}",
    };
    static const uint64_t values[] = {1, 2, 2048, 3, 0, 4, 0, 5, 100, 100};
    struct shm_counters *counters = open_counters(names, values, 10);
    (void)state;
    assert_stats("method                  calls  errors  p50 ms  p90 ms  p99 ms   p99.9\n"
                 "UserService/GetUser         1       0       -       -       -       -\n"
                 "\n"
                 "calls         1 begun, 0 ended, 0 errors\n"
                 "limits hit    pings 4, \\x1b[2J 5\n"
                 "disk syncs    100, p50 5.000 ms, p99 9.900 ms\n"
                 "connections   2 open, 2.0 KiB received\n"
                 "failures      3 deaths of workers\n",
                 NULL);
    shm_counters_close(counters);
    segment_close();
}

static void stats_without_calls_say_so(void **state)
{
    static const char *const names[] = {"rosterd_connections_open"};
    static const uint64_t values[] = {0};
    struct shm_counters *counters = open_counters(names, values, 1);
    (void)state;
    assert_stats("no calls yet\n\n", NULL);
    shm_counters_close(counters);
    segment_close();
}

/* ---- unlink ---- */

static void unlink_is_refused_under_a_live_server(void **state)
{
    (void)state;
    segment_open();
    struct tool_result got = tool_run(ON_SEGMENT, "unlink", NULL);
    tool_assert_failed(&got, 1, segment_name());
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "status", NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    segment_close();
}

static void unlink_removes_a_dead_servers_segment(void **state)
{
    (void)state;
    for (int json = 0; json <= 1; json++) {
        segment_open();
        segment_close();
        struct tool_result got = tool_run(ON_SEGMENT, "unlink", json ? "--json" : NULL, NULL);
        assert_int_equal(got.exit, 0);
        assert_string_equal(got.err, "");
        if (json) {
            struct json_object *object = json_parse(got.out);
            assert_string_equal(json_string_field(object, "unlinked"), segment_name());
            json_object_put(object);
        } else {
            assert_non_null(strstr(got.out, segment_name()));
        }
        tool_free(&got);
        got = tool_run(ON_SEGMENT, "status", NULL);
        assert_int_equal(got.exit, 3);
        tool_free(&got);
    }
}

int main(void)
{
#define BARE(test)     cmocka_unit_test_teardown(test, segment_teardown)
#define ON_THREE(test) cmocka_unit_test_setup_teardown(test, segment_setup_three, segment_teardown)
    const struct CMUnitTest tests[] = {
        BARE(a_missing_segment_ends_every_command_with_3),
        BARE(wrong_usage_is_named_and_ends_with_2),
        BARE(other_segment_is_named_where_one_is_missing),
        BARE(segment_of_another_user_is_not_offered),
        BARE(help_and_version_need_no_segment),
        BARE(what_is_no_segment_ends_with_4),
        BARE(status_tells_a_live_server_from_a_dead_one),
        ON_THREE(verify_of_a_whole_segment_ends_with_0),
        ON_THREE(verify_of_a_damaged_body_ends_with_1),
        BARE(verify_names_two_users_with_one_email),
        BARE(raw_stats_sum_the_counters),
        BARE(stats_put_the_counters_of_a_method_together),
        BARE(stats_tell_what_went_wrong),
        BARE(stats_without_calls_say_so),
        BARE(unlink_is_refused_under_a_live_server),
        BARE(unlink_removes_a_dead_servers_segment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
