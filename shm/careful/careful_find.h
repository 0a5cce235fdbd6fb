/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_CAREFUL_CAREFUL_FIND_H
#define ROSTERD_SHM_CAREFUL_CAREFUL_FIND_H

#include "shm/careful.h"
#include "shm/careful/careful_walk.h"
#include "shm/store.h"

/** Looks in the hash tables for the user with this id, or with this value of a unique key, whose
 * index must exist. @return as careful_record() */
int careful_find(struct careful *c, const uint8_t id[SHM_ID_SIZE], struct shm_record *record);
int careful_find_key(struct careful *c, unsigned key, const uint8_t *value, uint32_t len,
                     struct shm_record *record);

#endif
