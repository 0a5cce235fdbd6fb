/* SPDX-License-Identifier: MIT */
#include "server/master.h"

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

#include "server/control.h"
#include "server/generation.h"
#include "server/inherit.h"
#include "server/limits.h"
#include "server/notify.h"
#include "server/segment.h"
#include "server/upgrade.h"

enum {
    KILL_AFTER_MS = 5000,    /* a worker that does not stop in this time is killed */
    UPGRADE_WAIT_MS = 60000, /* for the new program to serve */
    LOOK_MS = 500,           /* between two looks at the workers */
    STATUS_MS = 5000,        /* between two counts of what goes on */
    STILL_MS = 5000,         /* no worker moved for so long: the watchdog is not fed */
};

enum phase { STARTING, SERVING, STOPPING };

/* What poll() waits for, beside the workers' reports. */
enum { POLL_SIGNALS, POLL_UPGRADE, POLL_ORIGIN, POLL_CONTROL, POLL_MAX = 2 * ADMISSION_PLACES };

struct master {
    int argc;
    char *const *argv;
    struct listeners handed; /* that this process was started with */
    struct upgrade_origin origin;
    struct upgrade upgrade;
    struct segment segment;
    struct world world;
    struct control control;
    struct generation *newest; /* the others behind it */
    int death_fd, signal_fd;   /* the master's end of the pipe; -1: none */
    enum phase phase;
    bool served;      /* all workers of the first generation were ready */
    bool fast;        /* the stop is */
    bool handed_over; /* another process serves now */
    bool reload_due;
    char unchanged[256];  /* what the reload under way would have changed, but cannot */
    uint64_t log_dropped; /* as far as it is counted */
    uint64_t maintain_at, look_at, status_at, upgrade_until, moved_at; /* ms */
    int exit_status;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool fail(struct master *master, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool fail(struct master *master, const char *format, ...)
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
static struct generation *serving(const struct master *master)
{
    struct generation *generation = master->newest;
    while (generation != NULL && generation->state != GENERATION_SERVING)
        generation = generation->older;
    return generation;
}

static void count(const struct master *master, enum stats_event event)
{
    stats_count(shm_counters_row(master->segment.counters, shm_actor_slot(master->segment.actor)),
                event);
}

/* ---- start ---- */

static bool block_signals(struct master *master)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        sigaddset(&set, handled[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ignored by who started us, dead children would be lost */
    sigprocmask(SIG_BLOCK, &set, NULL);
    master->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return master->signal_fd >= 0 || fail(master, "signalfd: %s", strerror(errno));
}

/* Workers end when its last writer is gone: this process. */
static bool open_death_pipe(struct master *master)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(master, "pipe: %s", strerror(errno));
    master->world.death_fd = ends[0];
    master->death_fd = ends[1];
    return true;
}

static bool open_first(struct master *master, struct options *options)
{
    struct options_fault fault;
    if (!inherit_sockets(&master->handed, &fault) ||
        !segment_open(&master->segment, options, &master->origin, &fault)) {
        options_free(options);
        return fail(master, "%s", fault.text);
    }
    master->world.store = master->segment.store;
    master->world.counters = master->segment.counters;
    master->newest = generation_open(options, NULL, &master->handed, &master->world, &fault);
    return master->newest != NULL || fail(master, "%s", fault.text);
}

static bool open_all(struct master *master, struct options *options)
{
    bool good = block_signals(master) && open_death_pipe(master);
    if (good && !log_open(options->log_file))
        good = fail(master, "log-file: %s: %s", options->log_file, strerror(errno));
    master->world.admission = good ? admission_create() : NULL;
    if (good && master->world.admission == NULL)
        good = fail(master, "max-connections: %s", strerror(errno));
    if (!good) {
        options_free(options);
        return false;
    }
    return open_first(master, options);
}

static void log_started(const struct generation *generation)
{
    const struct listener *tcp = NULL;
    for (size_t i = 0; i < generation->listeners.count; i++) {
        const struct listener *listener = &generation->listeners.all[i];
        log_info("listening on %s", listener->text);
        if (tcp == NULL && !listener->unix_socket)
            tcp = listener;
    }
    for (size_t i = 0; i < generation->web_listeners.count; i++)
        log_info("metrics on %s", generation->web_listeners.all[i].text);
    if (generation->auth != NULL)
        log_info("auth-token-file: %zu tokens", auth_count(generation->auth));
    if (tcp != NULL)
        log_notice("Server started on port %u", tcp->port);
    else
        log_notice("Server started on %s", generation->listeners.all[0].text);
}

/* ---- leaving and ending ---- */

static void leave(struct generation *generation, int signal, uint64_t patience)
{
    generation->state = GENERATION_LEAVING;
    if (generation->balance != NULL)
        balance_close(generation->balance);
    generation->kill_at = now_ms() + patience + KILL_AFTER_MS;
    children_signal(&generation->children, signal);
}

static void stop(struct master *master, bool fast)
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
        leave(g, fast ? SIGTERM : SIGQUIT, fast ? 0 : g->options.drain_timeout);
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
static void close_own(struct master *master)
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
    char segment[256] = "";
    struct generation *newest = master->newest;
    if (newest != NULL) {
        snprintf(segment, sizeof(segment), "%s", newest->options.segment);
        listeners_close(&newest->listeners, !master->handed_over);
        listeners_close(&newest->web_listeners, !master->handed_over);
    } else if (master->segment.store != NULL) {
        struct shm_info info;
        shm_store_info(master->segment.store, &info);
        snprintf(segment, sizeof(segment), "%s", info.name);
    }
    segment_close(&master->segment, segment, !master->served);
    close_own(master);
    close_fd(&master->world.death_fd);
}

/* ---- workers ---- */

struct birth {
    struct master *master;
    struct generation *of;
};

/* In the child: another generation's, and the master's own, are not a worker's to keep. */
static void in_child(void *data)
{
    const struct birth *birth = data;
    struct master *master = birth->master;
    struct admission *admission = master->world.admission;
    for (struct generation *g = master->newest, *older; g != NULL; g = older) {
        older = g->older;
        if (g != birth->of)
            generation_close(g);
    }
    birth->of->older = NULL;
    master->newest = NULL;
    master->world.admission = NULL;
    close_own(master);
    master->world.admission = admission;
    master->newest = birth->of;
}

static void fail_reload(struct master *master, const char *text)
{
    char line[900];
    count(master, STATS_RELOADS_FAILED);
    log_error("reload: %s; what was in force stays", text);
    snprintf(line, sizeof(line), "reload: %s", text);
    control_end(&master->control, false, line);
    notify_ready();
}

/* A generation that cannot serve: the first one is the server, another a reload. */
static void give_up(struct master *master, struct generation *generation, const char *text)
{
    if (master->phase == STARTING) {
        fail(master, "%s", text);
        stop(master, true);
        return;
    }
    leave(generation, SIGKILL, 0);
    fail_reload(master, text);
    const struct generation *stays = serving(master);
    listeners_remove_files(&generation->listeners, &stays->listeners);
    listeners_remove_files(&generation->web_listeners, &stays->web_listeners);
}

/* @return CHILDREN_SPAWNED; in the child its exit status */
static int spawn(struct master *master, struct generation *generation, unsigned number)
{
    char text[128];
    struct birth birth = {master, generation};
    int result = children_spawn(&generation->children, number, now_ms(), in_child, &birth);
    if (result != CHILDREN_NO_FORK)
        return result;
    if (generation->state == GENERATION_STARTING) {
        snprintf(text, sizeof(text), "workers: cannot start one: %s", strerror(errno));
        give_up(master, generation, text);
    } else {
        log_error("worker %u cannot be started: %s", number, strerror(errno));
        children_plan_respawn(&generation->children, number, now_ms());
    }
    return CHILDREN_SPAWNED;
}

static int spawn_due(struct master *master)
{
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        struct children *children = &g->children;
        for (unsigned i = 0; i < children->count && g->state != GENERATION_LEAVING; i++) {
            if (children->all[i].pid != 0 || children->all[i].respawn_at > now_ms())
                continue;
            int result = spawn(master, g, i);
            if (result != CHILDREN_SPAWNED)
                return result;
        }
    }
    return CHILDREN_SPAWNED;
}

static void on_start_failed(struct master *master, struct generation *generation, unsigned number,
                            pid_t pid, int status)
{
    const char *report = generation->children.all[number].report;
    char end[128], text[512];
    children_describe_end(end, sizeof(end), status);
    if (report[0] != '\0' && report[0] != WORKER_READY)
        snprintf(text, sizeof(text), "worker %u: %s", number, report);
    else
        snprintf(text, sizeof(text), "worker %u (pid %d) %s before it was ready", number, (int)pid,
                 end);
    give_up(master, generation, text);
}

static void on_worker_end(struct master *master, struct generation *generation, unsigned number,
                          pid_t pid, int status)
{
    struct children *children = &generation->children;
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (generation->state == GENERATION_STARTING)
        on_start_failed(master, generation, number, pid, status);
    else if (generation->state == GENERATION_SERVING || (!clean && master->served))
        children_obituary(children, number, pid, status);
    children_release(children, number);
    if (!clean && master->served)
        count(master, STATS_WORKER_DEATHS);
    if (generation->state != GENERATION_SERVING)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_CONFIG) {
        log_error("worker %u cannot start: %s; the server stops", number,
                  children->all[number].report);
        notify_status("worker %u cannot start: %s", number, children->all[number].report);
        master->exit_status = 1;
        stop(master, true);
        return;
    }
    children_plan_respawn(children, number, now_ms());
}

static void on_upgrade_end(struct master *master, int status)
{
    char end[128];
    count(master, STATS_UPGRADES_FAILED);
    children_describe_end(end, sizeof(end), status);
    log_error("upgrade: the new program %s before it served; this one goes on", end);
    upgrade_close(&master->upgrade);
    notify_ready();
}

static void on_child_end(struct master *master, pid_t pid, int status)
{
    if (pid == master->upgrade.pid) {
        on_upgrade_end(master, status);
        return;
    }
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        int number = children_bury(&g->children, pid);
        if (number >= 0) {
            on_worker_end(master, g, (unsigned)number, pid, status);
            return;
        }
    }
    /* else somebody's whose parent died, and who is ours as pid 1 of a container */
}

/* ---- reload ---- */

static bool open_next(struct master *master, struct options_fault *fault)
{
    struct generation *now = serving(master);
    struct options *options = calloc(1, sizeof(*options));
    if (options == NULL) {
        snprintf(fault->text, sizeof(fault->text), "out of memory");
        return false;
    }
    bool parsed = options_parse(options, master->argc, master->argv, fault);
    if (!parsed)
        options_free(options);
    struct generation *next = NULL;
    if (parsed) {
        options_keep_fixed(options, &now->options, master->unchanged, sizeof(master->unchanged));
        next = generation_open(options, now, &master->handed, &master->world, fault);
    }
    free(options);
    if (next != NULL && !log_open(next->options.log_file)) {
        snprintf(fault->text, sizeof(fault->text), "log-file: %s: %s", next->options.log_file,
                 strerror(errno));
        generation_close(next);
        next = NULL;
    }
    if (next == NULL)
        return false;
    next->older = master->newest;
    master->newest = next;
    return true;
}

static void reload(struct master *master)
{
    struct options_fault fault;
    master->reload_due = false;
    control_begin(&master->control);
    notify_reloading();
    log_notice("HUP: the configuration is read again");
    if (!open_next(master, &fault))
        fail_reload(master, fault.text);
    else if (master->unchanged[0] != '\0')
        log_warning("reload: only a restart changes %s", master->unchanged);
}

static void on_reloaded(struct master *master, struct generation *next)
{
    char text[400];
    struct generation *before = serving(master);
    next->state = GENERATION_SERVING;
    count(master, STATS_RELOADS);
    log_set_level((enum log_level)next->options.log_level);
    limits_of_master(&next->options);
    leave(before, SIGQUIT, before->options.drain_timeout);
    listeners_remove_files(&before->listeners, &next->listeners);
    listeners_remove_files(&before->web_listeners, &next->web_listeners);
    snprintf(text, sizeof(text), "reloaded: %u workers%s%s", next->children.count,
             master->unchanged[0] != '\0' ? "; only a restart changes " : "", master->unchanged);
    log_notice("%s", text);
    control_end(&master->control, true, text);
    notify_ready();
}

static void on_all_ready(struct master *master, struct generation *generation)
{
    if (master->phase == SERVING) {
        on_reloaded(master, generation);
        return;
    }
    generation->state = GENERATION_SERVING;
    master->phase = SERVING;
    master->served = true;
    log_started(generation);
    if (master->origin.channel >= 0)
        upgrade_report_ready(&master->origin);
    else
        notify_ready();
}

/* ---- upgrade ---- */

static void upgrade(struct master *master)
{
    struct options_fault fault;
    const struct generation *now = serving(master);
    const char *not_now = getpid() == 1 ? "the end of this process would end its container"
                          : master->upgrade.pid != 0    ? "another upgrade is under way"
                          : master->origin.channel >= 0 ? "this program has not taken over yet"
                          : now == NULL || now != master->newest ? "workers are being started"
                                                                 : NULL;
    if (master->phase == STOPPING)
        return;
    if (not_now != NULL) {
        log_error("upgrade: not now: %s", not_now);
        return;
    }
    log_notice("USR2: the program is started anew beside this one");
    if (!upgrade_start(&master->upgrade, master->argv, &now->listeners, &now->web_listeners,
                       shm_store_fd(master->segment.store), &fault)) {
        log_error("upgrade: %s; this program goes on", fault.text);
        return;
    }
    master->upgrade_until = now_ms() + UPGRADE_WAIT_MS;
}

static void on_upgrade_news(struct master *master)
{
    switch (upgrade_read(&master->upgrade)) {
    case UPGRADE_NOTHING:
        return;
    case UPGRADE_FAILED:
        kill(master->upgrade.pid, SIGKILL); /* mostly it is dead; its status comes by SIGCHLD */
        close(master->upgrade.channel);
        master->upgrade.channel = -1;
        return;
    case UPGRADE_READY:
        log_notice("upgrade: process %d serves, this one drains", (int)master->upgrade.pid);
        notify_main_pid(master->upgrade.pid);
        upgrade_confirm(&master->upgrade);
        upgrade_close(&master->upgrade);
        master->handed_over = true;
        stop(master, false);
    }
}

/* The old program has told systemd whom to listen to, or it is gone. */
static void on_origin_done(struct master *master)
{
    upgrade_origin_done(&master->origin);
    notify_speak();
    notify_ready();
}

/* ---- signals ---- */

static void reopen_logs(const struct master *master)
{
    if (!log_reopen())
        log_error("log-file: %s; the old one is written to", strerror(errno));
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        if (!generation_reopen_logs(g))
            log_error("access-log-file: %s; the old one is written to", strerror(errno));
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
            on_child_end(master, pid, status);
        break;
    case SIGHUP:
        master->reload_due = true;
        break;
    case SIGUSR1:
        reopen_logs(master);
        break;
    case SIGUSR2:
        upgrade(master);
        break;
    case SIGQUIT:
        log_notice("QUIT: running calls may finish");
        stop(master, false);
        break;
    default:
        log_notice("%s: the server stops", signal == SIGTERM ? "TERM" : "INT");
        stop(master, true);
    }
}

static void read_signals(struct master *master)
{
    struct signalfd_siginfo info;
    while (read(master->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        on_signal(master, (int)info.ssi_signo);
}

/* ---- the wait ---- */

static uint64_t min_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When there is something to do, whatever happens meanwhile. */
static int next_wait(const struct master *master)
{
    uint64_t now = now_ms(), at = min_of(master->maintain_at, master->look_at);
    for (const struct generation *g = master->newest; g != NULL; g = g->older) {
        int respawn =
            g->state == GENERATION_LEAVING ? -1 : children_respawn_wait(&g->children, now);
        if (respawn >= 0)
            at = min_of(at, now + (uint64_t)respawn);
        if (g->state == GENERATION_LEAVING)
            at = min_of(at, g->kill_at);
    }
    return at > now ? (int)(at - now) : 0;
}

static void tell_status(struct master *master)
{
    char loop[128] = "";
    struct shm_info info;
    uint64_t now = now_ms(), connections = 0;
    unsigned calls = 0, workers = 0;
    uint64_t dropped = log_dropped();
    if (now < master->status_at || master->phase != SERVING)
        return;
    stats_count_log_dropped(
        shm_counters_row(master->segment.counters, shm_actor_slot(master->segment.actor)),
        dropped - master->log_dropped);
    master->log_dropped = dropped;
    master->status_at = now + STATUS_MS;
    shm_store_info(master->segment.store, &info);
    for (const struct generation *g = master->newest; g != NULL; g = g->older) {
        connections += balance_connections(g->balance);
        calls += children_calls(&g->children);
        workers += children_running(&g->children);
        if (loop[0] == '\0')
            (void)children_describe_loop(&g->children, now, loop, sizeof(loop));
    }
    notify_status("%s%s%llu users, %u workers, %llu connections, %u calls in flight", loop,
                  loop[0] != '\0' ? "; " : "", (unsigned long long)info.users, workers,
                  (unsigned long long)connections, calls);
}

/* Beside the table's housekeeping: who stands still, and who was told to leave and has not. */
static void look_after_workers(struct master *master)
{
    uint64_t now = now_ms();
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        if (children_check_progress(&g->children, g->options.worker_timeout, now) != 0)
            master->moved_at = now;
        if (g->state == GENERATION_LEAVING && now >= g->kill_at &&
            children_running(&g->children) != 0) {
            log_warning("workers that did not stop in time are killed");
            children_signal(&g->children, SIGKILL);
            g->kill_at = now + KILL_AFTER_MS;
        }
        if (g->tls != NULL)
            tls_forget_old_secrets(g->tls);
    }
    master->look_at = now + LOOK_MS;
    if (master->phase != SERVING || now < master->moved_at + STILL_MS)
        master->look_at = min_of(master->look_at, now + notify_watchdog(now));
}

static void maintain(struct master *master)
{
    uint64_t now = now_ms();
    if (now >= master->maintain_at) {
        master->maintain_at = now + shm_maintain(master->segment.actor);
        tell_status(master);
    }
    if (now >= master->look_at)
        look_after_workers(master);
    if (master->upgrade.pid != 0 && now >= master->upgrade_until) {
        log_error("upgrade: the new program did not serve within a minute");
        kill(master->upgrade.pid, SIGKILL);
        master->upgrade_until = now + UPGRADE_WAIT_MS;
    }
}

/* Those of whom nobody is left. */
static void bury_generations(struct master *master)
{
    for (struct generation **at = &master->newest; *at != NULL;) {
        struct generation *g = *at;
        bool last = at == &master->newest && g->older == NULL;
        if (last || g->state != GENERATION_LEAVING || children_running(&g->children) != 0) {
            at = &g->older;
            continue;
        }
        *at = g->older;
        generation_close(g);
    }
}

static size_t fill_poll(const struct master *master, struct pollfd *fds)
{
    fds[POLL_SIGNALS] = (struct pollfd){.fd = master->signal_fd, .events = POLLIN};
    fds[POLL_UPGRADE] = (struct pollfd){
        .fd = master->upgrade.pid != 0 ? master->upgrade.channel : -1, .events = POLLIN};
    fds[POLL_ORIGIN] = (struct pollfd){.fd = master->origin.channel, .events = POLLIN};
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
        on_upgrade_news(master);
    if (fds[POLL_ORIGIN].revents != 0 && master->phase != STARTING && master->origin.channel >= 0)
        on_origin_done(master);
    control_accept(&master->control);
    maintain(master);
}

static bool anybody_runs(const struct master *master)
{
    for (const struct generation *g = master->newest; g != NULL; g = g->older)
        if (children_running(&g->children) != 0)
            return true;
    return false;
}

/* @return CHILDREN_SPAWNED when the server has ended; in a child its exit status */
static int supervise(struct master *master)
{
    while (master->phase != STOPPING || anybody_runs(master)) {
        int result = spawn_due(master);
        if (result != CHILDREN_SPAWNED)
            return result;
        if (master->phase == STOPPING && !anybody_runs(master))
            break; /* a first fork failed */
        look(master);
        struct generation *newest = master->newest;
        if (newest->state == GENERATION_STARTING && children_all_ready(&newest->children))
            on_all_ready(master, newest);
        bury_generations(master);
        if (master->reload_due && master->phase == SERVING && master->upgrade.pid == 0 &&
            master->newest->state == GENERATION_SERVING)
            reload(master);
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
            close_own(&master);
            return child_status;
        }
        if (master.served)
            log_notice("Server stopped");
    }
    close_all(&master);
    return master.exit_status;
}
