/* SPDX-License-Identifier: MIT */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- addresses ---- */

static bool parse_port(const char *text, in_port_t *port)
{
    unsigned value = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
        return false;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    *port = htons((uint16_t)value);
    return value <= UINT16_MAX;
}

static bool parse_unix(struct listen_address *address, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&address->addr;
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(un->sun_path))
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return true;
}

static bool parse_ipv6(struct listen_address *address, const char *host, const char *port)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->addr;
    in6->sin6_family = AF_INET6;
    address->len = sizeof(*in6);
    return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 && parse_port(port, &in6->sin6_port);
}

static bool parse_ipv4(struct listen_address *address, const char *host, const char *port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&address->addr;
    in->sin_family = AF_INET;
    address->len = sizeof(*in);
    return inet_pton(AF_INET, host, &in->sin_addr) == 1 && parse_port(port, &in->sin_port);
}

bool listen_parse(struct listen_address *address, const char *text)
{
    char host[sizeof(address->text)];
    size_t len = strlen(text);
    memset(address, 0, sizeof(*address));
    if (len >= sizeof(address->text))
        return false;
    memcpy(address->text, text, len + 1);
    memcpy(host, text, len + 1);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(address, text + 5);
    char *colon = strrchr(host, ':');
    if (colon == NULL || colon == host)
        return false;
    *colon = '\0';
    if (host[0] != '[')
        return parse_ipv4(address, host, colon + 1);
    if (colon[-1] != ']')
        return false;
    colon[-1] = '\0';
    return parse_ipv6(address, host + 1, colon + 1);
}

/* ---- sockets ---- */

/* Whether this path is a socket that nobody answers at: a dead server's. */
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

static int bind_unix(int fd, const struct listen_address *address, struct listener *listener)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->addr;
    int result = bind(fd, (const struct sockaddr *)un, address->len);
    if (result != 0 && errno == EADDRINUSE) {
        if (is_stale(address, un->sun_path) && unlink(un->sun_path) == 0)
            result = bind(fd, (const struct sockaddr *)un, address->len);
        else
            errno = EADDRINUSE;
    }
    if (result != 0)
        return -1;
    struct stat st;
    snprintf(listener->path, sizeof(listener->path), "%s", un->sun_path);
    snprintf(listener->text, sizeof(listener->text), "%s", address->text);
    listener->unix_socket = true;
    if (lstat(listener->path, &st) == 0) {
        listener->dev = st.st_dev;
        listener->ino = st.st_ino;
    }
    return 0;
}

static int bind_tcp(int fd, const struct listen_address *address, struct listener *listener)
{
    const struct sockaddr *addr = (const struct sockaddr *)&address->addr;
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* so that 0.0.0.0:80 and [::]:80 can be listened on side by side */
    if (addr->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } bound = {.in6 = {0}};
    socklen_t len = sizeof(bound);
    if (bind(fd, addr, address->len) != 0 || getsockname(fd, &bound.any, &len) != 0)
        return -1;
    listener->port = ntohs(addr->sa_family == AF_INET6 ? bound.in6.sin6_port : bound.in.sin_port);
    int host = (int)(strrchr(address->text, ':') - address->text);
    snprintf(listener->text, sizeof(listener->text), "%.*s:%u", host, address->text,
             listener->port);
    return 0;
}

static void close_one(struct listener *listener, bool remove_file)
{
    struct stat st;
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
    if (remove_file && listener->unix_socket && lstat(listener->path, &st) == 0 &&
        st.st_dev == listener->dev && st.st_ino == listener->ino)
        unlink(listener->path);
}

int listeners_add(struct listeners *listeners, const struct listen_address *address, bool optional)
{
    struct listener listener = {.fd = -1};
    int family = address->addr.ss_family;
    if (listeners->count == LISTEN_MAX) {
        errno = E2BIG;
        return -1;
    }
    listener.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int result = -1;
    if (listener.fd >= 0)
        result = family == AF_UNIX ? bind_unix(listener.fd, address, &listener)
                                   : bind_tcp(listener.fd, address, &listener);
    if (result == 0)
        result = listen(listener.fd, SOMAXCONN);
    if (result == 0) {
        listeners->all[listeners->count++] = listener;
        return 1;
    }
    int reason = errno;
    close_one(&listener, true);
    errno = reason;
    return optional && (reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL) ? 0 : -1;
}

void listeners_close(struct listeners *listeners, bool remove_files)
{
    for (size_t i = 0; i < listeners->count; i++)
        close_one(&listeners->all[i], remove_files);
    listeners->count = 0;
}
