/* SPDX-License-Identifier: MIT */
/* What a start that fails leaves of the data file's locks and directories. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal/data_lock.h"
#include "server/master/data_owner.h"

static char folder[64], data_path[128];
static struct options options = {.segment = "/rosterd-test", .data_file = data_path};

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/rosterd-owner-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    char lock[160];
    (void)state;
    snprintf(lock, sizeof(lock), "%s/users.db.lock", folder);
    (void)unlink(lock);
    return rmdir(folder); /* fails if a test has left anything else */
}

/* The journal of the program that goes on may have died just then, so that nobody has the writer's
 * lock. Had the failed one taken it, it would be on the descriptor that both share. */
static void failed_upgrade_leaves_the_writers_lock_to_the_old_program(void **state)
{
    struct fault fault;
    struct data_owner owner;
    int lock, writer;
    (void)state;
    snprintf(data_path, sizeof(data_path), "%s/users.db", folder);
    assert_int_equal(data_lock_server(data_path, &lock, &fault), DATA_OK);
    const struct predecessor predecessor = {
        .segment_fd = lock, .data_fd = dup(lock), .channel = -1};
    assert_true(data_owner_open(&owner, &options, &predecessor, &fault));
    data_owner_close(&owner, true);
    assert_int_equal(data_lock_writer(data_path, 0, &writer, &fault), DATA_OK);
    close(writer);
    close(lock);
}

static void refused_name_leaves_no_directory(void **state)
{
    struct fault fault;
    struct data_owner owner;
    const struct predecessor nobody = {.segment_fd = -1, .data_fd = -1, .channel = -1};
    (void)state;
    snprintf(data_path, sizeof(data_path), "%s/new/deep/", folder);
    assert_false(data_owner_open(&owner, &options, &nobody, &fault));
    data_owner_close(&owner, true);
    snprintf(data_path, sizeof(data_path), "%s/new", folder);
    assert_int_equal(access(data_path, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_upgrade_leaves_the_writers_lock_to_the_old_program),
        cmocka_unit_test(refused_name_leaves_no_directory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
