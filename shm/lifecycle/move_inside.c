/* SPDX-License-Identifier: MIT */
/*
 * Moves a segment from /NAME to /NAME/LAST. A directory with a name of its own is made ready, with
 * links to both files, and changes places with the segment's file. After that the links of before
 * are removed. So both names lead to the segment at any time, or one of them does, and no other
 * user can take NAME in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/test_points.h"
#include "shm/error.h"
#include "shm/segment/name_links.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_file.h"
#include "shm/store.h"

/* A directory that is made ready; after the change of places, the segment's file. */
#define READY SHM_DIRECTORY "/.rosterd-move-"

/* Opens the file and takes its owner lock. @param fd set to -1 if that fails */
static int lock_moved(int *fd, const char *name, struct shm_fault *fault)
{
    int rc = shm_file_open(fd, name, SHM_AS_OWNER, fault);
    if (rc != SHM_OK) {
        *fd = -1;
        return rc;
    }
    rc = shm_owner_take(*fd, name, fault);
    if (rc == SHM_OK)
        rc = shm_guests_exclude(*fd, name, fault);
    if (rc != SHM_OK) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

/* A second link to the file, in the directory. */
static bool link_into(int fd, const char *directory, const char *last, const char *suffix)
{
    char self[64], path[600];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    snprintf(path, sizeof(path), "%s/%s%s", directory, last, suffix);
    return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
}

static bool unlink_if_not_last(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
           st.st_nlink > 1 && unlink(path) == 0;
}

/* Removes a directory that was made ready, or a link that is left. The directory's links are
 * second ones: if one is a file's last, both stay. */
static void remove_ready(const char *path)
{
    char entries[600];
    glob_t found;
    struct stat st;
    if (lstat(path, &st) != 0 || st.st_uid != geteuid())
        return;
    if (!S_ISDIR(st.st_mode)) {
        (void)unlink_if_not_last(path);
        return;
    }
    snprintf(entries, sizeof(entries), "%s/*", path);
    if (glob(entries, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            (void)unlink_if_not_last(found.gl_pathv[i]);
        globfree(&found);
    }
    (void)rmdir(path);
}

/* The second links that a server had for both names, and the counters' name. */
static void remove_names(const char *name, int fd, int stats)
{
    char counters[300], path[300];
    (void)shm_name_release(fd, name);
    if (stats < 0)
        return;
    snprintf(counters, sizeof(counters), "%.240s.stats", name);
    (void)shm_name_release(stats, counters);
    if (shm_file_path(path, counters, NULL) == SHM_OK && shm_file_is_at(stats, path))
        (void)unlink_if_not_last(path);
}

/* @param ready the directory; removed if that fails */
static int change_places(const char *name, const char *ready, struct shm_fault *fault)
{
    char path[300];
    int rc = shm_segment_path(path, name, fault);
    if (rc == SHM_OK && renameat2(AT_FDCWD, ready, AT_FDCWD, path, RENAME_EXCHANGE) != 0)
        rc = shm_fail(fault, SHM_ESYS, "segment %s: cannot move it into a directory: %s", name,
                      strerror(errno));
    SHM_POINT("places changed");
    remove_ready(ready); /* the directory, or the link that was the name */
    return rc;
}

int shm_store_move_inside(const char *name, const char *last, struct shm_fault *fault)
{
    char ready[] = READY "XXXXXX", counters[300];
    snprintf(counters, sizeof(counters), "%.240s.stats", name);
    int fd, stats;
    int rc = lock_moved(&fd, name, fault);
    if (rc != SHM_OK)
        return rc;
    (void)lock_moved(&stats, counters, NULL); /* there may be none */
    if (mkdtemp(ready) == NULL || chmod(ready, 0750) != 0 || !link_into(fd, ready, last, "") ||
        (stats >= 0 && !link_into(stats, ready, last, ".stats")))
        rc = shm_fail(fault, SHM_ESYS, "segment %s: cannot make a directory for it: %s", name,
                      strerror(errno));
    SHM_POINT("directory ready");
    if (rc == SHM_OK)
        rc = change_places(name, ready, fault);
    else
        remove_ready(ready);
    if (rc == SHM_OK)
        remove_names(name, fd, stats);
    if (stats >= 0)
        close(stats);
    close(fd);
    return rc;
}

void shm_store_end_moves(const char *before, const char *name)
{
    char old[300], new[300];
    glob_t found;
    struct stat st, moved;
    if (glob(READY "*", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            remove_ready(found.gl_pathv[i]);
        globfree(&found);
    }
    snprintf(old, sizeof(old), SHM_DIRECTORY "%.240s.stats", before);
    snprintf(new, sizeof(new), SHM_DIRECTORY "%.240s.stats", name);
    if (lstat(old, &st) == 0 && lstat(new, &moved) == 0 && st.st_ino == moved.st_ino)
        (void)unlink_if_not_last(old);
    shm_name_remove_kept(before);
    snprintf(old, sizeof(old), "%.240s.stats", before);
    shm_name_remove_kept(old);
}
