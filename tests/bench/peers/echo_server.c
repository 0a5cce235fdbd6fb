/* SPDX-License-Identifier: MIT */
/*
 * The minimum that a server can do on this machine: wait in epoll, read a request of REQUEST bytes,
 * write REPLY bytes.
 * Usage: echo_server PORT REQUEST REPLY
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 65536 };
static size_t pending[1024]; /* bytes of the current request received so far, by descriptor */

static void accept_one(int epoll, int listener)
{
    int fd = accept(listener, NULL, NULL);
    if (fd < 0 || fd >= 1024)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    pending[fd] = 0;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){EPOLLIN, {.fd = fd}});
}

static void answer(int fd, size_t request, size_t reply)
{
    static uint8_t in[BUFFER], out[BUFFER];
    ssize_t n = read(fd, in, sizeof(in));
    if (n <= 0) {
        close(fd);
        return;
    }
    for (pending[fd] += (size_t)n; pending[fd] >= request; pending[fd] -= request)
        if (write(fd, out, reply) != (ssize_t)reply)
            close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    size_t request = strtoul(argv[2], NULL, 10), reply = strtoul(argv[3], NULL, 10);
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)atoi(argv[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (request == 0 || reply > BUFFER || epoll < 0 ||
        bind(listener, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(listener, 16) != 0) {
        perror("echo_server");
        return 1;
    }
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){EPOLLIN, {.fd = listener}});
    puts("ready");
    fflush(stdout);
    while (getppid() != 1) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, 1000);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_one(epoll, listener);
            else
                answer(events[i].data.fd, request, reply);
        }
    }
    return 0;
}
