/* SPDX-License-Identifier: MIT */
/* The other processes of the storm: followers of the feed, tools that read carefully, and the
 * master. */
#include "tests/torture/storm.h"

#include <string.h>
#include <unistd.h>

#include "shm/careful.h"
#include "shm/core/layout.h"
#include "shm/core/test_points.h"
#include "shm/error.h"

/* ---- followers ---- */

static void check_change(const struct shm_change *change, struct storm_place *place)
{
    uint8_t id[SHM_ID_SIZE];
    struct ledger *ledger = &storm->ledger;
    const struct model_commit *commit = ledger_commit(ledger, place->version + 1);
    if (change->version > storm_version())
        storm_fail("the feed says version %llu, which is not published",
                   (unsigned long long)change->version);
    if (change->version == place->version + 1 && place->i < commit->count) {
        storm_id(id, ledger_change(ledger, commit->first + place->i)->id);
        if (change->kind == commit->kind && memcmp(id, change->id, SHM_ID_SIZE) == 0) {
            if (++place->i == commit->count) {
                place->i = 0;
                place->version++;
            }
            return;
        }
    }
    storm_fail("the feed says version %llu, kind %u; number %u of version %llu was of kind %u",
               (unsigned long long)change->version, change->kind, place->i,
               (unsigned long long)place->version + 1, commit->kind);
}

static void resync(struct shm_actor *actor, struct storm_place *place)
{
    struct shm_snapshot snapshot;
    atomic_fetch_add(&storm->resyncs, 1);
    do {
        if (shm_snapshot_begin(actor, &snapshot) != SHM_OK)
            storm_fail("no pin for a follower's snapshot");
        place->i = 0;
        place->version = snapshot.version;
        shm_snapshot_end(actor, &snapshot);
    } while (shm_feed_follow(actor, &place->follower, snapshot.version) == SHM_ERESYNC);
}

void storm_follow(struct shm_actor *actor, struct storm_place *place)
{
    struct shm_change change;
    int rc;
    while ((rc = shm_feed_next(actor, &place->follower, &change)) == SHM_OK) {
        check_change(&change, place);
        atomic_fetch_add(&storm->changes_read, 1);
    }
    if (rc == SHM_ERESYNC)
        resync(actor, place);
    else if (rc != SHM_ENOENT)
        storm_fail("the feed returns \"%s\"", shm_strerror(rc));
    else if (place->i != 0)
        storm_fail("a follower sees %u users of version %llu", place->i,
                   (unsigned long long)place->version + 1);
}

void storm_follower(unsigned worker)
{
    struct shm_actor *actor = storm_join(SHM_ACTOR_WORKER, worker);
    struct storm_place place = {.version = storm_model.version};
    shm_test_hook = storm_dawdle;
    if (shm_feed_follow(actor, &place.follower, place.version) != SHM_OK)
        resync(actor, &place);
    while (atomic_load(&storm->stop) == 0) {
        storm_beat(worker);
        storm_follow(actor, &place);
        shm_actor_offline(actor);
        usleep((useconds_t)(storm_random(64) == 0 ? storm_random(50000) : storm_random(500)));
    }
    shm_actor_leave(actor);
    _exit(0);
}

void storm_follow_begin(struct shm_actor *actor, struct storm_place *place)
{
    place->version = storm_version();
    place->i = 0;
    if (shm_feed_follow(actor, &place->follower, place->version) != SHM_OK)
        storm_fail("the feed has lost the current changes");
}

void storm_check_feed(struct shm_actor *actor)
{
    struct storm_place place = {.version = storm_version()};
    uint64_t changes = 0;
    while (place.version > 0) {
        changes += ledger_commit(&storm->ledger, place.version)->count;
        /* The ring may also hold an older commit. */
        if (changes + 2 * SHM_BATCH_MAX > SHM_FEED_SIZE)
            break;
        place.version--;
    }
    if (shm_feed_follow(actor, &place.follower, place.version) != SHM_OK)
        storm_fail("the feed has lost the changes after version %llu",
                   (unsigned long long)place.version);
    storm_follow(actor, &place);
    if (place.version != storm_version())
        storm_fail("the feed ends at version %llu of %llu", (unsigned long long)place.version,
                   (unsigned long long)storm_version());
    shm_actor_offline(actor);
}

/* ---- reading as shm-inspect does ---- */

static void read_record(const struct shm_record *record, struct model_row *row)
{
    const struct shm_user user = {.id = record->id,
                                  .body = record->body,
                                  .body_len = record->body_len,
                                  .hidden_len = record->hidden_len,
                                  .seq = record->seq,
                                  .version = record->version};
    storm_read(&user, row);
}

static void find_carefully(struct shm_reader *reader, struct shm_record *record)
{
    struct shm_fault fault;
    struct model_row row = {0};
    uint8_t id[SHM_ID_SIZE];
    uint32_t n = (uint32_t)storm_random(MODEL_IDS);
    storm_id(id, n);
    storm_replay(&storm_model, storm_version());
    int rc = shm_reader_find(reader, id, record, &fault);
    if (rc == SHM_OK)
        read_record(record, &row);
    else if (rc != SHM_ENOENT)
        storm_fail("a careful lookup failed: %s",
                   rc == SHM_ECORRUPT ? fault.text : shm_strerror(rc));
    storm_check_found(-1, n, &row);
}

/* Lists all users of one version. */
static void list_carefully(struct shm_reader *reader, struct shm_record *record)
{
    static struct model at;
    static uint16_t order[MODEL_IDS];
    struct shm_fault fault;
    uint32_t n = 0;
    int rc = shm_reader_begin(reader, 0, &fault);
    if (rc != SHM_OK)
        storm_fail("a careful listing failed: %s",
                   rc == SHM_ECORRUPT ? fault.text : shm_strerror(rc));
    storm_replay(&storm_model, shm_reader_version(reader));
    at = storm_model;
    uint32_t count = model_order(&at, order);
    while ((rc = shm_reader_next(reader, record, &fault)) == SHM_OK) {
        struct model_row row;
        read_record(record, &row);
        if (n == count || !storm_same(&row, &at.row[order[n]]))
            storm_fail("number %u of a careful listing at version %llu is %s and should be %s", n,
                       (unsigned long long)at.version, storm_row_text(&row),
                       storm_row_text(n < count ? &at.row[order[n]] : NULL));
        if (++n % 64 == 0)
            shm_reader_rest(reader);
    }
    if (rc == SHM_EREVOKED && storm->revokes)
        return;
    if (rc != SHM_ENOENT || n != count)
        storm_fail("a careful listing ends after %u of %u users: %s", n, count,
                   rc == SHM_ECORRUPT ? fault.text : shm_strerror(rc));
}

void storm_read_carefully(void)
{
    static struct shm_record record;
    struct shm_reader *reader;
    struct shm_fault fault;
    if (shm_reader_open(&reader, storm_store, &fault) != SHM_OK)
        storm_fail("a careful reader failed: %s", fault.text);
    if (shm_reader_unprotected(reader) != NULL)
        storm_fail("a careful reader is unprotected: %s", shm_reader_unprotected(reader));
    for (uint64_t n = storm_random(10); n > 0; n--)
        find_carefully(reader, &record);
    list_carefully(reader, &record);
    shm_reader_close(reader);
    atomic_fetch_add(&storm->careful, 1);
}

/* ---- the master ---- */

void storm_master(unsigned worker)
{
    struct shm_actor *actor = storm_join(SHM_ACTOR_MASTER, worker);
    shm_test_hook = storm_hook;
    storm_op.head.count = 0; /* the master commits nothing */
    while (atomic_load(&storm->stop) == 0) {
        storm_beat(worker);
        unsigned ms = shm_maintain(actor);
        if (storm_random(16) == 0)
            shm_actor_reap(storm_store);
        shm_actor_offline(actor);
        usleep((useconds_t)storm_random(ms < 3 ? 1000 * ms + 1 : 3000));
    }
    shm_actor_leave(actor);
    _exit(0);
}
