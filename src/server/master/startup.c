/* SPDX-License-Identifier: MIT */
#include "server/master/startup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server/config/options_parse.h"
#include "server/master/inherit.h"
#include "server/master/room_watch.h"
#include "server/os/limits.h"
#include "server/os/log.h"
#include "server/os/notify.h"

static bool block_signals(struct master *master, struct fault *fault)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        sigaddset(&set, handled[i]);
    /* the parent may have left it ignored, and then waitpid() would find no dead child */
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    master->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return master->signal_fd >= 0 || fault_set_errno(fault, "signalfd");
}

/* The master keeps the only write end, so that workers see an end of file when it dies. */
static bool open_death_pipe(struct master *master, struct fault *fault)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fault_set_errno(fault, "pipe");
    master->common.death_fd = ends[0];
    master->death_fd = ends[1];
    return true;
}

static bool open_process(struct master *master, const struct options *options, struct fault *fault)
{
    if (!block_signals(master, fault) || !open_death_pipe(master, fault))
        return false;
    if (!log_open(options->log_file, fault))
        return fault_prefix(fault, "log-file");
    master->common.admission = admission_create();
    if (master->common.admission == NULL)
        return fault_set_errno(fault, "max-connections");
    return inherit_sockets(&master->handed, fault) &&
           segment_owner_open(&master->segment, options, &master->predecessor, fault);
}

/* A worker polls while a reply is on its way to the client and back; the journal also while a
 * worker takes notice of a publication and answers. */
enum { JOURNAL_POLLS = 10 };

static bool open_journal(struct master *master, const struct options *options, struct fault *fault)
{
    const struct data_owner *data = &master->segment.data;
    if (data->path[0] == '\0')
        return true;
    master->common.wake = wake_create((unsigned)options->workers);
    if (master->common.wake == NULL)
        return fault_set_errno(fault, "data-file: journal");
    const struct journal_process_config config = {
        .store = master->segment.store,
        .counters = master->segment.counters,
        .wake = master->common.wake,
        .path = data->path,
        .durability = data->durability,
        .interval_ms = data->interval_ms,
        .poll_us = JOURNAL_POLLS * options->busy_poll,
    };
    return journal_owner_open(&master->journal, &config, fault) || fault_prefix(fault, "data-file");
}

static bool open_passwords(struct master *master, const struct options *options,
                           struct fault *fault)
{
    if (options->password_processes == 0)
        return true;
    master->common.pool =
        pool_channels_create((unsigned)options->workers, limits_raise_descriptors());
    if (master->common.pool == NULL)
        return fault_set_errno(fault, "password-processes");
    master->common.tries = tries_create();
    if (master->common.tries == NULL)
        return fault_set_errno(fault, "password-processes");
    return password_owner_open(&master->passwords, master->common.pool,
                               (unsigned)options->password_processes, fault);
}

/* Only when the segment is open: another server that is starting with the same configuration has
 * been refused by then. */
static bool prepare_pid_file(struct master *master, const struct options *options,
                             struct fault *fault)
{
    return pid_file_prepare(&master->pid_file, options->pid_file, fault) ||
           fault_prefix(fault, "pid-file");
}

bool startup_open(struct master *master, struct options *options, struct fault *fault)
{
    if (!open_process(master, options, fault)) {
        options_free(options);
        return false;
    }
    master->common.store = master->segment.store;
    master->common.counters = master->segment.counters;
    if (!open_journal(master, options, fault) || !open_passwords(master, options, fault) ||
        !prepare_pid_file(master, options, fault)) {
        options_free(options);
        return false;
    }
    master->newest = generation_open(options, NULL, &master->handed, &master->common, fault);
    if (master->newest == NULL)
        return false;
    inherit_close_own(&master->handed, &master->newest->listeners, &master->newest->web_listeners);
    return true;
}

static void publish_pid_file(struct master *master)
{
    struct fault fault;
    if (!pid_file_publish(&master->pid_file, &fault))
        log_error("pid-file: %s", fault.text);
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

void startup_finish(struct master *master, struct generation *generation)
{
    assert(master->phase == MASTER_STARTING && generation->older == NULL);
    generation->state = GENERATION_SERVING;
    master->phase = MASTER_SERVING;
    master->served = true;
    data_owner_sign(&master->segment.data);
    publish_pid_file(master);
    segment_owner_log_users(&master->segment, master->predecessor.segment_fd >= 0);
    log_started(generation);
    room_watch_begin(master);
    if (master->predecessor.channel >= 0)
        predecessor_report_ready(&master->predecessor);
    else
        notify_ready();
}

void startup_report_failure(struct master *master, struct fault *fault)
{
    limits_explain(fault);
    fprintf(stderr, "rosterd: %s\n", fault->text);
    master->exit_status = 1;
}

void startup_close(struct master *master)
{
    struct generation *newest = master->newest;
    if (newest != NULL) {
        listeners_close(&newest->listeners, !master->handed_over);
        listeners_close(&newest->web_listeners, !master->handed_over);
    }
    pid_file_remove(&master->pid_file);
    /* a new program that has never served leaves the segment's name to its predecessor */
    bool leave_name =
        master->handed_over || (!master->served && master->predecessor.segment_fd >= 0);
    segment_owner_close(&master->segment, !master->served, leave_name);
    state_close(master);
    if (master->common.death_fd >= 0)
        close(master->common.death_fd);
    master->common.death_fd = -1;
}
