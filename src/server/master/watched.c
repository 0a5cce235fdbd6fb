/* SPDX-License-Identifier: MIT */
#include "server/master/watched.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "server/master/backoff.h"
#include "server/os/log.h"

enum { LOOKS_APART_MS = 3000 }; /* after a longer time the machine stood still */

struct watched_name watched_name_of(const char *kind, int number)
{
    struct watched_name name;
    if (number < 0)
        snprintf(name.text, sizeof(name.text), "%s", kind);
    else
        snprintf(name.text, sizeof(name.text), "%s %d", kind, number);
    return name;
}

/* ---- start ---- */

void watched_start(struct watched *process, uint64_t now)
{
    process->started_at = process->turned_at = now;
    process->turns_seen = 0;
}

void watched_die_with(pid_t master)
{
    /* The master may have died before prctl(), and then no signal comes. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master)
        _exit(EXIT_FAILURE);
}

pid_t watched_fork(struct watched *process, struct watched_name name, uint64_t now)
{
    pid_t master = getpid();
    watched_start(process, now);
    pid_t pid = fork();
    if (pid == 0) {
        watched_die_with(master);
    } else if (pid < 0) {
        log_error("%s cannot be started: %s", name.text, strerror(errno));
        watched_plan_respawn(process, name, now);
    } else {
        process->pid = pid;
    }
    return pid;
}

void watched_plan_respawn(struct watched *process, struct watched_name name, uint64_t now)
{
    if (now - process->started_at >= BACKOFF_HEALTHY_MS)
        process->quick_deaths = 0;
    else
        process->quick_deaths++;
    uint64_t delay = backoff_delay(process->quick_deaths);
    if (process->quick_deaths >= BACKOFF_LOOP_DEATHS)
        log_warning("%s keeps dying soon after its start: it is started again in %u ms", name.text,
                    (unsigned)delay);
    process->respawn_at = now + delay;
}

/* ---- looks ---- */

bool watched_gap(uint64_t *looked_at, uint64_t now)
{
    bool gap = now > *looked_at + LOOKS_APART_MS;
    *looked_at = now;
    return gap;
}

bool watched_look(struct watched *process, struct watched_name name, const uint32_t *turns,
                  bool gap, uint64_t timeout, uint64_t now)
{
    uint32_t count = __atomic_load_n(turns, __ATOMIC_RELAXED);
    bool moved = count != process->turns_seen;
    process->turns_seen = count;
    if (moved || gap)
        process->turned_at = now;
    if (now - process->turned_at < timeout)
        return moved;
    log_error("%s (pid %d) has made no progress for %llu ms: it is killed", name.text,
              (int)process->pid, (unsigned long long)(now - process->turned_at));
    kill(process->pid, SIGKILL);
    process->turned_at = now;
    return moved;
}
