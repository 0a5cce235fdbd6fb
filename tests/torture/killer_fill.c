/* SPDX-License-Identifier: MIT */
/* Creates the segments that the operations begin with, with users in every state that the store
 * knows. */
#include "tests/torture/killer.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/table/tower.h"

enum {
    USERS = 100,
    UPDATED_FROM = 70,
    DELETED_FROM = 90, /* first deleted user; the last is 99 */
    CHAINED = 5,       /* shares its bucket with user 4 */
    PLAIN = 12,
    ROUNDS = 100,
};

static bool has_tower(uint64_t hash, uint64_t levels)
{
    return shm_tower_height(hash) >= levels;
}

static bool in_bucket(uint64_t hash, uint64_t bucket)
{
    return (hash & (shm_control()->ids.count - 1)) == bucket;
}

void world_drain(struct shm_actor *actor)
{
    const struct shm_control *control = shm_control();
    for (int i = 0; i < ROUNDS; i++) {
        shm_maintain(actor);
        if (control->retired.count + control->unlinked.count + control->held_count == 0)
            return;
    }
}

void world_fill(struct world *w)
{
    struct shm_actor *actor = world_join(w);
    world_choose(w, CHAINED, in_bucket, world_bucket(w, 4));
    world_choose(w, WORLD_TOWER, has_tower, 2);
    world_choose(w, DELETED_FROM - 1, has_tower, 3); /* the last user: the tails point to it */
    world_choose(w, WORLD_NEW + 1, has_tower, 2);
    world_choose(w, WORLD_NEW + 2, in_bucket, world_bucket(w, 7));
    world_choose(w, WORLD_NEW + 3, in_bucket, world_bucket(w, 7));
    for (unsigned n = 0; n < USERS; n += 10)
        world_check(w, world_insert(w, actor, n, 10, 1) == SHM_OK);
    unsigned updated = DELETED_FROM - UPDATED_FROM, deleted = USERS - DELETED_FROM;
    world_check(w, world_update(w, actor, UPDATED_FROM, updated, 2) == SHM_OK);
    world_check(w, world_delete(w, actor, DELETED_FROM, deleted) == SHM_OK);
    world_drain(actor);
    memset(w->state[0], 1, UPDATED_FROM);
    memset(w->state[0] + UPDATED_FROM, 2, updated);
    shm_actor_leave(actor);
}

void world_fill_and_retire(struct world *w)
{
    world_fill(w);
    struct shm_actor *actor = world_join(w);
    world_check(w, world_update(w, actor, 10, 3, 2) == SHM_OK);
    world_check(w, world_update(w, actor, 10, 1, 3) == SHM_OK);
    world_check(w, world_update(w, actor, WORLD_TOWER, 1, 2) == SHM_OK);
    world_check(w, world_delete(w, actor, WORLD_TOWER, 2) == SHM_OK);
    world_check(w, world_delete(w, actor, DELETED_FROM - 1, 1) == SHM_OK);
    world_check(w, world_delete(w, actor, CHAINED, 1) == SHM_OK);
    memset(w->state[0] + 10, 2, 3);
    w->state[0][10] = 3;
    w->state[0][WORLD_TOWER] = w->state[0][WORLD_TOWER + 1] = w->state[0][DELETED_FROM - 1] =
        w->state[0][CHAINED] = 0;
    shm_actor_leave(actor);
}

/* Starts a process that has a snapshot. */
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
    struct shm_snapshot snapshot;
    struct shm_actor *reader = world_join(w);
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

/* Leaves blocks that a dead process's snapshot holds, and some that are still in the queues. */
void world_fill_and_die(struct world *w)
{
    int ready[2], late[2];
    world_fill(w);
    pid_t pid = start_reader(w, ready);
    struct shm_actor *actor = world_join(w);
    world_check(w, world_update(w, actor, 10, 3, 2) == SHM_OK);
    world_check(w, world_delete(w, actor, WORLD_TOWER, 2) == SHM_OK);
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
    w->state[0][WORLD_TOWER] = w->state[0][WORLD_TOWER + 1] = w->state[0][DELETED_FROM - 1] = 0;
    shm_actor_online(actor); /* the process dies online, in this slot */
}

/* Largest sizes of a user in bytes, with node, body and tower. */
enum { LARGE_MOST = 4096 + 256, SMALL_MOST = 512 };

static uint64_t left(const struct shm_control *control)
{
    return control->alloc[SHM_ALLOC_END] - control->alloc[SHM_ALLOC_CUR];
}

/* Fills the arena until the next users need it to grow: first with large bodies, then with
 * whatever still fits. */
void world_fill_arena(struct world *w)
{
    const struct shm_control *control = shm_control();
    struct shm_actor *actor = world_join(w);
    uint64_t end = control->arena_end;
    unsigned n = 0;
    for (; control->alloc[SHM_ALLOC_ARENA_CUR] < end; n++) {
        world_check(w, n < KILLER_BIG && world_insert(w, actor, n, 1, 1) == SHM_OK);
        w->state[0][n] = 1;
    }
    for (; left(control) >= LARGE_MOST; n++) {
        world_check(w, n < KILLER_BIG && world_insert(w, actor, n, 1, 1) == SHM_OK);
        w->state[0][n] = 1;
    }
    for (n = KILLER_BIG; left(control) >= SMALL_MOST; n++) {
        world_check(w, n < KILLER_FRESH && world_insert(w, actor, n, 1, 1) == SHM_OK);
        w->state[0][n] = 1;
    }
    world_check(w, control->arena_end == end && n <= WORLD_LARGE);
    shm_actor_leave(actor);
}

void world_fill_plainly(struct world *w)
{
    struct shm_actor *actor = world_join(w);
    world_check(w, world_insert(w, actor, 0, PLAIN, 1) == SHM_OK);
    memset(w->state[0], 1, PLAIN);
    shm_actor_leave(actor);
}
