/* SPDX-License-Identifier: MIT */
/*
 * The board says what a request is before the work begins, and that it is done after the answer was
 * sent. A process that is killed between both has its request answered by the master, which may be
 * the second answer: the worker drops it. One that is killed between taking a request and saying
 * so, a few instructions, leaves the request to the worker's timer.
 */
#include "password/pool_server.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "password/give_way.h"
#include "password/pool_message.h"

struct pool_server {
    struct pool_channels *channels;
    struct pool_board *board;
    int epoll;
    struct pool_request *request; /* in secret memory */
    struct pool_answer *answer;
};

/* ---- one request ---- */

/* The costs are bounded by the options' own maxima, should a worker be broken.
 * @return the hash of POOL_VERIFY and POOL_PRETEND; NULL: the packet is malformed */
static const char *check_packet(const struct pool_request *request, size_t size)
{
    const size_t head = offsetof(struct pool_request, bytes);
    if (size <= head || size > sizeof(*request) || request->password_len > PASSWORD_MAX ||
        request->password_len >= size - head || request->bytes[size - head - 1] != '\0' ||
        request->cost.memory > PASSWORD_MEMORY_MOST ||
        request->cost.memory < PASSWORD_MEMORY_LEAST || request->cost.passes == 0 ||
        request->cost.passes > PASSWORD_PASSES_MOST)
        return NULL;
    return request->bytes + request->password_len;
}

static enum pool_outcome serve_verify(const struct pool_request *request, const char *old_hash,
                                      char *hash)
{
    bool replace;
    switch (password_verify(old_hash, request->bytes, request->password_len, &request->cost,
                            &request->limits, &replace)) {
    case PASSWORD_NO:
        return POOL_NO;
    case PASSWORD_YES:
        /* without the memory for a new hash the old one stays */
        if (replace && !password_hash(hash, request->bytes, request->password_len, &request->cost))
            hash[0] = '\0';
        return POOL_YES;
    default:
        return POOL_FAILED;
    }
}

/* @param hash to do the work of; empty: that of a hash of the usual cost */
static enum pool_outcome serve_pretend(const struct pool_request *request, const char *hash)
{
    if (hash[0] != '\0' && password_pretend_hash(hash, request->bytes, request->password_len,
                                                 &request->cost, &request->limits))
        return POOL_NO;
    return password_pretend(request->bytes, request->password_len, &request->cost) ? POOL_NO
                                                                                   : POOL_FAILED;
}

static enum pool_outcome serve_operation(const struct pool_request *request, size_t size,
                                         char *hash)
{
    const char *old_hash = check_packet(request, size);
    if (old_hash == NULL)
        return POOL_FAILED;
    if (request->expires <= clock_monotonic_ms())
        return POOL_EXPIRED;
    switch (request->operation) {
    case POOL_VERIFY:
        return serve_verify(request, old_hash, hash);
    case POOL_HASH:
        return password_hash(hash, request->bytes, request->password_len, &request->cost)
                   ? POOL_HASHED
                   : POOL_FAILED;
    case POOL_PRETEND:
        return serve_pretend(request, old_hash);
    default:
        return POOL_FAILED;
    }
}

static void show_work(struct pool_board *board, unsigned place, const struct pool_request *request)
{
    board->place = place;
    board->owner = request->owner;
    board->id = request->id;
    __atomic_store_n(&board->busy, 1, __ATOMIC_RELEASE);
}

/* The socket of a worker that does not read its answers is full; the worker's timer ends its
 * request then. */
static void serve_request(struct pool_server *server, unsigned place, size_t size)
{
    const struct pool_request *request = server->request;
    struct pool_answer *answer = server->answer;
    if (size < offsetof(struct pool_request, bytes) ||
        !pool_channels_is_owner(server->channels, place, request->owner))
        return;
    show_work(server->board, place, request);
    memset(answer, 0, sizeof(*answer));
    answer->owner = request->owner;
    answer->id = request->id;
    give_way_begin();
    answer->outcome = serve_operation(request, size, answer->hash);
    give_way_end();
    if (pool_channels_is_owner(server->channels, place, request->owner))
        (void)!send(pool_channels_fd(server->channels, place), answer, sizeof(*answer),
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    server->board->served++;
    __atomic_store_n(&server->board->busy, 0, __ATOMIC_RELEASE);
}

void pool_server_turn(struct pool_server *server, int wait_ms)
{
    struct epoll_event event;
    struct pool_board *board = server->board;
    __atomic_store_n(&board->turns, board->turns + 1, __ATOMIC_RELAXED);
    /* One event a turn: the kernel moves a socket that was reported behind the others. */
    if (epoll_wait(server->epoll, &event, 1, wait_ms) != 1)
        return;
    unsigned place = event.data.u32;
    int fd = pool_channels_fd(server->channels, place);
    ssize_t got = recv(fd, server->request, sizeof(*server->request), MSG_DONTWAIT);
    if (got > 0)
        serve_request(server, place, (size_t)got);
    else if ((event.events & (EPOLLHUP | EPOLLERR)) != 0) /* the other end is closed */
        (void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, fd, NULL);
    explicit_bzero(server->request, sizeof(*server->request));
    explicit_bzero(server->answer, sizeof(*server->answer));
}

/* ---- start and end ---- */

static bool watch_channels(struct pool_server *server, struct fault *fault)
{
    for (unsigned i = 0; i < pool_channels_count(server->channels); i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, pool_channels_fd(server->channels, i),
                      &event) != 0)
            return fault_set_errno(fault, "epoll");
    }
    return true;
}

struct pool_server *pool_server_open(struct pool_channels *channels, struct pool_board *board,
                                     struct fault *fault)
{
    struct pool_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    prctl(PR_SET_DUMPABLE, 0);
    give_way_prepare();
    pool_channels_serve(channels);
    *server = (struct pool_server){.channels = channels, .board = board};
    server->request = secret_alloc(sizeof(*server->request));
    server->answer = secret_alloc(sizeof(*server->answer));
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    bool good = server->epoll >= 0 || fault_set_errno(fault, "epoll");
    if (server->request == NULL || server->answer == NULL)
        good = fault_set(fault, "out of memory");
    if (good && password_prepare(fault) && watch_channels(server, fault))
        return server;
    pool_server_close(server);
    return NULL;
}

void pool_server_close(struct pool_server *server)
{
    if (server == NULL)
        return;
    secret_free(server->request, sizeof(*server->request));
    secret_free(server->answer, sizeof(*server->answer));
    if (server->epoll >= 0)
        close(server->epoll);
    free(server);
#ifdef __SANITIZE_ADDRESS__
    prctl(PR_SET_DUMPABLE, 1); /* it looks for leaks at the exit, as a debugger would */
#endif
}
