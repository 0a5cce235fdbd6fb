/* SPDX-License-Identifier: MIT */
/* A segment in a directory of its own, which only its user may write. */
#include "tests/shm/support.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/counters.h"

static char directory[100], name[120], other[120];

/* The fixture's own segment stays; each test has one in a directory instead. */
static int setup(void **state)
{
    int rc = fixture_setup(state);
    struct fixture *f = *state;
    snprintf(directory, sizeof(directory), "/dev/shm%s.d", f->name);
    snprintf(name, sizeof(name), "%s.d/users", f->name);
    snprintf(other, sizeof(other), "%s.e/users", f->name);
    fixture_close(f);
    f->config.name = name;
    return rc;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st;
    (void)type;
    (void)place;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[140];
    if (f->store != NULL)
        fixture_close(f);
    nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    snprintf(path, sizeof(path), "/dev/shm%s.e", f->name);
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    f->config.name = f->name;
    return fixture_reopen(f) == SHM_OK ? fixture_teardown(state) : -1;
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_mode : 0;
}

static bool is_there(const char *file)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", directory, file);
    return S_ISREG(mode_of(path));
}

static void directory_is_made_and_has_all_files(void **state)
{
    struct fixture *f = *state;
    static const char *const counts[] = {"calls"};
    struct shm_counters *counters;
    assert_false(shm_store_exists(name));
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_true(shm_store_exists(name));
    assert_int_equal(mode_of(directory), S_IFDIR | 0750);
    users_insert(f->actor, 0, 100, 10);
    assert_int_equal(shm_counters_open(&counters, name, counts, 1, &f->fault), SHM_OK);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    assert_true(is_there("users") && is_there("users.stats") && is_there(".users.kept"));
    shm_counters_close(counters);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_users(f->store), 100);
}

static void name_in_a_directory_is_restored(void **state)
{
    struct fixture *f = *state;
    char path[140];
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    snprintf(path, sizeof(path), "/dev/shm%s", name);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_RESTORED);
    assert_true(is_there("users"));
}

/* @return what an open and an attach of a tool returned, the same */
static int refusal(struct fixture *f)
{
    struct shm_store *store;
    int rc = fixture_reopen(f);
    if (rc == SHM_OK)
        fixture_close(f);
    else
        f->store = NULL;
    assert_int_equal(shm_store_attach(&store, name, SHM_ATTACH_WRITE, NULL, NULL), rc);
    return rc;
}

static void directory_that_others_may_change_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    fixture_close(f);
    static const mode_t modes[] = {0777, 0770, 0702};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(directory, modes[i]), 0);
        assert_int_equal(refusal(f), SHM_EPERM);
        assert_non_null(strstr(f->fault.text, "others may write the directory /dev/shm/"));
        assert_int_equal(shm_store_unlink(name, &f->fault), SHM_EPERM);
    }
    assert_int_equal(chmod(directory, 0755), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(directory, 65534, 0), 0);
        assert_int_equal(refusal(f), SHM_EPERM);
        assert_non_null(strstr(f->fault.text, "belongs to user 65534, this is user 0"));
        assert_int_equal(chown(directory, 0, 0), 0);
    }
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void what_is_no_directory_is_refused(void **state)
{
    struct fixture *f = *state;
    char elsewhere[140];
    snprintf(elsewhere, sizeof(elsewhere), "/dev/shm%s.e", f->name);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    assert_int_equal(symlink(elsewhere, directory), 0);
    assert_int_equal(fixture_reopen(f), SHM_EPERM);
    f->store = NULL;
    assert_non_null(strstr(f->fault.text, ".d is no directory, and belongs to user "));
    assert_int_equal(unlink(directory), 0);
    int fd = open(directory, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(fixture_reopen(f), SHM_EPERM);
    f->store = NULL;
    assert_int_equal(unlink(directory), 0);
}

static void segment_is_moved_into_a_directory(void **state)
{
    struct fixture *f = *state;
    char moved_to[256];
    f->config.name = f->name; /* the fixture's own segment */
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, 100, 10);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    assert_int_equal(shm_store_move(f->name, name, &f->fault), SHM_EOWNED);
    fixture_close(f); /* as a kill: the second link stays */
    assert_int_equal(shm_store_move(f->name, name, &f->fault), SHM_OK);
    assert_false(shm_store_exists(f->name));
    char kept[140];
    snprintf(kept, sizeof(kept), "/dev/shm/.%s.kept", f->name + 1);
    assert_int_equal(mode_of(kept), 0);
    f->config.name = name;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_users(f->store), 100);
    fixture_close(f);
    assert_int_equal(shm_store_set_aside(name, moved_to, &f->fault), SHM_OK);
    assert_memory_equal(moved_to, name, strlen(name));
    assert_int_equal(shm_store_move(moved_to, other, &f->fault), SHM_OK);
    assert_int_equal(shm_store_unlink(other, &f->fault), SHM_OK);
    f->store = NULL;
}

/* "/NAME.d", so that the directory of `name` takes its place. */
static void make_segment_in_place_of_the_directory(struct fixture *f)
{
    static const char *const counts[] = {"calls"};
    struct shm_counters *counters;
    static char before[100];
    snprintf(before, sizeof(before), "%s", directory + strlen("/dev/shm"));
    f->config.name = before;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, 100, 10);
    assert_int_equal(shm_counters_open(&counters, before, counts, 1, &f->fault), SHM_OK);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    assert_int_equal(shm_counters_hold_name(counters), SHM_NAME_OURS);
    assert_int_equal(shm_store_move_inside(before, "users", &f->fault), SHM_EOWNED);
    shm_counters_close(counters); /* as a kill: the second links stay */
    fixture_close(f);
}

static void assert_moved(struct fixture *f)
{
    char path[200];
    struct stat st;
    assert_true(is_there("users") && is_there("users.stats"));
    assert_int_equal(mode_of(directory), S_IFDIR | 0750);
    static const char *const gone[] = {"%s.stats", "/dev/shm/.%s.kept", "/dev/shm/.%s.stats.kept"};
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        snprintf(path, sizeof(path), gone[i], i == 0 ? directory : strrchr(directory, '/') + 1);
        assert_int_equal(mode_of(path), 0);
    }
    snprintf(path, sizeof(path), "/dev/shm%s", name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_nlink, 1); /* else unlink would not free its memory */
    f->config.name = name;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_users(f->store), 100);
}

static void segment_changes_places_with_its_directory(void **state)
{
    struct fixture *f = *state;
    make_segment_in_place_of_the_directory(f);
    assert_int_equal(shm_store_move_inside(f->config.name, "users", &f->fault), SHM_OK);
    assert_moved(f);
}

/* What the kill of a move leaves, before and after the change of places. */
static void next_start_ends_a_move_that_was_killed(void **state)
{
    struct fixture *f = *state;
    char ready[100], inside[120], stats[120];
    make_segment_in_place_of_the_directory(f);
    snprintf(ready, sizeof(ready), "/dev/shm/.rosterd-move-%d", (int)getpid());
    snprintf(inside, sizeof(inside), "%s/users", ready);
    snprintf(stats, sizeof(stats), "%s.stats", directory);
    assert_int_equal(mkdir(ready, 0750), 0);
    assert_int_equal(link(directory, inside), 0);
    shm_store_end_moves(f->config.name, name);
    assert_int_equal(mode_of(ready), 0);
    assert_true(shm_store_exists(f->config.name));

    assert_int_equal(mkdir(ready, 0750), 0);
    assert_int_equal(link(directory, inside), 0);
    strcat(inside, ".stats");
    assert_int_equal(link(stats, inside), 0);
    assert_int_equal(renameat2(AT_FDCWD, ready, AT_FDCWD, directory, RENAME_EXCHANGE), 0);
    shm_store_end_moves(f->config.name, name);
    assert_int_equal(mode_of(ready), 0);
    assert_moved(f);
}

/* A segment's only link is never removed. */
static void end_of_moves_removes_no_last_link(void **state)
{
    struct fixture *f = *state;
    char ready[100];
    make_segment_in_place_of_the_directory(f);
    snprintf(ready, sizeof(ready), "/dev/shm/.rosterd-move-%d", (int)getpid());
    char kept[140];
    snprintf(kept, sizeof(kept), "/dev/shm/.%s.kept", strrchr(directory, '/') + 1);
    assert_int_equal(unlink(kept), 0);
    assert_int_equal(rename(directory, ready), 0);
    shm_store_end_moves(f->config.name, name);
    assert_int_equal(mode_of(ready) & S_IFMT, S_IFREG);
    assert_int_equal(unlink(ready), 0);
    char stats[120];
    snprintf(stats, sizeof(stats), "%s.stats", directory);
    assert_int_equal(unlink(stats), 0);
    snprintf(kept, sizeof(kept), "/dev/shm/.%s.stats.kept", strrchr(directory, '/') + 1);
    (void)unlink(kept);
    f->store = NULL;
}

static void foreign_file_in_an_own_directory_is_set_aside(void **state)
{
    struct fixture *f = *state;
    char path[140], moved_to[256];
    if (geteuid() != 0)
        return; /* only root can make another user's file */
    assert_int_equal(mkdir(directory, 0750), 0);
    snprintf(path, sizeof(path), "/dev/shm%s", name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchown(fd, 65534, 65534), 0);
    close(fd);
    strcat(path, ".stats");
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchown(fd, 65534, 65534), 0);
    close(fd);
    assert_int_equal(fixture_reopen(f), SHM_EPERM);
    f->store = NULL;
    assert_non_null(strstr(f->fault.text, "belongs to user 65534"));
    assert_int_equal(shm_store_set_aside(name, moved_to, &f->fault), SHM_OK);
    assert_int_equal(shm_store_move(moved_to, name, &f->fault), SHM_OK);
    assert_int_equal(shm_store_set_aside(name, moved_to, &f->fault), SHM_OK);
    static const char *const counts[] = {"calls"};
    struct shm_counters *counters;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_counters_open(&counters, name, counts, 1, &f->fault), SHM_OK);
    shm_counters_close(counters);
}

/* A copy by root has taken the name of a table that its owner still has. */
static void second_link_of_an_own_table_stays(void **state)
{
    struct fixture *f = *state;
    char path[140], moved_to[256];
    if (geteuid() != 0)
        return; /* only root can make another user's file */
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, 100, 10);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    snprintf(path, sizeof(path), "/dev/shm%s", name);
    assert_int_equal(unlink(path), 0);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchown(fd, 65534, 65534), 0);
    close(fd);
    assert_int_equal(shm_store_set_aside(name, moved_to, &f->fault), SHM_OK);
    assert_true(is_there(".users.kept"));
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_RESTORED);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_users(f->store), 100);
}

static void names_with_more_slashes_or_dots_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"/a/b/c", "/.a/b", "/a/.b", "/a/", "//a",
                                        "/a//b",  "a/b",   "/",     "/..", "/../a"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        f->config.name = names[i];
        assert_int_equal(fixture_reopen(f), SHM_EINVAL);
        f->store = NULL;
        assert_false(shm_store_exists(names[i]));
    }
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(directory_is_made_and_has_all_files),
        WITH(name_in_a_directory_is_restored),
        WITH(directory_that_others_may_change_is_refused),
        WITH(what_is_no_directory_is_refused),
        WITH(segment_is_moved_into_a_directory),
        WITH(segment_changes_places_with_its_directory),
        WITH(next_start_ends_a_move_that_was_killed),
        WITH(end_of_moves_removes_no_last_link),
        WITH(foreign_file_in_an_own_directory_is_set_aside),
        WITH(second_link_of_an_own_table_stays),
        WITH(names_with_more_slashes_or_dots_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
