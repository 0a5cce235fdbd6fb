/* SPDX-License-Identifier: MIT */
/* tail: following the changes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/core/layout.h"
#include "tests/inspect/tool.h"

static void update_user(struct shm_actor *actor, uint8_t id, const Userservice__User *user)
{
    uint8_t body[SHM_BODY_MAX];
    struct shm_new_user new_user = {.body = body};
    memset(new_user.id, id, sizeof(new_user.id));
    new_user.body_len = (uint32_t)userservice__user__pack(user, body);
    assert_int_equal(shm_users_update(actor, &new_user, 1, NULL), SHM_OK);
}

static void delete_user(struct shm_actor *actor, uint8_t id)
{
    uint8_t ids[1][SHM_ID_SIZE];
    memset(ids, id, sizeof(ids));
    assert_int_equal(shm_users_delete(actor, ids, 1, NULL), SHM_OK);
}

/* Waits until the tool has a slot and is idle. */
static void await_tool(struct shm_store *store)
{
    struct shm_slot_info info;
    for (unsigned tries = 0; tries < 1000; tries++) {
        unsigned from = 0;
        while (shm_slot_next(store, &from, &info))
            if (info.kind == SHM_ACTOR_TOOL && !info.online)
                return;
        usleep(10000);
    }
    fail_msg("the tool has taken no slot");
}

static void assert_line(struct tool_running *tool, const char *expected)
{
    const char *line = tool_line(tool);
    assert_non_null(line);
    assert_string_equal(line, expected);
}

static void assert_ends(struct tool_running *tool, int code)
{
    assert_null(tool_line(tool));
    struct tool_result got = tool_end(tool);
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, code);
    tool_free(&got);
}

static void tail_from_a_version_tells_what_came_after_it(void **state)
{
    (void)state;
    struct tool_result got = tool_run(ON_SEGMENT, "tail", "--from", "0", "--limit", "3", NULL);
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.out, "1\tcreated\t" ID_1 "\tada\n"
                                 "2\tcreated\t" ID_2 "\tbob\n"
                                 "3\tcreated\t" ID_3 "\tZo\xC3\xAB\n");
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "tail", "--json", "--from", "2", "--limit", "1", NULL);
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.out, "{\"version\":3,\"kind\":\"created\",\"seq\":3,\"id\":\"" ID_3
                                 "\",\"username\":\"Zo\xC3\xAB\"}\n");
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "tail", "--limit", "0", NULL);
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.out, "");
    tool_free(&got);
}

static void tail_from_a_version_to_come_is_refused(void **state)
{
    (void)state;
    struct tool_result got = tool_run(ON_SEGMENT, "tail", "--from", "4", NULL);
    tool_assert_failed(&got, 1, "--from: version 4 does not exist yet, the latest is 3");
    tool_free(&got);
}

static void tail_follows_what_happens(void **state)
{
    struct shm_store *store = segment_open();
    Userservice__User ada = user_make(BYTES("ada"), BYTES(""), 1);
    Userservice__User eve = user_make(BYTES("eve\n"), BYTES(""), 1);
    struct tool_running tool;
    (void)state;
    segment_insert(store, 1, &ada);
    tool_follow(&tool, ON_SEGMENT, "tail", NULL);
    await_tool(store);
    usleep(300000); /* until it has read the version from which it follows */
    segment_insert(store, 2, &eve);
    assert_line(&tool, "2\tcreated\t" ID_2 "\teve\\n");
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    update_user(actor, 1, &eve);
    assert_line(&tool, "3\tupdated\t" ID_1 "\teve\\n");
    delete_user(actor, 2);
    assert_line(&tool, "4\tdeleted\t" ID_2 "\t");
    shm_actor_leave(actor);
    kill(tool.pid, SIGINT);
    assert_ends(&tool, 0);
    unsigned from = 0;
    struct shm_slot_info info;
    assert_false(shm_slot_next(store, &from, &info));
    segment_close();
}

static void a_sleeping_tail_holds_up_no_grace_period(void **state)
{
    struct shm_store *store = segment_open();
    struct tool_running tool;
    struct shm_slot_info info;
    (void)state;
    tool_follow(&tool, ON_SEGMENT, "tail", NULL);
    await_tool(store);
    for (unsigned i = 0; i < 20; i++) {
        unsigned from = 0;
        assert_true(shm_slot_next(store, &from, &info));
        assert_false(info.online);
        assert_int_equal(info.snapshots, 0);
        usleep(1000);
    }
    kill(tool.pid, SIGTERM);
    assert_ends(&tool, 0);
    segment_close();
}

static void what_the_feed_has_lost_is_told_as_the_whole_table(void **state)
{
    struct shm_store *store = segment_open();
    Userservice__User ada = user_make(BYTES("ada"), BYTES(""), 1);
    struct tool_running tool;
    char marker[64];
    (void)state;
    segment_insert_three(store);
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    for (unsigned i = 0; i < SHM_FEED_SIZE + 10; i++)
        update_user(actor, 1, &ada);
    delete_user(actor, 2);
    tool_follow(&tool, ON_SEGMENT, "tail", "--from", "2", "--limit", "1", NULL);
    struct shm_info info;
    shm_store_info(store, &info);
    snprintf(marker, sizeof(marker), "%llu\tresync\t\t", (unsigned long long)info.version);
    assert_line(&tool, marker);
    const char *line = tool_line(&tool);
    assert_non_null(strstr(line, "\tresync-user\t" ID_1 "\tada"));
    line = tool_line(&tool);
    assert_non_null(strstr(line, "\tresync-user\t" ID_3 "\tZo"));
    update_user(actor, 3, &ada);
    line = tool_line(&tool);
    assert_non_null(strstr(line, "\tupdated\t" ID_3 "\tada"));
    shm_actor_leave(actor);
    assert_ends(&tool, 0);
    segment_close();
}

static void tail_ends_when_nobody_reads_it_any_more(void **state)
{
    struct shm_store *store = segment_open();
    struct tool_running tool;
    (void)state;
    tool_follow(&tool, ON_SEGMENT, "tail", NULL);
    await_tool(store);
    fclose(tool.out); /* no change: the tool has nothing to write, and must notice anyway */
    tool.out = NULL;
    struct tool_result got = tool_end(&tool);
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    segment_close();
}

static void tail_goes_on_beside_the_next_server_and_ends_with_the_segment(void **state)
{
    struct shm_store *store = segment_open();
    Userservice__User ada = user_make(BYTES("ada"), BYTES(""), 1);
    struct tool_running tool;
    (void)state;
    tool_follow(&tool, ON_SEGMENT, "tail", "--from", "0", NULL);
    await_tool(store);
    segment_close();
    store = segment_open();
    segment_insert(store, 1, &ada);
    assert_line(&tool, "1\tcreated\t" ID_1 "\tada");
    segment_close();
    segment_remove();
    assert_null(tool_line(&tool));
    struct tool_result got = tool_end(&tool);
    tool_assert_failed(&got, 3, "it was removed");
    tool_free(&got);
}

/* The users lie beyond what the tool has mapped, and the feed has no other changes. The tool cannot
 * read them and says why. */
static void tail_that_the_next_server_has_outgrown_says_so(void **state)
{
    struct shm_store *store =
        segment_open_as((struct shm_config){.size = 16 << 20, .max_users = 1000});
    static uint8_t body[SHM_BODY_MAX] = {0};
    struct shm_new_user user = {.body = body, .body_len = sizeof(body)};
    struct tool_running tool;
    (void)state;
    tool_follow(&tool, ON_SEGMENT, "tail", NULL);
    await_tool(store);
    segment_close();
    store = segment_open_as((struct shm_config){.size = 64 << 20, .max_users = 100000});
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    for (unsigned i = 0; i < 4000; i++) {
        memcpy(user.id, &i, sizeof(i));
        assert_int_equal(shm_users_insert(actor, &user, 1, NULL), SHM_OK);
    }
    shm_actor_leave(actor);
    while (tool_line(&tool) != NULL) {
    }
    struct tool_result got = tool_end(&tool);
    tool_assert_failed(&got, 1, "has grown since this process attached");
    tool_free(&got);
    segment_close();
}

int main(void)
{
#define BARE(test)     cmocka_unit_test_teardown(test, segment_teardown)
#define ON_THREE(test) cmocka_unit_test_setup_teardown(test, segment_setup_three, segment_teardown)
    const struct CMUnitTest tests[] = {
        ON_THREE(tail_from_a_version_tells_what_came_after_it),
        ON_THREE(tail_from_a_version_to_come_is_refused),
        BARE(tail_follows_what_happens),
        BARE(a_sleeping_tail_holds_up_no_grace_period),
        BARE(what_the_feed_has_lost_is_told_as_the_whole_table),
        BARE(tail_ends_when_nobody_reads_it_any_more),
        BARE(tail_goes_on_beside_the_next_server_and_ends_with_the_segment),
        BARE(tail_that_the_next_server_has_outgrown_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
