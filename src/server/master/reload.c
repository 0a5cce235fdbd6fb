/* SPDX-License-Identifier: MIT */
#include "server/master/reload.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/config/options_parse.h"
#include "server/master/stop.h"
#include "server/os/limits.h"
#include "server/os/log.h"
#include "server/os/notify.h"

/* Reports the failure to the log, to waiting `rosterd --reload` commands, and to systemd. */
static void reload_report_failure(struct master *master, const struct fault *fault)
{
    char line[sizeof(fault->text) + sizeof("reload: ")];
    snprintf(line, sizeof(line), "reload: %s", fault->text);
    state_count(master, STATS_RELOADS_FAILED);
    log_error("reload: %s; the previous configuration stays in force", fault->text);
    control_end(&master->control, false, line);
    notify_ready();
}

/* A start may wait for a writer of a FIFO, because it has nothing else to do. A reload must not
 * wait, because the master would block. */
static bool check_no_fifo(const char *path, struct fault *fault)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0 || !S_ISFIFO(st.st_mode))
        return true;
    return fault_set(fault, "%.300s: it is a FIFO, and a reload does not wait for its writer",
                     path);
}

static bool check_no_fifos(const struct options *options, struct fault *fault)
{
    bool good = check_no_fifo(options->auth_token_file, fault) &&
                check_no_fifo(options->tls_client_ca, fault);
    for (size_t i = 0; i < options->tls_certificates.count && good; i++)
        good = check_no_fifo(options->tls_certificates.all[i], fault) &&
               check_no_fifo(options->tls_keys.all[i], fault);
    return good;
}

/* @param next is filled, and is the caller's to free when this returns true */
static bool read_options(struct master *master, const struct options *now, struct options *next,
                         struct fault *fault)
{
    if (check_no_fifo(now->config, fault) &&
        options_parse(next, master->argc, master->argv, fault) && check_no_fifos(next, fault) &&
        options_keep_fixed(next, now, master->unchanged, sizeof(master->unchanged), fault))
        return true;
    options_free(next);
    return false;
}

/* Opens the next generation, and switches to its log. */
static struct generation *open_next(struct master *master, struct fault *fault)
{
    const struct generation *now = state_serving(master);
    struct options *options = calloc(1, sizeof(*options)); /* too large for the stack */
    if (options == NULL) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    struct generation *next = NULL;
    if (read_options(master, &now->options, options, fault))
        next = generation_open(options, now, &master->handed, &master->common, fault);
    free(options);
    if (next == NULL || log_open(next->options.log_file, fault))
        return next;
    fault_prefix(fault, "log-file");
    generation_remove_files(next, now);
    generation_close(next);
    return NULL;
}

void reload_begin(struct master *master)
{
    assert(master->newest->state == GENERATION_SERVING);
    master->reload_due = false;
    control_begin(&master->control);
    notify_reloading();
    log_notice("HUP: reloading the configuration");
    struct fault fault;
    struct generation *next = open_next(master, &fault);
    if (next == NULL) {
        reload_report_failure(master, &fault);
        return;
    }
    next->older = master->newest;
    master->newest = next;
    if (master->unchanged[0] != '\0')
        log_warning("reload: only a restart changes %s", master->unchanged);
}

/* The journal and the processes for passwords live on, and have the log that the master had when it
 * forked them. */
static bool logs_elsewhere(const struct options *now, const struct options *before)
{
    const char *a = now->log_file, *b = before->log_file;
    return now->log_level != before->log_level || (a == NULL) != (b == NULL) ||
           (a != NULL && strcmp(a, b) != 0);
}

void reload_finish(struct master *master, struct generation *next)
{
    struct generation *before = state_serving(master);
    assert(before != NULL && next->state == GENERATION_STARTING);
    next->state = GENERATION_SERVING;
    state_count(master, STATS_RELOADS);
    log_set_level((enum log_level)next->options.log_level);
    limits_apply_to_master(options_limits(&next->options));
    if (logs_elsewhere(&next->options, &before->options)) {
        journal_owner_renew(&master->journal);
        password_owner_renew(&master->passwords);
    }
    stop_generation(before, SIGHUP, before->options.drain_timeout);
    generation_remove_files(before, next);
    generation_stop_listening(before);
    char text[400];
    snprintf(text, sizeof(text), "reloaded: %u workers%s%s", next->children.count,
             master->unchanged[0] != '\0' ? "; only a restart changes " : "", master->unchanged);
    log_notice("%s", text);
    control_end(&master->control, true, text);
    notify_ready();
}

void reload_give_up(struct master *master, struct generation *next, const struct fault *fault)
{
    const struct generation *stays = state_serving(master);
    assert(stays != NULL && stays != next);
    next->given_up = true;
    (void)log_open(stays->options.log_file, NULL);
    stop_generation(next, SIGKILL, 0);
    reload_report_failure(master, fault);
    generation_remove_files(next, stays);
}
