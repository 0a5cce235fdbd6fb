/* SPDX-License-Identifier: MIT */
#include "server/os/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

/* "660" or "0660". */
static bool parse_mode(const char *text, mode_t *mode)
{
    unsigned value = 0;
    size_t len = strlen(text);
    if (len < 3 || len > 4 || strspn(text, "01234567") != len)
        return false;
    for (size_t i = 0; i < len; i++)
        value = value * 8 + (unsigned)(text[i] - '0');
    *mode = value;
    return value <= 0777;
}

static bool parse_unix(struct listen_address *address, const char *path)
{
    static const char with_mode[] = ",mode=";
    struct sockaddr_un *un = (struct sockaddr_un *)&address->addr;
    const char *mode = strstr(path, with_mode);
    size_t len = mode != NULL ? (size_t)(mode - path) : strlen(path);
    address->has_mode = mode != NULL;
    if (mode != NULL && !parse_mode(mode + sizeof(with_mode) - 1, &address->mode))
        return false;
    if (len == 0 || len >= sizeof(un->sun_path))
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len);
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return true;
}

/* Cuts ",ipv6only=on" or "off" off the port. */
static bool parse_families(struct listen_address *address, char *port)
{
    static const char key[] = ",ipv6only=";
    char *at = strstr(port, key);
    if (at == NULL)
        return true;
    const char *word = at + sizeof(key) - 1;
    address->six_only_said = true;
    address->six_only = strcmp(word, "on") == 0;
    *at = '\0';
    return address->six_only || strcmp(word, "off") == 0;
}

static bool parse_ipv6(struct listen_address *address, const char *host, char *port)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->addr;
    in6->sin6_family = AF_INET6;
    address->len = sizeof(*in6);
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
        return false;
    address->six_only = !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
    return parse_families(address, port) && parse_port(port, &in6->sin6_port);
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

void listen_settle(struct listen_address *address, const struct listen_address *others,
                   size_t count)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->addr;
    if (in6->sin6_family != AF_INET6 || address->six_only_said || in6->sin6_port == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&others[i].addr;
        if (in->sin_family == AF_INET && in->sin_port == in6->sin6_port)
            address->six_only = true;
    }
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

static const char *path_of(const struct listener *listener)
{
    return ((const struct sockaddr_un *)&listener->addr)->sun_path;
}

/* What getsockname() says of it. */
static bool describe(struct listener *listener)
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
        snprintf(listener->text, sizeof(listener->text), "unix:%s", path_of(listener));
        return path_of(listener)[0] != '\0';
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

/* So that only this very file is removed at the end. */
static void note_file(struct listener *listener)
{
    struct stat st;
    if (listener->unix_socket && lstat(path_of(listener), &st) == 0) {
        listener->dev = st.st_dev;
        listener->ino = st.st_ino;
    }
}

static int bind_unix(int fd, const struct listen_address *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->addr;
    int result = bind(fd, (const struct sockaddr *)un, address->len);
    if (result != 0 && errno == EADDRINUSE) {
        if (is_stale(address, un->sun_path) && unlink(un->sun_path) == 0)
            result = bind(fd, (const struct sockaddr *)un, address->len);
        else
            errno = EADDRINUSE;
    }
    /* nobody can connect before listen() */
    return result == 0 && address->has_mode ? chmod(un->sun_path, address->mode) : result;
}

static int bind_tcp(int fd, const struct listen_address *address)
{
    const struct sockaddr *addr = (const struct sockaddr *)&address->addr;
    const int on = 1, six_only = address->six_only;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* either way: what the host has as its default is not what the option says */
    if (addr->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, sizeof(six_only));
    return bind(fd, addr, address->len);
}

static void remove_file(const struct listener *listener)
{
    struct stat st;
    if (listener->unix_socket && !listener->foreign && lstat(path_of(listener), &st) == 0 &&
        st.st_dev == listener->dev && st.st_ino == listener->ino)
        unlink(path_of(listener));
}

static void close_one(struct listener *listener, bool with_file)
{
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
    if (with_file)
        remove_file(listener);
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
        result =
            family == AF_UNIX ? bind_unix(listener.fd, address) : bind_tcp(listener.fd, address);
    if (result == 0 && describe(&listener)) {
        note_file(&listener);
        result = listen(listener.fd, SOMAXCONN);
    }
    if (result == 0) {
        snprintf(listener.asked, sizeof(listener.asked), "%s", address->text);
        listeners->all[listeners->count++] = listener;
        return 1;
    }
    int reason = errno;
    close_one(&listener, true);
    errno = reason;
    return optional && (reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL) ? 0 : -1;
}

bool listeners_share(struct listeners *listeners, const struct listener *from)
{
    struct listener listener = *from;
    if (listeners->count == LISTEN_MAX) {
        errno = E2BIG;
        return false;
    }
    listener.fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
    if (listener.fd < 0)
        return false;
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
        !describe(listener))
        return false;
    note_file(listener);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return true;
}

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
        return strcmp(path_of(listener), ((const struct sockaddr_un *)&address->addr)->sun_path) ==
               0;
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
        close_one(&listeners->all[i], remove_files);
    listeners->count = 0;
}

void listeners_remove_files(const struct listeners *listeners, const struct listeners *kept)
{
    for (size_t i = 0; i < listeners->count; i++) {
        bool stays = false;
        for (size_t k = 0; k < kept->count; k++)
            stays = stays || strcmp(listeners->all[i].text, kept->all[k].text) == 0;
        if (!stays)
            remove_file(&listeners->all[i]);
    }
}
