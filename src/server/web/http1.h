/* SPDX-License-Identifier: MIT */
/*
 * Parses the head of one HTTP/1 request (RFC 9112) strictly: refuses a request that is ambiguous or
 * has a body, so that no intermediary can have understood it differently.
 */
#ifndef ROSTERD_SERVER_WEB_HTTP1_H
#define ROSTERD_SERVER_WEB_HTTP1_H

#include <stdbool.h>
#include <stddef.h>

enum {
    HTTP1_LINE_MAX = 4096, /* bytes of a request line */
    HTTP1_HEAD_MAX = 8192, /* bytes of the whole head */
};

struct http1_request {
    const char *path; /* without the query; points into the bytes, or to a static "/" */
    size_t path_len;
    bool get, head; /* the method is GET, or HEAD */
    /** The value of the Authorization field, in the bytes; NULL: there is none, or more than one.
     */
    const char *authorization;
    size_t authorization_len;
    /** Whether the client has shown a certificate where it can. The caller of http1_parse() sets
     * it. */
    bool certified;
};

/**
 * @param bytes everything that has come so far, at most HTTP1_HEAD_MAX
 * @return 200: *request is filled; 0: the head is not complete; else the status that refuses the
 *   request: 400, 414, 431 or 505
 */
unsigned http1_parse(const char *bytes, size_t len, struct http1_request *request);

#endif
