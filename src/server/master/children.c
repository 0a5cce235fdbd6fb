/* SPDX-License-Identifier: MIT */
#include "server/master/children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/os/log.h"

enum {
    HEALTHY_MS = 5000,    /* who lived this long did not die of its start */
    BACKOFF_FIRST_MS = 1, /* before the second quick death's successor */
    BACKOFF_LONGEST_MS = 10000,
    LOOP_DEATHS = 3, /* in a row are a crash loop */
    GAP_MS = 3000,   /* without a look at the workers: the machine stood still, too */
};

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

static int run_child(struct children *children, unsigned number, int report_fd, pid_t master)
{
    /* a worker without a master would hold the segment and serve unsupervised */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master)
        return 1;
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
    return (int)worker_run(&config);
}

int children_spawn(struct children *children, unsigned number, uint64_t now,
                   void (*in_child)(void *data), void *data)
{
    struct child *child = &children->all[number];
    int report[2];
    pid_t master = getpid();
    child->started_at = child->turned_at = now; /* also a try that fails is one, for its back-off */
    if (!admission_take_place(children->config.admission, &child->place)) {
        errno = EAGAIN;
        return CHILDREN_NO_FORK;
    }
    if (pipe2(report, O_CLOEXEC) != 0) {
        admission_free_place(children->config.admission, child->place);
        return CHILDREN_NO_FORK;
    }
    memset(&children->boards[number], 0, sizeof(children->boards[number]));
    children->boards[number].board.slot = SHM_SLOTS; /* none yet */
    pid_t pid = fork();
    if (pid == 0) {
        close(report[0]);
        in_child(data);
        return run_child(children, number, report[1], master);
    }
    int reason = errno;
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        admission_free_place(children->config.admission, child->place);
        errno = reason;
        return CHILDREN_NO_FORK;
    }
    fcntl(report[0], F_SETFL, O_NONBLOCK);
    child->pid = pid;
    child->report_fd = report[0];
    child->ready = false;
    child->report[0] = '\0';
    child->turns_seen = 0;
    return CHILDREN_SPAWNED;
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
            log_info("worker %u (pid %d) accepts", i, (int)child->pid);
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
        running += children->all[i].pid != 0;
    return running;
}

void children_signal(const struct children *children, int signal)
{
    for (unsigned i = 0; i < children->count; i++)
        if (children->all[i].pid != 0)
            kill(children->all[i].pid, signal);
}

/* ---- death ---- */

int children_bury(struct children *children, pid_t pid)
{
    for (unsigned i = 0; i < children->count; i++) {
        struct child *child = &children->all[i];
        if (child->pid != pid)
            continue;
        if (child->report_fd >= 0)
            read_report(child);
        child->pid = 0;
        child->ready = false;
        return (int)i;
    }
    return -1;
}

void children_describe_end(char *text, size_t size, int status)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "killed by signal %d (%s)%s", WTERMSIG(status),
                 strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
    else
        snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
}

void children_obituary(const struct children *children, unsigned number, pid_t pid, int status)
{
    const struct stats_board *board = &children->boards[number].board;
    char end[128], last[160] = "";
    children_describe_end(end, sizeof(end), status);
    if (board->calls != 0)
        snprintf(last, sizeof(last), ", the last one %s", stats_method_name(board->method));
    log_error("worker %u (pid %d) %s; calls in flight: %u%s", number, (int)pid, end, board->calls,
              last);
}

void children_release(struct children *children, unsigned number)
{
    const struct stats_board *board = &children->boards[number].board;
    shm_actor_reap(children->config.store);
    admission_free_place(children->config.admission, children->all[number].place);
    balance_forget(children->config.balance, number);
    if (board->slot < SHM_SLOTS)
        stats_clear_gauges(shm_counters_row(children->config.counters, board->slot));
}

unsigned children_check_progress(struct children *children, uint64_t timeout, uint64_t now)
{
    unsigned moved = 0;
    bool gap = now > children->checked_at + GAP_MS;
    children->checked_at = now;
    for (unsigned i = 0; i < children->count; i++) {
        struct child *child = &children->all[i];
        uint32_t turns = __atomic_load_n(&children->boards[i].board.turns, __ATOMIC_RELAXED);
        if (child->pid == 0)
            continue;
        moved += turns != child->turns_seen;
        if (turns != child->turns_seen || gap)
            child->turned_at = now;
        child->turns_seen = turns;
        if (now - child->turned_at < timeout)
            continue;
        log_error("worker %u (pid %d) has made no progress for %llu ms: it is killed", i,
                  (int)child->pid, (unsigned long long)(now - child->turned_at));
        kill(child->pid, SIGKILL);
        child->turned_at = now;
    }
    return moved;
}

unsigned children_calls(const struct children *children)
{
    unsigned calls = 0;
    for (unsigned i = 0; i < children->count; i++)
        if (children->all[i].pid != 0)
            calls += __atomic_load_n(&children->boards[i].board.calls, __ATOMIC_RELAXED);
    return calls;
}

bool children_describe_loop(const struct children *children, uint64_t now, char *text, size_t size)
{
    for (unsigned i = 0; i < children->count; i++) {
        const struct child *child = &children->all[i];
        if (child->quick < LOOP_DEATHS ||
            (child->pid != 0 && now >= child->started_at + HEALTHY_MS))
            continue;
        snprintf(text, size, "worker %u died %u times in a row, each soon after its start", i,
                 child->quick);
        return true;
    }
    return false;
}

void children_plan_respawn(struct children *children, unsigned number, uint64_t now)
{
    struct child *child = &children->all[number];
    uint64_t delay = 0;
    if (now - child->started_at >= HEALTHY_MS)
        child->quick = 0;
    else
        child->quick++;
    if (child->quick > 1) {
        unsigned doublings = child->quick - 2 < 16 ? child->quick - 2 : 16;
        delay = (uint64_t)BACKOFF_FIRST_MS << doublings;
        delay = delay < BACKOFF_LONGEST_MS ? delay : BACKOFF_LONGEST_MS;
    }
    if (child->quick >= LOOP_DEATHS)
        log_warning("worker %u dies young: the next one starts in %u ms", number, (unsigned)delay);
    child->respawn_at = now + delay;
}

int children_respawn_wait(const struct children *children, uint64_t now)
{
    int wait = -1;
    for (unsigned i = 0; i < children->count; i++) {
        const struct child *child = &children->all[i];
        if (child->pid != 0)
            continue;
        int due = child->respawn_at > now ? (int)(child->respawn_at - now) : 0;
        wait = wait < 0 || due < wait ? due : wait;
    }
    return wait;
}
