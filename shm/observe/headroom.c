/* SPDX-License-Identifier: MIT */
#include "shm/headroom.h"

#include <sys/statvfs.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/segment/cgroup_room.h"

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A tmpfs without a size= has no blocks, and no bound of its own. */
static void read_files(const struct shm_store *store, struct shm_headroom *headroom)
{
    struct statvfs files;
    headroom->files_size = headroom->files_free = UINT64_MAX;
    if (fstatvfs(store->fd, &files) != 0 || files.f_blocks == 0)
        return;
    headroom->files_size = (uint64_t)files.f_blocks * files.f_frsize;
    headroom->files_free = (uint64_t)files.f_bavail * files.f_frsize;
}

/* Bodies that wait to be freed are not those of users. */
static uint64_t average_user(const struct shm_info *info)
{
    uint64_t used = __atomic_load_n(&shm_control()->alloc[SHM_ALLOC_BYTES_USED], __ATOMIC_RELAXED);
    uint64_t gone = info->retired_bytes + info->held_bytes;
    if (info->users_newest < SHM_AVERAGE_USERS || used < gone + info->users_newest)
        return SHM_USER_BYTES;
    return (used - gone) / info->users_newest;
}

/* The arena grows to the next huge page at least, so less than one is of no use. The segment's own
 * bound may be less than a huge page away: up to there it grows. */
static uint64_t arena_growth(const struct shm_headroom *headroom)
{
    uint64_t others = lesser(headroom->files_free, headroom->memory_left);
    return lesser(headroom->segment_left, others / SHM_HUGE * SHM_HUGE);
}

static enum shm_bound nearest_bound(const struct shm_headroom *headroom)
{
    if (headroom->segment_left <= lesser(headroom->files_free, headroom->memory_left))
        return SHM_BOUND_SEGMENT;
    return headroom->files_free <= headroom->memory_left ? SHM_BOUND_FILES : SHM_BOUND_MEMORY;
}

void shm_headroom(const struct shm_store *store, const struct shm_info *info,
                  struct shm_headroom *headroom)
{
    read_files(store, headroom);
    headroom->memory_left = shm_room_here();
    headroom->segment_left =
        info->bytes_reserved > info->bytes_mapped ? info->bytes_reserved - info->bytes_mapped : 0;
    headroom->user_bytes = average_user(info);
    headroom->bytes = info->bytes_free + arena_growth(headroom);
    headroom->users = headroom->bytes / headroom->user_bytes;
    headroom->bound = headroom->bytes_bound = nearest_bound(headroom);
    uint64_t allowed =
        info->max_users > info->users_newest ? info->max_users - info->users_newest : 0;
    if (allowed > headroom->users)
        return;
    headroom->users = allowed;
    headroom->bound = SHM_BOUND_USERS;
}

const char *shm_bound_text(enum shm_bound bound)
{
    static const char *const texts[SHM_NUM_BOUNDS] = {
        [SHM_BOUND_USERS] = "max-users is reached",
        [SHM_BOUND_SEGMENT] = "segment-size is reached",
        [SHM_BOUND_FILES] = "/dev/shm is full",
        [SHM_BOUND_MEMORY] = "the memory limit of the control group is reached",
    };
    return texts[bound];
}
