/* SPDX-License-Identifier: MIT */
/* Which requests http1_parse() accepts, and how it refuses the others. */
#include "server/web/http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST "Host: x\r\n"

static void expect_status(const char *bytes, unsigned status)
{
    struct http1_request request;
    size_t len = strlen(bytes);
    char *copy = malloc(len + 1); /* a copy, so that a sanitizer sees a read beyond it */
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    unsigned got = http1_parse(copy, len, &request);
    if (got != status)
        fail_msg("%u, not %u: %s", got, status, bytes);
    free(copy);
}

static void expect_path(const char *bytes, const char *path)
{
    struct http1_request request;
    assert_int_equal(http1_parse(bytes, strlen(bytes), &request), 200);
    assert_int_equal(request.path_len, strlen(path));
    assert_memory_equal(request.path, path, request.path_len);
    assert_true(request.get);
    assert_false(request.head);
}

static void all_forms_of_a_target_name_the_same_path(void **state)
{
    (void)state;
    expect_path("GET /metrics HTTP/1.1\r\n" HOST "\r\n", "/metrics");
    expect_path("GET /metrics?name[]=up&x HTTP/1.1\r\n" HOST "\r\n", "/metrics");
    expect_path("GET http://x:9090/metrics HTTP/1.1\r\n" HOST "\r\n", "/metrics");
    expect_path("GET HTTP://x/metrics?a=/b HTTP/1.1\r\n" HOST "\r\n", "/metrics");
    expect_path("GET https://[::1]:9090/metrics HTTP/1.1\r\n" HOST "\r\n", "/metrics");
    expect_path("GET http://x HTTP/1.1\r\n" HOST "\r\n", "/");
    expect_path("GET http://x?a HTTP/1.1\r\n" HOST "\r\n", "/");
    expect_path("GET /metrics HTTP/1.0\r\n\r\n", "/metrics");
    expect_path("GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n", "/metrics");
    expect_path("GET /metrics HTTP/1.7\r\n" HOST "\r\n", "/metrics");
    expect_path("\r\nGET /metrics HTTP/1.1\r\n" HOST "\r\n", "/metrics");
    expect_path("GET /metrics HTTP/1.1\nHost: x\n\n", "/metrics");
    expect_path("GET /metrics HTTP/1.1\r\nhOsT:x\r\nX-A:\r\nX-B: a\tb \xc3\xa9\r\n\r\n",
                "/metrics");
    expect_path("GET /metrics HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n", "/metrics");
}

static void methods_are_told_apart(void **state)
{
    (void)state;
    struct http1_request request;
    static const char head[] = "HEAD /healthz HTTP/1.1\r\n" HOST "\r\n",
                      post[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nx=1",
                      options[] = "OPTIONS * HTTP/1.1\r\n" HOST "\r\n";
    assert_int_equal(http1_parse(head, sizeof(head) - 1, &request), 200);
    assert_true(request.head && !request.get);
    assert_int_equal(http1_parse(post, sizeof(post) - 1, &request), 200);
    assert_false(request.head || request.get);
    assert_int_equal(http1_parse(options, sizeof(options) - 1, &request), 200);
    assert_false(request.head || request.get);
    expect_status("get / HTTP/1.1\r\n" HOST "\r\n", 200); /* another method: case matters */
}

static void request_is_waited_for_byte_by_byte(void **state)
{
    (void)state;
    struct http1_request request;
    static const char whole[] = "\r\nGET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
    for (size_t len = 0; len < sizeof(whole) - 1; len++)
        assert_int_equal(http1_parse(whole, len, &request), 0);
    assert_int_equal(http1_parse(whole, sizeof(whole) - 1, &request), 200);
}

static void what_has_two_meanings_is_refused(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "", /* no Host */
        HOST HOST,
        HOST "Host: y\r\n",
        "Host: x y\r\n",
        "Host: x, y\r\n",
        "Host: x/y\r\n",
        "Host: user@x\r\n",
        HOST "Content-Length: 0\r\nContent-Length: 0\r\n",
        HOST "Content-Length: 0\r\nContent-Length: 5\r\n",
        HOST "Content-Length: 5\r\n",
        HOST "Content-Length: 00\r\n",
        HOST "Content-Length: 0, 0\r\n",
        HOST "Content-Length: +0\r\n",
        HOST "Content-Length:\r\n",
        HOST "Transfer-Encoding: chunked\r\n",
        HOST "transfer-encoding: identity\r\n",
        HOST "X-A : b\r\n",
        HOST ": b\r\n",
        HOST "no colon\r\n",
        HOST "X A: b\r\n",
        HOST "X-A: b\r\n folded\r\n",
        HOST "X-A: a\rb\r\n",
        HOST "X-A: a\x01\r\n",
        HOST "X-A: a\x7f\r\n",
        " " HOST,
    };
    char bytes[512];
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        snprintf(bytes, sizeof(bytes), "GET /metrics HTTP/1.1\r\n%s\r\n", fields[i]);
        expect_status(bytes, 400);
    }
    expect_status("GET /metrics HTTP/1.0\r\n" HOST HOST "\r\n", 400);
}

static void request_lines_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / HTTP/1.",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/x.1",
        "G@T / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET metrics HTTP/1.1",
        "GET * HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET ftp://x/ HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /\xff HTTP/1.1",
        "GET x:80 HTTP/1.1",
        "GET / HTTP/1.1\r",
    };
    char bytes[512];
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        snprintf(bytes, sizeof(bytes), "%s\r\n" HOST "\r\n", lines[i]);
        expect_status(bytes, 400);
    }
    expect_status("GET / HTTP/2.0\r\n\r\n", 505);
    expect_status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    expect_status("GET / HTTP/0.9\r\n\r\n", 505);
}

static void long_requests_are_refused_as_they_come(void **state)
{
    (void)state;
    struct http1_request request;
    static char line[HTTP1_HEAD_MAX], head[HTTP1_HEAD_MAX];
    memset(line, 'a', sizeof(line));
    memcpy(line, "GET /", 5);
    assert_int_equal(http1_parse(line, HTTP1_LINE_MAX, &request), 0);
    assert_int_equal(http1_parse(line, HTTP1_LINE_MAX + 1, &request), 414);
    line[HTTP1_LINE_MAX + 1] = '\n';
    assert_int_equal(http1_parse(line, sizeof(line), &request), 414);
    memset(head, 'a', sizeof(head));
    memcpy(head, "GET / HTTP/1.1\r\nX-A: ", 21);
    assert_int_equal(http1_parse(head, sizeof(head) - 1, &request), 0);
    assert_int_equal(http1_parse(head, sizeof(head), &request), 431);
}

static void expect_authorization(const char *fields, const char *value)
{
    char bytes[512];
    struct http1_request request;
    memset(&request, 0x5a, sizeof(request));
    snprintf(bytes, sizeof(bytes), "GET /metrics HTTP/1.1\r\n" HOST "%s\r\n", fields);
    assert_int_equal(http1_parse(bytes, strlen(bytes), &request), 200);
    if (value == NULL) {
        assert_null(request.authorization);
        return;
    }
    assert_non_null(request.authorization);
    assert_int_equal(request.authorization_len, strlen(value));
    assert_memory_equal(request.authorization, value, strlen(value));
}

static void authorization_is_taken_if_it_is_the_only_one(void **state)
{
    (void)state;
    expect_authorization("", NULL);
    expect_authorization("Authorization: Bearer abc\r\n", "Bearer abc");
    expect_authorization("X: y\r\naUTHORIZATION:\t Bearer  abc \r\nY: z\r\n", "Bearer  abc");
    expect_authorization("Authorization:\r\n", "");
    expect_authorization("Proxy-Authorization: Bearer abc\r\n", NULL);
    expect_authorization("Authorization: a\r\nAuthorization: a\r\n", NULL);
    expect_authorization("Authorization: a\r\nauthorization: b\r\nAuthorization: c\r\n", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_forms_of_a_target_name_the_same_path),
        cmocka_unit_test(methods_are_told_apart),
        cmocka_unit_test(request_is_waited_for_byte_by_byte),
        cmocka_unit_test(what_has_two_meanings_is_refused),
        cmocka_unit_test(request_lines_that_are_none_are_refused),
        cmocka_unit_test(long_requests_are_refused_as_they_come),
        cmocka_unit_test(authorization_is_taken_if_it_is_the_only_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
