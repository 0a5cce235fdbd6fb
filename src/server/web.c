/* SPDX-License-Identifier: MIT */
#include "server/web.h"

#include <stdlib.h>
#include <string.h>

#include "service/metrics.h"

enum { REQUEST_TIMEOUT_MS = 5000 };

/* libh2o's handlers know their path, not whose they are: a process has one */
static struct {
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    const struct shm_counters *counters;
    struct shm_store *store;
    h2o_socket_t *listeners[LISTEN_MAX];
    size_t num_listeners, connections;
    bool draining;
} web;

/* ---- answers ---- */

static int answer(h2o_req_t *req, int status, const char *reason, const char *type,
                  const char *body, size_t len)
{
    req->res.status = status;
    req->res.reason = reason;
    req->res.content_length = len;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
                   H2O_STRLIT("no-store"));
    h2o_send_inline(req, body, len);
    return 0;
}

/* @return whether the request has been answered: it is neither GET nor HEAD, or for a path below */
static bool refused(h2o_handler_t *handler, h2o_req_t *req)
{
    (void)handler;
    if (req->path_normalized.len != req->pathconf->path.len) {
        answer(req, 404, "Not Found", "text/plain", H2O_STRLIT("not found\n"));
        return true;
    }
    if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")) ||
        h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD")))
        return false;
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("allow"), 0, NULL,
                          H2O_STRLIT("GET, HEAD"));
    answer(req, 405, "Method Not Allowed", "text/plain", H2O_STRLIT("GET or HEAD\n"));
    return true;
}

static int on_metrics(h2o_handler_t *handler, h2o_req_t *req)
{
    size_t len;
    if (refused(handler, req))
        return 0;
    char *text = metrics_format(web.counters, web.store, &len);
    if (text == NULL)
        return answer(req, 503, "Service Unavailable", "text/plain", H2O_STRLIT("out of memory\n"));
    answer(req, 200, "OK", METRICS_CONTENT_TYPE, text, len);
    free(text);
    return 0;
}

static int on_healthz(h2o_handler_t *handler, h2o_req_t *req)
{
    if (refused(handler, req))
        return 0;
    return answer(req, 200, "OK", "text/plain", H2O_STRLIT("ok\n"));
}

static int on_readyz(h2o_handler_t *handler, h2o_req_t *req)
{
    if (refused(handler, req))
        return 0;
    if (web.draining)
        return answer(req, 503, "Service Unavailable", "text/plain", H2O_STRLIT("draining\n"));
    return answer(req, 200, "OK", "text/plain", H2O_STRLIT("ready\n"));
}

static int on_other(h2o_handler_t *handler, h2o_req_t *req)
{
    (void)handler;
    return answer(req, 404, "Not Found", "text/plain",
                  H2O_STRLIT("/metrics, /healthz and /readyz are here\n"));
}

/* ---- connections ---- */

static void on_close(void *data)
{
    (void)data;
    web.connections--;
}

static void on_connection(h2o_socket_t *listener, const char *err)
{
    if (err != NULL)
        return;
    h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
    if (sock == NULL)
        return;
    if (web.connections == WEB_CONNECTIONS_MAX) {
        h2o_socket_close(sock);
        return;
    }
    web.connections++;
    sock->on_close.cb = on_close;
    h2o_accept(&web.accept, sock);
}

/* ---- begin and end ---- */

static void register_path(h2o_hostconf_t *host, const char *path,
                          int (*on_req)(h2o_handler_t *, h2o_req_t *))
{
    h2o_pathconf_t *conf = h2o_config_register_path(host, path, 0);
    h2o_create_handler(conf, sizeof(h2o_handler_t))->on_req = on_req;
}

void web_open(h2o_loop_t *loop, struct listeners *listeners, const struct shm_counters *counters,
              struct shm_store *store)
{
    if (listeners->count == 0)
        return;
    web.counters = counters;
    web.store = store;
    h2o_config_init(&web.config);
    web.config.server_name = h2o_iovec_init(H2O_STRLIT("rosterd"));
    web.config.http1.req_timeout = REQUEST_TIMEOUT_MS;
    web.config.http1.upgrade_to_http2 = 0; /* it would bring a second HTTP/2 server to guard */
    web.config.max_request_entity_size = 1024;
    h2o_hostconf_t *host =
        h2o_config_register_host(&web.config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    register_path(host, "/metrics", on_metrics);
    register_path(host, "/healthz", on_healthz);
    register_path(host, "/readyz", on_readyz);
    register_path(host, "/", on_other);
    h2o_context_init(&web.context, loop, &web.config);
    web.accept.ctx = &web.context;
    web.accept.hosts = web.config.hosts;
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
    web.draining = true;
}

void web_close(void)
{
    for (size_t i = 0; i < web.num_listeners; i++)
        h2o_socket_close(web.listeners[i]);
    web.num_listeners = 0;
}
