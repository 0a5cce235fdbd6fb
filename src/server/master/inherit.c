/* SPDX-License-Identifier: MIT */
#include "server/master/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static bool name_ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), tail = strlen(end);
    return len >= tail && strcmp(text + len - tail, end) == 0;
}

/* Whether the program that this one replaces has bound the socket. */
static bool is_bound_by_rosterd(const struct listener *listener)
{
    return name_ends_with(listener->name, ".own");
}

static bool add_socket(struct listeners *sockets, int fd, const char *name, struct fault *fault)
{
    if (sockets->count == LISTEN_MAX)
        return fault_set(fault, "LISTEN_FDS: more than %d sockets", LISTEN_MAX);
    struct listener *listener = &sockets->all[sockets->count];
    if (!listener_take(listener, fd, name, false))
        return fault_set(
            fault,
            "LISTEN_FDS: descriptor %d (%.100s) is not a listening TCP or unix stream socket", fd,
            name);
    listener->foreign = !is_bound_by_rosterd(listener);
    sockets->count++;
    return true;
}

bool inherit_sockets(struct listeners *sockets, struct fault *fault)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(0, &names);
    sockets->count = 0;
    if (count < 0)
        return fault_set(fault, "LISTEN_FDS: %s", strerror(-count));
    bool done = true;
    for (int i = 0; i < count && done; i++)
        done = add_socket(sockets, SD_LISTEN_FDS_START + i, names[i], fault);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return done;
}

void inherit_keep_open(void)
{
    int count = sd_listen_fds(0);
    for (int i = 0; i < count; i++)
        fcntl(SD_LISTEN_FDS_START + i, F_SETFD, 0);
}

bool inherit_is_for_web(const struct listener *listener)
{
    return strncmp(listener->name, "metrics", strcspn(listener->name, ".")) == 0 &&
           strcspn(listener->name, ".") == strlen("metrics");
}

/* Whether the address has port 0, which stands for any port, and the listener is at the same
 * address with any port. Only a listener that was handed over can be: it was not bound for another
 * option's text. */
static bool is_at_any_port(const struct listener *listener, const struct listen_address *address)
{
    struct listen_address same = *address;
    if (address->addr.ss_family == AF_UNIX || listener->addr.ss_family != address->addr.ss_family ||
        ((const struct sockaddr_in *)(const void *)&address->addr)->sin_port != 0)
        return false;
    /* sin_port and sin6_port have the same offset */
    ((struct sockaddr_in *)(void *)&same.addr)->sin_port =
        ((const struct sockaddr_in *)(const void *)&listener->addr)->sin_port;
    same.text[0] = '\0';
    return listener->asked[0] == '\0' && listener_is_at(listener, &same);
}

/* @param in may be NULL */
static const struct listener *find_listener(const struct listeners *in,
                                            const struct listen_address *address)
{
    for (size_t i = 0; in != NULL && i < in->count; i++)
        if (listener_is_at(&in->all[i], address))
            return &in->all[i];
    for (size_t i = 0; in != NULL && i < in->count; i++)
        if (is_at_any_port(&in->all[i], address))
            return &in->all[i];
    return NULL;
}

bool inherit_or_bind(struct listeners *listeners, const char *option,
                     const struct listen_addresses *addresses, bool optional,
                     const struct listeners *have, const struct listeners *handed,
                     struct fault *fault)
{
    for (size_t i = 0; i < addresses->count; i++) {
        const struct listen_address *address = &addresses->all[i];
        const struct listener *there = find_listener(have, address);
        if (there == NULL)
            there = find_listener(handed, address);
        bool added = there == NULL
                         ? listeners_add(listeners, address, optional || address->optional, fault)
                         : listeners_share(listeners, there, fault);
        if (!added)
            return fault_prefix(fault, "%s", option);
        if (there != NULL)
            snprintf(listeners->all[listeners->count - 1].asked, LISTEN_TEXT, "%s", address->text);
    }
    return true;
}

void inherit_close_own(struct listeners *handed, const struct listeners *used,
                       const struct listeners *used_for_web)
{
    struct listeners own = {.count = 0}, foreign = {.count = 0};
    for (size_t i = 0; i < handed->count; i++) {
        struct listeners *to = is_bound_by_rosterd(&handed->all[i]) ? &own : &foreign;
        to->all[to->count++] = handed->all[i];
    }
    *handed = foreign;
    for (size_t i = 0; i < own.count; i++) {
        struct listeners one = {.all = {own.all[i]}, .count = 1};
        listeners_remove_files(&one, inherit_is_for_web(&own.all[i]) ? used_for_web : used);
    }
    listeners_close(&own, false);
}
