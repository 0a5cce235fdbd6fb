/* SPDX-License-Identifier: MIT */
/*
 * The user store: one table in a named shared-memory segment that many processes read and write
 * concurrently. Reads never block. A write is atomic, whenever a process dies. The store knows no
 * network and no message format: a user is a 16-byte id and a body of bytes. A body has two parts:
 * the second one, which may be empty, is for those who know of it (`hidden`); all others see the
 * first part only. docs/store.md explains the store and has an example.
 *
 * Functions return SHM_OK or another code of enum shm_error. Where a function takes a struct
 * shm_fault, it fills it on failure; the parameter may be NULL.
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
    SHM_ID_SIZE = 16,         /* bytes of a user's id (a binary UUID) */
    SHM_STORE_ID_SIZE = 16,   /* bytes of a table's identity (a binary UUID) */
    SHM_DATA_FILE_MAX = 1024, /* most bytes of a data file's path, with the ending 0 */
    SHM_BODY_MAX = 4000,      /* most bytes of a user's body, both parts together */
    SHM_BATCH_MAX = 256,      /* most users of one commit */
    SHM_SLOTS = 1024,         /* processes that can be attached at once */
    SHM_KEYS = 2,             /* unique indexes that a segment may have, besides the index of ids */
    SHM_KEY_MAX = 256,        /* most bytes of a unique key */
    SHM_REQUESTS_MAX =
        65535, /* requests that are remembered; beyond that the oldest are forgotten */
    SHM_REQUEST_SECONDS = 3600, /* how long a request is remembered */
};

/* The largest bound of a segment, in GiB and in bytes: what every process can map. The header
 * core/layout.h gives the reason. */
#ifdef __x86_64__
#define SHM_SIZE_MAX_GIB 384
#else
#define SHM_SIZE_MAX_GIB 40
#endif
#define SHM_SIZE_MAX ((uint64_t)SHM_SIZE_MAX_GIB << 30)

struct shm_store; /* this process's handle of a segment; see shm_store_open() */
struct shm_actor; /* a thread's slot in the segment; see shm_actor_join() */

/**
 * Extracts key number `key` (0 <= key < SHM_KEYS) from a body; the caller supplies this function,
 * because the store knows no message format. The function must depend on its arguments only. Two
 * bodies collide if their keys are equal byte for byte, so this function folds the case of a
 * case-insensitive key.
 * @param out receives the key, at most SHM_KEY_MAX bytes
 * @return the key's length in bytes; 0: the body has no such key and never collides
 */
typedef uint32_t shm_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out);

struct shm_config {
    const char *name;   /* the segment's name, with a leading slash: "/rosterd" */
    uint64_t size;      /* bound of the segment's growth in bytes, <= SHM_SIZE_MAX; only address
                         * space is reserved */
    uint64_t max_users; /* with this many users an insert returns SHM_EFULL */
    unsigned unique;    /* bit k: key k is unique, and has an index */
    shm_key_of *key_of; /* may be NULL if unique is 0 */
    /* How a fault calls a unique key: "username". May be NULL, and then it is "key 0". */
    const char *(*key_name)(unsigned key);
    /* Bytes of replaced and deleted bodies that all snapshots together may keep from being freed.
     * Beyond that the oldest snapshots are revoked (SHM_EREVOKED). 0: 256 MiB. */
    uint64_t snapshot_max_bytes;
    /* Called now and then while shm_store_open() checks or rebuilds a large segment, with the name
     * of the activity and its progress, 0 to 100. May be NULL. */
    void (*progress)(void *data, const char *what, unsigned percent);
    void *progress_data;
    /* The data file that a journal process keeps (disk.h): its path; NULL: there is none. */
    const char *data_file;
    bool durable;            /* readers see a commit when shm_publish() has published it */
    const uint8_t *store_id; /* identity of a new segment; NULL: a random one */
    /* Called for a new segment before it has a name, to load its users (disk.h). May be NULL. Its
     * error, for which it fills the fault, is that of shm_store_open(). */
    int (*fill)(void *data, struct shm_store *store, struct shm_fault *fault);
    /* Called for an existing segment before anything in it changes: whether it fits the data file.
     * May be NULL. Its error, for which it fills the fault, is that of shm_store_open(). */
    int (*fits)(void *data, const uint8_t store_id[SHM_STORE_ID_SIZE], uint64_t version,
                struct shm_fault *fault);
    void *disk_data; /* for fill and fits */
};

/** A user as a lookup or a cursor returns it. The pointers lead into the segment. They are valid
 * until the actor goes offline (shm_actor_offline()); those of a cursor's user also as long as the
 * snapshot is open. */
struct shm_user {
    const uint8_t *id;   /* SHM_ID_SIZE bytes */
    const uint8_t *body; /* the bytes given to shm_users_insert() or shm_users_update() */
    uint32_t body_len;
    uint32_t hidden_len; /* bytes of the second part, which follows the first: shm_user_hidden() */
    uint64_t seq;        /* creation order, from 1, never reused */
    uint64_t version;    /* the commit that wrote this body */
};
/** The second part of the user's body: hidden_len bytes. */
static inline const uint8_t *shm_user_hidden(const struct shm_user *user)
{
    return user->body + user->body_len;
}

/* ---- the segment ---- */

/**
 * Creates the segment, or takes over the segment of an earlier owner, with its users, after a full
 * check. The caller becomes the owner, and so do the children that it forks: the kernel drops the
 * owner lock with the last of them. A larger max_users than before makes larger tables; another
 * `unique` makes and drops indexes. This happens in steps, each a transaction. If the owner dies
 * or fails in between, the next owner continues, with the previous options or with the new ones;
 * no tool may write to the segment until then.
 * @return SHM_OK; SHM_EOWNED (a live owner), SHM_ELAYOUT (another layout), SHM_ECORRUPT,
 *   SHM_EPERM (another user created the file or may write it), SHM_ESPACE (/dev/shm or the memory
 *   limit), SHM_ELIMIT (size), SHM_EBASE (the address range is taken), SHM_EEXIST (users share a
 *   key that is to be unique; fault names the first of them), SHM_EBUSY (a tool is writing; or a
 *   process that makes no progress holds the writer lock or reads old tables, and fault names it),
 *   SHM_EINVAL (an invalid value of config; fault names it), SHM_ESYS. On error the users, their
 *   unique keys and what the next start relies on are unchanged, and fault has the reason.
 */
int shm_store_open(struct shm_store **store, const struct shm_config *config,
                   struct shm_fault *fault);

/**
 * The segment's descriptor, which holds the owner lock. A program passes it to its successor, which
 * calls shm_store_inherit() while both run. The store keeps ownership of the descriptor.
 */
int shm_store_fd(const struct shm_store *store);
/**
 * Becomes an owner in addition to the live owner that passed its descriptor. Nothing is checked or
 * changed. Of `config` only name and key_of are used.
 * @param fd the store takes ownership of it
 * @return SHM_OK; SHM_ELAYOUT (another layout), SHM_EBASE, SHM_EINVAL (no descriptor of this
 *   segment), SHM_ECORRUPT, SHM_ESYS
 */
int shm_store_inherit(struct shm_store **store, const struct shm_config *config, int fd,
                      struct shm_fault *fault);

/**
 * Checks that the segment's file still has its name, and restores the name if it was removed
 * (name.h). The owner calls this after it has opened the segment and about once a second from then
 * on. No other server can start with that name meanwhile: shm_store_open() returns SHM_EOWNED.
 */
enum shm_name_state shm_store_hold_name(struct shm_store *store);
/**
 * Removes the second link (name.h); the name stays. The last owner calls this before
 * shm_store_close(). If another file has the name, the segment is moved aside, as by
 * shm_store_set_aside().
 * @return whether the segment was moved aside; moved_to is set then
 */
bool shm_store_release_name(struct shm_store *store, char moved_to[256]);
/**
 * Copies a segment that has no link any more (SHM_NAME_LOST) into a new file with the segment's
 * name. The segment's last process calls this, after its actor has left.
 * @param saved_as NULL: use the segment's own name. Otherwise that name is taken: the new file gets
 *   another name, which is returned here
 * @return SHM_OK, SHM_ESPACE, SHM_EEXIST (another file has the name), SHM_EBUSY (a tool is
 * writing), SHM_ECORRUPT, SHM_ESYS
 */
int shm_store_save(struct shm_store *store, char saved_as[256], struct shm_fault *fault);
/** The pid of the process that holds the writer lock, for a message; 0: none. Takes no lock. */
uint32_t shm_store_lock_holder(const struct shm_store *store);
/** Whether the name leads to this segment at the moment. Any process may call this; it makes two
 * system calls. */
bool shm_store_has_name(const struct shm_store *store);

enum shm_attach_mode {
    /* The arena is mapped read-only. Without permission to write the file, the whole segment is
     * mapped read-only: such a store has no actors and serves shm/careful.h and shm_store_info()
     * only. */
    SHM_ATTACH_READ,
    /* As long as this store is open, a starting server is refused with SHM_EBUSY. */
    SHM_ATTACH_WRITE,
};
/**
 * Attaches as a tool, such as shm-inspect, to a live or dead server's segment, without taking the
 * owner lock.
 * @param key_of as in struct shm_config: needed to write to a segment with unique keys and to
 *   look up users by them; otherwise NULL
 * @return as shm_store_open(); also SHM_ENOSEG (no such segment) and SHM_EBUSY (a server is
 *   checking or rebuilding the segment)
 */
int shm_store_attach(struct shm_store **store, const char *name, enum shm_attach_mode mode,
                     shm_key_of *key_of, struct shm_fault *fault);

/**
 * The user and group that own the segment. A program that runs as root must switch to that user
 * before it attaches; otherwise attaching fails with SHM_EPERM, even for reading. The name may lead
 * to another file by then, so attaching checks again.
 * @return SHM_OK, SHM_ENOSEG, SHM_EINVAL (the name), SHM_ESYS
 */
int shm_store_user(const char *name, uid_t *uid, gid_t *gid, struct shm_fault *fault);
/** Whether the segment's address range is free in this process. For a program that can call
 * shm_exec_again() now and could not do so later. */
bool shm_base_free(void);

/**
 * Handles SHM_EBASE: about once in a thousand starts, address space randomisation places something
 * in the segment's address range. Executes this program again, with the same arguments, at most
 * three times in a row. Returns only if that limit is reached or the program cannot be executed;
 * the caller then reports the fault of the failed call.
 */
void shm_exec_again(char *const argv[]);

/** Unmaps the segment and frees the handle; the segment and its users remain. All actors of the
 * handle must have left. */
void shm_store_close(struct shm_store *store);

/** Removes the segment and its counters. @return SHM_OK, SHM_EOWNED (a live owner), SHM_ENOSEG,
 * SHM_ESYS */
int shm_store_unlink(const char *name, struct shm_fault *fault);

/**
 * Moves the segment and its counters to another name, so that the next shm_store_open() creates an
 * empty segment. Deletes nothing.
 * @param moved_to receives the new name, "/NAME.20261123T063000Z"
 * @return SHM_OK, SHM_EOWNED (a live owner), SHM_ENOSEG, SHM_ESYS
 */
int shm_store_set_aside(const char *name, char moved_to[256], struct shm_fault *fault);

/** Gives the segment and its counters another name, which no other segment has. Makes the new
 * name's directory. @return as shm_store_set_aside(), SHM_EPERM (others may write the directory),
 * and SHM_ESYS if another one has the name */
int shm_store_move(const char *name, const char *moved_to, struct shm_fault *fault);
/**
 * As shm_store_move(), to /NAME/LAST: the new name's directory has the name that the segment has.
 * The directory takes the place of the segment in one step, so nobody else can take the name. What
 * a process that dies in the midst leaves behind, shm_store_end_moves() removes.
 */
int shm_store_move_inside(const char *name, const char *last, struct shm_fault *fault);
/** Removes what was left of moves of this user's: links that are not a segment's last one, and the
 * second links of a dead owner (name.h) of the name that the segment had before. */
void shm_store_end_moves(const char *before, const char *name);
/** Whether a regular file has the name. False also where that cannot be seen. */
bool shm_store_exists(const char *name);
/** Whether the descriptor's file has the name, or had it and a server keeps it (name.h). */
bool shm_store_is_at(int fd, const char *name);

/** Facts about the segment. Each number is read separately and without a lock, so the numbers need
 * not belong to one moment. */
struct shm_info {
    uint64_t users;        /* that readers see */
    uint64_t users_newest; /* of the newest commit, by which max_users counts */
    uint64_t max_users;
    uint64_t version;      /* commits so far */
    uint64_t published;    /* the commit that readers see, <= version */
    uint64_t bytes_mapped; /* size that the segment has grown to, <= bytes_reserved */
    uint64_t bytes_reserved;
    uint64_t bytes_used; /* by nodes, bodies and indexes */
    uint64_t bytes_free; /* of bytes_mapped: free without further growth */
    uint64_t buckets;
    unsigned unique;                       /* bit k: key k */
    uint64_t retired_count, retired_bytes; /* bodies that wait for the end of a grace period */
    uint64_t held_count, held_bytes;       /* bodies kept only by snapshots */
    uint64_t snapshot_max_bytes;
    uint64_t requests;   /* that are remembered, also those that are too old to count */
    uint64_t actors;     /* slots in use */
    uint64_t created_at; /* seconds since the epoch */
    bool owned;          /* a server owns the segment */
    bool replaced;       /* the name leads to another file, or to none */
    bool rebuilding;     /* a server is rebuilding tables, or died while it did */
    char name[256];
};
void shm_store_info(struct shm_store *store, struct shm_info *info);
/** The users that readers see: shm_info.users, without the cost of the rest. */
uint64_t shm_users(const struct shm_store *store);

enum shm_actor_kind { SHM_ACTOR_MASTER = 1, SHM_ACTOR_WORKER, SHM_ACTOR_TOOL, SHM_ACTOR_JOURNAL };

/** An attached process. */
struct shm_slot_info {
    unsigned slot;
    enum shm_actor_kind kind; /* as stored: a damaged segment may have any value here */
    unsigned number;          /* as given to shm_actor_join() */
    uint32_t pid;
    uint64_t started_at;             /* seconds since the epoch */
    bool alive;                      /* false: the process died, and its slot is not cleared yet */
    bool online;                     /* in a read section */
    uint64_t behind;                 /* if online: grace periods that began since it went online */
    uint64_t snapshots;              /* open snapshots, on all its pins */
    uint64_t held_count, held_bytes; /* bodies kept only by these snapshots */
};
/** Finds the first used slot at or after slot *from and moves *from past it. Start with *from = 0.
 * @return false if there is no further slot */
bool shm_slot_next(struct shm_store *store, unsigned *from, struct shm_slot_info *info);

/** A version that snapshots keep readable. */
struct shm_pin_info {
    struct shm_slot_info holder; /* snapshots and held_* are unset; pid 0: the process has left */
    unsigned pin;                /* index in the slot */
    uint64_t version;
    uint64_t behind;    /* commits since that version */
    uint64_t age_ms;    /* age of the first snapshot that shares the pin */
    uint64_t snapshots; /* that share the pin; 0: ended, its bodies are not freed yet */
    uint64_t held_count, held_bytes; /* bodies kept only by this pin */
    bool revoked;                    /* the pin kept too much memory and keeps nothing any more */
};
/** Finds the next used pin, as shm_slot_next() does. *from is an opaque position, not a slot. */
bool shm_pin_next(struct shm_store *store, unsigned *from, struct shm_pin_info *info);

/* ---- actors ---- */

/**
 * Takes a slot for the calling thread. Call this after fork, in the thread that will use the actor.
 * The slot makes the process visible to reclaim, and other processes detect its death by the slot.
 * @param number the worker's number, shown to people
 * @return SHM_OK; SHM_ESLOTS (all SHM_SLOTS are taken), SHM_EPERM (no permission to write the
 *   segment, see SHM_ATTACH_READ), SHM_ESYS; if slots must be created also SHM_EBUSY and
 *   SHM_EOUTGROWN, from the writer lock, and SHM_ECORRUPT
 */
int shm_actor_join(struct shm_actor **actor, struct shm_store *store, enum shm_actor_kind kind,
                   unsigned number, struct shm_fault *fault);
/** Gives the slot back and ends its snapshots. The parameter may be NULL. */
void shm_actor_leave(struct shm_actor *actor);
/** In a forked child: frees the copy of the parent's actor. The parent keeps its slot. */
void shm_actor_abandon(struct shm_actor *actor);
/** Releases what dead processes held in the segment: slots, pins, the writer lock. The master calls
 * this after the death of each child. @return the number of dead processes */
unsigned shm_actor_reap(struct shm_store *store);
/** The actor's slot, 0 <= slot < SHM_SLOTS; also the row of its counters (counters.h). */
unsigned shm_actor_slot(const struct shm_actor *actor);

/**
 * Opens the actor's read section; costs nothing if it is open already. Every function below that
 * takes an actor does this itself. Call shm_actor_offline() to close the section before the process
 * sleeps, for example in its event loop: while the section is open, memory that any process retires
 * is not freed.
 */
void shm_actor_online(struct shm_actor *actor);
void shm_actor_offline(struct shm_actor *actor);

/**
 * Does housekeeping: frees memory that no reader needs any more, clears the slots of dead processes
 * that delay this, and allocates memory for the arena ahead of use. Writers do a little of this
 * with each write; one process, such as the master, should also call this function regularly.
 * @return the number of ms after which to call again: a few while there is work, otherwise up to
 * 500
 */
unsigned shm_maintain(struct shm_actor *actor);

/* ---- reading ---- */

/** The newest body of the user with this id. @return SHM_OK, SHM_ENOENT */
int shm_user_find(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], struct shm_user *user);
enum { SHM_FIND_MAX = 16 };
/**
 * Looks up several ids, all as of one commit (a tool: each as of its own). Faster than one after
 * the other: what each of them waits for, memory that is in no cache, arrives together.
 * @param count at most SHM_FIND_MAX
 * @param users receives a user for each id; where there is none, its id is NULL
 */
void shm_users_find(struct shm_actor *actor, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                    struct shm_user *users);
/**
 * The newest body of the user with this value of a unique key.
 * @param value the key as the store's key_of returns it (folded)
 * @return SHM_OK, SHM_ENOENT, SHM_EINVAL (the segment has no index of this key)
 */
int shm_user_find_key(struct shm_actor *actor, unsigned key, const uint8_t *value, uint32_t len,
                      struct shm_user *user);

/** One version of the whole table, kept readable. Plain data, owned by the caller. */
struct shm_snapshot {
    uint64_t version;
    uint64_t seq; /* no user of this version has a greater sequence number */
    uint32_t pin; /* index of the pin in the actor's slot */
};
/** @return SHM_OK, SHM_EPINS (all pins of this actor are in use) */
int shm_snapshot_begin(struct shm_actor *actor, struct shm_snapshot *snapshot);
/** Call this once for each shm_snapshot_begin(), with the same actor. The snapshot's cursors become
 * invalid. */
void shm_snapshot_end(struct shm_actor *actor, struct shm_snapshot *snapshot);
/**
 * Whether the snapshot has been revoked. All snapshots together may keep snapshot_max_bytes of
 * replaced and deleted bodies from being freed. Beyond that the oldest is revoked, even if its
 * process is stopped. A revoked snapshot must still be ended.
 */
bool shm_snapshot_revoked(const struct shm_actor *actor, const struct shm_snapshot *snapshot);

/**
 * A position in a snapshot, in creation order. The caller may pause for minutes between two steps,
 * with the actor offline meanwhile. Plain data that needs no clean-up.
 */
struct shm_cursor {
    struct shm_actor *actor;
    const struct shm_snapshot *snapshot;
    const void *last; /* the user returned last; NULL: continue after sequence number `passed` */
    const void *next; /* the next user to return, when it has been found */
    uint64_t passed;
    const void *reached; /* after SHM_EMORE: how far the call has come */
    uint64_t reached_born;
};
/** Places the cursor before the oldest user. */
void shm_cursor_first(struct shm_cursor *cursor, struct shm_actor *actor,
                      const struct shm_snapshot *snapshot);
/** Places the cursor after the user with this sequence number and id, even if the user is gone.
 * @return SHM_OK, SHM_EINVAL (no user ever had that sequence number) */
int shm_cursor_after(struct shm_cursor *cursor, struct shm_actor *actor,
                     const struct shm_snapshot *snapshot, uint64_t seq,
                     const uint8_t id[SHM_ID_SIZE]);
/**
 * Steps to the next user of the snapshot. One call passes at most about 1,000 users that the
 * snapshot does not show, in well under a millisecond; an older snapshot may keep millions of them.
 * @return SHM_OK; SHM_ENOENT: the end (the cursor stays there); SHM_EMORE: the cursor has advanced
 *   but has not found the next user yet: serve others, go offline and call again; SHM_EREVOKED:
 *   the snapshot has been revoked, and users that it needs may be freed
 */
int shm_cursor_next(struct shm_cursor *cursor, struct shm_user *user);
/** Looks for the next user without a step to it. @return as shm_cursor_next() */
int shm_cursor_settle(struct shm_cursor *cursor);

/* ---- the change feed ---- */

enum shm_change_kind { SHM_CREATED = 1, SHM_UPDATED, SHM_DELETED };

struct shm_change {
    uint64_t version; /* all changes of one commit have the same version */
    enum shm_change_kind kind;
    uint64_t seq; /* the user's */
    uint8_t id[SHM_ID_SIZE];
};
/** A position in the change feed. Plain data that needs no clean-up and costs writers nothing. */
struct shm_follower {
    uint64_t next; /* index of the next entry to read */
};
/**
 * After a load from the data file (disk.h) the feed's newest changes are made from the table: of
 * each user that was written or deleted since, one change, of the commit that did it last. Its kind
 * is SHM_UPDATED or SHM_DELETED, also if the user is new.
 * @return the version up to which that is so; 0: for none
 */
uint64_t shm_feed_rebuilt_until(const struct shm_store *store);
/** Places the follower before the first change after `version`.
 * @param actor may be NULL, here and below: the feed needs no slot
 * @return SHM_OK; SHM_ERESYNC: the ring no longer has all of these changes, or version is in the
 *   future */
int shm_feed_follow(struct shm_actor *actor, struct shm_follower *follower, uint64_t version);
/**
 * Reads the next change.
 * @return SHM_OK; SHM_ENOENT: there is none yet; SHM_ERESYNC: the follower fell too far behind. It
 *   must then begin a snapshot, read the whole table from it and follow from the snapshot's
 *   version, so that it misses no delete
 */
int shm_feed_next(struct shm_actor *actor, struct shm_follower *follower,
                  struct shm_change *change);

/* ---- writing ---- */

/**
 * A request that is done once, however often it arrives: a write that carries one is refused with
 * SHM_EREPEAT if an earlier write with this id was committed in the last SHM_REQUEST_SECONDS. The
 * record is part of the write's commit. SHM_REQUESTS_MAX requests are remembered; a segment gets
 * memory for them, 4.5 MiB, with its first request.
 */
struct shm_request {
    uint8_t id[SHM_ID_SIZE]; /* of the request (a binary UUID) */
    uint64_t time;           /* seconds since the epoch: now */
    uint64_t fingerprint;    /* of its contents, for the caller: the store does not look at it */
    /* After SHM_EREPEAT the struct is the earlier write's, with these: */
    uint8_t user[SHM_ID_SIZE]; /* who was written */
    uint64_t version;          /* the commit */
};

struct shm_new_user {
    uint8_t id[SHM_ID_SIZE];
    const uint8_t *body; /* copied; at least 1 byte */
    uint32_t body_len;
    uint32_t hidden_len;   /* both parts together: at most SHM_BODY_MAX bytes */
    const uint8_t *hidden; /* copied: the second part; may be NULL if hidden_len is 0 */
    uint64_t if_version;   /* of an update: only if the user has this version; 0: any */
    /* Of a write of one user; NULL: none. Only SHM_EREPEAT changes it. */
    struct shm_request *request;
};

/** The user because of which a write was refused, and the commit on which the result rests. */
struct shm_conflict {
    size_t which; /* index of the user in the call */
    unsigned key; /* after SHM_EKEY: the unique key that another user has */
    /* After SHM_OK: this write's commit. After SHM_EEXIST and SHM_EKEY: the commit that created the
     * user in the way, or gave it the key; 0 if the same batch contains it. After SHM_ENOENT: the
     * commit that deleted the user, or 0. After SHM_ESTALE: the user's version. After
     * SHM_EREPEAT: the commit that did the request. After SHM_EINVAL because of a changed key: the
     * commit that gave the user its keys. Otherwise 0. Whoever tells the result to somebody waits
     * until this commit is published (disk.h). */
    uint64_t version;
};

/**
 * Inserts `count` (1 to SHM_BATCH_MAX) users in one commit: all of them or none, whenever a process
 * dies. Never sleeps: the function tries to take the writer lock for about 50 us.
 * @param conflict may be NULL
 * @return SHM_OK; SHM_EBUSY (another process holds the lock, or the journal is too far behind: try
 *   later), SHM_EREADONLY (the data file has failed), SHM_EEXIST (the id exists),
 *   SHM_EKEY (another user has the unique key), SHM_EFULL (max_users), SHM_ELIMIT (the
 *   segment's bound), SHM_ESPACE (/dev/shm is full, or the memory limit is reached), SHM_EINVAL (a
 *   body's length; or a tool that attached for reading, or without the key_of that the segment's
 *   unique keys need; or one of several users carries a request), SHM_EREPEAT (the request was done
 *   already: nothing else was looked at). After SHM_EEXIST, SHM_EKEY and SHM_EINVAL, conflict names
 * the user. If several users of a batch conflict by a key, it names the first; the users before it
 * could be inserted.
 */
int shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                     struct shm_conflict *conflict);

/**
 * Replaces the bodies of `count` (1 to SHM_BATCH_MAX) users in one commit. Open snapshots still see
 * the old bodies; an old body is freed when the last such snapshot has ended and a grace period has
 * passed. Never sleeps. An update of one user may change its unique keys: from its commit on the
 * user has the new ones, and the old ones are free; older snapshots still see the old ones.
 * @return as shm_users_insert(); also SHM_ENOENT (no such user); SHM_ESTALE (the user has another
 *   version than if_version); SHM_EINVAL also if a user occurs twice, or if one of several new
 *   bodies changes a unique key
 */
int shm_users_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                     struct shm_conflict *conflict);

/** Deletes `count` (1 to SHM_BATCH_MAX) users in one commit. @return as shm_users_update() */
int shm_users_delete(struct shm_actor *actor, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                     struct shm_conflict *conflict);
/** Deletes a user only if it has this version; 0: any. @return as shm_users_update() */
int shm_user_delete(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], uint64_t if_version,
                    struct shm_conflict *conflict);

/**
 * Looks for a request, for a caller that has to know before it looks at the user. (A write looks
 * again.) Never sleeps, as a write.
 * @return SHM_OK: it was done, and *request is the earlier write's; SHM_ENOENT: it was not done, or
 *   is forgotten; SHM_EBUSY and other errors of the writer lock; SHM_EINVAL (a reading tool)
 */
int shm_request_find(struct shm_actor *actor, struct shm_request *request);

/* ---- checking ---- */

struct shm_verify_report {
    uint64_t users, bodies, free_blocks, bytes_used, bytes_free; /* found in the segment */
    uint64_t bytes_tables; /* hash tables and requests; with used and free bytes the arena */
    uint64_t faults;       /* violated invariants */
    uint64_t pages_locked; /* most pages copied in one hold of the writer lock */
};
/**
 * Checks every invariant of the segment: header, lists, indexes, allocator, checksums. The function
 * treats the segment as untrusted and follows no pointer unchecked. It checks a copy of the
 * segment, which needs as much memory again. Writers continue while the copy is made; it delays
 * them by about 50 us at a time, or about 200 us if they are very busy.
 * @param on_fault called with one line for each violated invariant; may be NULL
 * @return SHM_OK or SHM_ECORRUPT; SHM_EBUSY (the lock could not be taken within a second, another
 *   process is verifying, or writers change more than can be copied); SHM_EOUTGROWN (the segment
 *   has grown beyond this process's mapping: attach again); SHM_EPERM (no permission to write the
 *   segment); SHM_ESPACE (the control group's memory limit leaves no room for the copy); SHM_ESYS
 *   (no memory); and the codes of shm_actor_join(), because the function takes a slot
 */
int shm_store_verify(struct shm_store *store, struct shm_verify_report *report,
                     void (*on_fault)(void *data, const char *line), void *data);

#endif
