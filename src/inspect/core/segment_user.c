/* SPDX-License-Identifier: MIT */
#include "inspect/core/segment_user.h"

#include <stddef.h>

#include "shm/store.h"

enum { SYSTEM_USERS = 1000 }; /* smaller numbers are the system's and its services' (Debian's) */

uid_t segment_user(const char *name)
{
    uid_t uid;
    gid_t gid;
    return shm_store_exists(name) && shm_store_user(name, &uid, &gid, NULL) == SHM_OK ? uid
                                                                                      : (uid_t)-1;
}

bool segment_is_meant(const char *name, uid_t user)
{
    uid_t owner = segment_user(name);
    return owner != (uid_t)-1 && (owner == user || owner < SYSTEM_USERS);
}
