/* SPDX-License-Identifier: MIT */
/*
 * Names are checked and changed in several steps, and other processes may do the same at the same
 * time. It is safe because a name is only created by linkat(), which never replaces a file, and
 * because a process removes a kept link only while it holds the owner lock of the file at that
 * link, after it has checked that the link still leads there.
 */
#include "shm/segment/name_links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/core/fail.h"
#include "shm/core/store_handle.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_file.h"
#include "shm/store.h"

void shm_name_kept_path(char path[300], const char *name)
{
    shm_file_hidden_path(path, name, "kept");
}

static bool link_to(int fd, const char *path)
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
}

/* Opens the file at a kept link, if it belongs to this user: another user cannot have owned the
 * segment. @return a descriptor, or -1 */
static int open_kept(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool has_other_link(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_nlink > 1;
}

/* Removes a kept link that no live owner needs. @param last_too also if it is the file's last link
 * @return false: a live owner has the file, or the link cannot be removed */
static bool remove_stale(const char *path, bool last_too)
{
    int fd = open_kept(path);
    if (fd < 0)
        return false;
    bool removed = shm_owner_take(fd, path, NULL) == SHM_OK && shm_file_is_at(fd, path) &&
                   (last_too || has_other_link(fd)) && unlink(path) == 0;
    close(fd);
    return removed;
}

int shm_name_check_claim(int fd, const char *name, struct shm_fault *fault)
{
    char path[300];
    shm_name_kept_path(path, name);
    int kept = shm_file_is_at(fd, path) ? -1 : open_kept(path);
    if (kept < 0)
        return SHM_OK;
    char owner[SHM_OWNER_TEXT];
    int rc = shm_owner_take(kept, name, NULL);
    if (rc == SHM_EOWNED)
        shm_owner_describe(kept, owner);
    close(kept);
    if (rc != SHM_EOWNED)
        return SHM_OK;
    return shm_fail(
        fault, SHM_EOWNED,
        "segment %s: a live server owns it%s, whose file was removed from " SHM_DIRECTORY, name,
        owner);
}

enum shm_name_state shm_name_hold(int fd, const char *name)
{
    char path[300], kept[300];
    struct stat st;
    if (shm_file_path(path, name, NULL) != SHM_OK || fstat(fd, &st) != 0)
        return SHM_NAME_FAILED;
    shm_name_kept_path(kept, name);
    /* without the kept link the name works until another process removes it */
    if (!shm_file_is_at(fd, kept) && !link_to(fd, kept) && errno == EEXIST &&
        remove_stale(kept, false))
        (void)link_to(fd, kept);
    if (shm_file_is_at(fd, path))
        return SHM_NAME_OURS;
    if (link_to(fd, path))
        return SHM_NAME_RESTORED;
    if (errno == EEXIST)
        return SHM_NAME_TAKEN;
    return errno == ENOENT && st.st_nlink == 0 ? SHM_NAME_LOST : SHM_NAME_FAILED;
}

bool shm_name_release(int fd, const char *name)
{
    char kept[300];
    shm_name_kept_path(kept, name);
    if (!shm_file_is_at(fd, kept))
        return true;
    return has_other_link(fd) && unlink(kept) == 0;
}

void shm_name_remove_kept(const char *name)
{
    char kept[300];
    shm_name_kept_path(kept, name);
    (void)remove_stale(kept, false);
}

void shm_name_remove_stale(const char *name)
{
    char kept[300];
    shm_name_kept_path(kept, name);
    (void)remove_stale(kept, true);
}

bool shm_store_has_name(const struct shm_store *store)
{
    char path[300];
    return shm_file_path(path, store->name, NULL) == SHM_OK && shm_file_is_at(store->fd, path);
}

bool shm_name_aside(char aside[256], const char *name, int i)
{
    char stamp[32];
    time_t now = clock_real_s();
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
    int len = i == 0 ? snprintf(aside, 256, "%s.%s", name, stamp)
                     : snprintf(aside, 256, "%s.%s-%d", name, stamp, i);
    return len < 256;
}
