/* SPDX-License-Identifier: MIT */
#include "tests/bench/bench_worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service/auth.h"
#include "service/observe/access_log.h"
#include "service/services.h"

uint8_t worker_known_id[SHM_ID_SIZE];

void worker_die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void note(const char *line)
{
    (void)line;
}

static void fill(struct worker *worker, unsigned users)
{
    uint64_t random = 1;
    for (unsigned i = 0; i != users; i++) {
        char body[128];
        /* Username, email, created_at and one role, in wire format. */
        int len = snprintf(body, sizeof(body),
                           "\x12\x0cuser%08u\x1a\x18user%08u@example.com\x20\x80\xf0\xb8\xce\x06"
                           "\x2a\x04user",
                           i, i);
        struct shm_new_user user = {.body = (const uint8_t *)body, .body_len = (uint32_t)len};
        for (unsigned b = 0; b != SHM_ID_SIZE; b++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            user.id[b] = (uint8_t)(random >> 56);
        }
        user.id[6] = (uint8_t)((user.id[6] & 0x0f) | 0x40);
        user.id[8] = (uint8_t)((user.id[8] & 0x3f) | 0x80);
        if (i == users / 2)
            memcpy(worker_known_id, user.id, SHM_ID_SIZE);
        if (shm_users_insert(worker->actor, &user, 1, NULL) != SHM_OK)
            worker_die("insert", "failed");
    }
}

/* @param hashed the token's SHA-256 is in the file, not the token */
static void load_tokens(struct worker *worker, bool hashed)
{
    char path[] = "/tmp/rosterd-tokens-XXXXXX";
    char warning[AUTH_WARNING_SIZE];
    struct fault fault;
    FILE *file = fdopen(mkstemp(path), "w");
    if (file == NULL)
        worker_die(path, "cannot be created");
    for (int i = 0; i < 999; i++)
        fprintf(file, "%040d-%d others\n", i, i);
    fputs(hashed ? WORKER_TOKEN_HASH " bench\n" : WORKER_TOKEN " bench\n", file);
    fclose(file);
    worker->auth = auth_load(path, warning, &fault);
    unlink(path);
    if (worker->auth == NULL)
        worker_die("tokens", fault.text);
}

static void open_chain(struct worker *worker, unsigned parts)
{
    if (parts & (WORKER_TOKENS | WORKER_HASHED_TOKENS))
        load_tokens(worker, (parts & WORKER_HASHED_TOKENS) != 0);
    if (parts & WORKER_LOG)
        worker->access_log =
            access_log_create(open("/dev/null", O_WRONLY | O_CLOEXEC), false, 1 << 20);
    const struct chain_config chain = {
        .server = worker->server,
        .stats = parts & WORKER_METRICS ? worker->stats : NULL,
        .access_log = worker->access_log,
        .auth = worker->auth,
    };
    worker->chain = chain_create(&chain);
    if (worker->chain == NULL)
        worker_die("chain", "out of memory");
}

void worker_start(struct worker *worker, const char *segment, unsigned users, uint64_t max_users,
                  unsigned parts)
{
    struct shm_fault fault;
    struct shm_config config = {.name = segment, .size = 1u << 30, .max_users = max_users};
    size_t num_services, num_names;
    const struct grpc_service *const *services = services_all(&num_services);
    if (!stats_init(services, num_services))
        worker_die("counters", "out of memory");
    const char *const *names = stats_names(&num_names);
    if (shm_store_open(&worker->store, &config, &fault) != SHM_OK ||
        shm_actor_join(&worker->actor, worker->store, SHM_ACTOR_WORKER, 0, &fault) != SHM_OK ||
        shm_counters_open(&worker->counters, segment, names, num_names, &fault) != SHM_OK)
        worker_die("segment", fault.text);
    /* The mappings suffice. The name is removed now, so that none remains however this process
     * ends. */
    char stats[80];
    snprintf(stats, sizeof(stats), "%s.stats", segment);
    shm_unlink(segment);
    shm_unlink(stats);
    worker->loop = h2o_evloop_create();
    struct grpc_config grpc = {
        .max_message_size = 4 << 20,
        /* No time limit for a turn, so that instructions do not depend on the clock. */
        .http2 = {.max_concurrent_streams = 1024,
                  .max_header_list_size = 8192,
                  .turn_us = UINT32_MAX / 1000,
                  .max_memory = 16 * 1024 * 1024}};
    const struct service_config service = {
        .store = worker->store, .actor = worker->actor, .note = note, .snapshot_max_age = 600000};
    worker->server = grpc_server_create(worker->loop, &grpc);
    worker->service = user_service.create(&service);
    struct fault reason;
    if (!service_add(&user_service, worker->service, worker->server, &reason))
        worker_die("service", reason.text);
    worker->stats = stats_create_for_server(
        worker->server, shm_counters_row(worker->counters, shm_actor_slot(worker->actor)),
        &worker->board);
    open_chain(worker, parts);
    fill(worker, users);
}

void worker_end(struct worker *worker)
{
    grpc_server_destroy(worker->server);
    chain_destroy(worker->chain);
    access_log_destroy(worker->access_log, 1000);
    auth_free(worker->auth);
    stats_destroy(worker->stats);
    user_service.destroy(worker->service);
    shm_counters_close(worker->counters);
    shm_actor_leave(worker->actor);
    shm_store_close(worker->store);
    h2o_evloop_destroy(worker->loop);
}

void worker_turn(struct worker *worker)
{
    grpc_server_run_once(worker->server, 0);
    if (worker->access_log != NULL)
        access_log_flush(worker->access_log);
    stats_fold(worker->stats);
    shm_actor_offline(worker->actor);
}
