/* SPDX-License-Identifier: MIT */
/* workers and readers, and what status says about retired memory. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "shm/counters.h"
#include "tests/inspect/tool.h"
#include "user/user.h"

/* The n-th line of a command's JSON, from 0; NULL if there are fewer lines. */
static struct json_object *json_line(const char *command, unsigned n)
{
    struct tool_result got = tool_run(ON_SEGMENT, "--json", command, NULL);
    char *line = got.out;
    struct json_object *object = NULL;
    assert_int_equal(got.exit, 0);
    assert_string_equal(got.err, "");
    for (; n > 0 && *line != '\0'; n--)
        line = strchr(line, '\n') + 1;
    if (*line != '\0') {
        *strchr(line, '\n') = '\0';
        object = json_parse(line);
    }
    tool_free(&got);
    return object;
}

static void assert_number(struct json_object *object, const char *key, uint64_t value)
{
    assert_int_equal(json_number_field(object, key), value);
}

static void assert_flag(struct json_object *object, const char *key, bool value)
{
    assert_int_equal(json_object_get_boolean(json_field(object, key)), value);
}

/* ---- workers ---- */

static void workers_shows_who_takes_part(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_actor *master = segment_join(store, SHM_ACTOR_MASTER, 0);
    struct shm_actor *worker = segment_join(store, SHM_ACTOR_WORKER, 7);
    (void)state;
    shm_actor_online(worker);
    struct json_object *object = json_line("workers", 0);
    assert_string_equal(json_string_field(object, "kind"), "master");
    assert_number(object, "slot", shm_actor_slot(master));
    assert_number(object, "pid", (uint64_t)getpid());
    assert_flag(object, "alive", true);
    assert_string_equal(json_string_field(object, "state"), "idle");
    json_object_put(object);
    object = json_line("workers", 1);
    assert_string_equal(json_string_field(object, "kind"), "worker");
    assert_number(object, "number", 7);
    assert_string_equal(json_string_field(object, "state"), "busy");
    assert_number(object, "grace_periods_behind", 0);
    assert_true(json_number_field(object, "started_at") > 1700000000);
    json_object_put(object);
    assert_null(json_line("workers", 2));

    struct tool_result text = tool_run(ON_SEGMENT, "workers", NULL);
    assert_non_null(strstr(text.out, " idle "));
    assert_non_null(strstr(text.out, " busy "));
    tool_free(&text);
    shm_actor_leave(worker);
    shm_actor_leave(master);
    assert_null(json_line("workers", 0));
    segment_close();
}

static void workers_shows_how_far_a_reader_holds_up_the_grace_period(void **state)
{
    struct shm_store *store = segment_open();
    Userservice__User ada = user_make(BYTES("ada"), BYTES(""), 1);
    uint8_t body[64];
    struct shm_new_user update = {.body = body};
    (void)state;
    segment_insert(store, 1, &ada);
    memset(update.id, 1, sizeof(update.id));
    update.body_len = (uint32_t)userservice__user__pack(&ada, body);
    struct shm_actor *stopped = segment_join(store, SHM_ACTOR_WORKER, 1);
    struct shm_actor *writer = segment_join(store, SHM_ACTOR_WORKER, 2);
    shm_actor_online(stopped);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(shm_users_update(writer, &update, 1, NULL), SHM_OK);
    struct json_object *object = json_line("workers", 0);
    assert_number(object, "number", 1);
    assert_true(json_number_field(object, "grace_periods_behind") >= 5);
    json_object_put(object);
    object = json_line("status", 0);
    assert_number(object, "retired_bodies", 5);
    assert_true(json_number_field(object, "retired_bytes") >= 5 * 64);
    json_object_put(object);
    shm_actor_leave(stopped);
    shm_actor_leave(writer);
    segment_close();
}

static void workers_shows_the_counters_of_each(void **state)
{
    static const char *const names[] = {"grpc_server_started_total{grpc_method=\"GetUser\"}",
                                        "grpc_server_started_total{grpc_method=\"ListUsers\"}",
                                        "grpc_server_started_totals", "rosterd_connections_open"};
    struct shm_store *store = segment_open();
    struct shm_actor *first = segment_join(store, SHM_ACTOR_WORKER, 0);
    struct shm_actor *second = segment_join(store, SHM_ACTOR_WORKER, 1);
    struct shm_counters *counters;
    struct shm_fault fault = {{0}};
    (void)state;
    if (shm_counters_open(&counters, segment_name(), names, 4, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    uint64_t *row = shm_counters_row(counters, shm_actor_slot(second));
    shm_counter_add(&row[0], 40000);
    shm_counter_add(&row[1], 2);
    shm_counter_add(&row[2], 700);
    shm_counter_add(&row[3], 9);
    struct json_object *object = json_line("workers", 1);
    struct json_object *counts = json_field(object, "counters");
    assert_number(counts, names[0], 40000);
    assert_number(counts, names[3], 9);
    json_object_put(object);
    object = json_line("workers", 0);
    assert_int_equal(json_object_object_length(json_field(object, "counters")), 0);
    json_object_put(object);
    struct tool_result text = tool_run(ON_SEGMENT, "workers", NULL);
    assert_non_null(strstr(text.out, " 40002 "));
    tool_free(&text);
    shm_counters_close(counters);
    shm_actor_leave(first);
    shm_actor_leave(second);
    segment_close();
}

/* Joins and takes a snapshot in a child process and kills it. Returns its pid. */
static pid_t die_in_a_slot(struct shm_store *store)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct shm_actor *actor;
        struct shm_snapshot snapshot;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (shm_actor_join(&actor, store, SHM_ACTOR_WORKER, 3, NULL) == SHM_OK &&
            shm_snapshot_begin(actor, &snapshot) == SHM_OK)
            byte = 1;
        if (write(ready[1], &byte, 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    close(ready[0]);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

static void the_dead_are_shown_until_they_are_reaped(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    pid_t pid = die_in_a_slot(store);
    struct json_object *object = json_line("workers", 0);
    assert_number(object, "pid", (uint64_t)pid);
    assert_flag(object, "alive", false);
    assert_string_equal(json_string_field(object, "state"), "dead");
    assert_number(object, "snapshots", 1);
    json_object_put(object);
    object = json_line("readers", 0);
    assert_number(object, "pid", (uint64_t)pid);
    assert_flag(object, "alive", false);
    json_object_put(object);
    struct tool_result text = tool_run(ON_SEGMENT, "readers", NULL);
    assert_non_null(strstr(text.out, " dead\n"));
    tool_free(&text);
    assert_int_equal(shm_actor_reap(store), 1);
    assert_null(json_line("workers", 0));
    assert_null(json_line("readers", 0));
    segment_close();
}

/* ---- readers ---- */

static void readers_shows_what_a_snapshot_keeps(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_snapshot first, shared;
    uint8_t id[1][SHM_ID_SIZE];
    (void)state;
    segment_insert_three(store);
    struct shm_actor *reader = segment_join(store, SHM_ACTOR_WORKER, 4);
    struct shm_actor *writer = segment_join(store, SHM_ACTOR_WORKER, 5);
    assert_int_equal(shm_snapshot_begin(reader, &first), SHM_OK);
    assert_int_equal(shm_snapshot_begin(reader, &shared), SHM_OK);
    shm_actor_offline(reader);
    memset(id, 2, sizeof(id));
    assert_int_equal(shm_users_delete(writer, id, 1, NULL), SHM_OK);
    shm_actor_offline(writer);
    for (unsigned i = 0; i < 10; i++)
        shm_maintain(writer);
    shm_actor_offline(writer);

    struct json_object *object = json_line("readers", 0);
    assert_number(object, "slot", shm_actor_slot(reader));
    assert_number(object, "number", 4);
    assert_number(object, "version", first.version);
    assert_number(object, "versions_behind", 1);
    assert_number(object, "snapshots", 2);
    assert_number(object, "held_bodies", 1);
    assert_true(json_number_field(object, "held_bytes") >= 128);
    assert_true(json_number_field(object, "age_ms") < 60000);
    assert_flag(object, "revoked", false);
    json_object_put(object);
    assert_null(json_line("readers", 1));
    object = json_line("status", 0);
    assert_number(object, "held_bodies", 1);
    json_object_put(object);

    shm_snapshot_end(reader, &shared);
    shm_snapshot_end(reader, &first);
    object = json_line("readers", 0); /* ended; the pin is freed by the next reclaim */
    assert_number(object, "snapshots", 0);
    json_object_put(object);
    shm_actor_leave(reader);
    shm_actor_leave(writer);
    segment_close();
}

/* ---- status ---- */

static void status_names_the_unique_keys(void **state)
{
    struct shm_config config = {.name = segment_name(),
                                .size = UINT64_C(1) << 30,
                                .max_users = 1000,
                                .unique = 1u << USER_KEY_EMAIL,
                                .key_of = user_key_of,
                                .snapshot_max_bytes = 12345};
    struct shm_store *store;
    struct shm_fault fault = {{0}};
    (void)state;
    if (shm_store_open(&store, &config, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    shm_store_close(store);
    struct json_object *object = json_line("status", 0);
    struct json_object *unique = json_field(object, "unique");
    assert_int_equal(json_object_array_length(unique), 1);
    assert_string_equal(json_object_get_string(json_object_array_get_idx(unique, 0)), "email");
    assert_number(object, "snapshot_max_bytes", 12345);
    assert_number(object, "requests", 0);
    assert_flag(object, "rebuilding", false);
    assert_true(json_number_field(object, "bytes_free") > 0);
    json_object_put(object);
    struct tool_result text = tool_run(ON_SEGMENT, "status", NULL);
    assert_non_null(strstr(text.out, "unique          email\n"));
    tool_free(&text);
}

int main(void)
{
#define BARE(test) cmocka_unit_test_teardown(test, segment_teardown)
    const struct CMUnitTest tests[] = {
        BARE(workers_shows_who_takes_part),
        BARE(workers_shows_how_far_a_reader_holds_up_the_grace_period),
        BARE(workers_shows_the_counters_of_each),
        BARE(the_dead_are_shown_until_they_are_reaped),
        BARE(readers_shows_what_a_snapshot_keeps),
        BARE(status_names_the_unique_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
