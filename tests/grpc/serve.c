/* SPDX-License-Identifier: MIT */
#include "serve.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct serve serve;

static const uint8_t set_bytes[] = {
#include "tests/grpc/test_service_set.h"
};

struct state {
    int64_t left;
    size_t size;
    int32_t received;
    bool opened;
};

static void note(const char *word)
{
    size_t len = strlen(serve.log);
    if (len + strlen(word) + 2 < sizeof(serve.log))
        sprintf(serve.log + len, "%s%s", len != 0 ? " " : "", word);
}

static void on_open(struct grpc_call *call)
{
    struct state *state = grpc_call_state(call);
    assert_int_equal(state->left, 0);
    assert_false(state->opened); /* zeroed, although its memory was another call's */
    memset(state, 0xff, sizeof(*state));
    state->received = 0;
    state->opened = true;
    serve.opens++;
    serve.call = call;
    if (serve.open_pauses)
        grpc_call_pause(call);
    if (serve.open_resumes)
        grpc_call_resume(call);
    if (serve.open_fails != GRPC_OK)
        grpc_call_finish(call, serve.open_fails, "not today");
    note("open"); /* last, because callbacks that follow must be noted after it */
}

static bool is(const Grpctest__Item *item, const char *word)
{
    return item->name.len >= strlen(word) && memcmp(item->name.data, word, strlen(word)) == 0;
}

static void reply_metadata(struct grpc_call *call)
{
    ProtobufCBinaryData tags[32];
    Grpctest__Item reply = GRPCTEST__ITEM__INIT;
    h2o_iovec_t name, value;
    reply.tags = tags;
    for (size_t i = 0; grpc_call_metadata_at(call, i, &name, &value); i++) {
        size_t len = name.len + 1 + value.len;
        uint8_t *tag = grpc_arena_alloc(grpc_call_arena(call), len + 1);
        sprintf((char *)tag, "%.*s=", (int)name.len, name.base);
        memcpy(tag + name.len + 1, value.base, value.len);
        tags[reply.n_tags++] = (ProtobufCBinaryData){.data = tag, .len = len};
    }
    reply.raw.data = (uint8_t *)(uintptr_t)grpc_call_peer(call);
    reply.raw.len = strlen(grpc_call_peer(call));
    grpc_call_send(call, &reply.base);
}

static void add_metadata(struct grpc_call *call)
{
    assert_true(grpc_call_add_initial_metadata(call, "first", "1", 1));
    assert_true(grpc_call_add_initial_metadata(call, "first-bin", "\0\xff", 2));
    assert_true(grpc_call_add_trailing_metadata(call, "last", "", 0));
    assert_true(grpc_call_add_trailing_metadata(call, "last-bin", "\1", 1));
    assert_true(grpc_call_add_trailing_metadata(call, "last", "2", 1));
    assert_false(grpc_call_add_trailing_metadata(call, "grpc-status", "0", 1));
    assert_false(grpc_call_add_trailing_metadata(call, "content-type", "x", 1));
    assert_false(grpc_call_add_trailing_metadata(call, "Upper", "x", 1));
    assert_false(grpc_call_add_trailing_metadata(call, "", "x", 1));
    assert_false(grpc_call_add_trailing_metadata(call, ":status", "x", 1));
    assert_false(grpc_call_add_trailing_metadata(call, "text", "a\nb", 3));
    assert_false(grpc_call_add_trailing_metadata(call, "text", " a", 2));
}

/* Gives the runtime a reply whose `raw` has this many bytes, 'g'. */
static bool give(struct grpc_call *call, size_t size)
{
    Grpctest__Item reply = GRPCTEST__ITEM__INIT;
    reply.raw = (ProtobufCBinaryData){.len = size, .data = malloc(size)};
    memset(reply.raw.data, 'g', size);
    size_t len = grpctest__item__get_packed_size(&reply), cap = GRPC_GIVE_HEAD + len + 50;
    uint8_t *bytes = malloc(cap);
    grpctest__item__pack(&reply, bytes + GRPC_GIVE_HEAD);
    free(reply.raw.data);
    assert_true(grpc_call_hold(call, cap));
    return grpc_call_give(call, bytes, len, cap);
}

static bool call_is_unary(const struct grpc_call *call)
{
    return strcmp(grpc_call_method(call)->name, "Unary") == 0;
}

/** @return false: the name is not a command */
static bool obey(struct grpc_call *call, Grpctest__Item *item)
{
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)item->name.len, (char *)item->name.data);
    if (is(item, "fail ")) {
        char *text;
        enum grpc_status status = (enum grpc_status)strtoul(name + 5, &text, 10);
        grpc_call_finish(call, status, *text != '\0' ? text + 1 : NULL);
    } else if (is(item, "silent")) {
        grpc_call_finish(call, GRPC_OK, NULL);
    } else if (is(item, "twice")) {
        grpc_call_send(call, &item->base);
        grpc_call_send(call, &item->base);
        grpc_call_finish(call, GRPC_OK, NULL);
    } else if (is(item, "big ")) {
        size_t len = strtoul(name + 4, NULL, 10);
        Grpctest__Item reply = GRPCTEST__ITEM__INIT;
        reply.raw = (ProtobufCBinaryData){.len = len, .data = calloc(1, len)};
        grpc_call_send(call, &reply.base);
        free(reply.raw.data);
        grpc_call_finish(call, GRPC_OK, NULL);
    } else if (is(item, "given ")) {
        assert_true(give(call, strtoul(name + 6, NULL, 10)));
        grpc_call_finish(call, GRPC_OK, NULL);
    } else if (is(item, "metadata")) {
        reply_metadata(call);
        grpc_call_finish(call, GRPC_OK, NULL);
    } else {
        return is(item, "hang");
    }
    /* After the end, anything that a method does must be harmless. */
    grpc_call_send(call, &item->base);
    assert_false(call_is_unary(call) && give(call, 100));
    grpc_call_finish(call, GRPC_ABORTED, "a second end");
    grpc_call_want_write(call);
    grpc_call_pause(call);
    grpc_call_resume(call);
    assert_false(grpc_call_writable(call));
    return true;
}

static void on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    note("message");
    if (obey(call, (Grpctest__Item *)message))
        return;
    if (is((Grpctest__Item *)message, "addfail")) {
        assert_true(grpc_call_add_initial_metadata(call, "first", "1", 1));
        grpc_call_finish(call, GRPC_NOT_FOUND, NULL);
        return;
    }
    if (is((Grpctest__Item *)message, "wake") && serve.waiting != NULL)
        grpc_call_resume(serve.waiting);
    if (is((Grpctest__Item *)message, "add")) {
        add_metadata(call);
        grpc_call_send(call, message);
        assert_false(grpc_call_add_initial_metadata(call, "late", "1", 1));
    } else {
        grpc_call_send(call, message);
    }
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_secret(struct grpc_call *call, ProtobufCMessage *message)
{
    serve.secret_in_place = ((Grpctest__Item *)message)->name.data;
    if (serve.at_secret != NULL)
        serve.at_secret(serve.secret_in_place);
    Grpctest__Item reply = GRPCTEST__ITEM__INIT;
    note("message");
    grpc_call_send(call, &reply.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void collect_message(struct grpc_call *call, ProtobufCMessage *message)
{
    note("message");
    if (!obey(call, (Grpctest__Item *)message))
        ((struct state *)grpc_call_state(call))->received++;
}

static void collect_half_close(struct grpc_call *call)
{
    Grpctest__Item reply = GRPCTEST__ITEM__INIT;
    note("half");
    reply.number = ((struct state *)grpc_call_state(call))->received;
    grpc_call_send(call, &reply.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void produce(struct grpc_call *call)
{
    struct state *state = grpc_call_state(call);
    while (state->left != 0 && grpc_call_writable(call)) {
        uint8_t *to = grpc_call_reserve(call, state->size + 4);
        if (to == NULL)
            return;
        to[0] = 3 << 3 | 2; /* raw */
        to[1] = (uint8_t)(0x80 | (state->size & 0x7f));
        to[2] = (uint8_t)(0x80 | (state->size >> 7 & 0x7f));
        to[3] = (uint8_t)(state->size >> 14);
        memset(to + 4, 'p', state->size);
        grpc_call_commit(call);
        state->left--;
        serve.produced++;
    }
    if (state->left == 0)
        grpc_call_finish(call, GRPC_OK, NULL);
    else
        grpc_call_want_write(call);
}

static void produce_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct state *state = grpc_call_state(call);
    Grpctest__Item *item = (Grpctest__Item *)message;
    note("message");
    if (obey(call, item))
        return;
    state->left = item->number;
    state->size = item->raw.len;
    produce(call);
}

static void talk_message(struct grpc_call *call, ProtobufCMessage *message)
{
    note("message");
    if (obey(call, (Grpctest__Item *)message))
        return;
    if (is((Grpctest__Item *)message, "pause")) {
        serve.waiting = call;
        grpc_call_pause(call);
    }
    grpc_call_send(call, message);
}

static void talk_half_close(struct grpc_call *call)
{
    note("half");
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_end(struct grpc_call *call, enum grpc_status status)
{
    assert_true(((struct state *)grpc_call_state(call))->opened);
    serve.ends++;
    serve.status = status;
    if (serve.waiting == call)
        serve.waiting = NULL;
    note("end");
    /* These have no effect any more. */
    grpc_call_finish(call, GRPC_OK, NULL);
    (void)grpc_call_reserve(call, 10);
    grpc_call_pause(call);
    grpc_call_resume(call);
}

#define ITEM                                                                                       \
    .request = &grpctest__item__descriptor, .response = &grpctest__item__descriptor,               \
    .state_size = sizeof(struct state), .on_open = on_open, .on_end = on_end
static const struct grpc_method methods[] = {
    {.name = "Unary", ITEM, .on_message = on_message},
    {.name = "Secret", ITEM, .on_message = on_secret, .flags = GRPC_METHOD_SECRET},
    {.name = "Collect", ITEM, .on_message = collect_message, .on_half_close = collect_half_close},
    {.name = "Produce", ITEM, .on_message = produce_message, .on_writable = produce},
    {.name = "Talk", ITEM, .on_message = talk_message, .on_half_close = talk_half_close},
};
static const struct grpc_service service = {"grpctest.Test", methods, 5};

static enum grpc_status first_start(struct grpc_call *call, void *data, const char **message)
{
    assert_ptr_equal(data, &serve);
    serve.starts++;
    if (serve.at_start != NULL)
        serve.at_start(call);
    note("[");
    *message = "the chain says no";
    return serve.refuse;
}

static void first_end(struct grpc_call *call, void *data, enum grpc_status status)
{
    (void)data;
    assert_non_null(grpc_call_peer(call));
    serve.step_ends++;
    serve.status = status;
    note("]");
}

static enum grpc_status second_start(struct grpc_call *call, void *data, const char **message)
{
    (void)data;
    (void)message;
    assert_true(grpc_call_method_index(call) < grpc_server_method_count(serve.server));
    note("<");
    return GRPC_OK;
}

static void second_end(struct grpc_call *call, void *data, enum grpc_status status)
{
    (void)call;
    (void)data;
    (void)status;
    note(">");
}

static const struct grpc_interceptor first = {first_start, first_end, &serve};
static const struct grpc_interceptor second = {second_start, second_end, NULL};

static int setup(uint64_t message_timeout, size_t max_memory, unsigned compression)
{
    const struct grpc_config config = {.max_message_size = 1024 * 1024,
                                       .message_timeout = message_timeout,
                                       .compression = compression,
                                       .http2 = {.max_concurrent_streams = 100,
                                                 .max_header_list_size = 8192,
                                                 .max_memory = max_memory}};
    signal(SIGPIPE, SIG_IGN);
    memset(&serve, 0, sizeof(serve));
    serve.loop = h2o_evloop_create();
    serve.server = grpc_server_create(serve.loop, &config);
    if (serve.server == NULL ||
        !grpc_server_add_service(serve.server, &service, set_bytes, sizeof(set_bytes), NULL, NULL))
        return -1;
    grpc_server_add_interceptor(serve.server, &first);
    grpc_server_add_interceptor(serve.server, &second);
    serve.peer = peer_connect(grpc_server_http2(serve.server), true);
    return 0;
}

int serve_setup(void **state)
{
    (void)state;
    return setup(0, 0, 0);
}

int serve_setup_impatient(void **state)
{
    (void)state;
    return setup(SERVE_MESSAGE_TIMEOUT, 0, 0);
}

int serve_setup_with_little_memory(void **state)
{
    (void)state;
    return setup(0, 512 * 1024, 0);
}

int serve_setup_compressing(void **state)
{
    (void)state;
    return setup(0, 0, GRPC_COMPRESS_GZIP);
}

int serve_teardown(void **state)
{
    (void)state;
    peer_close(serve.peer);
    serve_for(1);
    assert_int_equal(grpc_server_calls(serve.server), 0);
    grpc_server_destroy(serve.server);
    h2o_evloop_run(serve.loop, 0);
    h2o_evloop_destroy(serve.loop);
    assert_int_equal(serve.opens, serve.ends); /* on_end came exactly once for each */
    assert_int_equal(serve.starts, serve.step_ends);
    return 0;
}

void serve_for(unsigned ms)
{
    uint64_t end = h2o_now(serve.loop) + ms;
    do
        grpc_server_run_once(serve.server, 5);
    while (h2o_now(serve.loop) < end);
}
