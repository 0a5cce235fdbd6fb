/* SPDX-License-Identifier: MIT */
#include "server/web/web.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>

#include "base/container_of.h"
#include "base/secret.h"
#include "base/timer.h"
#include "server/os/log.h"
#include "server/web/pages.h"
#include "server/web/web_stream.h"

enum {
    ACCEPTS_PER_EVENT = 16,
    SOCKET_ROOM = 4096, /* at least the bytes that libh2o allocates for a socket */
    PAUSE_MS = 100,     /* without descriptors or memory, accepting pauses this long */
    WARN_MS = 10000,    /* at least this long between two warnings about it, or about handshakes */
};

struct web_listener {
    struct web *web;
    h2o_socket_t *sock;
    SSL_CTX *tls; /* NULL: none */
};

struct web {
    h2o_loop_t *loop;
    struct grpc_server *server;
    struct pages pages;
    struct web_listener listeners[LISTEN_MAX];
    size_t num_listeners, num_visits;
    h2o_linklist_t visits; /* ordered by last progress, the oldest first */
    struct timer accept_again;
    struct timer shake_again;            /* armed: no handshake may begin */
    uint64_t warn_at, warn_handshake_at; /* ms on the server's clock */
};

/* A connection: reads a request, writes a response, waits until the client closes. */
struct visit {
    struct web *web;
    h2o_linklist_t link; /* in web->visits */
    h2o_socket_t *sock;
    struct stream stream;
    bool waits_to_shake; /* until web->shake_again expires */
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
    stream_close(&visit->stream);
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
    stream_finish(&visit->stream);
    limit_visit(visit, WEB_LINGER_MS);
    h2o_socket_read_start(visit->sock, on_rest_of_request);
}

/* As stream_write(). */
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
    return stream_write(&visit->stream, vec, num);
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
    ssize_t got = err != NULL ? -1
                              : stream_read(&visit->stream, visit->request + visit->request_len,
                                            HTTP1_HEAD_MAX - visit->request_len);
    if (got < 0) {
        end_visit(visit);
        return;
    }
    if (got == 0)
        return;
    note_progress(visit);
    visit->request_len += (size_t)got;
    unsigned status = http1_parse(visit->request, visit->request_len, &request);
    if (status == 0)
        return;
    h2o_socket_read_stop(sock);
    limit_visit(visit, WEB_WRITE_MS);
    request.certified = stream_is_certified(&visit->stream);
    pages_answer(&visit->web->pages, status, &request, grpc_server_now_ms(visit->web->server),
                 &visit->response);
    explicit_bzero(visit->request, visit->request_len);
    send_response(visit);
}

/* ---- handshakes ---- */

static void warn_of_handshake(const struct visit *visit)
{
    struct web *web = visit->web;
    char host[64] = "?", port[8] = "?";
    struct sockaddr_storage address;
    uint64_t now = grpc_server_now_ms(web->server);
    if (now < web->warn_handshake_at)
        return;
    web->warn_handshake_at = now + WARN_MS;
    socklen_t len = h2o_socket_getpeername(visit->sock, (struct sockaddr *)&address);
    if (len != 0)
        getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    log_warning("metrics-listen: TLS handshake with %s port %s failed: %s", host, port,
                stream_fault(&visit->stream));
}

static void on_handshake(h2o_socket_t *sock, const char *err);

static void on_handshake_writable(h2o_socket_t *sock, const char *err)
{
    h2o_socket_read_start(sock, on_handshake);
    on_handshake(sock, err);
}

/* A signature takes as long as many calls. So a worker makes one here in WEB_SIGN_MS, whoever asks
 * for more. */
static void note_signature(struct web *web)
{
    timer_arm(grpc_server_timers(web->server), &web->shake_again,
              grpc_server_now_ms(web->server) + WEB_SIGN_MS);
}

static void on_shake_again(struct timer *timer)
{
    struct web *web = container_of(timer, struct web, shake_again);
    for (h2o_linklist_t *link = web->visits.next; link != &web->visits; link = link->next) {
        struct visit *visit = container_of(link, struct visit, link);
        if (visit->waits_to_shake)
            h2o_socket_read_start(visit->sock, on_handshake);
        visit->waits_to_shake = false;
    }
}

static void shake_hands(struct visit *visit)
{
    bool answered = visit->stream.answered;
    enum stream_wait wait = stream_shake_hands(&visit->stream);
    if (visit->stream.answered && !answered)
        note_signature(visit->web);
    switch (wait) {
    case STREAM_DONE:
        note_progress(visit);
        h2o_socket_read_start(visit->sock, on_request);
        break;
    case STREAM_WAITS_TO_READ:
        break;
    case STREAM_WAITS_TO_WRITE:
        h2o_socket_read_stop(visit->sock);
        h2o_socket_notify_write(visit->sock, on_handshake_writable);
        break;
    case STREAM_FAILED:
        warn_of_handshake(visit);
        end_visit(visit);
    }
}

static void on_handshake(h2o_socket_t *sock, const char *err)
{
    struct visit *visit = sock->data;
    if (err != NULL) {
        end_visit(visit);
    } else if (!visit->stream.answered && timer_armed(&visit->web->shake_again)) {
        h2o_socket_read_stop(sock);
        visit->waits_to_shake = true;
    } else {
        shake_hands(visit);
    }
}

/* ---- accepting ---- */

/* Takes over the descriptor. @return false: out of memory, and the descriptor is closed */
static bool begin_visit(struct web *web, int fd, SSL_CTX *tls)
{
    struct stream stream;
    if (web->num_visits == WEB_CONNECTIONS_MAX)
        end_visit(container_of(web->visits.next, struct visit, link));
    struct visit *visit = malloc(sizeof(*visit));
    void *room = malloc(SOCKET_ROOM); /* libh2o aborts if its own allocation fails */
    free(room);
    char *request = secret_alloc(HTTP1_HEAD_MAX);
    if (visit == NULL || room == NULL || request == NULL || !stream_open(&stream, fd, tls)) {
        secret_free(request, HTTP1_HEAD_MAX);
        free(visit);
        close(fd);
        return false;
    }
    *visit = (struct visit){.web = web, .request = request, .stream = stream};
    visit->sock = h2o_evloop_socket_create(
        web->loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION | H2O_SOCKET_FLAG_DONT_READ);
    visit->sock->data = visit;
    visit->timer.expired = on_visit_timeout;
    h2o_linklist_insert(&web->visits, &visit->link);
    web->num_visits++;
    limit_visit(visit, WEB_REQUEST_MS);
    h2o_socket_read_start(visit->sock, tls != NULL ? on_handshake : on_request);
    return true;
}

static void on_web_connection(h2o_socket_t *listener, const char *err);

static void on_web_accept_again(struct timer *timer)
{
    struct web *web = container_of(timer, struct web, accept_again);
    for (size_t i = 0; i < web->num_listeners; i++)
        h2o_socket_read_start(web->listeners[i].sock, on_web_connection);
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
        h2o_socket_read_stop(web->listeners[i].sock);
    timer_arm(grpc_server_timers(web->server), &web->accept_again, now + PAUSE_MS);
}

static void on_web_connection(h2o_socket_t *listener, const char *err)
{
    const struct web_listener *from = listener->data;
    struct web *web = from->web;
    if (err != NULL || timer_armed(&web->accept_again))
        return;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(h2o_socket_get_fd(listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && begin_visit(web, fd, from->tls))
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
                     const struct auth *auth, const struct web_tls *tls)
{
    assert(listeners->count <= LISTEN_MAX);
    struct web *web = malloc(sizeof(*web));
    if (web == NULL)
        return NULL;
    *web = (struct web){
        .loop = loop,
        .server = server,
        .pages = {.counters = counters,
                  .store = store,
                  .auth = auth,
                  .needs_certificate = tls->metrics_need_certificate},
        .shake_again.expired = on_shake_again,
        .accept_again.expired = on_web_accept_again,
    };
    h2o_linklist_init_anchor(&web->visits);
    for (size_t i = 0; i < listeners->count; i++) {
        struct listener *from = &listeners->all[i];
        struct web_listener *to = &web->listeners[web->num_listeners++];
        *to = (struct web_listener){
            .web = web,
            .sock = h2o_evloop_socket_create(loop, from->fd, H2O_SOCKET_FLAG_DONT_READ),
            .tls = from->unix_socket ? NULL : tls->context,
        };
        from->fd = -1;
        to->sock->data = to;
        h2o_socket_read_start(to->sock, on_web_connection);
    }
    return web;
}

static void close_listeners(struct web *web)
{
    timer_disarm(grpc_server_timers(web->server), &web->accept_again);
    for (size_t i = 0; i < web->num_listeners; i++)
        h2o_socket_close(web->listeners[i].sock);
    web->num_listeners = 0;
}

void web_stop_accepting(struct web *web)
{
    if (web != NULL)
        close_listeners(web);
}

void web_drain(struct web *web)
{
    web->pages.draining = true;
}

bool web_is_idle(const struct web *web)
{
    return web->num_visits == 0;
}

void web_close(struct web *web)
{
    if (web == NULL)
        return;
    close_listeners(web);
    timer_disarm(grpc_server_timers(web->server), &web->shake_again);
    while (!h2o_linklist_is_empty(&web->visits))
        end_visit(container_of(web->visits.next, struct visit, link));
    assert(web->num_visits == 0);
    pages_close(&web->pages);
    free(web);
}
