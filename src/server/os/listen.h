/* SPDX-License-Identifier: MIT */
/* Listening sockets: bound here, shared, or handed over. */
#ifndef ROSTERD_SERVER_OS_LISTEN_H
#define ROSTERD_SERVER_OS_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/fault.h"
#include "server/os/listen_address.h"

struct listener {
    int fd;
    struct sockaddr_storage addr; /* with the real port */
    char asked[LISTEN_TEXT];      /* the text of its option; empty if the socket was handed over */
    char text[LISTEN_TEXT];       /* the address, with the real port */
    char name[64]; /* the name that it was handed over with; empty if it was bound here */
    uint16_t port; /* the real port; 0 for a unix socket */
    bool unix_socket;
    bool foreign; /* the process that handed it over owns its file */
    dev_t dev;    /* the socket file that bind() made: no other file is removed */
    ino_t ino;
};

struct listeners {
    struct listener all[LISTEN_MAX];
    size_t count;
};

/**
 * Binds and listens; the socket is non-blocking and close-on-exec. Replaces a socket file that no
 * server listens on any more.
 * @param optional if this host lacks the address or its family, the address is left out, with a
 * line in the log
 * @return false: "ADDRESS: REASON"
 */
bool listeners_add(struct listeners *listeners, const struct listen_address *address, bool optional,
                   struct fault *fault);
/** Adds the same socket with a descriptor of its own. @return false: "ADDRESS: REASON" */
bool listeners_share(struct listeners *listeners, const struct listener *from, struct fault *fault);
/**
 * Describes a socket that was handed over, and makes it non-blocking and close-on-exec.
 * @return false: it is no listening stream socket of a known family
 */
bool listener_take(struct listener *listener, int fd, const char *name, bool foreign);
/** Whether the socket is what the option asks for. Whether an IPv6 socket accepts IPv4 clients
 * counts only if the option's text decides it, because the process that handed the socket over may
 * have decided it. */
bool listener_is_at(const struct listener *listener, const struct listen_address *address);
/** Closes all sockets. @param remove_files also removes the socket files that this server owns */
void listeners_close(struct listeners *listeners, bool remove_files);
/** Removes the socket files of the listeners that are not in `kept`. */
void listeners_remove_files(const struct listeners *listeners, const struct listeners *kept);

#endif
