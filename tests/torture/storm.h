/* SPDX-License-Identifier: MIT */
/*
 * The kill storm: a supervisor forks writers, readers, followers and a master on one segment, and
 * kills them at random moments: one of them, the master or all. Each process checks everything that
 * it sees against a model (model.h). After each round the supervisor checks the whole segment.
 */
#ifndef ROSTERD_TESTS_TORTURE_STORM_H
#define ROSTERD_TESTS_TORTURE_STORM_H

#include <stdbool.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#include "tests/torture/model.h"

enum {
    STORM_READERS = 3,
    /* The workers' numbers; writers and readers come first. */
    /* A reader that may live on until the next owner comes. */
    STORM_TOOL = MODEL_WRITERS + STORM_READERS,
    STORM_FOLLOWER,
    STORM_JOURNAL,
    STORM_MASTER,
    STORM_WORKERS,
};

/** What an owner opens the segment with. */
enum storm_mode {
    STORM_MEMORY,  /* no data file */
    STORM_SEEN,    /* a data file; readers see each commit at once */
    STORM_DURABLE, /* readers see what the journal has published */
    STORM_MODES,
};

/** Shared by all processes of the storm, outside the segment. */
struct storm {
    _Atomic int stop; /* asks all processes to leave */
    _Atomic int failed;
    char failure[1024];
    /* The process that has attached as a tool and has closed the owner's descriptor. */
    _Atomic pid_t tool;
    /* Progress counters: a worker whose counter does not change hangs. */
    _Atomic uint64_t beats[STORM_WORKERS];
    _Atomic uint32_t ops[MODEL_WRITERS + 1];
    /* Counts for the summary. */
    _Atomic uint64_t kills, commits, refusals, stale, busy, lookups, listings, revoked, resyncs;
    _Atomic uint64_t changes_read, attaches, attaches_killed, rounds;
    _Atomic uint64_t verified, careful, tools, full, duplicates, publications, written;
    /* The commit that the journal has on its disk: stored before it is published. */
    _Atomic uint64_t disk;
    _Atomic int strict; /* nobody may see a commit that is not on the disk */
    /* Chosen for each segment, see storm_choose_ids(). */
    uint64_t id_salt[MODEL_IDS];
    uint32_t key_salt[SHM_KEYS][MODEL_IDS + 1];
    bool revokes; /* snapshots of this segment may be revoked: held_max is small */
    bool large;   /* the bodies are large, so that the arena grows and reaches its limit */
    struct ledger ledger;
};

extern struct storm *storm;
/* Each process has its own model after its fork; the supervisor updates its model before it
 * forks. */
extern struct model storm_model;
extern struct shm_store *storm_store;

/** One write of a writer. */
struct storm_op {
    struct model_commit head;
    struct model_change change[SHM_BATCH_MAX];
    uint64_t noted; /* version that the operation tried to commit; 0: it did not try */
};

/* ---- storm.c ---- */

uint64_t storm_random(uint64_t below); /* from this process's random state */
void storm_seed(uint64_t seed);
double storm_seconds(void);
void storm_beat(unsigned worker);
/** Prints what was wrong, once for all processes, and ends this process. */
noreturn void storm_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** Chooses ids and keys that share few buckets, so that chains are long, and many ids with
 * towers. */
void storm_choose_ids(void);
void storm_id(uint8_t id[SHM_ID_SIZE], uint32_t n);
/** Writes the bytes of the key's value, as storm_key_of() returns them. @return length */
uint32_t storm_key(unsigned key, uint32_t value, uint8_t *out);
shm_key_of storm_key_of;
/** The version that readers see. Fails if the journal does not have it on its disk. */
uint64_t storm_version(void);
/** The newest version: what writers go by. */
uint64_t storm_newest(void);
/** Replays the ledger up to this version. */
void storm_replay(struct model *model, uint64_t version);
/** Writes both parts of the body of the operation's user i to the bytes, and sets them. */
void storm_body(struct shm_new_user *user, uint8_t bytes[SHM_BODY_MAX], const struct storm_op *op,
                size_t i);
/** Fails if a writer got an acknowledgement for a version that the segment does not have. */
void storm_check_acknowledged(void);
/** Reads a body at any address, and fails if no writer wrote it like this. */
void storm_read(const struct shm_user *user, struct model_row *row);
bool storm_same(const struct model_row *a, const struct model_row *b);
const char *storm_row_text(const struct model_row *row); /* returns one of four static buffers */
/** Attaches again, as a tool does. Call it after the fork. */
void storm_become_tool(enum shm_attach_mode mode);
/** Checks the live segment, as shm-inspect verify does. */
void storm_verify_live(void);
/** Forks a process that joins no slot by itself and dies with its parent. */
pid_t storm_fork(void);
struct shm_actor *storm_join(enum shm_actor_kind kind, unsigned number);

/* ---- storm_writer.c ---- */

extern struct storm_op storm_op;
/** The request of the next write of one user; NULL: none. */
extern struct shm_request *storm_request;
/** Hook of the library: notes commits, and sometimes delays the holder of the writer lock. */
void storm_hook(const char *point);
void storm_op_begin(uint32_t writer, enum shm_change_kind kind);
void storm_op_add(uint32_t id, uint32_t name, uint32_t email, int32_t amount);
/** The write of the user added last is to be done only if the user has this version. */
void storm_op_only_if(uint64_t version);
/** Repeats the operation until the store's lock is free, and checks the answer. @return the
 * answer */
int storm_op_do(struct shm_actor *actor);
noreturn void storm_writer(unsigned worker);

/* ---- storm_reader.c ---- */

noreturn void storm_reader(unsigned worker);
noreturn void storm_tool(unsigned worker);
/** Checks that a user found by id (key -1) or by key is in the model at some version from the
 * model's up to the current one. */
void storm_check_found(int key, uint32_t value, const struct model_row *found);
/** Hook of the library: makes a reader slow inside its read section, and inside the calls. */
void storm_dawdle(const char *point);

/** Starts a listing from a snapshot. It may rest between its parts. */
void storm_list_begin(struct shm_actor *actor);
bool storm_list_some(uint32_t steps); /* @return false: the listing has ended */
void storm_list_end(struct shm_actor *actor);
/** Checks all users against the model at this version, in a listing, by id and by keys. */
void storm_check_table(struct shm_actor *actor);

/* ---- storm_others.c ---- */

/** Lists all users and looks some of them up by id, once, as shm-inspect does. */
void storm_read_carefully(void);
noreturn void storm_follower(unsigned worker);
noreturn void storm_master(unsigned worker);
/** A follower's position: change number i of the commit after `version` comes next. */
struct storm_place {
    struct shm_follower follower;
    uint64_t version;
    uint32_t i;
};
/* Follows from now on. */
void storm_follow_begin(struct shm_actor *actor, struct storm_place *place);
/* Reads all changes that there are. */
void storm_follow(struct shm_actor *actor, struct storm_place *place);
/** Checks that the feed's ring holds the last commits in their order. */
void storm_check_feed(struct shm_actor *actor);

/* ---- storm_journal.c ---- */

/** The position of a journal. Its disk has the table of storm_model. */
struct storm_journal {
    struct shm_actor *actor;
    struct shm_follower follower;
    uint64_t version;
};
/** Continues where the last journal ended. */
void storm_journal_begin(struct storm_journal *journal, struct shm_actor *actor);
/** Reads all that is new, compares it with the model, writes it to the disk and publishes it. */
void storm_journal_step(struct storm_journal *journal);
/** Does the work of a journal until there is none, if there is a data file. */
void storm_journal_catch_up(struct shm_actor *actor);
noreturn void storm_journal(unsigned worker);

/* ---- storm_check.c ---- */

/** Checks the segment while its processes are alive: everything is as in the model, every byte
 * is accounted for, and everything retired gets freed, because no process holds it. */
void storm_check(void);

/* ---- storm_owner.c ---- */

extern char storm_name[64]; /* name of the segment */
/** The mode of the segments that are opened from now on. */
void storm_set_mode(enum storm_mode mode);
/** Creates a new segment with the accounts in it. */
void storm_open(uint64_t max_users, unsigned unique, uint64_t snapshot_max_bytes);
/** Opens the segment again, as the next owner. */
void storm_reopen(void);
/** Creates a new segment of random size, keys and cap, and removes the previous one. */
void storm_new_segment(void);
/**
 * Owners attach and are killed while they do; the last one stays and may want other tables. All
 * other processes but the tool have ended.
 * @param known no operation is under way, so the model knows what the next owner finds
 */
void storm_attach_again(bool known);

/* ---- storm_kill.c, storm_scenes.c, storm_commits.c: scenes, which storm_main.c runs in a
 * process of their own ---- */

struct storm_options {
    uint64_t kills; /* kills after which the storm ends */
    double seconds; /* longest duration; 0: unlimited */
    uint64_t seed;
};
extern struct storm_options storm_options;
/** @return the tool's process, or 0. */
pid_t storm_tool_pid(void);
/** Waits for the tool: it keeps the owner's descriptor until it has attached by itself. */
void storm_wait_for_tool(void);
void storm_storm(void);
void owner_killed_while_it_creates_leaves_nothing_or_all(void);
void owner_killed_while_it_loads_leaves_nothing_or_all(void);

struct storm_scene {
    const char *name;
    void (*run)(void);
};
extern const struct storm_scene storm_scenes[];

#endif
