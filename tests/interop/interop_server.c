/* SPDX-License-Identifier: MIT */
/*
 * A server of grpc.testing.TestService, for the interop clients of other gRPC libraries.
 * Usage: interop-server --port N. It prints the port that it listens on (0: any).
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/container_of.h"
#include "grpc/grpc.h"
#include "tests/interop/testing.pb-c.h"

static const uint8_t descriptor_set[] = {
#include "tests/interop/testing_set.h"
};

enum { SIZE_MAX_SENT = 64 << 20 };

typedef Grpc__Testing__ResponseParameters Parameters;

/* ---- for all calls ---- */

static void echo_metadata(struct grpc_call *call)
{
    static const char initial[] = "x-grpc-test-echo-initial",
                      trailing[] = "x-grpc-test-echo-trailing-bin";
    h2o_iovec_t value = grpc_call_metadata(call, initial);
    if (value.base != NULL)
        grpc_call_add_initial_metadata(call, initial, value.base, value.len);
    value = grpc_call_metadata(call, trailing);
    if (value.base != NULL)
        grpc_call_add_trailing_metadata(call, trailing, value.base, value.len);
}

/* Ends the call with the status that the client asked for. @return false: it asked for none */
static bool ends_as_told(struct grpc_call *call, const Grpc__Testing__EchoStatus *status)
{
    if (status == NULL || status->code == 0)
        return false;
    grpc_call_finishf(call, (enum grpc_status)status->code, "%.*s", (int)status->message.len,
                      (const char *)status->message.data);
    return true;
}

/* @return false: the call is finished */
static bool as_expected(struct grpc_call *call, const Grpc__Testing__BoolValue *compressed)
{
    if (compressed == NULL || !compressed->value || grpc_call_was_compressed(call))
        return true;
    grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "the message should have been compressed");
    return false;
}

/* Allocates zeros. @return NULL: too many; the call is finished */
static uint8_t *make_body(struct grpc_call *call, int32_t size)
{
    uint8_t *body = size < 0 || size > SIZE_MAX_SENT ? NULL : calloc((size_t)size + 1, 1);
    if (body == NULL)
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "no payload of that size");
    return body;
}

/* ---- unary ---- */

static void empty_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    Grpc__Testing__Empty empty = GRPC__TESTING__EMPTY__INIT;
    (void)message;
    grpc_call_send(call, &empty.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void unary_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const Grpc__Testing__SimpleRequest *request = (Grpc__Testing__SimpleRequest *)message;
    Grpc__Testing__SimpleResponse response = GRPC__TESTING__SIMPLE_RESPONSE__INIT;
    Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
    if (!as_expected(call, request->expect_compressed) ||
        ends_as_told(call, request->response_status))
        return;
    uint8_t *body = make_body(call, request->response_size);
    if (body == NULL)
        return;
    payload.body = (ProtobufCBinaryData){.len = (size_t)request->response_size, .data = body};
    response.payload = &payload;
    grpc_call_compress(call,
                       request->response_compressed != NULL && request->response_compressed->value);
    grpc_call_send(call, &response.base);
    grpc_call_finish(call, GRPC_OK, NULL);
    free(body);
}

/* ---- a stream of requests ---- */

struct input {
    int64_t total;
};

static void input_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const Grpc__Testing__StreamingInputCallRequest *request =
        (Grpc__Testing__StreamingInputCallRequest *)message;
    if (as_expected(call, request->expect_compressed) && request->payload != NULL)
        ((struct input *)grpc_call_state(call))->total += (int64_t)request->payload->body.len;
}

static void input_on_half_close(struct grpc_call *call)
{
    Grpc__Testing__StreamingInputCallResponse response =
        GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
    response.aggregated_payload_size = (int32_t)((struct input *)grpc_call_state(call))->total;
    grpc_call_send(call, &response.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- streams of replies ---- */

struct reply {
    int32_t size, interval_us;
    bool compressed;
};

struct output {
    struct timer timer; /* armed for the next reply's interval */
    struct grpc_call *call;
    struct reply *replies; /* those from `next` on are still to be sent */
    size_t next, count, cap;
    bool rested; /* the interval before the next reply has passed */
    bool half_closed;
};

static void send_reply(struct grpc_call *call, const struct reply *reply)
{
    Grpc__Testing__StreamingOutputCallResponse response =
        GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
    Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
    uint8_t *body = make_body(call, reply->size);
    if (body == NULL)
        return;
    payload.body = (ProtobufCBinaryData){.len = (size_t)reply->size, .data = body};
    response.payload = &payload;
    grpc_call_compress(call, reply->compressed);
    grpc_call_send(call, &response.base);
    free(body);
}

static void pump(struct grpc_call *call)
{
    struct output *output = grpc_call_state(call);
    struct grpc_server *server = grpc_call_server(call);
    while (output->next < output->count) {
        const struct reply *reply = &output->replies[output->next];
        if (!grpc_call_writable(call)) {
            grpc_call_want_write(call);
            return;
        }
        if (reply->interval_us > 0 && !output->rested) {
            timer_arm(grpc_server_timers(server), &output->timer,
                      grpc_server_now_ms(server) + ((uint64_t)reply->interval_us + 999) / 1000);
            return;
        }
        output->rested = false;
        output->next++;
        send_reply(call, reply);
    }
    if (output->half_closed)
        grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_rested(struct timer *timer)
{
    struct output *output = container_of(timer, struct output, timer);
    output->rested = true;
    pump(output->call);
}

static void output_on_open(struct grpc_call *call)
{
    struct output *output = grpc_call_state(call);
    output->call = call;
    output->timer.expired = on_rested;
    echo_metadata(call);
}

static bool add_reply(struct output *output, const Parameters *parameters)
{
    if (output->count == output->cap) {
        size_t cap = output->cap == 0 ? 8 : 2 * output->cap;
        struct reply *grown = realloc(output->replies, cap * sizeof(*grown));
        if (grown == NULL)
            return false;
        output->replies = grown;
        output->cap = cap;
    }
    output->replies[output->count++] = (struct reply){
        .size = parameters->size,
        .interval_us = parameters->interval_us,
        .compressed = parameters->compressed != NULL && parameters->compressed->value};
    return true;
}

static void output_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const Grpc__Testing__StreamingOutputCallRequest *request =
        (Grpc__Testing__StreamingOutputCallRequest *)message;
    if (ends_as_told(call, request->response_status))
        return;
    for (size_t i = 0; i < request->n_response_parameters; i++) {
        if (!add_reply(grpc_call_state(call), request->response_parameters[i])) {
            grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
            return;
        }
    }
    pump(call);
}

static void output_on_half_close(struct grpc_call *call)
{
    ((struct output *)grpc_call_state(call))->half_closed = true;
    pump(call);
}

static void output_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct output *output = grpc_call_state(call);
    (void)status;
    timer_disarm(grpc_server_timers(grpc_call_server(call)), &output->timer);
    free(output->replies);
}

/* ---- the service ---- */

static const struct grpc_method methods[] = {
    {.name = "EmptyCall",
     .request = &grpc__testing__empty__descriptor,
     .response = &grpc__testing__empty__descriptor,
     .on_open = echo_metadata,
     .on_message = empty_on_message},
    {.name = "UnaryCall",
     .request = &grpc__testing__simple_request__descriptor,
     .response = &grpc__testing__simple_response__descriptor,
     .on_open = echo_metadata,
     .on_message = unary_on_message},
    {.name = "StreamingOutputCall",
     .request = &grpc__testing__streaming_output_call_request__descriptor,
     .response = &grpc__testing__streaming_output_call_response__descriptor,
     .state_size = sizeof(struct output),
     .on_open = output_on_open,
     .on_message = output_on_message,
     .on_half_close = output_on_half_close,
     .on_writable = pump,
     .on_end = output_on_end},
    {.name = "StreamingInputCall",
     .request = &grpc__testing__streaming_input_call_request__descriptor,
     .response = &grpc__testing__streaming_input_call_response__descriptor,
     .state_size = sizeof(struct input),
     .on_open = echo_metadata,
     .on_message = input_on_message,
     .on_half_close = input_on_half_close},
    {.name = "FullDuplexCall",
     .request = &grpc__testing__streaming_output_call_request__descriptor,
     .response = &grpc__testing__streaming_output_call_response__descriptor,
     .state_size = sizeof(struct output),
     .on_open = output_on_open,
     .on_message = output_on_message,
     .on_half_close = output_on_half_close,
     .on_writable = pump,
     .on_end = output_on_end},
};
static const struct grpc_service service = {.name = "grpc.testing.TestService",
                                            .methods = methods,
                                            .num_methods = sizeof(methods) / sizeof(methods[0])};

static void on_accept(h2o_socket_t *listener, const char *err)
{
    h2o_socket_t *sock;
    if (err == NULL && (sock = h2o_evloop_socket_accept(listener)) != NULL)
        http2_accept(grpc_server_http2(listener->data), sock);
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        perror("interop-server");
        exit(1);
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 3 || strcmp(argv[1], "--port") != 0) {
        fputs("usage: interop-server --port N\n", stderr);
        return 2;
    }
    static const struct grpc_config config = {
        .max_message_size = 16 << 20,
        .compression = GRPC_COMPRESS_GZIP | GRPC_COMPRESS_DEFLATE,
        .http2 = {.max_concurrent_streams = 100, .max_header_list_size = 16384}};
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* end with the program that started this one */
    h2o_loop_t *loop = h2o_evloop_create();
    struct grpc_server *server = grpc_server_create(loop, &config);
    struct fault fault = {.text = "out of memory"};
    if (server == NULL || !grpc_server_add_service(server, &service, descriptor_set,
                                                   sizeof(descriptor_set), NULL, &fault)) {
        fprintf(stderr, "interop-server: %s\n", fault.text);
        return 1;
    }
    h2o_socket_t *listener =
        h2o_evloop_socket_create(loop, listen_on(atoi(argv[2])), H2O_SOCKET_FLAG_DONT_READ);
    listener->data = server;
    h2o_socket_read_start(listener, on_accept);
    for (;;)
        grpc_server_run_once(server, -1);
}
