/* SPDX-License-Identifier: MIT */
#include "server/master/password_owner.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/master/children.h"
#include "server/os/log.h"

enum { END_MS = 2000 }; /* to end one request, before it is killed: no worker is there any more */

struct password_line {
    _Alignas(64) struct pool_board board;
};

static struct watched_name name_of_process(unsigned number)
{
    return watched_name_of("password process", (int)number);
}

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
        if (owner->all[i].process.pid == 0)
            next = MIN(next, owner->all[i].process.respawn_at);
    return next;
}

/* @return as password_owner_spawn_due() */
static int spawn_password_process(struct password_owner *owner, unsigned number, uint64_t now,
                                  void (*enter)(void *data), void *data)
{
    struct password_child *child = &owner->all[number];
    struct pool_board *board = &owner->lines[number].board;
    struct pool_channels *channels = owner->channels;
    memset(board, 0, sizeof(*board));
    child->told = false;
    if (watched_fork(&child->process, name_of_process(number), now) != 0)
        return -1;
    enter(data);
    return password_process_run(channels, board);
}

int password_owner_spawn_due(struct password_owner *owner, uint64_t now, void (*enter)(void *data),
                             void *data)
{
    int exit_status = -1;
    for (unsigned i = 0; i < owner->count && !owner->stopping && exit_status < 0; i++)
        if (owner->all[i].process.pid == 0 && owner->all[i].process.respawn_at <= now)
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
    while (number < owner->count && owner->all[number].process.pid != pid)
        number++;
    if (number == owner->count)
        return false;
    struct password_child *child = &owner->all[number];
    child->process.pid = 0;
    answer_its_request(owner, number);
    *crashed = !child->told;
    bool orderly = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (child->told && orderly) {
        child->process.respawn_at = 0;
        return true;
    }
    children_describe_end(end, sizeof(end), status);
    if (orderly)
        log_notice(
            "password process %u (pid %d) ended, as a TERM that was not the master's told it",
            number, (int)pid);
    else
        log_error("password process %u (pid %d) %s", number, (int)pid, end);
    if (!owner->stopping)
        watched_plan_respawn(&child->process, name_of_process(number), clock_monotonic_ms());
    return true;
}

void password_owner_signal(const struct password_owner *owner, int signal)
{
    for (unsigned i = 0; i < owner->count; i++)
        if (owner->all[i].process.pid != 0)
            kill(owner->all[i].process.pid, signal);
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
        if (owner->all[i].process.pid != 0)
            return true;
    return false;
}

/* ---- checks ---- */

void password_owner_check(struct password_owner *owner, uint64_t timeout, uint64_t now)
{
    bool gap = watched_gap(&owner->checked_at, now);
    for (unsigned i = 0; i < owner->count; i++)
        if (owner->all[i].process.pid != 0)
            watched_look(&owner->all[i].process, name_of_process(i), &owner->lines[i].board.turns,
                         gap, timeout, now);
    if (owner->stopping && now >= owner->kill_at) {
        password_owner_signal(owner, SIGKILL);
        owner->kill_at = now + END_MS;
    }
}
