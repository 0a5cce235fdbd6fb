/* SPDX-License-Identifier: MIT */
#include "server/master/worker_death.h"

#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "server/master/reload.h"
#include "server/master/startup.h"
#include "server/master/stop.h"
#include "server/os/log.h"
#include "server/os/notify.h"
#include "server/worker/worker.h"

void worker_death_give_up(struct master *master, struct generation *generation, struct fault *fault)
{
    if (master->phase != MASTER_STARTING) {
        reload_give_up(master, generation, fault);
        return;
    }
    startup_report_failure(master, fault);
    stop_server(master, true);
}

static void log_obituary(const struct children *children, unsigned number, pid_t pid, int status)
{
    const struct stats_board *board = &children->boards[number].board;
    char end[128];
    children_describe_end(end, sizeof(end), status);
    char last[160] = "";
    if (board->calls != 0)
        snprintf(last, sizeof(last), ", the last one %s", stats_method_name(board->method));
    log_error("worker %u (pid %d) %s; calls in flight: %u%s", number, (int)pid, end, board->calls,
              last);
}

/* Frees what the worker held. Its slot in the segment is freed by shm_actor_reap(), which finds the
 * slots of dead processes by itself. */
static void free_held(const struct children *children, unsigned number)
{
    uint32_t slot = children->boards[number].board.slot; /* written by the worker */
    shm_actor_reap(children->config.store);
    if (children->config.pool != NULL)
        pool_channels_forget(children->config.pool, children->all[number].place);
    admission_free_place(children->config.admission, children->all[number].place);
    balance_forget(children->config.balance, number);
    if (slot < SHM_SLOTS)
        stats_clear_gauges(shm_counters_row(children->config.counters, slot));
}

static void fail_start(struct master *master, struct generation *generation, unsigned number,
                       pid_t pid, int status)
{
    const char *report = generation->children.all[number].report;
    char end[128];
    children_describe_end(end, sizeof(end), status);
    struct fault fault;
    if (report[0] != '\0' && report[0] != WORKER_READY)
        fault_set(&fault, "worker %u: %s", number, report);
    else
        fault_set(&fault, "worker %u (pid %d) %s before it was ready", number, (int)pid, end);
    worker_death_give_up(master, generation, &fault);
}

/* A worker that has drained or was stopped exits with status 0: nothing is logged then. */
static bool deserves_obituary(const struct master *master, const struct generation *generation,
                              int status)
{
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_OK;
    return !generation->given_up &&
           (generation->state == GENERATION_SERVING || (!clean && master->served));
}

/* No later worker could start either: the server ends. */
static void stop_for(struct master *master, unsigned number, const char *report)
{
    log_error("worker %u cannot start: %s; the server stops", number, report);
    notify_status("worker %u cannot start: %s", number, report);
    master->exit_status = 1;
    stop_server(master, true);
}

void worker_death_handle(struct master *master, struct generation *generation, unsigned number,
                         pid_t pid, int status)
{
    struct children *children = &generation->children;
    if (generation->state == GENERATION_STARTING) {
        fail_start(master, generation, number, pid, status);
    } else if (deserves_obituary(master, generation, status)) {
        log_obituary(children, number, pid, status);
        state_count(master, STATS_WORKER_DEATHS);
    }
    free_held(children, number);
    if (generation->state != GENERATION_SERVING)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_CONFIG)
        stop_for(master, number, children->all[number].report);
    else
        children_plan_respawn(children, number, clock_monotonic_ms());
}
