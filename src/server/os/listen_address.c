/* SPDX-License-Identifier: MIT */
#include "server/os/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

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

/* Octal, such as "660" or "0660". */
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

/* Cuts ",ipv6only=on" or ",ipv6only=off" off the port. */
static bool parse_ipv6only(struct listen_address *address, char *port)
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
    return parse_ipv6only(address, port) && parse_port(port, &in6->sin6_port);
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

bool listen_expand(const char *text, char four[LISTEN_TEXT], char six[LISTEN_TEXT])
{
    static const struct {
        const char *host, *four, *six;
    } names[] = {
        {"localhost", "127.0.0.1", "[::1]"}, {"*", "0.0.0.0", "[::]"}, {"", "0.0.0.0", "[::]"}};
    const char *port = strrchr(text, ':');
    if (port == NULL || strlen(port) > sizeof(":65535") - 1)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len = strlen(names[i].host);
        if (len != (size_t)(port - text) || strncmp(text, names[i].host, len) != 0)
            continue;
        snprintf(four, LISTEN_TEXT, "%s%s", names[i].four, port);
        snprintf(six, LISTEN_TEXT, "%s%s", names[i].six, port);
        return true;
    }
    return false;
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
