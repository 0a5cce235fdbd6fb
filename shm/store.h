/* SPDX-License-Identifier: MIT */
/*
 * The user store: one table in a named shared-memory segment, read and
 * written by many processes at once. Reads never block; a write is all or
 * nothing whatever dies. The store knows no network and no message format:
 * a user is a 16-byte id and a body of bytes.
 */
#ifndef ROSTERD_SHM_STORE_H
#define ROSTERD_SHM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/error.h"
#include "shm/name.h"

enum {
    SHM_ID_SIZE = 16,    /* bytes of a user's id (a binary UUID) */
    SHM_BODY_MAX = 4000, /* most bytes of a user's body */
    SHM_BATCH_MAX = 256, /* most users that one insert commits */
    SHM_SLOTS = 1024,    /* processes that can take part at once */
    SHM_KEYS = 2,        /* unique indexes that a segment may have beside the id's */
    SHM_KEY_MAX = 256,   /* most bytes of a unique key */
};

/* Most GiB, and bytes, of a segment's bound: what can be mapped in each process. Why: layout.h. */
#ifdef __x86_64__
#define SHM_SIZE_MAX_GIB 384
#else
#define SHM_SIZE_MAX_GIB 40
#endif
#define SHM_SIZE_MAX ((uint64_t)SHM_SIZE_MAX_GIB << 30)

struct shm_store; /* this process's handle of a segment; see shm_store_open() */
struct shm_actor; /* this process's place in the segment; see shm_actor_join() */

/**
 * What of a body is its key number `key`, 0 <= key < SHM_KEYS: the store knows no
 * message format. Pure: two bodies collide where their keys are byte for byte the
 * same, so a case-insensitive key is folded here.
 * @param out takes at most SHM_KEY_MAX bytes
 * @return the key's length; 0: this body has none, and never collides
 */
typedef uint32_t shm_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out);

struct shm_config {
    const char *name;   /* of the segment, with a leading slash: "/rosterd" */
    uint64_t size;      /* bound of its growth, bytes (reserved, not used); <= SHM_SIZE_MAX */
    uint64_t max_users; /* rows beyond which an insert returns SHM_EFULL */
    unsigned unique;    /* bit k: key k is unique; an index of it is kept */
    shm_key_of *key_of; /* NULL only where unique is 0 */
    /* bytes of replaced and deleted users that snapshots may keep from being freed; beyond,
     * the oldest ends with SHM_EREVOKED. 0: 256 MiB */
    uint64_t snapshot_max_bytes;
    /* called now and then while shm_store_open() checks or rebuilds a large segment: what it
     * does, and how much of it is done, 0 to 100. May be NULL */
    void (*progress)(void *data, const char *what, unsigned percent);
    void *progress_data;
};

/** A user as a lookup or a cursor sees it. The pointers lead into the segment
 * and are valid until the actor goes offline (shm_actor_offline), for a
 * cursor's user also as long as its snapshot is open. */
struct shm_user {
    const uint8_t *id;   /* SHM_ID_SIZE bytes */
    const uint8_t *body; /* as given to shm_users_insert() */
    uint32_t body_len;
    uint64_t seq;     /* creation order, from 1, never reused */
    uint64_t version; /* the commit that wrote this body */
};

/* ---- the segment ---- */

/**
 * Creates the segment, or re-attaches to the one that an earlier owner left,
 * with its users, after a check. The caller becomes the owner; so do the
 * children that it forks: the owner lock falls with the last of them.
 * A larger max_users than it was made for makes larger tables; another `unique`
 * makes and drops indexes. That is done in steps, each under the log: who dies or fails in
 * it leaves a segment that the next owner goes on with, whether he wants what was before or
 * this; no tool may write to it until then.
 * @return SHM_OK; SHM_EOWNED (a live owner), SHM_ELAYOUT (another layout),
 *   SHM_ECORRUPT, SHM_EPERM (made by or writable for somebody else),
 *   SHM_ESPACE (/dev/shm, or the memory limit), SHM_ELIMIT (size), SHM_EBASE (address range taken),
 *   SHM_EEXIST (users that share a key which `unique` wants to be unique; the
 *   first are named), SHM_EBUSY (a tool is writing, holds the writer lock or reads old tables and
 *   does not go on; fault names the process of the latter two), SHM_EINVAL (a value of
 *   config, named in fault), SHM_ESYS. On error nothing is left behind that users, unique keys or
 *   the next start go by, and fault says in one line what was wrong.
 */
int shm_store_open(struct shm_store **store, const struct shm_config *config,
                   struct shm_fault *fault);

/**
 * The segment's descriptor, which holds the owner lock: to be handed to a program that takes this
 * one's place while both run. Stays the store's.
 */
int shm_store_fd(const struct shm_store *store);
/**
 * Becomes an owner beside the live one that handed its descriptor over: no check, no change. What
 * `config` asks for is not looked at but for name and key_of; the segment stays as it is.
 * @param fd becomes the store's
 * @return SHM_OK; SHM_ELAYOUT (another layout), SHM_EBASE, SHM_EINVAL (no descriptor of this
 *   segment), SHM_ECORRUPT, SHM_ESYS
 */
int shm_store_inherit(struct shm_store **store, const struct shm_config *config, int fd,
                      struct shm_fault *fault);

/**
 * The owner's, after it has opened the segment and each second or so from then on: looks whether
 * the segment has its name still, and gives it back where somebody removed it (name.h). No other
 * server starts at the name meanwhile: shm_store_open() refuses with SHM_EOWNED.
 */
enum shm_name_state shm_store_hold_name(struct shm_store *store);
/**
 * The last owner's, before shm_store_close(): the second link goes, the name stays. Where another
 * file has the name the segment is moved aside, as by shm_store_set_aside().
 * @return whether it was; moved_to is set then
 */
bool shm_store_release_name(struct shm_store *store, char moved_to[256]);
/**
 * For a segment that has no link any more (SHM_NAME_LOST): copies it into a new file with its
 * name. By its last process, whose actor has left.
 * @param saved_as NULL; else it gets a name beside its own, which is taken, and this is set
 * @return SHM_ESPACE, SHM_EEXIST where another
 * file has the name, SHM_EBUSY where a tool is writing, SHM_ECORRUPT, SHM_ESYS
 */
int shm_store_save(struct shm_store *store, char saved_as[256], struct shm_fault *fault);
/** The process that holds the writer lock now, for a message; 0: none. A look without the lock. */
uint32_t shm_store_lock_holder(const struct shm_store *store);
/** Whether the name leads to this segment, just now. In any process; two system calls. */
bool shm_store_has_name(const struct shm_store *store);

enum shm_attach_mode {
    /* The arena is mapped read-only. Without the right to write the file all of it is: such a store
     * has no actors, and is for shm/careful.h and shm_store_info() alone. */
    SHM_ATTACH_READ,
    SHM_ATTACH_WRITE, /* a starting server waits until this store is closed */
};
/**
 * Attaches as a tool, beside a live owner or to a dead server's segment,
 * without taking the owner lock: for tools such as shm-inspect.
 * @param key_of as in struct shm_config: needed to write to a segment with unique keys and to
 *   look up by them; else NULL
 * @return as shm_store_open(), and SHM_ENOSEG where there is no such segment; SHM_EBUSY where a
 *   server is checking or rebuilding it just now
 */
int shm_store_attach(struct shm_store **store, const char *name, enum shm_attach_mode mode,
                     shm_key_of *key_of, struct shm_fault *fault);

/**
 * Whose the segment is. Root's programs are refused where it is another's (SHM_EPERM, also to
 * read): they become this user before they attach. The name may lead elsewhere by then: attaching
 * looks again.
 * @return SHM_OK, SHM_ENOSEG, SHM_EINVAL (the name), SHM_ESYS
 */
int shm_store_user(const char *name, uid_t *uid, gid_t *gid, struct shm_fault *fault);
/** Whether nothing of this process lies where a segment would. For who can start over by
 * shm_exec_again() now and could not later. */
bool shm_base_free(void);

/**
 * What to do about SHM_EBASE: about once in a thousand starts the randomised
 * address space has something where the segment must lie. Executes this
 * program again, with the same arguments, up to three times in a row.
 * @return only where that is of no use; the fault of the failed call stands
 */
void shm_exec_again(char *const argv[]);

/** Unmaps and forgets; the segment and its users stay. Actors must have left. */
void shm_store_close(struct shm_store *store);

/** Removes the segment and its counters. @return SHM_EOWNED under a live owner, SHM_ENOSEG. */
int shm_store_unlink(const char *name, struct shm_fault *fault);

/**
 * Moves the segment aside, with its counters, so that the next open makes an empty one:
 * nothing is deleted. @param moved_to where it is now, "/NAME.20261123T063000Z"
 * @return SHM_EOWNED under a live owner, SHM_ENOSEG, SHM_ESYS
 */
int shm_store_set_aside(const char *name, char moved_to[256], struct shm_fault *fault);

/** One line of facts; every number is a snapshot, taken without a lock. */
struct shm_info {
    uint64_t users; /* visible now */
    uint64_t max_users;
    uint64_t version;      /* commits so far */
    uint64_t bytes_mapped; /* grown to, <= bytes_reserved */
    uint64_t bytes_reserved;
    uint64_t bytes_used; /* by users, bodies and indexes */
    uint64_t bytes_free; /* of what is mapped: room for more without growing */
    uint64_t buckets;
    unsigned unique;                       /* bit k: key k */
    uint64_t retired_count, retired_bytes; /* bodies that wait for a grace period */
    uint64_t held_count, held_bytes;       /* bodies that only snapshots keep */
    uint64_t snapshot_max_bytes;
    uint64_t actors;     /* slots in use */
    uint64_t created_at; /* seconds since the epoch */
    bool owned;          /* a server is attached */
    bool replaced;       /* the name leads to another segment by now, or to none */
    bool rebuilding;     /* tables are half made: a server does so just now, or died in it */
    char name[256];
};
void shm_store_info(struct shm_store *store, struct shm_info *info);

enum shm_actor_kind { SHM_ACTOR_MASTER = 1, SHM_ACTOR_WORKER, SHM_ACTOR_TOOL };

/** A process that takes part. */
struct shm_slot_info {
    unsigned slot;
    enum shm_actor_kind kind; /* what the segment says: a damaged one may say anything */
    unsigned number;          /* as given to shm_actor_join() */
    uint32_t pid;
    uint64_t started_at;             /* seconds since the epoch */
    bool alive;                      /* false: it died, and nobody has cleared its slot yet */
    bool online;                     /* in a read section */
    uint64_t behind;                 /* online: grace periods that have begun since */
    uint64_t snapshots;              /* open, on all its pins */
    uint64_t held_count, held_bytes; /* bodies that only those keep */
};
/** The first slot in use from slot *from on; *from goes past it. Start with 0.
 * @return false where there is no more */
bool shm_slot_next(struct shm_store *store, unsigned *from, struct shm_slot_info *info);

/** A version that snapshots hold on to. */
struct shm_pin_info {
    struct shm_slot_info holder; /* without snapshots and held_*; pid 0: it has left */
    unsigned pin;                /* in the slot */
    uint64_t version;
    uint64_t behind;                 /* commits since */
    uint64_t age_ms;                 /* of the first snapshot that shares it */
    uint64_t snapshots;              /* that share it; 0: ended, and its bodies not yet freed */
    uint64_t held_count, held_bytes; /* bodies that only this pin keeps */
    bool revoked;                    /* it kept too much: what it kept is freed */
};
/** The next pin in use; as shm_slot_next(). *from is no slot's number. */
bool shm_pin_next(struct shm_store *store, unsigned *from, struct shm_pin_info *info);

/* ---- a process's part in it ---- */

/**
 * Takes a slot for this process: call it after fork, in the thread that will
 * use it. Holding the slot is what makes this process visible to reclaim, and
 * its death is noticed through it.
 * @param number the worker's number, for people
 * @return SHM_ESLOTS where all SHM_SLOTS are taken, SHM_EPERM without the right to write the
 *   segment (see SHM_ATTACH_READ), SHM_ESYS; where slots have to be made, SHM_EBUSY and
 *   SHM_EOUTGROWN, too, as the writer lock has it.
 */
int shm_actor_join(struct shm_actor **actor, struct shm_store *store, enum shm_actor_kind kind,
                   unsigned number, struct shm_fault *fault);
/** Gives the slot back; ends its snapshots. NULL is allowed. */
void shm_actor_leave(struct shm_actor *actor);
/** In a forked child: forgets the place that its parent has. The parent's slot is left alone. */
void shm_actor_abandon(struct shm_actor *actor);
/** Frees what dead processes held in the segment (slots, pins, the writer lock); returns how
 * many. The master calls it after each obituary. */
unsigned shm_actor_reap(struct shm_store *store);
/** This actor's slot, 0 <= slot < SHM_SLOTS: the row of its counters too. */
unsigned shm_actor_slot(const struct shm_actor *actor);

/**
 * Opens this actor's read section, if it is not open: costs nothing when it
 * is. Every function below that takes an actor does it by itself; close it
 * with shm_actor_offline() before the process sleeps (the event loop's wait),
 * else memory that others retire is not reclaimed while it sleeps.
 */
void shm_actor_online(struct shm_actor *actor);
void shm_actor_offline(struct shm_actor *actor);

/**
 * Housekeeping that somebody should do beside the writers, who do a little of it with each
 * write: frees what readers are done with, reaps the dead who are in its way, and gives the arena
 * memory ahead of those who need it. The master does.
 * @return after how many ms to call again: few while there is work, else up to 500
 */
unsigned shm_maintain(struct shm_actor *actor);

/* ---- reading ---- */

/** The newest body of the user with this id. @return SHM_OK, SHM_ENOENT */
int shm_user_find(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], struct shm_user *user);
/**
 * The newest body of the user with this value of a unique key.
 * @param value as the store's key_of gives it (folded)
 * @return SHM_OK, SHM_ENOENT, SHM_EINVAL where the segment has no index of this key
 */
int shm_user_find_key(struct shm_actor *actor, unsigned key, const uint8_t *value, uint32_t len,
                      struct shm_user *user);

/** A frozen version of the whole table. Plain data, owned by the caller. */
struct shm_snapshot {
    uint64_t version;
    uint32_t pin; /* index of the pin in the actor's slot */
};
/** @return SHM_OK, SHM_EPINS where this actor's pins are all in use */
int shm_snapshot_begin(struct shm_actor *actor, struct shm_snapshot *snapshot);
/** Once for each begin, by the same actor. Cursors on it are invalid from here on. */
void shm_snapshot_end(struct shm_actor *actor, struct shm_snapshot *snapshot);
/**
 * Whether the snapshot still stands. Snapshots together may keep snapshot_max_bytes of replaced
 * and deleted users from being freed; past that the oldest is revoked, wherever its process is and
 * whether or not it runs. To be ended all the same.
 */
bool shm_snapshot_revoked(const struct shm_actor *actor, const struct shm_snapshot *snapshot);

/**
 * A place in a snapshot, in creation order. It may rest for minutes between
 * two steps, with the actor offline meanwhile. Plain data, no clean-up.
 */
struct shm_cursor {
    struct shm_actor *actor;
    const struct shm_snapshot *snapshot;
    const void *last; /* the user that was returned last; NULL: go on after number `passed` */
    const void *next; /* the next user to return, once it is found */
    uint64_t passed;
};
/** Before the oldest user. */
void shm_cursor_first(struct shm_cursor *cursor, struct shm_actor *actor,
                      const struct shm_snapshot *snapshot);
/** After the user created as number `seq` with this id, also where it is gone by now.
 * @return SHM_OK, SHM_EINVAL where seq was never given out */
int shm_cursor_after(struct shm_cursor *cursor, struct shm_actor *actor,
                     const struct shm_snapshot *snapshot, uint64_t seq,
                     const uint8_t id[SHM_ID_SIZE]);
/**
 * Steps to the next user of the snapshot. One call passes some 1,000 users whom the snapshot does
 * not show, in well under a millisecond; there may be millions, which an older snapshot keeps.
 * @return SHM_OK, SHM_ENOENT at the end (the cursor stays); SHM_EMORE: it has come nearer to the
 *   next user, whom a later call will find: let others have their turn, go offline and call again;
 *   SHM_EREVOKED: what the listing still needs may be gone
 */
int shm_cursor_next(struct shm_cursor *cursor, struct shm_user *user);
/** Whether there is a next user, without a step to it: SHM_OK, and all else as above. */
int shm_cursor_settle(struct shm_cursor *cursor);

/* ---- following ---- */

enum shm_change_kind { SHM_CREATED = 1, SHM_UPDATED, SHM_DELETED };

struct shm_change {
    uint64_t version; /* changes of one commit share it */
    enum shm_change_kind kind;
    uint8_t id[SHM_ID_SIZE];
};
/** A place in the change feed. Plain data, no clean-up; costs writers nothing. */
struct shm_follower {
    uint64_t next; /* entry */
};
/** Before the first change after `version`. @return SHM_OK; SHM_ERESYNC where the ring has lost
 * some of them, or version is yet to come
 * @param actor may be NULL, here and below: the feed needs no slot */
int shm_feed_follow(struct shm_actor *actor, struct shm_follower *follower, uint64_t version);
/**
 * The next change. @return SHM_OK; SHM_ENOENT where there is none yet; SHM_ERESYNC: this follower
 * fell behind. It begins a snapshot, reports the whole table from it and goes on from the
 * snapshot's version, so that a delete is never missed.
 */
int shm_feed_next(struct shm_actor *actor, struct shm_follower *follower,
                  struct shm_change *change);

/* ---- writing ---- */

struct shm_new_user {
    uint8_t id[SHM_ID_SIZE];
    const uint8_t *body; /* copied; 1 to SHM_BODY_MAX bytes */
    uint32_t body_len;
};

/** Why a write was refused, where one user of it is to blame. */
struct shm_conflict {
    size_t which; /* index of the user in the call */
    unsigned key; /* SHM_EKEY: the unique key that another user has */
};

/**
 * Inserts `count` (1 to SHM_BATCH_MAX) users in one commit: all of them or
 * none, whatever dies. Never sleeps: tries the writer lock for about 50 us.
 * @param conflict may be NULL
 * @return SHM_OK; SHM_EBUSY (lock held by another, try later), SHM_EEXIST (an
 *   id is there already), SHM_EKEY (a unique key is), SHM_EFULL (max_users),
 *   SHM_ELIMIT (the segment's bound), SHM_ESPACE (/dev/shm is full, or the
 *   memory limit is met),
 *   SHM_EINVAL (a body's length, a tool that attached to read, or without the
 *   key_of that the segment's unique keys need). Of SHM_EEXIST, SHM_EKEY and SHM_EINVAL, conflict
 *   says which user. Where several users of a batch are refused for a key, it is the first of them:
 *   those before it may be inserted.
 */
int shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                     struct shm_conflict *conflict);

/**
 * Gives `count` (1 to SHM_BATCH_MAX) users a new body each, in one commit. Snapshots keep seeing
 * the old one, which is freed after the last of them and a grace period. Never sleeps.
 * @return as shm_users_insert(); SHM_ENOENT where a user is not there; SHM_EINVAL also where one
 *   occurs twice, or where its body changes a unique key (delete it and insert it instead: a
 *   node is in an index once, so a key cannot have two values for two snapshots)
 */
int shm_users_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                     struct shm_conflict *conflict);

/** Deletes `count` (1 to SHM_BATCH_MAX) users in one commit. As shm_users_update(). */
int shm_users_delete(struct shm_actor *actor, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                     struct shm_conflict *conflict);

/* ---- checking ---- */

struct shm_verify_report {
    uint64_t users, bodies, free_blocks, bytes_used, bytes_free; /* what was seen */
    uint64_t bytes_tables; /* hash tables; used, free and tables are all of the arena */
    uint64_t faults;       /* invariants broken */
    uint64_t pages_locked; /* most pages copied in one hold of the writer lock */
};
/**
 * Checks every invariant of the segment: header, lists, indexes, allocator,
 * checksums. Treats the segment as hostile: no pointer is followed unchecked.
 * @param on_fault called for each fault with one line; may be NULL
 * What is checked is a copy of the segment, which takes as much memory again. It is made beside
 * the writers, who wait for some 50 us of it at a time, where they are very busy for some 200.
 * @return SHM_OK or SHM_ECORRUPT; SHM_EBUSY where the lock could not be had in a
 *   second, another process is verifying, or writers change more than can be copied;
 *   SHM_EOUTGROWN: the segment has grown beyond what this process mapped: attach again;
 *   SHM_EPERM without the right to write the segment; as shm_actor_join(), for it takes
 *   a slot; SHM_ESPACE where the control group's memory limit leaves no room for the copy;
 *   SHM_ESYS (memory)
 */
int shm_store_verify(struct shm_store *store, struct shm_verify_report *report,
                     void (*on_fault)(void *data, const char *line), void *data);

#endif
