/* SPDX-License-Identifier: MIT */
/*
 * What the table ought to be. Writers note each commit in a ledger, in memory that
 * all processes of the torture share and that is not the segment; a model replays
 * the ledger, so that whoever has one knows what the table held at each version.
 *
 * A note is made under the writer lock before the commit point, so it is there
 * before its version can be seen. One that did not commit is overwritten by the next
 * attempt at that version: the note of a version that the segment has is the right one.
 */
#ifndef ROSTERD_TESTS_TORTURE_MODEL_H
#define ROSTERD_TESTS_TORTURE_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/store.h"

enum {
    MODEL_WRITERS = 3,
    MODEL_ACCOUNTS = 32, /* a writer: users that only it writes, and moves amounts between */
    MODEL_SHARED = 288,  /* users that all writers create, update and delete, of amount 0 */
    MODEL_IDS = MODEL_WRITERS * MODEL_ACCOUNTS + MODEL_SHARED,
    MODEL_AMOUNT = 1000, /* of each account at first; the sum of all never changes */
    MODEL_SUM = MODEL_WRITERS * MODEL_ACCOUNTS * MODEL_AMOUNT,
    MODEL_PARENT = MODEL_WRITERS, /* as a writer: the supervisor */
};

/** One user of a commit. A delete says only which. */
struct model_change {
    uint32_t id;
    uint32_t name;  /* unique key 0 */
    uint32_t email; /* unique key 1; 0: none */
    int32_t amount;
};

struct model_commit {
    uint32_t writer;
    uint32_t op;   /* of this writer, counting from 1 */
    uint32_t kind; /* enum shm_change_kind */
    uint32_t count;
    uint64_t first;                /* change, of all time */
    _Atomic uint64_t acknowledged; /* as this version */
};

enum { LEDGER_COMMITS = 1 << 20, LEDGER_CHANGES = 1 << 22 };

struct ledger {
    _Atomic uint64_t changes;                   /* given out */
    struct model_commit commit[LEDGER_COMMITS]; /* version v at v mod LEDGER_COMMITS */
    struct model_change change[LEDGER_CHANGES];
};

struct model_row {
    uint64_t seq;
    uint64_t version; /* of the body */
    uint32_t writer, op;
    struct model_change is;
    bool there;
};

struct model {
    uint64_t version, seq, users;
    int64_t sum;
    uint64_t max_users;
    unsigned unique;                                  /* as struct shm_config has it */
    uint16_t names[MODEL_IDS], emails[MODEL_IDS + 1]; /* users that have it */
    struct model_row row[MODEL_IDS];
};

void model_init(struct model *model, uint64_t max_users, unsigned unique);
/** Replays the next version. @return NULL, or why the store should not have committed it */
const char *model_step(struct model *model, const struct ledger *ledger);
/** Whether a refusal with this error, of which this user is to blame, is right now. */
bool model_refuses(const struct model *model, const struct model_commit *op,
                   const struct model_change *change, int error,
                   const struct shm_conflict *conflict);
/** The users there by seq: `order` takes up to MODEL_IDS ids. @return how many */
uint32_t model_order(const struct model *model, uint16_t order[MODEL_IDS]);
/** Who has this unique key, or NULL. */
const struct model_row *model_by_key(const struct model *model, unsigned key, uint32_t value);
/** Whether two users have the same value of a key: its index could not be made. */
bool model_collides(const struct model *model, unsigned key);

static inline struct model_commit *ledger_commit(struct ledger *ledger, uint64_t version)
{
    return &ledger->commit[version % LEDGER_COMMITS];
}

static inline struct model_change *ledger_change(struct ledger *ledger, uint64_t n)
{
    return &ledger->change[n % LEDGER_CHANGES];
}

#endif
