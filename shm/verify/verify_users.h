/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_USERS_H
#define ROSTERD_SHM_VERIFY_VERIFY_USERS_H

#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/verify/verify_state.h"

/** The order list, the bodies, and the lowest level of the sparse index. */
void verify_users(struct verify *v);
/** Claims the body's block. @return it in the image, or NULL with a fault reported */
const struct shm_body *verify_claim_body(struct verify *v, struct verify_tally *tally,
                                         const struct shm_body *pointer, const char *whose,
                                         uint64_t seq);
/** What a body can say by itself. */
void verify_body(struct verify *v, const struct shm_body *body, const char *whose, uint64_t seq);
bool verify_node_sound(const struct verify *v, const struct shm_node *node);
/** Claims the tower's block. @return it in the image, or NULL */
const struct shm_tower *verify_claim_tower(struct verify *v, struct verify_tally *tally,
                                           const struct shm_tower *pointer);
/** The levels above, when level 0 is known. */
void verify_levels(struct verify *v);

#endif
