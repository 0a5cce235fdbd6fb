/* SPDX-License-Identifier: MIT */
/*
 * Sockets that this process was started with (sd_listen_fds(3)): systemd's, or those of the
 * program that this one replaces (upgrade.h). Their names tell what they are for: "metrics" and
 * "metrics.own" are web listeners, all others speak gRPC; the ones ending in ".own" were bound by
 * rosterd itself, the others belong to who started it.
 */
#ifndef ROSTERD_SERVER_MASTER_INHERIT_H
#define ROSTERD_SERVER_MASTER_INHERIT_H

#include "base/fault.h"
#include "server/config/options.h"
#include "server/os/listen.h"

/** @return false with fault set: a descriptor is no listening stream socket */
bool inherit_sockets(struct listeners *sockets, struct fault *fault);
/** So that they are there still after shm_exec_again(). */
void inherit_keep_open(void);
bool inherited_for_web(const struct listener *listener);
bool inherited_own(const struct listener *listener);

/** Adds a listener for each address of an option: one of `have` or of `handed` that is at it (they
 * go on to have theirs), or a new one.
 * @param option its name, for the fault
 * @return false with fault set */
bool inherit_or_bind(struct listeners *listeners, const char *option,
                     const struct listen_addresses *addresses, bool optional,
                     const struct listeners *have, const struct listeners *handed,
                     struct fault *fault);

/** Of the program that this one replaces: what it had bound and no option asks for any more is
 * closed, and its socket files removed; the others have their own descriptors in `used` by now. */
void inherit_close_own(struct listeners *handed, const struct listeners *used,
                       const struct listeners *used_for_web);

#endif
