/* SPDX-License-Identifier: MIT */
#include "server/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/output.h"
#include "server/master/inherit.h"
#include "server/master/state.h"
#include "server/os/limits.h"
#include "server/os/notify.h"

enum {
    STATUS_MS = 5000, /* between two counts of what goes on */
    NAMES_MS = 250,   /* between two looks at the segment's names */
};

/* What poll() waits for, beside the workers' reports. */
enum { POLL_SIGNALS, POLL_UPGRADE, POLL_ORIGIN, POLL_CONTROL, POLL_MAX = 2 * ADMISSION_PLACES };

uint64_t master_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool master_fail(struct master *master, const char *format, ...)
{
    va_list args;
    char line[1000];
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fprintf(stderr, "rosterd: %s\n", line);
    master->exit_status = 1;
    return false;
}

/* The one that has all its workers; NULL: none yet. */
struct generation *master_serving(const struct master *master)
{
    struct generation *generation = master->newest;
    while (generation != NULL && generation->state != GENERATION_SERVING)
        generation = generation->older;
    return generation;
}

void master_count(const struct master *master, enum stats_counter counter)
{
    stats_add(master->segment.stats, counter, 1);
}

/* ---- start ---- */

static bool block_signals(struct master *master)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        sigaddset(&set, handled[i]);
    signal(SIGCHLD, SIG_DFL); /* ignored by who started us, dead children would be lost */
    sigprocmask(SIG_BLOCK, &set, NULL);
    master->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return master->signal_fd >= 0 || master_fail(master, "signalfd: %s", strerror(errno));
}

/* Workers end when its last writer is gone: this process. */
static bool open_death_pipe(struct master *master)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return master_fail(master, "pipe: %s", strerror(errno));
    master->world.death_fd = ends[0];
    master->death_fd = ends[1];
    return true;
}

static bool open_first(struct master *master, struct options *options)
{
    struct fault fault;
    if (!inherit_sockets(&master->handed, &fault) ||
        !segment_open(&master->segment, options, &master->origin, &fault)) {
        options_free(options);
        return master_fail(master, "%s", fault.text);
    }
    master->world.store = master->segment.store;
    master->world.counters = master->segment.counters;
    master->newest = generation_open(options, NULL, &master->handed, &master->world, &fault);
    if (master->newest == NULL)
        return master_fail(master, "%s", fault.text);
    inherit_close_own(&master->handed, &master->newest->listeners, &master->newest->web_listeners);
    return true;
}

static bool open_all(struct master *master, struct options *options)
{
    bool good = block_signals(master) && open_death_pipe(master);
    if (good && !log_open(options->log_file))
        good = master_fail(master, "log-file: %s: %s", options->log_file, output_error(errno));
    master->world.admission = good ? admission_create() : NULL;
    if (good && master->world.admission == NULL)
        good = master_fail(master, "max-connections: %s", strerror(errno));
    if (!good) {
        options_free(options);
        return false;
    }
    return open_first(master, options);
}

/* ---- stop ---- */

void master_stop(struct master *master, bool fast)
{
    if (master->phase == STOPPING && (master->fast || !fast))
        return;
    master->phase = STOPPING;
    master->fast = fast;
    notify_stopping();
    control_close(&master->control);
    if (master->upgrade.pid != 0)
        kill(master->upgrade.pid, SIGTERM);
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        /* else clients would wait in a queue from which nobody takes them */
        listeners_close(&g->listeners, !master->handed_over);
        workers_leave(g, fast ? SIGTERM : SIGQUIT, fast ? 0 : g->options.drain_timeout);
    }
    listeners_close(&master->handed, false);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* What this process has open and memory of its own; not what others see. */
void master_close_own(struct master *master)
{
    for (struct generation *g = master->newest, *older; g != NULL; g = older) {
        older = g->older;
        generation_close(g);
    }
    master->newest = NULL;
    listeners_close(&master->handed, false);
    admission_destroy(master->world.admission);
    control_close(&master->control);
    upgrade_close(&master->upgrade);
    close_fd(&master->origin.channel);
    close_fd(&master->signal_fd);
    close_fd(&master->death_fd);
}

static void close_all(struct master *master)
{
    struct generation *newest = master->newest;
    if (newest != NULL) {
        listeners_close(&newest->listeners, !master->handed_over);
        listeners_close(&newest->web_listeners, !master->handed_over);
    }
    /* a new program that never served has an old one that goes on */
    segment_close(&master->segment, !master->served,
                  master->handed_over || (!master->served && master->origin.segment_fd >= 0));
    master_close_own(master);
    close_fd(&master->world.death_fd);
}

/* ---- signals ---- */

static void reopen_logs(const struct master *master)
{
    if (!log_reopen())
        log_error("log-file: %s; the old one is written to", output_error(errno));
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        if (!generation_reopen_logs(g))
            log_error("access-log-file: %s; the old one is written to", output_error(errno));
        children_signal(&g->children, SIGUSR1);
    }
    log_notice("USR1: logs are opened anew");
}

static void on_signal(struct master *master, int signal)
{
    pid_t pid;
    int status;
    switch (signal) {
    case SIGCHLD:
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            workers_bury(master, pid, status);
        break;
    case SIGHUP:
        master->reload_due = true;
        break;
    case SIGUSR1:
        reopen_logs(master);
        break;
    case SIGUSR2:
        change_upgrade(master);
        break;
    case SIGQUIT:
        log_notice("QUIT: running calls may finish");
        master_stop(master, false);
        break;
    default:
        log_notice("%s: the server stops", signal == SIGTERM ? "TERM" : "INT");
        master_stop(master, true);
    }
}

static void read_signals(struct master *master)
{
    struct signalfd_siginfo info;
    while (read(master->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        on_signal(master, (int)info.ssi_signo);
}

/* ---- the wait ---- */

/* The old program has told systemd whom to listen to, or it is gone. */
static void on_origin_done(struct master *master)
{
    upgrade_origin_done(&master->origin);
    notify_speak();
    notify_ready();
}

static uint64_t min_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When there is something to do, whatever happens meanwhile. */
static int next_wait(const struct master *master)
{
    uint64_t now = master_now(), at = min_of(master->maintain_at, master->look_at);
    for (const struct generation *g = master->newest; g != NULL; g = g->older) {
        int respawn =
            g->state == GENERATION_LEAVING ? -1 : children_respawn_wait(&g->children, now);
        if (respawn >= 0)
            at = min_of(at, now + (uint64_t)respawn);
    }
    return at > now ? (int)(at - now) : 0;
}

static void tell_status(struct master *master)
{
    char loop[128] = "";
    struct shm_info info;
    uint64_t now = master_now(), connections = 0;
    unsigned calls = 0, workers = 0;
    if (now < master->status_at || master->phase != SERVING)
        return;
    stats_set_total(master->segment.stats, STATS_LOG_DROPPED, log_dropped());
    master->status_at = now + STATUS_MS;
    shm_store_info(master->segment.store, &info);
    for (const struct generation *g = master->newest; g != NULL; g = g->older) {
        connections += balance_connections(g->balance);
        calls += children_calls(&g->children);
        workers += children_running(&g->children);
        if (loop[0] == '\0')
            (void)children_describe_loop(&g->children, now, loop, sizeof(loop));
    }
    notify_status(
        "%s%s%s%llu users, %u workers, %llu connections, %u calls in flight", loop,
        loop[0] != '\0' ? "; " : "",
        segment_has_name(&master->segment) ? "" : "the segment's file was removed from /dev/shm; ",
        (unsigned long long)info.users, workers, (unsigned long long)connections, calls);
}

static void look_at_names(struct master *master, uint64_t now)
{
    bool upgrading = master->upgrade.pid != 0;
    if (now < master->names_at || master->phase == STARTING || master->handed_over)
        return;
    master->names_at = now + NAMES_MS;
    for (unsigned given = segment_look(&master->segment, now, upgrading); given > 0; given--)
        master_count(master, STATS_NAMES_RESTORED);
    if (!segment_has_name(&master->segment))
        master->status_at = 0; /* at once */
}

static void maintain(struct master *master)
{
    uint64_t now = master_now();
    look_at_names(master, now);
    if (now >= master->maintain_at) {
        master->maintain_at = now + shm_maintain(master->segment.actor);
        tell_status(master);
    }
    if (now >= master->look_at)
        workers_look_after(master);
    change_look_after(master);
}

static size_t fill_poll(const struct master *master, struct pollfd *fds)
{
    fds[POLL_SIGNALS] = (struct pollfd){.fd = master->signal_fd, .events = POLLIN};
    fds[POLL_UPGRADE] = (struct pollfd){
        .fd = master->upgrade.pid != 0 ? master->upgrade.channel : -1, .events = POLLIN};
    /* its end, should that come before this program serves, is seen then */
    fds[POLL_ORIGIN] = (struct pollfd){
        .fd = master->phase != STARTING ? master->origin.channel : -1, .events = POLLIN};
    size_t count = POLL_CONTROL + control_poll_set(&master->control, fds + POLL_CONTROL);
    for (const struct generation *g = master->newest; g != NULL; g = g->older)
        count += children_poll_set(&g->children, fds + count);
    return count;
}

static void look(struct master *master)
{
    static struct pollfd fds[POLL_MAX];
    poll(fds, fill_poll(master, fds), next_wait(master));
    for (struct generation *g = master->newest; g != NULL; g = g->older)
        children_read_reports(&g->children);
    read_signals(master);
    if (fds[POLL_UPGRADE].revents != 0 && master->upgrade.pid != 0 && master->upgrade.channel >= 0)
        change_upgrade_news(master);
    if (fds[POLL_ORIGIN].revents != 0 && master->origin.channel >= 0)
        on_origin_done(master);
    control_accept(&master->control);
    maintain(master);
}

/* @return CHILDREN_SPAWNED when the server has ended; in a child its exit status */
static int supervise(struct master *master)
{
    while (master->phase != STOPPING || workers_running(master)) {
        int result = workers_spawn_due(master);
        if (result != CHILDREN_SPAWNED)
            return result;
        if (master->phase == STOPPING && !workers_running(master))
            break; /* a first fork failed */
        look(master);
        struct generation *newest = master->newest;
        if (newest->state == GENERATION_STARTING && children_all_ready(&newest->children))
            change_all_ready(master, newest);
        workers_bury_generations(master);
        if (master->reload_due && master->phase == SERVING && master->upgrade.pid == 0 &&
            master->newest->state == GENERATION_SERVING)
            change_reload(master);
    }
    return CHILDREN_SPAWNED;
}

int master_run(struct options *options)
{
    struct master master = {
        .argc = options->argc,
        .argv = options->argv,
        .control.listener = -1,
        .world.death_fd = -1,
        .death_fd = -1,
        .signal_fd = -1,
    };
    log_set_level((enum log_level)options->log_level);
    upgrade_open();
    upgrade_origin(&master.origin);
    notify_open(master.origin.channel >= 0);
    if (open_all(&master, options)) {
        limits_of_master(&master.newest->options);
        control_open(&master.control);
        int child_status = supervise(&master);
        if (child_status != CHILDREN_SPAWNED) {
            segment_close_in_child(&master.segment);
            master_close_own(&master);
            return child_status;
        }
        if (master.served)
            log_notice("Server stopped");
    }
    close_all(&master);
    return master.exit_status;
}
