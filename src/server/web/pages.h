/* SPDX-License-Identifier: MIT */
/* The responses of the web listener: a complete HTTP/1.1 response for each request. */
#ifndef ROSTERD_SERVER_WEB_PAGES_H
#define ROSTERD_SERVER_WEB_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/web/http1.h"
#include "service/auth.h"
#include "shm/counters.h"
#include "shm/headroom.h"
#include "shm/store.h"

/** The text of /metrics is rendered at most this often; requests in between share it. */
enum { PAGES_FRESH_MS = 200 };

struct pages_text; /* of /metrics; counts the responses that use it */

/** A process has one. Zeroed, then the first four fields set. */
struct pages {
    const struct shm_counters *counters;
    struct shm_store *store;
    const struct auth *auth; /* whose tokens /metrics needs; NULL: it needs none */
    bool needs_certificate;  /* /metrics needs a client's certificate, too */
    bool draining;           /* /readyz answers 503 */
    struct pages_text *metrics;
    uint64_t rendered_ms;
    bool refused; /* users are refused: as of refused_ms, and why */
    enum shm_bound bound;
    uint64_t refused_ms;
};

struct pages_response {
    char head[512];
    char line[128]; /* the body, if it is made for this response */
    size_t head_len;
    const char *body; /* a static string, `line`, or of `text` */
    size_t body_len;
    struct pages_text *text; /* which holds the body; NULL: it holds none */
};

/**
 * @param status the result of http1_parse(), not 0; the request is used only if it is 200
 * @param now_ms clock_monotonic_ms()
 * @param response is overwritten; the caller calls pages_drop()
 */
void pages_answer(struct pages *pages, unsigned status, const struct http1_request *request,
                  uint64_t now_ms, struct pages_response *response);
/** Gives the response's text back. A zeroed response is left alone. */
void pages_drop(struct pages_response *response);
/** Responses that have not been dropped keep their text. */
void pages_close(struct pages *pages);

#endif
