/* SPDX-License-Identifier: MIT */
#include "server/master/segment_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/config/options_parse.h"
#include "server/master/inherit.h"
#include "server/master/segment_move.h"
#include "server/os/log.h"
#include "service/observe/stats.h"
#include "service/services.h"
#include "shm/disk.h"
#include "user/segment_place.h"
#include "user/user.h"

enum {
    LOG_AGAIN_MS = 30000, /* between two log lines about a name that is still wrong */
    PROGRESS_MS = 1000,   /* between two lines about a check or rebuild */
};

_Static_assert((int)USER_KEYS == SHM_KEYS && (int)USER_KEY_MAX == SHM_KEY_MAX,
               "the store's keys are a user's");

/* ---- open ---- */

/* For the progress of a large segment's check or rebuild. */
struct progress_log {
    const char *segment;
    uint64_t logged_at; /* ms */
};

static void log_progress(void *data, const char *what, unsigned percent)
{
    struct progress_log *progress = data;
    uint64_t now = clock_monotonic_ms();
    if (now < progress->logged_at + PROGRESS_MS)
        return;
    progress->logged_at = now;
    log_notice("%s segment %s: %u %%", what, progress->segment, percent);
}

/* @return false */
static bool refuse_segment(int error, const struct shm_fault *reason, struct fault *fault)
{
    return fault_set(fault, "%s%s", reason->text,
                     error == SHM_EOWNED ? "; segment = /NAME gives this server a table of its own"
                                         : "");
}

/* For --segment-reset. @param moved_to "": there was no segment */
static bool set_aside(const char *name, char moved_to[256], struct fault *fault)
{
    struct shm_fault reason;
    moved_to[0] = '\0';
    int error = shm_store_set_aside(name, moved_to, &reason);
    if (error == SHM_OK)
        log_notice("segment %s: moved aside to %s", name, moved_to);
    else if (error == SHM_ENOSEG)
        log_notice("segment %s: there is none to move aside", name);
    else
        return refuse_segment(error, &reason, fault);
    if (error == SHM_ENOSEG)
        moved_to[0] = '\0';
    return true;
}

/* The start has failed: the segment that was moved aside may have the only users, and goes on with
 * the file. */
static void put_back(struct segment_owner *owner)
{
    struct shm_fault reason;
    if (owner->moved_to[0] == '\0' || !data_owner_undo(&owner->data))
        return;
    if (shm_store_move(owner->moved_to, owner->name, &reason) == SHM_OK)
        log_notice("segment %s: moved back from %s", owner->name, owner->moved_to);
    else
        log_warning("%s", reason.text);
    owner->moved_to[0] = '\0';
}

/* @return SHM_OK or the store's error, with `reason` filled */
static int open_store(struct segment_owner *owner, const struct options *options,
                      const struct predecessor *predecessor, struct shm_fault *reason)
{
    struct progress_log progress = {.segment = owner->name, .logged_at = clock_monotonic_ms()};
    struct shm_config config = {
        .name = owner->name,
        .size = options->segment_size,
        .max_users = options->max_users,
        .unique = (unsigned)options->unique,
        .key_of = user_key_of,
        .key_name = user_key_name,
        .snapshot_max_bytes = options->snapshot_max_bytes,
        .progress = log_progress,
        .progress_data = &progress,
    };
    data_owner_configure(&owner->data, &config);
    bool inherited = predecessor->segment_fd >= 0;
    bool existed = inherited || shm_store_exists(owner->name);
    int error = inherited
                    ? shm_store_inherit(&owner->store, &config, predecessor->segment_fd, reason)
                    : shm_store_open(&owner->store, &config, reason);
    if (error == SHM_EBASE) {
        inherit_keep_open();
        predecessor_keep_open(predecessor);
        shm_exec_again(options->argv);
    }
    owner->created = error == SHM_OK && !existed;
    return error;
}

/* An upgrade cannot change these options, because the old program's workers use the segment. */
static void warn_of_differences(struct segment_owner *owner, const struct options *options)
{
    struct shm_info info;
    shm_store_info(owner->store, &info);
    if (info.max_users != options->max_users || info.unique != options->unique ||
        info.snapshot_max_bytes != options->snapshot_max_bytes)
        log_warning("upgrade: max-users, unique and snapshot-max-bytes stay as they were: only a "
                    "restart changes them");
    if (data_owner_adopt(&owner->data, options, owner->store))
        log_warning("upgrade: data-file and durability stay as they were: only a restart changes "
                    "them");
}

static bool open_user_segment(struct segment_owner *owner, const struct options *options,
                              const struct predecessor *predecessor, struct fault *fault)
{
    bool inherited = predecessor->segment_fd >= 0;
    struct shm_fault reason;
    int error = open_store(owner, options, predecessor, &reason);
    if (error == SHM_ECORRUPT || (error == SHM_ELAYOUT && !inherited))
        return fault_set(fault, "%s; --segment-reset moves it aside and starts with %s",
                         reason.text,
                         owner->data.load.exists ? "the users of the data file" : "an empty one");
    if (error != SHM_OK)
        return refuse_segment(error, &reason, fault);
    if (inherited)
        warn_of_differences(owner, options);
    error = shm_actor_join(&owner->actor, owner->store, SHM_ACTOR_MASTER, 0, &reason);
    if (error != SHM_OK)
        return fault_set(fault, "%s", reason.text);
    return inherited || data_owner_settle(&owner->data, owner->store, owner->actor, fault);
}

/* In an upgrade the predecessor still uses the counters: counters with other names are replaced,
 * and the predecessor continues to use the old ones. */
static bool open_counter_segment(struct segment_owner *owner, bool upgrading, struct fault *fault)
{
    size_t num_services, num_names;
    const struct grpc_service *const *services = services_all(&num_services);
    if (!stats_init(services, num_services))
        return fault_set(fault, "out of memory");
    const char *const *names = stats_names(&num_names);
    struct shm_fault reason;
    int error = upgrading
                    ? shm_counters_succeed(&owner->counters, owner->name, names, num_names, &reason)
                    : shm_counters_open(&owner->counters, owner->name, names, num_names, &reason);
    if (error != SHM_OK)
        return fault_set(fault, "%s", reason.text);
    /* A server that was killed has left gauges in rows that no process of this one may take. */
    for (unsigned slot = 0; !upgrading && slot < SHM_SLOTS; slot++)
        stats_clear_gauges(shm_counters_row(owner->counters, slot));
    owner->stats = stats_create(shm_counters_row(owner->counters, shm_actor_slot(owner->actor)));
    return owner->stats != NULL || fault_set(fault, "out of memory");
}

/* An upgrade cannot change the name: the old program's workers have the segment, too. By default it
 * may have another one by now, for an earlier version gave it that. */
static const char *choose_name(const struct options *options, const struct predecessor *predecessor,
                               char own[SEGMENT_NAME_SIZE])
{
    segment_of_this_user(own);
    int fd = predecessor->segment_fd;
    if (fd < 0 || !options_have_default_segment(options) || shm_store_is_at(fd, options->segment))
        return options->segment;
    if (shm_store_is_at(fd, SEGMENT_BEFORE))
        return SEGMENT_BEFORE;
    return shm_store_is_at(fd, own) ? own : options->segment;
}

static bool set_name(struct segment_owner *owner, const struct options *options,
                     const struct predecessor *predecessor, struct fault *fault)
{
    char own[SEGMENT_NAME_SIZE];
    snprintf(owner->name, sizeof(owner->name), "%s", choose_name(options, predecessor, own));
    return predecessor->segment_fd >= 0 || !options_have_default_segment(options) ||
           segment_move_old(owner->name, fault);
}

bool segment_owner_open(struct segment_owner *owner, const struct options *options,
                        const struct predecessor *predecessor, struct fault *fault)
{
    bool upgrading = predecessor->segment_fd >= 0;
    if (!data_owner_open(&owner->data, options, predecessor, fault))
        return false;
    if (!set_name(owner, options, predecessor, fault))
        return false;
    if (options->segment_reset && !upgrading && !set_aside(owner->name, owner->moved_to, fault))
        return false;
    if (!open_user_segment(owner, options, predecessor, fault)) {
        if (owner->store == NULL)
            put_back(owner);
        return false;
    }
    owner->opened = true;
    owner->opened_at = shm_newest(owner->store);
    if (!open_counter_segment(owner, upgrading, fault))
        return false;
    (void)segment_owner_check_names(owner, 0, false);
    return true;
}

void segment_owner_log_users(const struct segment_owner *owner, bool upgrading)
{
    unsigned long long users = shm_users(owner->store);
    if (upgrading)
        log_notice("segment %s: taken over with %llu users", owner->name, users);
    else if (!owner->created)
        log_notice("segment %s: found with %llu users", owner->name, users);
    else if (owner->data.load.exists)
        log_notice("segment %s: made from the data file, with %llu users", owner->name, users);
    else
        log_notice("segment %s: new, without users", owner->name);
    if (owner->data.created && users == 0)
        log_notice("data-file %s: new, without users", owner->data.path);
    else if (owner->data.created)
        log_notice("data-file %s: new, with the %llu users of the segment", owner->data.path,
                   users);
}

/* ---- names ---- */

/* @param error errno of the attempt to restore the name, for SHM_NAME_FAILED */
static void log_name(const char *name, const char *suffix, enum shm_name_state state, int error)
{
    char what[160] = ": its name was restored";
    if (state == SHM_NAME_TAKEN)
        snprintf(what, sizeof(what), ", and another file has its name now, which is left alone");
    else if (state == SHM_NAME_LOST)
        snprintf(what, sizeof(what), ", by all its links, and cannot be restored");
    else if (state == SHM_NAME_FAILED)
        snprintf(what, sizeof(what), ", and cannot be restored now: %s", strerror(error));
    log_error("segment %s%s: its file was removed from /dev/shm while it is in use%s", name, suffix,
              what);
}

/* Takes over the state that a check has found, with its errno. Logs a change, and again from time
 * to time while the name is wrong. @return whether the name was restored */
static bool note_name(struct segment_name *known, enum shm_name_state state, const char *name,
                      const char *suffix, uint64_t now)
{
    int error = errno;
    bool changed = state != known->state;
    known->state = state;
    if (state == SHM_NAME_OURS ||
        (!changed && state != SHM_NAME_RESTORED && now < known->logged_at + LOG_AGAIN_MS))
        return false;
    known->logged_at = now;
    log_name(name, suffix, state, error);
    return state == SHM_NAME_RESTORED;
}

unsigned segment_owner_check_names(struct segment_owner *owner, uint64_t now, bool upgrading)
{
    unsigned restored =
        note_name(&owner->users_name, shm_store_hold_name(owner->store), owner->name, "", now);
    if (!upgrading)
        restored += note_name(&owner->counters_name, shm_counters_hold_name(owner->counters),
                              owner->name, ".stats", now);
    return restored;
}

bool segment_owner_has_name(const struct segment_owner *owner)
{
    return owner->users_name.state <= SHM_NAME_RESTORED;
}

/* ---- close ---- */

/* The segment has lost its only name: copies the users to a new file.
 * @param taken the name is another file's: the copy gets a name of its own */
static void save_users(struct segment_owner *owner, bool taken)
{
    char saved_as[256];
    struct shm_fault why;
    int result = shm_store_save(owner->store, taken ? saved_as : NULL, &why);
    if (result == SHM_OK && taken)
        log_error("segment %s: another file has its name: its users were copied to %s", owner->name,
                  saved_as);
    else if (result == SHM_OK)
        log_warning("segment %s: its users were copied into a new file of that name", owner->name);
    else
        log_error("segment %s: its users are lost with the end of this server: %s", owner->name,
                  why.text);
}

/* Gives up the names, by which the next server finds the segments. This is the last chance to
 * restore a name. */
static void release_names(struct segment_owner *owner)
{
    char moved_to[256];
    enum shm_name_state state = shm_store_hold_name(owner->store);
    if (state == SHM_NAME_LOST)
        save_users(owner, false);
    else if (shm_store_release_name(owner->store, moved_to))
        log_error("segment %s: another file has its name: moved aside to %s", owner->name,
                  moved_to);
    else if (state == SHM_NAME_TAKEN) /* and the second link is gone, too */
        save_users(owner, true);
    if (owner->counters != NULL)
        shm_counters_release_name(owner->counters);
}

void segment_owner_close(struct segment_owner *owner, bool forget, bool leave_name)
{
    /* Workers serve as soon as they are ready, even if the start fails because another is not. */
    bool made = owner->created || owner->data.created;
    if (forget && made && owner->opened && shm_newest(owner->store) != owner->opened_at) {
        forget = false;
        log_notice(
            "segment %s: it and its data file are kept although the start has failed, because "
            "clients have written to them",
            owner->name);
    }
    stats_destroy(owner->stats);
    shm_actor_leave(owner->actor);
    if (owner->store != NULL && !leave_name)
        release_names(owner);
    shm_counters_close(owner->counters);
    shm_store_close(owner->store);
    struct shm_fault why; /* not reported */
    if (owner->created && forget) {
        (void)shm_store_unlink(owner->name, &why);
        put_back(owner);
    }
    data_owner_close(&owner->data, forget);
}

void segment_owner_close_in_worker(struct segment_owner *owner)
{
    stats_abandon(owner->stats);
    shm_actor_abandon(owner->actor);
    shm_counters_close(owner->counters);
    shm_store_close(owner->store);
}
