/* SPDX-License-Identifier: MIT */
/*
 * The sparse index by seq: a skip list over one user in 64, so that a page
 * token whose user is gone goes on in bounded steps (log n, then some 64).
 * Who has a tower, and how high, comes from the keyed hash of the id: no choice
 * of ids, nor of users deleted, can make a long stretch without one.
 *
 * Users are only appended (seq grows), so a writer needs no search: index_tail
 * keeps, a level, the word to append to. Readers go without a lock: a tower is
 * filled before the word that leads to it is stored with release, and freed like
 * a node, after a grace period.
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
            found = tower->node;
            next = tower->next;
        }
    }
    return found;
}
