/* SPDX-License-Identifier: MIT */
#include "base/address_key.h"

#include <netinet/in.h>
#include <string.h>

size_t address_key(const struct sockaddr *address, uint8_t key[ADDRESS_KEY_MAX])
{
    const struct sockaddr_in *in = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;
    if (address->sa_family == AF_INET) {
        memcpy(key, &in->sin_addr, sizeof(in->sin_addr));
        return sizeof(in->sin_addr);
    }
    if (address->sa_family != AF_INET6)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        memcpy(key, &in6->sin6_addr.s6_addr[12], sizeof(in->sin_addr));
        return sizeof(in->sin_addr);
    }
    memcpy(key, &in6->sin6_addr, ADDRESS_KEY_MAX);
    return ADDRESS_KEY_MAX;
}
