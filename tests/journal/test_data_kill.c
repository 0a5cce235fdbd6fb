/* SPDX-License-Identifier: MIT */
/*
 * A process that writes is killed at random moments, again and again on the same file. After each
 * death the next one opens it: every commit that was acknowledged is there, and the content is that
 * of its version.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal/data_writer.h"
#include "tests/journal/data_support.h"

enum { DEATHS = 40, USERS = 3000 };

static struct model model;

/* What the commit of a version changes. */
struct change {
    uint64_t first, last, deleted;
};

static struct change change_of(uint64_t version)
{
    uint64_t mixed = version * UINT64_C(0x9e3779b97f4a7c15);
    struct change change = {.first = 1 + (mixed >> 32) % USERS};
    uint64_t count = mixed >> 60 == 0 ? 200 : 1 + (mixed >> 56) % 8;
    change.last = change.first + count - 1;
    change.deleted = mixed >> 62 == 1 ? 1 + (mixed >> 12) % USERS : 0;
    return change;
}

static void advance_to(uint64_t version)
{
    while (model.version < version) {
        struct change change = change_of(model.version + 1);
        model_change(&model, change.first, change.last, change.deleted);
    }
}

/* The process: opens the file, commits, writes each acknowledged version into the pipe. */
static void write_until_killed(int out)
{
    struct fault fault;
    struct data_file *file;
    struct data_meta meta;
    enum data_result result = data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault);
    if (result == DATA_OK)
        advance_to(meta.version);
    while (result == DATA_OK) {
        struct change change = change_of(model.version + 1);
        result = model_commit(&model, file, change.first, change.last, change.deleted, &fault);
        if (result == DATA_OK && write(out, &model.version, sizeof(uint64_t)) < 0)
            _exit(2);
        file->checkpoint_from = 60; /* often */
        if (result == DATA_OK)
            result = data_file_maintain(file, &fault);
        if (result == DATA_OK && model.version % 50 == 0) { /* a new file */
            data_file_close(file, false);
            result = model_rewrite(&model, data_file_name, &fault);
            if (result == DATA_OK)
                result = data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault);
        }
    }
    print_error("%s\n", fault.text);
    _exit(1);
}

/* @return the last version that was acknowledged, or 0 */
static uint64_t run_and_kill(unsigned us)
{
    int ends[2], status;
    uint64_t version = 0, next;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        write_until_killed(ends[1]);
    close(ends[1]);
    /* The moment is random; half of them are counted from the first commit on. */
    if (us % 2 == 0 && read(ends[0], &next, sizeof(next)) == sizeof(next))
        version = next;
    const struct timespec moment = {.tv_nsec = (long)us * 1000};
    nanosleep(&moment, NULL);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it ended for no other reason */
    while (read(ends[0], &next, sizeof(next)) == sizeof(next))
        version = next;
    close(ends[0]);
    return version;
}

static void killed_writers_lose_nothing(void **state)
{
    struct fault fault;
    struct data_meta meta;
    struct data_file *file;
    uint64_t acknowledged = 0;
    unsigned random = 12345;
    (void)state;
    data_file_close(create_file(&model), true);
    for (unsigned death = 0; death < DEATHS; death++) {
        random = random * 1103515245 + 12345;
        uint64_t version = run_and_kill((random >> 8) % 30000);
        if (version > acknowledged)
            acknowledged = version;
        /* An odd death is met by the next writer alone. */
        if (death % 2 == 1)
            continue;
        assert_result(DATA_OK,
                      data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
        data_file_close(file, death % 4 == 0);
        assert_true(meta.version >= acknowledged);
        advance_to(meta.version);
        assert_model(&model, data_file_name);
    }
    assert_true(acknowledged > DEATHS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_writers_lose_nothing),
    };
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
