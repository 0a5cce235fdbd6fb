/* SPDX-License-Identifier: MIT */
#include "server/master/successor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "server/master/handover.h"
#include "server/os/log.h"

static char program[PATH_MAX]; /* this program's file; process-wide, like its path in /proc */

void successor_remember_program(void)
{
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
    program[len > 0 ? len : 0] = '\0';
}

/* The descriptors that are handed over, in the order of their numbers in the successor: sockets,
 * the segment, the channel, the data file's lock if there is one. */
struct cargo {
    int fds[2 * LISTEN_MAX + 3];
    int sockets, count; /* of fds: how many are sockets; how many there are */
    /* of the sockets, for LISTEN_FDNAMES: "grpc.own:metrics" */
    char names[2 * LISTEN_MAX * (sizeof(((struct listener *)0)->name) + 1)];
};

/* @param own the name for sockets that this program has bound, by which the successor knows that it
 *   may remove their socket files; others keep the name that they were handed over with */
static void load_sockets(struct cargo *cargo, const struct listeners *listeners, const char *own)
{
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener *listener = &listeners->all[i];
        const char *name = listener->foreign ? listener->name : own;
        size_t len = strlen(cargo->names);
        snprintf(cargo->names + len, sizeof(cargo->names) - len, "%s%s",
                 cargo->sockets++ != 0 ? ":" : "", name);
        cargo->fds[cargo->count++] = listener->fd;
    }
}

/* In the child: gives every descriptor its number. First all are duplicated above these numbers, so
 * that none is overwritten before it is placed. */
static bool place_descriptors(struct cargo *cargo)
{
    int above = SD_LISTEN_FDS_START + cargo->count;
    for (int i = 0; i < cargo->count; i++) {
        cargo->fds[i] = fcntl(cargo->fds[i], F_DUPFD_CLOEXEC, above);
        if (cargo->fds[i] < 0)
            return false;
    }
    for (int i = 0; i < cargo->count; i++)
        if (dup2(cargo->fds[i], SD_LISTEN_FDS_START + i) < 0)
            return false;
    return true;
}

static void setenv_number(const char *name, int number)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", number);
    setenv(name, text, 1);
}

static void set_environment(const struct cargo *cargo)
{
    char text[48];
    int after = SD_LISTEN_FDS_START + cargo->sockets;
    bool data = cargo->count == cargo->sockets + 3;
    snprintf(text, sizeof(text), "%d %d %d", after, after + 1, data ? after + 2 : -1);
    setenv(HANDOVER_VARIABLE, text, 1);
    setenv_number("LISTEN_PID", (int)getpid());
    setenv_number("LISTEN_FDS", cargo->sockets);
    setenv("LISTEN_FDNAMES", cargo->names, 1);
    if (getenv("WATCHDOG_PID") != NULL)
        setenv_number("WATCHDOG_PID", (int)getpid());
    unsetenv("SHM_STARTS"); /* counts this program's shm_exec_again() */
}

/* In the child. @return only on failure, with an errno */
static int exec_program(struct cargo *cargo, char *const *argv)
{
    sigset_t none;
    sigemptyset(&none);
    if (!place_descriptors(cargo))
        return errno;
    set_environment(cargo);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(program, argv);
    return errno;
}

bool successor_start(struct successor *successor, char *const *argv, const struct listeners *grpc,
                     const struct listeners *web, int segment_fd, int data_fd,
                     struct fault *fault)
{
    static struct cargo cargo; /* too large for the stack */
    memset(&cargo, 0, sizeof(cargo));
    load_sockets(&cargo, grpc, "grpc.own");
    load_sockets(&cargo, web, "metrics.own");
    int channel[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
        return fault_set_errno(fault, "socketpair");
    cargo.fds[cargo.count++] = segment_fd;
    cargo.fds[cargo.count++] = channel[1];
    if (data_fd >= 0)
        cargo.fds[cargo.count++] = data_fd;
    pid_t pid = fork();
    if (pid == 0) {
        int error = exec_program(&cargo, argv);
        log_error("upgrade: %s: %s", program, strerror(error));
        _exit(127);
    }
    if (pid < 0)
        fault_set_errno(fault, "fork");
    close(channel[1]);
    if (pid < 0) {
        close(channel[0]);
        return false;
    }
    *successor = (struct successor){.pid = pid, .channel = channel[0]};
    return true;
}

enum successor_message successor_read(const struct successor *successor)
{
    char message;
    ssize_t got = recv(successor->channel, &message, 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return SUCCESSOR_SAYS_NOTHING;
    return got == 1 && message == HANDOVER_READY ? SUCCESSOR_READY : SUCCESSOR_CLOSED;
}

void successor_confirm(const struct successor *successor)
{
    static const char message = HANDOVER_GO_ON;
    (void)send(successor->channel, &message, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void successor_forget(struct successor *successor)
{
    if (successor->pid != 0 && successor->channel >= 0)
        close(successor->channel);
    successor->pid = 0;
}
