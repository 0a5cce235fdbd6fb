/* SPDX-License-Identifier: MIT */
/* A program that runs as root, and a segment into which another user may write anything. */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/mapping.h"
#include "shm/segment/segment_file.h"
#include "tests/shm/support.h"

enum { SOMEBODY = 12345 };

static int order[2], done[2]; /* pipes to the user's process and back */

static volatile uint64_t victim[4];

/* On unlock, the C library removes a mutex from the list of mutexes that the thread holds: it
 * stores `next` at `prev`, and the reverse. */
static void aim_at_victim(unsigned slot)
{
    pthread_mutex_t *life = &shm_slot(slot)->life;
    life->__data.__list.__next = (void *)(uintptr_t)&victim[2];
    life->__data.__list.__prev = (void *)(uintptr_t)&victim[0];
}

static void own_segment(struct fixture *f, int argument)
{
    unsigned slot;
    (void)argument;
    if (shm_store_unlink(f->name, NULL) != SHM_OK || setgroups(0, NULL) != 0 ||
        setgid(SOMEBODY) != 0 || setuid(SOMEBODY) != 0 || fixture_reopen(f) != SHM_OK ||
        write(done[1], "", 1) != 1)
        _exit(1);
    if (read(order[0], &slot, sizeof(slot)) == sizeof(slot)) {
        aim_at_victim(slot);
        if (write(done[1], "", 1) != 1)
            _exit(1);
    }
    pause();
}

/* @return the user's process */
static pid_t start_segment_owner(struct fixture *f)
{
    char byte;
    fixture_close(f);
    assert_int_equal(pipe(order), 0);
    assert_int_equal(pipe(done), 0);
    pid_t pid = start_child(own_segment, f, 0);
    close(order[0]);
    close(done[1]);
    assert_int_equal(read(done[0], &byte, 1), 1);
    return pid;
}

static void end_segment_owner(struct fixture *f, pid_t pid)
{
    close(order[1]);
    close(done[0]);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static bool is_root(void)
{
    if (geteuid() == 0)
        return true;
    print_message("not running as root: the tests that need root are left out\n");
    return false;
}

static void use_as_root(struct fixture *f, struct shm_store *store)
{
    struct shm_actor *actor;
    char byte;
    assert_int_equal(shm_actor_join(&actor, store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    unsigned slot = shm_actor_slot(actor);
    assert_int_equal(write(order[1], &slot, sizeof(slot)), sizeof(slot));
    assert_int_equal(read(done[0], &byte, 1), 1);
    shm_actor_leave(actor);
}

static void owner_of_a_segment_cannot_write_into_a_process_of_root(void **state)
{
    struct fixture *f = *state;
    struct shm_store *store;
    if (!is_root())
        return;
    pid_t pid = start_segment_owner(f);
    int rc = shm_store_attach(&store, f->name, SHM_ATTACH_WRITE, NULL, &f->fault);
    if (rc == SHM_OK) {
        use_as_root(f, store);
        shm_store_close(store);
    }
    end_segment_owner(f, pid);
    for (size_t i = 0; i < sizeof(victim) / sizeof(victim[0]); i++)
        assert_int_equal(victim[i], 0);
}

static void root_is_refused_in_each_mode(void **state)
{
    struct fixture *f = *state;
    struct shm_store *store;
    int rc[2];
    if (!is_root())
        return;
    pid_t pid = start_segment_owner(f);
    rc[0] = shm_store_attach(&store, f->name, SHM_ATTACH_READ, NULL, &f->fault);
    rc[1] = shm_store_attach(&store, f->name, SHM_ATTACH_WRITE, NULL, &f->fault);
    end_segment_owner(f, pid);
    assert_int_equal(rc[0], SHM_EPERM);
    assert_int_equal(rc[1], SHM_EPERM);
}

static void user_of_a_segment_is_reported(void **state)
{
    struct fixture *f = *state;
    uid_t uid;
    gid_t gid;
    assert_int_equal(shm_store_user(f->name, &uid, &gid, NULL), SHM_OK);
    assert_int_equal(uid, geteuid());
    assert_int_equal(gid, getegid());
    assert_int_equal(shm_store_user("/rosterd-test-none", &uid, &gid, NULL), SHM_ENOSEG);
    assert_int_equal(shm_store_user("none", &uid, &gid, NULL), SHM_EINVAL);
    if (!is_root())
        return;
    pid_t pid = start_segment_owner(f);
    int rc = shm_store_user(f->name, &uid, &gid, NULL);
    end_segment_owner(f, pid);
    assert_int_equal(rc, SHM_OK);
    assert_int_equal(uid, SOMEBODY);
    assert_int_equal(gid, SOMEBODY);
}

static void root_removes_and_sets_aside_any_users_segment(void **state)
{
    struct fixture *f = *state;
    char aside[256], path[300];
    if (!is_root())
        return;
    pid_t pid = start_segment_owner(f);
    int owned = shm_store_set_aside(f->name, aside, NULL);
    end_segment_owner(f, pid); /* removes the segment */
    assert_int_equal(owned, SHM_EOWNED);
    fixture_close(f);
    assert_int_equal(shm_file_path(path, f->name, NULL), SHM_OK);
    assert_int_equal(chown(path, SOMEBODY, SOMEBODY), 0);
    assert_int_equal(shm_store_set_aside(f->name, aside, NULL), SHM_OK);
    assert_int_equal(shm_store_unlink(aside, NULL), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void free_base_is_distinguished_from_a_taken_one(void **state)
{
    struct fixture *f = *state;
    assert_false(shm_base_free()); /* the fixture's segment is mapped there */
    fixture_close(f);
    assert_true(shm_base_free());
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

int main(void)
{
#define WITH_SEGMENT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_SEGMENT(owner_of_a_segment_cannot_write_into_a_process_of_root),
        WITH_SEGMENT(root_is_refused_in_each_mode),
        WITH_SEGMENT(user_of_a_segment_is_reported),
        WITH_SEGMENT(root_removes_and_sets_aside_any_users_segment),
        WITH_SEGMENT(free_base_is_distinguished_from_a_taken_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
