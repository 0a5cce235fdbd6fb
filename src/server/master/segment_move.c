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
static int move(const char *old, const char *name, struct shm_fault *reason)
{
    const char *last = strrchr(name, '/');
    return last != name && strcmp(old, SEGMENT_BEFORE) == 0
               ? shm_store_move_inside(old, last + 1, reason)
               : shm_store_move(old, name, reason);
}

/* A server of the service's user that nothing told that it is the service has had this user's. */
static const char *find_old(char own[SEGMENT_NAME_SIZE], const char *name)
{
    segment_of_this_user(own);
    if (is_ours(SEGMENT_BEFORE))
        return SEGMENT_BEFORE;
    return strcmp(name, own) != 0 && is_ours(own) ? own : NULL;
}

bool segment_move_old(const char *name, struct fault *fault)
{
    char own[SEGMENT_NAME_SIZE];
    struct shm_fault reason;
    const char *old = shm_store_exists(name) ? NULL : find_old(own, name);
    if (old != NULL) {
        if (move(old, name, &reason) != SHM_OK)
            return fault_set(fault, "%s; it would have to be %s, as this version names it",
                             reason.text, name);
        log_notice("segment %s: moved to %s, the name that this version gives it", old, name);
    }
    shm_store_end_moves(SEGMENT_BEFORE, name);
    return true;
}
