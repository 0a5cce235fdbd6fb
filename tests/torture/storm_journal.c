/* SPDX-License-Identifier: MIT */
/*
 * The journal of the storm, whose disk is the model of its process. It follows the feed as the
 * server's journal does, and compares what it would write with the model. Its disk is consistent
 * before it publishes: it notes the version in storm->disk, which all processes compare with what
 * they see.
 */
#include "tests/torture/storm.h"

#include <string.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/disk.h"
#include "shm/error.h"

/* ---- all users, if the feed does not have all changes ---- */

static bool listed_all(struct shm_actor *actor, const struct shm_snapshot *snapshot)
{
    static uint16_t order[MODEL_IDS];
    uint32_t count = model_order(&storm_model, order), n = 0;
    struct shm_cursor cursor;
    struct shm_user user;
    int rc;
    shm_cursor_first(&cursor, actor, snapshot);
    while ((rc = shm_cursor_next(&cursor, &user)) == SHM_OK || rc == SHM_EMORE) {
        struct model_row row;
        if (rc == SHM_EMORE)
            continue;
        storm_read(&user, &row);
        if (n == count || !storm_same(&row, &storm_model.row[order[n]]))
            storm_fail("the journal's listing at version %llu has %s and should have %s",
                       (unsigned long long)storm_model.version, storm_row_text(&row),
                       storm_row_text(n < count ? &storm_model.row[order[n]] : NULL));
        n++;
    }
    if (rc == SHM_EREVOKED && storm->revokes)
        return false;
    if (rc != SHM_ENOENT || n != count)
        storm_fail("the journal's listing ends after %u of %u users: %s", n, count,
                   shm_strerror(rc));
    return true;
}

/* @return false: try again */
static bool compare_all(struct storm_journal *journal)
{
    struct shm_snapshot snapshot;
    if (shm_snapshot_begin_newest(journal->actor, &snapshot) != SHM_OK)
        storm_fail("no pin for the journal");
    storm_replay(&storm_model, snapshot.version);
    bool all = listed_all(journal->actor, &snapshot);
    shm_snapshot_end(journal->actor, &snapshot);
    shm_actor_offline(journal->actor);
    journal->version = snapshot.version;
    return all && shm_feed_follow(journal->actor, &journal->follower, journal->version) == SHM_OK;
}

/* ---- what is new ---- */

static void check_written(struct shm_actor *actor, const struct shm_change *change,
                          uint64_t version)
{
    struct model_row row = {0};
    struct shm_user user;
    uint64_t words[2];
    memcpy(words, change->id, sizeof(words));
    const struct model_row *expected = &storm_model.row[words[1] % MODEL_IDS];
    int rc = shm_user_find_at(actor, change->id, version, &user);
    if (rc == SHM_OK) {
        storm_read(&user, &row);
    } else if (rc != SHM_ENOENT) {
        storm_fail("the journal's lookup returns \"%s\"", shm_strerror(rc));
    }
    if (!storm_same(&row, expected))
        storm_fail("the journal finds %s at version %llu and should find %s", storm_row_text(&row),
                   (unsigned long long)version, storm_row_text(expected));
    if (change->seq == 0 || change->seq > storm_model.seq || (row.there && row.seq < change->seq))
        storm_fail("the feed says number %llu, the user is %s", (unsigned long long)change->seq,
                   storm_row_text(&row));
    atomic_fetch_add(&storm->written, 1);
}

static void write_changes(struct storm_journal *journal, uint64_t version)
{
    struct shm_change change = {0};
    int rc;
    storm_replay(&storm_model, version);
    while ((rc = shm_feed_next_until(&journal->follower, version, &change)) == SHM_OK) {
        if (change.version <= journal->version)
            storm_fail("the feed says version %llu again", (unsigned long long)change.version);
        check_written(journal->actor, &change, version);
        if (storm_random(16) == 0)
            shm_actor_offline(journal->actor);
        if (storm_random(256) == 0)
            usleep((useconds_t)storm_random(500));
    }
    shm_actor_offline(journal->actor);
    if (rc != SHM_ENOENT || change.version != version)
        storm_fail("the journal reads changes up to version %llu of %llu: %s",
                   (unsigned long long)change.version, (unsigned long long)version,
                   shm_strerror(rc));
    journal->version = version;
}

static void publish(struct storm_journal *journal)
{
    const struct shm_durable durable = {
        .version = journal->version, .feed = journal->follower.next, .users = storm_model.users};
    int rc;
    if (atomic_load(&storm->disk) < durable.version)
        atomic_store(&storm->disk, durable.version);
    if (storm_random(8) == 0)
        usleep((useconds_t)storm_random(3000));
    while ((rc = shm_publish(journal->actor, &durable)) == SHM_EBUSY) {
    }
    if (rc != SHM_OK)
        storm_fail("publishing returns \"%s\"", shm_strerror(rc));
    if (storm_version() < durable.version)
        storm_fail("version %llu was published, readers see %llu",
                   (unsigned long long)durable.version, (unsigned long long)storm_version());
    atomic_fetch_add(&storm->publications, 1);
}

void storm_journal_begin(struct storm_journal *journal, struct shm_actor *actor)
{
    uint64_t version = shm_control()->disk.version;
    *journal = (struct storm_journal){.actor = actor, .version = version};
    if (shm_feed_follow(actor, &journal->follower, version) == SHM_OK)
        return;
    while (!compare_all(journal)) {
    }
    publish(journal);
}

void storm_journal_step(struct storm_journal *journal)
{
    uint64_t version = shm_newest(storm_store);
    if (version == journal->version)
        return;
    write_changes(journal, version);
    publish(journal);
}

void storm_journal_catch_up(struct shm_actor *actor)
{
    struct storm_journal journal;
    if (shm_control()->disk.state == SHM_DISK_NONE)
        return;
    storm_journal_begin(&journal, actor);
    storm_journal_step(&journal);
}

/* ---- the process ---- */

void storm_journal(unsigned worker)
{
    struct storm_journal journal;
    struct shm_actor *actor = storm_join(SHM_ACTOR_JOURNAL, worker);
    bool works = shm_control()->disk.state != SHM_DISK_NONE;
    shm_test_hook = storm_hook;
    storm_op.head.count = 0; /* the journal commits nothing */
    if (works)
        storm_journal_begin(&journal, actor);
    while (atomic_load(&storm->stop) == 0) {
        storm_beat(worker);
        if (works) {
            storm_journal_step(&journal);
            shm_disk_sleep(actor, journal.version, storm_random(20));
        }
        if (!works || storm_random(4) == 0)
            usleep((useconds_t)storm_random(5000));
    }
    shm_actor_leave(actor);
    _exit(0);
}
