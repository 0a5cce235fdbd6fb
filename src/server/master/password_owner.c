/* SPDX-License-Identifier: MIT */
#include "server/master/password_owner.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/master/backoff.h"
#include "server/master/children.h"
#include "server/os/log.h"

enum {
    END_MS = 2000,   /* to end one request, before it is killed: no worker is there any more */
    STILL_MS = 3000, /* between two checks: after a longer time the machine stood still */
};

struct password_line {
    _Alignas(64) struct pool_board board;
};

bool password_owner_open(struct password_owner *owner, struct pool_channels *channels,
                         unsigned count, struct fault *fault)
{
    assert(count <= PASSWORD_PROCESSES_MAX);
    void *lines = mmap(NULL, count * sizeof(owner->lines[0]), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lines == MAP_FAILED)
        return fault_set_errno(fault, "password-processes");
    *owner = (struct password_owner){.channels = channels, .lines = lines, .count = count};
    return true;
}

void password_owner_close(struct password_owner *owner)
{
    if (owner->lines != NULL)
        munmap(owner->lines, owner->count * sizeof(owner->lines[0]));
    *owner = (struct password_owner){.channels = NULL};
}

/* ---- start ---- */

uint64_t password_owner_next_respawn(const struct password_owner *owner)
{
    uint64_t next = CLOCK_NEVER_MS;
    for (unsigned i = 0; i < owner->count && !owner->stopping; i++)
        if (owner->all[i].pid == 0)
            next = MIN(next, owner->all[i].respawn_at);
    return next;
}

static void plan_password_respawn(struct password_child *child, unsigned number, uint64_t now)
{
    if (now - child->started_at >= BACKOFF_HEALTHY_MS)
        child->quick_deaths = 0;
    else
        child->quick_deaths++;
    uint64_t delay = backoff_delay(child->quick_deaths);
    if (child->quick_deaths >= BACKOFF_LOOP_DEATHS)
        log_warning("password process %u keeps dying soon after its start: it is started again in "
                    "%u ms",
                    number, (unsigned)delay);
    child->respawn_at = now + delay;
}

/* @return as password_owner_spawn_due() */
static int spawn_password_process(struct password_owner *owner, unsigned number, uint64_t now,
                                  void (*enter)(void *data), void *data)
{
    struct password_child *child = &owner->all[number];
    struct pool_board *board = &owner->lines[number].board;
    struct pool_channels *channels = owner->channels;
    pid_t master = getpid();
    memset(board, 0, sizeof(*board));
    child->started_at = child->turned_at = now;
    child->turns_seen = 0;
    child->told = false;
    pid_t pid = fork();
    if (pid == 0) {
        /* as with workers: unsupervised, it would hold the segment */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != master)
            _exit(EXIT_FAILURE);
        enter(data);
        return password_process_run(channels, board);
    }
    if (pid < 0) {
        log_error("password process %u cannot be started: %s", number, strerror(errno));
        plan_password_respawn(child, number, now);
        return -1;
    }
    child->pid = pid;
    return -1;
}

int password_owner_spawn_due(struct password_owner *owner, uint64_t now, void (*enter)(void *data),
                             void *data)
{
    int exit_status = -1;
    for (unsigned i = 0; i < owner->count && !owner->stopping && exit_status < 0; i++)
        if (owner->all[i].pid == 0 && owner->all[i].respawn_at <= now)
            exit_status = spawn_password_process(owner, i, now, enter, data);
    return exit_status;
}

/* ---- end ---- */

static void answer_its_request(const struct password_owner *owner, unsigned number)
{
    const struct pool_board *board = &owner->lines[number].board; /* written by the process */
    if (__atomic_load_n(&board->busy, __ATOMIC_ACQUIRE) != 0)
        pool_channels_answer_lost(owner->channels, board->place, board->owner, board->id);
}

bool password_owner_bury(struct password_owner *owner, pid_t pid, int status, bool *crashed)
{
    char end[128];
    unsigned number = 0;
    while (number < owner->count && owner->all[number].pid != pid)
        number++;
    if (number == owner->count)
        return false;
    struct password_child *child = &owner->all[number];
    child->pid = 0;
    answer_its_request(owner, number);
    *crashed = !child->told;
    if (child->told && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        child->respawn_at = 0;
        return true;
    }
    children_describe_end(end, sizeof(end), status);
    log_error("password process %u (pid %d) %s", number, (int)pid, end);
    if (!owner->stopping)
        plan_password_respawn(child, number, clock_monotonic_ms());
    return true;
}

void password_owner_signal(const struct password_owner *owner, int signal)
{
    for (unsigned i = 0; i < owner->count; i++)
        if (owner->all[i].pid != 0)
            kill(owner->all[i].pid, signal);
}

void password_owner_renew(struct password_owner *owner)
{
    for (unsigned i = 0; i < owner->count; i++)
        owner->all[i].told = true;
    password_owner_signal(owner, SIGTERM);
}

void password_owner_stop(struct password_owner *owner, uint64_t now)
{
    if (owner->stopping)
        return;
    owner->stopping = true;
    owner->kill_at = now + END_MS;
    password_owner_renew(owner);
}

bool password_owner_runs(const struct password_owner *owner)
{
    for (unsigned i = 0; i < owner->count; i++)
        if (owner->all[i].pid != 0)
            return true;
    return false;
}

/* ---- checks ---- */

static void check_password_process(struct password_child *child, unsigned number,
                                   const struct pool_board *board, uint64_t timeout, uint64_t now)
{
    uint32_t turns = __atomic_load_n(&board->turns, __ATOMIC_RELAXED);
    if (turns != child->turns_seen)
        child->turned_at = now;
    child->turns_seen = turns;
    if (now - child->turned_at < timeout)
        return;
    log_error("password process %u (pid %d) has made no progress for %llu ms: it is killed", number,
              (int)child->pid, (unsigned long long)(now - child->turned_at));
    kill(child->pid, SIGKILL);
    child->turned_at = now;
}

void password_owner_check(struct password_owner *owner, uint64_t timeout, uint64_t now)
{
    bool gap = now > owner->checked_at + STILL_MS;
    owner->checked_at = now;
    for (unsigned i = 0; i < owner->count; i++) {
        struct password_child *child = &owner->all[i];
        if (child->pid == 0)
            continue;
        if (gap)
            child->turned_at = now;
        check_password_process(child, i, &owner->lines[i].board, timeout, now);
    }
    if (owner->stopping && now >= owner->kill_at) {
        password_owner_signal(owner, SIGKILL);
        owner->kill_at = now + END_MS;
    }
}
