/* SPDX-License-Identifier: MIT */
#include "server/master/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static bool add(struct listeners *sockets, int fd, const char *name, struct fault *fault)
{
    struct listener *listener = &sockets->all[sockets->count];
    if (sockets->count == LISTEN_MAX) {
        snprintf(fault->text, sizeof(fault->text), "LISTEN_FDS: more than %d sockets", LISTEN_MAX);
        return false;
    }
    if (!listener_take(listener, fd, name, false)) {
        snprintf(fault->text, sizeof(fault->text),
                 "LISTEN_FDS: descriptor %d (%.100s) is no listening stream socket of TCP or unix",
                 fd, name);
        return false;
    }
    listener->foreign = !inherited_own(listener);
    sockets->count++;
    return true;
}

bool inherit_sockets(struct listeners *sockets, struct fault *fault)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(0, &names);
    bool done = count >= 0;
    sockets->count = 0;
    if (!done)
        snprintf(fault->text, sizeof(fault->text), "LISTEN_FDS: %s", strerror(-count));
    for (int i = 0; i < count && done; i++)
        done = add(sockets, SD_LISTEN_FDS_START + i, names[i], fault);
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

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), tail = strlen(end);
    return len >= tail && strcmp(text + len - tail, end) == 0;
}

bool inherited_for_web(const struct listener *listener)
{
    return strncmp(listener->name, "metrics", strcspn(listener->name, ".")) == 0 &&
           strcspn(listener->name, ".") == strlen("metrics");
}

bool inherited_own(const struct listener *listener)
{
    return ends_with(listener->name, ".own");
}

/* An address with port 0 has any port. */
static bool is_any_port(const struct listener *listener, const struct listen_address *address)
{
    struct listen_address same = *address;
    if (address->addr.ss_family == AF_UNIX || listener->addr.ss_family != address->addr.ss_family ||
        ((const struct sockaddr_in *)(const void *)&address->addr)->sin_port != 0)
        return false;
    /* IPv4 and IPv6 have it at the same place */
    ((struct sockaddr_in *)(void *)&same.addr)->sin_port =
        ((const struct sockaddr_in *)(const void *)&listener->addr)->sin_port;
    same.text[0] = '\0';
    return listener->asked[0] == '\0' && listener_is_at(listener, &same);
}

static const struct listener *find(const struct listeners *in, const struct listen_address *address)
{
    for (size_t i = 0; in != NULL && i < in->count; i++)
        if (listener_is_at(&in->all[i], address))
            return &in->all[i];
    for (size_t i = 0; in != NULL && i < in->count; i++)
        if (is_any_port(&in->all[i], address))
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
        const struct listener *there = find(have, address);
        if (there == NULL)
            there = find(handed, address);
        bool added = there == NULL ? listeners_add(listeners, address, optional, fault)
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
        struct listeners *to = inherited_own(&handed->all[i]) ? &own : &foreign;
        to->all[to->count++] = handed->all[i];
    }
    *handed = foreign;
    for (size_t i = 0; i < own.count; i++) {
        struct listeners one = {.all = {own.all[i]}, .count = 1};
        listeners_remove_files(&one, inherited_for_web(&own.all[i]) ? used_for_web : used);
    }
    listeners_close(&own, false);
}
