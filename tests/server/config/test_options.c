/* SPDX-License-Identifier: MIT */
/* The command line: what is read, what is refused and how; defaults, --help, units. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/units.h"
#include "server/config/option_print.h"
#include "server/config/option_values.h"
#include "server/config/options_parse.h"
#include "server/os/cpus.h"
#include "server/os/log.h"
#include "shm/store.h"
#include "user/segment_place.h"

#define TEXT_OF(x)    #x
#define TEXT(x)       TEXT_OF(x)
#define SIZE_MAX_TEXT TEXT(SHM_SIZE_MAX_GIB) "G"

static struct options options;
static struct fault fault;

/* Parses these arguments; a NULL ends them. */
static bool parse(const char *first, ...)
{
    char *argv[80] = {(char *)"rosterd"};
    int argc = 1;
    va_list args;
    va_start(args, first);
    for (const char *arg = first; arg != NULL; arg = va_arg(args, const char *))
        argv[argc++] = (char *)arg;
    va_end(args);
    fault.text[0] = '\0';
    options_free(&options);
    return options_parse(&options, argc, argv, &fault);
}

static void assert_refused(const char *argument, const char *expected)
{
    assert_false(parse(argument, NULL));
    assert_string_equal(fault.text, expected);
}

static void defaults_are_those_of_the_manual(void **state)
{
    (void)state;
    assert_true(parse(NULL));
    assert_int_equal(options.listen.count, 2);
    assert_true(options.default_listen);
    assert_string_equal(options.listen.all[0].text, "127.0.0.1:50051");
    assert_string_equal(options.listen.all[1].text, "[::1]:50051");
    assert_int_equal(options.workers, cpus_usable(""));
    char segment[SEGMENT_NAME_SIZE];
    segment_of_this_server(segment);
    assert_string_equal(options.segment, segment);
    assert_int_equal(options.segment_size, UINT64_C(16) << 30);
    assert_int_equal(options.max_users, 1000000);
    assert_int_equal(options.unique, 0);
    assert_int_equal(options.snapshot_max_age, 600000);
    assert_int_equal(options.snapshot_max_bytes, 256 << 20);
    assert_int_equal(options.max_message_size, 4 << 20);
    assert_int_equal(options.max_header_size, 8192);
    assert_int_equal(options.max_concurrent_streams, 1024);
    assert_int_equal(options.drain_timeout, 30000);
    assert_int_equal(options.password_memory, 19 << 20);
    assert_int_equal(options.password_passes, 2);
    assert_int_equal(options.password_queue, 256);
    assert_int_equal(options.password_tries, 10);
    assert_int_equal(options.password_tries_of_address, 100);
    assert_int_equal(options.password_tries_window, 600000);
    assert_false(options.store_passwords);
    assert_int_equal(options.watch_bookmark, 10000);
    assert_int_equal(options.max_watches, 1024);
    assert_int_equal(options.log_level, LOG_LEVEL_INFO);
}

/* A service of the system has a directory that no other user may write. */
static void segment_is_that_of_the_service_or_of_the_user(void **state)
{
    char own[SEGMENT_NAME_SIZE], mine[SEGMENT_NAME_SIZE];
    (void)state;
    segment_of_this_user(own);
    snprintf(mine, sizeof(mine), "/rosterd-%u", (unsigned)geteuid());
    assert_string_equal(own, mine);
    setenv("STATE_DIRECTORY", "/var/lib/rosterd", 1);
    static const char *const names[] = {NULL, "/rosterd/users", "/rosterd"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(i == 0 ? parse(NULL) : parse("--segment", names[i], NULL));
        assert_string_equal(options.segment, "/rosterd/users");
        assert_true(options_have_default_segment(&options));
        assert_string_equal(options_data_file(&options), "/var/lib/rosterd/rosterd.db");
    }
    assert_true(parse("--segment", "/other", NULL));
    assert_false(options_have_default_segment(&options));
    unsetenv("STATE_DIRECTORY");
    assert_true(parse(NULL));
    segment_of_this_server(own); /* of root, and of the service's user: the service's */
    assert_string_equal(options.segment, own);
    assert_true(geteuid() != 0 || strcmp(own, SEGMENT_OF_SERVICE) == 0);
}

static void data_file_has_a_default_that_follows_from_the_segment(void **state)
{
    (void)state;
    setenv("STATE_DIRECTORY", "/state/one:/state/two", 1);
    assert_true(parse(NULL));
    assert_string_equal(options_data_file(&options), "/state/one/rosterd.db");
    assert_true(parse("--segment", "/other", NULL));
    assert_string_equal(options_data_file(&options), "/state/one/other.db");
    assert_true(parse("--segment", "/team/other", NULL));
    assert_string_equal(options_data_file(&options), "/state/one/team-other.db");
    assert_true(parse("--segment", "/rosterd", NULL)); /* the default before */
    assert_string_equal(options_data_file(&options), "/state/one/rosterd.db");
    assert_true(parse("--segment", "/other", "--data-file", "here.db", NULL));
    assert_string_equal(options_data_file(&options), "here.db");
    assert_true(parse("--data-file", "none", NULL));
    assert_null(options_data_file(&options));
    unsetenv("STATE_DIRECTORY");
}

/* Only a user that is not root has a file at home. */
static void data_file_of_root_is_the_systems(void **state)
{
    (void)state;
    setenv("XDG_STATE_HOME", "/home/ada/state", 1);
    assert_true(parse(NULL));
    assert_string_equal(options_data_file(&options), geteuid() == 0
                                                         ? "/var/lib/rosterd/rosterd.db"
                                                         : "/home/ada/state/rosterd/rosterd.db");
    unsetenv("XDG_STATE_HOME");
}

static void durability_is_a_word_or_an_interval(void **state)
{
    char text[64];
    const struct option *option = option_find("durability", strlen("durability"));
    (void)state;
    assert_true(parse(NULL));
    assert_int_equal(options.durability, OPTIONS_SYNC);
    assert_true(parse("--durability", "none", NULL));
    assert_int_equal(options.durability, OPTIONS_NO_SYNC);
    assert_true(parse("--durability", "interval 2s", NULL));
    assert_int_equal(options.durability, 2000);
    assert_true(parse("--durability=interval:100ms", NULL));
    assert_int_equal(options.durability, 100);
    option_format(option, &options, 0, text, sizeof(text));
    assert_string_equal(text, "interval:100ms");
    assert_false(parse("--durability=interval:0", NULL));
    assert_false(parse("--durability=intervals", NULL));
    assert_false(parse("--durability=100ms", NULL));
    assert_non_null(strstr(fault.text, "sync, none, or interval:TIME"));
}

static void value_follows_or_is_joined_by_an_equals_sign(void **state)
{
    (void)state;
    assert_true(parse("--workers", "3", "--segment=/a=b", "--log-level", "debug", NULL));
    assert_int_equal(options.workers, 3);
    assert_string_equal(options.segment, "/a=b");
    assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
}

static void address_for_both_families_leaves_ipv4_to_its_own(void **state)
{
    (void)state;
    assert_true(
        parse("--listen=[::]:80", "--listen=unix:/run/r.sock", "--listen=127.0.0.1:81", NULL));
    assert_false(options.listen.all[0].six_only);
    assert_true(parse("--listen=[::]:80", "--listen=0.0.0.0:80", "--listen=[::]:81", NULL));
    assert_true(options.listen.all[0].six_only);
    assert_false(options.listen.all[2].six_only);
    assert_true(parse("--listen=[::]:80", "--metrics-listen=127.0.0.1:80", NULL));
    assert_true(options.listen.all[0].six_only);
    assert_true(parse("--metrics-listen=[::]:80", "--listen=127.0.0.1:80", NULL));
    assert_true(options.metrics_listen.all[0].six_only);
    assert_true(parse("--listen=[::]:0", "--listen=127.0.0.1:0", NULL));
    assert_false(options.listen.all[0].six_only);
    assert_true(parse("--listen=[::]:80,ipv6only=off", "--listen=127.0.0.1:80", NULL));
    assert_false(options.listen.all[0].six_only); /* its text decides */
}

static void last_value_counts_but_listen_adds(void **state)
{
    (void)state;
    assert_true(parse("--workers=3", "--workers=4", "--listen=127.0.0.1:0",
                      "--listen=unix:/run/r.sock", NULL));
    assert_int_equal(options.workers, 4);
    assert_int_equal(options.listen.count, 2);
    assert_false(options.default_listen);
    assert_string_equal(options.listen.all[1].text, "unix:/run/r.sock");
}

static void unknown_option_is_named(void **state)
{
    (void)state;
    assert_refused("--tls-kay",
                   "unknown option '--tls-kay'; is it --tls-key? (see rosterd --help)");
    assert_refused("--tls-kay=/etc/key",
                   "unknown option '--tls-kay'; is it --tls-key? (see rosterd --help)");
    assert_refused("--worker=3",
                   "unknown option '--worker'; is it --workers? (see rosterd --help)");
    assert_refused("--workersx=3",
                   "unknown option '--workersx'; is it --workers? (see rosterd --help)");
    assert_refused("--", "unknown option '--' (see rosterd --help)");
    assert_refused("--=3", "unknown option '--' (see rosterd --help)");
    assert_refused("-w", "unknown option '-w' (see rosterd --help)");
    assert_refused("-workers=1", "unknown option '-workers' (see rosterd --help)");
    assert_refused("run", "unexpected argument 'run' (see rosterd --help)");
    assert_refused("", "unexpected argument '' (see rosterd --help)");
}

static void missing_value_is_told(void **state)
{
    (void)state;
    assert_refused("--workers", "workers: needs a value");
    assert_refused("--reload", "reload: needs a value: the process id of the server's master");
}

static void bad_count_names_option_value_and_what_is_expected(void **state)
{
    (void)state;
    assert_refused("--workers=0", "workers: '0' is not a whole number from 1 to 512");
    assert_refused("--workers=513", "workers: '513' is not a whole number from 1 to 512");
    assert_refused("--workers=two", "workers: 'two' is not a whole number from 1 to 512");
    assert_refused("--workers=-1", "workers: '-1' is not a whole number from 1 to 512");
    assert_refused("--workers=", "workers: '' is not a whole number from 1 to 512");
    assert_refused("--workers=1 ", "workers: '1 ' is not a whole number from 1 to 512");
    assert_true(parse("--max-users=2M", NULL));
    assert_int_equal(options.max_users, 2000000);
    assert_true(parse("--max-users=64K", NULL));
    assert_int_equal(options.max_users, 64000);
    assert_refused("--max-users=5G", "max-users: '5G' is not a whole number from 1 to 4294967295");
    assert_refused("--max-users=1k", "max-users: '1k' is not a whole number from 1 to 4294967295");
    assert_refused("--max-users=0", "max-users: '0' is not a whole number from 1 to 4294967295");
    assert_refused("--max-users=99999999999999999999",
                   "max-users: '99999999999999999999' is not a whole number from 1 to 4294967295");
    assert_refused("--max-concurrent-streams=0",
                   "max-concurrent-streams: '0' is not a whole number from 1 to 1000000");
}

static void bad_size_and_time_say_how_to_write_one(void **state)
{
    (void)state;
    assert_refused("--segment-size=huge", "segment-size: 'huge' is not a size such as 64K, 4M or "
                                          "16G, from 16M to " SIZE_MAX_TEXT);
    assert_refused("--segment-size=385G", "segment-size: '385G' is not a size such as 64K, 4M or "
                                          "16G, from 16M to " SIZE_MAX_TEXT);
    assert_refused("--max-message-size=2G", "max-message-size: '2G' is not a size such as 64K, 4M "
                                            "or 16G, from 1K to 1G");
    assert_refused("--max-header-size=1", "max-header-size: '1' is not a size such as 64K, 4M or "
                                          "16G, from 1K to 1M");
    assert_refused("--snapshot-max-bytes=1K", "snapshot-max-bytes: '1K' is not a size such as 64K, "
                                              "4M or 16G, from 1M to 1T");
    assert_refused("--snapshot-max-age=500ms", "snapshot-max-age: '500ms' is not a time such as "
                                               "500ms, 30s or 5m, from 1s to 1d");
    assert_refused("--drain-timeout=soon", "drain-timeout: 'soon' is not a time such as 500ms, "
                                           "30s or 5m, from 0 to 1d");
}

static void some_names_stand_for_two_addresses(void **state)
{
    static const struct {
        const char *argument, *four, *six;
    } cases[] = {{"--listen=localhost:7000", "127.0.0.1:7000", "[::1]:7000"},
                 {"--listen=:7000", "0.0.0.0:7000", "[::]:7000"},
                 {"--listen=*:0", "0.0.0.0:0", "[::]:0"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(parse(cases[i].argument, NULL));
        assert_int_equal(options.listen.count, 2);
        assert_string_equal(options.listen.all[0].text, cases[i].four);
        assert_string_equal(options.listen.all[1].text, cases[i].six);
        assert_false(options.listen.all[0].optional); /* each host has IPv4 */
        assert_true(options.listen.all[1].optional);
    }
    assert_true(parse("--listen=[::1]:7000", NULL));
    assert_false(options.listen.all[0].optional);
}

static void bad_address_segment_and_level_say_what_is_expected(void **state)
{
    (void)state;
    assert_refused("--listen=50051",
                   "listen: '50051' is not an address: ADDR:PORT, localhost:PORT, :PORT, "
                   "[ADDR]:PORT[,ipv6only=on] or unix:PATH[,mode=0660]");
    static const char *const addresses[] = {"--listen=:",
                                            "--listen=localhost:",
                                            "--listen=:65536",
                                            "--listen=localhost",
                                            "--listen=localhos:1",
                                            "--listen=**:1",
                                            "--listen=:1,ipv6only=on"};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        assert_false(parse(addresses[i], NULL));
    static const char *const segments[] = {"rosterd", "/",     "/a/b/c", "",
                                           "//",      "/.",    "/..",    "/a.stats",
                                           "/a/",     "/a/.b", "//a",    "/a/b.stats"};
    for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
        char argument[64], expected[200];
        snprintf(argument, sizeof(argument), "--segment=%s", segments[i]);
        snprintf(
            expected, sizeof(expected),
            "segment: '%s' is not a name: /NAME or /DIRECTORY/NAME, at most 200 characters, no "
            "dot after a slash, and no .stats at the end",
            segments[i]);
        assert_refused(argument, expected);
    }
    assert_refused("--log-level=loud",
                   "log-level: 'loud' is not one of error, warning, notice, info or debug");
}

static void unique_is_no_key_one_or_both(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint64_t keys;
    } good[] = {{"--unique=none", 0},
                {"--unique=username", 1},
                {"--unique=email", 2},
                {"--unique=username,email", 3},
                {"--unique=email,username", 3}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(parse(good[i].value, NULL));
        assert_int_equal(options.unique, good[i].keys);
    }
    static const char *const bad[] = {"",
                                      "id",
                                      "Username",
                                      "username,",
                                      "username, email",
                                      "none,email",
                                      "username,username",
                                      "username email"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char argument[64], expected[200];
        snprintf(argument, sizeof(argument), "--unique=%s", bad[i]);
        snprintf(expected, sizeof(expected),
                 "unique: '%s' is not one of none, username, email or username,email", bad[i]);
        assert_refused(argument, expected);
    }
}

static void limits_themselves_are_allowed(void **state)
{
    (void)state;
    assert_true(parse("--workers=512", "--max-users=4294967295", "--segment-size=" SIZE_MAX_TEXT,
                      "--max-message-size=1G", "--max-header-size=1K", "--drain-timeout=1d",
                      "--drain-timeout=0", NULL));
    assert_int_equal(options.max_users, UINT32_MAX);
    assert_int_equal(options.drain_timeout, 0);
    assert_true(parse("--max-connection-age-grace=0", "--max-connection-age=never", NULL));
    assert_int_equal(options.max_connection_age_grace, 1); /* the shortest time: 0 is `never` */
    assert_int_equal(options.max_connection_age, OPTIONS_NEVER);
}

static void more_addresses_than_fit_are_refused(void **state)
{
    (void)state;
    char *argv[LISTEN_MAX + 2] = {(char *)"rosterd"};
    options_free(&options);
    for (int i = 1; i <= LISTEN_MAX + 1; i++)
        argv[i] = (char *)"--listen=127.0.0.1:0";
    assert_true(options_parse(&options, LISTEN_MAX + 1, argv, &fault));
    options_free(&options);
    assert_false(options_parse(&options, LISTEN_MAX + 2, argv, &fault));
    assert_string_equal(fault.text, "listen: more than 64 addresses");
}

static void long_bad_argument_is_cut(void **state)
{
    (void)state;
    static char argument[5000];
    memset(argument, 'x', sizeof(argument) - 1);
    memcpy(argument, "--", 2);
    assert_false(parse(argument, NULL));
    assert_true(strlen(fault.text) < 256);
}

static void help_and_version_win_over_all_else(void **state)
{
    (void)state;
    assert_true(parse("--help", "--nonsense", NULL));
    assert_true(options.help);
    assert_true(parse("--version", NULL));
    assert_true(options.version && !options.help);
    assert_true(parse("--nonsense", "--help", NULL));
    assert_true(options.help);
    assert_true(parse("--segment", "--help", NULL)); /* also as the value of another option */
    assert_true(options.help);
    assert_true(parse("-V", "--workers", NULL));
    assert_true(options.version);
    assert_true(parse("-v", NULL));
    assert_true(options.version);
    assert_true(parse("-h", NULL));
    assert_true(options.help);
}

static void a_flag_takes_no_value(void **state)
{
    (void)state;
    assert_refused("--check-config=yes", "check-config: takes no value");
    assert_true(parse("--check-config", "--workers", "3", NULL));
    assert_true(options.check_config);
    assert_int_equal(options.workers, 3);
}

static void cpus_are_off_auto_or_a_list(void **state)
{
    (void)state;
    static const char *const good[] = {"off", "auto", "0", "0,2-3", "1-1,7", "1023"};
    static const char *const bad[] = {"", "on", "1,", ",1", "3-2", "1-", "-1", "1024", "1;2", "a"};
    char argument[64], expected[160];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(argument, sizeof(argument), "--worker-cpu-affinity=%s", good[i]);
        assert_true(parse(argument, NULL));
        assert_string_equal(options.worker_cpus, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(argument, sizeof(argument), "--worker-cpu-affinity=%s", bad[i]);
        snprintf(expected, sizeof(expected),
                 "worker-cpu-affinity: '%s' is not off, auto or a list of CPUs such as 0,2-3",
                 bad[i]);
        assert_refused(argument, expected);
    }
}

static void help_shows_every_option_with_its_default(void **state)
{
    (void)state;
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    option_print_help(out);
    fclose(out);
    static const char *const shown[] = {
        "--listen ADDRESS",
        "127.0.0.1:50051 and [::1]:50051",
        "--workers N",
        "--segment NAME",
        "else /rosterd-UID",
        "--segment-size SIZE",
        "(default 16G)",
        "--max-users N",
        "--unique KEYS",
        "(default none)",
        "--snapshot-max-age TIME",
        "(default 10m)",
        "--snapshot-max-bytes SIZE",
        "(default 256M)",
        "--max-message-size SIZE",
        "--max-header-size SIZE",
        "--max-concurrent-streams N",
        "--busy-poll N",
        "(default 50)",
        "--drain-timeout TIME",
        "(default 30s)",
        "--log-level LEVEL",
        "--version",
        "--help",
    };
    /* Lines end between two words. */
    for (char *at = text; (at = strchr(at, '\n')) != NULL;)
        memmove(at + 1, at + 1 + strspn(at + 1, " "), strlen(at + 1 + strspn(at + 1, " ")) + 1),
            *at = ' ';
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        if (strstr(text, shown[i]) == NULL)
            fail_msg("--help lacks %s", shown[i]);
    free(text);
}

static void assert_size(const char *text, uint64_t expected)
{
    uint64_t bytes = 0;
    assert_true(units_parse_size(text, &bytes));
    assert_int_equal(bytes, expected);
}

static void sizes_are_powers_of_1024(void **state)
{
    (void)state;
    uint64_t bytes;
    assert_size("0", 0);
    assert_size("512", 512);
    assert_size("64K", 65536);
    assert_size("4M", 4 << 20);
    assert_size("16G", UINT64_C(16) << 30);
    assert_size("2T", UINT64_C(2) << 40);
    assert_false(units_parse_size("4k", &bytes));
    assert_false(units_parse_size("4MB", &bytes));
    assert_false(units_parse_size("4 M", &bytes));
    assert_false(units_parse_size("M", &bytes));
    assert_false(units_parse_size("0x10", &bytes));
    assert_false(units_parse_size("1.5G", &bytes));
    assert_false(units_parse_size("99999999T", &bytes)); /* more than 64 bits */
}

static void assert_time(const char *text, uint64_t expected)
{
    uint64_t ms = 0;
    assert_true(units_parse_time(text, &ms));
    assert_int_equal(ms, expected);
}

static void times_without_a_unit_are_seconds(void **state)
{
    (void)state;
    uint64_t ms;
    assert_time("30", 30000);
    assert_time("500ms", 500);
    assert_time("30s", 30000);
    assert_time("5m", 300000);
    assert_time("2h", 7200000);
    assert_time("1d", 86400000);
    assert_false(units_parse_time("30S", &ms));
    assert_false(units_parse_time("-1s", &ms));
    assert_false(units_parse_time("s", &ms));
    assert_false(units_parse_time("18446744073709551615d", &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_manual),
        cmocka_unit_test(value_follows_or_is_joined_by_an_equals_sign),
        cmocka_unit_test(address_for_both_families_leaves_ipv4_to_its_own),
        cmocka_unit_test(last_value_counts_but_listen_adds),
        cmocka_unit_test(unknown_option_is_named),
        cmocka_unit_test(missing_value_is_told),
        cmocka_unit_test(bad_count_names_option_value_and_what_is_expected),
        cmocka_unit_test(bad_size_and_time_say_how_to_write_one),
        cmocka_unit_test(some_names_stand_for_two_addresses),
        cmocka_unit_test(bad_address_segment_and_level_say_what_is_expected),
        cmocka_unit_test(unique_is_no_key_one_or_both),
        cmocka_unit_test(limits_themselves_are_allowed),
        cmocka_unit_test(more_addresses_than_fit_are_refused),
        cmocka_unit_test(long_bad_argument_is_cut),
        cmocka_unit_test(help_and_version_win_over_all_else),
        cmocka_unit_test(a_flag_takes_no_value),
        cmocka_unit_test(segment_is_that_of_the_service_or_of_the_user),
        cmocka_unit_test(data_file_has_a_default_that_follows_from_the_segment),
        cmocka_unit_test(data_file_of_root_is_the_systems),
        cmocka_unit_test(durability_is_a_word_or_an_interval),
        cmocka_unit_test(cpus_are_off_auto_or_a_list),
        cmocka_unit_test(help_shows_every_option_with_its_default),
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(times_without_a_unit_are_seconds),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
