/* SPDX-License-Identifier: MIT */
#include "server/master/segment_move.h"

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

static bool move(const char *from, const char *to)
{
    struct shm_fault reason;
    if (shm_store_move(from, to, &reason) == SHM_OK)
        return true;
    log_warning("%s", reason.text);
    return false;
}

void segment_move_old(const char *name)
{
    if (shm_store_exists(name))
        return;
    if (!is_ours(SEGMENT_ON_THE_WAY) &&
        !(is_ours(SEGMENT_BEFORE) && move(SEGMENT_BEFORE, SEGMENT_ON_THE_WAY)))
        return;
    if (move(SEGMENT_ON_THE_WAY, name))
        log_notice("segment %s: moved to %s, the name that this version gives it", SEGMENT_BEFORE,
                   name);
}
