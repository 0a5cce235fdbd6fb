/* SPDX-License-Identifier: MIT */
/* rosterd --check-config: what can be told of a configuration without a server, and without
 * changing anything. */
#ifndef ROSTERD_SERVER_MASTER_CONFIG_CHECK_H
#define ROSTERD_SERVER_MASTER_CONFIG_CHECK_H

#include "base/fault.h"
#include "server/config/options.h"

/** Reads tokens and certificates; looks whether logs can be written, and whether the host has the
 * addresses. @param options are the function's, to be freed by it. @return false with fault set */
bool check_config(struct options *options, struct fault *fault);

#endif
