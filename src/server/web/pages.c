/* SPDX-License-Identifier: MIT */
#include "server/web/pages.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "service/core/scope.h"
#include "service/observe/metrics.h"
#include "service/observe/stats.h"
#include "shm/disk.h"

struct pages_text {
    unsigned refs;
    size_t len;
    char *bytes;
};

static void drop_text(struct pages_text *text)
{
    if (text == NULL)
        return;
    assert(text->refs != 0);
    if (--text->refs != 0)
        return;
    free(text->bytes);
    free(text);
}

/* The text of /metrics, rendered again if it is too old. @return NULL: out of memory */
static struct pages_text *fresh_metrics(struct pages *pages, uint64_t now_ms)
{
    if (pages->metrics != NULL && now_ms - pages->rendered_ms < PAGES_FRESH_MS)
        return pages->metrics;
    drop_text(pages->metrics);
    pages->metrics = malloc(sizeof(*pages->metrics));
    if (pages->metrics == NULL)
        return NULL;
    *pages->metrics = (struct pages_text){.refs = 1};
    pages->metrics->bytes = metrics_format(pages->counters, pages->store, &pages->metrics->len);
    pages->rendered_ms = now_ms;
    if (pages->metrics->bytes != NULL)
        return pages->metrics;
    drop_text(pages->metrics);
    pages->metrics = NULL;
    return NULL;
}

static const char *reason_phrase(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Service Unavailable";
    }
}

/* @param field a whole line of the header, or "" */
static void write_head(struct pages_response *response, unsigned status, const char *type,
                       const char *field)
{
    char date[40];
    struct tm tm;
    time_t now = (time_t)clock_real_coarse_s();
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    response->head_len = (size_t)snprintf(
        response->head, sizeof(response->head),
        "HTTP/1.1 %u %s\r\nDate: %s\r\nServer: rosterd\r\nConnection: close\r\n"
        "Content-Type: %s\r\nCache-Control: no-store\r\nContent-Length: %zu\r\n%s\r\n",
        status, reason_phrase(status), date, type, response->body_len, field);
    assert(response->head_len < sizeof(response->head));
}

static void answer_with_field(struct pages_response *response, unsigned status, const char *line,
                              const char *field)
{
    response->body = line;
    response->body_len = strlen(line);
    write_head(response, status, "text/plain", field);
}

static void answer_line(struct pages_response *response, unsigned status, const char *line)
{
    answer_with_field(response, status, line, "");
}

static void answer_metrics(struct pages *pages, uint64_t now_ms, struct pages_response *response)
{
    response->text = fresh_metrics(pages, now_ms);
    if (response->text == NULL) {
        answer_line(response, 503, "out of memory\n");
        return;
    }
    response->text->refs++;
    response->body = response->text->bytes;
    response->body_len = response->text->len;
    write_head(response, 200, METRICS_CONTENT_TYPE, "");
}

/* RFC 6750, section 3: a request without a token learns that one is needed, a wrong token that it
 * is wrong, and another's token which scope it lacks. */
#define CHALLENGE "WWW-Authenticate: Bearer realm=\"rosterd\""

/* @return whether the request may have /metrics; if not, it is answered */
static bool admit_to_metrics(const struct pages *pages, const struct http1_request *request,
                             struct pages_response *response)
{
    struct auth_caller caller = {.name = NULL};
    if (pages->needs_certificate && !request->certified) {
        answer_line(response, 403, "/metrics needs a client certificate of a CA that is trusted\n");
        return false;
    }
    if (pages->auth == NULL)
        return true;
    if (request->authorization != NULL)
        caller = auth_find(pages->auth, request->authorization, request->authorization_len);
    if ((caller.scopes & SCOPE_METRICS) != 0)
        return true;
    if (caller.name != NULL)
        answer_with_field(response, 403, "the token lacks the scope metrics\n",
                          CHALLENGE ", error=\"insufficient_scope\", scope=\"metrics\"\r\n");
    else if (request->authorization != NULL)
        answer_with_field(response, 401, "the token is invalid\n",
                          CHALLENGE ", error=\"invalid_token\"\r\n");
    else
        answer_with_field(response, 401, "/metrics needs a token: Authorization: Bearer TOKEN\n",
                          CHALLENGE "\r\n");
    return false;
}

static bool asks_for(const struct http1_request *request, const char *path)
{
    return request->path_len == strlen(path) && memcmp(request->path, path, request->path_len) == 0;
}

static const char *refusal_text(unsigned status)
{
    switch (status) {
    case 414:
        return "the request line is too long\n";
    case 431:
        return "the request's header is too long\n";
    case 505:
        return "only HTTP/1.1 and HTTP/1.0 are supported\n";
    default:
        return "the request is malformed, or has a body\n";
    }
}

/* @return NULL: users can be written */
static const char *describe_disk_trouble(const struct shm_store *store)
{
    struct shm_disk_info disk;
    shm_disk_info(store, &disk);
    if (disk.state == SHM_DISK_FAILED)
        return "the data file has failed: users can be read, not written\n";
    if (disk.state == SHM_DISK_STOPPED)
        return "the process that writes the data file cannot start: users can be read, not "
               "written\n";
    return NULL;
}

/* Asks for the master's gauges, now and then: that adds up many rows. */
static bool creates_are_refused(struct pages *pages, uint64_t now_ms)
{
    if (pages->refused_ms == 0 || now_ms - pages->refused_ms >= PAGES_FRESH_MS) {
        pages->refused_ms = now_ms;
        pages->refused = stats_find_refusal(pages->counters, &pages->bound);
    }
    return pages->refused;
}

/* Calls that read are served, so the server stays ready. */
static void answer_refused(const struct pages *pages, struct pages_response *response)
{
    snprintf(response->line, sizeof(response->line), "ready, but creates are refused: %s\n",
             shm_bound_text(pages->bound));
    answer_line(response, 200, response->line);
}

static void answer_ready(struct pages *pages, uint64_t now_ms, struct pages_response *response)
{
    const char *trouble = describe_disk_trouble(pages->store);
    if (pages->draining)
        answer_line(response, 503, "draining\n");
    else if (!shm_store_has_name(pages->store))
        answer_line(response, 503, "the segment's file was removed from /dev/shm\n");
    else if (trouble != NULL)
        answer_line(response, 503, trouble);
    else if (creates_are_refused(pages, now_ms))
        answer_refused(pages, response);
    else
        answer_line(response, 200, "ready\n");
}

void pages_answer(struct pages *pages, unsigned status, const struct http1_request *request,
                  uint64_t now_ms, struct pages_response *response)
{
    assert(status != 0);
    *response = (struct pages_response){.head_len = 0};
    if (status != 200) {
        answer_line(response, status, refusal_text(status));
        return;
    }
    bool metrics = asks_for(request, "/metrics"), ready = asks_for(request, "/readyz");
    if (!metrics && !ready && !asks_for(request, "/healthz"))
        answer_line(response, 404, "this address has /metrics, /healthz and /readyz\n");
    else if (!request->get && !request->head)
        answer_with_field(response, 405, "only GET and HEAD are allowed\n", "Allow: GET, HEAD\r\n");
    else if (metrics && admit_to_metrics(pages, request, response))
        answer_metrics(pages, now_ms, response);
    else if (ready)
        answer_ready(pages, now_ms, response);
    else if (!metrics)
        answer_line(response, 200, "ok\n");
    if (request->head)
        response->body_len = 0;
}

void pages_drop(struct pages_response *response)
{
    drop_text(response->text);
    response->text = NULL;
}

void pages_close(struct pages *pages)
{
    drop_text(pages->metrics);
    pages->metrics = NULL;
}
