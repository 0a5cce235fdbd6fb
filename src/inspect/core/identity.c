/* SPDX-License-Identifier: MIT */
#include "inspect/core/identity.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/core/memory.h"
#include "shm/store.h"

/* Sets the saved ids too, so that there is no way back; with them the kernel drops all
 * capabilities. Not being dumpable keeps other processes of that user from tracing this one, which
 * has files of root open. */
static bool drop_to(uid_t uid, gid_t gid)
{
    return setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 &&
           setresuid(uid, uid, uid) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0;
}

static enum inspect_exit become(uid_t uid, gid_t gid, const char *what)
{
    if (uid == 0 || drop_to(uid, gid))
        return INSPECT_DONE;
    return report_fail(INSPECT_FAILED, "%s: cannot become its user, %u: %s", what, (unsigned)uid,
                       strerror(errno));
}

enum inspect_exit identity_become_user(const char *segment)
{
    if (geteuid() != 0)
        return INSPECT_DONE;
    struct shm_fault fault = {{0}};
    uid_t uid;
    gid_t gid;
    int error = shm_store_user(segment, &uid, &gid, &fault);
    /* If another user creates the segment after this check, the attach refuses it: this process is
     * still root, and the segment is not root's. */
    if (error == SHM_ENOSEG)
        return INSPECT_DONE;
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    char what[300];
    snprintf(what, sizeof(what), "segment %s", segment);
    return become(uid, gid, what);
}

enum inspect_exit identity_become_owner(const char *path)
{
    struct stat st;
    if (geteuid() != 0)
        return INSPECT_DONE;
    if (lstat(path, &st) == 0)
        return become(st.st_uid, st.st_gid, path);
    char *copy = memory_check(strdup(path));
    bool found = errno == ENOENT && stat(dirname(copy), &st) == 0;
    free(copy);
    if (found)
        return become(st.st_uid, st.st_gid, path);
    return report_fail(INSPECT_FAILED, "data-file %s: %s", path, strerror(errno));
}
