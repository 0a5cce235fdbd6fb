/* SPDX-License-Identifier: MIT */
#include "inspect/core/table_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <time.h>

#include "base/clock.h"
#include "inspect/core/guard.h"
#include "inspect/core/identity.h"
#include "inspect/core/restart.h"
#include "shm/disk.h"
#include "user/user.h"

_Static_assert((int)USER_KEY_MAX == (int)SHM_KEY_MAX && (int)USER_KEYS == (int)SHM_KEYS,
               "user_key_of() has the shape of a shm_key_of");

enum {
    PATIENCE_MS = 1500,
    JOURNAL_PATIENCE_MS = 60 * 1000, /* without another commit in the data file */
    PAUSE_NS = 1000 * 1000,
};

/* Without a server there is no journal. It must not hold back writes until it gets on, which the
 * next server's will do: that server compares table and file if it must. It cannot start while a
 * command is attached to write. */
static void forget_journal(const struct table_writer *writer)
{
    struct shm_info info;
    shm_store_info(writer->store, &info);
    if (!info.owned)
        shm_disk_set_state(writer->store, SHM_DISK_NONE, 0);
}

enum inspect_exit table_writer_open(struct table_writer *writer,
                                    const struct inspect_options *options)
{
    enum inspect_exit code = identity_become_user(options->segment);
    if (code != INSPECT_DONE)
        return code;
    guard_against_cores();
    struct shm_fault fault = {{0}};
    writer->segment = options->segment;
    writer->version = 0;
    int error =
        shm_store_attach(&writer->store, options->segment, SHM_ATTACH_WRITE, user_key_of, &fault);
    if (error == SHM_EBASE)
        restart_for_addresses(options);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    guard_against_damage();
    error = shm_actor_join(&writer->actor, writer->store, SHM_ACTOR_TOOL, 0, &fault);
    if (error == SHM_OK) {
        forget_journal(writer);
        return INSPECT_DONE;
    }
    shm_store_close(writer->store);
    return report_store_fault(error, &fault);
}

void table_writer_close(struct table_writer *writer)
{
    shm_actor_leave(writer->actor);
    shm_store_close(writer->store);
}

static bool journal_is_behind(const struct table_writer *writer, struct shm_disk_info *disk)
{
    shm_disk_info(writer->store, disk);
    return disk->state != SHM_DISK_NONE && disk->behind + SHM_BATCH_MAX > disk->behind_max;
}

/* A commit that found SHM_EBUSY. Zeroed: not yet. */
struct commit_patience {
    uint64_t since;   /* ms; when what follows was found first */
    bool behind;      /* the journal is behind; otherwise the lock is taken */
    uint64_t version; /* the data file's last commit */
};

/* @return whether there is time left */
static bool is_patient(const struct table_writer *writer, struct commit_patience *patience)
{
    struct shm_disk_info disk;
    uint64_t now = clock_monotonic_ms();
    bool behind = journal_is_behind(writer, &disk);
    bool moves = behind != patience->behind || (behind && disk.version != patience->version);
    if (patience->since == 0 || moves)
        *patience =
            (struct commit_patience){.since = now, .behind = behind, .version = disk.version};
    return now - patience->since <= (behind ? JOURNAL_PATIENCE_MS : PATIENCE_MS) &&
           !guard_stopped();
}

/* After an attempt to commit: notes its version. Returns whether to try again: the lock was busy,
 * and there is time left. */
static bool commit_again(struct table_writer *writer, int error,
                         const struct shm_conflict *conflict, struct commit_patience *patience)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    shm_actor_offline(writer->actor);
    guard_progress();
    if (error == SHM_OK)
        writer->version = conflict->version;
    if (error != SHM_EBUSY || !is_patient(writer, patience))
        return false;
    nanosleep(&pause, NULL);
    return true;
}

typedef int commit_users(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                         struct shm_conflict *conflict);

static int commit_with_patience(struct table_writer *writer, commit_users *commit,
                                const struct shm_new_user *users, size_t count,
                                struct shm_conflict *conflict)
{
    struct commit_patience patience = {0};
    int error;
    assert(count > 0 && count <= SHM_BATCH_MAX);
    do {
        error = commit(writer->actor, users, count, conflict);
    } while (commit_again(writer, error, conflict, &patience));
    return error;
}

int table_writer_insert(struct table_writer *writer, const struct shm_new_user *users, size_t count,
                        struct shm_conflict *conflict)
{
    return commit_with_patience(writer, shm_users_insert, users, count, conflict);
}

int table_writer_update(struct table_writer *writer, const struct shm_new_user *users, size_t count,
                        struct shm_conflict *conflict)
{
    return commit_with_patience(writer, shm_users_update, users, count, conflict);
}

int table_writer_delete(struct table_writer *writer, const uint8_t (*ids)[SHM_ID_SIZE],
                        size_t count, struct shm_conflict *conflict)
{
    struct commit_patience patience = {0};
    int error;
    assert(count > 0 && count <= SHM_BATCH_MAX);
    do {
        error = shm_users_delete(writer->actor, ids, count, conflict);
    } while (commit_again(writer, error, conflict, &patience));
    return error;
}

int table_writer_find(struct table_writer *writer, const uint8_t id[SHM_ID_SIZE],
                      struct shm_user *user)
{
    return shm_user_find_at(writer->actor, id, shm_newest(writer->store), user);
}

int table_writer_find_key(struct table_writer *writer, unsigned key, const uint8_t *value,
                          uint32_t len, struct shm_user *user)
{
    return shm_user_find_key_at(writer->actor, key, value, len, shm_newest(writer->store), user);
}

uint64_t table_writer_room(const struct table_writer *writer)
{
    struct shm_info info;
    shm_store_info(writer->store, &info);
    return info.users_newest < info.max_users ? info.max_users - info.users_newest : 0;
}

static void explain_busy(const struct table_writer *writer, struct fault *fault)
{
    uint32_t holder = shm_store_lock_holder(writer->store);
    struct shm_disk_info disk;
    if (journal_is_behind(writer, &disk))
        fault_set(fault, "%s",
                  disk.state == SHM_DISK_FULL ? "the disk of the data file is full"
                                              : "the journal is behind and does not get on");
    else if (holder == 0)
        fault_set(fault, "other processes have held the writer lock for over a second");
    else
        fault_set(fault,
                  "process %" PRIu32 " has held the writer lock for over a second (is it stopped?)",
                  holder);
}

enum inspect_exit table_writer_explain(const struct table_writer *writer, int error,
                                       struct fault *fault)
{
    struct shm_info info;
    shm_store_info(writer->store, &info);
    switch (error) {
    case SHM_EBUSY:
        explain_busy(writer, fault);
        return INSPECT_FAILED;
    case SHM_EFULL:
        fault_set(fault, "the table is full: max-users is %" PRIu64, info.max_users);
        return INSPECT_FAILED;
    case SHM_ELIMIT:
        fault_set(fault, "the segment is full: segment-size is %" PRIu64 " bytes",
                  info.bytes_reserved);
        return INSPECT_FAILED;
    default:
        fault_set(fault, "%s", shm_strerror(error));
        return error == SHM_ECORRUPT ? INSPECT_BAD_SEGMENT : INSPECT_FAILED;
    }
}

enum inspect_exit table_writer_fail(const struct table_writer *writer, int error)
{
    struct fault fault;
    enum inspect_exit code = table_writer_explain(writer, error, &fault);
    return report_fail(code, "%s: %s", writer->segment, fault.text);
}
