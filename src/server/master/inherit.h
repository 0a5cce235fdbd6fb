/* SPDX-License-Identifier: MIT */
/*
 * Sockets that this process was started with (sd_listen_fds(3)): by systemd, or by the program that
 * this one replaces (handover.h). A socket's name tells its use: "metrics" and "metrics.own" are
 * web listeners, all others are for gRPC. Names that end in ".own" mark sockets that rosterd itself
 * has bound; the others belong to the process that started the server.
 */
#ifndef ROSTERD_SERVER_MASTER_INHERIT_H
#define ROSTERD_SERVER_MASTER_INHERIT_H

#include <stdbool.h>

#include "base/fault.h"
#include "server/config/options.h"
#include "server/os/listen.h"

/** Finds the sockets. Fails when a descriptor is not a listening stream socket. */
bool inherit_sockets(struct listeners *sockets, struct fault *fault);
/** Makes their descriptors survive shm_exec_again(). */
void inherit_keep_open(void);
/** Whether the socket is for /metrics and health pages. */
bool inherit_is_for_web(const struct listener *listener);

/**
 * Adds a listener for each address of an option. A socket of `have` or `handed` that is at the
 * address is shared (they keep theirs); otherwise a new one is bound.
 * @param option its name, for the fault
 * @param optional addresses that this host lacks are skipped
 * @param have may be NULL
 */
bool inherit_or_bind(struct listeners *listeners, const char *option,
                     const struct listen_addresses *addresses, bool optional,
                     const struct listeners *have, const struct listeners *handed,
                     struct fault *fault);

/** Closes the sockets that the replaced program has bound and this one does not use any more, and
 * removes their socket files. Those in use have descriptors of their own in `used` and
 * `used_for_web`. Sockets of the process that started the server stay in `handed`. */
void inherit_close_own(struct listeners *handed, const struct listeners *used,
                       const struct listeners *used_for_web);

#endif
