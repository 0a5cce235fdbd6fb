/* SPDX-License-Identifier: MIT */
#include "server/master/control.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/os/log.h"

enum { RELOAD_WAIT_MS = 120000 };
static const char done_mark = '+', failed_mark = '-'; /* the first byte of an answer */

/* A pid is unique only within its namespace, so the namespace is part of the address, too. */
static socklen_t control_address(struct sockaddr_un *address, pid_t pid)
{
    struct stat st;
    unsigned long long inode = stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "rosterd/%llu/%d",
                       inode, (int)pid);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

static bool peer_of(int fd, struct ucred *peer)
{
    socklen_t len = sizeof(*peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &len) == 0;
}

/* ---- for the master ---- */

void control_open(struct control *control)
{
    struct sockaddr_un address;
    socklen_t len = control_address(&address, getpid());
    *control = (struct control){
        .listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (control->listener >= 0 &&
        bind(control->listener, (const struct sockaddr *)&address, len) == 0 &&
        listen(control->listener, CONTROL_WAITERS) == 0)
        return;
    log_warning("rosterd --reload cannot reach this server, but HUP works: %s", strerror(errno));
    if (control->listener >= 0)
        close(control->listener);
    control->listener = -1;
}

void control_close(struct control *control)
{
    for (size_t i = 0; i < control->count; i++)
        close(control->waiters[i].fd);
    if (control->listener >= 0)
        close(control->listener);
    control->count = 0;
    control->listener = -1;
}

size_t control_poll_set(const struct control *control, struct pollfd *fds)
{
    size_t count = 0;
    if (control->listener < 0)
        return 0;
    if (control->count < CONTROL_WAITERS)
        fds[count++] = (struct pollfd){.fd = control->listener, .events = POLLIN};
    for (size_t i = 0; i < control->count; i++)
        fds[count++] = (struct pollfd){.fd = control->waiters[i].fd, .events = POLLIN};
    return count;
}

static void forget_waiter(struct control *control, size_t i)
{
    assert(i < control->count);
    close(control->waiters[i].fd);
    control->waiters[i] = control->waiters[--control->count];
}

void control_accept(struct control *control)
{
    char byte;
    for (size_t i = control->count; i-- > 0;)
        if (recv(control->waiters[i].fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            forget_waiter(control, i); /* a command sends nothing, so it has left */
    while (control->listener >= 0 && control->count < CONTROL_WAITERS) {
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct ucred peer;
        if (!peer_of(fd, &peer) || (peer.uid != 0 && peer.uid != geteuid())) {
            close(fd);
            continue;
        }
        control->waiters[control->count++] = (struct control_waiter){.fd = fd};
    }
}

void control_begin(struct control *control)
{
    control_accept(control); /* a command connects before it sends the signal */
    for (size_t i = 0; i < control->count; i++)
        control->waiters[i].due = true;
}

void control_end(struct control *control, bool done, const char *text)
{
    char answer[CONTROL_TEXT];
    int len = snprintf(answer, sizeof(answer), "%c%s", done ? done_mark : failed_mark, text);
    size_t size = len < (int)sizeof(answer) ? (size_t)len : sizeof(answer) - 1;
    for (size_t i = control->count; i-- > 0;) {
        if (!control->waiters[i].due)
            continue;
        (void)send(control->waiters[i].fd, answer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        forget_waiter(control, i);
    }
}

/* ---- for the command ---- */

static bool fail_request(struct fault *fault, pid_t pid, const char *what)
{
    return fault_set(fault, "reload: process %d: %s", (int)pid, what);
}

static bool request_reload(int fd, pid_t pid, char text[CONTROL_TEXT], struct fault *fault)
{
    struct sockaddr_un address;
    socklen_t address_len = control_address(&address, pid);
    if (connect(fd, (const struct sockaddr *)&address, address_len) != 0)
        return fail_request(
            fault, pid, errno == ECONNREFUSED ? "it is not a running rosterd" : strerror(errno));
    struct ucred peer;
    if (!peer_of(fd, &peer) || peer.pid != pid)
        return fail_request(fault, pid, "another process listens at its address");
    if (kill(pid, SIGHUP) != 0)
        return fail_request(fault, pid, strerror(errno));
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    if (poll(&answer, 1, RELOAD_WAIT_MS) != 1)
        return fail_request(fault, pid, "no answer within two minutes");
    char line[CONTROL_TEXT];
    ssize_t len = recv(fd, line, sizeof(line) - 1, 0);
    if (len <= 0)
        return fail_request(fault, pid, "it ended before it answered");
    line[len] = '\0';
    if (line[0] != done_mark)
        return fault_set(fault, "%s", line + 1);
    snprintf(text, CONTROL_TEXT, "%s", line + 1);
    return true;
}

bool control_reload(pid_t pid, char text[CONTROL_TEXT], struct fault *fault)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_request(fault, pid, strerror(errno));
    bool done = request_reload(fd, pid, text, fault);
    close(fd);
    return done;
}
