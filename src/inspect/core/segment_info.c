/* SPDX-License-Identifier: MIT */
#include "inspect/core/segment_info.h"

#include <string.h>

#include "inspect/core/object.h"
#include "user/user.h"

static struct json_object *unique_keys_array(unsigned unique)
{
    struct json_object *names = object_new_array();
    for (unsigned key = 0; key < USER_KEYS; key++) {
        if (unique >> key & 1)
            object_append(names, json_object_new_string(user_key_name(key)));
    }
    return names;
}

struct json_object *segment_info_object(const struct shm_info *info, const struct disk_status *disk)
{
    struct json_object *object = object_new();
    object_add(object, "name",
               object_new_text(info->name, strnlen(info->name, sizeof(info->name))));
    object_add_bool(object, "owned", info->owned);
    object_add_number(object, "users", info->users);
    object_add_number(object, "max_users", info->max_users);
    object_add_number(object, "version", info->version);
    object_add_number(object, "published", info->published);
    object_add_number(object, "actors", info->actors);
    object_add_number(object, "buckets", info->buckets);
    object_add_number(object, "bytes_used", info->bytes_used);
    object_add_number(object, "bytes_free", info->bytes_free);
    object_add_number(object, "bytes_mapped", info->bytes_mapped);
    object_add_number(object, "bytes_reserved", info->bytes_reserved);
    object_add(object, "unique", unique_keys_array(info->unique));
    object_add_number(object, "retired_bodies", info->retired_count);
    object_add_number(object, "retired_bytes", info->retired_bytes);
    object_add_number(object, "held_bodies", info->held_count);
    object_add_number(object, "held_bytes", info->held_bytes);
    object_add_number(object, "snapshot_max_bytes", info->snapshot_max_bytes);
    object_add_number(object, "requests", info->requests);
    object_add_bool(object, "rebuilding", info->rebuilding);
    object_add_number(object, "created_at", info->created_at);
    object_add(object, "journal", disk_status_object(disk));
    return object;
}
