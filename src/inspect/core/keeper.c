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

#include "inspect/core/memory.h"

/* Writes the directory entry to disk: without that, a crash could undo the rename. */
static bool sync_directory(const char *path)
{
    char *copy = memory_check(strdup(path));
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return false;
    /* EINVAL: this file system cannot sync a directory. */
    bool synced = fsync(fd) == 0 || errno == EINVAL;
    int error = errno;
    close(fd);
    errno = error;
    return synced;
}

/* Not every file system can rename without replacing. */
static bool give_name(const char *temporary, const char *path, bool replace)
{
    if (replace)
        return rename(temporary, path) == 0;
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return true;
    return (errno == EINVAL || errno == ENOSYS) && link(temporary, path) == 0 &&
           unlink(temporary) == 0;
}

bool keeper_finish(int fd, const char *temporary, const char *path, bool replace,
                   struct fault *fault)
{
    bool on_disk = fsync(fd) == 0;
    if (!on_disk)
        fault_set_errno(fault, "%s: cannot write it to disk", temporary);
    else if (!give_name(temporary, path, replace))
        fault_set_errno(fault, replace ? "%s: cannot replace it" : "%s: cannot make it", path);
    else
        return sync_directory(path) ||
               fault_set_errno(fault, "%s: cannot write its directory to disk", path);
    unlink(temporary);
    return false;
}

/* The keeper's main function. The keeper ignores the signals that a terminal sends to all its
 * processes: it ends when the program ends. */
static _Noreturn void keeper_run(int socket, int fd, const char *temporary, const char *path,
                                 bool replace)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGALRM};
    char order;
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    /* A reader of the program's output waits for end of file, and must not wait for the keeper. */
    for (int standard = 0; standard < 3; standard++)
        close(standard);
    if (recv(socket, &order, sizeof(order), 0) == sizeof(order)) {
        struct fault fault = {{0}}; /* stays empty if all goes well */
        keeper_finish(fd, temporary, path, replace, &fault);
        (void)send(socket, &fault, sizeof(fault), 0);
    } else {
        unlink(temporary);
    }
    _exit(0);
}

int keeper_start(int fd, const char *temporary, const char *path, bool replace)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        keeper_run(ends[1], fd, temporary, path, replace);
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

/* Waits until the keeper has closed its end of the socket, or died: it has finished with the file
 * then. A keeper that still waits for its order sees the end of the stream and removes the file. */
static void keeper_wait_for_end(int keeper)
{
    char nothing;
    shutdown(keeper, SHUT_WR);
    while (recv(keeper, &nothing, sizeof(nothing), 0) < 0 && errno == EINTR) {
    }
    close(keeper);
    while (wait(NULL) < 0 && errno == EINTR) {
    }
}

bool keeper_commit(int keeper, const char *path, struct fault *fault)
{
    struct fault answer;
    bool answered = send(keeper, "", 1, MSG_NOSIGNAL) == 1 &&
                    recv(keeper, &answer, sizeof(answer), 0) == sizeof(answer);
    keeper_wait_for_end(keeper);
    if (!answered)
        return fault_set(fault, "%s: cannot replace it: the process that should do it was killed",
                         path);
    answer.text[sizeof(answer.text) - 1] = '\0';
    return answer.text[0] == '\0' || fault_set(fault, "%s", answer.text);
}

void keeper_abandon(int keeper)
{
    keeper_wait_for_end(keeper);
}
