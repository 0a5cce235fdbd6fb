/* SPDX-License-Identifier: MIT */
#include "server/web/web.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>

#include "base/container_of.h"
#include "base/secret.h"
#include "base/timer.h"
#include "server/os/log.h"
#include "server/web/pages.h"

enum {
    ACCEPTS_PER_EVENT = 16,
    SOCKET_ROOM = 4096, /* at least the bytes that libh2o allocates for a socket */
    PAUSE_MS = 100,     /* without descriptors or memory, accepting pauses this long */
    WARN_MS = 10000,    /* at least this long between two warnings about it */
};

struct web {
    h2o_loop_t *loop;
    struct grpc_server *server;
    struct pages pages;
    h2o_socket_t *listeners[LISTEN_MAX];
    size_t num_listeners, num_visits;
    h2o_linklist_t visits; /* ordered by last progress, the oldest first */
    struct timer accept_again;
    uint64_t warn_at; /* ms on the server's clock */
};

/* A connection: reads a request, writes a response, waits until the client closes. */
struct visit {
    struct web *web;
    h2o_linklist_t link; /* in web->visits */
    h2o_socket_t *sock;
    struct timer timer;
    struct pages_response response;
    size_t sent; /* bytes of head and body */
    size_t request_len;
    char *request; /* HTTP1_HEAD_MAX bytes of secret memory */
};

/* ---- a visit ---- */

static void end_visit(struct visit *visit)
{
    timer_disarm(grpc_server_timers(visit->web->server), &visit->timer);
    h2o_linklist_unlink(&visit->link);
    visit->web->num_visits--;
    h2o_socket_close(visit->sock);
    pages_drop(&visit->response);
    secret_free(visit->request, HTTP1_HEAD_MAX);
    free(visit);
}

static void on_visit_timeout(struct timer *timer)
{
    end_visit(container_of(timer, struct visit, timer));
}

/* Ends the visit after this time, unless it is called again before. */
static void limit_visit(struct visit *visit, uint64_t ms)
{
    struct grpc_server *server = visit->web->server;
    timer_arm(grpc_server_timers(server), &visit->timer, grpc_server_now_ms(server) + ms);
}

static void note_progress(struct visit *visit)
{
    h2o_linklist_unlink(&visit->link);
    h2o_linklist_insert(&visit->web->visits, &visit->link);
}

/* Discards what the client sends after the request. If the socket were closed with unread bytes,
 * the connection would be reset and the client might lose the response. */
static void on_rest_of_request(h2o_socket_t *sock, const char *err)
{
    struct visit *visit = sock->data;
    ssize_t got = recv(h2o_socket_get_fd(sock), visit->request, HTTP1_HEAD_MAX, 0);
    if (err != NULL || got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        end_visit(visit);
}

static void linger_visit(struct visit *visit)
{
    shutdown(h2o_socket_get_fd(visit->sock), SHUT_WR);
    limit_visit(visit, WEB_LINGER_MS);
    h2o_socket_read_start(visit->sock, on_rest_of_request);
}

/* @return the bytes sent; 0: the socket is full; below 0: the connection is lost */
static ssize_t send_some(struct visit *visit)
{
    const struct pages_response *response = &visit->response;
    const char *parts[] = {response->head, response->body};
    const size_t lens[] = {response->head_len, response->body_len};
    struct iovec vec[2];
    size_t skip = visit->sent, num = 0;
    for (size_t i = 0; i < 2; i++) {
        size_t from = MIN(skip, lens[i]);
        skip -= from;
        if (from != lens[i])
            vec[num++] = (struct iovec){(char *)(uintptr_t)parts[i] + from, lens[i] - from};
    }
    const struct msghdr message = {.msg_iov = vec, .msg_iovlen = num};
    ssize_t sent = sendmsg(h2o_socket_get_fd(visit->sock), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

static void on_visit_writable(h2o_socket_t *sock, const char *err);

static void send_response(struct visit *visit)
{
    ssize_t sent = send_some(visit);
    if (sent < 0) {
        end_visit(visit);
        return;
    }
    if (sent != 0)
        note_progress(visit);
    visit->sent += (size_t)sent;
    if (visit->sent < visit->response.head_len + visit->response.body_len)
        h2o_socket_notify_write(visit->sock, on_visit_writable);
    else
        linger_visit(visit);
}

static void on_visit_writable(h2o_socket_t *sock, const char *err)
{
    if (err != NULL)
        end_visit(sock->data);
    else
        send_response(sock->data);
}

static void on_request(h2o_socket_t *sock, const char *err)
{
    struct visit *visit = sock->data;
    struct http1_request request;
    ssize_t got = recv(h2o_socket_get_fd(sock), visit->request + visit->request_len,
                       HTTP1_HEAD_MAX - visit->request_len, 0);
    if (err != NULL || got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        end_visit(visit);
        return;
    }
    if (got < 0)
        return;
    note_progress(visit);
    visit->request_len += (size_t)got;
    unsigned status = http1_parse(visit->request, visit->request_len, &request);
    if (status == 0)
        return;
    h2o_socket_read_stop(sock);
    limit_visit(visit, WEB_WRITE_MS);
    pages_answer(&visit->web->pages, status, &request, grpc_server_now_ms(visit->web->server),
                 &visit->response);
    explicit_bzero(visit->request, visit->request_len);
    send_response(visit);
}

/* ---- accepting ---- */

/* Takes over the descriptor. @return false: out of memory, and the descriptor is closed */
static bool begin_visit(struct web *web, int fd)
{
    if (web->num_visits == WEB_CONNECTIONS_MAX)
        end_visit(container_of(web->visits.next, struct visit, link));
    struct visit *visit = malloc(sizeof(*visit));
    void *room = malloc(SOCKET_ROOM); /* libh2o aborts if its own allocation fails */
    free(room);
    char *request = secret_alloc(HTTP1_HEAD_MAX);
    if (visit == NULL || room == NULL || request == NULL) {
        secret_free(request, HTTP1_HEAD_MAX);
        free(visit);
        close(fd);
        return false;
    }
    *visit = (struct visit){.web = web, .request = request};
    visit->sock = h2o_evloop_socket_create(
        web->loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION | H2O_SOCKET_FLAG_DONT_READ);
    visit->sock->data = visit;
    visit->timer.expired = on_visit_timeout;
    h2o_linklist_insert(&web->visits, &visit->link);
    web->num_visits++;
    limit_visit(visit, WEB_REQUEST_MS);
    h2o_socket_read_start(visit->sock, on_request);
    return true;
}

static void on_web_connection(h2o_socket_t *listener, const char *err);

static void on_web_accept_again(struct timer *timer)
{
    struct web *web = container_of(timer, struct web, accept_again);
    for (size_t i = 0; i < web->num_listeners; i++)
        h2o_socket_read_start(web->listeners[i], on_web_connection);
}

/* The listeners stay readable while accept fails: without a pause the loop would spin. */
static void pause_web_accept(struct web *web, int reason)
{
    uint64_t now = grpc_server_now_ms(web->server);
    if (now >= web->warn_at) {
        log_warning("metrics-listen: accept: %s; new connections wait", strerror(reason));
        web->warn_at = now + WARN_MS;
    }
    for (size_t i = 0; i < web->num_listeners; i++)
        h2o_socket_read_stop(web->listeners[i]);
    timer_arm(grpc_server_timers(web->server), &web->accept_again, now + PAUSE_MS);
}

static void on_web_connection(h2o_socket_t *listener, const char *err)
{
    struct web *web = listener->data;
    if (err != NULL || timer_armed(&web->accept_again))
        return;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(h2o_socket_get_fd(listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && begin_visit(web, fd))
            continue;
        int reason = fd >= 0 ? ENOMEM : errno;
        if (reason == EMFILE || reason == ENFILE || reason == ENOBUFS || reason == ENOMEM)
            pause_web_accept(web, reason);
        if (reason != ECONNABORTED && reason != EINTR)
            return; /* the backlog is empty, or another worker was faster */
    }
}

/* ---- open and close ---- */

struct web *web_open(h2o_loop_t *loop, struct grpc_server *server, struct listeners *listeners,
                     const struct shm_counters *counters, struct shm_store *store,
                     const struct auth *auth)
{
    assert(listeners->count <= LISTEN_MAX);
    struct web *web = malloc(sizeof(*web));
    if (web == NULL)
        return NULL;
    *web = (struct web){
        .loop = loop,
        .server = server,
        .pages = {.counters = counters, .store = store, .auth = auth},
        .accept_again.expired = on_web_accept_again,
    };
    h2o_linklist_init_anchor(&web->visits);
    for (size_t i = 0; i < listeners->count; i++) {
        h2o_socket_t *sock =
            h2o_evloop_socket_create(loop, listeners->all[i].fd, H2O_SOCKET_FLAG_DONT_READ);
        listeners->all[i].fd = -1;
        sock->data = web;
        web->listeners[web->num_listeners++] = sock;
        h2o_socket_read_start(sock, on_web_connection);
    }
    return web;
}

void web_drain(struct web *web)
{
    web->pages.draining = true;
}

void web_close(struct web *web)
{
    if (web == NULL)
        return;
    timer_disarm(grpc_server_timers(web->server), &web->accept_again);
    for (size_t i = 0; i < web->num_listeners; i++)
        h2o_socket_close(web->listeners[i]);
    while (!h2o_linklist_is_empty(&web->visits))
        end_visit(container_of(web->visits.next, struct visit, link));
    assert(web->num_visits == 0);
    pages_close(&web->pages);
    free(web);
}
