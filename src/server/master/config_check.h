/* SPDX-License-Identifier: MIT */
/* rosterd --check-config: checks what can be checked of a configuration without starting a server,
 * and without changing anything. */
#ifndef ROSTERD_SERVER_MASTER_CONFIG_CHECK_H
#define ROSTERD_SERVER_MASTER_CONFIG_CHECK_H

#include "base/fault.h"
#include "server/config/options.h"

/** Reads the token and TLS files; checks that the logs can be written, and that this host has the
 * addresses to listen at. @param options are freed in any case */
bool config_check(struct options *options, struct fault *fault);

#endif
