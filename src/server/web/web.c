/* SPDX-License-Identifier: MIT */
#include "server/web/web.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/os/log.h"
#include "server/web/pages.h"

enum {
    ACCEPTS_PER_EVENT = 16,
    SOCKET_ROOM = 4096,
    REST_MS = 100,   /* without descriptors or memory, accepting rests this long */
    WARN_MS = 10000, /* and is logged this often */
};

/* Reads a request, writes a response, waits for the client's end. */
struct visit {
    h2o_linklist_t link; /* in web.visits */
    h2o_socket_t *sock;
    struct timer timer;
    struct pages_response response;
    size_t sent; /* of head and body */
    size_t request_len;
    char request[HTTP1_HEAD_MAX];
};

/* libh2o's callbacks bring their socket's data, timers nothing: a process has one */
static struct {
    h2o_loop_t *loop;
    struct grpc_server *server;
    struct pages pages;
    h2o_socket_t *listeners[LISTEN_MAX];
    size_t num_listeners, num_visits;
    h2o_linklist_t visits; /* whose progress is the longest ago comes first */
    struct timer accept_again;
    uint64_t warn_at; /* ms */
} web;

/* ---- a visit ---- */

static void end_visit(struct visit *visit)
{
    timer_disarm(grpc_server_timers(web.server), &visit->timer);
    h2o_linklist_unlink(&visit->link);
    web.num_visits--;
    h2o_socket_close(visit->sock);
    pages_drop(&visit->response);
    free(visit);
}

static void on_time_out(struct timer *timer)
{
    end_visit(H2O_STRUCT_FROM_MEMBER(struct visit, timer, timer));
}

static void wait_at_most(struct visit *visit, uint64_t ms)
{
    timer_arm(grpc_server_timers(web.server), &visit->timer, grpc_server_now_ms(web.server) + ms);
}

static void made_progress(struct visit *visit)
{
    h2o_linklist_unlink(&visit->link);
    h2o_linklist_insert(&web.visits, &visit->link);
}

/* What came behind the request is thrown away: to close over it would reset the connection, and
 * lose the response. */
static void on_rest(h2o_socket_t *sock, const char *err)
{
    struct visit *visit = sock->data;
    ssize_t got = recv(h2o_socket_get_fd(sock), visit->request, sizeof(visit->request), 0);
    if (err != NULL || got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        end_visit(visit);
}

static void linger(struct visit *visit)
{
    shutdown(h2o_socket_get_fd(visit->sock), SHUT_WR);
    wait_at_most(visit, WEB_LINGER_MS);
    h2o_socket_read_start(visit->sock, on_rest);
}

/* @return bytes, 0: not now, below 0: the client is gone */
static ssize_t send_some(struct visit *visit)
{
    const struct pages_response *response = &visit->response;
    const char *parts[] = {response->head, response->body};
    const size_t lens[] = {response->head_len, response->body_len};
    struct iovec vec[2];
    size_t skip = visit->sent, num = 0;
    for (size_t i = 0; i < 2; i++) {
        size_t from = skip < lens[i] ? skip : lens[i];
        skip -= from;
        if (from != lens[i])
            vec[num++] = (struct iovec){(char *)(uintptr_t)parts[i] + from, lens[i] - from};
    }
    const struct msghdr message = {.msg_iov = vec, .msg_iovlen = num};
    ssize_t sent = sendmsg(h2o_socket_get_fd(visit->sock), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

static void on_writable(h2o_socket_t *sock, const char *err);

static void respond(struct visit *visit)
{
    ssize_t sent = send_some(visit);
    if (sent < 0) {
        end_visit(visit);
        return;
    }
    if (sent != 0)
        made_progress(visit);
    visit->sent += (size_t)sent;
    if (visit->sent < visit->response.head_len + visit->response.body_len)
        h2o_socket_notify_write(visit->sock, on_writable);
    else
        linger(visit);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    if (err != NULL)
        end_visit(sock->data);
    else
        respond(sock->data);
}

static void on_request(h2o_socket_t *sock, const char *err)
{
    struct visit *visit = sock->data;
    struct http1_request request;
    ssize_t got = recv(h2o_socket_get_fd(sock), visit->request + visit->request_len,
                       sizeof(visit->request) - visit->request_len, 0);
    if (err != NULL || got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        end_visit(visit);
        return;
    }
    if (got < 0)
        return;
    made_progress(visit);
    visit->request_len += (size_t)got;
    unsigned status = http1_parse(visit->request, visit->request_len, &request);
    if (status == 0)
        return;
    h2o_socket_read_stop(sock);
    wait_at_most(visit, WEB_WRITE_MS);
    pages_answer(&web.pages, status, &request, grpc_server_now_ms(web.server), &visit->response);
    respond(visit);
}

/* ---- accepting ---- */

/* The descriptor becomes the visit's. @return false: out of memory, and it is closed */
static bool begin_visit(int fd)
{
    if (web.num_visits == WEB_CONNECTIONS_MAX)
        end_visit(H2O_STRUCT_FROM_MEMBER(struct visit, link, web.visits.next));
    struct visit *visit = malloc(sizeof(*visit));
    void *room = malloc(SOCKET_ROOM); /* without it libh2o would end the process */
    free(room);
    if (visit == NULL || room == NULL) {
        free(visit);
        close(fd);
        return false;
    }
    memset(visit, 0, offsetof(struct visit, request));
    visit->sock = h2o_evloop_socket_create(
        web.loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION | H2O_SOCKET_FLAG_DONT_READ);
    visit->sock->data = visit;
    visit->timer.expired = on_time_out;
    h2o_linklist_insert(&web.visits, &visit->link);
    web.num_visits++;
    wait_at_most(visit, WEB_REQUEST_MS);
    h2o_socket_read_start(visit->sock, on_request);
    return true;
}

static void on_connection(h2o_socket_t *listener, const char *err);

static void on_accept_again(struct timer *timer)
{
    (void)timer;
    for (size_t i = 0; i < web.num_listeners; i++)
        h2o_socket_read_start(web.listeners[i], on_connection);
}

/* The listeners stay readable while accept fails: without a rest the loop would spin. */
static void rest_from_accepting(int reason)
{
    uint64_t now = grpc_server_now_ms(web.server);
    if (now >= web.warn_at) {
        log_warning("metrics-listen: accept: %s; new connections wait", strerror(reason));
        web.warn_at = now + WARN_MS;
    }
    for (size_t i = 0; i < web.num_listeners; i++)
        h2o_socket_read_stop(web.listeners[i]);
    timer_arm(grpc_server_timers(web.server), &web.accept_again, now + REST_MS);
}

static void on_connection(h2o_socket_t *listener, const char *err)
{
    if (err != NULL || timer_armed(&web.accept_again))
        return;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(h2o_socket_get_fd(listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && begin_visit(fd))
            continue;
        int reason = fd >= 0 ? ENOMEM : errno;
        if (reason == EMFILE || reason == ENFILE || reason == ENOBUFS || reason == ENOMEM)
            rest_from_accepting(reason);
        if (reason != ECONNABORTED && reason != EINTR)
            return; /* there are no more, or another worker was faster */
    }
}

/* ---- begin and end ---- */

void web_open(h2o_loop_t *loop, struct grpc_server *server, struct listeners *listeners,
              const struct shm_counters *counters, struct shm_store *store)
{
    web.loop = loop;
    web.server = server;
    web.pages = (struct pages){.counters = counters, .store = store};
    h2o_linklist_init_anchor(&web.visits);
    web.accept_again.expired = on_accept_again;
    for (size_t i = 0; i < listeners->count; i++) {
        h2o_socket_t *sock =
            h2o_evloop_socket_create(loop, listeners->all[i].fd, H2O_SOCKET_FLAG_DONT_READ);
        listeners->all[i].fd = -1;
        web.listeners[web.num_listeners++] = sock;
        h2o_socket_read_start(sock, on_connection);
    }
}

void web_drain(void)
{
    web.pages.draining = true;
}

void web_close(void)
{
    if (web.server == NULL)
        return;
    timer_disarm(grpc_server_timers(web.server), &web.accept_again);
    for (size_t i = 0; i < web.num_listeners; i++)
        h2o_socket_close(web.listeners[i]);
    web.num_listeners = 0;
    while (!h2o_linklist_is_empty(&web.visits))
        end_visit(H2O_STRUCT_FROM_MEMBER(struct visit, link, web.visits.next));
    pages_close(&web.pages);
    web.server = NULL;
}
