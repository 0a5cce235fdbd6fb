/* SPDX-License-Identifier: MIT */
/* The operations that hold the writer lock, one scene each. Each scene prints its rows. */
#include <stdio.h>

#include "tests/bench/hold.h"

enum {
    /* Target for single calls, and for housekeeping, which they may have to wait for. */
    SINGLE_US = 100,
    BATCH_US = 200, /* target for a batch */
    PAGE_US = 5000, /* target for one call of a listing */
    SMALL = 100,    /* bytes of a body */
    LARGE = 4000,   /* bytes of a body */
    TABLE = 20000,  /* users in the table of a scene */
    /* Calls between two rounds of the master's housekeeping, which is not counted. */
    MASTER_EACH = 500
};

static uint64_t random_state = 1;

static uint64_t random_below(uint64_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (random_state >> 33) % n;
}

/* Does housekeeping as the master does from time to time. Its holds have a row of their own. */
static void let_master_look(struct hold_table *table, struct hold_row *row, uint64_t i)
{
    if (i % MASTER_EACH != 0)
        return;
    hold_count_to(NULL);
    shm_maintain(table->actor);
    hold_count_to(row);
}

/* ---- single calls ---- */

static void mix_calls(struct hold_table *table, struct hold_row *row, uint64_t calls)
{
    hold_count_to(row);
    for (uint64_t i = 1; i <= calls; i++) {
        let_master_look(table, row, i);
        switch (random_below(3)) {
        case 0:
            hold_insert(table, 1);
            break;
        case 1:
            hold_update(table, table->low + random_below(table->high - table->low), 1);
            break;
        default:
            hold_delete(table, 1);
        }
    }
    hold_count_to(NULL);
}

void hold_scene_single_calls(void)
{
    for (unsigned i = 0; i < 4; i++) {
        bool unique = i >= 2;
        uint32_t len = i % 2 == 0 ? SMALL : LARGE;
        struct hold_row row = {.figure = HOLD_P999, .target_us = SINGLE_US};
        struct hold_table table;
        snprintf(row.what, sizeof(row.what), "insert, update, delete, %u bytes, %s", len,
                 unique ? "two unique keys" : "no unique key");
        hold_open(&table, len, unique);
        hold_fill(&table, TABLE);
        mix_calls(&table, &row, hold_scale(200000, 1000));
        hold_print(&row);
        hold_close(&table);
    }
}

/* ---- batches ---- */

/* Some of the memory is new, some belonged to another batch before. */
static void batch_calls(struct hold_table *table, bool unique)
{
    enum { WINDOW = 64 }; /* number of batches in the table */
    uint64_t calls = hold_scale(3000, 100);
    struct hold_row insert = {.figure = HOLD_P999, .target_us = BATCH_US}, update = insert,
                    delete = insert;
    const char *keys = unique ? "two unique keys" : "no unique key";
    snprintf(insert.what, sizeof(insert.what), "insert of 256, %u bytes, %s", table->body_len,
             keys);
    snprintf(update.what, sizeof(update.what), "update of 256, %u bytes, %s", table->body_len,
             keys);
    snprintf(delete.what, sizeof(delete.what), "delete of 256, %u bytes, %s", table->body_len,
             keys);
    for (uint64_t i = 1; i <= calls; i++) {
        let_master_look(table, NULL, 10 * i);
        hold_count_to(&insert);
        hold_insert(table, SHM_BATCH_MAX);
        hold_count_to(&update);
        hold_update(table, table->low + random_below(table->high - table->low - SHM_BATCH_MAX + 1),
                    SHM_BATCH_MAX);
        hold_count_to(&delete);
        if (table->high - table->low > (uint64_t)WINDOW * SHM_BATCH_MAX)
            hold_delete(table, SHM_BATCH_MAX);
    }
    hold_print(&insert);
    hold_print(&update);
    hold_print(&delete);
}

void hold_scene_batches(void)
{
    for (unsigned i = 0; i < 4; i++) {
        struct hold_table table;
        hold_open(&table, i % 2 == 0 ? SMALL : LARGE, i >= 2);
        batch_calls(&table, i >= 2);
        hold_close(&table);
    }
}

/* ---- many versions pinned ---- */

enum { HOLDERS = 80, PINS = 126 };

static unsigned pin_versions(struct hold_table *table, struct shm_actor **holders)
{
    static struct shm_snapshot snapshots[HOLDERS][PINS];
    unsigned count = hold_full ? HOLDERS : 3;
    for (unsigned i = 0; i < count; i++) {
        holders[i] = hold_join(table);
        for (unsigned pin = 0; pin < PINS; pin++) {
            hold_update(table, table->low + random_below(table->high - table->low), 1);
            hold_must(shm_snapshot_begin(holders[i], &snapshots[i][pin]), "snapshot");
        }
        shm_actor_offline(holders[i]);
    }
    return count;
}

void hold_scene_pins(void)
{
    static struct shm_actor *holders[HOLDERS];
    struct hold_row updates = {.figure = HOLD_P999, .target_us = SINGLE_US}, mixed = updates,
                    maintain = updates;
    struct hold_table table;
    uint64_t calls = hold_scale(30000, 500);
    hold_open(&table, SMALL, true);
    hold_fill(&table, TABLE);
    unsigned count = pin_versions(&table, holders);
    unsigned pins = count * PINS;
    snprintf(updates.what, sizeof(updates.what), "updates under %u pinned versions", pins);
    hold_count_to(&updates);
    for (uint64_t i = 0; i < calls; i++)
        hold_update(&table, table.low + random_below(TABLE), 1);
    hold_print(&updates);
    snprintf(mixed.what, sizeof(mixed.what), "delete and insert under %u pinned versions", pins);
    hold_count_to(&mixed);
    for (uint64_t i = 0; i < calls; i++) {
        hold_delete(&table, 1);
        hold_insert(&table, 1);
    }
    hold_print(&mixed);
    snprintf(maintain.what, sizeof(maintain.what), "housekeeping, as %u snapshots end", pins);
    hold_count_to(NULL);
    for (unsigned i = 0; i < count; i++)
        shm_actor_leave(holders[i]);
    hold_count_to(&maintain);
    hold_maintain(&table);
    hold_print(&maintain);
    hold_close(&table);
}

/* ---- housekeeping ---- */

void hold_scene_maintain(void)
{
    struct hold_row stopped = {.figure = HOLD_P999,
                               .target_us = SINGLE_US,
                               .what = "housekeeping after a reader was stopped in its section"};
    struct hold_row listing = {.figure = HOLD_P999,
                               .target_us = SINGLE_US,
                               .what = "housekeeping after a long listing's end"};
    struct hold_table table;
    struct shm_snapshot snapshot;
    uint64_t users = hold_scale(400000, 4000);
    hold_open(&table, SMALL, true);
    hold_fill(&table, users);
    struct shm_actor *reader = hold_join(&table);
    shm_actor_online(reader);
    while (table.high - table.low > users / 2)
        hold_delete(&table, 1);
    shm_actor_offline(reader);
    hold_count_to(&stopped);
    hold_maintain(&table);
    hold_print(&stopped);
    hold_count_to(NULL);
    hold_must(shm_snapshot_begin(reader, &snapshot), "snapshot");
    shm_actor_offline(reader);
    for (uint64_t i = table.low; i + SHM_BATCH_MAX < table.high; i += SHM_BATCH_MAX)
        hold_update(&table, i, SHM_BATCH_MAX);
    hold_maintain(&table); /* by now the listing holds all of it */
    shm_snapshot_end(reader, &snapshot);
    hold_count_to(&listing);
    hold_maintain(&table);
    hold_print(&listing);
    hold_count_to(NULL);
    shm_actor_leave(reader);
    hold_close(&table);
}

/* ---- one e-mail created and deleted repeatedly, with a reader stopped in its section ---- */

void hold_scene_same_email(void)
{
    struct hold_row row = {.figure = HOLD_P999, .target_us = SINGLE_US};
    uint64_t times = hold_scale(42000, 420);
    struct hold_table table;
    snprintf(row.what, sizeof(row.what),
             "one e-mail created and deleted %llu times, a reader stopped",
             (unsigned long long)times);
    hold_open(&table, SMALL, true);
    struct shm_actor *reader = hold_join(&table);
    shm_actor_online(reader);
    hold_count_to(&row);
    for (uint64_t i = 0; i < times; i++)
        hold_same_email(&table);
    hold_print(&row);
    shm_actor_leave(reader);
    hold_close(&table);
}

/* ---- a listing with a million deleted users before it ---- */

static void list_one(struct shm_cursor *cursor, struct hold_row *row)
{
    struct shm_user user;
    int rc;
    do {
        uint64_t since = hold_cpu_ns();
        rc = shm_cursor_next(cursor, &user);
        hold_add_call(row, since);
        shm_actor_offline(cursor->actor);
    } while (rc == SHM_EMORE);
    hold_must(rc, "listing");
}

void hold_scene_first_page(void)
{
    enum { ROUNDS = 5 };
    struct hold_row row = {.figure = HOLD_MAX, .target_us = PAGE_US};
    uint64_t dead = hold_scale(1000000, 10000);
    struct shm_snapshot old, snapshot;
    struct shm_cursor cursor;
    struct hold_table table;
    uint8_t id[SHM_ID_SIZE] = {1};
    snprintf(row.what, sizeof(row.what), "one call of a first page, %llu deleted users before it",
             (unsigned long long)dead);
    hold_open(&table, SMALL, false);
    hold_fill(&table, dead + 1000);
    struct shm_actor *lister = hold_join(&table);
    hold_must(shm_snapshot_begin(lister, &old), "snapshot");
    shm_actor_offline(lister);
    while (table.low + SHM_BATCH_MAX <= dead)
        hold_delete(&table, SHM_BATCH_MAX);
    hold_maintain(&table);
    for (unsigned i = 0; i < ROUNDS; i++) {
        hold_must(shm_snapshot_begin(table.actor, &snapshot), "snapshot");
        uint64_t since = hold_cpu_ns();
        shm_cursor_first(&cursor, table.actor, &snapshot);
        hold_add_call(&row, since);
        list_one(&cursor, &row);
        since = hold_cpu_ns();
        hold_must(shm_cursor_after(&cursor, table.actor, &snapshot, 5, id), "page token");
        hold_add_call(&row, since);
        list_one(&cursor, &row);
        shm_snapshot_end(table.actor, &snapshot);
        shm_actor_offline(table.actor);
    }
    hold_print(&row);
    shm_snapshot_end(lister, &old);
    shm_actor_leave(lister);
    hold_close(&table);
}
