/* SPDX-License-Identifier: MIT */
/* The operations that are killed. */
#include "config.h"

#include "tests/torture/killer.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/grace.h"

/* Users of every case: 0 to 99, of whom some have been replaced and some deleted, so that there
 * are free blocks. 100 and up are for the operations. */
enum {
    USERS = 100,
    UPDATED_FROM = 70,
    DELETED_FROM = 90, /* to 99 */
    NEW = 100,
    TOWER = 20,  /* has an entry in the index by sequence, of two levels */
    CHAINED = 5, /* shares its bucket with user 4 */
    BATCH = 12,
    LARGE = KILLER_BIG + 100, /* users that need more arena */
    LARGE_BATCH = 4,
    ROUNDS = 100,
};

static struct shm_actor *writer, *reader;
static struct shm_snapshot snapshot;

static bool has_tower(uint64_t hash, uint64_t levels)
{
    return shm_tower_height(hash) >= levels;
}

static bool in_bucket(uint64_t hash, uint64_t bucket)
{
    return (hash & (shm_control()->ids.count - 1)) == bucket;
}

static void drain(struct shm_actor *actor)
{
    const struct shm_control *control = shm_control();
    for (int i = 0; i < ROUNDS; i++) {
        shm_maintain(actor);
        if (control->retired.count + control->unlinked.count + control->held_count == 0)
            return;
    }
}

/* ---- before ---- */

static void fill(struct world *w)
{
    struct shm_actor *actor = world_join(w);
    world_choose(w, CHAINED, in_bucket, world_bucket(w, 4));
    world_choose(w, TOWER, has_tower, 2);
    world_choose(w, DELETED_FROM - 1, has_tower, 3); /* the last: tails lead to it */
    world_choose(w, NEW + 1, has_tower, 2);
    world_choose(w, NEW + 2, in_bucket, world_bucket(w, 7));
    world_choose(w, NEW + 3, in_bucket, world_bucket(w, 7));
    for (unsigned n = 0; n < USERS; n += 10)
        world_check(w, world_insert(w, actor, n, 10, 1) == SHM_OK);
    unsigned updated = DELETED_FROM - UPDATED_FROM, deleted = USERS - DELETED_FROM;
    world_check(w, world_update(w, actor, UPDATED_FROM, updated, 2) == SHM_OK);
    world_check(w, world_delete(w, actor, DELETED_FROM, deleted) == SHM_OK);
    drain(actor);
    memset(w->state[0], 1, UPDATED_FROM);
    memset(w->state[0] + UPDATED_FROM, 2, updated);
    shm_actor_leave(actor);
}

/* Retired: replaced bodies, one of them twice, and deleted users with a tower and without. */
static void fill_and_retire(struct world *w)
{
    fill(w);
    struct shm_actor *actor = world_join(w);
    world_check(w, world_update(w, actor, 10, 3, 2) == SHM_OK);
    world_check(w, world_update(w, actor, 10, 1, 3) == SHM_OK);
    world_check(w, world_update(w, actor, TOWER, 1, 2) == SHM_OK);
    world_check(w, world_delete(w, actor, TOWER, 2) == SHM_OK);
    world_check(w, world_delete(w, actor, DELETED_FROM - 1, 1) == SHM_OK);
    world_check(w, world_delete(w, actor, CHAINED, 1) == SHM_OK);
    memset(w->state[0] + 10, 2, 3);
    w->state[0][10] = 3;
    w->state[0][TOWER] = w->state[0][TOWER + 1] = w->state[0][DELETED_FROM - 1] =
        w->state[0][CHAINED] = 0;
    shm_actor_leave(actor);
}

/* A process that dies in its slot: with a snapshot, and in a read section. */
static pid_t start_reader(struct world *w, int ready[2])
{
    char byte = 0;
    world_check(w, pipe(ready) == 0);
    pid_t pid = fork();
    if (pid != 0) {
        world_check(w, pid > 0 && read(ready[0], &byte, 1) == 1);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    reader = world_join(w);
    if (shm_snapshot_begin(reader, &snapshot) != SHM_OK)
        _exit(1);
    shm_actor_offline(reader);
    if (write(ready[1], &byte, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void kill_reader(struct world *w, pid_t pid, const int ready[2])
{
    int status;
    kill(pid, SIGKILL);
    world_check(w, waitpid(pid, &status, 0) == pid);
    close(ready[0]);
    close(ready[1]);
}

/* Blocks that a dead process's snapshot holds, and some that are still in the queues. */
static void fill_and_die(struct world *w)
{
    int ready[2], late[2];
    fill(w);
    pid_t pid = start_reader(w, ready);
    struct shm_actor *actor = world_join(w);
    world_check(w, world_update(w, actor, 10, 3, 2) == SHM_OK);
    world_check(w, world_delete(w, actor, TOWER, 2) == SHM_OK);
    for (int i = 0; i < 4; i++)
        shm_maintain(actor);
    world_check(w, shm_control()->held_count == 5);
    pid_t other = start_reader(w, late);
    world_check(w, world_update(w, actor, 11, 1, 3) == SHM_OK);
    world_check(w, world_delete(w, actor, DELETED_FROM - 1, 1) == SHM_OK);
    kill_reader(w, pid, ready);
    kill_reader(w, other, late);
    memset(w->state[0] + 10, 2, 3);
    w->state[0][11] = 3;
    w->state[0][TOWER] = w->state[0][TOWER + 1] = w->state[0][DELETED_FROM - 1] = 0;
    shm_actor_online(actor); /* and dies so, in this process's slot */
}

/* To where the next user needs more arena: first by large bodies, then by what still fits. */
static void fill_arena(struct world *w)
{
    const struct shm_control *control = shm_control();
    struct shm_actor *actor = world_join(w);
    uint64_t end = control->arena_end;
    unsigned n = 0;
    for (; control->alloc[SHM_ALLOC_ARENA_CUR] < end; n++) {
        world_check(w, n < KILLER_BIG && world_insert(w, actor, n, 1, 1) == SHM_OK);
        w->state[0][n] = 1;
    }
    uint64_t left = control->alloc[SHM_ALLOC_BLOCK_END] - control->alloc[SHM_ALLOC_BLOCK_CUR];
    for (; left >= 4096; left -= 4096, n++) {
        world_check(w, n < KILLER_BIG && world_insert(w, actor, n, 1, 1) == SHM_OK);
        w->state[0][n] = 1;
    }
    for (n = KILLER_BIG; left >= 256; n++) { /* more than any of them takes */
        world_check(w, n < KILLER_FRESH && world_insert(w, actor, n, 1, 1) == SHM_OK);
        w->state[0][n] = 1;
        left = control->alloc[SHM_ALLOC_BLOCK_END] - control->alloc[SHM_ALLOC_BLOCK_CUR];
    }
    world_check(w, control->arena_end == end && n + LARGE_BATCH <= LARGE);
    shm_actor_leave(actor);
}

static void fill_plainly(struct world *w)
{
    struct shm_actor *actor = world_join(w);
    world_check(w, world_insert(w, actor, 0, BATCH, 1) == SHM_OK);
    memset(w->state[0], 1, BATCH);
    shm_actor_leave(actor);
}

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

/* What a live snapshot needs is retired: two commits, so the operation begins at version 2. */
static void pin_and_retire(struct world *w)
{
    join_and_pin(w);
    world_check(w, world_update(w, writer, 10, 2, 2) == SHM_OK);
    world_check(w, world_delete(w, writer, TOWER, 2) == SHM_OK);
}

static void expect_retired(struct world *w)
{
    world_expect(w, 10, 2, 2);
    world_expect(w, TOWER, 2, 0);
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

/* ---- the operations ---- */

static void insert_one(struct world *w)
{
    world_check(w, world_insert(w, writer, NEW, 1, 1) == SHM_OK);
}

static void expect_one(struct world *w)
{
    world_expect(w, NEW, 1, 1);
}

/* More than there are free nodes: some are new. */
static void insert_batch(struct world *w)
{
    world_check(w, world_insert(w, writer, NEW, BATCH, 1) == SHM_OK);
}

static void expect_batch(struct world *w)
{
    world_expect(w, NEW, BATCH, 1);
}

static void insert_another(struct world *w)
{
    world_check(w, world_insert(w, writer, NEW + BATCH, 1, 1) == SHM_OK);
}

static void expect_another(struct world *w)
{
    world_expect(w, NEW + BATCH, 1, 1);
}

static void insert_and_grow(struct world *w)
{
    uint64_t end = shm_control()->arena_end;
    world_check(w, world_insert(w, writer, LARGE, LARGE_BATCH, 1) == SHM_OK);
    world_check(w, shm_control()->arena_end > end);
}

static void expect_grown(struct world *w)
{
    world_expect(w, LARGE, LARGE_BATCH, 1);
}

static void update_one(struct world *w)
{
    world_check(w, world_update(w, writer, TOWER, 1, 2) == SHM_OK);
}

static void expect_updated(struct world *w)
{
    world_expect(w, TOWER, 1, 2);
}

static void update_batch(struct world *w)
{
    world_check(w, world_update(w, writer, TOWER, BATCH, 2) == SHM_OK);
}

static void expect_batch_updated(struct world *w)
{
    world_expect(w, TOWER, BATCH, 2);
}

static void delete_one(struct world *w)
{
    world_check(w, world_delete(w, writer, TOWER, 1) == SHM_OK);
}

static void expect_deleted(struct world *w)
{
    world_expect(w, TOWER, 1, 0);
}

static void delete_batch(struct world *w)
{
    world_check(w, world_delete(w, writer, TOWER, BATCH) == SHM_OK);
}

static void expect_batch_deleted(struct world *w)
{
    world_expect(w, TOWER, BATCH, 0);
}

static void delete_and_insert(struct world *w)
{
    delete_one(w);
    world_check(w, world_insert(w, writer, TOWER, 1, 3) == SHM_OK);
}

static void expect_again(struct world *w)
{
    expect_deleted(w);
    world_expect(w, TOWER, 1, 3);
}

static void maintain(struct world *w)
{
    const struct shm_control *control = shm_control();
    drain(writer);
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

CASE(insert_of_one, .prepare = fill, .expect = expect_one, .before = join, .run = insert_one);
CASE(insert_of_a_batch, .prepare = fill, .expect = expect_batch, .before = join,
     .run = insert_batch);
CASE(update_of_one, .prepare = fill, .expect = expect_updated, .before = join, .run = update_one);
CASE(update_of_a_batch, .prepare = fill, .expect = expect_batch_updated, .before = join,
     .run = update_batch);
CASE(delete_of_one, .prepare = fill, .expect = expect_deleted, .before = join, .run = delete_one);
CASE(delete_of_a_batch, .prepare = fill, .expect = expect_batch_deleted, .before = join,
     .run = delete_batch);
CASE(delete_and_insert_again, .prepare = fill, .expect = expect_again, .before = join,
     .run = delete_and_insert);
CASE(reclaim_of_replaced_and_deleted, .prepare = fill_and_retire, .before = join, .run = maintain);
CASE(reclaim_into_a_snapshots_hold, .prepare = fill, .expect = expect_retired,
     .before = pin_and_retire, .run = maintain_while_held);
CASE(reclaim_from_an_ended_snapshot, .prepare = fill, .expect = expect_retired,
     .before = hold_and_end, .run = maintain);
CASE(reclaim_that_revokes_a_snapshot, .prepare = fill, .expect = expect_retired,
     .before = pin_and_retire, .run = maintain_and_revoke, .configure = small_cap);
CASE(reclaim_from_the_dead, .prepare = fill_and_die, .before = join, .run = maintain);
CASE(growth_by_an_insert, .prepare = fill_arena, .expect = expect_grown, .before = join,
     .run = insert_and_grow, .big = true, .size = 32 << 20);
CASE(growth_ahead, .prepare = fill_plainly, .before = join, .run = grow_ahead, .size = 32 << 20);
CASE(join_of_a_free_slot, .prepare = fill, .run = join_online);
CASE(join_of_a_dead_ones_slot, .prepare = fill_and_die, .run = join_online);
CASE(join_that_makes_slots, .prepare = fill, .before = join_sixteen, .run = join);
CASE(leave_with_a_snapshot, .prepare = fill, .before = join_and_pin, .run = leave);
CASE(snapshot_begin_and_end, .prepare = fill, .before = join, .run = snapshots);
CASE(reap_of_the_dead, .prepare = fill_and_die, .run = reap);
CASE(verify_of_a_live_segment, .prepare = fill, .run = verify, .slow = true);
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
CASE(attach_to_a_dead_servers_segment, .prepare = fill_and_die, .run = attach, .opens = true);
CASE(attach_to_a_sealed_log, .after = &insert_of_a_batch, .after_percent = 60, .run = attach,
     .opens = true);
CASE(rebuild_with_more_buckets, .prepare = fill, .configure = no_index, .reconfigure = more_users,
     .run = attach, .opens = true);
CASE(rebuild_with_new_indexes, .prepare = fill, .configure = no_index, .reconfigure = both_indexes,
     .run = attach, .opens = true);
CASE(rebuild_without_an_index, .prepare = fill, .reconfigure = one_index, .run = attach,
     .opens = true);
CASE(rebuild_of_everything, .prepare = fill_and_die, .reconfigure = more_users, .run = attach,
     .opens = true, .slow = true);
CASE(rebuild_after_a_killed_one, .after = &rebuild_with_more_buckets, .after_percent = 50,
     .reconfigure = more_users, .run = attach, .opens = true);

const struct killer_case *const killer_cases[] = {
    &insert_of_one,
    &insert_of_a_batch,
    &update_of_one,
    &update_of_a_batch,
    &delete_of_one,
    &delete_of_a_batch,
    &delete_and_insert_again,
    &reclaim_of_replaced_and_deleted,
    &reclaim_into_a_snapshots_hold,
    &reclaim_from_an_ended_snapshot,
    &reclaim_that_revokes_a_snapshot,
    &reclaim_from_the_dead,
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
    &rebuild_without_an_index,
    &rebuild_of_everything,
    &rebuild_after_a_killed_one,
    NULL,
};
