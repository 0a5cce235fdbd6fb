/* SPDX-License-Identifier: MIT */
/* The name of a live segment in /dev/shm, which other processes remove or take. */
#include "tests/shm/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/store_handle.h"
#include "shm/name.h"

static char path[300], kept[300];

static int setup(void **state)
{
    int rc = fixture_setup(state);
    struct fixture *f = *state;
    snprintf(path, sizeof(path), "/dev/shm%s", f->name);
    snprintf(kept, sizeof(kept), "/dev/shm/.%s.kept", f->name + 1);
    return rc;
}

static int teardown(void **state)
{
    unlink(kept);
    return fixture_teardown(state);
}

static void make_file(const char *at)
{
    int fd = open(at, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool same(const char *a, const char *b)
{
    struct stat one, two;
    return stat(a, &one) == 0 && stat(b, &two) == 0 && one.st_ino == two.st_ino;
}

static void removed_name_is_restored(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    assert_true(same(path, kept));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(unlink(path), 0);
        assert_false(shm_store_has_name(f->store));
        assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_RESTORED);
        assert_true(shm_store_has_name(f->store));
        assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    }
    char moved_to[256];
    assert_false(shm_store_release_name(f->store, moved_to));
    assert_int_not_equal(access(kept, F_OK), 0);
    assert_int_equal(access(path, F_OK), 0);
}

static void name_that_another_file_took_is_left_alone(void **state)
{
    struct fixture *f = *state;
    char moved_to[256], target[300];
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    assert_int_equal(unlink(path), 0);
    make_file(path);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_TAKEN);
    assert_false(same(path, kept));
    assert_true(shm_store_release_name(f->store, moved_to));
    snprintf(target, sizeof(target), "/dev/shm%s", moved_to);
    assert_int_equal(unlink(target), 0);
    assert_int_not_equal(access(kept, F_OK), 0);
}

static void no_other_owner_opens_the_name_while_its_owner_lives(void **state)
{
    struct fixture *f = *state;
    struct shm_store *other;
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(shm_store_open(&other, &f->config, &f->fault), SHM_EOWNED);
    assert_non_null(strstr(f->fault.text, "whose file was removed"));
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_RESTORED);
}

static void second_link_of_a_dead_server_is_adopted_or_removed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    assert_true(same(path, kept));
    fixture_close(f);
    assert_int_equal(unlink(path), 0); /* the users go with it */
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_not_equal(access(kept, F_OK), 0);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    assert_true(same(path, kept));
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    assert_int_not_equal(access(kept, F_OK), 0);
}

static void segment_without_links_is_saved_completely(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 1, 501, 100);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_LOST);
    shm_actor_leave(f->actor);
    f->actor = NULL;
    char saved_as[256];
    assert_int_equal(shm_store_save(f->store, NULL, &f->fault), SHM_OK);
    assert_int_equal(shm_store_save(f->store, NULL, &f->fault), SHM_EEXIST);
    assert_int_equal(shm_store_save(f->store, saved_as, &f->fault), SHM_OK);
    assert_memory_equal(saved_as, f->store->name, strlen(f->store->name));
    assert_int_equal(saved_as[strlen(f->store->name)], '.');
    shm_unlink(saved_as);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    segment_check(f->store, 500);
    for (uint64_t i = 1; i <= 500; i++)
        assert_user(f->actor, i);
}

/* A growth was killed after its memory was allocated, and the next owner's limit is lower. */
static void segment_whose_file_is_longer_than_its_limit_is_saved(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 1, 501, 100);
    const off_t size = 32 << 20, more = 8 << 20;
    assert_int_equal(fallocate(f->store->fd, 0, size, more), 0);
    assert_int_equal(pwrite(f->store->fd, "", 1, size + 1), 1); /* zeroed, like a huge page */
    fixture_close(f);
    f->config.size = (uint64_t)size;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(unlink(path), 0);
    shm_actor_leave(f->actor);
    f->actor = NULL;
    if (shm_store_save(f->store, NULL, &f->fault) != SHM_OK)
        fail_msg("%s", f->fault.text);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    segment_check(f->store, 500);
}

static void names_of_counters_are_refused(void **state)
{
    struct fixture *f = *state;
    struct shm_store *store;
    struct shm_config config = f->config;
    char moved_to[256];
    config.name = "/rosterd-test.stats";
    assert_int_equal(shm_store_open(&store, &config, &f->fault), SHM_EINVAL);
    assert_int_equal(shm_store_unlink(config.name, &f->fault), SHM_EINVAL);
    assert_int_equal(shm_store_set_aside(config.name, moved_to, &f->fault), SHM_EINVAL);
    assert_int_equal(shm_store_attach(&store, config.name, SHM_ATTACH_READ, NULL, &f->fault),
                     SHM_EINVAL);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(removed_name_is_restored),
        WITH(name_that_another_file_took_is_left_alone),
        WITH(no_other_owner_opens_the_name_while_its_owner_lives),
        WITH(second_link_of_a_dead_server_is_adopted_or_removed),
        WITH(segment_without_links_is_saved_completely),
        WITH(segment_whose_file_is_longer_than_its_limit_is_saved),
        WITH(names_of_counters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
