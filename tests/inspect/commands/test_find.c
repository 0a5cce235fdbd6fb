/* SPDX-License-Identifier: MIT */
/* find: by id, by key, by a filter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container_of.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/error.h"
#include "tests/inspect/tool.h"
#include "tests/inspect/users_file.h"
#include "user/filter/filter.h"

#define SECRET "$2b$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghi"

/* ann is disabled and has a label and a password; bob is an admin; Bob has neither. */
static struct shm_store *open_people(unsigned unique)
{
    struct user_label team = {text_make("team"), text_make("blue,red")};
    struct user_text admin = text_make("admin");
    struct user_record ann = {
        .fields = {.username = text_make("ann"), .email = text_make("ann@A.org")},
        .disabled = true,
        .update_time = 1700000001500000000,
        .labels = &team,
        .num_labels = 1,
        .secret = text_make(SECRET)};
    struct user_record bob = {
        .fields = {.username = text_make("bob"), .roles = &admin, .num_roles = 1}};
    struct user_record other = {.fields = {.username = text_make("Bob")}};
    struct shm_store *store = segment_open_as((struct shm_config){
        .size = UINT64_C(1) << 30, .max_users = 200000, .unique = unique, .key_of = user_key_of});
    segment_insert_record(store, 1, &ann);
    segment_insert_record(store, 2, &bob);
    segment_insert_record(store, 3, &other);
    return store;
}

#define ANN                                                                                        \
    "1\t" ID_1 "\t1970-01-01T00:00:00Z\tann\tann@A.org\t\t2023-11-14T22:13:21.500Z\t"              \
    "disabled,password\tteam=blue,red\n"
#define BOB   "2\t" ID_2 "\t1970-01-01T00:00:00Z\tbob\t\tadmin\t1970-01-01T00:00:00Z\t\t\n"
#define OTHER "3\t" ID_3 "\t1970-01-01T00:00:00Z\tBob\t\t\t1970-01-01T00:00:00Z\t\t\n"

static void assert_found(const char *out, struct tool_result got)
{
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.out, out);
    tool_free(&got);
}

static void assert_nobody(const char *what, struct tool_result got)
{
    tool_assert_failed(&got, 1, what);
    assert_string_equal(got.out, "");
    tool_free(&got);
}

static void user_is_found_by_id_username_and_email(void **state)
{
    (void)state;
    for (unsigned unique = 0; unique <= 3; unique += 3) { /* without and with indexes */
        open_people(unique);
        assert_found(ANN, tool_run(ON_SEGMENT, "find", ID_1, NULL));
        assert_found(BOB, tool_run(ON_SEGMENT, "find", "username:bob", NULL));
        assert_found(BOB, tool_run(ON_SEGMENT, "find", "--username", "bob", NULL));
        assert_found(ANN, tool_run(ON_SEGMENT, "find", "email:ann@a.ORG", NULL));
        assert_found(ANN, tool_run(ON_SEGMENT, "find", "--email", "ann@a.org", NULL));
        assert_nobody("no user username:eve in",
                      tool_run(ON_SEGMENT, "find", "username:eve", NULL));
        assert_nobody("no user with the e-mail Ann@a.org in",
                      tool_run(ON_SEGMENT, "find", "--email", "Ann@a.org", NULL));
        assert_nobody("no user ann: a user is an id (a UUID), username:NAME or email:ADDRESS",
                      tool_run(ON_SEGMENT, "find", "ann", NULL));
        assert_nobody("no user with the e-mail  in",
                      tool_run(ON_SEGMENT, "find", "--email", "", NULL));
        segment_close();
        segment_remove();
    }
}

static void all_users_of_one_name_are_found(void **state)
{
    struct shm_store *store = open_people(0);
    struct user_record twin = {.fields = {.username = text_make("ann")}};
    (void)state;
    segment_insert_record(store, 4, &twin);
    assert_found(ANN "4\t04040404-0404-0404-0404-040404040404\t1970-01-01T00:00:00Z\tann\t\t\t"
                     "1970-01-01T00:00:00Z\t\t\n",
                 tool_run(ON_SEGMENT, "find", "username:ann", NULL));
}

static void filter_finds_those_who_match(void **state)
{
    static const struct {
        const char *filter, *out;
    } cases[] = {
        {"disabled", ANN},
        {"NOT disabled", BOB OTHER},
        {"roles:admin OR has_password = true", ANN BOB},
        {"username = \"b*\"", BOB},
        {"username = bob", BOB},
        {"username = bob AND disabled", ""},
        {"email = \"ann@a.org\"", ANN},
        {"labels.team = \"blue,red\"", ANN},
        {"update_time > \"2023-01-01T00:00:00Z\"", ANN},
        {"", ANN BOB OTHER},
    };
    (void)state;
    for (unsigned unique = 0; unique <= 3; unique += 3) {
        open_people(unique);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            assert_found(cases[i].out,
                         tool_run(ON_SEGMENT, "find", "--filter", cases[i].filter, NULL));
        assert_found(ANN, tool_run(ON_SEGMENT, "find", "--filter", "", "--limit", "1", NULL));
        assert_found("", tool_run(ON_SEGMENT, "find", "--filter", "", "--limit", "0", NULL));
        segment_close();
        segment_remove();
    }
}

static void json_has_all_but_the_secret(void **state)
{
    (void)state;
    open_people(3);
    assert_found("{\"id\":\"" ID_1 "\",\"username\":\"ann\",\"email\":\"ann@A.org\","
                 "\"created_at\":0,\"roles\":[],\"disabled\":true,\"labels\":{\"team\":"
                 "\"blue,red\"},\"update_time\":\"2023-11-14T22:13:21.500Z\",\"has_password\":"
                 "true,\"etag\":\"\\\"1\\\"\",\"seq\":1}\n",
                 tool_run("--json", ON_SEGMENT, "find", "--filter", "disabled", NULL));
}

static void wrong_filter_says_where(void **state)
{
    (void)state;
    open_people(0);
    struct tool_result got = tool_run(ON_SEGMENT, "find", "--filter", "nothing = 1", NULL);
    tool_assert_failed(&got, 2, "--filter: ");
    tool_free(&got);
}

static struct shm_node *oldest_node(void)
{
    return container_of(((struct shm_control *)(uintptr_t)(SHM_BASE + SHM_CONTROL_AT))->order.next,
                        struct shm_node, order);
}

/* The oldest user is damaged: a scan of the table would report it. */
static void filter_of_a_key_uses_the_index(void **state)
{
    (void)state;
    open_people(3);
    oldest_node()->body->bytes[0] ^= 1;
    assert_found(BOB,
                 tool_run(ON_SEGMENT, "find", "--filter", "username = bob AND roles:admin", NULL));
    struct tool_result got = tool_run(ON_SEGMENT, "find", "--filter", "roles:admin", NULL);
    assert_int_equal(got.exit, 4);
    assert_string_equal(got.out, BOB); /* the others are still found */
    tool_free(&got);
}

/* What a tool's slot shows while the tool runs. */
struct watched {
    uint64_t first, last; /* grace periods */
    uint64_t behind;      /* the most of them that began in one read section */
};

static void watch_slot(struct shm_store *store, pid_t pid, struct watched *watched)
{
    struct shm_slot_info slot;
    for (unsigned from = 0; shm_slot_next(store, &from, &slot);) {
        if (slot.pid != (uint32_t)pid || slot.snapshots == 0)
            continue;
        watched->last = __atomic_load_n(&shm_control()->gp, __ATOMIC_RELAXED);
        watched->first = watched->first == 0 ? watched->last : watched->first;
        if (slot.online && slot.behind > watched->behind)
            watched->behind = slot.behind;
    }
}

/* A filter that takes as long as a filter can, so that the scan lasts for many turns of a busy
 * machine's scheduler. Nobody matches. */
static const char *slow_filter(void)
{
    static char text[FILTER_TEXT_MAX];
    size_t len = 0;
    for (int term = 0; term < FILTER_TERMS_MAX; term++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%slabels.none = \"%d\"",
                                term == 0 ? "" : " OR ", term);
    return text;
}

/* Nobody matches, so nothing is printed in between: the scan pauses all the same, and no read
 * section is as long as a fourth of it. */
static void long_scan_holds_up_no_grace_period(void **state)
{
    enum { USERS = 100000, RUNS = 20, LEAST = 40 };
    struct shm_store *store = open_people(0);
    struct user_record user = segment_record(store, 3);
    bool paused = false;

    (void)state;
    file_write_users(0, USERS);
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_MASTER, 0);
    uint8_t body[USER_BODY_MAX];
    struct shm_new_user changed = {.body = body,
                                   .body_len = (uint32_t)user_body_encode(body, &user.fields)};
    memset(changed.id, 3, sizeof(changed.id));
    for (int run = 0; run < RUNS && !paused; run++) {
        struct watched watched = {0};
        pid_t pid = tool_start(-1, -1, -1, ON_SEGMENT, "find", "--filter", slow_filter(), NULL);
        while (waitpid(pid, NULL, WNOHANG) == 0) {
            assert_int_equal(shm_users_update(actor, &changed, 1, NULL), SHM_OK);
            shm_maintain(actor);
            shm_actor_offline(actor);
            watch_slot(store, pid, &watched);
        }
        paused = watched.last - watched.first >= LEAST &&
                 4 * watched.behind < watched.last - watched.first;
    }
    shm_actor_leave(actor);
    assert_true(paused);
}

static int teardown(void **state)
{
    file_remove();
    return segment_teardown(state);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_teardown(test, teardown)
    const struct CMUnitTest tests[] = {
        TEST(user_is_found_by_id_username_and_email),
        TEST(all_users_of_one_name_are_found),
        TEST(filter_finds_those_who_match),
        TEST(json_has_all_but_the_secret),
        TEST(wrong_filter_says_where),
        TEST(filter_of_a_key_uses_the_index),
        TEST(long_scan_holds_up_no_grace_period),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
