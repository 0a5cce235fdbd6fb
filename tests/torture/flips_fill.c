/* SPDX-License-Identifier: MIT */
#include "tests/torture/flips.h"

#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/write/reserve.h"

/* Leaves what a large batch leaves behind if its process dies before it takes the lock. */
static void reserve(struct world *w, struct shm_actor *actor)
{
    static const uint8_t body[SHM_BODY_MAX];
    struct shm_new_user users[FLIPS_RESERVES] = {0};
    for (unsigned i = 0; i < FLIPS_RESERVES; i++)
        users[i] = (struct shm_new_user){.body = body, .body_len = sizeof(body)};
    world_check(w, shm_reserve_bodies(actor, users, FLIPS_RESERVES, FLIPS_RESERVES) == SHM_OK);
    world_check(w, shm_slot(shm_actor_slot(actor))->reserve_count == FLIPS_RESERVES);
}

static void rename_user(struct world *w, struct shm_actor *actor, unsigned n, unsigned generation)
{
    world_check(w, world_update(w, actor, n, 1, generation) == SHM_OK);
}

/* What a snapshot holds: bodies, deleted users, and former nodes of users with other keys. The
 * tower of one leads to its former node, because the newer one is freed. */
static void fill_held(struct world *w, struct shm_actor *actor)
{
    world_check(w, world_update(w, actor, 10, 3, 2) == SHM_OK);
    rename_user(w, actor, 13, 2 | WORLD_RENAMED);
    rename_user(w, actor, WORLD_TOWER, 2 | WORLD_RENAMED);
    world_check(w, world_delete(w, actor, WORLD_TOWER, 2) == SHM_OK);
    for (int i = 0; i < 8; i++)
        shm_maintain(actor);
    world_check(w, shm_control()->held_count == 6);
    world_check(w, shm_control()->unlinked.count == 0);
}

void flips_fill(struct world *w)
{
    struct shm_snapshot snapshot;
    struct shm_actor *reader = world_join(w), *blocker = world_join(w), *actor = world_join(w);
    const struct shm_control *control = shm_control();
    world_fill(w);
    world_check(w, shm_snapshot_begin(reader, &snapshot) == SHM_OK);
    shm_actor_offline(reader);
    fill_held(w, actor);
    world_check(w, world_update(w, actor, 10, 2, 3) == SHM_OK);
    world_check(w, world_insert(w, actor, WORLD_NEW, 3, 1) == SHM_OK);
    world_check(w, world_delete(w, actor, WORLD_NEW + 1, 2) == SHM_OK);
    rename_user(w, actor, WORLD_NEW, 2 | WORLD_RENAMED);
    rename_user(w, actor, WORLD_NEW, 3); /* the former node is a renamed one */
    shm_actor_online(blocker);           /* the online actor keeps everything from being freed */
    shm_maintain(actor);
    world_check(w, control->unlinked.count == 6);
    world_check(w, world_update(w, actor, 50, 2, 4) == SHM_OK);
    rename_user(w, actor, 55, 2 | WORLD_RENAMED);
    rename_user(w, actor, 55, 3 | WORLD_RENAMED);
    rename_user(w, actor, 55, 4);
    world_check(w, world_delete(w, actor, 60, 2) == SHM_OK);
    world_check(w, control->retired.count == 7);
    reserve(w, actor);
}
