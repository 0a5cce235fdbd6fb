/* SPDX-License-Identifier: MIT */
/* The journal wakes the worker of a slot, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/worker/wake.h"
#include "shm/store.h"

/* In a worker's process. @return whether its eventfd is readable */
static bool is_woken(int fd)
{
    uint64_t value;
    return read(fd, &value, sizeof(value)) == (ssize_t)sizeof(value);
}

/* Runs a worker in this place and slot. @return whether the wake-up of `woken` reaches it */
static bool reaches(struct wake *wake, unsigned place, unsigned slot, unsigned woken)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = wake_keep(wake, place);
        wake_enter(wake, place, slot);
        if (is_woken(fd))
            _exit(2);
        wake_slot(wake, woken); /* the table and the eventfds are shared with the journal */
        _exit(is_woken(fd) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

static void worker_of_the_slot_is_woken(void **state)
{
    (void)state;
    struct wake *wake = wake_create(2);
    assert_non_null(wake);
    assert_true(reaches(wake, 0, 5, 5));
    assert_true(reaches(wake, 3, 1023, 1023));
    assert_true(reaches(wake, 900, 7, 7)); /* shares an eventfd */
    wake_destroy(wake);
}

static void unknown_slot_wakes_nobody(void **state)
{
    (void)state;
    struct wake *wake = wake_create(2);
    assert_false(reaches(wake, 0, 5, 6));
    wake_destroy(wake);
}

static void slot_is_woken_by_a_process_that_was_forked_before(void **state)
{
    (void)state;
    struct wake *wake = wake_create(2);
    int go[2], done[2];
    char byte;
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(done), 0);
    pid_t journal = fork();
    if (journal == 0) {
        close(go[1]);
        if (read(go[0], &byte, 1) == 1)
            wake_slot(wake, 9);
        _exit(write(done[1], "x", 1) == 1 ? 0 : 1);
    }
    pid_t worker = fork();
    if (worker == 0) {
        int fd = wake_keep(wake, 2);
        wake_enter(wake, 2, 9);
        if (write(go[1], "x", 1) != 1 || read(done[0], &byte, 1) != 1)
            _exit(1);
        _exit(is_woken(fd) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(worker, &status, 0), worker);
    assert_int_equal(status, 0);
    assert_int_equal(waitpid(journal, &status, 0), journal);
    assert_int_equal(status, 0);
    wake_destroy(wake);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(worker_of_the_slot_is_woken),
        cmocka_unit_test(unknown_slot_wakes_nobody),
        cmocka_unit_test(slot_is_woken_by_a_process_that_was_forked_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
