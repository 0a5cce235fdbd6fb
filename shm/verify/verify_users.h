/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_USERS_H
#define ROSTERD_SHM_VERIFY_VERIFY_USERS_H

#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/verify/verify_state.h"

/** Checks the order list, the bodies, and level 0 of the sparse index. */
void verify_users(struct verify *v);
/** Claims a body's block. @param whose and seq name it in a report
 * @return the body in the image; NULL: it is reported as wrong */
const struct shm_body *verify_claim_body(struct verify *v, struct verify_tally *tally,
                                         const struct shm_body *pointer, const char *whose,
                                         uint64_t seq);
/** Checks what a body shows by itself: its checksum, versions and token. verify_claim_body() has
 * checked its length. */
void verify_body(struct verify *v, const struct shm_body *body, const char *whose, uint64_t seq);
/** Whether a node's checksum is right. */
bool verify_node_sound(const struct verify *v, const struct shm_node *node);
/** Claims a tower's block. @return the tower in the image, or NULL */
const struct shm_tower *verify_claim_tower(struct verify *v, struct verify_tally *tally,
                                           const struct shm_tower *pointer);
/** Checks the levels above 0 of the sparse index, after verify_users(). */
void verify_levels(struct verify *v);

#endif
