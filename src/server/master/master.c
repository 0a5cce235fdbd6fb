/* SPDX-License-Identifier: MIT */
#include "server/master/master.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/param.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/output.h"
#include "server/config/options_parse.h"
#include "server/master/master_state.h"
#include "server/master/reload.h"
#include "server/master/room_watch.h"
#include "server/master/startup.h"
#include "server/master/status_line.h"
#include "server/master/stop.h"
#include "server/master/upgrade.h"
#include "server/master/workers.h"
#include "server/os/limits.h"
#include "server/os/log.h"
#include "server/os/notify.h"

enum {
    STATUS_MS = 5000, /* between two status lines for systemd */
    NAMES_MS = 250,   /* between two checks of the segment's names */
};

/* The descriptors that poll() waits for; from POLL_REST on those of control and the pipes of
 * workers that are starting. Every worker has a place in the admission, which bounds their number.
 */
enum {
    POLL_SIGNALS,
    POLL_SUCCESSOR,
    POLL_PREDECESSOR,
    POLL_REST,
    POLL_MAX = POLL_REST + CONTROL_POLL + ADMISSION_PLACES,
};

/* ---- signals ---- */

static void reopen_all_logs(const struct master *master)
{
    struct fault fault;
    if (!log_reopen(&fault))
        log_error("log-file: %s; the old file stays in use", fault.text);
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        if (!generation_reopen_access_log(g))
            log_error("access-log-file: %s; the old file stays in use", output_error(errno));
        children_signal(&g->children, SIGUSR1);
    }
    if (journal_owner_runs(&master->journal))
        kill(master->journal.process.pid, SIGUSR1);
    password_owner_signal(&master->passwords, SIGUSR1);
    log_notice("USR1: log files were opened again");
}

static void bury_dead_children(struct master *master)
{
    pid_t pid;
    int status;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        workers_bury(master, pid, status);
}

static void on_master_signal(struct master *master, int signal)
{
    switch (signal) {
    case SIGCHLD:
        bury_dead_children(master);
        break;
    case SIGHUP:
        master->reload_due = true;
        break;
    case SIGUSR1:
        reopen_all_logs(master);
        break;
    case SIGUSR2:
        upgrade_begin(master);
        break;
    case SIGQUIT:
        log_notice("QUIT: the server stops when running calls have ended");
        stop_server(master, false);
        break;
    default:
        log_notice("%s: the server stops", signal == SIGTERM ? "TERM" : "INT");
        stop_server(master, true);
    }
}

static void read_signals(struct master *master)
{
    struct signalfd_siginfo info;
    while (read(master->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        on_master_signal(master, (int)info.ssi_signo);
}

/* ---- regular work ---- */

static void check_names(struct master *master, uint64_t now)
{
    bool upgrading = master->successor.pid != 0;
    if (now < master->check_names_at || master->phase == MASTER_STARTING || master->handed_over)
        return;
    master->check_names_at = now + NAMES_MS;
    unsigned restored = segment_owner_check_names(&master->segment, now, upgrading);
    for (unsigned i = 0; i < restored; i++)
        state_count(master, STATS_NAMES_RESTORED);
    if (!segment_owner_has_name(&master->segment))
        master->status_at = 0; /* tell systemd at once */
}

static void count_lost_log_lines(struct master *master)
{
    stats_set_total(master->segment.stats, STATS_LOG_DROPPED, log_dropped());
}

static void update_status(struct master *master)
{
    uint64_t now = clock_monotonic_ms();
    if (now < master->status_at || master->phase != MASTER_SERVING)
        return;
    master->status_at = now + STATUS_MS;
    count_lost_log_lines(master);
    status_line_update(master, now);
}

static void do_regular_work(struct master *master)
{
    uint64_t now = clock_monotonic_ms();
    check_names(master, now);
    room_watch_check(master, now);
    if (now >= master->maintain_at) {
        master->maintain_at = now + shm_maintain(master->segment.actor);
        update_status(master);
    }
    if (now >= master->check_workers_at)
        workers_check(master);
    upgrade_check_deadline(master);
}

/* ---- the loop ---- */

/* @return ms until there is regular work, or a worker to start */
static int next_wait(const struct master *master)
{
    uint64_t now = clock_monotonic_ms(), at = MIN(master->maintain_at, master->check_workers_at);
    at = MIN(at, journal_owner_next_respawn(&master->journal));
    at = MIN(at, password_owner_next_respawn(&master->passwords));
    for (const struct generation *g = master->newest; g != NULL; g = g->older)
        if (g->state != GENERATION_STOPPING)
            at = MIN(at, children_next_respawn(&g->children));
    return at > now ? (int)MIN(at - now, (uint64_t)INT_MAX) : 0;
}

static size_t fill_poll_set(const struct master *master, struct pollfd *fds)
{
    const struct successor *successor = &master->successor;
    fds[POLL_SIGNALS] = (struct pollfd){.fd = master->signal_fd, .events = POLLIN};
    fds[POLL_SUCCESSOR] =
        (struct pollfd){.fd = successor->pid != 0 ? successor->channel : -1, .events = POLLIN};
    /* If the predecessor ends before this program serves, that is noticed once it serves. */
    fds[POLL_PREDECESSOR] =
        (struct pollfd){.fd = master->phase != MASTER_STARTING ? master->predecessor.channel : -1,
                        .events = POLLIN};
    size_t count = POLL_REST + control_poll_set(&master->control, fds + POLL_REST);
    for (const struct generation *g = master->newest; g != NULL; g = g->older)
        count += children_poll_set(&g->children, fds + count);
    return count;
}

/* The predecessor has reported this process to systemd as the main process, or is gone. */
static void on_predecessor_done(struct master *master)
{
    predecessor_done(&master->predecessor);
    notify_speak();
    notify_ready();
}

static void wait_and_handle(struct master *master)
{
    static struct pollfd fds[POLL_MAX]; /* too large for the stack */
    poll(fds, fill_poll_set(master, fds), next_wait(master));
    for (struct generation *g = master->newest; g != NULL; g = g->older)
        children_read_reports(&g->children);
    read_signals(master);
    if (fds[POLL_SUCCESSOR].revents != 0 && master->successor.pid != 0 &&
        master->successor.channel >= 0)
        upgrade_read_channel(master);
    if (fds[POLL_PREDECESSOR].revents != 0 && master->predecessor.channel >= 0)
        on_predecessor_done(master);
    control_accept(&master->control);
    do_regular_work(master);
}

static void on_all_ready(struct master *master, struct generation *generation)
{
    if (master->phase == MASTER_STARTING)
        startup_finish(master, generation);
    else if (master->phase == MASTER_SERVING)
        reload_finish(master, generation);
}

/* Returns in the master when the server has ended, and in each forked worker when that worker has
 * ended. */
static void supervise(struct master *master)
{
    while (master->phase != MASTER_STOPPING || workers_running(master)) {
        workers_spawn_due(master);
        if (master->is_worker || (master->phase == MASTER_STOPPING && !workers_running(master)))
            return; /* without workers: the first fork has failed */
        wait_and_handle(master);
        struct generation *newest = master->newest;
        if (newest->state == GENERATION_STARTING && children_all_ready(&newest->children))
            on_all_ready(master, newest);
        workers_close_generations(master);
        if (master->reload_due && master->phase == MASTER_SERVING && master->successor.pid == 0 &&
            master->newest->state == GENERATION_SERVING)
            reload_begin(master);
    }
}

/* Calls of the workers have waited for these processes, so they end last. A journal that has died,
 * and was to start again later, does so now: what it has not written would be lost if the machine
 * stops, too. */
static void end_other_processes(struct master *master)
{
    if (journal_owner_lacks_one(&master->journal))
        workers_spawn_journal(master);
    if (master->is_worker)
        return;
    journal_owner_stop(&master->journal, clock_monotonic_ms());
    password_owner_stop(&master->passwords, clock_monotonic_ms());
    while (journal_owner_runs(&master->journal) || password_owner_runs(&master->passwords))
        wait_and_handle(master);
}

int master_run(struct options *options)
{
    struct master master = {
        .argc = options->argc,
        .argv = options->argv,
        .successor.channel = -1,
        .control.listener = -1,
        .common.death_fd = -1,
        .segment.data = {.server_fd = -1, .writer_fd = -1},
        .death_fd = -1,
        .signal_fd = -1,
    };
    log_set_level((enum log_level)options->log_level);
    successor_remember_program();
    predecessor_find(&master.predecessor);
    notify_open(master.predecessor.channel >= 0);
    struct fault fault;
    if (startup_open(&master, options, &fault)) {
        limits_apply_to_master(options_limits(&master.newest->options));
        control_open(&master.control);
        supervise(&master);
        if (!master.is_worker)
            end_other_processes(&master);
        if (master.is_worker) {
            segment_owner_close_in_worker(&master.segment);
            state_close(&master);
            return master.exit_status;
        }
        if (master.served)
            log_notice("Server stopped");
    } else {
        startup_report_failure(&master, &fault);
    }
    startup_close(&master);
    return master.exit_status;
}
