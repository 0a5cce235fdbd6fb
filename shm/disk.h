/* SPDX-License-Identifier: MIT */
/*
 * The table and its data file: what a journal process, which writes the table to disk, and the
 * callers that wait for it need of the store. The store itself knows no file format.
 *
 * Every write is a commit with a version. With shm_config.durable, readers do not see a commit
 * until the journal has called shm_publish() for it. A process whose write must be durable before
 * it tells somebody waits for that: shm_wait_begin().
 */
#ifndef ROSTERD_SHM_DISK_H
#define ROSTERD_SHM_DISK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/error.h"
#include "shm/store.h"

/* ---- for those who wait ---- */

/** The commit that readers see. Without shm_config.durable it is the newest one. */
uint64_t shm_published(const struct shm_store *store);
/**
 * Notes that this process waits until commit `version` is published. shm_waiters() then finds the
 * process. Only the last call counts.
 * @return false: the commit is published already, and nothing is noted
 */
bool shm_wait_begin(struct shm_actor *actor, uint64_t version);
/** The process waits for nothing any more. */
void shm_wait_end(struct shm_actor *actor);

/** The state of the data file. */
enum shm_disk_state {
    SHM_DISK_NONE,      /* there is no data file: the table is in memory only */
    SHM_DISK_OK,        /* the journal writes */
    SHM_DISK_FULL,      /* the disk is full: the journal tries again each second */
    SHM_DISK_REWRITING, /* the file has failed: the journal writes a new one */
    SHM_DISK_FAILED,    /* that has failed, too: writes are refused with SHM_EREADONLY */
    SHM_DISK_STOPPED,   /* no process that writes the file stays alive: writes wait */
};

/** Facts about the data file; each number is read separately. */
struct shm_disk_info {
    enum shm_disk_state state;
    int error;                    /* errno of the failure that the state is about, or 0 */
    uint64_t since_ms;            /* CLOCK_MONOTONIC: when the state changed */
    uint64_t failed_ms;           /* likewise: when this error came first, maybe states before */
    uint64_t version;             /* the last commit that the file has */
    uint64_t behind;              /* changes of users that the file does not have yet */
    uint64_t behind_max;          /* a write that would make it more finds SHM_EBUSY */
    bool durable;                 /* readers see a commit when it is on disk */
    char path[SHM_DATA_FILE_MAX]; /* "": none */
};
void shm_disk_info(const struct shm_store *store, struct shm_disk_info *info);
/** Whether the file has failed, and a new one is to take its place, which may wait for room. */
static inline bool shm_disk_is_replaced(const struct shm_disk_info *info)
{
    return info->state == SHM_DISK_REWRITING ||
           ((info->state == SHM_DISK_FULL || info->state == SHM_DISK_STOPPED) &&
            info->error == EIO);
}
/** The identity of the table, which its data file has, too. */
void shm_store_id(const struct shm_store *store, uint8_t id[SHM_STORE_ID_SIZE]);

/* ---- for the journal ---- */

/** The newest commit. */
uint64_t shm_newest(const struct shm_store *store);
/** The last sequence number that was given to a user. */
uint64_t shm_last_seq(const struct shm_store *store);
/** As shm_feed_next(), but reads the changes of all commits up to `version`, published or not. */
int shm_feed_next_until(struct shm_follower *follower, uint64_t version, struct shm_change *change);
/**
 * The body that the user had in commit `version`. The store keeps what commits from the published
 * one on show and, without shm_config.durable, those from the last one given to shm_publish() on.
 * @return SHM_OK, SHM_ENOENT, SHM_EINVAL (this actor is a reading tool's)
 */
int shm_user_find_at(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], uint64_t version,
                     struct shm_user *user);
/** The same for a unique key, as shm_user_find_key() takes it. @return also SHM_EINVAL: the segment
 * has no index of this key */
int shm_user_find_key_at(struct shm_actor *actor, unsigned key, const uint8_t *value, uint32_t len,
                         uint64_t version, struct shm_user *user);
/** As shm_snapshot_begin(), but of the newest commit, published or not. */
int shm_snapshot_begin_newest(struct shm_actor *actor, struct shm_snapshot *snapshot);

/**
 * The oldest changes that the feed still has.
 * @return the version after which it has all changes: for shm_feed_follow()
 */
uint64_t shm_feed_oldest(const struct shm_store *store);

/** A position among the requests that were done. Plain data. */
struct shm_request_place {
    uint64_t next; /* number of the next one */
};
/** Places it before the oldest request of a commit after `version` that is still remembered. */
void shm_requests_follow(const struct shm_store *store, struct shm_request_place *place,
                         uint64_t version);
/** The next request of all commits up to `version`, published or not, in order.
 * @return SHM_OK; SHM_ENOENT: there is none; SHM_ERESYNC: it was forgotten meanwhile */
int shm_requests_next(struct shm_request_place *place, uint64_t version,
                      struct shm_request *request);

/** What the data file has. */
struct shm_durable {
    uint64_t version; /* the last commit */
    uint64_t feed;    /* follower.next after that commit */
    uint64_t users;   /* as of that commit */
};
/**
 * Records what the data file has and, with shm_config.durable, shows it to readers: a transaction.
 * @param durable of which version is at most the newest commit. `published` never decreases.
 * @return SHM_OK; SHM_EINVAL: there is no such commit, or it cannot have so many changes or users;
 * or an error of the writer lock: SHM_EBUSY after about a second, others as shm_users_insert().
 *   Nothing has changed then
 */
int shm_publish(struct shm_actor *actor, const struct shm_durable *durable);
/** Calls woken() with the slot of each process that waits for a commit that is published now. */
void shm_waiters(const struct shm_store *store, void (*woken)(void *data, unsigned slot),
                 void *data);
/** Sets the state of the data file. @param error errno of the failure, or 0 */
void shm_disk_set_state(struct shm_store *store, enum shm_disk_state state, int error);
/** Sleeps until there is a commit after `version`, a signal arrives, shm_disk_wake() is called, or
 * the time is over. The actor is offline meanwhile. */
void shm_disk_sleep(struct shm_actor *actor, uint64_t version, uint64_t milliseconds);
/** Wakes the journal if it sleeps. */
void shm_disk_wake(struct shm_store *store);

/* ---- loading a table into a new segment: shm_config.fill ---- */

/** A user of the data file. */
struct shm_loaded_user {
    struct shm_new_user user;
    uint64_t seq;     /* greater than those of all users loaded before */
    uint64_t version; /* the commit that wrote the body, from 1 */
};
/**
 * Inserts `count` (1 to SHM_BATCH_MAX) users with the sequence numbers and versions that they had.
 * @return as shm_users_insert(); SHM_EINVAL also for a number or version out of order
 */
int shm_load_users(struct shm_actor *actor, const struct shm_loaded_user *users, size_t count,
                   struct shm_conflict *conflict);
/** Gives the new segment another id than that of shm_config.store_id. Inside of shm_config.fill
 * only, when nobody else has the segment.
 * @return SHM_OK; SHM_EINVAL: outside of it */
int shm_load_store_id(struct shm_store *store, const uint8_t id[SHM_STORE_ID_SIZE]);
/**
 * Ends the loading: the table is at this version.
 * @param seq the last sequence number that was ever given, at least that of the last user
 * @return SHM_OK; SHM_EINVAL: a user was loaded with a greater version or number; SHM_EBUSY
 */
int shm_load_end(struct shm_actor *actor, uint64_t version, uint64_t seq);

enum { SHM_CHANGES_MAX = 16128 }; /* changes that a follower may be behind */
/**
 * Gives the feed the changes before the load, so that followers go on. After shm_load_end(), and
 * before anything is written. Without it a follower of an earlier version has to read the table.
 * @param changes all of the commits after `from`, in order of their versions
 * @param count at most SHM_CHANGES_MAX; 0 only if `from` is the table's version
 * @return SHM_OK; SHM_EINVAL: they are not that; SHM_EBUSY
 */
int shm_load_feed(struct shm_actor *actor, const struct shm_change *changes, size_t count,
                  uint64_t from);
/**
 * Remembers requests that were done before the load. After shm_load_end().
 * @param requests in order of their versions; of more than SHM_REQUESTS_MAX the last ones count
 * @return SHM_OK; SHM_EINVAL: they are out of order, or later than the table; as
 *   shm_users_insert()
 */
int shm_load_requests(struct shm_actor *actor, const struct shm_request *requests, size_t count);

#endif
