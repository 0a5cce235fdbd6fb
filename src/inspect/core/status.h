/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_INSPECT_STATUS_H
#define ROSTERD_INSPECT_STATUS_H

#include <json-c/json.h>

#include "shm/store.h"

/** What `status --json` prints; the caller's to put. */
struct json_object *status_object(const struct shm_info *info);

#endif
