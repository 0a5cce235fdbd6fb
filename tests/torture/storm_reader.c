/* SPDX-License-Identifier: MIT */
/* The readers of the storm: lookups, and listings that rest. */
#include "tests/torture/storm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/test_points.h"
#include "shm/error.h"
#include "shm/table/cursor.h"

enum { LISTINGS = SHM_PINS + 2 }; /* listings at once per reader; mostly fewer */

/* ---- lookups ---- */

static bool as_model(const struct model_row *found, const struct model_row *expected)
{
    static const struct model_row nobody;
    return storm_same(found, expected != NULL ? expected : &nobody);
}

static const struct model_row *expected_row(int key, uint32_t value)
{
    return key < 0 ? &storm_model.row[value] : model_by_key(&storm_model, (unsigned)key, value);
}

void storm_check_found(int key, uint32_t value, const struct model_row *found)
{
    uint64_t from = storm_model.version, to = storm_version();
    struct model_row before = {0};
    if (expected_row(key, value) != NULL)
        before = *expected_row(key, value);
    while (!as_model(found, expected_row(key, value))) {
        if (storm_model.version >= to)
            storm_fail("a lookup of %s %u found %s; at version %llu it is %s, at %llu %s",
                       key < 0    ? "id"
                       : key == 0 ? "name"
                                  : "e-mail",
                       value, storm_row_text(found), (unsigned long long)from,
                       storm_row_text(&before), (unsigned long long)to,
                       storm_row_text(expected_row(key, value)));
        storm_replay(&storm_model, storm_model.version + 1);
    }
}

static int find(struct shm_actor *actor, int key, uint32_t value, struct shm_user *user)
{
    uint8_t bytes[SHM_KEY_MAX];
    if (key < 0) {
        storm_id(bytes, value);
        return shm_user_find(actor, bytes, user);
    }
    return shm_user_find_key(actor, (unsigned)key, bytes, storm_key((unsigned)key, value, bytes),
                             user);
}

static void lookup(struct shm_actor *actor, int key, uint32_t value)
{
    struct shm_user user;
    struct model_row row = {0};
    storm_replay(&storm_model, storm_version());
    if (key >= 0 && (storm_model.unique & 1U << key) == 0)
        return;
    int rc = find(actor, key, value, &user);
    if (rc != SHM_OK && rc != SHM_ENOENT)
        storm_fail("a lookup returns \"%s\"", shm_strerror(rc));
    if (rc == SHM_OK) {
        storm_read(&user, &row);
        uint8_t id[SHM_ID_SIZE];
        storm_id(id, row.is.id);
        if (memcmp(id, user.id, SHM_ID_SIZE) != 0)
            storm_fail("the body of user %u is under another id", row.is.id);
    }
    storm_check_found(key, value, &row);
    if (rc == SHM_OK && storm_random(16) == 0) {
        usleep((useconds_t)storm_random(2000)); /* stays in the read section */
        storm_read(&user, &row);
    }
    atomic_fetch_add(&storm->lookups, 1);
}

/* ---- listings ---- */

/* A snapshot and the users that it must show. */
struct listing {
    bool open;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    uint32_t count, next;
    bool whole; /* no user was skipped: the sum must be right */
    int64_t sum;
    uint16_t order[MODEL_IDS];
    struct model at;
};

static void listing_begin(struct shm_actor *actor, struct listing *listing)
{
    int rc = shm_snapshot_begin(actor, &listing->snapshot);
    if (rc == SHM_EPINS) /* ended snapshots that still hold memory use pins: see snapshot.c */
        return;
    if (rc != SHM_OK)
        storm_fail("a snapshot returns \"%s\"", shm_strerror(rc));
    storm_replay(&storm_model, listing->snapshot.version);
    listing->at = storm_model;
    listing->count = model_order(&listing->at, listing->order);
    listing->next = 0;
    listing->sum = 0;
    listing->whole = true;
    listing->open = true;
    shm_cursor_pass_max = 1 + (unsigned)storm_random(64);
    shm_cursor_first(&listing->cursor, actor, &listing->snapshot);
}

static void listing_end(struct shm_actor *actor, struct listing *listing)
{
    shm_snapshot_end(actor, &listing->snapshot);
    listing->open = false;
}

static void check_end(const struct listing *listing)
{
    if (listing->next != listing->count)
        storm_fail("a listing at version %llu ends after %u of %u users; the next would be %s",
                   (unsigned long long)listing->at.version, listing->next, listing->count,
                   storm_row_text(&listing->at.row[listing->order[listing->next]]));
    if (listing->whole && listing->sum != MODEL_SUM)
        storm_fail("the amounts of a listing at version %llu add up to %lld, not %d",
                   (unsigned long long)listing->at.version, (long long)listing->sum, MODEL_SUM);
}

/* Steps as a worker does: from time to time it passes its turn to others. */
static int step(struct listing *listing, struct shm_user *user)
{
    int rc, settled = SHM_EMORE;
    do {
        if (storm_random(2) == 0)
            settled = shm_cursor_settle(&listing->cursor);
        rc = shm_cursor_next(&listing->cursor, user);
        if (rc == SHM_EMORE && storm_random(2) == 0)
            shm_actor_offline(listing->cursor.actor);
    } while (rc == SHM_EMORE);
    if (rc != SHM_EREVOKED && settled != SHM_EMORE && settled != rc)
        storm_fail("a cursor says \"%s\", and its next step \"%s\"", shm_strerror(settled),
                   shm_strerror(rc));
    return rc;
}

/* @return false at the end */
static bool listing_step(struct listing *listing)
{
    struct shm_user user;
    struct model_row row;
    int rc = step(listing, &user);
    if (rc == SHM_EREVOKED && storm->revokes) {
        atomic_fetch_add(&storm->revoked, 1);
        return false;
    }
    if (rc != SHM_OK && rc != SHM_ENOENT)
        storm_fail("a listing's step returns \"%s\"", shm_strerror(rc));
    if (rc == SHM_ENOENT) {
        check_end(listing);
        atomic_fetch_add(&storm->listings, 1);
        return false;
    }
    storm_read(&user, &row);
    const struct model_row *expected =
        listing->next < listing->count ? &listing->at.row[listing->order[listing->next]] : NULL;
    if (!as_model(&row, expected))
        storm_fail("number %u of a listing at version %llu is %s and should be %s", listing->next,
                   (unsigned long long)listing->at.version, storm_row_text(&row),
                   storm_row_text(expected));
    listing->next++;
    listing->sum += row.is.amount;
    return true;
}

/* Continues as the next page of a listing does: by token, also for a user that was deleted
 * since. */
static void listing_seek(struct shm_actor *actor, struct listing *listing)
{
    uint32_t id = (uint32_t)storm_random(MODEL_IDS);
    uint64_t seq = storm_random(2) == 0 && listing->count > 0
                       ? listing->at.row[listing->order[storm_random(listing->count)]].seq
                       : 1 + storm_random(listing->at.seq);
    uint8_t bytes[SHM_ID_SIZE];
    for (uint32_t i = 0; i < MODEL_IDS; i++)
        if (listing->at.row[i].seq == seq)
            id = i;
    storm_id(bytes, id);
    listing->whole = false;
    int rc = shm_cursor_after(&listing->cursor, actor, &listing->snapshot, seq, bytes);
    if (rc != SHM_OK)
        storm_fail("a listing after seq %llu of %llu returns \"%s\"", (unsigned long long)seq,
                   (unsigned long long)listing->at.seq, shm_strerror(rc));
    for (listing->next = 0; listing->next < listing->count; listing->next++)
        if (listing->at.row[listing->order[listing->next]].seq > seq)
            return;
}

static void list_some(struct shm_actor *actor, struct listing *listing)
{
    if (!listing->open)
        return listing_begin(actor, listing);
    if (storm_random(16) == 0)
        listing_seek(actor, listing);
    for (uint64_t steps = storm_random(120); steps > 0; steps--)
        if (!listing_step(listing))
            return listing_end(actor, listing);
    if (storm_random(64) == 0)
        listing_end(actor, listing);
}

/* ---- processes ---- */

void storm_dawdle(const char *point)
{
    bool often = strcmp(point, "reading") == 0 || strcmp(point, "going online") == 0 ||
                 strcmp(point, "version seen") == 0 || strncmp(point, "careful", 7) == 0;
    if (strncmp(point, "pass", 4) != 0 && storm_random(often ? 200 : 20) == 0)
        usleep((useconds_t)storm_random(4000));
}

static void look_up_some(struct shm_actor *actor)
{
    for (uint64_t n = 1 + storm_random(30); n > 0; n--) {
        uint64_t what = storm_random(4);
        if (what < 2)
            lookup(actor, -1, (uint32_t)storm_random(MODEL_IDS));
        else
            lookup(actor, (int)what - 2, 1 + (uint32_t)storm_random(MODEL_IDS - 1));
    }
}

static struct shm_actor *leave_and_join(struct shm_actor *actor, unsigned worker,
                                        struct listing *listings)
{
    shm_actor_leave(actor); /* also ends its snapshots */
    for (unsigned i = 0; i < LISTINGS; i++)
        listings[i].open = false;
    return storm_join(SHM_ACTOR_WORKER, worker);
}

noreturn static void read_on(unsigned worker)
{
    static struct listing listings[LISTINGS];
    uint64_t open = storm_random(4) == 0 ? LISTINGS : 6;
    struct shm_actor *actor = storm_join(SHM_ACTOR_WORKER, worker);
    shm_test_hook = storm_dawdle;
    while (atomic_load(&storm->stop) == 0) {
        storm_beat(worker);
        for (uint64_t n = storm_random(4); n > 0; n--) {
            if (storm_random(2) == 0)
                look_up_some(actor);
            else
                list_some(actor, &listings[storm_random(open)]);
        }
        shm_actor_offline(actor);
        if (storm_random(4) == 0)
            usleep((useconds_t)storm_random(1000));
        if (storm_random(200) == 0)
            storm_verify_live();
        if (storm_random(100) == 0)
            storm_read_carefully();
        if (storm_random(200) == 0)
            actor = leave_and_join(actor, worker, listings);
    }
    shm_actor_leave(actor);
    _exit(0);
}

void storm_reader(unsigned worker)
{
    if (storm_random(4) == 0)
        storm_become_tool(SHM_ATTACH_READ);
    read_on(worker);
}

void storm_tool(unsigned worker)
{
    storm_become_tool(SHM_ATTACH_READ);
    /* The tool cannot know which keys the next owner makes unique. */
    storm_model.unique = 0;
    storm_model.max_users = UINT64_MAX;
    atomic_store(&storm->tool, getpid());
    read_on(worker);
}

/* ---- single listings, for scenes and for the check after a round ---- */

static struct listing the_listing;

void storm_list_begin(struct shm_actor *actor)
{
    listing_begin(actor, &the_listing);
    if (!the_listing.open)
        storm_fail("no pin for a snapshot of the table");
}

bool storm_list_some(uint32_t steps)
{
    while (steps-- > 0)
        if (!listing_step(&the_listing))
            return false;
    return true;
}

void storm_list_end(struct shm_actor *actor)
{
    while (listing_step(&the_listing)) {
    }
    listing_end(actor, &the_listing);
}

void storm_check_table(struct shm_actor *actor)
{
    storm_list_begin(actor);
    storm_list_end(actor);
    for (uint32_t i = 0; i < MODEL_IDS; i++) {
        lookup(actor, -1, i);
        lookup(actor, 0, i);
        lookup(actor, 1, i + 1);
    }
    shm_actor_offline(actor);
}
