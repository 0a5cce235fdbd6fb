/* SPDX-License-Identifier: MIT */
#include "tests/bench/store/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

struct order {
    enum bench_op op;
    uint64_t count;
};

volatile int *bench_stop;
static cpu_set_t allowed;
static bool child;

void bench_die(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    if (!child)
        exit(1);
    _exit(1); /* exit() would run the caller's handlers */
}

double bench_now(void)
{
    return (double)clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

void bench_pin(unsigned cpu)
{
    size_t found = CPU_SETSIZE;
    cpu_set_t set;
    for (size_t i = 0; i < CPU_SETSIZE && (cpu != 0 || found == CPU_SETSIZE); i++)
        if (CPU_ISSET(i, &allowed))
            found = i;
    CPU_ZERO(&set);
    CPU_SET(found, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        bench_die("cannot pin to a CPU", strerror(errno));
}

void runner_init(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        bench_die("start", strerror(errno));
    bench_stop = page;
    if (CPU_COUNT(&allowed) < 2)
        bench_die("start", "two CPUs are needed");
}

/* @return whether all bytes arrived; the other end may be gone */
static bool read_all(int fd, void *data, size_t size)
{
    return read(fd, data, size) == (ssize_t)size;
}

static void write_all(int fd, const void *data, size_t size)
{
    if (write(fd, data, size) != (ssize_t)size)
        bench_die("pipe", strerror(errno));
}

static _Noreturn void serve(const struct bench_party *party)
{
    struct order order;
    double answer = 0;
    write_all(STDOUT_FILENO, &answer, sizeof(answer));
    while (read_all(STDIN_FILENO, &order, sizeof(order))) {
        answer = party->run(order.op, order.count);
        write_all(STDOUT_FILENO, &answer, sizeof(answer));
    }
    party->close();
    _exit(0);
}

static void become_child(int in, int out)
{
    child = true;
    signal(SIGINT, SIG_IGN); /* the parent ends this process */
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        /* Also closes the pipes of the other runners. */
        close_range(STDERR_FILENO + 1, ~0U, 0) != 0)
        bench_die("pipe", strerror(errno));
}

void runner_start(struct runner *runner, const struct bench_party *party, const char *file,
                  unsigned role, uint64_t users, uint64_t loaded)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        bench_die("pipe", strerror(errno));
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        bench_die("fork", strerror(errno));
    if (pid == 0) {
        become_child(to[0], from[1]);
        if (party->pinned)
            bench_pin(role);
        party->open(file, role, users, loaded);
        serve(party);
    }
    close(to[0]);
    close(from[1]);
    *runner = (struct runner){pid, to[1], from[0]};
    (void)runner_answer(runner);
}

void runner_ask(const struct runner *runner, enum bench_op op, uint64_t count)
{
    struct order order = {op, count};
    write_all(runner->to, &order, sizeof(order));
}

double runner_answer(const struct runner *runner)
{
    double answer;
    if (!read_all(runner->from, &answer, sizeof(answer)))
        exit(1); /* the party printed the reason, or a signal ends it */
    return answer;
}

double runner_do(const struct runner *runner, enum bench_op op, uint64_t count)
{
    runner_ask(runner, op, count);
    return runner_answer(runner);
}

static void end(struct runner *runner)
{
    int status = 0;
    if (runner->pid == 0)
        return;
    close(runner->to);
    close(runner->from);
    while (waitpid(runner->pid, &status, 0) < 0 && errno == EINTR)
        ;
    runner->pid = 0;
}

void runner_stop(struct runner *runner)
{
    end(runner);
}

void runner_kill(struct runner *runner)
{
    if (runner->pid != 0)
        kill(runner->pid, SIGKILL);
    end(runner);
}
