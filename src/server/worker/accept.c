/* SPDX-License-Identifier: MIT */
#include "server/worker/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "server/os/log.h"

enum {
    ACCEPTS_MAX = 16, /* connections of one event */
    /* libh2o ends the process where there is no memory for a socket: it is asked for before */
    SOCKET_ROOM = 4096,
    REST_MS = 100,   /* without descriptors or memory, accepting rests this long */
    WARN_MS = 10000, /* and is logged this often */
};

/* libh2o's callbacks bring their socket's data, timers nothing: a process accepts for one worker */
static struct {
    const struct worker_config *config;
    h2o_loop_t *loop;
    struct grpc_server *server;
    h2o_socket_t *listeners[LISTEN_MAX], *wake;
    struct timer accept_again, look_again;
    struct balance_left left; /* while looks_away */
    uint64_t accept_warn_at;  /* ms */
    struct accept_counts counts;
    bool accept_rests, looks_away, closed;
} accepting;

static void on_connection(h2o_socket_t *listener, const char *err);

/* Unless there is a reason not to. */
static void start_accepting(void)
{
    if (accepting.accept_rests || accepting.looks_away || accepting.closed)
        return;
    for (size_t i = 0; i < accepting.config->listeners->count; i++)
        h2o_socket_read_start(accepting.listeners[i], on_connection);
}

static void stop_accepting(void)
{
    for (size_t i = 0; i < accepting.config->listeners->count; i++)
        if (accepting.listeners[i] != NULL)
            h2o_socket_read_stop(accepting.listeners[i]);
}

static void on_accept_again(struct timer *timer)
{
    (void)timer;
    accepting.accept_rests = false;
    balance_accepting(accepting.config->balance, accepting.config->number, true);
    start_accepting();
}

/* The listeners stay readable while accept fails: without a rest the loop would spin. */
static void rest_from_accepting(int reason)
{
    if (accepting.accept_rests)
        return;
    accepting.accept_rests = true;
    balance_accepting(accepting.config->balance, accepting.config->number, false);
    uint64_t now = grpc_server_now_ms(accepting.server);
    if (now >= accepting.accept_warn_at) {
        log_warning("accept: %s; new connections wait", strerror(reason));
        accepting.accept_warn_at = now + WARN_MS;
    }
    stop_accepting();
    accepting.accept_again.expired = on_accept_again;
    timer_arm(grpc_server_timers(accepting.server), &accepting.accept_again, now + REST_MS);
}

/* ---- whose turn it is ---- */

static void look_here(void)
{
    if (!accepting.looks_away)
        return;
    accepting.looks_away = false;
    timer_disarm(grpc_server_timers(accepting.server), &accepting.look_again);
    start_accepting();
}

static void on_look_again(struct timer *timer)
{
    (void)timer;
    balance_pass_over(accepting.config->balance, &accepting.left);
    look_here();
}

/* The connection that waits is another's; the listeners would wake this one all the time. */
static void look_away(void)
{
    accepting.looks_away = true;
    stop_accepting();
    accepting.look_again.expired = on_look_again;
    timer_arm(grpc_server_timers(accepting.server), &accepting.look_again,
              grpc_server_now_ms(accepting.server) + BALANCE_PATIENCE_MS);
}

static void on_wake(h2o_socket_t *sock, const char *err)
{
    (void)sock;
    if (err != NULL)
        return;
    balance_awake(accepting.config->balance, accepting.config->number);
    look_here();
}

/* ---- who may come ---- */

struct guest {
    struct admission_pass pass;
};

static void on_gone(void *data)
{
    const struct worker_config *config = accepting.config;
    struct guest *guest = data;
    admission_leave(config->admission, config->place, &guest->pass);
    balance_add(config->balance, config->number, -1);
    free(guest);
}

/* @return NULL: it may not, is counted, and *why names the bound */
static struct guest *admit(const struct sockaddr *address, const char **why)
{
    const struct worker_config *config = accepting.config;
    const struct admission_bounds bounds = {config->options->max_connections,
                                            config->options->max_connections_per_address};
    struct guest *guest = malloc(sizeof(*guest));
    void *room = malloc(SOCKET_ROOM);
    free(room);
    *why = "out of memory";
    if (guest == NULL || room == NULL) {
        free(guest);
        return NULL;
    }
    switch (admission_enter(config->admission, config->place, &bounds, address, &guest->pass)) {
    case ADMISSION_GRANTED:
        balance_add(config->balance, config->number, 1);
        return guest;
    case ADMISSION_FULL:
        accepting.counts.full++;
        *why = "max_connections";
        break;
    case ADMISSION_ADDRESS_FULL:
        accepting.counts.address_full++;
        *why = "max_connections_per_address";
        break;
    }
    free(guest);
    return NULL;
}

/* A unix socket stays on this machine, and its file has a mode. */
static bool speaks_tls(const struct sockaddr *address)
{
    return accepting.config->tls != NULL && address->sa_family != AF_UNIX;
}

static void serve(int fd, const struct sockaddr *address, struct guest *guest)
{
    const int on = 1;
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    h2o_socket_t *sock =
        h2o_evloop_socket_create(accepting.loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
    sock->on_close.cb = on_gone;
    sock->on_close.data = guest;
    if (speaks_tls(address))
        http2_accept_tls(grpc_server_http2(accepting.server), sock,
                         tls_context(accepting.config->tls));
    else
        http2_accept(grpc_server_http2(accepting.server), sock);
}

/* @return whether there may be more */
static bool accept_one(h2o_socket_t *listener)
{
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    socklen_t len = sizeof(address);
    int fd = accept4(h2o_socket_get_fd(listener), (struct sockaddr *)&address, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            rest_from_accepting(errno);
        return false; /* another worker was faster, or the client went away */
    }
    const struct sockaddr *from = (const struct sockaddr *)&address;
    const char *why;
    struct guest *guest = admit(from, &why);
    if (guest != NULL)
        serve(fd, from, guest);
    else if (speaks_tls(from))
        close(fd); /* a handshake is more than it may cost */
    else
        http2_refuse(fd, why);
    return true;
}

/* Some each time, for a turn of a busy loop may be long; as long as the next one would be this
 * worker's, so that workers which wake together share what came. */
static void on_connection(h2o_socket_t *listener, const char *err)
{
    if (err != NULL || accepting.accept_rests || accepting.looks_away)
        return;
    if (balance_is_closed(accepting.config->balance)) {
        stop_accepting(); /* QUIT is on its way */
        return;
    }
    if (!balance_take(accepting.config->balance, accepting.config->number, &accepting.left)) {
        look_away();
        return;
    }
    /* whether there is another one is not known: nobody is woken for it */
    for (unsigned i = 0; i < ACCEPTS_MAX && accept_one(listener); i++)
        if (balance_is_closed(accepting.config->balance) ||
            !balance_is_next(accepting.config->balance, accepting.config->number))
            return;
}

/* ---- begin and end ---- */

/* The descriptor becomes the socket's. */
static h2o_socket_t *watch(int fd)
{
    return h2o_evloop_socket_create(accepting.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
}

bool accept_open(const struct worker_config *config, h2o_loop_t *loop, struct grpc_server *server)
{
    accepting.config = config;
    accepting.loop = loop;
    accepting.server = server;
    int wake = fcntl(balance_wake_fd(config->balance, config->number), F_DUPFD_CLOEXEC, 0);
    if (wake < 0)
        return false;
    accepting.wake = watch(wake);
    h2o_socket_read_start(accepting.wake, on_wake);
    for (size_t i = 0; i < config->listeners->count; i++) {
        accepting.listeners[i] = watch(config->listeners->all[i].fd);
        config->listeners->all[i].fd = -1;
    }
    balance_accepting(config->balance, config->number, true);
    start_accepting();
    return true;
}

void accept_close(void)
{
    if (accepting.config == NULL || accepting.closed)
        return;
    accepting.closed = true;
    balance_accepting(accepting.config->balance, accepting.config->number, false);
    timer_disarm(grpc_server_timers(accepting.server), &accepting.accept_again);
    timer_disarm(grpc_server_timers(accepting.server), &accepting.look_again);
    for (size_t i = 0; i < accepting.config->listeners->count; i++)
        if (accepting.listeners[i] != NULL)
            h2o_socket_close(accepting.listeners[i]);
    if (accepting.wake != NULL)
        h2o_socket_close(accepting.wake);
}

const struct accept_counts *accept_counts(void)
{
    return &accepting.counts;
}
