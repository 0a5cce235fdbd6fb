/* SPDX-License-Identifier: MIT */
/*
 * The sparse index by sequence number: a skip list over one user in 64. With it a page token whose
 * user is gone continues in bounded steps (log n, then about 64). Which users have a tower, and of
 * what height, depends on the keyed hash of the id: no choice of ids, and no choice of users to
 * delete, can create a long stretch without a tower.
 *
 * Users are only appended (sequence numbers grow), so an insert needs no search: for each level,
 * index_tail has the address of the word to append to. Readers take no lock: a tower is filled
 * before the word that points to it is stored with release, and it is freed like a node, after a
 * grace period. A user has one tower for life; it leads to the newest of the user's nodes.
 */
#include "shm/table/tower.h"

#include <urcu/pointer.h>

#include "shm/core/mapping.h"

unsigned shm_tower_height(uint64_t hash)
{
    unsigned height = 1;
    if (hash >> 58 != 0)
        return 0;
    for (hash >>= 32; (hash & 3) == 0 && height < SHM_LEVELS; hash >>= 2)
        height++;
    return height;
}

struct shm_node *shm_tower_find(uint64_t seq)
{
    struct shm_tower *const *next = shm_control()->index;
    struct shm_node *found = NULL;
    for (unsigned level = SHM_LEVELS; level-- > 0;) {
        const struct shm_tower *tower;
        while ((tower = rcu_dereference(next[level])) != NULL && tower->seq <= seq) {
            found = rcu_dereference(tower->node); /* a renamed user's tower leads to a new node */
            next = tower->next;
        }
    }
    return found;
}

struct shm_tower *shm_tower_of(uint64_t seq)
{
    struct shm_tower **next = shm_control()->index;
    for (unsigned level = SHM_LEVELS; level-- > 0;)
        while (next[level] != NULL && next[level]->seq < seq)
            next = next[level]->next;
    return next[0] != NULL && next[0]->seq == seq ? next[0] : NULL;
}
