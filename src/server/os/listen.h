/* SPDX-License-Identifier: MIT */
/* Where the server listens: addresses as options write them, and bound sockets. */
#ifndef ROSTERD_SERVER_OS_LISTEN_H
#define ROSTERD_SERVER_OS_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

enum { LISTEN_MAX = 64 };

enum { LISTEN_TEXT = sizeof(struct sockaddr_un) + 20 };

struct listen_address {
    struct sockaddr_storage addr;
    socklen_t len;
    bool has_mode;          /* else it is as the umask has it */
    mode_t mode;            /* of a unix socket */
    bool six_only;          /* of IPv6: IPv4 clients are not taken, too */
    bool six_only_said;     /* by its text */
    char text[LISTEN_TEXT]; /* as it was written */
};

/** Reads "192.0.2.1:80", "[2001:db8::1]:80", "[::]:80,ipv6only=on", "unix:/path" or
 * "unix:/path,mode=0660"; port 0 is any free one. "[::]" takes IPv4 clients, too, unless its text
 * or listen_settle() says otherwise. */
bool listen_parse(struct listen_address *address, const char *text);
/** Where one of the others has an IPv4 address with the same port, that one takes its clients. */
void listen_settle(struct listen_address *address, const struct listen_address *others,
                   size_t count);

struct listener {
    int fd;
    struct sockaddr_storage addr; /* with the real port */
    char asked[LISTEN_TEXT];      /* as its option was written; empty where it was handed over */
    char text[LISTEN_TEXT];       /* the address, with the real port */
    char name[64];                /* that it was handed over with; empty where it was not */
    uint16_t port;                /* the real one; 0 for a unix socket */
    bool unix_socket, foreign;    /* foreign: its file belongs to who made it */
    dev_t dev;                    /* the socket file that was made, to remove no other */
    ino_t ino;
};

struct listeners {
    struct listener all[LISTEN_MAX];
    size_t count;
};

/**
 * Binds and listens, non-blocking and close-on-exec. A socket file that no
 * server answers at any more is replaced.
 * @param optional an address family that this host lacks is skipped, not an error
 * @return 1 added, 0 skipped, -1 with errno set
 */
int listeners_add(struct listeners *listeners, const struct listen_address *address, bool optional);
/** Adds the same socket, by a descriptor of its own. @return false with errno set */
bool listeners_share(struct listeners *listeners, const struct listener *from);
/** Describes a socket that was handed over. @return false: it does not listen for streams at an
 * address that is known here */
bool listener_take(struct listener *listener, int fd, const char *name, bool foreign);
/** Whether it is what this option asks for; of both families or of one only where its text says
 * so, for who handed the socket over may have decided. */
bool listener_is_at(const struct listener *listener, const struct listen_address *address);
/** Closes all; with remove_files the socket files of this server go too. */
void listeners_close(struct listeners *listeners, bool remove_files);
/** Removes the socket files of those that are not in `kept`. */
void listeners_remove_files(const struct listeners *listeners, const struct listeners *kept);

#endif
