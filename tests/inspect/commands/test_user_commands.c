/* SPDX-License-Identifier: MIT */
/* list and get. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container_of.h"
#include "shm/core/layout.h"
#include "tests/inspect/tool.h"
#include "user/user.h"

static struct shm_node *first_node(void)
{
    return container_of(((struct shm_control *)(uintptr_t)(SHM_BASE + SHM_CONTROL_AT))->order.next,
                        struct shm_node, order);
}

/* ---- list ---- */

#define REST(second, seq)                                                                          \
    "\"disabled\":false,\"labels\":{},\"update_time\":\"2023-11-14T22:13:" second "Z\","           \
    "\"has_password\":false,\"etag\":\"\\\"" seq "\\\"\",\"seq\":" seq "}"
#define LINE_1                                                                                     \
    "1\t" ID_1                                                                                     \
    "\t2023-11-14T22:13:20Z\tada\tada@example.org\tuser,admin\t2023-11-14T22:13:20Z\t\t\n"
#define LINE_2 "2\t" ID_2 "\t2023-11-14T22:13:21Z\tbob\t\tuser,admin\t2023-11-14T22:13:21Z\t\t\n"
#define LINE_3                                                                                     \
    "3\t" ID_3                                                                                     \
    "\t2023-11-14T22:13:22Z\tZo\xC3\xAB\tz@example.org\tuser,admin\t2023-11-14T22:13:22Z\t\t\n"

static void list_prints_users_in_order_of_creation(void **state)
{
    static const struct {
        const char *args[4], *out;
    } cases[] = {
        {{NULL}, LINE_1 LINE_2 LINE_3},
        {{"--limit", "2"}, LINE_1 LINE_2},
        {{"--limit", "0"}, ""},
        {{"--limit", "99"}, LINE_1 LINE_2 LINE_3},
        {{"--after", "0"}, LINE_1 LINE_2 LINE_3},
        {{"--after", "1"}, LINE_2 LINE_3},
        {{"--after", "3"}, ""},
        {{"--after", "1", "--limit", "1"}, LINE_2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const *args = cases[i].args;
        struct tool_result got =
            tool_run(ON_SEGMENT, "list", args[0], args[1], args[2], args[3], NULL);
        assert_string_equal(got.err, "");
        assert_int_equal(got.exit, 0);
        assert_string_equal(got.out, cases[i].out);
        tool_free(&got);
    }
}

/* Runs a command on a terminal. Returns what it printed, without the terminal's carriage returns.
 */
static const char *run_on_terminal(const char *command, const char *option, const char *value)
{
    static char text[4096];
    size_t len = 0;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int slave = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    struct tool_result got = tool_run_into(slave, ON_SEGMENT, command, option, value, NULL);
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    char bytes[sizeof(text)];
    assert_int_equal(write(slave, "\f", 1), 1); /* the end: otherwise an empty terminal blocks */
    ssize_t count;
    do {
        count = read(terminal, bytes, sizeof(bytes));
        for (ssize_t i = 0; i < count && len + 1 < sizeof(text); i++)
            if (bytes[i] != '\r')
                text[len++] = bytes[i];
    } while (count > 0 && text[len - 1] != '\f');
    assert_true(len > 0 && text[len - 1] == '\f');
    text[len - 1] = '\0';
    close(slave);
    close(terminal);
    return text;
}

#define HEADER                                                                                     \
    "seq\tid                                  \tcreated             \tusername\temail\troles\t"    \
    "updated             \tstate\tlabels\n"

static void lists_have_a_header_on_a_terminal_if_they_have_users(void **state)
{
    (void)state;
    assert_string_equal(run_on_terminal("list", "--limit", "2"), HEADER LINE_1 LINE_2);
    assert_string_equal(run_on_terminal("list", "--after", "3"), "");
    assert_string_equal(run_on_terminal("find", "--username", "bob"), HEADER LINE_2);
    assert_string_equal(run_on_terminal("find", "--filter", "username = \"nobody\""), "");
}

static void list_as_json_is_one_object_a_line(void **state)
{
    static const char expected[] =
        "{\"id\":\"" ID_1 "\",\"username\":\"ada\",\"email\":\"ada@example.org\","
        "\"created_at\":1700000000,\"roles\":[\"user\",\"admin\"]," REST(
            "20", "1") "\n"
                       "{\"id\":\"" ID_2 "\",\"username\":\"bob\",\"email\":\"\","
                       "\"created_at\":1700000001,\"roles\":[\"user\",\"admin\"]," REST("21",
                                                                                        "2") "\n";
    struct tool_result got = tool_run("list", "--json", ON_SEGMENT, "--limit", "2", NULL);
    (void)state;
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.out, expected);
    tool_free(&got);
}

static void a_number_never_given_out_is_refused(void **state)
{
    struct tool_result got = tool_run(ON_SEGMENT, "list", "--after", "4", NULL);
    (void)state;
    tool_assert_failed(&got, 1, "--after: sequence number 4 does not exist yet");
    tool_free(&got);
}

static void an_empty_table_lists_nothing(void **state)
{
    (void)state;
    segment_open();
    segment_close();
    struct tool_result got = tool_run(ON_SEGMENT, "list", NULL);
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.out, "");
    assert_string_equal(got.err, "");
    tool_free(&got);
}

enum { MANY = 30000 };

static void insert_many(struct shm_store *store)
{
    struct shm_new_user users[SHM_BATCH_MAX] = {0};
    uint8_t body[64];
    Userservice__User user = user_make(BYTES("many"), BYTES("m@example.org"), 1);
    struct shm_actor *actor;
    struct shm_fault fault = {{0}};
    uint32_t len = (uint32_t)userservice__user__pack(&user, body);
    assert_int_equal(shm_actor_join(&actor, store, SHM_ACTOR_WORKER, 0, &fault), SHM_OK);
    for (uint32_t done = 0; done < MANY;) {
        uint32_t n = 0;
        for (; n < SHM_BATCH_MAX && done < MANY; n++, done++) {
            memcpy(users[n].id, &done, sizeof(done));
            users[n].body = body;
            users[n].body_len = len;
        }
        assert_int_equal(shm_users_insert(actor, users, n, NULL), SHM_OK);
    }
    shm_actor_leave(actor);
}

/* The list is longer than the buffer of stdout, so the listing leaves its read section and
 * continues. */
static void a_long_list_is_whole_and_gives_its_slot_back(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_info info;
    uint64_t seq = 0;
    (void)state;
    insert_many(store);
    struct tool_result got = tool_run(ON_SEGMENT, "list", NULL);
    assert_int_equal(got.exit, 0);
    for (char *line = got.out; *line != '\0'; line = strchr(line, '\n') + 1)
        assert_int_equal(strtoull(line, NULL, 10), ++seq);
    assert_int_equal(seq, MANY);
    tool_free(&got);
    shm_store_info(store, &info);
    assert_int_equal(info.actors, 0);
    segment_close();
}

static void a_closed_pipe_ends_the_list_quietly(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_info info;
    int ends[2];
    (void)state;
    insert_many(store);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    struct tool_result got = tool_run_into(ends[1], ON_SEGMENT, "list", NULL);
    close(ends[1]);
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    shm_store_info(store, &info);
    assert_int_equal(info.actors, 0);
    segment_close();
}

static void output_that_cannot_be_written_is_an_error(void **state)
{
    int full = open("/dev/full", O_WRONLY);
    static const char *const commands[] = {"status", "list", "verify"};
    (void)state;
    assert_true(full >= 0);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct tool_result got = tool_run_into(full, ON_SEGMENT, commands[i], NULL);
        tool_assert_failed(&got, 1, "cannot write: No space left on device");
        tool_free(&got);
    }
    close(full);
}

/* ---- get ---- */

static void get_prints_the_one_user(void **state)
{
    struct tool_result text = tool_run(ON_SEGMENT, "get", ID_2, NULL);
    struct tool_result json = tool_run(ON_SEGMENT, "--json", "get", ID_3, NULL);
    (void)state;
    assert_int_equal(text.exit, 0);
    assert_string_equal(text.out, "id        " ID_2 "\n"
                                  "username  bob\n"
                                  "email     \n"
                                  "created   2023-11-14T22:13:21Z\n"
                                  "roles     user,admin\n"
                                  "updated   2023-11-14T22:13:21Z\n"
                                  "disabled  no\n"
                                  "password  no\n"
                                  "etag      \"2\"\n"
                                  "seq       2\n");
    assert_int_equal(json.exit, 0);
    assert_string_equal(json.out, "{\"id\":\"" ID_3 "\",\"username\":\"Zo\xC3\xAB\","
                                  "\"email\":\"z@example.org\",\"created_at\":1700000002,"
                                  "\"roles\":[\"user\",\"admin\"]," REST("22", "3") "\n");
    struct tool_result name = tool_run(ON_SEGMENT, "get", "users/" ID_2, NULL);
    assert_string_equal(name.out, text.out);
    tool_free(&name);
    name = tool_run(ON_SEGMENT, "get", "users/bob", NULL);
    tool_assert_failed(&name, 1, "no user users/bob: a user is an id");
    tool_free(&name);
    tool_free(&text);
    tool_free(&json);
}

static void get_of_nobody_ends_with_1(void **state)
{
    static const char *const ids[] = {"09090909-0909-0909-0909-090909090909", "nobody", ""};
    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct tool_result got = tool_run(ON_SEGMENT, "--json", "get", ids[i], NULL);
        tool_assert_failed(&got, 1, ids[i]);
        assert_string_equal(got.out, "");
        tool_free(&got);
    }
}

static void get_by_name_prints_all_who_have_it(void **state)
{
    struct shm_store *store = segment_open();
    Userservice__User bob = user_make(BYTES("bob"), BYTES("b@example.org"), 1);
    (void)state;
    segment_insert_three(store);
    segment_insert(store, 7, &bob);
    segment_close();
    struct tool_result got = tool_run(ON_SEGMENT, "--json", "get", "--username", "bob", NULL);
    assert_int_equal(got.exit, 0);
    char *second = strchr(got.out, '\n') + 1;
    assert_non_null(strstr(second, "07070707-"));
    *second = '\0';
    assert_non_null(strstr(got.out, ID_2));
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "get", "--username", "ada", NULL);
    assert_int_equal(got.exit, 0);
    assert_memory_equal(got.out, "id        " ID_1 "\n", 10 + 36 + 1);
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "get", "--username", "ad", NULL);
    tool_assert_failed(&got, 1, "no user named ad ");
    tool_free(&got);
}

static void get_by_name_goes_by_the_index(void **state)
{
    struct shm_config config = {.name = segment_name(),
                                .size = UINT64_C(1) << 30,
                                .max_users = 1000,
                                .unique = 1u << USER_KEY_USERNAME,
                                .key_of = user_key_of};
    struct shm_store *store;
    struct shm_fault fault = {{0}};
    (void)state;
    if (shm_store_open(&store, &config, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    segment_insert_three(store);
    /* The first user is damaged: a scan of the table would report it. */
    first_node()->body->bytes[0] ^= 1;
    struct tool_result got = tool_run(ON_SEGMENT, "get", "--username", "Zo\xC3\xAB", NULL);
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, 0);
    assert_non_null(strstr(got.out, ID_3));
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "get", "--username", "zoe", NULL);
    tool_assert_failed(&got, 1, "no user named zoe ");
    tool_free(&got);
    shm_store_close(store);
}

/* ---- hostile contents ---- */

static void what_a_client_stored_cannot_reach_the_terminal(void **state)
{
    struct shm_store *store = segment_open();
    Userservice__User user =
        user_make(BYTES("a\"\\\n\x1B]0;\x07\0b"), BYTES("\xFF\xE2\x80\xAE@\t"), INT64_MIN);
    (void)state;
    segment_insert(store, 1, &user);
    segment_close();
    struct tool_result text = tool_run(ON_SEGMENT, "list", NULL);
    assert_string_equal(text.out, "1\t" ID_1 "\t-9223372036854775808\t"
                                  "a\"\\\\\\n\\x1b]0;\\x07\\x00b\t"
                                  "\xEF\xBF\xBD\\u202e@\\t\tuser,admin\t"
                                  "-9223372036854775808\t\t\n");
    struct tool_result json = tool_run(ON_SEGMENT, "--json", "get", ID_1, NULL);
    assert_string_equal(json.out, "{\"id\":\"" ID_1 "\",\"username\":"
                                  "\"a\\\"\\\\\\n\\u001b]0;\\u0007\\u0000b\",\"email\":"
                                  "\"\xEF\xBF\xBD\\u202e@\\t\",\"created_at\":"
                                  "-9223372036854775808,\"roles\":[\"user\",\"admin\"],"
                                  "\"disabled\":false,\"labels\":{},\"update_time\":"
                                  "\"1677-09-21T00:12:43.145224192Z\",\"has_password\":false,"
                                  "\"etag\":\"\\\"1\\\"\",\"seq\":1}\n");
    tool_free(&text);
    tool_free(&json);
}

static void a_body_that_is_no_user_is_told_and_the_others_are_listed(void **state)
{
    struct shm_store *store = segment_open();
    Userservice__User ada = user_make(BYTES("ada"), BYTES("ada@example.org"), 1700000000);
    (void)state;
    segment_insert(store, 1, &ada);
    segment_insert_body(store, 2, "\x12\xFFgarbage", 9);
    segment_insert(store, 3, &ada);
    segment_close();
    struct tool_result got = tool_run(ON_SEGMENT, "list", NULL);
    tool_assert_failed(&got, 4, ID_2);
    assert_non_null(strstr(got.out, ID_1));
    assert_null(strstr(got.out, ID_2));
    assert_non_null(strstr(got.out, ID_3));
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "get", ID_2, NULL);
    tool_assert_failed(&got, 4, ID_2);
    tool_free(&got);
}

/* ---- a damaged table ---- */

/* Lists a table whose first node has been damaged, and asserts what list reports. */
static void assert_list_finds(const char *what)
{
    struct tool_result got = tool_run(ON_SEGMENT, "list", NULL);
    tool_assert_failed(&got, 4, what);
    tool_free(&got);
    segment_close();
}

static void a_pointer_to_nowhere_ends_the_list(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    first_node()->order.next = (struct cds_list_head *)(uintptr_t)0x10040;
    assert_list_finds("corrupt");
}

static void users_in_a_ring_end_the_list(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    first_node()->order.next = &first_node()->order;
    assert_list_finds("number 1 comes after number 1");
}

static void dead_users_in_a_ring_end_the_list(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    struct shm_node *first = first_node();
    struct shm_node *second = container_of(first->order.next, struct shm_node, order);
    second->died = second->born;
    second->order.next = &second->order;
    assert_list_finds("number 2 comes after number 2");
}

int main(void)
{
#define BARE(test)     cmocka_unit_test_teardown(test, segment_teardown)
#define ON_THREE(test) cmocka_unit_test_setup_teardown(test, segment_setup_three, segment_teardown)
    const struct CMUnitTest tests[] = {
        ON_THREE(list_prints_users_in_order_of_creation),
        ON_THREE(lists_have_a_header_on_a_terminal_if_they_have_users),
        ON_THREE(list_as_json_is_one_object_a_line),
        ON_THREE(a_number_never_given_out_is_refused),
        BARE(an_empty_table_lists_nothing),
        BARE(a_long_list_is_whole_and_gives_its_slot_back),
        BARE(a_closed_pipe_ends_the_list_quietly),
        ON_THREE(output_that_cannot_be_written_is_an_error),
        ON_THREE(get_prints_the_one_user),
        ON_THREE(get_of_nobody_ends_with_1),
        BARE(get_by_name_prints_all_who_have_it),
        BARE(get_by_name_goes_by_the_index),
        BARE(what_a_client_stored_cannot_reach_the_terminal),
        BARE(a_pointer_to_nowhere_ends_the_list),
        BARE(users_in_a_ring_end_the_list),
        BARE(dead_users_in_a_ring_end_the_list),
        BARE(a_body_that_is_no_user_is_told_and_the_others_are_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
