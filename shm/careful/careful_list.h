/* SPDX-License-Identifier: MIT */
/* Walks along the list of users, which is in creation order, in a segment that is not trusted. */
#ifndef ROSTERD_SHM_CAREFUL_CAREFUL_LIST_H
#define ROSTERD_SHM_CAREFUL_CAREFUL_LIST_H

#include "shm/careful.h"
#include "shm/careful/careful_walk.h"
#include "shm/store.h"

/** A place in the list that is a few steps before the first user with a number over `seq`.
 * @param node set to that place; node->at is NULL: the head of the list */
int careful_list_place(struct careful *c, uint64_t seq, struct careful_node *node);
/**
 * Walks from *node on to the first user with a number over `after` that the version shows.
 * @param node set to the user; node->at is NULL: there is none
 * @param bound users born after this version end the list, if they are no renamed ones
 * @param newest so do all with a greater number than this
 * @param most the maximum number of users over `after` to pass
 * @return SHM_OK; SHM_EMORE: *node is the last of `most` users passed; SHM_EBUSY, SHM_ECORRUPT
 */
int careful_list_settle(struct careful *c, struct careful_node *node, uint64_t after,
                        uint64_t version, uint64_t bound, uint64_t newest, uint64_t most);
/** Looks for the user with this id along the whole list. @return as careful_record() */
int careful_list_find(struct careful *c, const uint8_t id[SHM_ID_SIZE], struct shm_record *record);

#endif
