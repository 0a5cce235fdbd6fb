/* SPDX-License-Identifier: MIT */
/* Addresses as options write them; sockets and socket files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cmocka.h>

#include "server/os/listen.h"

static struct listen_address address;
static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/rosterd-listen-XXXXXX");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static void assert_added(struct listeners *listeners, bool optional)
{
    struct fault fault;
    size_t before = listeners->count;
    if (!listeners_add(listeners, &address, optional, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(listeners->count, before + 1);
}

static void assert_refused(struct listeners *listeners, bool optional, int reason)
{
    struct fault fault;
    char expected[256];
    assert_false(listeners_add(listeners, &address, optional, &fault));
    snprintf(expected, sizeof(expected), "%s: %s", address.text, strerror(reason));
    assert_string_equal(fault.text, expected);
    assert_int_equal(listeners->count, 0);
}

static void ipv4_address_is_read(void **state)
{
    (void)state;
    assert_true(listen_parse(&address, "192.0.2.7:8080"));
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address.addr;
    assert_int_equal(in->sin_family, AF_INET);
    assert_int_equal(in->sin_port, htons(8080));
    assert_int_equal(in->sin_addr.s_addr, htonl(0xc0000207));
    assert_int_equal(address.len, sizeof(*in));
}

static void ipv6_address_stands_in_brackets(void **state)
{
    (void)state;
    static const uint8_t expected[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    assert_true(listen_parse(&address, "[2001:db8::1]:0"));
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address.addr;
    assert_int_equal(in6->sin6_family, AF_INET6);
    assert_int_equal(in6->sin6_port, 0);
    assert_memory_equal(&in6->sin6_addr, expected, 16);
}

static void unix_path_is_read_whole(void **state)
{
    (void)state;
    assert_true(listen_parse(&address, "unix:/run/a:b.sock"));
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address.addr;
    assert_int_equal(un->sun_family, AF_UNIX);
    assert_string_equal(un->sun_path, "/run/a:b.sock");
}

static void unix_socket_may_have_a_mode(void **state)
{
    static struct listeners listeners;
    char text[128];
    struct stat st;
    (void)state;
    const mode_t modes[] = {0660, 0777, 0};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        snprintf(text, sizeof(text), "unix:%s/m.sock,mode=%03o", directory, (unsigned)modes[i]);
        assert_true(listen_parse(&address, text));
        assert_int_equal(address.mode, modes[i]);
        assert_added(&listeners, false);
        assert_int_equal(stat(listeners.all[0].text + strlen("unix:"), &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
        listeners_close(&listeners, true);
    }
    assert_false(listen_parse(&address, "unix:/x,mode="));
    assert_false(listen_parse(&address, "unix:/x,mode=0888"));
    assert_false(listen_parse(&address, "unix:/x,mode=7777"));
    assert_false(listen_parse(&address, "unix:,mode=0660"));
}

static void a_shared_socket_is_the_same_one(void **state)
{
    static struct listeners first, second;
    struct listener taken;
    (void)state;
    assert_true(listen_parse(&address, "127.0.0.1:0"));
    assert_added(&first, false);
    assert_true(listeners_share(&second, &first.all[0], NULL));
    listeners_close(&first, true);
    /* it still listens, and a process that gets it can tell what it is */
    assert_true(listener_take(&taken, second.all[0].fd, "grpc", true));
    assert_int_equal(taken.port, second.all[0].port);
    assert_string_equal(taken.text, second.all[0].text);
    snprintf(address.text, sizeof(address.text), "%s", taken.text);
    assert_true(listen_parse(&address, taken.text));
    assert_true(listener_is_at(&taken, &address));
    assert_true(listen_parse(&address, "127.0.0.1:1"));
    assert_false(listener_is_at(&taken, &address));
    address.text[0] = '\0'; /* nor does the text of its option match */
    assert_false(listener_is_at(&taken, &address));
    listeners_close(&second, true);
    int connected = socket(AF_INET, SOCK_STREAM, 0);
    assert_false(listener_take(&taken, connected, "", true)); /* it is not listening */
    close(connected);
}

static void longest_unix_path_has_107_bytes(void **state)
{
    (void)state;
    char text[128] = "unix:/";
    memset(text + 6, 'x', 106);
    assert_true(listen_parse(&address, text));
    text[6 + 106] = 'x';
    assert_false(listen_parse(&address, text));
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "50051",
        ":50051",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:123456",
        "127.1:80",
        "256.0.0.1:80",
        "localhost:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "::1]:80",
        "[]:80",
        "[127.0.0.1]:80",
        "[::]:80,ipv6only=",
        "[::]:80,ipv6only=1",
        "[::],ipv6only=on:80",
        "127.0.0.1:80,ipv6only=on",
        "unix:",
        "UNIX:/x",
        "127.0.0.1: 80",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (listen_parse(&address, bad[i]))
            fail_msg("'%s' was taken for an address", bad[i]);
}

static void port_0_becomes_a_real_one_and_is_then_in_use(void **state)
{
    (void)state;
    static struct listeners first, second;
    char text[32];
    assert_true(listen_parse(&address, "127.0.0.1:0"));
    assert_added(&first, false);
    assert_true(first.all[0].port != 0);
    snprintf(text, sizeof(text), "127.0.0.1:%u", first.all[0].port);
    assert_string_equal(first.all[0].text, text);
    assert_true(listen_parse(&address, text));
    assert_refused(&second, false, EADDRINUSE);
    assert_int_equal(second.count, 0);
    listeners_close(&first, true);
    assert_added(&second, false);
    listeners_close(&second, true);
}

static void default_address_in_use_is_an_error_too(void **state)
{
    (void)state;
    static struct listeners first, second;
    char text[32];
    assert_true(listen_parse(&address, "127.0.0.1:0"));
    assert_added(&first, true);
    snprintf(text, sizeof(text), "127.0.0.1:%u", first.all[0].port);
    assert_true(listen_parse(&address, text));
    assert_refused(&second, true, EADDRINUSE);
    listeners_close(&first, true);
}

static void only_a_default_address_that_the_host_lacks_is_skipped(void **state)
{
    (void)state;
    static struct listeners listeners;
    assert_true(listen_parse(&address, "192.0.2.1:1")); /* TEST-NET-1: no host has it */
    assert_true(listeners_add(&listeners, &address, true, NULL));
    assert_int_equal(listeners.count, 0);
    assert_refused(&listeners, false, EADDRNOTAVAIL);
}

/* Whether an IPv4 client can connect to the only listener. */
static bool takes_ipv4(const struct listeners *listeners)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(listeners->all[0].port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool done = connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0;
    close(fd);
    return done;
}

static void any_ipv6_address_takes_ipv4_clients_unless_it_says_no(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool both;
    } cases[] = {{"[::]:0", true}, {"[::]:0,ipv6only=off", true}, {"[::]:0,ipv6only=on", false}};
    static struct listeners listeners;
    for (int i = 0; i < 3; i++) {
        assert_true(listen_parse(&address, cases[i].text));
        assert_true(listeners_add(&listeners, &address, true, NULL));
        if (listeners.count == 0)
            skip(); /* this host has no IPv6 */
        assert_int_equal(listeners.count, 1);
        assert_int_equal(takes_ipv4(&listeners), cases[i].both);
        listeners_close(&listeners, true);
    }
    assert_true(listen_parse(&address, "[::1]:0")); /* never has IPv4 clients */
    assert_true(address.six_only);
}

static void socket_of_the_other_families_is_not_what_was_asked_for(void **state)
{
    (void)state;
    char text[64];
    static struct listeners listeners;
    struct listener taken;
    assert_true(listen_parse(&address, "[::]:0"));
    assert_true(listeners_add(&listeners, &address, true, NULL));
    if (listeners.count == 0)
        skip();
    assert_true(listener_take(&taken, listeners.all[0].fd, "", true));
    snprintf(text, sizeof(text), "[::]:%u", taken.port);
    assert_true(listen_parse(&address, text));
    assert_true(listener_is_at(&taken, &address));
    address.six_only = true; /* another address got IPv4: the socket still fits */
    assert_true(listener_is_at(&taken, &address));
    strcat(text, ",ipv6only=on");
    assert_true(listen_parse(&address, text));
    assert_false(listener_is_at(&taken, &address));
    listeners_close(&listeners, true);
}

static void unix_address(const char *name)
{
    char text[128];
    snprintf(text, sizeof(text), "unix:%s/%s", directory, name);
    assert_true(listen_parse(&address, text));
}

static void live_servers_socket_file_is_left_alone(void **state)
{
    (void)state;
    static struct listeners first, second;
    unix_address("live");
    assert_added(&first, false);
    assert_refused(&second, false, EADDRINUSE);
    assert_int_equal(access(first.all[0].text + strlen("unix:"), F_OK), 0);
    char path[128];
    strcpy(path, first.all[0].text + strlen("unix:"));
    listeners_close(&first, true);
    assert_int_equal(access(path, F_OK), -1);
}

static void dead_servers_socket_file_is_replaced(void **state)
{
    (void)state;
    static struct listeners first, second;
    unix_address("dead");
    assert_added(&first, false);
    listeners_close(&first, false); /* as after a kill */
    assert_added(&second, false);
    listeners_close(&second, true);
}

static void file_that_is_no_socket_is_never_removed(void **state)
{
    (void)state;
    static struct listeners listeners;
    char path[128];
    unix_address("file");
    snprintf(path, sizeof(path), "%s/file", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_refused(&listeners, false, EADDRINUSE);
    assert_int_equal(unlink(path), 0);
}

static void another_servers_file_at_our_path_stays(void **state)
{
    (void)state;
    static struct listeners first, second;
    char path[128];
    unix_address("stolen");
    assert_added(&first, false);
    strcpy(path, first.all[0].text + strlen("unix:"));
    assert_int_equal(unlink(path), 0);
    assert_added(&second, false);
    listeners_close(&first, true);
    assert_int_equal(access(path, F_OK), 0);
    listeners_close(&second, true);
    assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_address_is_read),
        cmocka_unit_test(ipv6_address_stands_in_brackets),
        cmocka_unit_test(unix_path_is_read_whole),
        cmocka_unit_test(unix_socket_may_have_a_mode),
        cmocka_unit_test(a_shared_socket_is_the_same_one),
        cmocka_unit_test(longest_unix_path_has_107_bytes),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(port_0_becomes_a_real_one_and_is_then_in_use),
        cmocka_unit_test(default_address_in_use_is_an_error_too),
        cmocka_unit_test(only_a_default_address_that_the_host_lacks_is_skipped),
        cmocka_unit_test(any_ipv6_address_takes_ipv4_clients_unless_it_says_no),
        cmocka_unit_test(socket_of_the_other_families_is_not_what_was_asked_for),
        cmocka_unit_test(live_servers_socket_file_is_left_alone),
        cmocka_unit_test(dead_servers_socket_file_is_replaced),
        cmocka_unit_test(file_that_is_no_socket_is_never_removed),
        cmocka_unit_test(another_servers_file_at_our_path_stays),
    };
    return cmocka_run_group_tests_name("listen", tests, make_directory, remove_directory);
}
