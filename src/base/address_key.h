/* SPDX-License-Identifier: MIT */
/* The part of a client's address by which it is counted. */
#ifndef ROSTERD_BASE_ADDRESS_KEY_H
#define ROSTERD_BASE_ADDRESS_KEY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_KEY_MAX = 8 };

/**
 * Writes the whole IPv4 address, also when an IPv6 socket shows it as ::ffff:192.0.2.1 (whose first
 * half all IPv4 clients share), or the first half of an IPv6 address, because a host usually owns a
 * whole /64.
 * @return the number of bytes; 0: the family has no such part, as a unix socket's
 */
size_t address_key(const struct sockaddr *address, uint8_t key[ADDRESS_KEY_MAX]);

#endif
