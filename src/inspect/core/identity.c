/* SPDX-License-Identifier: MIT */
/*
 * Root's tool. The segment belongs to the server's user, who may have been taken over by an
 * attacker, and the C library writes through pointers that lie in it (robust mutexes). So nothing
 * of a segment is mapped with more rights than its user has.
 */
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "inspect/core/inspect.h"

static bool was_root; /* at the start */

/* No way back: the saved ids, too, and with them the kernel takes all capabilities. Nor may the
 * new user's other processes look into this one, which has files of root's open. */
static bool become(uid_t uid, gid_t gid)
{
    return setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 &&
           setresuid(uid, uid, uid) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0;
}

void inspect_look_for_base(const struct inspect_options *options)
{
    was_root = geteuid() == 0;
    if (was_root && !shm_base_free())
        shm_exec_again(options->argv);
}

enum inspect_exit inspect_become_user(const struct inspect_options *options)
{
    struct shm_fault fault = {{0}};
    uid_t uid;
    gid_t gid;

    if (geteuid() != 0)
        return INSPECT_DONE;
    int error = shm_store_user(options->segment, &uid, &gid, &fault);
    if (error == SHM_ENOSEG) /* where one comes meanwhile, it is root's or refused */
        return INSPECT_DONE;
    if (error != SHM_OK)
        return inspect_fail_store(error, &fault);
    if (uid == 0)
        return INSPECT_DONE;
    if (become(uid, gid))
        return INSPECT_DONE;
    return inspect_fail(INSPECT_FAILED, "segment %s: cannot become its user, %u: %s",
                        options->segment, (unsigned)uid, strerror(errno));
}

void inspect_start_over(const struct inspect_options *options)
{
    if (!was_root)
        shm_exec_again(options->argv);
}
