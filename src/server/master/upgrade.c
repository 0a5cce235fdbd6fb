/* SPDX-License-Identifier: MIT */
#include "server/master/upgrade.h"

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

#include "server/master/inherit.h"
#include "server/os/log.h"

static const char variable[] = "ROSTERD_UPGRADE"; /* "SEGMENT CHANNEL", descriptors */
static const char ready = 'R', go_on = 'G';
static char program[PATH_MAX];

void upgrade_open(void)
{
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
    program[len > 0 ? len : 0] = '\0';
}

/* ---- the old one's side ---- */

/* Everything that goes over, in the order of its numbers there: sockets, segment, channel. */
struct cargo {
    int fds[2 * LISTEN_MAX + 2];
    int sockets, count;
    char names[2 * LISTEN_MAX * (sizeof(((struct listener *)0)->name) + 1)];
};

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

/* In the child: every descriptor to its number. First all of them out of the way. */
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

static void set_number(const char *name, int number)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", number);
    setenv(name, text, 1);
}

static void set_environment(const struct cargo *cargo)
{
    char text[32];
    int after = SD_LISTEN_FDS_START + cargo->sockets;
    snprintf(text, sizeof(text), "%d %d", after, after + 1);
    setenv(variable, text, 1);
    set_number("LISTEN_PID", (int)getpid());
    set_number("LISTEN_FDS", cargo->sockets);
    setenv("LISTEN_FDNAMES", cargo->names, 1);
    if (getenv("WATCHDOG_PID") != NULL)
        set_number("WATCHDOG_PID", (int)getpid());
    unsetenv("SHM_STARTS"); /* its own count of tries, see shm_exec_again() */
}

/* @return only where it failed: what the child says to its parent, errno */
static int become(struct cargo *cargo, char *const *argv)
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

bool upgrade_start(struct upgrade *upgrade, char *const *argv, const struct listeners *grpc,
                   const struct listeners *web, int segment_fd, struct fault *fault)
{
    static struct cargo cargo; /* too large for a stack */
    int channel[2];
    memset(&cargo, 0, sizeof(cargo));
    load_sockets(&cargo, grpc, "grpc.own");
    load_sockets(&cargo, web, "metrics.own");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0) {
        snprintf(fault->text, sizeof(fault->text), "%s", strerror(errno));
        return false;
    }
    cargo.fds[cargo.count++] = segment_fd;
    cargo.fds[cargo.count++] = channel[1];
    pid_t pid = fork();
    if (pid == 0) {
        int error = become(&cargo, argv);
        log_error("upgrade: %s: %s", program, strerror(error));
        _exit(127);
    }
    int error = errno;
    close(channel[1]);
    if (pid < 0) {
        close(channel[0]);
        snprintf(fault->text, sizeof(fault->text), "%s", strerror(error));
        return false;
    }
    *upgrade = (struct upgrade){.pid = pid, .channel = channel[0]};
    return true;
}

enum upgrade_news upgrade_read(const struct upgrade *upgrade)
{
    char byte;
    ssize_t got = recv(upgrade->channel, &byte, 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return UPGRADE_NOTHING;
    return got == 1 && byte == ready ? UPGRADE_READY : UPGRADE_FAILED;
}

void upgrade_confirm(const struct upgrade *upgrade)
{
    (void)send(upgrade->channel, &go_on, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void upgrade_close(struct upgrade *upgrade)
{
    if (upgrade->pid != 0 && upgrade->channel >= 0)
        close(upgrade->channel);
    upgrade->pid = 0;
}

/* ---- the new one's side ---- */

void upgrade_origin(struct upgrade_origin *origin)
{
    const char *text = getenv(variable);
    int segment_fd, channel;
    *origin = (struct upgrade_origin){-1, -1};
    if (text == NULL || sscanf(text, "%d %d", &segment_fd, &channel) != 2)
        return;
    *origin = (struct upgrade_origin){segment_fd, channel};
    fcntl(origin->segment_fd, F_SETFD, FD_CLOEXEC);
    fcntl(origin->channel, F_SETFD, FD_CLOEXEC);
}

void upgrade_origin_keep_open(const struct upgrade_origin *origin)
{
    if (origin->channel < 0)
        return;
    fcntl(origin->segment_fd, F_SETFD, 0);
    fcntl(origin->channel, F_SETFD, 0);
}

void upgrade_report_ready(const struct upgrade_origin *origin)
{
    (void)send(origin->channel, &ready, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void upgrade_origin_done(struct upgrade_origin *origin)
{
    char byte;
    (void)recv(origin->channel, &byte, 1, MSG_DONTWAIT);
    close(origin->channel);
    origin->channel = -1;
}
