/* SPDX-License-Identifier: MIT */
#include "server/master/children.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/master/backoff.h"
#include "server/os/log.h"
#include "server/worker/worker.h"

static struct watched_name name_of_worker(unsigned number)
{
    return watched_name_of("worker", (int)number);
}

bool children_open(struct children *children, const struct worker_config *config, unsigned count)
{
    void *boards = mmap(NULL, count * sizeof(struct board_line), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (boards == MAP_FAILED)
        return false;
    *children = (struct children){.config = *config, .boards = boards, .count = count};
    children->all = calloc(count, sizeof(*children->all));
    if (children->all == NULL) {
        munmap(boards, count * sizeof(struct board_line));
        return false;
    }
    for (unsigned i = 0; i < count; i++)
        children->all[i].report_fd = -1;
    return true;
}

void children_close(struct children *children)
{
    if (children->all == NULL)
        return;
    for (unsigned i = 0; i < children->count; i++)
        if (children->all[i].report_fd >= 0)
            close(children->all[i].report_fd);
    munmap(children->boards, children->count * sizeof(struct board_line));
    free(children->all);
    children->all = NULL;
}

/* ---- fork ---- */

/* In the child. */
static void run_child(struct children *children, unsigned number, int report_fd, pid_t master,
                      children_run *run, void *data)
{
    watched_die_with(master);
    for (unsigned i = 0; i < children->count; i++) {
        if (children->all[i].report_fd >= 0)
            close(children->all[i].report_fd);
        children->all[i].report_fd = -1;
    }
    struct worker_config config = children->config;
    config.number = number;
    config.place = children->all[number].place;
    config.board = &children->boards[number].board;
    config.report_fd = report_fd;
    config.wake_fd = config.wake != NULL ? wake_keep(config.wake, config.place) : -1;
    run(&config, data);
}

/* @return the result of fork(), with errno set where it failed or no pipe could be made */
static pid_t fork_with_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    int reason = errno;
    if (pid != 0)
        close(ends[1]);
    if (pid <= 0)
        close(ends[0]);
    errno = reason;
    return pid;
}

bool children_spawn(struct children *children, unsigned number, uint64_t now, children_run *run,
                    void *data, struct fault *fault)
{
    assert(number < children->count && children->all[number].process.pid == 0);
    struct child *child = &children->all[number];
    watched_start(&child->process, now);
    if (!admission_take_place(children->config.admission, &child->place))
        return fault_set(fault, "more than %d workers at once", ADMISSION_PLACES);
    memset(&children->boards[number], 0, sizeof(children->boards[number]));
    children->boards[number].board.slot = SHM_SLOTS; /* none yet */
    pid_t master = getpid();
    int report[2];
    pid_t pid = fork_with_pipe(report);
    if (pid < 0) {
        fault_set(fault, "%s", strerror(errno));
        admission_free_place(children->config.admission, child->place);
        return false;
    }
    if (pid == 0) {
        run_child(children, number, report[1], master, run, data);
        return true;
    }
    fcntl(report[0], F_SETFL, O_NONBLOCK);
    child->process.pid = pid;
    child->report_fd = report[0];
    child->ready = false;
    child->report[0] = '\0';
    return true;
}

/* ---- readiness ---- */

size_t children_poll_set(const struct children *children, struct pollfd *fds)
{
    size_t count = 0;
    for (unsigned i = 0; i < children->count; i++)
        if (children->all[i].report_fd >= 0)
            fds[count++] = (struct pollfd){.fd = children->all[i].report_fd, .events = POLLIN};
    return count;
}

static void read_report(struct child *child)
{
    ssize_t got = read(child->report_fd, child->report, sizeof(child->report) - 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    child->report[got > 0 ? got : 0] = '\0';
    child->ready = child->report[0] == WORKER_READY;
    close(child->report_fd);
    child->report_fd = -1;
}

void children_read_reports(struct children *children)
{
    for (unsigned i = 0; i < children->count; i++) {
        struct child *child = &children->all[i];
        if (child->report_fd < 0)
            continue;
        read_report(child);
        if (child->ready)
            log_info("worker %u (pid %d) accepts connections", i, (int)child->process.pid);
    }
}

bool children_all_ready(const struct children *children)
{
    for (unsigned i = 0; i < children->count; i++)
        if (!children->all[i].ready)
            return false;
    return true;
}

unsigned children_running(const struct children *children)
{
    unsigned running = 0;
    for (unsigned i = 0; i < children->count; i++)
        running += children->all[i].process.pid != 0;
    return running;
}

void children_signal(const struct children *children, int signal)
{
    for (unsigned i = 0; i < children->count; i++)
        if (children->all[i].process.pid != 0)
            kill(children->all[i].process.pid, signal);
}

/* ---- death ---- */

bool children_mark_dead(struct children *children, pid_t pid, unsigned *number)
{
    assert(pid > 0);
    for (unsigned i = 0; i < children->count; i++) {
        struct child *child = &children->all[i];
        if (child->process.pid != pid)
            continue;
        if (child->report_fd >= 0)
            read_report(child);
        child->process.pid = 0;
        child->ready = false;
        *number = i;
        return true;
    }
    return false;
}

void children_describe_end(char *text, size_t size, int status)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "killed by signal %d (%s)%s", WTERMSIG(status),
                 strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
    else
        snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
}

/* ---- progress ---- */

unsigned children_check_progress(struct children *children, uint64_t timeout, uint64_t now)
{
    unsigned moved = 0;
    bool gap = watched_gap(&children->checked_at, now);
    for (unsigned i = 0; i < children->count; i++) {
        struct watched *process = &children->all[i].process;
        if (process->pid != 0 && watched_look(process, name_of_worker(i),
                                              &children->boards[i].board.turns, gap, timeout, now))
            moved++;
    }
    return moved;
}

unsigned children_calls(const struct children *children)
{
    unsigned calls = 0;
    for (unsigned i = 0; i < children->count; i++)
        if (children->all[i].process.pid != 0)
            calls += __atomic_load_n(&children->boards[i].board.calls, __ATOMIC_RELAXED);
    return calls;
}

bool children_describe_loop(const struct children *children, uint64_t now, char *text, size_t size)
{
    for (unsigned i = 0; i < children->count; i++) {
        const struct child *child = &children->all[i];
        if (child->process.quick_deaths < BACKOFF_LOOP_DEATHS ||
            (child->process.pid != 0 && now >= child->process.started_at + BACKOFF_HEALTHY_MS))
            continue;
        snprintf(text, size, "worker %u died %u times in a row, each soon after its start", i,
                 child->process.quick_deaths);
        return true;
    }
    return false;
}

/* ---- respawn ---- */

void children_plan_respawn(struct children *children, unsigned number, uint64_t now)
{
    struct watched *process = &children->all[number].process;
    assert(process->pid == 0);
    watched_plan_respawn(process, name_of_worker(number), now);
}

uint64_t children_next_respawn(const struct children *children)
{
    uint64_t next = CLOCK_NEVER_MS;
    for (unsigned i = 0; i < children->count; i++)
        if (children->all[i].process.pid == 0)
            next = MIN(next, children->all[i].process.respawn_at);
    return next;
}
