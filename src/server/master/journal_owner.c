/* SPDX-License-Identifier: MIT */
#include "server/master/journal_owner.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/master/backoff.h"
#include "server/master/children.h"
#include "server/os/log.h"
#include "shm/disk.h"

enum {
    STOP_MS = 30000,       /* to write what there is, before it is killed: that loses nothing */
    GAP_LONGEST_MS = 3000, /* between two checks: after a longer one the machine stood still */
};

bool journal_owner_open(struct journal_owner *owner, const struct journal_process_config *config,
                        struct fault *fault)
{
    void *board = mmap(NULL, sizeof(*owner->board), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return fault_set_errno(fault, "journal");
    *owner = (struct journal_owner){.config = *config, .board = board};
    owner->config.board = board;
    return true;
}

void journal_owner_close(struct journal_owner *owner)
{
    if (owner->board != NULL)
        munmap(owner->board, sizeof(*owner->board));
    owner->board = NULL;
    owner->pid = 0;
}

/* ---- start ---- */

uint64_t journal_owner_next_respawn(const struct journal_owner *owner)
{
    bool needed = owner->board != NULL && owner->pid == 0 && !owner->stopping;
    return needed ? owner->respawn_at : CLOCK_NEVER_MS;
}

bool journal_owner_is_due(const struct journal_owner *owner, uint64_t now)
{
    return journal_owner_next_respawn(owner) <= now;
}

static void plan_restart(struct journal_owner *owner, uint64_t now)
{
    if (now - owner->started_at >= BACKOFF_HEALTHY_MS)
        owner->quick_deaths = 0;
    else
        owner->quick_deaths++;
    uint64_t delay = backoff_delay(owner->quick_deaths);
    if (owner->quick_deaths >= BACKOFF_LOOP_DEATHS)
        log_warning("the journal keeps dying soon after its start: it is started again in %u ms",
                    (unsigned)delay);
    owner->respawn_at = now + delay;
}

int journal_owner_spawn(struct journal_owner *owner, uint64_t now, void (*enter)(void *data),
                        void *data)
{
    pid_t master = getpid();
    memset(owner->board, 0, sizeof(*owner->board));
    owner->board->slot = SHM_SLOTS; /* none yet */
    owner->started_at = owner->turned_at = now;
    owner->turns_seen = 0;
    pid_t pid = fork();
    if (pid == 0) {
        /* As with workers: unsupervised, it would hold the segment and the file. What it has not
         * written is in the segment. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != master)
            _exit(EXIT_FAILURE);
        enter(data);
        return journal_process_run(&owner->config);
    }
    if (pid < 0) {
        log_error("the journal cannot be started: %s", strerror(errno));
        plan_restart(owner, now);
        return -1;
    }
    owner->pid = pid;
    return -1;
}

/* ---- end ---- */

bool journal_owner_bury(struct journal_owner *owner, pid_t pid, int status)
{
    char end[128];
    uint32_t slot;
    if (owner->board == NULL || pid != owner->pid)
        return false;
    owner->pid = 0;
    slot = owner->board->slot; /* written by the journal */
    shm_actor_reap(owner->config.store);
    if (slot < SHM_SLOTS)
        stats_clear_gauges(shm_counters_row(owner->config.counters, slot));
    bool told = owner->stopping || owner->renewing;
    owner->renewing = false;
    if (told && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        owner->respawn_at = 0;
        return true;
    }
    children_describe_end(end, sizeof(end), status);
    log_error("journal (pid %d) %s%s", (int)pid, end,
              owner->stopping ? "" : "; writes wait until it has started again");
    if (!owner->stopping)
        plan_restart(owner, clock_monotonic_ms());
    return true;
}

bool journal_owner_lacks_one(struct journal_owner *owner)
{
    struct shm_disk_info info;
    if (owner->board == NULL || owner->pid != 0 || owner->stopping)
        return false;
    owner->respawn_at = 0;
    shm_disk_info(owner->config.store, &info);
    return info.version < shm_newest(owner->config.store);
}

void journal_owner_stop(struct journal_owner *owner, uint64_t now)
{
    if (owner->board == NULL || owner->stopping)
        return;
    owner->stopping = true;
    owner->kill_at = now + STOP_MS;
    if (owner->pid != 0)
        kill(owner->pid, SIGTERM);
}

void journal_owner_renew(struct journal_owner *owner)
{
    if (owner->pid == 0 || owner->stopping)
        return;
    owner->renewing = true;
    kill(owner->pid, SIGTERM);
}

bool journal_owner_runs(const struct journal_owner *owner)
{
    return owner->pid != 0;
}

/* ---- checks ---- */

void journal_owner_check(struct journal_owner *owner, uint64_t timeout, uint64_t now)
{
    if (owner->board == NULL || owner->pid == 0)
        return;
    bool gap = now > owner->checked_at + GAP_LONGEST_MS;
    uint32_t turns = __atomic_load_n(&owner->board->turns, __ATOMIC_RELAXED);
    owner->checked_at = now;
    if (turns != owner->turns_seen || gap)
        owner->turned_at = now;
    owner->turns_seen = turns;
    if (owner->stopping && now >= owner->kill_at) {
        log_warning("the journal (pid %d) does not end: it is killed, and what it has not written "
                    "stays in the segment",
                    (int)owner->pid);
        kill(owner->pid, SIGKILL);
        owner->kill_at = now + STOP_MS;
    }
    if (now - owner->turned_at < timeout)
        return;
    log_error("journal (pid %d) has made no progress for %llu ms: it is killed", (int)owner->pid,
              (unsigned long long)(now - owner->turned_at));
    kill(owner->pid, SIGKILL);
    owner->turned_at = now;
}

uint64_t journal_owner_lag(struct journal_owner *owner, uint64_t now)
{
    struct shm_disk_info info;
    if (owner->board == NULL)
        return 0;
    shm_disk_info(owner->config.store, &info);
    if (info.version >= owner->lag_version) {
        owner->lag_version = shm_newest(owner->config.store);
        owner->lag_since = now;
    }
    return info.version >= owner->lag_version ? 0 : (now - owner->lag_since) / 1000;
}
