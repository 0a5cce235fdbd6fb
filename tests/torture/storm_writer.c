/* SPDX-License-Identifier: MIT */
/* The writers of the storm: each notes what it is about to commit, and checks the answers that
 * it gets. */
#include "tests/torture/storm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"

struct storm_op storm_op;
struct shm_request *storm_request;

/* ---- noting commits ---- */

/* The version that the transaction in the log will commit; 0: none, the transaction is
 * housekeeping. */
static uint64_t version_in_log(void)
{
    const struct shm_log *log = shm_log();
    uint64_t word = (uint64_t)(uintptr_t)&shm_control()->version - SHM_BASE;
    for (uint64_t i = log->count; i-- > 0 && log->count - i <= 4;)
        if (log->entry[i].offset == word)
            return log->entry[i].value;
    return 0;
}

static void note(uint64_t version)
{
    struct ledger *ledger = &storm->ledger;
    struct model_commit *commit = ledger_commit(ledger, version);
    uint32_t count = storm_op.head.count;
    if (version != storm_newest() + 1)
        storm_fail("version %llu is to follow version %llu", (unsigned long long)version,
                   (unsigned long long)storm_newest());
    if (storm_op.noted != 0)
        storm_fail("one call committed twice: %llu and %llu", (unsigned long long)storm_op.noted,
                   (unsigned long long)version);
    /* A dead writer's unfinished attempt at this version is overwritten. */
    if (atomic_load(&commit->acknowledged) == version)
        storm_fail("version %llu was acknowledged to writer %u and is lost",
                   (unsigned long long)version, commit->writer);
    uint64_t first = atomic_fetch_add(&ledger->changes, count);
    for (uint32_t i = 0; i < count; i++)
        *ledger_change(ledger, first + i) = storm_op.change[i];
    commit->writer = storm_op.head.writer;
    commit->op = storm_op.head.op;
    commit->kind = storm_op.head.kind;
    commit->count = count;
    commit->first = first;
    storm_op.noted = version;
}

void storm_hook(const char *point)
{
    if (strcmp(point, "before seal") == 0 && storm_op.head.count != 0) {
        uint64_t version = version_in_log();
        if (version != 0)
            note(version);
    }
    bool is_a_step = strncmp(point, "pass", 4) == 0 || strcmp(point, "compared") == 0;
    if (!is_a_step && storm_random(64) == 0)
        usleep((useconds_t)storm_random(100));
}

/* ---- one write ---- */

void storm_op_begin(uint32_t writer, enum shm_change_kind kind)
{
    storm_op.head = (struct model_commit){
        .writer = writer, .op = atomic_fetch_add(&storm->ops[writer], 1) + 1, .kind = kind};
    storm_op.noted = 0;
}

void storm_op_add(uint32_t id, uint32_t name, uint32_t email, int32_t amount)
{
    storm_op.change[storm_op.head.count++] =
        (struct model_change){.id = id, .name = name, .email = email, .amount = amount};
}

void storm_op_only_if(uint64_t version)
{
    storm_op.change[storm_op.head.count - 1].if_version = version;
}

static int call(struct shm_actor *actor, struct shm_conflict *conflict)
{
    static uint8_t bodies[SHM_BATCH_MAX][SHM_BODY_MAX];
    struct shm_new_user users[SHM_BATCH_MAX] = {0};
    uint8_t ids[SHM_BATCH_MAX][SHM_ID_SIZE];
    size_t count = storm_op.head.count;
    for (size_t i = 0; i < count; i++) {
        storm_id(ids[i], storm_op.change[i].id);
        memcpy(users[i].id, ids[i], SHM_ID_SIZE);
        storm_body(&users[i], bodies[i], &storm_op, i);
    }
    if (count == 1)
        users[0].request = storm_request;
    switch (storm_op.head.kind) {
    case SHM_CREATED:
        return shm_users_insert(actor, users, count, conflict);
    case SHM_UPDATED:
        return shm_users_update(actor, users, count, conflict);
    default:
        if (count == 1)
            return shm_user_delete(actor, ids[0], users[0].if_version, conflict);
        return shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, count, conflict);
    }
}

/* The store answered OK: the segment must have this commit at that version. */
static void check_done(const struct shm_conflict *conflict)
{
    struct model_commit *commit = ledger_commit(&storm->ledger, storm_op.noted);
    if (conflict->version != storm_op.noted)
        storm_fail("version %llu is committed, the caller is told %llu",
                   (unsigned long long)storm_op.noted, (unsigned long long)conflict->version);
    if (storm_op.noted == 0)
        storm_fail("writer %u got OK, but nothing was committed", storm_op.head.writer);
    if (storm_newest() < storm_op.noted)
        storm_fail("version %llu is acknowledged, the segment is at %llu",
                   (unsigned long long)storm_op.noted, (unsigned long long)storm_newest());
    if (commit->writer != storm_op.head.writer || commit->op != storm_op.head.op)
        storm_fail("version %llu of writer %u is acknowledged, but lost",
                   (unsigned long long)storm_op.noted, storm_op.head.writer);
    atomic_store(&commit->acknowledged, storm_op.noted);
    atomic_fetch_add(&storm->commits, 1);
    storm_replay(&storm_model, storm_newest());
}

/* The store refused: the refusal must have been right at some version between the call and its
 * return. */
static void check_refused(int rc, const struct shm_conflict *conflict)
{
    uint64_t from = storm_model.version, to = storm_newest();
    if (conflict->version > to)
        storm_fail("a refusal rests on version %llu of %llu", (unsigned long long)conflict->version,
                   (unsigned long long)to);
    if (storm_op.noted != 0)
        storm_fail("writer %u got \"%s\", but version %llu was committed", storm_op.head.writer,
                   shm_strerror(rc), (unsigned long long)storm_op.noted);
    atomic_fetch_add(&storm->refusals, 1);
    if (rc == SHM_ESTALE)
        atomic_fetch_add(&storm->stale, 1);
    if (rc == SHM_ELIMIT && storm->large) { /* snapshots keep the arena full */
        atomic_fetch_add(&storm->full, 1);
        return;
    }
    for (;;) {
        if (model_refuses(&storm_model, &storm_op.head, storm_op.change, rc, conflict))
            return;
        if (storm_model.version >= to)
            break;
        storm_replay(&storm_model, storm_model.version + 1);
    }
    const struct model_change *change = &storm_op.change[conflict->which % SHM_BATCH_MAX];
    storm_fail("kind %u of %u users was refused with \"%s\" of number %zu (user %u, name %u, e-mail"
               " %u), key %u, which is not so from version %llu to %llu: there is %s",
               storm_op.head.kind, storm_op.head.count, shm_strerror(rc), conflict->which,
               change->id, change->name, change->email, conflict->key, (unsigned long long)from,
               (unsigned long long)to, storm_row_text(&storm_model.row[change->id % MODEL_IDS]));
}

int storm_op_do(struct shm_actor *actor)
{
    struct shm_conflict conflict;
    for (;;) {
        storm_replay(&storm_model, storm_newest());
        int rc = call(actor, &conflict);
        shm_actor_offline(actor);
        if (rc == SHM_EBUSY) {
            atomic_fetch_add(&storm->busy, 1);
            if (atomic_load(&storm->stop) != 0) /* the journal may have left */
                return rc;
            usleep((useconds_t)(20 + storm_random(100)));
            continue;
        }
        if (rc == SHM_OK)
            check_done(&conflict);
        else
            check_refused(rc, &conflict);
        return rc;
    }
}

/* ---- what to write ---- */

/* Picks up to `want` different users of [from, from + count) that exist (there) or do not exist
 * (!there). */
static uint32_t pick(uint32_t *out, uint32_t want, uint32_t from, uint32_t count, bool there)
{
    uint32_t n = 0, at = (uint32_t)storm_random(count);
    uint32_t step = storm_random(2) == 0 ? 1 : 2 * (uint32_t)storm_random(count / 2) + 1;
    bool taken[MODEL_IDS] = {false};
    for (uint32_t i = 0; i < count && n < want; i++, at = (at + step) % count) {
        if (storm_model.row[from + at].there != there || taken[from + at])
            continue;
        taken[from + at] = true;
        out[n++] = from + at;
    }
    return n;
}

static uint32_t batch_size(void)
{
    return (uint32_t)(storm_random(3) != 0    ? 1
                      : storm_random(16) != 0 ? 2 + storm_random(15)
                                              : 2 + storm_random(SHM_BATCH_MAX - 1));
}

/* Makes the write of the user added last conditional, now and then: on the version that this
 * process knows, which another may have replaced meanwhile, or on one that is wrong most probably.
 */
static void add_condition(void)
{
    uint64_t version = storm_model.row[storm_op.change[storm_op.head.count - 1].id].version;
    if (storm_random(2) == 0)
        storm_op_only_if(storm_random(8) == 0 ? 1 + storm_random(version + 1) : version);
}

/* Moves amounts between this writer's own accounts. No other process writes them, so the
 * model's amounts are those of the segment. */
static void transfer(uint32_t writer)
{
    uint32_t id[SHM_BATCH_MAX], want = 2 + (uint32_t)storm_random(14);
    uint32_t count = pick(id, want, writer * MODEL_ACCOUNTS, MODEL_ACCOUNTS, true);
    int32_t amount[SHM_BATCH_MAX];
    storm_op_begin(writer, SHM_UPDATED);
    for (uint32_t i = 0; i < count; i++)
        amount[i] = storm_model.row[id[i]].is.amount;
    for (uint32_t i = 0; i + 1 < count; i++) {
        int32_t part = storm_random(4) == 0 ? amount[i] : (int32_t)storm_random(200) - 100;
        amount[i] -= part;
        amount[i + 1] += part;
    }
    for (uint32_t i = 0; i < count; i++) {
        storm_op_add(id[i], id[i], id[i] + 1, amount[i]);
        if (storm_random(4) == 0)
            storm_op_only_if(storm_model.row[id[i]].version); /* which nobody else changes */
    }
}

static void account_delete(uint32_t writer)
{
    uint32_t first = writer * MODEL_ACCOUNTS;
    storm_op_begin(writer, SHM_DELETED);
    for (uint32_t i = first; i < first + MODEL_ACCOUNTS; i++)
        if (storm_model.row[i].there && storm_model.row[i].is.amount == 0)
            storm_op_add(i, i, i + 1, 0);
}

static void account_create(uint32_t writer)
{
    uint32_t id[MODEL_ACCOUNTS];
    uint32_t count = pick(id, batch_size(), writer * MODEL_ACCOUNTS, MODEL_ACCOUNTS, false);
    storm_op_begin(writer, SHM_CREATED);
    for (uint32_t i = 0; i < count; i++)
        storm_op_add(id[i], id[i], id[i] + 1, 0);
}

static void shared_create(uint32_t writer, bool there)
{
    uint32_t id[SHM_BATCH_MAX], first = MODEL_WRITERS * MODEL_ACCOUNTS;
    uint32_t count = pick(id, batch_size(), first, MODEL_SHARED, there);
    storm_op_begin(writer, SHM_CREATED);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = id[i] - first;
        uint32_t name = storm_random(16) == 0 ? (n + 1) % MODEL_SHARED : n;
        uint32_t email = storm_random(16) == 0 ? (n + 1) % MODEL_SHARED : n;
        storm_op_add(id[i], first + name, storm_random(2) == 0 ? 0 : first + email + 1, 0);
    }
}

static void shared_update(uint32_t writer, bool wrong)
{
    uint32_t id[SHM_BATCH_MAX], first = MODEL_WRITERS * MODEL_ACCOUNTS;
    uint32_t count = pick(id, batch_size(), first, MODEL_SHARED, true);
    storm_op_begin(writer, SHM_UPDATED);
    for (uint32_t i = 0; i < count; i++) {
        const struct model_change *is = &storm_model.row[id[i]].is;
        storm_op_add(id[i], is->name, is->email, 0);
        if (count < 4)
            add_condition();
    }
    if (wrong && count > 0) {
        struct model_change *last = &storm_op.change[count - 1];
        if (storm_random(2) == 0 && (storm_model.unique & 1) != 0)
            last->name = (last->name + 1) % MODEL_IDS;
        else if (count < SHM_BATCH_MAX)
            storm_op_add(last->id, last->name, last->email, 0); /* the same user twice */
    }
}

/* Gives a user another name or e-mail, which may be taken; now and then also none. */
static void shared_rename(uint32_t writer)
{
    uint32_t id, first = MODEL_WRITERS * MODEL_ACCOUNTS;
    storm_op_begin(writer, SHM_UPDATED);
    if (pick(&id, 1, first, MODEL_SHARED, true) == 0)
        return;
    struct model_change is = storm_model.row[id].is;
    uint32_t other = first + (uint32_t)storm_random(MODEL_SHARED);
    if (storm_random(2) == 0)
        is.name = storm_random(2) == 0 ? id : other;
    if (storm_random(2) == 0)
        is.email = storm_random(4) == 0 ? 0 : other + 1;
    storm_op_add(id, is.name, is.email, 0);
    add_condition();
}

static void shared_delete(uint32_t writer, bool there)
{
    uint32_t id[SHM_BATCH_MAX];
    uint32_t count = pick(id, batch_size(), MODEL_WRITERS * MODEL_ACCOUNTS, MODEL_SHARED, there);
    storm_op_begin(writer, SHM_DELETED);
    for (uint32_t i = 0; i < count; i++)
        storm_op_add(id[i], 0, 0, 0);
    if (count == 1)
        add_condition();
}

static void choose(uint32_t writer)
{
    switch (storm_random(16)) {
    case 0:
        return account_delete(writer);
    case 1:
    case 2:
        return account_create(writer);
    case 3:
    case 4:
    case 5:
    case 6:
        return shared_create(writer, storm_random(16) == 0);
    case 7:
        return shared_rename(writer);
    case 8:
    case 9:
        return shared_update(writer, storm_random(16) == 0);
    case 10:
    case 11:
        return shared_delete(writer, storm_random(16) != 0);
    default:
        return transfer(writer);
    }
}

void storm_writer(unsigned worker)
{
    if (storm_random(4) == 0)
        storm_become_tool(SHM_ATTACH_WRITE);
    struct shm_actor *actor = storm_join(SHM_ACTOR_WORKER, worker);
    shm_test_hook = storm_hook;
    /* The previous writer with this number may have died in a commit. That commit is finished
     * first, because the contents of this writer's accounts depend on it. */
    while (shm_writer_lock(storm_store) != SHM_OK)
        usleep(100);
    shm_writer_unlock();
    while (atomic_load(&storm->stop) == 0) {
        storm_beat(worker);
        storm_replay(&storm_model, storm_newest());
        choose(worker);
        if (storm_op.head.count != 0)
            storm_op_do(actor);
        if (storm_random(8) == 0)
            usleep((useconds_t)storm_random(500));
    }
    shm_actor_leave(actor);
    _exit(0);
}
