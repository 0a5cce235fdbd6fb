/* SPDX-License-Identifier: MIT */
#include "server/master/journal_owner.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/master/backoff.h"
#include "server/master/children.h"
#include "server/os/log.h"
#include "shm/disk.h"

enum { STOP_MS = 30000 }; /* to write what there is, before it is killed: that loses nothing */

static const struct watched_name journal_name = {"the journal"};

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
    owner->process.pid = 0;
}

/* ---- start ---- */

uint64_t journal_owner_next_respawn(const struct journal_owner *owner)
{
    bool needed = owner->board != NULL && owner->process.pid == 0 && !owner->stopping;
    return needed ? owner->process.respawn_at : CLOCK_NEVER_MS;
}

bool journal_owner_is_due(const struct journal_owner *owner, uint64_t now)
{
    return journal_owner_next_respawn(owner) <= now;
}

/* No journal can start, because it cannot lock its file, say; or each dies soon after its start.
 * The next one that writes sets the state again. The error tells it whether the file is to be
 * replaced.
 */
static void note_failed_start(const struct journal_owner *owner)
{
    struct shm_disk_info info;
    shm_disk_info(owner->config.store, &info);
    if (info.state != SHM_DISK_NONE && info.state != SHM_DISK_FAILED)
        shm_disk_set_state(owner->config.store, SHM_DISK_STOPPED,
                           shm_disk_is_replaced(&info) ? EIO : 0);
}

int journal_owner_spawn(struct journal_owner *owner, uint64_t now, void (*enter)(void *data),
                        void *data)
{
    memset(owner->board, 0, sizeof(*owner->board));
    owner->board->slot = SHM_SLOTS; /* none yet */
    pid_t pid = watched_fork(&owner->process, journal_name, now);
    if (pid < 0)
        note_failed_start(owner);
    if (pid != 0)
        return -1;
    /* What it has not written when it dies with the master is in the segment. */
    enter(data);
    return journal_process_run(&owner->config);
}

/* ---- end ---- */

/* A journal on a disk whose syncs take longer than the timeout is killed in each of them, and the
 * next one begins with a sync. So each that has brought nothing onto the disk makes the timeout of
 * the next one twice as long. */
static void note_outcome(struct journal_owner *owner)
{
    enum { PATIENCE_MAX = 5 };
    struct shm_disk_info info;
    shm_disk_info(owner->config.store, &info);
    if (info.version < shm_newest(owner->config.store))
        owner->in_vain = MIN(owner->in_vain + 1, (unsigned)PATIENCE_MAX);
    owner->buried_at = info.version;
}

bool journal_owner_bury(struct journal_owner *owner, pid_t pid, int status)
{
    char end[128];
    uint32_t slot;
    if (owner->board == NULL || pid != owner->process.pid)
        return false;
    owner->process.pid = 0;
    slot = owner->board->slot; /* written by the journal */
    shm_actor_reap(owner->config.store);
    if (slot < SHM_SLOTS)
        stats_clear_gauges(shm_counters_row(owner->config.counters, slot));
    bool told = owner->stopping || owner->renewing;
    owner->renewing = false;
    if (!told)
        note_outcome(owner);
    bool orderly = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (told && orderly) {
        owner->process.respawn_at = 0;
        return true;
    }
    children_describe_end(end, sizeof(end), status);
    if (orderly)
        log_notice("journal (pid %d) ended, as a TERM that was not the master's told it", (int)pid);
    else
        log_error("journal (pid %d) %s%s", (int)pid, end,
                  owner->stopping ? "" : "; writes wait until it has started again");
    if (!owner->stopping)
        watched_plan_respawn(&owner->process, journal_name, clock_monotonic_ms());
    bool failed = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE;
    if (!told && (failed || owner->process.quick_deaths >= BACKOFF_LOOP_DEATHS))
        note_failed_start(owner);
    return true;
}

bool journal_owner_lacks_one(struct journal_owner *owner)
{
    struct shm_disk_info info;
    if (owner->board == NULL || owner->process.pid != 0 || owner->stopping)
        return false;
    owner->process.respawn_at = 0;
    shm_disk_info(owner->config.store, &info);
    return info.version < shm_newest(owner->config.store);
}

void journal_owner_stop(struct journal_owner *owner, uint64_t now)
{
    if (owner->board == NULL || owner->stopping)
        return;
    owner->stopping = true;
    owner->kill_at = now + STOP_MS;
    if (owner->process.pid != 0)
        kill(owner->process.pid, SIGTERM);
}

void journal_owner_renew(struct journal_owner *owner)
{
    if (owner->process.pid == 0 || owner->stopping)
        return;
    owner->renewing = true;
    kill(owner->process.pid, SIGTERM);
}

bool journal_owner_runs(const struct journal_owner *owner)
{
    return owner->process.pid != 0;
}

/* ---- checks ---- */

void journal_owner_check(struct journal_owner *owner, uint64_t timeout, uint64_t now)
{
    if (owner->board == NULL || owner->process.pid == 0)
        return;
    if (owner->stopping && now >= owner->kill_at) {
        log_warning("the journal (pid %d) does not end: it is killed, and what it has not written "
                    "stays in the segment",
                    (int)owner->process.pid);
        kill(owner->process.pid, SIGKILL);
        owner->kill_at = now + STOP_MS;
    }
    struct shm_disk_info info;
    shm_disk_info(owner->config.store, &info);
    if (info.version != owner->buried_at)
        owner->in_vain = 0;
    watched_look(&owner->process, journal_name, &owner->board->turns,
                 watched_gap(&owner->checked_at, now), timeout << owner->in_vain, now);
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
