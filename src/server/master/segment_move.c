/* SPDX-License-Identifier: MIT */
#include "server/master/segment_move.h"

#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "server/os/log.h"
#include "shm/store.h"
#include "user/segment_place.h"

/* Another user's is none of this server's business. */
static bool is_ours(const char *name)
{
    uid_t uid;
    gid_t gid;
    return shm_store_exists(name) && shm_store_user(name, &uid, &gid, NULL) == SHM_OK &&
           uid == geteuid();
}

/* The service's directory has the name that its segment had. */
static int move(const char *name, struct shm_fault *reason)
{
    const char *last = strrchr(name, '/');
    return last == name ? shm_store_move(SEGMENT_BEFORE, name, reason)
                        : shm_store_move_inside(SEGMENT_BEFORE, last + 1, reason);
}

bool segment_move_old(const char *name, struct fault *fault)
{
    struct shm_fault reason;
    if (!shm_store_exists(name) && is_ours(SEGMENT_BEFORE)) {
        if (move(name, &reason) != SHM_OK)
            return fault_set(fault, "%s; it would have to be %s, as this version names it",
                             reason.text, name);
        log_notice("segment %s: moved to %s, the name that this version gives it", SEGMENT_BEFORE,
                   name);
    }
    shm_store_end_moves(SEGMENT_BEFORE, name);
    return true;
}
