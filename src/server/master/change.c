/* SPDX-License-Identifier: MIT */
/* Another configuration, another program: while clients are served. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/output.h"
#include "server/config/options_parse.h"
#include "server/master/state.h"
#include "server/os/limits.h"
#include "server/os/log.h"
#include "server/os/notify.h"

enum {
    UPGRADE_WAIT_MS = 60000, /* for the new program to serve */
    UPGRADE_END_MS = 2000,   /* for it to end, when it has given up */
};

/* ---- reload ---- */

void change_reload_failed(struct master *master, const char *text)
{
    char line[900];
    master_count(master, STATS_RELOADS_FAILED);
    log_error("reload: %s; what was in force stays", text);
    snprintf(line, sizeof(line), "reload: %s", text);
    control_end(&master->control, false, line);
    notify_ready();
}

/* At the start one may wait for who writes a FIFO, for then there is nothing else to do. */
static bool check_file(const char *path, struct fault *fault)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0 || !S_ISFIFO(st.st_mode))
        return true;
    snprintf(fault->text, sizeof(fault->text), "%.300s: a FIFO is not waited for in a reload",
             path);
    return false;
}

static bool check_files(const struct options *options, struct fault *fault)
{
    bool good =
        check_file(options->auth_token_file, fault) && check_file(options->tls_client_ca, fault);
    for (size_t i = 0; i < options->tls_certificates.count && good; i++)
        good = check_file(options->tls_certificates.all[i], fault) &&
               check_file(options->tls_keys.all[i], fault);
    return good;
}

static bool open_next(struct master *master, struct fault *fault)
{
    struct generation *now = master_serving(master);
    struct options *options = calloc(1, sizeof(*options));
    if (options == NULL) {
        snprintf(fault->text, sizeof(fault->text), "out of memory");
        return false;
    }
    bool parsed = check_file(now->options.config, fault) &&
                  options_parse(options, master->argc, master->argv, fault) &&
                  check_files(options, fault) &&
                  options_keep_fixed(options, &now->options, master->unchanged,
                                     sizeof(master->unchanged), fault);
    if (!parsed)
        options_free(options);
    struct generation *next = NULL;
    if (parsed)
        next = generation_open(options, now, &master->handed, &master->world, fault);
    free(options);
    if (next != NULL && !log_open(next->options.log_file, fault)) {
        fault_prefix(fault, "log-file");
        generation_close(next);
        next = NULL;
    }
    if (next == NULL)
        return false;
    next->older = master->newest;
    master->newest = next;
    return true;
}

void change_reload(struct master *master)
{
    struct fault fault;
    master->reload_due = false;
    control_begin(&master->control);
    notify_reloading();
    log_notice("HUP: the configuration is read again");
    if (!open_next(master, &fault))
        change_reload_failed(master, fault.text);
    else if (master->unchanged[0] != '\0')
        log_warning("reload: only a restart changes %s", master->unchanged);
}

static void on_reloaded(struct master *master, struct generation *next)
{
    char text[400];
    struct generation *before = master_serving(master);
    next->state = GENERATION_SERVING;
    master_count(master, STATS_RELOADS);
    log_set_level((enum log_level)next->options.log_level);
    limits_apply_to_master(options_limits(&next->options));
    workers_leave(before, SIGQUIT, before->options.drain_timeout);
    listeners_remove_files(&before->listeners, &next->listeners);
    listeners_remove_files(&before->web_listeners, &next->web_listeners);
    snprintf(text, sizeof(text), "reloaded: %u workers%s%s", next->children.count,
             master->unchanged[0] != '\0' ? "; only a restart changes " : "", master->unchanged);
    log_notice("%s", text);
    control_end(&master->control, true, text);
    notify_ready();
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

void change_all_ready(struct master *master, struct generation *generation)
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

void change_upgrade(struct master *master)
{
    struct fault fault;
    const struct generation *now = master_serving(master);
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
    master->upgrade_until = master_now() + UPGRADE_WAIT_MS;
}

void change_upgrade_news(struct master *master)
{
    switch (upgrade_read(&master->upgrade)) {
    case UPGRADE_NOTHING:
        return;
    case UPGRADE_FAILED:
        /* mostly it ends just now: its status, which says more, comes by SIGCHLD */
        close(master->upgrade.channel);
        master->upgrade.channel = -1;
        if (master->upgrade.too_late) /* it was killed, and that closed it */
            return;
        master->upgrade.gave_up = true;
        master->upgrade_until = master_now() + UPGRADE_END_MS;
        return;
    case UPGRADE_READY:
        log_notice("upgrade: process %d serves, this one drains", (int)master->upgrade.pid);
        notify_main_pid(master->upgrade.pid);
        upgrade_confirm(&master->upgrade);
        upgrade_close(&master->upgrade);
        master->handed_over = true;
        master_stop(master, false);
    }
}

void change_upgrade_failed(struct master *master, int status)
{
    char end[128];
    bool too_late = master->upgrade.too_late, gave_up = master->upgrade.gave_up;
    upgrade_close(&master->upgrade);
    if (master->phase == STOPPING) /* it was told to go, too */
        return;
    master_count(master, STATS_UPGRADES_FAILED);
    children_describe_end(end, sizeof(end), status);
    if (too_late && gave_up)
        log_error("upgrade: the new program gave up before it served, and was ended; this one "
                  "goes on");
    else if (too_late)
        log_error("upgrade: the new program did not serve within %d s and was ended; this one "
                  "goes on",
                  UPGRADE_WAIT_MS / 1000);
    else
        log_error("upgrade: the new program %s before it served; this one goes on", end);
    notify_ready();
}

void change_look_after(struct master *master)
{
    if (master->upgrade.pid == 0 || master_now() < master->upgrade_until)
        return;
    master->upgrade.too_late = true;
    kill(master->upgrade.pid, SIGKILL);
    master->upgrade_until = master_now() + UPGRADE_WAIT_MS;
}
