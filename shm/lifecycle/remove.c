/* SPDX-License-Identifier: MIT */
/* Removes a segment, or gives it another name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/counters.h"
#include "shm/error.h"
#include "shm/segment/name_links.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_file.h"
#include "shm/store.h"

/* Opens the segment and takes the owner lock, so that no other process serves it or writes to it.
 * The contents are not read or mapped, and names are changed without following symbolic links. So
 * root may do this to any user's segment. */
static int open_alone(int *fd, char path[300], const char *name, struct shm_fault *fault)
{
    int rc = shm_segment_path(path, name, fault);
    if (rc == SHM_OK)
        rc = shm_file_open(fd, name, SHM_AS_REMOVER, fault);
    if (rc != SHM_OK)
        return rc;
    SHM_POINT("file opened");
    rc = shm_owner_take(*fd, name, fault);
    if (rc == SHM_OK)
        rc = shm_guests_exclude(*fd, name, fault);
    if (rc == SHM_OK && !shm_file_is_at(*fd, path)) /* changed between open and lock */
        rc = shm_fail(fault, SHM_ENOSEG, "segment %s: it was removed just now", name);
    if (rc != SHM_OK)
        close(*fd);
    return rc;
}

int shm_store_unlink(const char *name, struct shm_fault *fault)
{
    char path[300];
    int fd;
    int rc = open_alone(&fd, path, name, fault);
    if (rc == SHM_ENOSEG)
        shm_name_remove_stale(name);
    if (rc != SHM_OK)
        return rc;
    (void)shm_name_release(fd, name);
    if (unlink(path) != 0)
        rc = shm_fail(fault, SHM_ESYS, "segment %s: cannot unlink it: %s", name, strerror(errno));
    if (rc == SHM_OK)
        shm_counters_move(name, NULL);
    close(fd);
    return rc;
}

static int rename_aside(const char *from, const char *name, char moved_to[256],
                        struct shm_fault *fault)
{
    char target[300];
    for (int i = 0; i < SHM_ASIDE_MAX; i++) {
        if (!shm_name_aside(moved_to, name, i))
            return shm_fail(fault, SHM_EINVAL, "segment %s: its name is too long for another",
                            name);
        snprintf(target, sizeof(target), SHM_DIRECTORY "%s", moved_to);
        if (renameat2(AT_FDCWD, from, AT_FDCWD, target, RENAME_NOREPLACE) == 0)
            return SHM_OK;
        if (errno != EEXIST)
            break;
    }
    return shm_fail(fault, SHM_ESYS, "segment %s: cannot move it to %s: %s", name, moved_to,
                    strerror(errno));
}

/* An own second link leads to a segment of this user, which may have a live owner: it stays. */
static void unlink_foreign(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && st.st_uid != geteuid())
        (void)unlink(path);
}

/* The counters are as foreign, and would be in the way. So may be the second links. */
static int set_foreign_aside(const char *path, const char *name, char moved_to[256],
                             struct shm_fault *fault)
{
    char stats[300], old[300], new[300];
    int rc = rename_aside(path, name, moved_to, fault);
    if (rc != SHM_OK)
        return rc;
    snprintf(stats, sizeof(stats), "%.240s.stats", name);
    shm_name_kept_path(old, name);
    unlink_foreign(old);
    if (!shm_file_is_foreign_in_own_directory(stats))
        return SHM_OK;
    shm_name_kept_path(old, stats);
    unlink_foreign(old);
    snprintf(old, sizeof(old), SHM_DIRECTORY "%.250s", stats);
    snprintf(new, sizeof(new), SHM_DIRECTORY "%.240s.stats", moved_to);
    (void)renameat2(AT_FDCWD, old, AT_FDCWD, new, RENAME_NOREPLACE);
    return SHM_OK;
}

int shm_store_set_aside(const char *name, char moved_to[256], struct shm_fault *fault)
{
    char path[300];
    int fd;
    int rc = open_alone(&fd, path, name, fault);
    bool foreign = (rc == SHM_OK || rc == SHM_EPERM) && shm_file_is_foreign_in_own_directory(name);
    if (foreign && rc == SHM_OK)
        close(fd);
    if (foreign)
        return set_foreign_aside(path, name, moved_to, fault);
    if (rc != SHM_OK)
        return rc;
    rc = rename_aside(path, name, moved_to, fault);
    if (rc == SHM_OK) {
        (void)shm_name_release(fd, name);
        shm_counters_move(name, moved_to); /* does nothing if there are none */
    }
    close(fd);
    return rc;
}

int shm_store_move(const char *name, const char *moved_to, struct shm_fault *fault)
{
    char from[300], path[300];
    int fd;
    int rc = shm_segment_path(path, moved_to, fault);
    if (rc == SHM_OK)
        rc = shm_file_make_directory(moved_to, fault);
    if (rc == SHM_OK)
        rc = open_alone(&fd, from, name, fault);
    if (rc == SHM_EPERM && shm_file_is_foreign_in_own_directory(name) &&
        renameat2(AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return SHM_OK; /* what shm_store_set_aside() has moved, back again */
    if (rc != SHM_OK)
        return rc;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE) == 0) {
        (void)shm_name_release(fd, name);
        shm_counters_move(name, moved_to);
    } else {
        rc = shm_fail(fault, SHM_ESYS, "segment %s: cannot move it to %s: %s", name, moved_to,
                      strerror(errno));
    }
    close(fd);
    return rc;
}

bool shm_store_exists(const char *name)
{
    char path[300];
    struct stat st;
    return shm_segment_path(path, name, NULL) == SHM_OK && lstat(path, &st) == 0 &&
           S_ISREG(st.st_mode);
}

bool shm_store_is_at(int fd, const char *name)
{
    char path[300], kept[300];
    if (shm_segment_path(path, name, NULL) != SHM_OK)
        return false;
    shm_name_kept_path(kept, name);
    return shm_file_is_at(fd, path) || shm_file_is_at(fd, kept);
}

bool shm_store_release_name(struct shm_store *store, char moved_to[256])
{
    char kept[300];
    if (shm_name_release(store->fd, store->name))
        return false;
    shm_name_kept_path(kept, store->name);
    return rename_aside(kept, store->name, moved_to, NULL) == SHM_OK;
}
