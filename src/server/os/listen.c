/* SPDX-License-Identifier: MIT */
#include "server/os/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/os/log.h"

/* ---- socket files ---- */

/* Whether the path is a socket that no process listens on: a dead server left it. */
static bool is_stale(const struct listen_address *address, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)&address->addr, address->len) != 0 &&
                   errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static const char *listener_path(const struct listener *listener)
{
    return ((const struct sockaddr_un *)&listener->addr)->sun_path;
}

/* Notes which file the socket has, so that no other file is removed at the end. */
static void note_file(struct listener *listener)
{
    struct stat st;
    if (listener->unix_socket && lstat(listener_path(listener), &st) == 0) {
        listener->dev = st.st_dev;
        listener->ino = st.st_ino;
    }
}

static void remove_socket_file(const struct listener *listener)
{
    struct stat st;
    if (listener->unix_socket && !listener->foreign && lstat(listener_path(listener), &st) == 0 &&
        st.st_dev == listener->dev && st.st_ino == listener->ino)
        unlink(listener_path(listener));
}

/* ---- sockets ---- */

/* Fills the address, port and text from getsockname().
 * @return false: a socket of another family, or without an address */
static bool describe_listener(struct listener *listener)
{
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in = (const struct sockaddr_in *)&listener->addr;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&listener->addr;
    socklen_t len = sizeof(listener->addr) - 1;
    if (getsockname(listener->fd, (struct sockaddr *)&listener->addr, &len) != 0)
        return false;
    switch (listener->addr.ss_family) {
    case AF_UNIX:
        ((char *)&listener->addr)[len] = '\0';
        listener->unix_socket = true;
        snprintf(listener->text, sizeof(listener->text), "unix:%s", listener_path(listener));
        return listener_path(listener)[0] != '\0';
    case AF_INET:
        listener->port = ntohs(in->sin_port);
        snprintf(listener->text, sizeof(listener->text), "%s:%u",
                 inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)), listener->port);
        return true;
    case AF_INET6:
        listener->port = ntohs(in6->sin6_port);
        snprintf(listener->text, sizeof(listener->text), "[%s]:%u",
                 inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)), listener->port);
        return true;
    default:
        return false;
    }
}

/* @return false with errno set */
static bool bind_unix(int fd, const struct listen_address *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->addr;
    int result = bind(fd, (const struct sockaddr *)un, address->len);
    if (result != 0 && errno == EADDRINUSE) {
        if (is_stale(address, un->sun_path) && unlink(un->sun_path) == 0)
            result = bind(fd, (const struct sockaddr *)un, address->len);
        else
            errno = EADDRINUSE;
    }
    /* no client can connect before listen() */
    return result == 0 && (!address->has_mode || chmod(un->sun_path, address->mode) == 0);
}

/* @return false with errno set */
static bool bind_tcp(int fd, const struct listen_address *address)
{
    const struct sockaddr *addr = (const struct sockaddr *)&address->addr;
    const int on = 1, six_only = address->six_only;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* set in either case: the host's default may be the other one */
    if (addr->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, sizeof(six_only));
    return bind(fd, addr, address->len) == 0;
}

static void close_listener(struct listener *listener, bool with_file)
{
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
    if (with_file)
        remove_socket_file(listener);
}

/* @return false with errno set */
static bool open_listener(struct listener *listener, const struct listen_address *address)
{
    int family = address->addr.ss_family;
    listener->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0 ||
        !(family == AF_UNIX ? bind_unix(listener->fd, address) : bind_tcp(listener->fd, address)))
        return false;
    if (!describe_listener(listener))
        return false;
    note_file(listener);
    return listen(listener->fd, SOMAXCONN) == 0;
}

bool listeners_add(struct listeners *listeners, const struct listen_address *address, bool optional,
                   struct fault *fault)
{
    struct listener listener = {.fd = -1};
    if (listeners->count == LISTEN_MAX)
        return fault_set(fault, "%s: more than %d sockets", address->text, LISTEN_MAX);
    if (open_listener(&listener, address)) {
        snprintf(listener.asked, sizeof(listener.asked), "%s", address->text);
        listeners->all[listeners->count++] = listener;
        return true;
    }
    int reason = errno;
    close_listener(&listener, true);
    if (!optional || (reason != EAFNOSUPPORT && reason != EADDRNOTAVAIL))
        return fault_set(fault, "%s: %s", address->text, strerror(reason));
    log_notice("%s is skipped: %s", address->text, strerror(reason));
    return true;
}

bool listeners_share(struct listeners *listeners, const struct listener *from, struct fault *fault)
{
    struct listener listener = *from;
    if (listeners->count == LISTEN_MAX)
        return fault_set(fault, "%s: more than %d sockets", from->text, LISTEN_MAX);
    listener.fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
    if (listener.fd < 0)
        return fault_set_errno(fault, "%s", from->text);
    listeners->all[listeners->count++] = listener;
    return true;
}

bool listener_take(struct listener *listener, int fd, const char *name, bool foreign)
{
    int on = 0, type = 0;
    socklen_t len = sizeof(on);
    *listener = (struct listener){.fd = fd, .foreign = foreign};
    snprintf(listener->name, sizeof(listener->name), "%s", name);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) != 0 || on == 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM ||
        !describe_listener(listener))
        return false;
    note_file(listener);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return true;
}

/* Whether the socket accepts the families that the text of the address asks for. */
static bool has_families(const struct listener *listener, const struct listen_address *address)
{
    int six_only = 0;
    socklen_t len = sizeof(six_only);
    return !address->six_only_said ||
           (getsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, &len) == 0 &&
            (six_only != 0) == address->six_only);
}

bool listener_is_at(const struct listener *listener, const struct listen_address *address)
{
    const struct sockaddr_in *a = (const void *)&listener->addr, *b = (const void *)&address->addr;
    const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
    if (listener->asked[0] != '\0' && strcmp(listener->asked, address->text) == 0)
        return true;
    if (listener->addr.ss_family != address->addr.ss_family)
        return false;
    switch (address->addr.ss_family) {
    case AF_UNIX:
        return strcmp(listener_path(listener),
                      ((const struct sockaddr_un *)&address->addr)->sun_path) == 0;
    case AF_INET:
        return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
    default:
        return a6->sin6_port == b6->sin6_port &&
               memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0 &&
               has_families(listener, address);
    }
}

void listeners_close(struct listeners *listeners, bool remove_files)
{
    for (size_t i = 0; i < listeners->count; i++)
        close_listener(&listeners->all[i], remove_files);
    listeners->count = 0;
}

void listeners_remove_files(const struct listeners *listeners, const struct listeners *kept)
{
    for (size_t i = 0; i < listeners->count; i++) {
        bool stays = false;
        for (size_t k = 0; k < kept->count; k++)
            stays = stays || strcmp(listeners->all[i].text, kept->all[k].text) == 0;
        if (!stays)
            remove_socket_file(&listeners->all[i]);
    }
}
