/* SPDX-License-Identifier: MIT */
#include "server/worker/accept.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/container_of.h"
#include "server/os/log.h"

enum {
    ACCEPTS_MAX = 16, /* connections accepted per event */
    /* libh2o aborts the process when it cannot allocate a socket, so accepting first tries whether
     * this many bytes are available */
    SOCKET_ROOM = 4096,
    PAUSE_MS = 100,        /* pause after descriptors or memory ran out */
    PAUSE_WARN_MS = 10000, /* at least this long between two warnings about pauses */
};

struct acceptor {
    const struct worker_config *config;
    h2o_loop_t *loop;
    struct grpc_server *server;
    h2o_socket_t *listeners[LISTEN_MAX];
    h2o_socket_t *wake;         /* readable when another worker leaves a connection to this one */
    struct timer pause_over;    /* armed while paused */
    struct timer patience_over; /* armed while yielding */
    struct balance_left left;   /* the worker that this one yields to, while yielding */
    uint64_t warn_at;           /* ms: when the next warning about a pause is due */
    struct accept_refused refused;
    bool paused;   /* out of descriptors or memory */
    bool yielding; /* a waiting connection was left to another worker */
    bool stopped;  /* by accept_stop() */
};

static void on_listener_readable(h2o_socket_t *listener, const char *err);

/* Resumes accepting unless the acceptor is paused, yielding or stopped. */
static void resume_accepting(struct acceptor *acceptor)
{
    if (acceptor->paused || acceptor->yielding || acceptor->stopped)
        return;
    for (size_t i = 0; i < acceptor->config->listeners->count; i++)
        h2o_socket_read_start(acceptor->listeners[i], on_listener_readable);
}

static void suspend_accepting(struct acceptor *acceptor)
{
    for (size_t i = 0; i < acceptor->config->listeners->count; i++)
        h2o_socket_read_stop(acceptor->listeners[i]);
}

/* ---- pause: descriptors or memory ran out ---- */

static void on_pause_over(struct timer *timer)
{
    struct acceptor *acceptor = container_of(timer, struct acceptor, pause_over);
    acceptor->paused = false;
    balance_accepting(acceptor->config->balance, acceptor->config->number, true);
    resume_accepting(acceptor);
}

/* While accept() fails the listeners stay readable: without a pause the loop would spin.
 * `reason` is the errno of accept(). */
static void pause_accepting(struct acceptor *acceptor, int reason)
{
    if (acceptor->paused)
        return;
    acceptor->paused = true;
    balance_accepting(acceptor->config->balance, acceptor->config->number, false);
    uint64_t now = grpc_server_now_ms(acceptor->server);
    if (now >= acceptor->warn_at) {
        log_warning("accept: %s; new connections wait", strerror(reason));
        acceptor->warn_at = now + PAUSE_WARN_MS;
    }
    suspend_accepting(acceptor);
    timer_arm(grpc_server_timers(acceptor->server), &acceptor->pause_over, now + PAUSE_MS);
}

/* ---- yielding: another worker has fewer connections ---- */

static void stop_yielding(struct acceptor *acceptor)
{
    if (!acceptor->yielding)
        return;
    acceptor->yielding = false;
    timer_disarm(grpc_server_timers(acceptor->server), &acceptor->patience_over);
    resume_accepting(acceptor);
}

static void on_patience_over(struct timer *timer)
{
    struct acceptor *acceptor = container_of(timer, struct acceptor, patience_over);
    balance_pass_over(acceptor->config->balance, &acceptor->left);
    stop_yielding(acceptor);
}

/* Leaves the waiting connection to another worker. Until that one has taken it the listeners stay
 * readable, so this worker does not watch them for a while. */
static void start_yielding(struct acceptor *acceptor)
{
    acceptor->yielding = true;
    suspend_accepting(acceptor);
    timer_arm(grpc_server_timers(acceptor->server), &acceptor->patience_over,
              grpc_server_now_ms(acceptor->server) + BALANCE_PATIENCE_MS);
}

static void on_wake(h2o_socket_t *sock, const char *err)
{
    struct acceptor *acceptor = sock->data;
    if (err != NULL)
        return;
    balance_awake(acceptor->config->balance, acceptor->config->number);
    stop_yielding(acceptor);
}

/* ---- admission ---- */

/* A connection's admission, given back when the connection closes. */
struct admitted {
    struct acceptor *acceptor;
    struct admission_pass pass;
};

static void on_admitted_closed(void *data)
{
    struct admitted *admitted = data;
    const struct worker_config *config = admitted->acceptor->config;
    admission_leave(config->admission, config->place, &admitted->pass);
    balance_add(config->balance, config->number, -1);
    free(admitted);
}

/* @return NULL: the connection is refused and counted, and *why names the bound that it met */
static struct admitted *admit_client(struct acceptor *acceptor, const struct sockaddr *address,
                                     const char **why)
{
    const struct worker_config *config = acceptor->config;
    const struct admission_bounds bounds = {config->options->max_connections,
                                            config->options->max_connections_per_address};
    struct admitted *admitted = malloc(sizeof(*admitted));
    void *room = malloc(SOCKET_ROOM);
    free(room);
    *why = "out of memory";
    if (admitted == NULL || room == NULL) {
        free(admitted);
        return NULL;
    }
    admitted->acceptor = acceptor;
    switch (admission_enter(config->admission, config->place, &bounds, address, &admitted->pass)) {
    case ADMISSION_GRANTED:
        balance_add(config->balance, config->number, 1);
        return admitted;
    case ADMISSION_FULL:
        acceptor->refused.full++;
        *why = "max_connections";
        break;
    case ADMISSION_ADDRESS_FULL:
        acceptor->refused.address_full++;
        *why = "max_connections_per_address";
        break;
    }
    free(admitted);
    return NULL;
}

/* Unix sockets never use TLS: they stay on this machine, and the socket file's mode says who may
 * connect. */
static bool uses_tls(const struct acceptor *acceptor, const struct sockaddr *address)
{
    return acceptor->config->tls != NULL && address->sa_family != AF_UNIX;
}

static void serve_connection(struct acceptor *acceptor, int fd, const struct sockaddr *address,
                             struct admitted *admitted)
{
    const int on = 1;
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    h2o_socket_t *sock =
        h2o_evloop_socket_create(acceptor->loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
    sock->on_close.cb = on_admitted_closed;
    sock->on_close.data = admitted;
    if (uses_tls(acceptor, address))
        http2_accept_tls(grpc_server_http2(acceptor->server), sock,
                         tls_context(acceptor->config->tls));
    else
        http2_accept(grpc_server_http2(acceptor->server), sock);
}

/* @return whether another connection may wait */
static bool accept_one(struct acceptor *acceptor, h2o_socket_t *listener)
{
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    socklen_t len = sizeof(address);
    int fd = accept4(h2o_socket_get_fd(listener), (struct sockaddr *)&address, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(acceptor, errno);
        return false; /* else another worker was faster, or the client has gone away */
    }
    const struct sockaddr *from = (const struct sockaddr *)&address;
    const char *why;
    struct admitted *admitted = admit_client(acceptor, from, &why);
    if (admitted != NULL)
        serve_connection(acceptor, fd, from, admitted);
    else if (uses_tls(acceptor, from))
        close(fd); /* without a TLS handshake, whose cost a refused client must not cause */
    else
        http2_refuse(fd, why);
    return true;
}

/*
 * Accepts connections while it is this worker's turn, so that workers which wake at the same time
 * share the connections that wait. At most ACCEPTS_MAX per event, because handling them delays the
 * calls of the other connections.
 */
static void on_listener_readable(h2o_socket_t *listener, const char *err)
{
    struct acceptor *acceptor = listener->data;
    const struct worker_config *config = acceptor->config;
    if (err != NULL || acceptor->paused || acceptor->yielding)
        return;
    if (balance_is_closed(config->balance)) {
        suspend_accepting(acceptor); /* the master is about to send QUIT */
        return;
    }
    if (!balance_take(config->balance, config->number, &acceptor->left)) {
        start_yielding(acceptor);
        return;
    }
    /* It is not known whether a second connection waits, so balance_is_next() wakes no other worker
     * for it. */
    for (unsigned i = 0; i < ACCEPTS_MAX && accept_one(acceptor, listener); i++)
        if (balance_is_closed(config->balance) || !balance_is_next(config->balance, config->number))
            return;
}

/* ---- start and end ---- */

/* The socket takes over the descriptor. */
static h2o_socket_t *watch_readable(struct acceptor *acceptor, int fd)
{
    h2o_socket_t *sock = h2o_evloop_socket_create(acceptor->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    sock->data = acceptor;
    return sock;
}

struct acceptor *accept_start(const struct worker_config *config, h2o_loop_t *loop,
                              struct grpc_server *server, struct fault *fault)
{
    assert(config->listeners->count <= LISTEN_MAX);
    struct acceptor *acceptor = calloc(1, sizeof(*acceptor));
    if (acceptor == NULL) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    int wake = fcntl(balance_wake_fd(config->balance, config->number), F_DUPFD_CLOEXEC, 0);
    if (wake < 0) {
        free(acceptor);
        fault_set(fault, "out of descriptors");
        return NULL;
    }
    acceptor->config = config;
    acceptor->loop = loop;
    acceptor->server = server;
    acceptor->pause_over.expired = on_pause_over;
    acceptor->patience_over.expired = on_patience_over;
    acceptor->wake = watch_readable(acceptor, wake);
    h2o_socket_read_start(acceptor->wake, on_wake);
    for (size_t i = 0; i < config->listeners->count; i++) {
        acceptor->listeners[i] = watch_readable(acceptor, config->listeners->all[i].fd);
        config->listeners->all[i].fd = -1;
    }
    balance_accepting(config->balance, config->number, true);
    resume_accepting(acceptor);
    return acceptor;
}

void accept_stop(struct acceptor *acceptor)
{
    if (acceptor == NULL || acceptor->stopped)
        return;
    acceptor->stopped = true;
    balance_accepting(acceptor->config->balance, acceptor->config->number, false);
    timer_disarm(grpc_server_timers(acceptor->server), &acceptor->pause_over);
    timer_disarm(grpc_server_timers(acceptor->server), &acceptor->patience_over);
    for (size_t i = 0; i < acceptor->config->listeners->count; i++)
        h2o_socket_close(acceptor->listeners[i]);
    h2o_socket_close(acceptor->wake);
}

void accept_destroy(struct acceptor *acceptor)
{
    assert(acceptor == NULL || acceptor->stopped);
    free(acceptor);
}

const struct accept_refused *accept_refused(const struct acceptor *acceptor)
{
    return &acceptor->refused;
}
