/* SPDX-License-Identifier: MIT */
/*
 * The kill storm: a supervisor forks writers, readers, followers and a master on one segment and
 * kills them at random moments, one, the master or all. Each process checks all that it
 * sees against a model (model.h); after each round the supervisor checks the whole segment.
 */
#ifndef ROSTERD_TESTS_TORTURE_STORM_H
#define ROSTERD_TESTS_TORTURE_STORM_H

#include <stdbool.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#include "tests/torture/model.h"

enum {
    STORM_READERS = 3,
    /* the workers' numbers; writers and readers first */
    STORM_TOOL = MODEL_WRITERS + STORM_READERS, /* a reader that may see the next owner come */
    STORM_FOLLOWER,
    STORM_MASTER,
    STORM_WORKERS,
};

/** What all processes of the storm share, beside the segment. */
struct storm {
    _Atomic int stop; /* leave when you can */
    _Atomic int failed;
    char failure[1024];
    _Atomic pid_t tool; /* who has attached as one and has let go of the owner's descriptor */
    _Atomic uint64_t beats[STORM_WORKERS]; /* a worker that does not move hangs */
    _Atomic uint32_t ops[MODEL_WRITERS + 1];
    /* for the summary */
    _Atomic uint64_t kills, commits, refusals, busy, lookups, listings, revoked, resyncs;
    _Atomic uint64_t changes_read, attaches, attaches_killed, rounds;
    _Atomic uint64_t verified, careful, tools, full, duplicates;
    /* chosen for each segment: see storm_choose_ids() */
    uint64_t id_salt[MODEL_IDS];
    uint32_t key_salt[SHM_KEYS][MODEL_IDS + 1];
    bool revokes; /* this segment's snapshots may be revoked: held_max is small */
    bool large;   /* its bodies are large, so that the arena grows and comes to its bound */
    struct ledger ledger;
};

extern struct storm *storm;
/* Each process has its own from its fork on; the supervisor's is brought up to date before. */
extern struct model storm_model;
extern struct shm_store *storm_store;

/** One write of a writer. */
struct storm_op {
    struct model_commit head;
    struct model_change change[SHM_BATCH_MAX];
    uint64_t noted; /* version that it tried to commit as; 0: it did not */
};

/* ---- storm.c ---- */

uint64_t storm_random(uint64_t below); /* of this process */
void storm_seed(uint64_t seed);
double storm_seconds(void);
void storm_beat(unsigned worker);
/** Says what was wrong, once for all processes, and ends this one. */
noreturn void storm_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** Ids and keys that share few buckets, so that chains are long, and many with towers. */
void storm_choose_ids(void);
void storm_id(uint8_t id[SHM_ID_SIZE], uint32_t n);
/** Its key's bytes, as storm_key_of() has them. @return length */
uint32_t storm_key(unsigned key, uint32_t value, uint8_t *out);
shm_key_of storm_key_of;
uint64_t storm_version(void);
/** Replays up to this version. */
void storm_replay(struct model *model, uint64_t version);
/** The body of the op's user i. @return its length */
uint32_t storm_body(uint8_t bytes[SHM_BODY_MAX], const struct storm_op *op, size_t i);
/** Fails where a version after the segment's was acknowledged to its writer. */
void storm_check_acknowledged(void);
/** Reads a body, wherever it lies, and fails where it is not what some writer wrote. */
void storm_read(const struct shm_user *user, struct model_row *row);
bool storm_same(const struct model_row *a, const struct model_row *b);
const char *storm_row_text(const struct model_row *row); /* one of four static buffers */
/** To be called after the fork: attaches anew, as a tool does. */
void storm_become_tool(enum shm_attach_mode mode);
/** Checks the live segment, as shm-inspect verify does. */
void storm_verify_live(void);
/** A new process: joins nothing by itself. Dies with its parent. */
pid_t storm_fork(void);
struct shm_actor *storm_join(enum shm_actor_kind kind, unsigned number);

/* ---- storm_writer.c ---- */

extern struct storm_op storm_op;
/** The library's hook: notes commits, and delays the holder of the writer lock now and then. */
void storm_hook(const char *point);
void storm_op_begin(uint32_t writer, enum shm_change_kind kind);
void storm_op_add(uint32_t id, uint32_t name, uint32_t email, int32_t amount);
/** Does it until the store has a lock to spare, checks the answer; @return it */
int storm_op_do(struct shm_actor *actor);
noreturn void storm_writer(unsigned worker);

/* ---- storm_reader.c ---- */

noreturn void storm_reader(unsigned worker);
noreturn void storm_tool(unsigned worker);
/** What was found by id (key -1) or key is what the model has at a version from its own to now. */
void storm_check_found(int key, uint32_t value, const struct model_row *found);
/** The library's hook: a reader that is slow inside its section, and inside the calls. */
void storm_dawdle(const char *point);

/** One listing from a snapshot, which may rest between its parts. */
void storm_list_begin(struct shm_actor *actor);
bool storm_list_some(uint32_t steps); /* false: it has ended */
void storm_list_end(struct shm_actor *actor);
/** All users, and each by id and by keys, are as the model has them at this version. */
void storm_check_table(struct shm_actor *actor);

/* ---- storm_others.c ---- */

/** Once, all users and some of them by id, as shm-inspect does. */
void storm_read_carefully(void);
noreturn void storm_follower(unsigned worker);
noreturn void storm_master(unsigned worker);
/** A follower's place: number i of the commit after `version` comes next. */
struct storm_place {
    struct shm_follower follower;
    uint64_t version;
    uint32_t i;
};
void storm_follow_begin(struct shm_actor *actor, struct storm_place *place); /* from now on */
void storm_follow(struct shm_actor *actor, struct storm_place *place);       /* all that there is */
/** What the feed's ring has are the last commits, in their order. */
void storm_check_feed(struct shm_actor *actor);

/* ---- storm_check.c ---- */

/** Beside the processes that are there: all is as the model has it and every byte accounted for;
 * what was retired is freed, for nobody holds it. */
void storm_check(void);

/* ---- storm_owner.c ---- */

extern char storm_name[64]; /* of the segment */
/** A new one, with the accounts in it. */
void storm_open(uint64_t max_users, unsigned unique, uint64_t snapshot_max_bytes);
/** The same with some size, keys and cap; the one before is removed. */
void storm_new_segment(void);
/** Owners come, are killed in it, and one stays, who may want other tables. All others but the tool
 * have ended.
 * @param known nothing is under way, so the model knows what the next owner finds */
void storm_attach_again(bool known);

/* ---- storm_kill.c, storm_scenes.c, storm_commits.c: what storm_main.c runs, in a process of its
 * own ---- */

struct storm_options {
    uint64_t kills; /* enough for a storm */
    double seconds; /* and no longer than that; 0: as long as it takes */
    uint64_t seed;
};
extern struct storm_options storm_options;
/** The tool's process, or 0. */
pid_t storm_tool_pid(void);
/** A tool that lives on has the owner's descriptor until it has attached by itself. */
void storm_wait_for_tool(void);
void storm_storm(void);
void owner_killed_while_it_creates_leaves_nothing_or_all(void);

struct storm_scene {
    const char *name;
    void (*run)(void);
};
extern const struct storm_scene storm_scenes[];

#endif
