/* SPDX-License-Identifier: MIT */
/* The sparse index by sequence number. */
#ifndef ROSTERD_SHM_TABLE_TOWER_H
#define ROSTERD_SHM_TABLE_TOWER_H

#include <stdint.h>

#include "shm/core/layout.h"

/** The height of the tower of a user with this hash, 0 to SHM_LEVELS; 0: no tower. */
unsigned shm_tower_height(uint64_t hash);
/** The node of the last tower at or before seq, or NULL. Inside an online section. */
struct shm_node *shm_tower_find(uint64_t seq);
/** The tower of this seq, or NULL. Under the writer lock. */
struct shm_tower *shm_tower_of(uint64_t seq);

#endif
