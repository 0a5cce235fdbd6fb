/* SPDX-License-Identifier: MIT */
/* Processes that attach while others change the segment, and what they can do about dead
 * processes in it. */
#include "tests/shm/support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/careful.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/segment/grow.h"
#include "shm/segment/segment_file.h"
#include "shm/slots/slot.h"

void (*shm_test_hook)(const char *point);

enum { SMALL = 32 << 20, LARGE = 256 << 20, OLD_USERS = 100, USERS = 10000 };

static const char *kill_point;

static void kill_at_point(const char *point)
{
    if (strcmp(point, kill_point) == 0)
        raise(SIGKILL);
}

/* ---- a tool whose mapping is smaller than what a dead writer changed ---- */

static int to_tool[2], from_tool[2];
static int (*tool_does)(struct fixture *f);

static void say(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void hear(int fd)
{
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
}

/* removes the mapping inherited from the parent */
static void attach_and_wait(struct fixture *f, int mode)
{
    if (shm_store_attach(&f->store, f->name, (enum shm_attach_mode)mode, NULL, &f->fault) != SHM_OK)
        _exit(99);
    say(from_tool[1]);
    hear(to_tool[0]);
    _exit(tool_does(f));
}

static int tool_ends(pid_t tool)
{
    int status;
    say(to_tool[1]);
    assert_int_equal(waitpid(tool, &status, 0), tool);
    return status;
}

static void insert_and_die(struct fixture *f, int unused)
{
    struct shm_actor *actor;
    (void)unused;
    assert_int_equal(shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    shm_test_hook = kill_at_point;
    users_insert(actor, USERS, USERS + 10, 10);
}

static void config_size(struct fixture *f, uint64_t size)
{
    f->config.size = size;
    f->config.max_users = 2 * USERS;
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

/* Lets a tool attach to a small segment. The next owner's segment is larger, and grows beyond
 * what the tool has mapped. Then a writer of that owner dies at a point. @return the tool,
 * which waits */
static pid_t tool_is_outgrown(struct fixture *f, const char *point)
{
    assert_int_equal(pipe(to_tool), 0);
    assert_int_equal(pipe(from_tool), 0);
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    config_size(f, SMALL);
    users_insert(f->actor, 0, OLD_USERS, 10);
    fixture_close(f);
    pid_t tool = start_child(attach_and_wait, f, SHM_ATTACH_READ);
    hear(from_tool[0]);
    config_size(f, LARGE);
    for (uint64_t n = OLD_USERS; n < USERS; n++)
        assert_int_equal(user_insert(f->actor, n, SHM_BODY_MAX), SHM_OK);
    shm_actor_offline(f->actor);
    assert_true(shm_control()->alloc[SHM_ALLOC_ARENA_CUR] > SHM_BASE + SMALL);
    kill_point = point;
    assert_true(WIFSIGNALED(in_child(insert_and_die, f, 0)));
    return tool;
}

static void close_pipes(void)
{
    for (int i = 0; i < 2; i++) {
        close(to_tool[i]);
        close(from_tool[i]);
    }
}

static int find_outgrown(struct fixture *f)
{
    struct shm_verify_report report;
    if (shm_writer_lock(f->store) != SHM_EOUTGROWN)
        return 1; /* the lock of a dead holder */
    if (shm_writer_lock(f->store) != SHM_EOUTGROWN)
        return 2; /* no holder, but an unfinished commit in it */
    if (shm_writer_reap(f->store))
        return 3;
    return shm_store_verify(f->store, &report, NULL, NULL) == SHM_EOUTGROWN ? 0 : 4;
}

static void check_all_there(struct fixture *f, bool committed)
{
    uint64_t users = USERS + (committed ? 10 : 0);
    assert_int_equal(user_insert(f->actor, 2 * USERS, 64), SHM_OK);
    segment_check(f->store, users + 1);
    for (uint64_t n = USERS; n < users; n++)
        assert_user(f->actor, n);
}

/* Reads with a careful reader: a pointer beyond the mapping is no damage. */
static int read_outgrown(struct fixture *f)
{
    static struct shm_record record;
    struct shm_reader *reader;
    uint8_t id[SHM_ID_SIZE];
    int rc, users = 0;
    user_id(id, USERS - 1);
    if (shm_reader_open(&reader, f->store, &f->fault) != SHM_OK)
        return 1;
    if (shm_reader_find(reader, id, &record, &f->fault) != SHM_EOUTGROWN)
        return 2;
    if (shm_reader_begin(reader, 0, &f->fault) != SHM_OK)
        return 3;
    while ((rc = shm_reader_next(reader, &record, &f->fault)) == SHM_OK)
        users++;
    shm_reader_close(reader);
    return rc == SHM_EOUTGROWN && users >= OLD_USERS ? 0 : 4;
}

static void tool_that_reads_beyond_its_mapping_finds_no_damage(void **state)
{
    struct fixture *f = *state;
    tool_does = read_outgrown;
    pid_t tool = tool_is_outgrown(f, "sealed");
    assert_int_equal(tool_ends(tool), 0);
    check_all_there(f, true);
    close_pipes();
}

static void tool_that_cannot_replay_leaves_the_lock_to_others(void **state)
{
    struct fixture *f = *state;
    tool_does = find_outgrown;
    pid_t tool = tool_is_outgrown(f, "sealed");
    int status = tool_ends(tool);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(shm_log()->state, SHM_LOG_SEALED);
    check_all_there(f, true);
    close_pipes();
}

static void master_finishes_what_a_tool_had_to_leave(void **state)
{
    struct fixture *f = *state;
    tool_does = find_outgrown;
    pid_t tool = tool_is_outgrown(f, "half replayed");
    assert_int_equal(tool_ends(tool), 0);
    /* The reap finishes the commit; nobody holds the lock. */
    assert_true(shm_actor_reap(f->store) >= 1);
    assert_int_equal(shm_log()->state, SHM_LOG_IDLE);
    check_all_there(f, true);
    close_pipes();
}

static void next_owner_finishes_what_a_tool_had_to_leave(void **state)
{
    struct fixture *f = *state;
    tool_does = find_outgrown;
    pid_t tool = tool_is_outgrown(f, "sealed");
    assert_int_equal(tool_ends(tool), 0);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_all_there(f, true);
    close_pipes();
}

static int lock_and_unlock(struct fixture *f)
{
    if (shm_writer_lock(f->store) != SHM_OK)
        return 1;
    shm_writer_unlock();
    return 0;
}

static void tool_takes_a_dead_holders_lock_without_a_commit(void **state)
{
    struct fixture *f = *state;
    tool_does = lock_and_unlock;
    pid_t tool = tool_is_outgrown(f, "locked");
    assert_int_equal(tool_ends(tool), 0);
    check_all_there(f, false);
    close_pipes();
}

static int lock_and_die_recovered(struct fixture *f)
{
    kill_point = "recovered";
    shm_test_hook = kill_at_point;
    return shm_writer_lock(f->store);
}

static int lock_and_die_consistent(struct fixture *f)
{
    kill_point = "consistent";
    shm_test_hook = kill_at_point;
    return shm_writer_lock(f->store);
}

static void tool_killed_while_it_leaves_the_lock(struct fixture *f, int (*does)(struct fixture *f))
{
    tool_does = does;
    pid_t tool = tool_is_outgrown(f, "sealed");
    assert_true(WIFSIGNALED(tool_ends(tool)));
    assert_int_equal(shm_log()->state, SHM_LOG_SEALED);
    check_all_there(f, true);
    close_pipes();
}

static void tool_killed_before_it_leaves_the_lock_costs_nothing(void **state)
{
    tool_killed_while_it_leaves_the_lock(*state, lock_and_die_recovered);
}

static void tool_killed_before_it_unlocks_costs_nothing(void **state)
{
    tool_killed_while_it_leaves_the_lock(*state, lock_and_die_consistent);
}

/* A tool maps the arena read-only. If the kernel does not let it write, it cannot replay. */
static bool may_not_write, may_not_protect;

int mprotect(void *at, size_t length, int protection)
{
    bool writes = (protection & PROT_WRITE) != 0;
    if (writes ? may_not_write : may_not_protect) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_mprotect, at, length, protection);
}

static void lock_without_writing(struct fixture *f, int unused)
{
    (void)unused;
    /* Removes the mapping inherited from the parent. */
    munmap((void *)(uintptr_t)SHM_BASE, f->config.size);
    if (shm_store_attach(&f->store, f->name, SHM_ATTACH_READ, NULL, &f->fault) != SHM_OK)
        _exit(1);
    may_not_write = true;
    if (shm_writer_lock(f->store) != SHM_ESYS || shm_writer_lock(f->store) != SHM_ESYS)
        _exit(2);
}

/* A tool that reads but is not registered as a reader would keep using its table while a
 * takeover frees it. */
static void tool_that_cannot_map_read_only_does_not_attach(void **state)
{
    struct fixture *f = *state;
    struct shm_store *store;
    fixture_close(f);
    may_not_protect = true;
    int rc = shm_store_attach(&store, f->name, SHM_ATTACH_READ, NULL, &f->fault);
    may_not_protect = false;
    assert_int_equal(rc, SHM_ESYS);
    assert_non_null(strstr(f->fault.text, "cannot map it read-only"));
    assert_int_equal(fixture_reopen(f), SHM_OK); /* nothing is still mapped at the address */
}

static void tool_that_may_not_write_leaves_the_lock_to_others(void **state)
{
    struct fixture *f = *state;
    kill_point = "sealed";
    assert_true(WIFSIGNALED(in_child(insert_and_die, f, 0)));
    assert_int_equal(in_child(lock_without_writing, f, 0), 0);
    assert_int_equal(shm_log()->state, SHM_LOG_SEALED);
    assert_int_equal(user_insert(f->actor, 0, 64), SHM_OK);
    segment_check(f->store, 11);
}

static void invalid_log_is_replayed_by_no_process(void **state)
{
    struct fixture *f = *state;
    tool_does = find_outgrown;
    pid_t tool = tool_is_outgrown(f, "sealed");
    assert_int_equal(tool_ends(tool), 0);
    uint64_t right = shm_log()->entry[0].offset;
    shm_log()->entry[0].offset = shm_control()->arena_end - SHM_BASE;
    assert_int_equal(user_insert(f->actor, 2 * USERS, 64), SHM_ECORRUPT);
    assert_int_equal(user_insert(f->actor, 2 * USERS, 64), SHM_ECORRUPT);
    assert_false(shm_writer_reap(f->store));
    shm_log()->entry[0].offset = right;
    check_all_there(f, true);
    close_pipes();
}

/* ---- attaching while the segment changes ---- */

/* In the tool: lets the parent act now. */
static void ask_parent(const char *point)
{
    if (strcmp(point, "header read") != 0 && strcmp(point, "control page read") != 0)
        return;
    say(from_tool[1]);
    hear(to_tool[0]);
}

static void attach_asking(struct fixture *f, int fd)
{
    shm_test_hook = ask_parent;
    int rc;
    /* Removes the mapping inherited from the parent. */
    munmap((void *)(uintptr_t)SHM_BASE, f->config.size);
    if (fd < 0)
        rc = shm_store_attach(&f->store, f->name, SHM_ATTACH_READ, NULL, &f->fault);
    else
        rc = shm_store_inherit(&f->store, &f->config, fd, &f->fault);
    if (rc != SHM_OK)
        print_message("%s\n", f->fault.text);
    _exit(-rc);
}

static void grow_beside(struct fixture *f, int fd)
{
    int status;
    char byte;
    uint64_t end = shm_control()->arena_end;
    assert_int_equal(pipe(to_tool), 0);
    assert_int_equal(pipe(from_tool), 0);
    pid_t tool = start_child(attach_asking, f, fd);
    close(from_tool[1]);
    for (int times = 0; read(from_tool[0], &byte, 1) == 1; times++) {
        for (int i = 0; i < 4 && times < 3; i++) /* the loop must end in any case */
            assert_int_equal(shm_grow(f->store), SHM_OK);
        say(to_tool[1]);
    }
    assert_int_equal(waitpid(tool, &status, 0), tool);
    assert_true(shm_control()->arena_end > end);
    assert_int_equal(status, 0);
    close(from_tool[0]);
    close(to_tool[0]);
    close(to_tool[1]);
}

static void attach_while_the_arena_grows_is_not_refused(void **state)
{
    grow_beside(*state, -1);
}

static void upgrade_while_the_arena_grows_is_not_refused(void **state)
{
    struct fixture *f = *state;
    grow_beside(f, dup(shm_store_fd(f->store)));
}

/* The segment's first pages, mapped a second time, as another process would have them. */
static struct shm_control *other_control;
static struct shm_log *other_log;
static uint64_t right_count;

/* Finishes a commit that changes a table. One of its words had been stored when the control
 * page was read. */
static void finish_commit_at_point(const char *point)
{
    if (strcmp(point, "control page read") != 0)
        return;
    other_control->ids.count = right_count;
    other_log->state = SHM_LOG_IDLE;
}

static void attach_during_a_commit_is_not_refused(void **state)
{
    struct fixture *f = *state;
    struct shm_store *store;
    int fd = dup(shm_store_fd(f->store));
    users_insert(f->actor, 0, 10, 10);
    fixture_close(f);
    uint8_t *map = mmap(NULL, SHM_SLOTS_AT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    other_control = (void *)(map + SHM_CONTROL_AT);
    other_log = (void *)(map + SHM_LOG_AT);
    right_count = other_control->ids.count;
    other_control->ids.count = right_count << 20;
    other_log->count = 0;
    other_log->state = SHM_LOG_SEALED;
    shm_test_hook = finish_commit_at_point;
    int rc = shm_store_attach(&store, f->name, SHM_ATTACH_READ, NULL, &f->fault);
    shm_test_hook = NULL;
    if (rc != SHM_OK)
        fail_msg("%s", f->fault.text);
    shm_store_close(store);
    other_control->ids.count = right_count << 20; /* if it stays like this, it is wrong */
    assert_int_equal(shm_store_attach(&store, f->name, SHM_ATTACH_READ, NULL, &f->fault),
                     SHM_ECORRUPT);
    other_control->ids.count = right_count;
    munmap(map, SHM_SLOTS_AT);
    close(fd);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

/* ---- slots ---- */

static void join_as_tool(struct fixture *f, int argument)
{
    struct shm_actor *actor;
    (void)argument;
    _exit(-shm_actor_join(&actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault));
}

/* A number of slots that is no multiple of the step, and none of them free: there is no room for
 * another step, and nothing may be written beyond the slots. */
static void wrong_number_of_slots_is_found_and_not_added_to(void **state)
{
    struct fixture *f = *state;
    const unsigned wrong = SHM_SLOTS - SHM_SLOTS_STEP / 4;
    assert_int_equal(shm_file_fallocate(shm_store_fd(f->store), SHM_SLOTS_AT,
                                        wrong * sizeof(struct shm_slot), &f->fault),
                     SHM_OK);
    shm_slots_init(SHM_SLOTS_STEP, wrong);
    for (unsigned i = 1; i < wrong; i++)
        *(uint32_t *)(void *)&shm_slot(i)->life = 1; /* process 1 holds it, so it seems */
    shm_control()->slots_ready = wrong;
    int status = in_child(join_as_tool, f, 0);
    assert_int_equal(shm_control()->slots_ready, wrong);
    shm_control()->slots_ready = SHM_SLOTS_STEP;
    shm_slots_init(1, SHM_SLOTS_STEP);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), -SHM_ECORRUPT);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(tool_that_reads_beyond_its_mapping_finds_no_damage),
        WITH(tool_that_cannot_replay_leaves_the_lock_to_others),
        WITH(master_finishes_what_a_tool_had_to_leave),
        WITH(next_owner_finishes_what_a_tool_had_to_leave),
        WITH(tool_takes_a_dead_holders_lock_without_a_commit),
        WITH(tool_killed_before_it_leaves_the_lock_costs_nothing),
        WITH(tool_killed_before_it_unlocks_costs_nothing),
        WITH(tool_that_cannot_map_read_only_does_not_attach),
        WITH(tool_that_may_not_write_leaves_the_lock_to_others),
        WITH(invalid_log_is_replayed_by_no_process),
        WITH(attach_while_the_arena_grows_is_not_refused),
        WITH(upgrade_while_the_arena_grows_is_not_refused),
        WITH(attach_during_a_commit_is_not_refused),
        WITH(wrong_number_of_slots_is_found_and_not_added_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
