/* SPDX-License-Identifier: MIT */
#include "server/master/workers.h"

#include <assert.h>
#include <signal.h>
#include <sys/param.h>

#include "base/clock.h"
#include "server/master/upgrade.h"
#include "server/master/worker_death.h"
#include "server/os/log.h"
#include "server/os/notify.h"
#include "server/worker/worker.h"

enum {
    KILL_AGAIN_MS = 5000,  /* between two KILLs to workers that should have stopped */
    CHECK_MS = 500,        /* between two workers_check() */
    NO_PROGRESS_MS = 5000, /* when no worker made progress for this long, the watchdog starves */
};

/* ---- start ---- */

/* What a worker's process needs of its master. */
struct birth {
    struct master *master;
    struct generation *generation; /* the worker's */
};

/* In the worker's process: closes everything of the master but the worker's own generation and the
 * what the workers share. */
static void close_masters_state(const struct birth *birth)
{
    struct master *master = birth->master;
    struct generation_common common = master->common;
    for (struct generation *g = master->newest, *older; g != NULL; g = older) {
        older = g->older;
        if (g != birth->generation)
            generation_close(g);
    }
    birth->generation->older = NULL;
    master->newest = NULL;
    master->common.admission = NULL;
    master->common.wake = NULL;
    master->common.pool = NULL;
    master->common.tries = NULL;
    state_close(master);
    master->common = common;
    master->newest = birth->generation;
}

/* In the worker's process, called by children_spawn(). */
static void run_worker(const struct worker_config *config, void *data)
{
    const struct birth *birth = data;
    close_masters_state(birth);
    birth->master->is_worker = true;
    birth->master->exit_status = (int)worker_run(config);
}

/* In the journal's process. */
static void enter_journal(void *data)
{
    struct master *master = data;
    struct generation_common common = master->common;
    struct journal_owner journal = master->journal;
    master->common.wake = NULL;
    master->journal.board = NULL;
    state_close(master);
    master->common.wake = common.wake;
    master->journal = journal;
    master->is_worker = true;
}

void workers_spawn_journal(struct master *master)
{
    uint64_t now = clock_monotonic_ms();
    if (!journal_owner_is_due(&master->journal, now))
        return;
    int exit_status = journal_owner_spawn(&master->journal, now, enter_journal, master);
    if (master->is_worker)
        master->exit_status = exit_status;
}

/* In a process for passwords. */
static void enter_password_process(void *data)
{
    struct master *master = data;
    struct pool_channels *pool = master->common.pool;
    struct password_owner passwords = master->passwords;
    master->common.pool = NULL;
    master->passwords = (struct password_owner){.channels = NULL};
    state_close(master);
    master->common.pool = pool;
    master->passwords = passwords;
    master->is_worker = true;
}

static void spawn_password_processes(struct master *master)
{
    int exit_status = password_owner_spawn_due(&master->passwords, clock_monotonic_ms(),
                                               enter_password_process, master);
    if (master->is_worker)
        master->exit_status = exit_status;
}

static void spawn_worker(struct master *master, struct generation *generation, unsigned number)
{
    struct birth birth = {master, generation};
    uint64_t now = clock_monotonic_ms();
    struct fault fault;
    if (children_spawn(&generation->children, number, now, run_worker, &birth, &fault))
        return;
    if (generation->state == GENERATION_STARTING) {
        fault_prefix(&fault, "workers: cannot start a worker");
        worker_death_give_up(master, generation, &fault);
    } else {
        log_error("worker %u cannot be started: %s", number, fault.text);
        children_plan_respawn(&generation->children, number, now);
    }
}

void workers_spawn_due(struct master *master)
{
    workers_spawn_journal(master);
    if (!master->is_worker)
        spawn_password_processes(master);
    if (master->is_worker)
        return;
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        struct children *children = &g->children;
        for (unsigned i = 0; i < children->count && g->state != GENERATION_STOPPING; i++) {
            if (children->all[i].process.pid != 0 ||
                children->all[i].process.respawn_at > clock_monotonic_ms())
                continue;
            spawn_worker(master, g, i);
            if (master->is_worker)
                return;
        }
    }
}

/* ---- end ---- */

void workers_bury(struct master *master, pid_t pid, int status)
{
    if (pid == master->successor.pid) {
        upgrade_fail(master, status);
        return;
    }
    bool told = master->journal.stopping || master->journal.renewing;
    if (journal_owner_bury(&master->journal, pid, status)) {
        if (!told)
            state_count(master, STATS_JOURNAL_DEATHS);
        return;
    }
    bool crashed;
    if (password_owner_bury(&master->passwords, pid, status, &crashed)) {
        if (crashed)
            state_count(master, STATS_PASSWORD_DEATHS);
        return;
    }
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        unsigned number;
        if (children_mark_dead(&g->children, pid, &number)) {
            worker_death_handle(master, g, number, pid, status);
            return;
        }
    }
    /* else an orphan reparented to this process as a container's init: ignore */
}

/* ---- checks ---- */

static void check_others(struct master *master, uint64_t now)
{
    const struct generation *newest = master->newest;
    assert(newest != NULL);
    journal_owner_check(&master->journal, newest->options.worker_timeout, now);
    password_owner_check(&master->passwords, newest->options.worker_timeout, now);
    if (master->common.pool != NULL)
        stats_set_total(master->segment.stats, STATS_PASSWORD_REQUESTS,
                        pool_channels_load(master->common.pool));
    stats_set_total(master->segment.stats, STATS_JOURNAL_LAG,
                    journal_owner_lag(&master->journal, now));
}

void workers_check(struct master *master)
{
    uint64_t now = clock_monotonic_ms();
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        if (children_check_progress(&g->children, g->options.worker_timeout, now) != 0)
            master->progress_at = now;
        if (g->state == GENERATION_STOPPING && now >= g->kill_at &&
            children_running(&g->children) != 0) {
            log_warning("workers that did not stop in time are killed");
            children_signal(&g->children, SIGKILL);
            g->kill_at = now + KILL_AGAIN_MS;
        }
        if (g->tls != NULL)
            tls_forget_old_secrets(g->tls);
    }
    check_others(master, now);
    master->check_workers_at = now + CHECK_MS;
    if (master->phase != MASTER_SERVING || now < master->progress_at + NO_PROGRESS_MS)
        master->check_workers_at = MIN(master->check_workers_at, notify_watchdog(now));
}

bool workers_running(const struct master *master)
{
    for (const struct generation *g = master->newest; g != NULL; g = g->older)
        if (children_running(&g->children) != 0)
            return true;
    return false;
}

void workers_close_generations(struct master *master)
{
    for (struct generation **at = &master->newest; *at != NULL;) {
        struct generation *g = *at;
        bool last = at == &master->newest && g->older == NULL;
        if (last || g->state != GENERATION_STOPPING || children_running(&g->children) != 0) {
            at = &g->older;
            continue;
        }
        *at = g->older;
        generation_close(g);
    }
}
