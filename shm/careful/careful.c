/* SPDX-License-Identifier: MIT */
/*
 * Walks through an untrusted segment. In the order list sequence numbers increase from node to
 * node, and of equal numbers the newest node comes first; in a chain of a hash table they decrease.
 * This ends every walk through a cyclic list. (Renamed nodes are an exception in chains:
 * careful_find.c.)
 *
 * A protected listing stands on a user that its pinned version shows, as in cursor.c; anything
 * wrong that it finds is damage. An unprotected listing remembers the sequence number of the user
 * that it returned last; if the user's node does not belong to that user any more, the place is
 * searched again. A step from one node to the next is valid if the first node was still linked, and
 * still led to the second, after the second had been copied.
 */
#include "shm/careful.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shm/careful/careful_find.h"
#include "shm/careful/careful_list.h"
#include "shm/careful/careful_walk.h"
#include "shm/core/fail.h"
#include "shm/core/grace.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/publication.h"
#include "shm/core/robust_mutex.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/error.h"

/* How often an unprotected reader reads a record again. If the record is still wrong after
 * LOOKS_MAX attempts (with pauses after the first LOOKS_FAST), a concurrent change is not the
 * cause. */
enum { LOOKS_MAX = 64, LOOKS_FAST = 16, LOOK_PAUSE_US = 1000 };

/* The number of invisible users that a listing passes before it goes offline: see
 * reader_rest_on_next().
 */
enum { PASS_MAX = 4096 };

struct shm_reader {
    struct shm_store *store;
    struct shm_actor *actor; /* NULL: unprotected */
    char why[128];
    bool listing;
    struct shm_snapshot snapshot; /* if protected */
    uint64_t version;             /* the listing leaves out users born later */
    uint64_t newest;              /* and those with a greater number */
    uint64_t last;                /* sequence number that the listing has reached */
    struct careful_node at; /* protected: the next user; otherwise the last. at.at NULL: none */
    bool over;
    int broken; /* the error because of which the next user could not be found, or SHM_OK */
    struct shm_fault broken_why;
    struct careful careful;
};

static struct careful *reader_start(struct shm_reader *reader, struct shm_fault *fault)
{
    if (reader->actor != NULL)
        shm_actor_online(reader->actor);
    reader->careful.fault = fault;
    return &reader->careful;
}

void shm_reader_rest(struct shm_reader *reader)
{
    if (reader->actor != NULL)
        shm_actor_offline(reader->actor);
}

/* ---- opening ---- */

/* Checks the kind of each mutex: with a damaged kind the C library's behaviour would be undefined.
 */
static int reader_check_mutexes(const struct shm_store *store, struct shm_fault *fault)
{
    pthread_mutex_t fresh;
    uint64_t ready = __atomic_load_n(&shm_control()->slots_ready, __ATOMIC_ACQUIRE);
    if (shm_mutex_init(&fresh) != SHM_OK)
        return shm_fail(fault, SHM_ESYS, "segment %s: cannot make a mutex", store->name);
    int kind = fresh.__data.__kind;
    pthread_mutex_destroy(&fresh);
    if (shm_control()->writer.__data.__kind != kind)
        return shm_fail(fault, SHM_ECORRUPT,
                        "segment %s: corrupt: its writer lock is not a robust mutex", store->name);
    for (unsigned i = 0; i < ready && i < SHM_SLOTS; i++)
        if (shm_slot(i)->life.__data.__kind != kind)
            return shm_fail(fault, SHM_ECORRUPT,
                            "segment %s: corrupt: slot %u's lock is not a robust mutex",
                            store->name, i);
    return SHM_OK;
}

static int reader_join(struct shm_reader *reader, struct shm_fault *fault)
{
    struct shm_store *store = reader->store;
    if (store->locked_out) {
        snprintf(reader->why, sizeof(reader->why), "no right to write the segment");
        return SHM_OK;
    }
    int rc = reader_check_mutexes(store, fault);
    if (rc != SHM_OK)
        return rc;
    rc = shm_actor_join(&reader->actor, store, SHM_ACTOR_TOOL, 0, fault);
    if (rc == SHM_OK)
        return rc;
    reader->actor = NULL;
    snprintf(reader->why, sizeof(reader->why), "%s", shm_strerror(rc));
    return rc == SHM_ECORRUPT ? rc : SHM_OK;
}

int shm_reader_open(struct shm_reader **out, struct shm_store *store, struct shm_fault *fault)
{
    struct shm_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", store->name);
    reader->store = store;
    reader->over = true;
    int rc = reader_join(reader, fault);
    reader->careful = (struct careful){.store = store, .protected = reader->actor != NULL};
    if (rc == SHM_OK)
        *out = reader;
    else
        free(reader);
    return rc;
}

const char *shm_reader_unprotected(const struct shm_reader *reader)
{
    return reader->actor == NULL ? reader->why : NULL;
}

void shm_reader_end(struct shm_reader *reader)
{
    if (reader->listing && reader->actor != NULL)
        shm_snapshot_end(reader->actor, &reader->snapshot);
    reader->listing = false;
    reader->over = true;
}

void shm_reader_close(struct shm_reader *reader)
{
    if (reader == NULL)
        return;
    shm_reader_end(reader);
    shm_actor_leave(reader->actor);
    free(reader);
}

/* Whether an unprotected reader should look again. */
static bool reader_looks_again(const struct shm_reader *reader, int rc, unsigned *looks)
{
    if ((rc != SHM_ECORRUPT && rc != SHM_EBUSY) || reader->actor != NULL || ++*looks == LOOKS_MAX)
        return false;
    if (*looks > LOOKS_FAST)
        usleep(LOOK_PAUSE_US);
    return true;
}

struct moment {
    uint64_t version, gp;
};

static struct moment moment_now(void)
{
    uint64_t gp = __atomic_load_n(&shm_control()->gp, __ATOMIC_ACQUIRE);
    return (struct moment){shm_version(), gp};
}

static bool moment_has_passed(struct moment before)
{
    struct moment now = moment_now();
    return before.version != now.version || before.gp != now.gp;
}

/* Reports that repeated unprotected reads, the first of them at `before`, gave no consistent
 * result. */
static int reader_give_up(struct careful *c, struct moment before, uint64_t seq)
{
    if (!moment_has_passed(before))
        return careful_bad(c, "the list of users is broken after number %llu",
                           (unsigned long long)seq);
    return shm_fail(c->fault, SHM_EBUSY,
                    "segment %s: users change too fast to be read%s, after number %llu",
                    c->store->name, c->protected ? "" : " unprotected", (unsigned long long)seq);
}

/* ---- lookup ---- */

/* Whether a take-over is moving users from one table to another, or died while it did. Users are
 * then in the order list, but possibly in neither table. */
static bool is_rebuilding(void)
{
    return __atomic_load_n(&shm_control()->rebuild.to.buckets, __ATOMIC_ACQUIRE) != NULL;
}

/* Looks up an id. Errors met in a chain during a rebuild are not corruption: the lookup is then
 * repeated through the order list. */
static int reader_find_anywhere(struct careful *c, const uint8_t id[SHM_ID_SIZE],
                                struct shm_record *record)
{
    const struct shm_control *control = shm_control();
    const void *buckets = __atomic_load_n(&control->ids.buckets, __ATOMIC_ACQUIRE);
    bool moving = is_rebuilding();
    int rc = moving ? SHM_ENOENT : careful_find(c, id, record);
    if (rc == SHM_OK)
        return rc;
    moving = moving || is_rebuilding() ||
             __atomic_load_n(&control->ids.buckets, __ATOMIC_ACQUIRE) != buckets;
    return moving ? careful_list_find(c, id, record) : rc;
}

/* Looks up a key. There is no search through the order list: an index that is being moved, was
 * moved during the lookup, or is newer than what readers see, counts as not available. */
static int reader_find_key_in(struct careful *c, unsigned key, const uint8_t *value, uint32_t len,
                              struct shm_record *record)
{
    const struct shm_table *table = &shm_control()->unique[key];
    const void *buckets = __atomic_load_n(&table->buckets, __ATOMIC_ACQUIRE);
    if (is_rebuilding() || buckets == NULL ||
        shm_published_version() <
            __atomic_load_n(&shm_control()->index_from[key], __ATOMIC_RELAXED))
        return SHM_EINVAL;
    SHM_POINT("index read");
    int rc = careful_find_key(c, key, value, len, record);
    if (rc == SHM_OK)
        return rc;
    bool moved = is_rebuilding() || __atomic_load_n(&table->buckets, __ATOMIC_ACQUIRE) != buckets;
    return moved ? SHM_EINVAL : rc;
}

/* Whether to repeat a lookup. A chain that changes during an unprotected walk may lead past the
 * user, so SHM_ENOENT is final only if nothing has changed, or after repeated looks. */
static bool reader_looks_for(struct shm_reader *reader, int rc, struct moment before,
                             unsigned *looks)
{
    return reader_looks_again(
        reader, rc == SHM_ENOENT && moment_has_passed(before) ? SHM_EBUSY : rc, looks);
}

int shm_reader_find(struct shm_reader *reader, const uint8_t id[SHM_ID_SIZE],
                    struct shm_record *record, struct shm_fault *fault)
{
    struct careful *c = reader_start(reader, fault);
    unsigned looks = 0;
    struct moment first = moment_now(), before;
    int rc;
    do {
        before = moment_now();
        rc = reader_find_anywhere(c, id, record);
    } while (reader_looks_for(reader, rc, before, &looks));
    return rc == SHM_EBUSY ? reader_give_up(c, first, 0) : rc;
}

int shm_reader_find_key(struct shm_reader *reader, unsigned key, const uint8_t *value, uint32_t len,
                        struct shm_record *record, struct shm_fault *fault)
{
    struct careful *c = reader_start(reader, fault);
    unsigned looks = 0;
    struct moment first = moment_now(), before;
    int rc;
    if (key >= SHM_KEYS || reader->store->key_of == NULL)
        return SHM_EINVAL;
    do {
        before = moment_now();
        rc = reader_find_key_in(c, key, value, len, record);
    } while (reader_looks_for(reader, rc, before, &looks));
    return rc == SHM_EBUSY ? reader_give_up(c, first, 0) : rc;
}

/* ---- listing ---- */

/* Moves a protected listing to the next user to return. If many users must be passed, it goes
 * offline in between, so that memory that others retire can be freed, and continues by sequence
 * number, as cursor.c does. The next step notices a revoked snapshot before it reads anything. */
static int reader_rest_on_next(struct shm_reader *reader, struct careful *c,
                               struct careful_node *from)
{
    uint64_t after = reader->last;
    int rc;
    while ((rc = careful_list_settle(c, from, after, reader->version, reader->version,
                                     reader->newest, PASS_MAX)) == SHM_EMORE) {
        after = from->seq;
        shm_reader_rest(reader);
        SHM_POINT("tool rests");
        shm_actor_online(reader->actor);
        if (shm_snapshot_revoked(reader->actor, &reader->snapshot)) {
            reader->over = false;
            return SHM_OK;
        }
        rc = careful_list_place(c, after, from);
        if (rc != SHM_OK)
            break;
    }
    reader->over = rc != SHM_OK || from->at == NULL;
    reader->at = *from;
    return rc;
}

static int reader_begin_protected(struct shm_reader *reader, struct careful *c)
{
    struct careful_node node = {.at = NULL};
    int rc = shm_snapshot_begin(reader->actor, &reader->snapshot);
    if (rc != SHM_OK)
        return rc;
    reader->listing = true;
    reader->version = reader->snapshot.version;
    reader->newest = reader->snapshot.seq;
    if (reader->last != 0)
        rc = careful_list_place(c, reader->last, &node);
    if (rc == SHM_OK)
        rc = reader_rest_on_next(reader, c, &node);
    if (rc != SHM_OK)
        shm_reader_end(reader);
    return rc;
}

int shm_reader_begin(struct shm_reader *reader, uint64_t after, struct shm_fault *fault)
{
    struct careful *c = reader_start(reader, fault);
    shm_reader_end(reader);
    if (after > __atomic_load_n(&shm_control()->seq, __ATOMIC_ACQUIRE))
        return SHM_EINVAL;
    reader->last = after;
    reader->broken = SHM_OK;
    reader->at.at = NULL;
    if (reader->actor != NULL)
        return reader_begin_protected(reader, c);
    reader->version = shm_published_version();
    reader->newest = __atomic_load_n(&shm_control()->seq, __ATOMIC_ACQUIRE);
    reader->listing = true;
    reader->over = false;
    return SHM_OK;
}

int shm_reader_rewind(struct shm_reader *reader, struct shm_fault *fault)
{
    struct careful_node head = {.at = NULL};
    if (reader->actor == NULL || !reader->listing)
        return SHM_EINVAL;
    struct careful *c = reader_start(reader, fault);
    reader->last = 0;
    reader->broken = SHM_OK;
    return reader_rest_on_next(reader, c, &head);
}

uint64_t shm_reader_version(const struct shm_reader *reader)
{
    return reader->version;
}

static int reader_next_protected(struct shm_reader *reader, struct careful *c,
                                 struct shm_record *record)
{
    if (shm_snapshot_revoked(reader->actor, &reader->snapshot)) {
        reader->over = true;
        return SHM_EREVOKED;
    }
    struct careful_node node = reader->at;
    int rc = careful_record(c, &node, reader->version, record);
    if (rc == SHM_ENOENT)
        rc = careful_bad(c, "user number %llu: it has no body of its time",
                         (unsigned long long)node.seq);
    reader->last = node.seq;
    c->fault = &reader->broken_why;
    reader->broken = reader_rest_on_next(reader, c, &node);
    return rc;
}

/* *passed receives the number of a user that exists but cannot be read. */
static int reader_next_unprotected(struct shm_reader *reader, struct careful *c,
                                   struct shm_record *record, uint64_t *passed)
{
    uint64_t version = shm_published_version();
    struct careful_node node = reader->at;
    int rc = SHM_OK;
    *passed = reader->last;
    if (node.at == NULL || !careful_node_stands(&node))
        rc = careful_list_place(c, reader->last, &node);
    do {
        if (rc == SHM_OK)
            rc = careful_list_settle(c, &node, reader->last, version, reader->version,
                                     reader->newest, UINT64_MAX);
        if (rc != SHM_OK)
            return rc;
        if (node.at == NULL)
            return SHM_ENOENT;
        *passed = node.seq;
        rc = careful_record(c, &node, version, record);
    } while (rc == SHM_ENOENT); /* the body says that the user is deleted */
    if (rc != SHM_OK)
        return rc;
    reader->at = node;
    reader->last = node.seq;
    return SHM_OK;
}

static int reader_retry_unprotected(struct shm_reader *reader, struct careful *c,
                                    struct shm_record *record)
{
    unsigned looks = 0;
    uint64_t passed;
    struct moment before = moment_now();
    int rc;
    do {
        rc = reader_next_unprotected(reader, c, record, &passed);
    } while (reader_looks_again(reader, rc, &looks));
    if (rc == SHM_EBUSY) {
        rc = reader_give_up(c, before, reader->last);
        passed = reader->last;
    }
    if (rc != SHM_OK && passed == reader->last)
        reader->over = true; /* the end, or no way to continue */
    reader->last = passed;
    return rc;
}

int shm_reader_next(struct shm_reader *reader, struct shm_record *record, struct shm_fault *fault)
{
    if (reader->broken != SHM_OK) {
        int rc = reader->broken;
        reader->broken = SHM_OK;
        if (fault != NULL)
            *fault = reader->broken_why;
        return rc;
    }
    if (reader->over)
        return SHM_ENOENT;
    struct careful *c = reader_start(reader, fault);
    return reader->actor != NULL ? reader_next_protected(reader, c, record)
                                 : reader_retry_unprotected(reader, c, record);
}
