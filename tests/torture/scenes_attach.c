/* SPDX-License-Identifier: MIT */
/* Scenes of new owners and of growth, with other processes there at the wrong moment. */
#include "tests/torture/storm_stage.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/error.h"
#include "shm/segment/grow.h"
#include "shm/store.h"

enum { MORE_USERS = 100000 };

static struct shm_config larger(void)
{
    return (struct shm_config){.name = storm_name,
                               .size = 256 << 20,
                               .max_users = MORE_USERS,
                               .unique = 3,
                               .key_of = storm_key_of};
}

static void leave_segment(void)
{
    shm_actor_leave(stage_actor);
    shm_store_close(storm_store);
    storm_store = NULL;
}

/* ---- a reader that comes while a table moves ---- */

static void stop_while_a_table_moves(const char *point)
{
    if (strcmp(point, "rebuild step") != 0 || shm_control()->rebuild.to.buckets == NULL)
        return;
    shm_test_hook = NULL;
    raise(SIGSTOP);
}

static pid_t start_owner(void (*hook)(const char *point))
{
    pid_t pid = storm_fork();
    if (pid == 0) {
        struct shm_store *store;
        struct shm_fault fault = {.text = ""};
        struct shm_config config = larger();
        shm_test_hook = hook;
        int rc = shm_store_open(&store, &config, &fault);
        if (rc == SHM_OK)
            storm_fail("an owner freed a table that a reader was using");
        if (rc != SHM_EBUSY)
            storm_fail("an owner failed while a reader was active: %s", fault.text);
        _exit(0);
    }
    return pid;
}

static pid_t start_reader(void)
{
    pid_t pid = storm_fork();
    if (pid == 0) {
        storm_become_tool(SHM_ATTACH_READ);
        struct shm_actor *actor = storm_join(SHM_ACTOR_TOOL, STORM_TOOL);
        shm_actor_online(actor);
        raise(SIGSTOP);
        shm_actor_leave(actor);
        _exit(0);
    }
    return pid;
}

void table_that_a_late_reader_knows_is_not_freed(void)
{
    struct shm_fault fault;
    struct shm_config config = larger();
    stage_begin(0);
    leave_segment();
    pid_t owner = start_owner(stop_while_a_table_moves);
    stage_wait_until_stopped(owner);
    pid_t reader = start_reader();
    stage_wait_until_stopped(reader);
    stage_continue_to_the_end(owner);
    stage_continue_to_the_end(reader);
    if (shm_store_open(&storm_store, &config, &fault) != SHM_OK)
        storm_fail("%s", fault.text);
    storm_model.max_users = MORE_USERS;
    stage_actor = storm_join(SHM_ACTOR_MASTER, 0);
    stage_end();
}

/* ---- growth ---- */

static void grow_late(struct shm_actor *actor)
{
    (void)actor;
    stage_signal_at("allocated", SIGSTOP);
    if (shm_grow(storm_store) != SHM_OK)
        storm_fail("the arena cannot grow");
}

void late_growth_never_shrinks_the_arena(void)
{
    enum { TIMES = 4 };
    stage_begin(0);
    pid_t pid = stage_start_until_stopped(grow_late);
    for (int i = 0; i < TIMES; i++)
        if (shm_grow(storm_store) != SHM_OK)
            storm_fail("the arena cannot grow while another process grows it");
    uint64_t end = shm_control()->arena_end;
    stage_continue_to_the_end(pid);
    if (shm_control()->arena_end < end)
        storm_fail("growth lost %llu bytes that another process had added",
                   (unsigned long long)(end - shm_control()->arena_end));
    stage_churn(1);
    stage_end();
}

/* ---- a name that is lost between open and lock ---- */

static pid_t start_owner_of_what_is_opened(void)
{
    stage_signal_at("file opened", SIGSTOP);
    pid_t pid = storm_fork();
    if (pid == 0) {
        struct shm_store *store;
        struct shm_fault fault = {.text = ""};
        struct shm_config config = larger();
        int rc = shm_store_open(&store, &config, &fault);
        if (rc == SHM_OK && !shm_store_has_name(store))
            storm_fail("an owner serves a segment that has no name");
        if (rc != SHM_OK && rc != SHM_EOWNED)
            storm_fail("an owner whose segment was replaced failed: %s", fault.text);
        _exit(0);
    }
    stage_signal_at(NULL, 0);
    return pid;
}

void owner_whose_file_was_replaced_refuses_to_serve_it(void)
{
    struct shm_fault fault;
    struct shm_store *other;
    struct shm_config config = larger();
    stage_begin(0);
    leave_segment();
    pid_t owner = start_owner_of_what_is_opened();
    stage_wait_until_stopped(owner);
    if (shm_store_unlink(storm_name, &fault) != SHM_OK ||
        shm_store_open(&other, &config, &fault) != SHM_OK)
        storm_fail("%s", fault.text);
    stage_continue_to_the_end(owner);
    if (!shm_store_has_name(other))
        storm_fail("an owner took another segment's name");
    shm_store_close(other);
    if (shm_store_unlink(storm_name, &fault) != SHM_OK)
        storm_fail("%s", fault.text);
    stage_begin(0);
    stage_end();
}
