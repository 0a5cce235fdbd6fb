/* SPDX-License-Identifier: MIT */
#include "inspect/core/default_segment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "inspect/core/report.h"
#include "inspect/core/segment_user.h"
#include "shm/store.h"
#include "user/segment_place.h"

/* A directory that this user may not enter: there is a service, and the command will say so. */
static bool is_hidden(const char *name)
{
    uid_t uid;
    gid_t gid;
    return shm_store_user(name, &uid, &gid, NULL) == SHM_ESYS;
}

static const char *default_segment(uid_t user)
{
    static char own[SEGMENT_NAME_SIZE];
    snprintf(own, sizeof(own), "/rosterd-%u", (unsigned)user);
    uid_t service = segment_user(SEGMENT_OF_SERVICE);
    bool has_service = segment_is_meant(SEGMENT_OF_SERVICE, user),
         has_own = segment_user(own) == user;
    if (has_service && has_own && user != 0 && service != user)
        exit(report_fail(INSPECT_USAGE,
                         "there are two segments, %s and %s: --segment NAME says which",
                         SEGMENT_OF_SERVICE, own));
    if (has_service)
        return SEGMENT_OF_SERVICE;
    if (has_own)
        return own;
    if (segment_is_meant(SEGMENT_BEFORE, user))
        return SEGMENT_BEFORE;
    return user == 0 || is_hidden(SEGMENT_OF_SERVICE) ? SEGMENT_OF_SERVICE : own;
}

const char *segment_or_default(const char *name, const char *data_file)
{
    struct stat st;
    bool before = name != NULL && strcmp(name, SEGMENT_BEFORE) == 0 && !shm_store_exists(name);
    bool other = geteuid() == 0 && data_file != NULL && stat(data_file, &st) == 0;
    return name != NULL && !before ? name : default_segment(other ? st.st_uid : geteuid());
}
