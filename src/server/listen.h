/* SPDX-License-Identifier: MIT */
/* Where the server listens: addresses as options write them, and bound sockets. */
#ifndef ROSTERD_SERVER_LISTEN_H
#define ROSTERD_SERVER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

enum { LISTEN_MAX = 64 };

struct listen_address {
    struct sockaddr_storage addr;
    socklen_t len;
    char text[sizeof(struct sockaddr_un) + 8]; /* as it was written */
};

/** Reads "192.0.2.1:80", "[2001:db8::1]:80" or "unix:/path"; port 0 is any free one. */
bool listen_parse(struct listen_address *address, const char *text);

struct listener {
    int fd;
    char text[sizeof(struct sockaddr_un) + 8]; /* the address, with the real port */
    uint16_t port;                             /* the real one; 0 for a unix socket */
    bool unix_socket;                          /* then: */
    char path[sizeof(struct sockaddr_un)];
    dev_t dev; /* the socket file that was made, to remove no other */
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
/** Closes all; with remove_files the socket files of this server go too. */
void listeners_close(struct listeners *listeners, bool remove_files);

#endif
