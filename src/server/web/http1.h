/* SPDX-License-Identifier: MIT */
/*
 * The head of one HTTP/1 request (RFC 9112), read strictly: what has two meanings, or a body, is
 * refused, so that nobody in between can have understood it otherwise.
 */
#ifndef ROSTERD_SERVER_WEB_HTTP1_H
#define ROSTERD_SERVER_WEB_HTTP1_H

#include <stdbool.h>
#include <stddef.h>

enum {
    HTTP1_LINE_MAX = 4096, /* bytes of a request line */
    HTTP1_HEAD_MAX = 8192, /* of the whole head */
};

struct http1_request {
    const char *path; /* without the query; of the bytes that were read */
    size_t path_len;
    bool get, head; /* the method, where it is one of these */
};

/**
 * @param bytes all that has come so far, HTTP1_HEAD_MAX at most
 * @return 200: *request is filled; 0: more is needed; else the status that refuses it: 400, 414,
 *   431 or 505
 */
unsigned http1_parse(const char *bytes, size_t len, struct http1_request *request);

#endif
