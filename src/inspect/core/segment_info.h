/* SPDX-License-Identifier: MIT */
/* The numbers of a segment as JSON, for status and watch. */
#ifndef ROSTERD_INSPECT_CORE_SEGMENT_INFO_H
#define ROSTERD_INSPECT_CORE_SEGMENT_INFO_H

#include <json-c/json.h>

#include "inspect/core/disk_status.h"
#include "shm/store.h"

/** What `status --json` prints. The caller owns the object. */
struct json_object *segment_info_object(const struct shm_info *info,
                                        const struct disk_status *disk);

#endif
