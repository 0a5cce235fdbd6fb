/* SPDX-License-Identifier: MIT */
#include "server/worker/serving.h"

#include "server/os/log.h"
#include "server/worker/client_log.h"

enum {
    LOG_RING_SIZE = 1 << 20,      /* bytes of waiting access log lines; pages are used on demand */
    LOG_FLUSH_MS = 1000,          /* how long serving_close() waits for the last lines */
    PASSWORD_PATIENCE_MS = 60000, /* for the answer of a process for passwords */
    KIB = 1024,
};

static bool serving_out_of_memory(struct serving *serving, struct fault *fault)
{
    serving->out_of_memory = true;
    return fault_set(fault, "out of memory");
}

/* To http2 a time of 0 means the default, so an option of 0 becomes 1 ms. */
static uint64_t at_least_one(uint64_t option)
{
    return option == 0 ? 1 : option;
}

static struct grpc_config grpc_config_of(const struct options *options)
{
    return (struct grpc_config){
        .max_message_size = (uint32_t)options->max_message_size,
        .message_timeout = options->message_timeout,
        .compression = (unsigned)options->compression,
        .compression_min_size = (uint32_t)options->compression_min_size,
        .busy_poll_us = (uint32_t)options->busy_poll,
        .http2 =
            {
                .max_concurrent_streams = (uint32_t)options->max_concurrent_streams,
                .max_header_list_size = (uint32_t)options->max_header_size,
                .handshake_timeout = options->handshake_timeout,
                .max_age = options->max_connection_age,
                .max_age_grace = options->max_connection_age_grace,
                .max_idle = options->max_connection_idle,
                .keepalive_time = options->keepalive_time,
                .keepalive_timeout = options->keepalive_timeout,
                .ping_min_time = at_least_one(options->keepalive_min_time),
                .ping_without_streams = options->keepalive_without_calls != 0,
                .max_memory = options->max_connection_memory,
                .note = client_log_line,
            },
    };
}

static bool join_segment(struct serving *serving, const struct worker_config *config,
                         struct fault *fault)
{
    struct shm_fault why;
    if (shm_actor_join(&serving->actor, config->store, SHM_ACTOR_WORKER, config->number, &why) !=
        SHM_OK)
        return fault_set(fault, "%s", why.text);
    unsigned slot = shm_actor_slot(serving->actor);
    __atomic_store_n(&config->board->slot, slot, __ATOMIC_RELAXED);
    if (config->wake != NULL)
        wake_enter(config->wake, config->place, slot);
    return true;
}

/* A worker in a place without a channel, usually of the ninth generation while eight drain, serves
 * all calls but those with passwords. */
static bool open_passwords_client(struct serving *serving, const struct worker_config *config,
                                  struct fault *fault)
{
    const struct options *options = config->options;
    if (config->pool == NULL)
        return true;
    if (config->place >= pool_channels_count(config->pool)) {
        log_warning("password-processes: too many workers at once: this one verifies no passwords");
        return true;
    }
    const struct pool_client_config client = {
        .channels = config->pool,
        .place = config->place,
        .timers = grpc_server_timers(serving->server),
        .in_flight = (unsigned)options->password_processes + 1,
        .queue = options->password_queue,
        .patience = PASSWORD_PATIENCE_MS,
        .cost = {.memory = options->password_memory / KIB * KIB,
                 .passes = (uint32_t)options->password_passes},
        .limits = PASSWORD_LIMITS_STORED,
    };
    serving->passwords = pool_client_create(&client);
    return serving->passwords != NULL || serving_out_of_memory(serving, fault);
}

static bool open_server(struct serving *serving, const struct worker_config *config,
                        struct fault *fault)
{
    const struct grpc_config grpc_config = grpc_config_of(config->options);
    serving->loop = h2o_evloop_create();
    serving->server = grpc_server_create(serving->loop, &grpc_config);
    if (serving->server == NULL)
        return serving_out_of_memory(serving, fault);
    if (!open_passwords_client(serving, config, fault))
        return false;
    const struct service_config services = {
        .store = config->store,
        .actor = serving->actor,
        .passwords = serving->passwords,
        .tries = config->tries,
        .password_tries = (uint32_t)config->options->password_tries,
        .password_tries_of_address = (uint32_t)config->options->password_tries_of_address,
        .password_tries_window = config->options->password_tries_window,
        .password_queue = config->options->password_queue,
        .store_passwords = config->options->store_passwords != 0,
        .password_counts = &serving->password_counts,
        .note = client_log_line,
        .snapshot_max_age = config->options->snapshot_max_age,
        .max_watches = config->options->max_watches,
        .watch_bookmark = config->options->watch_bookmark,
        .counts = &serving->counts,
    };
    serving->services = services_create(serving->server, &services, fault);
    return serving->services != NULL;
}

/* The services must be on the server before: the counters and the chain cover their methods. */
static bool open_interceptors(struct serving *serving, const struct worker_config *config,
                              struct fault *fault)
{
    uint64_t *row = shm_counters_row(config->counters, shm_actor_slot(serving->actor));
    serving->stats = stats_create_for_server(serving->server, row, config->board);
    if (serving->stats == NULL)
        return serving_out_of_memory(serving, fault);
    if (config->access_log_fd >= 0) {
        bool json = config->options->log_format == LOG_FORMAT_JSON;
        serving->access_log = access_log_create(config->access_log_fd, json, LOG_RING_SIZE);
        if (serving->access_log == NULL)
            return serving_out_of_memory(serving, fault);
    }
    const struct chain_config chain = {
        .server = serving->server,
        .stats = serving->stats,
        .access_log = serving->access_log,
        .auth = config->auth,
    };
    serving->chain = chain_create(&chain);
    return serving->chain != NULL || serving_out_of_memory(serving, fault);
}

bool serving_open(struct serving *serving, const struct worker_config *config, struct fault *fault)
{
    return join_segment(serving, config, fault) && open_server(serving, config, fault) &&
           open_interceptors(serving, config, fault);
}

void serving_close(struct serving *serving)
{
    pool_client_destroy(serving->passwords); /* it has timers of the server */
    if (serving->server != NULL)
        grpc_server_destroy(serving->server);
    chain_destroy(serving->chain);
    stats_destroy(serving->stats);
    access_log_destroy(serving->access_log, LOG_FLUSH_MS);
    services_destroy(serving->services);
    shm_actor_leave(serving->actor);
}
