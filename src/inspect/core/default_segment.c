/* SPDX-License-Identifier: MIT */
#include "inspect/core/default_segment.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "inspect/core/report.h"
#include "shm/store.h"
#include "user/segment_place.h"

/* A directory that this user may not enter: there is a service, and the command will say so. */
static bool is_hidden(const char *name)
{
    uid_t uid;
    gid_t gid;
    return shm_store_user(name, &uid, &gid, NULL) == SHM_ESYS;
}

const char *default_segment(void)
{
    static char own[SEGMENT_NAME_SIZE];
    const char *const names[] = {SEGMENT_OF_SERVICE, own, SEGMENT_BEFORE};
    const char *found = NULL;
    segment_of_this_user(own);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!shm_store_exists(names[i]))
            continue;
        if (found != NULL)
            exit(report_fail(INSPECT_USAGE,
                             "there are several segments, %s and %s: --segment NAME "
                             "says which",
                             found, names[i]));
        found = names[i];
    }
    if (found != NULL)
        return found;
    return geteuid() == 0 || is_hidden(SEGMENT_OF_SERVICE) ? SEGMENT_OF_SERVICE : own;
}
