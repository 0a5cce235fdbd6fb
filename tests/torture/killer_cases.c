/* SPDX-License-Identifier: MIT */
/* The operations that are killed. */
#include <string.h>

#include "shm/core/mapping.h"
#include "shm/error.h"
#include "tests/torture/killer.h"

enum { LARGE_BATCH = 4, BATCH = 12, COPIED_BATCH = 25 };

static struct shm_actor *writer, *reader;
static struct shm_snapshot snapshot;

/* ---- preparation in the child ---- */

static void join(struct world *w)
{
    writer = world_join(w);
}

static void join_online(struct world *w)
{
    join(w);
    shm_actor_online(writer);
}

static void join_sixteen(struct world *w)
{
    for (int i = 0; i < SHM_SLOTS_STEP; i++)
        writer = world_join(w);
}

static void join_and_pin(struct world *w)
{
    join(w);
    reader = world_join(w);
    world_check(w, shm_snapshot_begin(reader, &snapshot) == SHM_OK);
    shm_actor_offline(reader);
}

/* Retires blocks that a live snapshot needs, with two commits; so the operation begins at
 * version 2. */
static void pin_and_retire(struct world *w)
{
    join_and_pin(w);
    world_check(w, world_update(w, writer, 10, 2, 2) == SHM_OK);
    world_check(w, world_delete(w, writer, WORLD_TOWER, 2) == SHM_OK);
}

static void expect_retired(struct world *w)
{
    world_expect(w, 10, 2, 2);
    world_expect(w, WORLD_TOWER, 2, 0);
}

static void hold_and_end(struct world *w)
{
    pin_and_retire(w);
    for (int i = 0; i < 4; i++)
        shm_maintain(writer);
    world_check(w, shm_control()->held_count == 4);
    shm_snapshot_end(reader, &snapshot);
}

static void small_cap(struct shm_config *config)
{
    config->snapshot_max_bytes = 64;
}

static void no_index(struct shm_config *config)
{
    config->unique = 0;
}

static void one_index(struct shm_config *config)
{
    config->unique = 1;
}

static void both_indexes(struct shm_config *config)
{
    config->unique = 3;
}

static void more_users(struct shm_config *config)
{
    config->max_users = 12000; /* twice the buckets */
}

static void more_users_and_one_index(struct shm_config *config)
{
    more_users(config);
    one_index(config);
}

static void data_file(struct shm_config *config)
{
    config->data_file = "/nowhere/killer.db";
    config->durable = true;
}

/* Everything is published but two commits. */
static void fill_and_publish(struct world *w)
{
    world_fill(w);
    struct shm_actor *actor = world_join(w);
    world_check(w, world_publish(actor) == SHM_OK);
    world_drain(actor);
    shm_actor_leave(actor);
}

static void join_and_write(struct world *w)
{
    join(w);
    world_check(w, world_update(w, writer, 10, 2, 2) == SHM_OK);
    world_check(w, world_delete(w, writer, WORLD_TOWER, 2) == SHM_OK);
}

static void no_data_file(struct shm_config *config)
{
    config->data_file = NULL;
}

/* Leaves two commits that are not published. */
static void fill_and_write(struct world *w)
{
    fill_and_publish(w);
    join_and_write(w);
    shm_actor_leave(writer);
    memset(w->state[0] + 10, 2, 2);
    memset(w->state[0] + WORLD_TOWER, 0, 2);
}

/* ---- the operations ---- */

static void publish(struct world *w)
{
    world_check(w, world_publish(writer) == SHM_OK);
    world_check(w, shm_control()->published == shm_control()->version);
}

static void maintain_before_and_after_publishing(struct world *w)
{
    world_drain(writer);
    world_check(w, shm_control()->retired.count == 4);
    publish(w);
    world_drain(writer);
    world_check(w, shm_control()->retired.count + shm_control()->unlinked.count == 0);
}

static void insert_one(struct world *w)
{
    world_check(w, world_insert(w, writer, WORLD_NEW, 1, 1) == SHM_OK);
}

static void expect_one(struct world *w)
{
    world_expect(w, WORLD_NEW, 1, 1);
}

/* Inserts more users than there are free nodes, so that some nodes are new. */
static void insert_batch(struct world *w)
{
    world_check(w, world_insert(w, writer, WORLD_NEW, BATCH, 1) == SHM_OK);
}

static void expect_batch(struct world *w)
{
    world_expect(w, WORLD_NEW, BATCH, 1);
}

static void insert_another(struct world *w)
{
    world_check(w, world_insert(w, writer, WORLD_NEW + BATCH, 1, 1) == SHM_OK);
}

static void expect_another(struct world *w)
{
    world_expect(w, WORLD_NEW + BATCH, 1, 1);
}

static void insert_and_grow(struct world *w)
{
    uint64_t end = shm_control()->arena_end;
    world_check(w, world_insert(w, writer, WORLD_LARGE, LARGE_BATCH, 1) == SHM_OK);
    world_check(w, shm_control()->arena_end > end);
}

static void expect_grown(struct world *w)
{
    world_expect(w, WORLD_LARGE, LARGE_BATCH, 1);
}

/* Inserts a batch so large that it is copied before the lock is taken. */
static void insert_copied(struct world *w)
{
    world_check(w, world_insert(w, writer, WORLD_NEW, COPIED_BATCH, 1) == SHM_OK);
}

static void expect_copied(struct world *w)
{
    world_expect(w, WORLD_NEW, COPIED_BATCH, 1);
}

static void update_copied(struct world *w)
{
    world_check(w, world_update(w, writer, WORLD_TOWER, COPIED_BATCH, 2) == SHM_OK);
}

static void expect_copied_updated(struct world *w)
{
    world_expect(w, WORLD_TOWER, COPIED_BATCH, 2);
}

static void update_one(struct world *w)
{
    world_check(w, world_update(w, writer, WORLD_TOWER, 1, 2) == SHM_OK);
}

static void expect_updated(struct world *w)
{
    world_expect(w, WORLD_TOWER, 1, 2);
}

static void update_batch(struct world *w)
{
    world_check(w, world_update(w, writer, WORLD_TOWER, BATCH, 2) == SHM_OK);
}

static void expect_batch_updated(struct world *w)
{
    world_expect(w, WORLD_TOWER, BATCH, 2);
}

static void rename_one(struct world *w)
{
    world_check(w, world_update(w, writer, WORLD_TOWER, 1, WORLD_RENAMED + 2) == SHM_OK);
}

static void expect_renamed(struct world *w)
{
    world_expect(w, WORLD_TOWER, 1, WORLD_RENAMED + 2);
}

/* The second rename takes the first key again. With the first one's node free, it is used again. */
static void rename_and_rename_again(struct world *w)
{
    rename_one(w);
    world_drain(writer);
    world_check(w, world_update(w, writer, WORLD_TOWER, 1, 3) == SHM_OK);
}

static void expect_renamed_again(struct world *w)
{
    expect_renamed(w);
    world_expect(w, WORLD_TOWER, 1, 3);
}

/* Leaves a user with three nodes, the newest of them deleted; the first is held for a snapshot. */
static void pin_and_rename(struct world *w)
{
    join_and_pin(w);
    rename_one(w);
    world_check(w, world_update(w, writer, WORLD_TOWER, 1, 3) == SHM_OK);
    world_check(w, world_delete(w, writer, WORLD_TOWER, 1) == SHM_OK);
}

static void expect_renamed_and_deleted(struct world *w)
{
    expect_renamed_again(w);
    world_expect(w, WORLD_TOWER, 1, 0);
}

/* The tower goes from node to node, and with the last one. */
static void maintain_renamed(struct world *w)
{
    const struct shm_control *control = shm_control();
    for (int i = 0; i < 8; i++)
        shm_maintain(writer);
    world_check(w, control->held_count == 1 && control->unlinked.count == 0);
    shm_snapshot_end(reader, &snapshot);
    world_drain(writer);
    world_check(w, control->retired.count + control->unlinked.count + control->held_count == 0);
}

static void fill_and_rename(struct world *w)
{
    world_fill(w);
    join_and_pin(w);
    rename_one(w);
    world_check(w, world_update(w, writer, 50, 1, WORLD_RENAMED + 1) == SHM_OK);
    world_check(w, world_update(w, writer, 51, 1, WORLD_RENAMED + 1) == SHM_OK);
    shm_actor_leave(reader);
    shm_actor_leave(writer);
    w->state[0][WORLD_TOWER] = WORLD_RENAMED + 2;
    w->state[0][50] = w->state[0][51] = WORLD_RENAMED + 1;
}

/* Other requests are there. */
static void fill_and_request(struct world *w)
{
    world_fill(w);
    join(w);
    for (unsigned n = 1; n <= 3; n++) {
        world_request(n);
        world_check(w, world_update(w, writer, 30, 1, 1) == SHM_OK);
    }
    world_drain(writer);
    shm_actor_leave(writer);
}

static void join_for_a_request(struct world *w)
{
    join(w);
    world_request(WORLD_REQUEST);
}

static void expect_one_requested(struct world *w)
{
    expect_one(w);
    w->requested = true;
}

static void expect_updated_requested(struct world *w)
{
    expect_updated(w);
    w->requested = true;
}

static void expect_renamed_requested(struct world *w)
{
    expect_renamed(w);
    w->requested = true;
}

static uint64_t wanted;

static void join_and_depend(struct world *w)
{
    join(w);
    wanted = world_depend(w, writer, WORLD_TOWER);
}

/* Only the first of two updates finds the version that both want. */
static void update_if_version(struct world *w)
{
    update_one(w);
    world_check(w, world_update(w, writer, WORLD_TOWER, 1, 3) == SHM_ESTALE);
}

static void delete_if_version(struct world *w)
{
    uint8_t id[SHM_ID_SIZE];
    world_id(w, WORLD_TOWER, id);
    world_check(w, shm_user_delete(writer, id, wanted + 1, NULL) == SHM_ESTALE);
    world_check(w, shm_user_delete(writer, id, wanted, NULL) == SHM_OK);
    world_check(w, shm_user_delete(writer, id, wanted, NULL) == SHM_ENOENT);
}

static void delete_one(struct world *w)
{
    world_check(w, world_delete(w, writer, WORLD_TOWER, 1) == SHM_OK);
}

static void expect_deleted(struct world *w)
{
    world_expect(w, WORLD_TOWER, 1, 0);
}

static void delete_batch(struct world *w)
{
    world_check(w, world_delete(w, writer, WORLD_TOWER, BATCH) == SHM_OK);
}

static void expect_batch_deleted(struct world *w)
{
    world_expect(w, WORLD_TOWER, BATCH, 0);
}

static void delete_and_insert(struct world *w)
{
    delete_one(w);
    world_check(w, world_insert(w, writer, WORLD_TOWER, 1, 3) == SHM_OK);
}

static void expect_again(struct world *w)
{
    expect_deleted(w);
    world_expect(w, WORLD_TOWER, 1, 3);
}

static void maintain(struct world *w)
{
    const struct shm_control *control = shm_control();
    world_drain(writer);
    world_check(w, control->retired.count + control->unlinked.count + control->held_count == 0);
}

static void maintain_while_held(struct world *w)
{
    for (int i = 0; i < 4; i++)
        shm_maintain(writer);
    world_check(w, shm_control()->held_count == 4 && shm_control()->unlinked.count == 0);
}

static void maintain_and_revoke(struct world *w)
{
    maintain(w);
    world_check(w, shm_snapshot_revoked(reader, &snapshot));
}

static void grow_ahead(struct world *w)
{
    uint64_t end = shm_control()->arena_end;
    shm_maintain(writer);
    world_check(w, shm_control()->arena_end > end);
}

static void snapshots(struct world *w)
{
    struct shm_snapshot one, two;
    world_check(w, shm_snapshot_begin(writer, &one) == SHM_OK);
    world_check(w, shm_snapshot_begin(writer, &two) == SHM_OK);
    shm_actor_offline(writer);
    shm_snapshot_end(writer, &one);
    shm_snapshot_end(writer, &two);
}

static void leave(struct world *w)
{
    (void)w;
    shm_actor_leave(reader);
}

static void reap(struct world *w)
{
    (void)w;
    shm_actor_reap(world_store);
}

static void verify(struct world *w)
{
    struct shm_verify_report report;
    world_check(w, shm_store_verify(world_store, &report, NULL, NULL) == SHM_OK);
}

static void attach(struct world *w)
{
    struct shm_fault fault;
    if (shm_store_open(&world_store, &w->config, &fault) != SHM_OK)
        world_fail(w, "%s", fault.text);
}

#define CASE(id, ...) static const struct killer_case id = {.name = #id, __VA_ARGS__}

CASE(insert_of_one, .prepare = world_fill, .expect = expect_one, .before = join, .run = insert_one);
CASE(insert_of_a_batch, .prepare = world_fill, .expect = expect_batch, .before = join,
     .run = insert_batch);
CASE(update_of_one, .prepare = world_fill, .expect = expect_updated, .before = join,
     .run = update_one);
CASE(update_of_a_batch, .prepare = world_fill, .expect = expect_batch_updated, .before = join,
     .run = update_batch);
CASE(rename_of_one, .prepare = world_fill, .expect = expect_renamed, .before = join,
     .run = rename_one);
CASE(rename_of_one_twice, .prepare = world_fill, .expect = expect_renamed_again, .before = join,
     .run = rename_and_rename_again);
CASE(reclaim_of_renamed_nodes, .prepare = world_fill, .expect = expect_renamed_and_deleted,
     .before = pin_and_rename, .run = maintain_renamed);
CASE(recovery_of_a_rename, .after = &rename_of_one, .after_percent = 50, .run = reap);
CASE(update_of_a_version, .prepare = world_fill, .expect = expect_updated,
     .before = join_and_depend, .run = update_if_version);
CASE(insert_with_a_request, .prepare = fill_and_request, .expect = expect_one_requested,
     .before = join_for_a_request, .run = insert_one, .size = 32 << 20);
CASE(update_with_a_request, .prepare = fill_and_request, .expect = expect_updated_requested,
     .before = join_for_a_request, .run = update_one, .size = 32 << 20);
CASE(rename_with_a_request, .prepare = fill_and_request, .expect = expect_renamed_requested,
     .before = join_for_a_request, .run = rename_one, .size = 32 << 20);
CASE(recovery_of_a_request, .after = &insert_with_a_request, .after_percent = 50, .run = reap,
     .size = 32 << 20);
CASE(insert_of_large_bodies, .prepare = world_fill, .expect = expect_copied, .before = join,
     .run = insert_copied, .big = true, .size = 32 << 20, .slow = 1);
CASE(update_of_large_bodies, .prepare = world_fill, .expect = expect_copied_updated, .before = join,
     .run = update_copied, .big = true, .size = 32 << 20, .slow = 2);
CASE(recovery_of_large_bodies, .after = &insert_of_large_bodies, .after_percent = 5, .before = join,
     .run = maintain, .big = true, .slow = 1);
CASE(delete_of_one, .prepare = world_fill, .expect = expect_deleted, .before = join,
     .run = delete_one);
CASE(delete_of_a_version, .prepare = world_fill, .expect = expect_deleted,
     .before = join_and_depend, .run = delete_if_version);
CASE(delete_of_a_batch, .prepare = world_fill, .expect = expect_batch_deleted, .before = join,
     .run = delete_batch);
CASE(delete_and_insert_again, .prepare = world_fill, .expect = expect_again, .before = join,
     .run = delete_and_insert);
CASE(reclaim_of_replaced_and_deleted, .prepare = world_fill_and_retire, .before = join,
     .run = maintain);
CASE(reclaim_into_a_snapshots_hold, .prepare = world_fill, .expect = expect_retired,
     .before = pin_and_retire, .run = maintain_while_held);
CASE(reclaim_from_an_ended_snapshot, .prepare = world_fill, .expect = expect_retired,
     .before = hold_and_end, .run = maintain);
CASE(reclaim_that_revokes_a_snapshot, .prepare = world_fill, .expect = expect_retired,
     .before = pin_and_retire, .run = maintain_and_revoke, .configure = small_cap);
CASE(reclaim_from_the_dead, .prepare = world_fill_and_die, .before = join, .run = maintain);
CASE(publication, .prepare = fill_and_publish, .expect = expect_retired, .before = join_and_write,
     .run = publish, .configure = data_file);
CASE(reclaim_of_what_is_published, .prepare = fill_and_publish, .expect = expect_retired,
     .before = join_and_write, .run = maintain_before_and_after_publishing, .configure = data_file);
CASE(insert_behind_the_published_version, .prepare = fill_and_publish, .expect = expect_batch,
     .before = join, .run = insert_batch, .configure = data_file);
CASE(recovery_of_a_publication, .after = &publication, .after_percent = 50, .run = reap);
CASE(attach_to_a_half_published_segment, .after = &publication, .after_percent = 50, .run = attach,
     .opens = true);
CASE(attach_without_the_data_file, .prepare = fill_and_write, .configure = data_file,
     .reconfigure = no_data_file, .run = attach, .opens = true);
CASE(growth_by_an_insert, .prepare = world_fill_arena, .expect = expect_grown, .before = join,
     .run = insert_and_grow, .big = true, .size = 32 << 20);
CASE(growth_ahead, .prepare = world_fill_plainly, .before = join, .run = grow_ahead,
     .size = 32 << 20);
CASE(join_of_a_free_slot, .prepare = world_fill, .run = join_online);
CASE(join_of_a_dead_ones_slot, .prepare = world_fill_and_die, .run = join_online);
CASE(join_that_makes_slots, .prepare = world_fill, .before = join_sixteen, .run = join);
CASE(leave_with_a_snapshot, .prepare = world_fill, .before = join_and_pin, .run = leave);
CASE(snapshot_begin_and_end, .prepare = world_fill, .before = join, .run = snapshots);
CASE(reap_of_the_dead, .prepare = world_fill_and_die, .run = reap);
CASE(verify_of_a_live_segment, .prepare = world_fill, .run = verify, .slow = 2);
CASE(recovery_of_what_was_just_sealed, .after = &insert_of_a_batch, .expect = expect_another,
     .before = join, .run = insert_another);
CASE(recovery_of_what_was_half_published, .after = &insert_of_a_batch, .after_percent = 30,
     .run = reap);
CASE(recovery_of_what_was_half_applied, .after = &insert_of_a_batch, .after_percent = 70,
     .expect = expect_another, .before = join, .run = insert_another);
CASE(recovery_of_an_update, .after = &update_of_a_batch, .after_percent = 50, .run = reap);
CASE(recovery_of_a_reclaim, .after = &reclaim_of_replaced_and_deleted, .after_percent = 40,
     .before = join, .run = maintain);
CASE(recovery_of_a_growth, .after = &growth_by_an_insert, .after_percent = 10, .run = reap,
     .big = true);
CASE(attach_to_a_dead_servers_segment, .prepare = world_fill_and_die, .run = attach, .opens = true);
CASE(attach_to_a_sealed_log, .after = &insert_of_a_batch, .after_percent = 60, .run = attach,
     .opens = true);
CASE(rebuild_with_more_buckets, .prepare = world_fill, .configure = no_index,
     .reconfigure = more_users, .run = attach, .opens = true, .slow = 1);
CASE(rebuild_with_new_indexes, .prepare = world_fill, .configure = no_index,
     .reconfigure = both_indexes, .run = attach, .opens = true, .slow = 1);
CASE(rebuild_with_renamed_users, .prepare = fill_and_rename, .configure = one_index,
     .reconfigure = more_users, .run = attach, .opens = true, .slow = 2);
CASE(rebuild_without_an_index, .prepare = world_fill, .reconfigure = one_index, .run = attach,
     .opens = true);
CASE(rebuild_of_everything, .prepare = world_fill_and_die, .reconfigure = more_users, .run = attach,
     .opens = true, .slow = 2);
CASE(rebuild_after_a_killed_one, .after = &rebuild_with_more_buckets, .after_percent = 50,
     .reconfigure = more_users, .run = attach, .opens = true, .slow = 2);

CASE(rebuild_that_moves_one_index_and_drops_one, .prepare = world_fill_and_retire,
     .reconfigure = more_users_and_one_index, .run = attach, .opens = true, .slow = 2);
CASE(rebuild_after_a_killed_move_of_an_index, .after = &rebuild_of_everything, .after_percent = 60,
     .reconfigure = more_users, .run = attach, .opens = true, .slow = 2);

const struct killer_case *const killer_cases[] = {
    &insert_of_one,
    &insert_of_a_batch,
    &update_of_one,
    &update_of_a_batch,
    &rename_of_one,
    &rename_of_one_twice,
    &reclaim_of_renamed_nodes,
    &recovery_of_a_rename,
    &update_of_a_version,
    &insert_with_a_request,
    &update_with_a_request,
    &rename_with_a_request,
    &recovery_of_a_request,
    &insert_of_large_bodies,
    &update_of_large_bodies,
    &recovery_of_large_bodies,
    &delete_of_one,
    &delete_of_a_version,
    &delete_of_a_batch,
    &delete_and_insert_again,
    &reclaim_of_replaced_and_deleted,
    &reclaim_into_a_snapshots_hold,
    &reclaim_from_an_ended_snapshot,
    &reclaim_that_revokes_a_snapshot,
    &reclaim_from_the_dead,
    &publication,
    &reclaim_of_what_is_published,
    &insert_behind_the_published_version,
    &recovery_of_a_publication,
    &attach_to_a_half_published_segment,
    &attach_without_the_data_file,
    &growth_by_an_insert,
    &growth_ahead,
    &join_of_a_free_slot,
    &join_of_a_dead_ones_slot,
    &join_that_makes_slots,
    &leave_with_a_snapshot,
    &snapshot_begin_and_end,
    &reap_of_the_dead,
    &verify_of_a_live_segment,
    &recovery_of_what_was_just_sealed,
    &recovery_of_what_was_half_published,
    &recovery_of_what_was_half_applied,
    &recovery_of_an_update,
    &recovery_of_a_reclaim,
    &recovery_of_a_growth,
    &attach_to_a_dead_servers_segment,
    &attach_to_a_sealed_log,
    &rebuild_with_more_buckets,
    &rebuild_with_new_indexes,
    &rebuild_with_renamed_users,
    &rebuild_without_an_index,
    &rebuild_of_everything,
    &rebuild_after_a_killed_one,
    &rebuild_that_moves_one_index_and_drops_one,
    &rebuild_after_a_killed_move_of_an_index,
    NULL,
};
