/* SPDX-License-Identifier: MIT */
#include "server/master/room_watch.h"

#include "server/os/log.h"
#include "service/observe/stats.h"
#include "shm/headroom.h"

enum { LOOK_MS = 500 }; /* between two looks at the workers' counts */

static struct refusals_counts read_counts(const struct master *master)
{
    const struct shm_counters *counters = master->segment.counters;
    size_t at = stats_process_at();
    return (struct refusals_counts){
        .users = shm_counters_sum(counters, at + STATS_NO_ROOM_USERS),
        .segment = shm_counters_sum(counters, at + STATS_NO_ROOM_SEGMENT),
        .memory = shm_counters_sum(counters, at + STATS_NO_ROOM_MEMORY),
    };
}

static void read_room(const struct master *master, struct shm_info *info,
                      struct shm_headroom *headroom)
{
    shm_store_info(master->segment.store, info);
    shm_headroom(master->segment.store, info, headroom);
}

/* ---- at the start ---- */

/* What keeps the segment from growing, and what to do about it. */
static const struct advice {
    const char *what, *todo;
} advices[SHM_NUM_BOUNDS] = {
    [SHM_BOUND_SEGMENT] = {"segment-size", "raise segment-size"},
    [SHM_BOUND_FILES] = {"/dev/shm", "enlarge /dev/shm (mount -o remount,size=... /dev/shm, or "
                                     "the container's shm_size)"},
    [SHM_BOUND_MEMORY] = {"the memory limit of the control group",
                          "raise the limit (MemoryMax=, or the container's memory)"},
};

static unsigned long long to_mib(uint64_t bytes)
{
    return bytes >> 20;
}

static void warn_if_short(const struct shm_info *info, const struct shm_headroom *headroom)
{
    const struct advice *advice = &advices[headroom->bytes_bound];
    if (headroom->bound == SHM_BOUND_USERS)
        return;
    uint64_t missing = info->max_users - info->users_newest;
    log_warning("max-users %llu may need %llu MiB more, at %llu bytes a user, but the segment has "
                "%llu MiB free and %s lets it grow by %llu MiB: some %llu more users will fit; %s, "
                "or lower max-users",
                (unsigned long long)info->max_users,
                to_mib(missing * headroom->user_bytes + (UINT64_C(1) << 20) - 1),
                (unsigned long long)headroom->user_bytes, to_mib(info->bytes_free), advice->what,
                to_mib(headroom->bytes - info->bytes_free), (unsigned long long)headroom->users,
                advice->todo);
}

void room_watch_begin(struct master *master)
{
    struct shm_info info;
    struct shm_headroom headroom;
    struct refusals_counts counts = read_counts(master);
    read_room(master, &info, &headroom);
    warn_if_short(&info, &headroom);
    refusals_begin(&master->refusals, &counts);
}

/* ---- while the server serves ---- */

static void set_gauges(const struct master *master, bool shown)
{
    for (unsigned bound = 0; bound < SHM_NUM_BOUNDS; bound++)
        stats_set_total(master->segment.stats, STATS_REFUSED_BY_USERS + bound,
                        shown && master->refusals.refused && master->refusals.bound == bound);
}

static void log_news(const struct refusals *refusals, enum refusals_news news,
                     const struct shm_info *info, uint64_t now)
{
    if (news == REFUSALS_BEGUN)
        log_error("creates are refused: %s; the table has %llu users",
                  shm_bound_text(refusals->bound), (unsigned long long)info->users_newest);
    else if (news == REFUSALS_ENDED)
        log_notice("creates are accepted again, after %llu s; %llu writes were refused",
                   (unsigned long long)(now - refusals->since) / 1000,
                   (unsigned long long)refusals_writes(refusals));
}

/* While the successor serves too, its master watches. */
void room_watch_check(struct master *master, uint64_t now)
{
    struct refusals *refusals = &master->refusals;
    if (now < master->check_room_at || master->phase == MASTER_STARTING)
        return;
    master->check_room_at = now + LOOK_MS;
    struct refusals_counts counts = read_counts(master);
    if (master->handed_over)
        set_gauges(master, false);
    if (master->handed_over || !refusals_pending(refusals, &counts))
        return;
    struct shm_info info;
    struct shm_headroom headroom;
    read_room(master, &info, &headroom);
    enum refusals_news news = refusals_note(refusals, &counts, &info, &headroom, now);
    set_gauges(master, true);
    log_news(refusals, news, &info, now);
    if (news != REFUSALS_SAME)
        master->status_at = 0; /* tell systemd at once */
}
