/* SPDX-License-Identifier: MIT */
/* dump: to stdout, into a file, while writers write. */
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container_of.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/error.h"
#include "tests/inspect/tool.h"
#include "tests/inspect/users_file.h"

static int teardown(void **state)
{
    file_remove();
    return segment_teardown(state);
}

#define REST(second)                                                                               \
    "\"disabled\":false,\"labels\":{},\"update_time\":\"2023-11-14T22:13:" second "Z\","           \
    "\"has_password\":false}\n"
#define LINE_1                                                                                     \
    "{\"id\":\"" ID_1 "\",\"username\":\"ada\",\"email\":\"ada@example.org\","                     \
    "\"created_at\":1700000000,\"roles\":[\"user\",\"admin\"]," REST("20")
#define LINE_2                                                                                     \
    "{\"id\":\"" ID_2 "\",\"username\":\"bob\",\"email\":\"\","                                    \
    "\"created_at\":1700000001,\"roles\":[\"user\",\"admin\"]," REST("21")
#define LINE_3                                                                                     \
    "{\"id\":\"" ID_3 "\",\"username\":\"Zo\xC3\xAB\",\"email\":\"z@example.org\","                \
    "\"created_at\":1700000002,\"roles\":[\"user\",\"admin\"]," REST("22")

static void frame(char out[512], uint64_t version, const char *users, int count)
{
    snprintf(out, 512,
             "{\"rosterd_dump\":2,\"segment\":\"%s\",\"version\":%d,\"users\":%d}\n%s"
             "{\"rosterd_dump_end\":2,\"users\":%d}\n",
             segment_name(), (int)version, count, users, count);
}

static void a_dump_has_all_users_oldest_first_between_two_lines(void **state)
{
    struct tool_result got = tool_run(ON_SEGMENT, "dump", NULL);
    char expected[2048];
    (void)state;
    frame(expected, 3, "", 3);
    char *end = strstr(expected, "{\"rosterd_dump_end\"");
    memmove(end + sizeof(LINE_1 LINE_2 LINE_3) - 1, end, strlen(end) + 1);
    memcpy(end, LINE_1 LINE_2 LINE_3, sizeof(LINE_1 LINE_2 LINE_3) - 1);
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.err, "");
    assert_string_equal(got.out, expected);
    tool_free(&got);
}

static void an_empty_table_gives_an_empty_dump(void **state)
{
    char expected[512];
    (void)state;
    segment_open();
    segment_close();
    struct tool_result got = tool_run(ON_SEGMENT, "dump", NULL);
    frame(expected, 0, "", 0);
    assert_string_equal(got.out, expected);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
}

static void a_dump_into_a_file_replaces_it_and_is_for_its_owner_alone(void **state)
{
    struct stat st;
    char expected[256], temporary[128];
    (void)state;
    file_write("old");
    chmod(file_path(), 0644);
    struct tool_result got = tool_run(ON_SEGMENT, "dump", "--output", file_path(), NULL);
    assert_int_equal(got.exit, 0);
    snprintf(expected, sizeof(expected), "3 users as of version 3: %s\n", file_path());
    assert_string_equal(got.out, expected);
    tool_free(&got);
    assert_int_equal(stat(file_path(), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    char *text = file_read(file_path());
    assert_non_null(strstr(text, "\n" LINE_1 LINE_2 LINE_3 "{\"rosterd_dump_end\":2,"));
    free(text);
    snprintf(temporary, sizeof(temporary), "%s.tmp", file_path());
    assert_int_equal(access(temporary, F_OK), -1);

    got = tool_run(ON_SEGMENT, "--json", "dump", "--output", file_path(), NULL);
    snprintf(expected, sizeof(expected), "{\"users\":3,\"version\":3,\"output\":\"%s\"}\n",
             file_path());
    assert_string_equal(got.out, expected);
    tool_free(&got);
}

/* Asserts that a dump fails, does not change the old file and leaves no temporary file. */
static void assert_dump_leaves_the_old_file(int code, const char *what)
{
    char temporary[128];
    file_write("old");
    struct tool_result got = tool_run(ON_SEGMENT, "dump", "--output", file_path(), NULL);
    tool_assert_failed(&got, code, what);
    tool_free(&got);
    char *text = file_read(file_path());
    assert_string_equal(text, "old");
    free(text);
    snprintf(temporary, sizeof(temporary), "%s.tmp", file_path());
    assert_int_equal(access(temporary, F_OK), -1);
}

static void bytes_that_json_cannot_hold_end_a_dump_and_name_the_user(void **state)
{
    struct shm_store *store = segment_open();
    Userservice__User bad = user_make(BYTES("a\xFF"), BYTES(""), 1);
    (void)state;
    segment_insert_three(store);
    segment_insert(store, 0xab, &bad);
    segment_insert_body(store, 0xcd, "\x12\xFFgarbage", 9);
    assert_dump_leaves_the_old_file(4, "user abababab-abab-abab-abab-abababababab: its username "
                                       "is not UTF-8 (see: verify)");
    struct tool_result got = tool_run(ON_SEGMENT, "dump", NULL);
    tool_assert_failed(&got, 4, "is not UTF-8");
    assert_null(strstr(got.out, "rosterd_dump_end"));
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "delete", "abababab-abab-abab-abab-abababababab", NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    assert_dump_leaves_the_old_file(4, "user cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd: its body is not "
                                       "a User message");
}

static void a_damaged_table_ends_a_dump(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    struct shm_node *first = container_of(shm_control()->order.next, struct shm_node, order);
    first->order.next = (struct cds_list_head *)(uintptr_t)0x10040;
    assert_dump_leaves_the_old_file(4, "corrupt");
}

static void a_place_that_cannot_be_written_is_named(void **state)
{
    char fifo[80];
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    (void)state;
    struct tool_result got = tool_run_into(full, ON_SEGMENT, "dump", NULL);
    close(full);
    tool_assert_failed(&got, 1, "cannot write: No space left on device");
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "dump", "--output", "no-such-directory/x", NULL);
    tool_assert_failed(&got, 1, "no-such-directory/x.tmp: cannot create it: No such file");
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "dump", "--output", "/dev/null", NULL);
    tool_assert_failed(&got, 1, "/dev/null: not a regular file");
    tool_free(&got);
    snprintf(fifo, sizeof(fifo), "%s.tmp", file_path());
    assert_int_equal(mkdir(fifo, 0700), 0);
    got = tool_run(ON_SEGMENT, "dump", "--output", file_path(), NULL);
    rmdir(fifo);
    tool_assert_failed(&got, 1, ".tmp: cannot remove it: ");
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "dump", "extra", NULL);
    tool_assert_failed(&got, 2, "dump: unexpected argument: extra");
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "list", "--output", "x", NULL);
    tool_assert_failed(&got, 2, "--output cannot be used with list");
    tool_free(&got);
}

/* Another user may have put a link at the temporary name. */
static void a_link_at_the_temporary_name_is_not_followed(void **state)
{
    char temporary[80], victim[80];
    (void)state;
    snprintf(temporary, sizeof(temporary), "%s.tmp", file_path());
    snprintf(victim, sizeof(victim), "%s.victim", file_path());
    assert_int_equal(symlink(victim, temporary), 0);
    struct tool_result got = tool_run(ON_SEGMENT, "dump", "--output", file_path(), NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    assert_int_equal(access(victim, F_OK), -1);
    assert_int_equal(access(file_path(), F_OK), 0);
}

static void without_a_slot_there_is_no_snapshot_to_dump(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    segment_insert_three(segment_open());
    char path[128];
    snprintf(path, sizeof(path), "/dev/shm%s", segment_name());
    assert_int_equal(chmod(path, 0644), 0);
    tool_as_nobody(true);
    struct tool_result got = tool_run(ON_SEGMENT, "dump", NULL);
    tool_as_nobody(false);
    tool_assert_failed(&got, 1, "a dump needs a snapshot: no right to write the segment");
    tool_free(&got);
}

/* ---- many users ---- */

static void insert_many(struct shm_actor *actor, unsigned from, unsigned to)
{
    static uint8_t bodies[SHM_BATCH_MAX][USER_BODY_MAX];
    struct shm_new_user users[SHM_BATCH_MAX] = {0};
    while (from < to) {
        unsigned n = 0;
        for (; n < SHM_BATCH_MAX && from < to; n++, from++) {
            users[n].body_len = (uint32_t)user_of(users[n].id, bodies[n], from);
            users[n].body = bodies[n];
        }
        assert_int_equal(shm_users_insert(actor, users, n, NULL), SHM_OK);
        shm_actor_offline(actor);
    }
}

static void many_users_are_dumped_whole(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_MASTER, 0);
    (void)state;
    insert_many(actor, 0, 20000);
    assert_table_has(20000);
    shm_actor_leave(actor);
}

static void a_dump_that_is_ended_by_a_signal_leaves_no_file(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_MASTER, 0);
    char temporary[80];
    (void)state;
    insert_many(actor, 0, 100000);
    shm_actor_leave(actor);
    snprintf(temporary, sizeof(temporary), "%s.tmp", file_path());
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid = tool_start(-1, nowhere, nowhere, ON_SEGMENT, "dump", "--output", file_path(), NULL);
    for (int i = 0; i < 30000 && access(temporary, F_OK) != 0; i++)
        usleep(1000);
    kill(pid, SIGINT);
    assert_int_equal(tool_wait(pid), 1);
    close(nowhere);
    assert_int_equal(access(temporary, F_OK), -1);
    assert_int_equal(access(file_path(), F_OK), -1);
}

static void change_all(struct shm_actor *actor, unsigned count, unsigned round)
{
    static uint8_t bodies[SHM_BATCH_MAX][USER_BODY_MAX];
    struct shm_new_user users[SHM_BATCH_MAX] = {0};
    for (unsigned i = 0; i < count;) {
        unsigned n = 0;
        for (; n < SHM_BATCH_MAX && i < count; n++, i++) {
            users[n].body_len = (uint32_t)user_of(users[n].id, bodies[n], i);
            bodies[n][users[n].body_len - 1] = (uint8_t)('A' + round % 26);
            users[n].body = bodies[n];
        }
        assert_int_equal(shm_users_update(actor, users, n, NULL), SHM_OK);
        shm_actor_offline(actor);
        (void)shm_maintain(actor);
        shm_actor_offline(actor);
    }
}

/* A dump into a pipe that nobody reads keeps its snapshot until the snapshot holds too much memory.
 */
static void a_dump_that_takes_too_long_ends_with_an_error(void **state)
{
    enum { USERS = 20000 };
    struct shm_store *store = segment_open_as((struct shm_config){
        .size = UINT64_C(1) << 30, .max_users = USERS, .snapshot_max_bytes = 100000});
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_MASTER, 0);
    int out[2];
    FILE *err = tmpfile();
    char buffer[65536], line[512] = {0};
    struct shm_info info;
    ssize_t got;
    (void)state;
    insert_many(actor, 0, USERS);
    assert_non_null(err);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = tool_start(-1, out[1], fileno(err), ON_SEGMENT, "dump", NULL);
    close(out[1]);
    assert_int_equal(read(out[0], buffer, 1), 1); /* it has its snapshot and writes */
    for (unsigned round = 0; round < 3; round++)
        change_all(actor, USERS, round);
    shm_store_info(store, &info);
    assert_true(info.held_bytes <= 200000);
    while ((got = read(out[0], buffer, sizeof(buffer))) > 0)
        ;
    close(out[0]);
    assert_int_equal(got, 0);
    assert_int_equal(tool_wait(pid), 1);
    rewind(err);
    assert_non_null(fgets(line, sizeof(line), err));
    assert_non_null(strstr(line, "the dump took too long: its snapshot was revoked"));
    assert_null(fgets(line, sizeof(line), err));
    fclose(err);
    shm_actor_leave(actor);
}

/* ---- beside a writer ---- */

enum { PAIRS = 2000, CHURN = 64 };

static void pair_of(struct shm_new_user users[2], uint8_t bodies[2][USER_BODY_MAX], unsigned pair,
                    unsigned round)
{
    for (unsigned i = 0; i < 2; i++) {
        users[i].body_len = (uint32_t)user_of(users[i].id, bodies[i], 2 * pair + i);
        bodies[i][users[i].body_len - 1] = (uint8_t)('A' + round % 26);
        users[i].body = bodies[i];
    }
}

/* Creates, updates and deletes users in pairs, for ever. So at each version either both users of a
 * pair exist and are of the same round, or neither exists. */
static _Noreturn void write_pairs(struct shm_store *store)
{
    struct shm_actor *actor;
    struct shm_new_user users[2] = {0};
    uint8_t bodies[2][USER_BODY_MAX], ids[2][SHM_ID_SIZE];
    struct shm_fault fault;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (shm_actor_join(&actor, store, SHM_ACTOR_WORKER, 1, &fault) != SHM_OK)
        _exit(1);
    for (unsigned round = 0;; round++) {
        unsigned pair = round * 7919 % PAIRS;
        pair_of(users, bodies, pair, round);
        int error = shm_users_update(actor, users, 2, NULL);
        if (error == SHM_ENOENT)
            error = shm_users_insert(actor, users, 2, NULL);
        if (error == SHM_OK && round % 3 == 0) {
            memcpy(ids[0], users[0].id, SHM_ID_SIZE);
            memcpy(ids[1], users[1].id, SHM_ID_SIZE);
            error = shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, 2, NULL);
        }
        if (error != SHM_OK && error != SHM_EBUSY)
            _exit(2);
        shm_actor_offline(actor);
        if (round % CHURN == 0)
            usleep(100); /* the machine may have only two processors */
    }
}

static uint64_t users_of_frame(const char *line)
{
    struct json_object *object = json_parse(line);
    uint64_t users = json_number_field(object, "users");
    json_object_put(object);
    return users;
}

/* Asserts that a dump is one snapshot: header and trailer state the number of its users, and both
 * users of a pair are of the same round. */
static void check_pairs(char *dump, unsigned char round_of[PAIRS])
{
    uint64_t seen = 0;
    char *save = NULL, *line = strtok_r(dump, "\n", &save), *last = NULL;
    uint64_t told = users_of_frame(line);
    memset(round_of, 0, PAIRS);
    while ((line = strtok_r(NULL, "\n", &save)) != NULL) {
        last = line;
        if (strncmp(line, "{\"rosterd_dump_end\"", 19) == 0)
            break;
        char *name = strstr(line, "\"username\":\"user");
        assert_non_null(name);
        unsigned pair = (unsigned)strtoul(name + 16, NULL, 10) / 2;
        unsigned char round = (unsigned char)line[strlen(line) - 4];
        assert_true(pair < PAIRS);
        if (round_of[pair] != 0 && round_of[pair] != round)
            fail_msg("pair %u is of rounds %c and %c", pair, round_of[pair], round);
        round_of[pair] = round;
        seen++;
    }
    assert_non_null(last);
    assert_int_equal(users_of_frame(last), seen);
    assert_int_equal(told, seen);
    assert_int_equal(seen % 2, 0);
    assert_true(seen > 0);
}

static void a_dump_beside_a_writer_is_one_snapshot(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_MASTER, 0);
    unsigned char round_of[PAIRS];
    struct shm_info before, after;
    (void)state;
    insert_many(actor, 0, 2 * PAIRS);
    change_all(actor, 2 * PAIRS, 0);
    shm_actor_leave(actor);
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0)
        write_pairs(store);
    shm_store_info(store, &before);
    for (unsigned i = 0; i < 20; i++) {
        struct tool_result got = tool_run(ON_SEGMENT, "dump", NULL);
        assert_string_equal(got.err, "");
        assert_int_equal(got.exit, 0);
        check_pairs(got.out, round_of);
        tool_free(&got);
    }
    shm_store_info(store, &after);
    kill(writer, SIGKILL);
    assert_int_equal(tool_wait(writer), 128 + SIGKILL);
    assert_true(after.version > before.version + 20); /* the writer did write */
}

/* ---- on a terminal ---- */

static void read_terminal(int terminal, char *text, size_t size)
{
    size_t len = 0;
    ssize_t got;
    while (len < size - 1 && (got = read(terminal, text + len, size - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
}

static void progress_is_shown_on_a_terminal_and_nowhere_else(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_MASTER, 0);
    int master, slave;
    char shown[65536];
    (void)state;
    insert_many(actor, 0, 20000);
    shm_actor_leave(actor);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    fcntl(master, F_SETFD, FD_CLOEXEC);
    fcntl(slave, F_SETFD, FD_CLOEXEC);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid = tool_start(-1, nowhere, slave, ON_SEGMENT, "dump", "--output", file_path(), NULL);
    assert_int_equal(tool_wait(pid), 0);
    pid = tool_start(-1, nowhere, slave, ON_SEGMENT, "load", file_path(), NULL);
    assert_int_equal(tool_wait(pid), 0);
    close(slave);
    read_terminal(master, shown, sizeof(shown));
    close(master);
    assert_non_null(strstr(shown, "\rdump [########################] 100 %  20000 users, "));
    assert_non_null(strstr(shown, "\rload [########################] 100 %  20000 users, "));
    for (char *line = shown; (line = strchr(line, '\r')) != NULL; line++)
        assert_true(strcspn(line + 1, "\r\n") < 80);

    /* A dump to the terminal itself must not be mixed with progress. */
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    fcntl(master, F_SETFD, FD_CLOEXEC);
    fcntl(slave, F_SETFD, FD_CLOEXEC);
    pid = tool_start(-1, slave, slave, "--segment", segment_name(), "list", "--limit", "0", NULL);
    assert_int_equal(tool_wait(pid), 0);
    pid = tool_start(-1, slave, slave, ON_SEGMENT, "dump", NULL);
    close(slave);
    do {
        read_terminal(master, shown, sizeof(shown));
        assert_null(strstr(shown, "dump ["));
    } while (shown[0] != '\0');
    assert_int_equal(tool_wait(pid), 0);
    close(master);
    close(nowhere);
}

int main(void)
{
#define TEST(test)     cmocka_unit_test_teardown(test, teardown)
#define ON_THREE(test) cmocka_unit_test_setup_teardown(test, segment_setup_three, teardown)
    const struct CMUnitTest tests[] = {
        ON_THREE(a_dump_has_all_users_oldest_first_between_two_lines),
        TEST(an_empty_table_gives_an_empty_dump),
        ON_THREE(a_dump_into_a_file_replaces_it_and_is_for_its_owner_alone),
        TEST(bytes_that_json_cannot_hold_end_a_dump_and_name_the_user),
        TEST(a_damaged_table_ends_a_dump),
        ON_THREE(a_place_that_cannot_be_written_is_named),
        ON_THREE(a_link_at_the_temporary_name_is_not_followed),
        TEST(without_a_slot_there_is_no_snapshot_to_dump),
        TEST(many_users_are_dumped_whole),
        TEST(a_dump_that_is_ended_by_a_signal_leaves_no_file),
        TEST(a_dump_that_takes_too_long_ends_with_an_error),
        TEST(a_dump_beside_a_writer_is_one_snapshot),
        TEST(progress_is_shown_on_a_terminal_and_nowhere_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
