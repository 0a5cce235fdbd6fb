/* SPDX-License-Identifier: MIT */
#include "server/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/output.h"
#include "server/os/limits.h"
#include "server/os/log.h"
#include "server/web/web.h"
#include "server/worker/accept.h"
#include "service/core/chain.h"
#include "service/observe/access_log.h"
#include "service/services.h"

enum {
    DRAIN_FLUSH_MS = 1000,   /* after drain-timeout, for the last statuses to go out */
    LOG_RING_SIZE = 1 << 20, /* lines that wait: touched as far as they ever did */
    LOG_FLUSH_MS = 1000,     /* at the end, for the last lines */
    NOTES_PER_SECOND = 100,
    IDLE_MS = 2000,          /* without a byte from anybody */
    ROOM_TO_START = 1 << 20, /* where malloc has not that much, a start fails for want of it */
    FORGET_MS = 60000,       /* between two looks for secrets of the past */
    LOST_LINES_MS = 60000,   /* between two words about lines that the access log loses */
};

struct worker {
    const struct worker_config *config;
    h2o_loop_t *loop;
    struct shm_actor *actor;
    struct grpc_server *server;
    struct services *services;
    struct stats *stats;
    struct access_log *access_log;
    struct chain *chain;
    h2o_socket_t *signals;
    h2o_socket_t *death;
    struct timer drain_over;
    uint64_t forget_at;                     /* ms, as grpc_server_now_ms() has them */
    uint64_t dropped_told, tell_dropped_at; /* of access_log_dropped(); ms */
    bool draining, drain_expired, stop;
    uint64_t bytes_in; /* when it was looked at last, once a second */
    uint64_t look_at;  /* ms */
    bool gave_back;
    uint64_t noted_ms; /* the second in which notes are counted began */
    unsigned notes;
    bool no_memory; /* the start failed for it */
};

/* libh2o's callbacks bring their socket's data, timers nothing: a process has one worker */
static struct worker the_worker;

/* ---- stopping ---- */

static void on_drain_over(struct timer *timer)
{
    struct worker *worker = &the_worker;
    if (worker->drain_expired) {
        worker->stop = true;
        return;
    }
    worker->drain_expired = true;
    log_notice("drain-timeout: %zu calls are ended", grpc_server_calls(worker->server));
    grpc_server_end_calls(worker->server, GRPC_UNAVAILABLE, "the server is shutting down");
    timer_arm(grpc_server_timers(worker->server), timer,
              grpc_server_now_ms(worker->server) + DRAIN_FLUSH_MS);
}

static void drain(struct worker *worker)
{
    if (worker->draining)
        return;
    worker->draining = true;
    accept_close();
    web_drain();
    services_drain(worker->services);
    grpc_server_shutdown(worker->server);
    worker->drain_over.expired = on_drain_over;
    timer_arm(grpc_server_timers(worker->server), &worker->drain_over,
              grpc_server_now_ms(worker->server) + worker->config->options->drain_timeout);
}

static void reopen_logs(const struct worker *worker)
{
    const char *path = worker->config->options->access_log_file;
    if (!log_reopen())
        log_error("log-file: %s; the old one is written to", output_error(errno));
    if (worker->access_log != NULL && path != NULL &&
        !access_log_open_again(path, worker->config->access_log_fd))
        log_error("access-log-file: %s: %s; the old one is written to", path, output_error(errno));
}

static void on_signal(h2o_socket_t *sock, const char *err)
{
    struct worker *worker = sock->data;
    struct signalfd_siginfo info;
    if (err != NULL)
        return;
    while (read(h2o_socket_get_fd(sock), &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGQUIT)
            drain(worker);
        else if (info.ssi_signo == SIGUSR1)
            reopen_logs(worker);
        else
            worker->stop = true;
    }
}

/* The other end is the master's alone: nobody supervises this worker any more. */
static void on_death(h2o_socket_t *sock, const char *err)
{
    struct worker *worker = sock->data;
    (void)err;
    worker->stop = true;
}

/* ---- start and end ---- */

/* What lacks may be there when the next worker starts. */
static bool lacks(const struct worker *worker)
{
    void *room = malloc(ROOM_TO_START);
    int fd = fcntl(worker->config->report_fd, F_DUPFD_CLOEXEC, 0);
    bool lack = room == NULL || fd < 0;
    free(room);
    if (fd >= 0)
        close(fd);
    return lack || worker->no_memory;
}

static bool fail(const struct worker *worker, const char *text)
{
    ssize_t written = write(worker->config->report_fd, text, strlen(text));
    (void)written; /* the exit status says the same */
    return false;
}

static bool fail_for_memory(struct worker *worker)
{
    worker->no_memory = true;
    return fail(worker, "out of memory");
}

static h2o_socket_t *watch(struct worker *worker, int fd, h2o_socket_cb on_readable)
{
    h2o_socket_t *sock = h2o_evloop_socket_create(worker->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    sock->data = worker;
    h2o_socket_read_start(sock, on_readable);
    return sock;
}

static bool watch_signals(struct worker *worker)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGUSR1);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return fail(worker, "signalfd failed");
    worker->signals = watch(worker, fd, on_signal);
    return true;
}

static bool watch_master(struct worker *worker)
{
    int death = fcntl(worker->config->death_fd, F_DUPFD_CLOEXEC, 0);
    if (death < 0)
        return fail(worker, "out of descriptors");
    worker->death = watch(worker, death, on_death);
    return true;
}

/* http2 has 0 for what never ends. */
static uint64_t lifetime(uint64_t option)
{
    return option == OPTIONS_NEVER ? 0 : option;
}

/* What clients can have written as often as they like. */
static void note(const char *line)
{
    struct worker *worker = &the_worker;
    uint64_t now = grpc_server_now_ms(worker->server);
    if (now - worker->noted_ms >= 1000) {
        if (worker->notes > NOTES_PER_SECOND)
            log_info("%u lines like the last one were left out", worker->notes - NOTES_PER_SECOND);
        worker->noted_ms = now;
        worker->notes = 0;
    }
    if (++worker->notes <= NOTES_PER_SECOND)
        log_info("%s", line);
}

static bool open_chain(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    if (config->access_log_fd >= 0) {
        bool json = config->options->log_format == LOG_FORMAT_JSON;
        worker->access_log = access_log_create(config->access_log_fd, json, LOG_RING_SIZE);
        if (worker->access_log == NULL)
            return false;
    }
    const struct chain_config chain = {
        .server = worker->server,
        .stats = worker->stats,
        .access_log = worker->access_log,
        .auth = config->auth,
    };
    worker->chain = chain_create(&chain);
    return worker->chain != NULL;
}

static bool start_server(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    const struct options *options = config->options;
    const struct grpc_config settings = {
        .max_message_size = (uint32_t)options->max_message_size,
        .message_timeout = lifetime(options->message_timeout),
        .compression = (unsigned)options->compression,
        .compression_min_size = (uint32_t)options->compression_min_size,
        .busy_poll_us = (uint32_t)options->busy_poll,
        .http2 = {.max_concurrent_streams = (uint32_t)options->max_concurrent_streams,
                  .max_header_list_size = (uint32_t)options->max_header_size,
                  .handshake_timeout = options->handshake_timeout,
                  .max_age = lifetime(options->max_connection_age),
                  .max_age_grace = options->max_connection_age_grace == 0
                                       ? 1 /* at once */
                                       : lifetime(options->max_connection_age_grace),
                  .max_idle = lifetime(options->max_connection_idle),
                  .keepalive_time = lifetime(options->keepalive_time),
                  .keepalive_timeout = options->keepalive_timeout,
                  .ping_min_time =
                      options->keepalive_min_time == 0 ? 1 /* any */ : options->keepalive_min_time,
                  .ping_without_streams = options->keepalive_without_calls != 0,
                  .max_memory = options->max_connection_memory,
                  .note = note},
    };
    const struct service_config services = {
        .store = config->store,
        .actor = worker->actor,
        .note = note,
        .snapshot_max_age = options->snapshot_max_age,
    };
    worker->loop = h2o_evloop_create();
    worker->server = grpc_server_create(worker->loop, &settings);
    if (worker->server == NULL)
        return fail_for_memory(worker);
    struct fault fault;
    worker->services = services_create(worker->server, &services, &fault);
    if (worker->services == NULL)
        return fail(worker, fault.text);
    worker->stats = stats_create_for_server(
        worker->server, shm_counters_row(config->counters, shm_actor_slot(worker->actor)),
        config->board);
    return (worker->stats != NULL && open_chain(worker)) || fail_for_memory(worker);
}

static bool start(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    struct shm_fault fault;
    if (shm_actor_join(&worker->actor, config->store, SHM_ACTOR_WORKER, config->number, &fault) !=
        SHM_OK)
        return fail(worker, fault.text);
    __atomic_store_n(&config->board->slot, shm_actor_slot(worker->actor), __ATOMIC_RELAXED);
    if (!start_server(worker) || !watch_signals(worker) || !watch_master(worker))
        return false;
    web_open(worker->loop, worker->server, config->web_listeners, config->counters, config->store);
    if (!accept_open(config, worker->loop, worker->server))
        return fail(worker, "out of descriptors");
    const char ready = WORKER_READY;
    return write(config->report_fd, &ready, 1) == 1;
}

static bool is_done(const struct worker *worker)
{
    return worker->stop ||
           (worker->draining &&
            http2_context_counts(grpc_server_http2(worker->server))->connections_open == 0);
}

/* Also where nobody comes by TLS for hours: a secret that is there still is one to be found. */
static void forget_old_secrets(struct worker *worker)
{
    uint64_t now = grpc_server_now_ms(worker->server);
    if (worker->config->tls == NULL || now < worker->forget_at)
        return;
    tls_forget_old_secrets(worker->config->tls);
    worker->forget_at = now + FORGET_MS;
}

/* At once, then as long as it lasts. */
static void tell_lost_lines(struct worker *worker)
{
    uint64_t now = grpc_server_now_ms(worker->server),
             lost = access_log_dropped(worker->access_log);
    int error = access_log_error(worker->access_log);
    if (worker->dropped_told != 0 && now < worker->tell_dropped_at)
        return;
    log_warning("access-log-file: %llu lines are lost: %s",
                (unsigned long long)(lost - worker->dropped_told),
                error != 0 ? strerror(error) : "it takes them too slowly");
    worker->dropped_told = lost;
    worker->tell_dropped_at = now + LOST_LINES_MS;
}

/* glibc keeps what large messages and many connections needed. A worker to whom nothing came in
 * a whole turn has the time to give it back; in a busy one it would be asked for again. */
static void give_memory_back(struct worker *worker)
{
    uint64_t bytes_in = http2_context_counts(grpc_server_http2(worker->server))->bytes_in;
    bool idle = bytes_in == worker->bytes_in;
    if (idle && !worker->gave_back)
        malloc_trim(0);
    worker->gave_back = idle;
    worker->bytes_in = bytes_in;
}

static void account(struct worker *worker)
{
    struct stats *stats = worker->stats;
    stats_set_total(stats, STATS_LIMIT_MESSAGE_SIZE, grpc_server_oversized(worker->server));
    stats_set_total(stats, STATS_LIMIT_MESSAGE_TIME, grpc_server_overdue(worker->server));
    if (worker->access_log != NULL) {
        access_log_flush(worker->access_log);
        uint64_t dropped = access_log_dropped(worker->access_log);
        stats_set_total(stats, STATS_ACCESS_LOG_DROPPED, dropped);
        if (dropped != worker->dropped_told)
            tell_lost_lines(worker);
    }
    stats_set_total(stats, STATS_LOG_DROPPED, log_dropped());
    stats_set_total(stats, STATS_LIMIT_CONNECTIONS, accept_counts()->full);
    stats_set_total(stats, STATS_LIMIT_CONNECTIONS_OF_ADDRESS, accept_counts()->address_full);
    stats_fold(stats);
}

/* Seen by the master, which kills a worker that stands still, and by the others. */
static void show_progress(const struct worker *worker)
{
    struct stats_board *board = worker->config->board;
    __atomic_store_n(&board->turns, board->turns + 1, __ATOMIC_RELAXED);
    balance_turn(worker->config->balance, worker->config->number);
}

static void close_watched(h2o_socket_t *sock)
{
    if (sock != NULL)
        h2o_socket_close(sock);
}

static void finish(struct worker *worker)
{
    accept_close();
    web_close();
    close_watched(worker->signals);
    close_watched(worker->death);
    if (worker->server != NULL) {
        timer_disarm(grpc_server_timers(worker->server), &worker->drain_over);
        if (worker->stats != NULL)
            account(worker);
        grpc_server_destroy(worker->server);
    }
    chain_destroy(worker->chain);
    stats_destroy(worker->stats);
    access_log_destroy(worker->access_log, LOG_FLUSH_MS);
    services_destroy(worker->services);
    shm_actor_leave(worker->actor);
}

int worker_run(const struct worker_config *config)
{
    struct worker *worker = &the_worker;
    char name[16];
    worker->config = config;
    snprintf(name, sizeof(name), "rosterd-w%u", config->number);
    prctl(PR_SET_NAME, name);
    log_set_worker(config->number);
    limits_of_worker(config->options, config->number);
    bool started = start(worker);
    bool lack = !started && lacks(worker);
    close(config->report_fd);
    while (started && !is_done(worker)) {
        grpc_server_run_once(worker->server, WORKER_TURN_MS);
        show_progress(worker);
        account(worker);
        forget_old_secrets(worker);
        if (grpc_server_now_ms(worker->server) >= worker->look_at) {
            worker->look_at = grpc_server_now_ms(worker->server) + IDLE_MS;
            give_memory_back(worker);
        }
        shm_actor_offline(worker->actor);
    }
    finish(worker);
    return started ? 0 : lack ? WORKER_EXIT_RESOURCES : WORKER_EXIT_CONFIG;
}
