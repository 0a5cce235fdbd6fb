/* SPDX-License-Identifier: MIT */
/* What the processes of a server take. The test is the master, and forks children with the names
 * that those of a server have. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process that /proc hides, as for hidepid=invisible. */
static int hidden_pid;

static int open_unless_hidden(const char *path, int flags)
{
    char prefix[32];
    int len = snprintf(prefix, sizeof(prefix), "/proc/%d/", hidden_pid);
    if (hidden_pid != 0 && strncmp(path, prefix, (size_t)len) == 0) {
        errno = ENOENT;
        return -1;
    }
    return open(path, flags);
}

/* the source itself, with a /proc that may hide a process */
#define open(path, flags) open_unless_hidden(path, flags)
#include "src/service/observe/processes.c"
#undef open

#include <cmocka.h>

static struct processes seen;
static const volatile char *table; /* that all children read; NULL: none */
enum { TABLE = 16 << 20 };

static const struct process_figures *find(const char *name)
{
    for (size_t i = 0; i < seen.count; i++)
        if (strcmp(seen.all[i].name, name) == 0)
            return &seen.all[i];
    return NULL;
}

static void burn(unsigned ms)
{
    uint64_t until = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) + ms * UINT64_C(1000000);
    while (clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) < until)
        ;
}

/* Forks a child that uses `ms` of CPU time and `bytes` of memory, and waits until it has. */
static pid_t begin_child(const char *name, unsigned ms, size_t bytes)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also after a failed test */
        prctl(PR_SET_NAME, name);
        void *memory =
            mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(memory, 1, bytes + 1);
        for (size_t at = 0; table != NULL && at < TABLE; at += 4096)
            (void)table[at];
        burn(ms);
        if (write(ready[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void each_process_has_its_name_and_its_memory(void **state)
{
    (void)state;
    enum { MEMORY = 8 << 20, SLACK = 1 << 20 }; /* the kernel counts pages in batches */
    pid_t worker = begin_child("rosterd-w7", 30, MEMORY);
    pid_t journal = begin_child("rosterd-journal", 0, 0);
    pid_t other = begin_child("something", 0, MEMORY);
    pid_t passwords = begin_child("rosterd-passwd", 0, MEMORY);
    processes_read(&seen);
    assert_string_equal(seen.all[0].name, "master");
    assert_int_equal(seen.count, 3);
    assert_non_null(find("journal"));
    const struct process_figures *figures = find("worker-7");
    assert_non_null(figures);
    assert_in_range(figures->cpu_ticks, 1, 100);
    assert_in_range(figures->memory, MEMORY - SLACK, MEMORY + 4 * SLACK);
    assert_true(find("journal")->memory < MEMORY);
    /* the processes for passwords count in the sum alone, and the foreign one does not */
    uint64_t named = 0;
    for (size_t i = 0; i < seen.count; i++)
        named += seen.all[i].memory;
    assert_true(seen.resident > named + MEMORY - SLACK);
    assert_true(seen.resident < named + 2 * MEMORY);
    assert_true(seen.virtual_bytes > seen.resident);
    end_child(worker);
    end_child(journal);
    end_child(other);
    end_child(passwords);
}

static void memory_that_processes_share_counts_once(void **state)
{
    (void)state;
    enum { SLACK = 1 << 20 };
    void *memory = mmap(NULL, TABLE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    processes_read(&seen);
    uint64_t before = seen.resident;
    memset(memory, 1, TABLE);
    table = memory;
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "rosterd-w%d", i);
        children[i] = begin_child(name, 0, 0);
    }
    processes_read(&seen);
    assert_int_equal(seen.count, 5);
    assert_true(seen.resident >= before + TABLE - SLACK);
    assert_true(seen.resident < before + 2 * TABLE);
    assert_true(find("worker-3")->memory < TABLE);
    for (int i = 0; i < 4; i++)
        end_child(children[i]);
    table = NULL;
    munmap(memory, TABLE);
}

static void cpu_time_never_falls_when_a_process_ends(void **state)
{
    (void)state;
    pid_t worker = begin_child("rosterd-w0", 60, 0);
    pid_t passwords = begin_child("rosterd-passwd", 60, 0);
    processes_read(&seen);
    uint64_t before = seen.cpu_ticks;
    end_child(worker);
    processes_read(&seen);
    assert_true(seen.cpu_ticks >= before);
    end_child(passwords);
    processes_read(&seen);
    assert_in_range(seen.cpu_ticks, before, before + 50);
    assert_null(find("worker-0"));
}

static void hidden_process_counts_with_its_cpu_time(void **state)
{
    (void)state;
    processes_read(&seen);
    uint64_t without = seen.cpu_ticks;
    pid_t passwords = begin_child("rosterd-passwd", 80, 0);
    hidden_pid = passwords;
    processes_read(&seen);
    uint64_t hidden = seen.cpu_ticks;
    hidden_pid = 0;
    assert_true(hidden >= without + 6);
    end_child(passwords);
    processes_read(&seen);
    assert_true(seen.cpu_ticks >= hidden);
}

static void of_two_workers_with_a_number_the_younger_is_shown(void **state)
{
    (void)state;
    pid_t old = begin_child("rosterd-w0", 50, 0);
    pid_t young = begin_child("rosterd-w0", 0, 6 << 20);
    processes_read(&seen);
    assert_int_equal(seen.count, 2);
    assert_true(find("worker-0")->cpu_ticks < 5);
    assert_true(find("worker-0")->memory >= 5 << 20);
    end_child(old);
    end_child(young);
}

static void descriptors_of_all_processes_are_counted(void **state)
{
    (void)state;
    int fds[50];
    pid_t worker = begin_child("rosterd-w0", 0, 0);
    processes_read(&seen);
    uint64_t before = seen.open_fds;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(seen.max_fds, 2 * limit.rlim_cur);
    for (int i = 0; i < 50; i++)
        fds[i] = dup(0);
    bool slow = false;
    assert_true(count_descriptors(getpid(), &slow) >= 50);
    processes_read(&seen);
    if (!slow) /* else the number is up to ten seconds old */
        assert_int_equal(seen.open_fds, before + 50);
    for (int i = 0; i < 50; i++)
        close(fds[i]);
    end_child(worker);
}

static void master_is_asked_by_its_children_too(void **state)
{
    (void)state;
    pid_t worker = begin_child("rosterd-w0", 0, 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "rosterd-w1");
        processes_read(&seen);
        _exit(seen.count == 3 && find("worker-0") != NULL && find("worker-1") != NULL ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    end_child(worker);
}

static void start_is_the_wall_clocks(void **state)
{
    (void)state;
    double now = (double)clock_real_ms() / 1000;
    assert_true(processes_started_at() <= now && processes_started_at() > now - 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_process_has_its_name_and_its_memory),
        cmocka_unit_test(memory_that_processes_share_counts_once),
        cmocka_unit_test(cpu_time_never_falls_when_a_process_ends),
        cmocka_unit_test(hidden_process_counts_with_its_cpu_time),
        cmocka_unit_test(of_two_workers_with_a_number_the_younger_is_shown),
        cmocka_unit_test(descriptors_of_all_processes_are_counted),
        cmocka_unit_test(master_is_asked_by_its_children_too),
        cmocka_unit_test(start_is_the_wall_clocks),
    };
    processes_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
