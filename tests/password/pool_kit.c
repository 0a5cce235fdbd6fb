/* SPDX-License-Identifier: MIT */
#include "tests/password/pool_kit.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/container_of.h"

const char kit_hash[] = "$argon2id$v=19$m=1024,t=1,p=1$"
                        "c2FsdHNhbHRzYWx0c2FsdA$TG3TNh0UlIp7ZkGKbHzVmoKy3QnTx9+peBju9GgIUrQ";
const struct kit_bounds kit_cheap = {256, 60000, {PASSWORD_MEMORY_LEAST, 1}};
const struct kit_bounds kit_usual = {256, 60000, {19 << 20, 2}};

static void *share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* Ends with the test, whatever happens to it. */
static pid_t fork_child(void)
{
    pid_t test = getpid(), pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK(getppid() == test);
    }
    return pid;
}

/* ---- the pool ---- */

void kit_start_process(struct pool_kit *kit, unsigned number)
{
    memset(&kit->boards[number], 0, sizeof(kit->boards[number]));
    kit->processes[number] = fork_child();
    if (kit->processes[number] != 0)
        return;
    struct fault fault;
    struct pool_server *server = pool_server_open(kit->channels, &kit->boards[number], &fault);
    CHECK(server != NULL);
    for (;;)
        pool_server_turn(server, 1000);
}

int kit_end_process(struct pool_kit *kit, unsigned number, int signal)
{
    int status;
    const struct pool_board *board = &kit->boards[number];
    kill(kit->processes[number], signal);
    CHECK(waitpid(kit->processes[number], &status, 0) == kit->processes[number]);
    kit->processes[number] = 0;
    if (board->busy != 0)
        pool_channels_answer_lost(kit->channels, board->place, board->owner, board->id);
    return status;
}

void kit_wait_busy(const struct pool_kit *kit, unsigned number)
{
    WAIT_FOR(__atomic_load_n(&kit->boards[number].busy, __ATOMIC_ACQUIRE) != 0);
}

void kit_open(struct pool_kit *kit, unsigned count)
{
    *kit = (struct pool_kit){.count = count};
    kit->channels = pool_channels_create(2, 1024);
    CHECK(kit->channels != NULL);
    kit->boards = share(KIT_PROCESSES * sizeof(kit->boards[0]));
    kit->shared = share(64 * sizeof(kit->shared[0]));
    for (unsigned i = 0; i < count; i++)
        kit_start_process(kit, i);
}

void kit_close(struct pool_kit *kit)
{
    for (unsigned i = 0; i < KIT_PROCESSES; i++)
        if (kit->processes[i] != 0)
            kit_end_process(kit, i, SIGKILL);
    pool_channels_destroy(kit->channels);
    munmap(kit->boards, KIT_PROCESSES * sizeof(kit->boards[0]));
    munmap(kit->shared, 64 * sizeof(kit->shared[0]));
}

/* ---- workers ---- */

pid_t kit_worker(struct pool_kit *kit, unsigned place, const struct kit_bounds *bounds,
                 void (*run)(struct kit_worker *worker))
{
    pid_t pid = fork_child();
    if (pid != 0)
        return pid;
    struct kit_worker worker = {.kit = kit, .place = place};
    worker.timers = timers_create(clock_monotonic_ms());
    const struct pool_client_config config = {
        .channels = kit->channels,
        .place = place,
        .timers = worker.timers,
        .in_flight = KIT_IN_FLIGHT,
        .queue = bounds->queue,
        .patience = bounds->patience,
        .cost = bounds->cost,
        .limits = PASSWORD_LIMITS_DEFAULT,
    };
    worker.client = pool_client_create(&config);
    CHECK(worker.client != NULL);
    run(&worker);
    pool_client_destroy(worker.client);
    timers_destroy(worker.timers);
    exit(0);
}

int kit_bury_worker(struct pool_kit *kit, unsigned place, pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    pool_channels_forget(kit->channels, place);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void on_kit_done(struct pool_ticket *ticket, enum pool_outcome outcome, const char *hash)
{
    struct kit_request *request = container_of(ticket, struct kit_request, ticket);
    struct kit_worker *worker = request->worker;
    request->times++;
    request->outcome = outcome;
    CHECK(request->times == 1 && outcome <= POOL_LOST && ticket->job == NULL);
    worker->done++;
    worker->outcomes[outcome]++;
    strcpy(worker->hash, hash);
}

enum pool_submitted kit_submit(struct kit_worker *worker, struct kit_request *request,
                               enum pool_operation operation, const char *password,
                               const char *hash, uint64_t deadline)
{
    *request = (struct kit_request){.ticket.done = on_kit_done, .worker = worker};
    const struct pool_task task = {
        .operation = operation,
        .password = password,
        .password_len = strlen(password),
        .hash = hash,
        .deadline = deadline,
    };
    return pool_client_submit(worker->client, &request->ticket, &task);
}

void kit_turn(struct kit_worker *worker)
{
    struct pollfd fd = {.fd = pool_client_fd(worker->client), .events = POLLIN};
    if (poll(&fd, 1, 20) == 1)
        pool_client_read(worker->client);
    timers_stale(worker->timers);
    timers_run(worker->timers, timers_now(worker->timers));
}

void kit_turn_until(struct kit_worker *worker, unsigned done)
{
    uint64_t until = clock_monotonic_ms() + 30000;
    while (worker->done < done) {
        CHECK(clock_monotonic_ms() < until);
        kit_turn(worker);
    }
}
