/* SPDX-License-Identifier: MIT */
#include "server/master/refusals.h"

#include <string.h>
#include <sys/param.h>

void refusals_begin(struct refusals *refusals, const struct refusals_counts *counts)
{
    *refusals = (struct refusals){.counts = *counts, .calm = REFUSALS_CALM_MS};
}

static uint64_t sum_of(const struct refusals_counts *counts)
{
    return counts->users + counts->segment + counts->memory;
}

static bool counts_differ(const struct refusals *refusals, const struct refusals_counts *counts)
{
    return memcmp(&refusals->counts, counts, sizeof(*counts)) != 0;
}

bool refusals_pending(const struct refusals *refusals, const struct refusals_counts *counts)
{
    return refusals->refused || counts_differ(refusals, counts);
}

/* The store does not tell /dev/shm from a control group: the one that has less left it is. */
static enum shm_bound reason_of(const struct refusals *refusals,
                                const struct refusals_counts *counts,
                                const struct shm_headroom *headroom)
{
    if (counts->memory != refusals->counts.memory)
        return headroom->memory_left < headroom->files_free ? SHM_BOUND_MEMORY : SHM_BOUND_FILES;
    return counts->segment != refusals->counts.segment ? SHM_BOUND_SEGMENT : SHM_BOUND_USERS;
}

static void begin_refusal(struct refusals *refusals, uint64_t now)
{
    bool soon = refusals->ended != 0 && now < refusals->ended + REFUSALS_SOON_MS;
    refusals->calm = soon ? MIN(2 * refusals->calm, REFUSALS_CALM_MAX_MS) : REFUSALS_CALM_MS;
    refusals->refused = true;
    refusals->before = sum_of(&refusals->counts);
    refusals->since = now;
    refusals->users = refusals->bytes = UINT64_MAX;
}

/* A user who was created shows it best. But after a refusal clients may have stopped trying. */
static bool has_room(const struct refusals *refusals, const struct shm_info *info,
                     const struct shm_headroom *headroom)
{
    if (info->users_newest >= info->max_users)
        return false;
    return refusals->bound == SHM_BOUND_USERS || info->users_newest > refusals->users ||
           headroom->bytes >= refusals->bytes + REFUSALS_ROOM_USERS * headroom->user_bytes ||
           headroom->bytes >= info->bytes_free + REFUSALS_ROOM_STEP; /* room was there at once */
}

enum refusals_news refusals_note(struct refusals *refusals, const struct refusals_counts *counts,
                                 const struct shm_info *info, const struct shm_headroom *headroom,
                                 uint64_t now)
{
    enum refusals_news news = REFUSALS_SAME;
    if (counts_differ(refusals, counts)) {
        news = refusals->refused ? REFUSALS_SAME : REFUSALS_BEGUN;
        if (!refusals->refused)
            begin_refusal(refusals, now);
        refusals->bound = reason_of(refusals, counts, headroom);
        refusals->counts = *counts;
        refusals->last = now;
    } else if (refusals->refused && now >= refusals->last + refusals->calm &&
               has_room(refusals, info, headroom)) {
        refusals->refused = false;
        refusals->ended = now;
        news = REFUSALS_ENDED;
    }
    refusals->users = MIN(refusals->users, info->users_newest);
    refusals->bytes = MIN(refusals->bytes, headroom->bytes);
    return news;
}

uint64_t refusals_writes(const struct refusals *refusals)
{
    return sum_of(&refusals->counts) - refusals->before;
}
