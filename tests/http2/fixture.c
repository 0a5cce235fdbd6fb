/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/param.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/container_of.h"

struct fixture fixture;

static struct test_stream *test_stream_of(struct http2_stream *http2)
{
    return container_of(http2, struct test_stream, http2);
}

static const struct http2_field type = {
    .name = "content-type", .value = "text/plain", .name_len = 12, .value_len = 10, .intern = 1};
static const struct http2_field trailer = {
    .name = "x-end", .value = "yes", .name_len = 5, .value_len = 3, .intern = 2};

void fixture_finish(struct test_stream *stream)
{
    stream->ending = true;
    if (http2_stream_pending(&stream->http2) != 0)
        http2_stream_want_write(&stream->http2);
    else
        http2_stream_send_trailers(&stream->http2, &trailer, 1);
}

void fixture_expect_answer(struct peer *peer, uint32_t id, size_t len)
{
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(frame.stream_id, id);
    assert_non_null(strstr(peer->fields, ":status: 200\n"));
    while (len != 0) {
        peer_expect(peer, NGHTTP2_DATA, &frame);
        assert_int_equal(frame.stream_id, id);
        assert_true(frame.len <= len);
        len -= frame.len;
    }
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(frame.stream_id, id);
    assert_true(frame.flags & NGHTTP2_FLAG_END_STREAM);
    assert_string_equal(peer->fields, "x-end: yes\n");
}

static void flood_stream(struct test_stream *stream)
{
    size_t room;
    while (stream->to_send != 0 && (room = http2_stream_room(&stream->http2)) != 0) {
        size_t len = stream->to_send < 100 ? stream->to_send : 100;
        memset(http2_stream_reserve(&stream->http2, len), 'f', len);
        stream->to_send -= len;
    }
    if (stream->to_send == 0)
        fixture_finish(stream);
    else
        http2_stream_want_write(&stream->http2);
}

static void note_fields(const struct http2_request *request)
{
    size_t used = 0;
    fixture.fields[0] = '\0';
    for (size_t i = 0; i != request->num_fields && used < sizeof(fixture.fields); i++)
        used +=
            (size_t)snprintf(fixture.fields + used, sizeof(fixture.fields) - used, "%.*s: %.*s\n",
                             (int)request->fields[i].name->len, request->fields[i].name->base,
                             (int)request->fields[i].value.len, request->fields[i].value.base);
}

static void note_in_log(char what)
{
    size_t len = strlen(fixture.log);
    if (len + 1 < sizeof(fixture.log))
        fixture.log[len] = what;
}

static void spin(void)
{
    uint64_t until = clock_monotonic_ns() + 3000000;
    while (clock_monotonic_ns() < until)
        ;
}

static void send_body(struct test_stream *stream, size_t len)
{
    uint8_t *body = http2_stream_reserve(&stream->http2, len);
    if (body == NULL) {
        fixture.refused++;
        http2_stream_reset(&stream->http2, HTTP2_CANCEL);
        return;
    }
    memset(body, 'b', len);
    fixture_finish(stream);
}

static void give_body(struct test_stream *stream, size_t len)
{
    enum { SPARE = 100 };
    if (!http2_stream_hold(&stream->http2, len + SPARE)) {
        fixture.refused++;
        http2_stream_reset(&stream->http2, HTTP2_CANCEL);
        return;
    }
    uint8_t *body = malloc(len + SPARE);
    for (size_t i = 0; i != len; i++)
        body[i] = (uint8_t)i;
    http2_stream_give(&stream->http2, body, len, len + SPARE);
    fixture_finish(stream);
}

/* A note says what the first request with it said: the later ones must say the same. */
static void check_note(const struct http2_request *request)
{
    if (request->note == NULL)
        return;
    uint32_t *said = (uint32_t *)request->note->bytes, says = 2166136261; /* FNV-1a */
    for (const char *at = fixture.fields; *at != '\0'; at++)
        says = (says ^ (uint8_t)*at) * 16777619;
    for (size_t i = 0; i != request->path.len; i++)
        says = (says ^ (uint8_t)request->path.base[i]) * 16777619;
    if (*said == 0)
        *said = says;
    else
        fixture.notes++;
    assert_int_equal(*said, says);
}

static void on_request(struct http2_stream *http2, const struct http2_request *request)
{
    struct test_stream *stream = test_stream_of(http2);
    stream->to_send = 0;
    stream->echo = stream->hold = stream->ending = stream->slow = false;
    stream->undelivered = 0;
    fixture.requests++;
    fixture.too_large += request->fields_too_large;
    fixture.last = stream;
    note_fields(request);
    check_note(request);
    char path[64];
    snprintf(path, sizeof(path), "%.*s", (int)request->path.len, request->path.base);
    if (strcmp(path, "/hold") == 0) {
        stream->hold = true;
        return;
    }
    if (strncmp(path, "/keep/", 6) == 0) {
        stream->hold = true;
        if (!http2_stream_hold(http2, strtoul(path + 6, NULL, 10))) {
            fixture.refused++;
            http2_stream_reset(http2, HTTP2_CANCEL);
        }
        return;
    }
    http2_stream_send_headers(http2, 200, &type, 1, false);
    if (strncmp(path, "/body/", 6) == 0) {
        send_body(stream, strtoul(path + 6, NULL, 10));
    } else if (strncmp(path, "/give/", 6) == 0) {
        give_body(stream, strtoul(path + 6, NULL, 10));
    } else if (strncmp(path, "/work/", 6) == 0 || strncmp(path, "/spin/", 6) == 0) {
        if (path[1] == 's')
            spin();
        note_in_log(path[6]);
        http2_stream_work(http2, SIZE_MAX);
        fixture_finish(stream);
    } else if (strcmp(path, "/slow") == 0) {
        stream->slow = true;
    } else if (strncmp(path, "/flood/", 7) == 0) {
        stream->to_send = strtoul(path + 7, NULL, 10);
        flood_stream(stream);
    } else if (strcmp(path, "/early") == 0 || request->end_stream) {
        fixture_finish(stream);
    } else {
        stream->echo = true;
    }
}

static void on_data(struct http2_stream *http2, uint8_t *data, size_t len, bool end_stream)
{
    struct test_stream *stream = test_stream_of(http2);
    if (fixture.data_bytes < sizeof(fixture.data))
        memcpy(fixture.data + fixture.data_bytes, data,
               MIN(len, sizeof(fixture.data) - fixture.data_bytes));
    fixture.data_bytes += len;
    if (stream->hold)
        return;
    http2_stream_consume(http2, len);
    if (stream->slow) {
        stream->undelivered = len;
        http2_stream_stop(http2);
    }
    if (stream->echo && len != 0)
        memcpy(http2_stream_reserve(http2, len), data, len);
    if (stream->echo && end_stream)
        fixture_finish(stream);
}

static void on_trailers(struct http2_stream *http2, const h2o_header_t *fields, size_t num)
{
    (void)fields;
    fixture.trailers += (unsigned)num;
    fixture_finish(test_stream_of(http2));
}

static void on_writable(struct http2_stream *http2)
{
    struct test_stream *stream = test_stream_of(http2);
    if (stream->ending)
        fixture_finish(stream);
    else
        flood_stream(stream);
}

static void on_turn(struct http2_stream *http2)
{
    struct test_stream *stream = test_stream_of(http2);
    note_in_log('.');
    if (--stream->undelivered == 0) {
        fixture_finish(stream);
        return;
    }
    http2_stream_work(http2, SIZE_MAX);
    http2_stream_stop(http2);
}

static void on_close(struct http2_stream *http2, bool complete, uint32_t error)
{
    (void)http2;
    fixture.closes++;
    fixture.completes += complete;
    fixture.last_error = error;
}

static const struct http2_handler handler = {.stream_size = sizeof(struct test_stream),
                                             .on_request = on_request,
                                             .on_data = on_data,
                                             .on_trailers = on_trailers,
                                             .on_writable = on_writable,
                                             .on_turn = on_turn,
                                             .on_close = on_close};
static const struct http2_settings settings = {.max_concurrent_streams = 20,
                                               .max_header_list_size = 8192};

static int setup(const struct http2_settings *with)
{
    signal(SIGPIPE, SIG_IGN);
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = h2o_evloop_create();
    fixture.timers = peer_timers = timers_create(1);
    fixture.context = http2_context_create(fixture.loop, fixture.timers, &handler, with);
    return 0;
}

int fixture_setup(void **state)
{
    (void)state;
    return setup(&settings);
}

int fixture_setup_with_little_memory(void **state)
{
    struct http2_settings little = settings;
    (void)state;
    little.max_memory = 256 * 1024;
    little.max_concurrent_streams = 1000;
    return setup(&little);
}

int fixture_setup_with_keepalive(void **state)
{
    struct http2_settings with_keepalive = settings;
    (void)state;
    with_keepalive.keepalive_time = with_keepalive.keepalive_timeout = 60;
    with_keepalive.max_concurrent_streams = 1000;
    return setup(&with_keepalive);
}

int fixture_setup_with_many_streams(void **state)
{
    struct http2_settings with_many = settings;
    (void)state;
    with_many.max_concurrent_streams = FIXTURE_MANY_STREAMS;
    return setup(&with_many);
}

int fixture_teardown(void **state)
{
    (void)state;
    http2_context_destroy(fixture.context);
    timers_destroy(fixture.timers);
    peer_timers = NULL;
    assert_int_equal(fixture.requests, fixture.closes); /* each stream gets on_close exactly once */
    h2o_evloop_run(fixture.loop, 0);
    h2o_evloop_destroy(fixture.loop);
    return 0;
}
