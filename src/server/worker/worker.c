/* SPDX-License-Identifier: MIT */
#include "server/worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/container_of.h"
#include "base/output.h"
#include "server/config/options_parse.h"
#include "server/os/limits.h"
#include "server/os/log.h"
#include "server/web/web.h"
#include "server/worker/accept.h"
#include "server/worker/serving.h"
#include "server/worker/upkeep.h"

enum {
    DRAIN_FLUSH_MS = 1000,   /* after drain-timeout, to send the last statuses */
    ROOM_TO_START = 1 << 20, /* bytes: with less memory a start may fail for want of it */
};

struct worker {
    const struct worker_config *config;
    struct serving serving;
    struct web *web;
    struct acceptor *acceptor;
    struct upkeep upkeep;
    h2o_socket_t *signals, *death; /* signalfd; the pipe that only the master can write to */
    h2o_socket_t *wake;            /* eventfd of the journal; NULL: there is none */
    h2o_socket_t *passwords;       /* answers to passwords; NULL: there are none */
    struct timer drain_over;
    uint64_t web_until; /* ms: when the open connections of `web` are cut off; 0: not set */
    bool draining, drain_expired, stop;
};

/* ---- stop ---- */

/* Expires twice: after drain-timeout, and DRAIN_FLUSH_MS later. */
static void on_drain_over(struct timer *timer)
{
    struct worker *worker = container_of(timer, struct worker, drain_over);
    struct grpc_server *server = worker->serving.server;
    if (worker->drain_expired) {
        worker->stop = true;
        return;
    }
    worker->drain_expired = true;
    log_notice("drain-timeout: %zu calls are ended", grpc_server_calls(server));
    grpc_server_end_calls(server, GRPC_UNAVAILABLE, "the server is shutting down");
    timer_arm(grpc_server_timers(server), timer, grpc_server_now_ms(server) + DRAIN_FLUSH_MS);
}

/* @param replaced other workers serve from now on, with other certificates and tokens perhaps; else
 * the whole server ends, and /readyz says so until then */
static void worker_drain(struct worker *worker, bool replaced)
{
    struct grpc_server *server = worker->serving.server;
    if (worker->draining)
        return;
    worker->draining = true;
    accept_stop(worker->acceptor);
    if (replaced)
        web_stop_accepting(worker->web);
    else
        web_drain(worker->web);
    services_drain(worker->serving.services);
    grpc_server_shutdown(server);
    worker->drain_over.expired = on_drain_over;
    timer_arm(grpc_server_timers(server), &worker->drain_over,
              grpc_server_now_ms(server) + worker->config->options->drain_timeout);
}

static void worker_reopen_logs(const struct worker *worker)
{
    const char *path = worker->config->options->access_log_file;
    struct fault fault;
    if (!log_reopen(&fault))
        log_error("log-file: %s; the old file stays in use", fault.text);
    if (worker->serving.access_log != NULL && path != NULL &&
        !access_log_open_again(path, worker->config->access_log_fd))
        log_error("access-log-file: %s: %s; the old file stays in use", path, output_error(errno));
}

static void on_worker_signal(h2o_socket_t *sock, const char *err)
{
    struct worker *worker = sock->data;
    struct signalfd_siginfo info;
    if (err != NULL)
        return;
    while (read(h2o_socket_get_fd(sock), &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        /* A HUP for all processes of the server is the master's to obey: a reload that it refuses
         * changes nothing. */
        if (info.ssi_signo == SIGHUP && info.ssi_pid != (uint32_t)getppid())
            continue;
        if (info.ssi_signo == SIGQUIT || info.ssi_signo == SIGHUP)
            worker_drain(worker, info.ssi_signo == SIGHUP);
        else if (info.ssi_signo == SIGUSR1)
            worker_reopen_logs(worker);
        else
            worker->stop = true;
    }
}

/* The pipe's only writer, the master, is gone: no process supervises this worker any more. */
static void on_master_gone(h2o_socket_t *sock, const char *err)
{
    struct worker *worker = sock->data;
    (void)err;
    worker->stop = true;
}

/* Commits are on disk that calls of this worker wait for. Their answers go out in this turn of the
 * loop. */
static void on_journal_wakes(h2o_socket_t *sock, const char *err)
{
    struct worker *worker = sock->data;
    uint64_t times;
    if (err == NULL && read(h2o_socket_get_fd(sock), &times, sizeof(times)) > 0)
        services_settle(worker->serving.services);
}

static void on_password_answers(h2o_socket_t *sock, const char *err)
{
    struct worker *worker = sock->data;
    if (err == NULL)
        pool_client_read(worker->serving.passwords);
}

/* A scrape that came just before a reload still gets its answer. */
static bool is_web_done(struct worker *worker)
{
    if (worker->web == NULL || web_is_idle(worker->web))
        return true;
    uint64_t now = grpc_server_now_ms(worker->serving.server);
    if (worker->web_until == 0)
        worker->web_until = now + WEB_END_MS;
    return now >= worker->web_until;
}

static bool worker_is_done(struct worker *worker)
{
    if (worker->stop)
        return true;
    const struct http2_counts *counts =
        http2_context_counts(grpc_server_http2(worker->serving.server));
    return worker->draining && counts->connections_open == 0 && is_web_done(worker);
}

/* ---- start and end ---- */

/* The socket takes over the descriptor. */
static h2o_socket_t *worker_watch(struct worker *worker, int fd, h2o_socket_cb on_readable)
{
    h2o_socket_t *sock =
        h2o_evloop_socket_create(worker->serving.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    sock->data = worker;
    h2o_socket_read_start(sock, on_readable);
    return sock;
}

static bool watch_signals(struct worker *worker, struct fault *fault)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return fault_set_errno(fault, "signalfd");
    worker->signals = worker_watch(worker, fd, on_worker_signal);
    return true;
}

static bool watch_master(struct worker *worker, struct fault *fault)
{
    int death = fcntl(worker->config->death_fd, F_DUPFD_CLOEXEC, 0);
    if (death < 0)
        return fault_set(fault, "out of descriptors");
    worker->death = worker_watch(worker, death, on_master_gone);
    return true;
}

static bool watch_journal(struct worker *worker, struct fault *fault)
{
    if (worker->config->wake_fd < 0)
        return true;
    int fd = fcntl(worker->config->wake_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fault_set(fault, "out of descriptors");
    worker->wake = worker_watch(worker, fd, on_journal_wakes);
    return true;
}

static bool watch_passwords(struct worker *worker, struct fault *fault)
{
    if (worker->serving.passwords == NULL)
        return true;
    int fd = fcntl(pool_client_fd(worker->serving.passwords), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fault_set(fault, "out of descriptors");
    worker->passwords = worker_watch(worker, fd, on_password_answers);
    return true;
}

static bool open_web(struct worker *worker, struct fault *fault)
{
    const struct worker_config *config = worker->config;
    struct serving *serving = &worker->serving;
    bool guarded = config->options->metrics_auth != 0;
    assert(!guarded || config->auth != NULL); /* options_parse() has checked it */
    const struct web_tls tls = {
        .context = config->web_tls != NULL ? tls_context(config->web_tls) : NULL,
        .metrics_need_certificate = config->options->metrics_tls_client_ca != NULL,
    };
    worker->web = web_open(serving->loop, serving->server, config->web_listeners, config->counters,
                           config->store, guarded ? config->auth : NULL, &tls);
    if (worker->web != NULL)
        return true;
    serving->out_of_memory = true;
    return fault_set(fault, "out of memory");
}

static bool worker_start(struct worker *worker, struct fault *fault)
{
    const struct worker_config *config = worker->config;
    struct serving *serving = &worker->serving;
    if (!serving_open(serving, config, fault) || !watch_signals(worker, fault) ||
        !watch_master(worker, fault) || !watch_journal(worker, fault) ||
        !watch_passwords(worker, fault))
        return false;
    if (!open_web(worker, fault))
        return false;
    worker->acceptor = accept_start(config, serving->loop, serving->server, fault);
    return worker->acceptor != NULL;
}

/* Whether the start failed for want of memory or descriptors, which may be there again when the
 * next worker starts. */
static bool lacks_resources(const struct worker *worker)
{
    void *room = malloc(ROOM_TO_START);
    int fd = fcntl(worker->config->report_fd, F_DUPFD_CLOEXEC, 0);
    bool lacking = room == NULL || fd < 0;
    free(room);
    if (fd >= 0)
        close(fd);
    return lacking || worker->serving.out_of_memory;
}

/* Tells the master that the worker accepts connections. @return false: the master is gone */
static bool report_ready(const struct worker *worker)
{
    const char ready = WORKER_READY;
    return write(worker->config->report_fd, &ready, 1) == 1;
}

/* Tells the master why the start failed. @return the exit status for this kind of failure */
static enum worker_exit report_failed(const struct worker *worker, const struct fault *fault)
{
    ssize_t written = write(worker->config->report_fd, fault->text, strlen(fault->text));
    (void)written;
    return lacks_resources(worker) ? WORKER_EXIT_RESOURCES : WORKER_EXIT_CONFIG;
}

static void close_if_open(h2o_socket_t *sock)
{
    if (sock != NULL)
        h2o_socket_close(sock);
}

static void worker_end(struct worker *worker)
{
    struct serving *serving = &worker->serving;
    accept_stop(worker->acceptor);
    web_close(worker->web);
    close_if_open(worker->signals);
    close_if_open(worker->death);
    close_if_open(worker->wake);
    close_if_open(worker->passwords);
    if (serving->server != NULL)
        timer_disarm(grpc_server_timers(serving->server), &worker->drain_over);
    if (serving->stats != NULL)
        upkeep_count(&worker->upkeep, serving, worker->acceptor);
    serving_close(serving);
    accept_destroy(worker->acceptor);
}

enum worker_exit worker_run(const struct worker_config *config)
{
    static struct worker worker; /* static: sockets that are still open at the exit point to it */
    worker.config = config;
    char name[16];
    snprintf(name, sizeof(name), "rosterd-w%u", config->number);
    prctl(PR_SET_NAME, name);
    log_set_worker(config->number);
    limits_apply_to_worker(options_limits(config->options), config->number);
    upkeep_keep_memory();
    enum worker_exit exit_status = WORKER_EXIT_OK;
    struct fault fault;
    if (!worker_start(&worker, &fault))
        exit_status = report_failed(&worker, &fault);
    else if (!report_ready(&worker))
        worker.stop = true;
    close(config->report_fd);
    while (exit_status == WORKER_EXIT_OK && !worker_is_done(&worker)) {
        grpc_server_run_once(worker.serving.server, WORKER_TURN_MS);
        services_settle(worker.serving.services);
        upkeep_after_turn(&worker.upkeep, config, &worker.serving, worker.acceptor);
        shm_actor_offline(worker.serving.actor);
    }
    worker_end(&worker);
    return exit_status;
}
