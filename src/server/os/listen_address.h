/* SPDX-License-Identifier: MIT */
/* Addresses to listen on, as options write them. */
#ifndef ROSTERD_SERVER_OS_LISTEN_ADDRESS_H
#define ROSTERD_SERVER_OS_LISTEN_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

enum {
    LISTEN_MAX = 64, /* addresses of one option, and sockets of one kind */
    LISTEN_TEXT = sizeof(struct sockaddr_un) + 20,
};

struct listen_address {
    struct sockaddr_storage addr;
    socklen_t len;
    bool has_mode;          /* of a unix socket; if not, the umask decides */
    mode_t mode;            /* of a unix socket */
    bool six_only;          /* of IPv6: IPv4 clients are not accepted */
    bool six_only_said;     /* the text decides it */
    bool optional;          /* a host that lacks it does without it */
    char text[LISTEN_TEXT]; /* as it was written */
};

/**
 * Reads "192.0.2.1:80", "[2001:db8::1]:80", "[::]:80,ipv6only=on", "unix:/path" or
 * "unix:/path,mode=0660". Port 0 is any free port. "[::]" accepts IPv4 clients, too, unless its
 * text or listen_settle() decides otherwise.
 */
bool listen_parse(struct listen_address *address, const char *text);
/**
 * Some texts stand for an IPv4 and an IPv6 address: "localhost:80" for "127.0.0.1:80" and
 * "[::1]:80",
 * ":80" and "*:80" for "0.0.0.0:80" and "[::]:80". A host without IPv6 does without the second.
 * @return false: the text is not one of these
 */
bool listen_expand(const char *text, char four[LISTEN_TEXT], char six[LISTEN_TEXT]);
/** If another address is IPv4 and has the same port, that address gets the IPv4 clients. */
void listen_settle(struct listen_address *address, const struct listen_address *others,
                   size_t count);

#endif
