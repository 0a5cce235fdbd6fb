/* SPDX-License-Identifier: MIT */
#include "server/master/upgrade.h"

#include <assert.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/master/stop.h"
#include "server/os/log.h"
#include "server/os/notify.h"

enum {
    SERVE_WITHIN_MS = 60000, /* the successor must serve in this time */
    END_WITHIN_MS = 2000,    /* a successor that has given up must end in this time */
};

/* @return NULL: an upgrade may begin now */
static const char *why_not_now(const struct master *master)
{
    const struct generation *serving = state_serving(master);
    if (getpid() == 1)
        return "this is process 1, whose end would end its container";
    if (master->successor.pid != 0)
        return "another upgrade is under way";
    if (master->predecessor.channel >= 0)
        return "this program has not taken over yet";
    if (serving == NULL || serving != master->newest)
        return "workers are being started";
    return NULL;
}

void upgrade_begin(struct master *master)
{
    if (master->phase == MASTER_STOPPING)
        return;
    const char *why = why_not_now(master);
    if (why != NULL) {
        log_error("upgrade: not now: %s", why);
        return;
    }
    const struct generation *serving = state_serving(master);
    struct fault fault;
    log_notice("USR2: starting the new program while this one serves");
    if (!successor_start(&master->successor, master->argv, &serving->listeners,
                         &serving->web_listeners, shm_store_fd(master->segment.store),
                         master->segment.data.server_fd, &fault)) {
        log_error("upgrade: %s; this program continues to serve", fault.text);
        return;
    }
    master->upgrade_until = clock_monotonic_ms() + SERVE_WITHIN_MS;
}

void upgrade_read_channel(struct master *master)
{
    struct successor *successor = &master->successor;
    assert(successor->pid != 0 && successor->channel >= 0);
    switch (successor_read(successor)) {
    case SUCCESSOR_SAYS_NOTHING:
        return;
    case SUCCESSOR_CLOSED:
        /* Usually the process ends at this moment. Its exit status says more, and comes with
         * SIGCHLD: see upgrade_fail(). */
        close(successor->channel);
        successor->channel = -1;
        if (successor->too_late) /* it was killed, which has closed the channel */
            return;
        successor->gave_up = true;
        master->upgrade_until = clock_monotonic_ms() + END_WITHIN_MS;
        return;
    case SUCCESSOR_READY:
        log_notice("upgrade: process %d serves, this one drains", (int)successor->pid);
        notify_main_pid(successor->pid);
        successor_confirm(successor);
        successor_forget(successor);
        master->handed_over = true;
        journal_owner_stop(&master->journal, clock_monotonic_ms());
        stop_server(master, false);
    }
}

void upgrade_fail(struct master *master, int status)
{
    bool too_late = master->successor.too_late, gave_up = master->successor.gave_up;
    successor_forget(&master->successor);
    if (master->phase == MASTER_STOPPING) /* stop_server() has ended the successor, too */
        return;
    state_count(master, STATS_UPGRADES_FAILED);
    char end[128];
    children_describe_end(end, sizeof(end), status);
    if (too_late && gave_up)
        log_error("upgrade: the new program gave up before it served, and was killed; this one "
                  "continues to serve");
    else if (too_late)
        log_error("upgrade: the new program did not serve within %d s and was killed; this one "
                  "continues to serve",
                  SERVE_WITHIN_MS / 1000);
    else
        log_error("upgrade: the new program %s before it served; this one continues to serve", end);
    notify_ready();
}

void upgrade_check_deadline(struct master *master)
{
    if (master->successor.pid == 0 || clock_monotonic_ms() < master->upgrade_until)
        return;
    master->successor.too_late = true;
    kill(master->successor.pid, SIGKILL);
    master->upgrade_until = clock_monotonic_ms() + SERVE_WITHIN_MS;
}
