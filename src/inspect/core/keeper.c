/* SPDX-License-Identifier: MIT */
#include "inspect/core/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The new name has to reach the disk, too. */
static bool sync_directory(const char *path)
{
    char *copy = strdup(path);

    if (copy == NULL)
        abort(); /* out of memory */
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return false;
    /* EINVAL: a file system that has no such thing */
    bool good = fsync(fd) == 0 || errno == EINVAL;
    int error = errno;
    close(fd);
    errno = error;
    return good;
}

struct keeper_result keeper_finish(int fd, const char *temporary, const char *path)
{
    struct keeper_result result = {.step = KEEPER_DISK};
    bool good = fsync(fd) == 0;

    if (good) {
        result.step = KEEPER_RENAME;
        good = rename(temporary, path) == 0;
    }
    if (!good) {
        result.error = errno;
        unlink(temporary);
        return result;
    }
    result.step = KEEPER_DIRECTORY;
    result.error = sync_directory(path) ? 0 : errno;
    return result;
}

/* No signal of a terminal ends it: it ends when the program does. */
static _Noreturn void keep(int socket, int fd, const char *temporary, const char *path)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGALRM};
    char order;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    for (int standard = 0; standard < 3; standard++)
        close(standard); /* who reads the program's output waits for its end, not for ours */
    if (recv(socket, &order, sizeof(order), 0) == sizeof(order)) {
        struct keeper_result result = keeper_finish(fd, temporary, path);
        (void)send(socket, &result, sizeof(result), 0);
    } else {
        unlink(temporary);
    }
    _exit(0);
}

int keeper_start(int fd, const char *temporary, const char *path)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        keep(ends[1], fd, temporary, path);
    }
    int error = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        errno = error;
        return -1;
    }
    return ends[0];
}

/* It has closed its end, or is about to: nothing of the file is in its hands any more. */
static void wait_for_end(int keeper)
{
    char nothing;

    shutdown(keeper, SHUT_WR);
    while (recv(keeper, &nothing, sizeof(nothing), 0) < 0 && errno == EINTR) {
    }
    close(keeper);
    while (wait(NULL) < 0 && errno == EINTR) {
    }
}

struct keeper_result keeper_commit(int keeper)
{
    struct keeper_result result = {.step = KEEPER_ASK, .error = ECHILD}, answer;

    if (send(keeper, "", 1, MSG_NOSIGNAL) == 1 &&
        recv(keeper, &answer, sizeof(answer), 0) == sizeof(answer))
        result = answer;
    wait_for_end(keeper);
    return result;
}

void keeper_abandon(int keeper)
{
    wait_for_end(keeper);
}
