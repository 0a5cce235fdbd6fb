/* SPDX-License-Identifier: MIT */
/* What the web listener has to say: a whole HTTP/1.1 response for each request. */
#ifndef ROSTERD_SERVER_WEB_PAGES_H
#define ROSTERD_SERVER_WEB_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/web/http1.h"
#include "shm/counters.h"
#include "shm/store.h"

/** Between two renderings of /metrics: who asks sooner shares the last one's text. */
enum { PAGES_FRESH_MS = 200 };

struct pages_text; /* of /metrics, shared by the responses that carry it */

/** Where the responses come from; one of a process. Zeroed, then the first two set. */
struct pages {
    const struct shm_counters *counters;
    struct shm_store *store;
    bool draining; /* /readyz says 503 */
    struct pages_text *metrics;
    uint64_t rendered_ms;
};

struct pages_response {
    char head[384];
    size_t head_len;
    const char *body;
    size_t body_len;
    struct pages_text *text; /* whose the body is; NULL: of a static string */
};

/** @param status what http1_parse() said, never 0; the request is looked at for 200 alone
 * @param now_ms of a monotonic clock
 * @param response to be given to pages_drop() */
void pages_answer(struct pages *pages, unsigned status, const struct http1_request *request,
                  uint64_t now_ms, struct pages_response *response);
/** A zeroed response is left alone. */
void pages_drop(struct pages_response *response);
/** Responses that were not dropped keep their text. */
void pages_close(struct pages *pages);

#endif
