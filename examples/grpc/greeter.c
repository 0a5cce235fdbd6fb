/* SPDX-License-Identifier: MIT */
/*
 * A gRPC server of your own on rosterd's runtime, in one process: a unary call and a stream.
 *   greeter PORT     listens on 127.0.0.1; 0: any port. Prints the port
 * examples/grpc/Makefile builds it.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "grpc/grpc.h"

#include "greeter.pb-c.h"

/* The FileDescriptorSet of greeter.proto, as protoc writes it. */
static const uint8_t greeter_set[] = {
#include "greeter_set.h"
};

static void greeter_send(struct grpc_call *call, const char *text)
{
    Example__Greeting greeting = EXAMPLE__GREETING__INIT;
    greeting.text = (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
    grpc_call_send(call, &greeting.base);
}

/* ---- Greet: one request, one reply ---- */

static void greet_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const Example__GreetRequest *request = (Example__GreetRequest *)message;
    if (request->name.len == 0) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "name is empty");
        return;
    }
    char text[128];
    snprintf(text, sizeof(text), "Hello, %.*s!",
             (int)(request->name.len < 100 ? request->name.len : 100),
             (const char *)request->name.data);
    greeter_send(call, text);
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- CountDown: one request, a stream of replies ---- */

struct count_down {
    uint32_t left;
};

/* Sends while the client reads. Called again by the runtime when it reads on. */
static void count_down_send(struct grpc_call *call)
{
    struct count_down *state = grpc_call_state(call);
    for (; state->left > 0; state->left--) {
        if (!grpc_call_writable(call)) {
            grpc_call_want_write(call);
            return;
        }
        char text[16];
        snprintf(text, sizeof(text), "%u", state->left);
        greeter_send(call, text);
    }
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void count_down_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct count_down *state = grpc_call_state(call);
    state->left = ((Example__CountDownRequest *)message)->from;
    count_down_send(call);
}

static const struct grpc_method greeter_methods[] = {
    {.name = "Greet",
     .request = &example__greet_request__descriptor,
     .response = &example__greeting__descriptor,
     .on_message = greet_on_message},
    {.name = "CountDown",
     .request = &example__count_down_request__descriptor,
     .response = &example__greeting__descriptor,
     .state_size = sizeof(struct count_down),
     .on_message = count_down_on_message,
     .on_writable = count_down_send},
};
static const struct grpc_service greeter_service = {
    .name = "example.Greeter", .methods = greeter_methods, .num_methods = 2};

/* ---- the server ---- */

static void greeter_on_connection(h2o_socket_t *listener, const char *err)
{
    h2o_socket_t *sock = err == NULL ? h2o_evloop_socket_accept(listener) : NULL;
    if (sock != NULL)
        http2_accept(grpc_server_http2(listener->data), sock);
}

/* @return a listening socket; its port is printed */
static int greeter_listen(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        perror("greeter");
        exit(1);
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: greeter PORT\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    static const struct grpc_config config = {
        .max_message_size = 1 << 20,
        .http2 = {.max_concurrent_streams = 100, .max_header_list_size = 16384}};
    h2o_loop_t *loop = h2o_evloop_create();
    struct grpc_server *server = grpc_server_create(loop, &config);
    if (server == NULL) {
        fputs("greeter: out of memory\n", stderr);
        return 1;
    }
    struct fault fault;
    if (!grpc_server_add_service(server, &greeter_service, greeter_set, sizeof(greeter_set), NULL,
                                 &fault)) {
        fprintf(stderr, "greeter: %s\n", fault.text);
        return 1;
    }
    h2o_socket_t *listener =
        h2o_evloop_socket_create(loop, greeter_listen(atoi(argv[1])), H2O_SOCKET_FLAG_DONT_READ);
    listener->data = server;
    h2o_socket_read_start(listener, greeter_on_connection);
    for (;;)
        grpc_server_run_once(server, -1);
}
