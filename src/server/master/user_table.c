/* SPDX-License-Identifier: MIT */
#include "server/master/user_table.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "server/master/inherit.h"
#include "service/observe/stats.h"
#include "service/services.h"
#include "user/user.h"

enum { TELL_AGAIN_MS = 30000 }; /* as long as a name is not what it should be */

_Static_assert((int)USER_KEYS == SHM_KEYS && (int)USER_KEY_MAX == SHM_KEY_MAX,
               "the store's keys are a user's");

static bool fail(struct fault *fault, const char *text, const char *more)
{
    snprintf(fault->text, sizeof(fault->text), "%s%s", text, more);
    return false;
}

/* What a large segment's check or rebuild is at: about each second, from the second one on. */
struct progress {
    const char *segment;
    time_t told_at;
};

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void log_progress(void *data, const char *what, unsigned percent)
{
    struct progress *progress = data;
    if (now_s() <= progress->told_at)
        return;
    progress->told_at = now_s();
    log_notice("%s segment %s: %u %%", what, progress->segment, percent);
}

static bool set_aside(const char *name, struct fault *fault)
{
    char moved_to[256];
    struct shm_fault reason;
    int error = shm_store_set_aside(name, moved_to, &reason);
    if (error == SHM_OK)
        log_notice("segment %s: moved aside to %s", name, moved_to);
    else if (error == SHM_ENOSEG)
        log_notice("segment %s: there is none to move aside", name);
    else
        return fail(fault, reason.text, "");
    return true;
}

static bool exists(const char *name)
{
    int fd = shm_open(name, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || errno != ENOENT;
}

static int open_store(struct segment *segment, const struct options *options,
                      const struct upgrade_origin *origin, struct shm_fault *reason)
{
    struct progress progress = {.segment = options->segment, .told_at = now_s()};
    const struct shm_config config = {
        .name = options->segment,
        .size = options->segment_size,
        .max_users = options->max_users,
        .unique = (unsigned)options->unique,
        .key_of = user_key_of,
        .snapshot_max_bytes = options->snapshot_max_bytes,
        .progress = log_progress,
        .progress_data = &progress,
    };
    bool inherited = origin->segment_fd >= 0;
    /* where the start fails later, a segment that it made goes again */
    bool existed = inherited || exists(options->segment);
    int error = inherited ? shm_store_inherit(&segment->store, &config, origin->segment_fd, reason)
                          : shm_store_open(&segment->store, &config, reason);
    if (error == SHM_EBASE) {
        inherit_keep_open();
        upgrade_origin_keep_open(origin);
        shm_exec_again(options->argv);
    }
    segment->made = error == SHM_OK && !existed;
    return error;
}

/* What an upgrade cannot change, for the old program's workers are at it. */
static void warn_of_differences(const struct segment *segment, const struct options *options)
{
    struct shm_info info;
    shm_store_info(segment->store, &info);
    if (info.max_users != options->max_users || info.unique != options->unique ||
        info.snapshot_max_bytes != options->snapshot_max_bytes)
        log_warning("upgrade: max-users, unique and snapshot-max-bytes stay as they were: only a "
                    "restart changes them");
}

bool segment_open(struct segment *segment, const struct options *options,
                  const struct upgrade_origin *origin, struct fault *fault)
{
    struct shm_fault reason;
    size_t num_names;
    bool beside = origin->segment_fd >= 0;
    if (options->segment_reset && origin->segment_fd < 0 && !set_aside(options->segment, fault))
        return false;
    snprintf(segment->name, sizeof(segment->name), "%s", options->segment);
    int error = open_store(segment, options, origin, &reason);
    if (error == SHM_ECORRUPT || (error == SHM_ELAYOUT && origin->segment_fd < 0))
        return fail(fault, reason.text,
                    "; --segment-reset moves it aside and starts with an empty one");
    if (error != SHM_OK)
        return fail(fault, reason.text, "");
    if (origin->segment_fd >= 0)
        warn_of_differences(segment, options);
    if (shm_actor_join(&segment->actor, segment->store, SHM_ACTOR_MASTER, 0, &reason) != SHM_OK)
        return fail(fault, reason.text, "");
    size_t num_services;
    const struct grpc_service *const *services = services_all(&num_services);
    if (!stats_init(services, num_services))
        return fail(fault, "out of memory", "");
    const char *const *names = stats_names(&num_names);
    error = (beside ? shm_counters_succeed : shm_counters_open)(
        &segment->counters, options->segment, names, num_names, &reason);
    if (error != SHM_OK)
        return fail(fault, reason.text, "");
    segment->stats =
        stats_create(shm_counters_row(segment->counters, shm_actor_slot(segment->actor)));
    if (segment->stats == NULL)
        return fail(fault, "out of memory", "");
    (void)segment_look(segment, 0, false);
    return true;
}

/* ---- its names ---- */

static void tell(const char *name, const char *suffix, enum shm_name_state state, int error)
{
    char why[160] = ": it has its name again";
    if (state == SHM_NAME_TAKEN)
        snprintf(why, sizeof(why), ", and another file has its name now, which is left alone");
    else if (state == SHM_NAME_LOST)
        snprintf(why, sizeof(why), ", by all its links, and cannot be put back");
    else if (state == SHM_NAME_FAILED)
        snprintf(why, sizeof(why), ", and cannot be put back now: %s", strerror(error));
    log_error("segment %s%s: its file was removed from /dev/shm while it is in use%s", name, suffix,
              why);
}

/* @return whether it was given back */
static bool look_at(struct segment_name *at, enum shm_name_state state, const char *name,
                    const char *suffix, uint64_t now)
{
    int error = errno;
    bool changed = state != at->state;
    at->state = state;
    if (state == SHM_NAME_OURS ||
        (!changed && state != SHM_NAME_RESTORED && now < at->told_at + TELL_AGAIN_MS))
        return false;
    at->told_at = now;
    tell(name, suffix, state, error);
    return state == SHM_NAME_RESTORED;
}

unsigned segment_look(struct segment *segment, uint64_t now, bool upgrading)
{
    struct segment_name *users = &segment->names[0], *counts = &segment->names[1];
    unsigned given = look_at(users, shm_store_hold_name(segment->store), segment->name, "", now);
    if (!upgrading)
        given += look_at(counts, shm_counters_hold_name(segment->counters), segment->name, ".stats",
                         now);
    return given;
}

bool segment_has_name(const struct segment *segment)
{
    return segment->names[0].state <= SHM_NAME_RESTORED;
}

/* ---- the end ---- */

static void save(struct segment *segment, bool taken)
{
    char saved_as[256];
    struct shm_fault fault;
    int result = shm_store_save(segment->store, taken ? saved_as : NULL, &fault);
    if (result == SHM_OK && taken)
        log_error("segment %s: another file has its name: its users were copied to %s",
                  segment->name, saved_as);
    else if (result == SHM_OK)
        log_warning("segment %s: its users were copied into a new file of that name",
                    segment->name);
    else
        log_error("segment %s: its users end with this server: %s", segment->name, fault.text);
}

/* What this program has held so far: the next one finds it by its name alone. */
static void let_go(struct segment *segment)
{
    char moved_to[256];
    /* the last moment to have it put back */
    enum shm_name_state state = shm_store_hold_name(segment->store);
    if (state == SHM_NAME_LOST)
        save(segment, false);
    else if (shm_store_release_name(segment->store, moved_to))
        log_error("segment %s: another file has its name: moved aside to %s", segment->name,
                  moved_to);
    else if (state == SHM_NAME_TAKEN) /* and the second link is gone as well */
        save(segment, true);
    if (segment->counters != NULL)
        shm_counters_release_name(segment->counters);
}

void segment_close(struct segment *segment, bool forget, bool handed_over)
{
    struct shm_fault fault;
    stats_destroy(segment->stats);
    shm_actor_leave(segment->actor);
    if (segment->store != NULL && !handed_over)
        let_go(segment);
    shm_counters_close(segment->counters);
    shm_store_close(segment->store);
    if (segment->made && forget)
        shm_store_unlink(segment->name, &fault);
}

void segment_close_in_child(struct segment *segment)
{
    shm_actor_abandon(segment->actor);
    shm_counters_close(segment->counters);
    shm_store_close(segment->store);
}
