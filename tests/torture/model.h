/* SPDX-License-Identifier: MIT */
/*
 * The expected contents of the table. Writers note each commit in a ledger. The ledger lies in
 * memory that all processes of the torture share and that is not the segment. A model replays the
 * ledger, so that each process with a model knows what the table held at each version.
 *
 * A writer makes the note under the writer lock before the commit point, so the note exists before
 * its version can be seen. The next attempt at that version overwrites the note of an attempt that
 * did not commit: so for each version of the segment, its note is the right one.
 */
#ifndef ROSTERD_TESTS_TORTURE_MODEL_H
#define ROSTERD_TESTS_TORTURE_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/store.h"

enum {
    MODEL_WRITERS = 3,
    /* Per writer: users that only this writer writes, and moves amounts between. */
    MODEL_ACCOUNTS = 32,
    MODEL_SHARED = 288, /* users that all writers create, update and delete; their amount is 0 */
    MODEL_IDS = MODEL_WRITERS * MODEL_ACCOUNTS + MODEL_SHARED,
    MODEL_AMOUNT = 1000, /* initial amount of each account; the total never changes */
    MODEL_SUM = MODEL_WRITERS * MODEL_ACCOUNTS * MODEL_AMOUNT,
    MODEL_PARENT = MODEL_WRITERS, /* the supervisor's number as a writer */
};

/** One user of a commit. A delete sets only the id. */
struct model_change {
    uint32_t id;
    uint32_t name;  /* unique key 0 */
    uint32_t email; /* unique key 1; 0: none */
    int32_t amount;
    uint64_t if_version; /* of an update or a delete: the version that it asks for; 0: any */
};

struct model_commit {
    uint32_t writer;
    uint32_t op;   /* number of the writer's operation, counting from 1 */
    uint32_t kind; /* enum shm_change_kind */
    uint32_t count;
    /* Number of the commit's first change, counted over all commits. */
    uint64_t first;
    _Atomic uint64_t acknowledged; /* version as which it was acknowledged */
};

enum { LEDGER_COMMITS = 1 << 20, LEDGER_CHANGES = 1 << 22 };

struct ledger {
    _Atomic uint64_t changes;                   /* changes allocated so far */
    struct model_commit commit[LEDGER_COMMITS]; /* version v at v mod LEDGER_COMMITS */
    struct model_change change[LEDGER_CHANGES];
};

struct model_row {
    uint64_t seq;
    uint64_t version; /* version of the body */
    uint32_t writer, op;
    struct model_change is;
    bool there;
};

struct model {
    uint64_t version, seq, users;
    int64_t sum;
    uint64_t max_users;
    unsigned unique;                                  /* as in struct shm_config */
    uint16_t names[MODEL_IDS], emails[MODEL_IDS + 1]; /* users that have the key's value */
    struct model_row row[MODEL_IDS];
};

void model_init(struct model *model, uint64_t max_users, unsigned unique);
/** Replays the next version. @return NULL, or why the store must not have committed it */
const char *model_step(struct model *model, const struct ledger *ledger);
/** @return whether the store is right now to refuse the operation with this error because of
 * this user. */
bool model_refuses(const struct model *model, const struct model_commit *op,
                   const struct model_change *change, int error,
                   const struct shm_conflict *conflict);
/** Lists the existing users in the order of seq; `order` has room for MODEL_IDS ids. @return how
 * many */
uint32_t model_order(const struct model *model, uint16_t order[MODEL_IDS]);
/** @return the user that has this value of the unique key, or NULL. */
const struct model_row *model_by_key(const struct model *model, unsigned key, uint32_t value);
/** @return whether two users have the same value of the key, so that its index cannot be
 * created. */
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
