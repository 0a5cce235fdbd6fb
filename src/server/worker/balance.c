/* SPDX-License-Identifier: MIT */
#include "server/worker/balance.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* A worker may take a connection while it has at most a sixteenth more than the least loaded one.
 * If every connection had to go to the very least loaded worker, then with thousands of connections
 * that come and go one worker at a time would accept while the others sleep. */
enum { SLACK_SHIFT = 4 };

struct balance_row {
    _Alignas(64) uint32_t connections;
    uint32_t turn; /* counts the turns of the worker's loop */
    bool accepts, passed_over;
};

struct balance {
    unsigned workers;
    struct balance_row *rows; /* shared; one per worker, and one for `closed` */
    bool *closed;             /* in a cache line of its own, because all workers read it often */
    int *wake;                /* one eventfd per worker */
};

struct balance *balance_create(unsigned workers)
{
    struct balance *balance = calloc(1, sizeof(*balance));
    if (balance == NULL)
        return NULL;
    balance->workers = workers;
    void *rows = mmap(NULL, (workers + 1) * sizeof(struct balance_row), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    balance->rows = rows != MAP_FAILED ? rows : NULL;
    balance->closed = balance->rows != NULL ? &balance->rows[workers].accepts : NULL;
    balance->wake = malloc(workers * sizeof(*balance->wake));
    bool complete = balance->rows != NULL && balance->wake != NULL;
    for (unsigned i = 0; balance->wake != NULL && i < workers; i++) {
        balance->wake[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        complete = complete && balance->wake[i] >= 0;
    }
    if (complete)
        return balance;
    balance_destroy(balance);
    return NULL;
}

void balance_destroy(struct balance *balance)
{
    if (balance == NULL)
        return;
    for (unsigned i = 0; balance->wake != NULL && i < balance->workers; i++)
        if (balance->wake[i] >= 0)
            close(balance->wake[i]);
    if (balance->rows != NULL)
        munmap(balance->rows, (balance->workers + 1) * sizeof(struct balance_row));
    free(balance->wake);
    free(balance);
}

/* ---- for a worker ---- */

/* The counts are hints: a stale value makes a connection land at another worker, nothing worse. So
 * all accesses to them are relaxed. `closed` is stored with release before the master sends the
 * signal to drain, and is loaded with acquire after a connection has come; so a client that
 * connects again because of that signal finds it set. */
bool balance_is_closed(const struct balance *balance)
{
    return __atomic_load_n(balance->closed, __ATOMIC_ACQUIRE);
}

void balance_accepting(struct balance *balance, unsigned worker, bool accepts)
{
    __atomic_store_n(&balance->rows[worker].accepts, accepts, __ATOMIC_RELAXED);
}

void balance_add(struct balance *balance, unsigned worker, int connections)
{
    uint32_t *count = &balance->rows[worker].connections;
    __atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + (uint32_t)connections,
                     __ATOMIC_RELAXED);
}

void balance_turn(struct balance *balance, unsigned worker)
{
    struct balance_row *row = &balance->rows[worker];
    __atomic_store_n(&row->turn, row->turn + 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&row->passed_over, __ATOMIC_RELAXED))
        __atomic_store_n(&row->passed_over, false, __ATOMIC_RELAXED);
}

int balance_wake_fd(const struct balance *balance, unsigned worker)
{
    return balance->wake[worker];
}

void balance_awake(struct balance *balance, unsigned worker)
{
    eventfd_t count;
    (void)eventfd_read(balance->wake[worker], &count);
}

/* @return whether the worker may take a connection; if not, *whose is set to the worker that should
 */
static bool balance_find_next(const struct balance *balance, unsigned worker, unsigned *whose)
{
    uint32_t least = UINT32_MAX;
    uint32_t own = __atomic_load_n(&balance->rows[worker].connections, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < balance->workers; i++) {
        const struct balance_row *row = &balance->rows[i];
        uint32_t count = __atomic_load_n(&row->connections, __ATOMIC_RELAXED);
        if (count >= least || i == worker || !__atomic_load_n(&row->accepts, __ATOMIC_RELAXED) ||
            __atomic_load_n(&row->passed_over, __ATOMIC_RELAXED))
            continue;
        least = count;
        *whose = i;
    }
    return least == UINT32_MAX || own <= least + (least >> SLACK_SHIFT);
}

bool balance_is_next(const struct balance *balance, unsigned worker)
{
    unsigned whose;
    return balance_find_next(balance, worker, &whose);
}

bool balance_take(struct balance *balance, unsigned worker, struct balance_left *left)
{
    if (balance_find_next(balance, worker, &left->worker))
        return true;
    left->turn = __atomic_load_n(&balance->rows[left->worker].turn, __ATOMIC_RELAXED);
    (void)eventfd_write(balance->wake[left->worker], 1);
    return false;
}

void balance_pass_over(struct balance *balance, const struct balance_left *left)
{
    struct balance_row *row = &balance->rows[left->worker];
    if (__atomic_load_n(&row->turn, __ATOMIC_RELAXED) == left->turn)
        __atomic_store_n(&row->passed_over, true, __ATOMIC_RELAXED);
}

/* ---- for the master ---- */

void balance_forget(struct balance *balance, unsigned worker)
{
    assert(worker < balance->workers);
    /* another turn number, so that no worker passes over the successor */
    balance->rows[worker] = (struct balance_row){.turn = balance->rows[worker].turn + 1};
}

void balance_close(struct balance *balance)
{
    __atomic_store_n(balance->closed, true, __ATOMIC_RELEASE);
}

uint64_t balance_connections(const struct balance *balance)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < balance->workers; i++)
        sum += __atomic_load_n(&balance->rows[i].connections, __ATOMIC_RELAXED);
    return sum;
}
