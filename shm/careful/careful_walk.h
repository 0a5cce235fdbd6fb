/* SPDX-License-Identifier: MIT */
/* Single steps through an untrusted segment; careful.c walks with them. */
#ifndef ROSTERD_SHM_CAREFUL_CAREFUL_WALK_H
#define ROSTERD_SHM_CAREFUL_CAREFUL_WALK_H

#include <stdbool.h>

#include "shm/careful.h"
#include "shm/core/layout.h"
#include "shm/error.h"
#include "shm/store.h"

struct careful {
    const struct shm_store *store;
    /* The reader has a slot and, in a listing, a pin: records that it reaches are not reused. */
    bool protected;
    uint64_t end; /* bytes from SHM_BASE on that have memory, at the last check */
    struct shm_fault *fault;
};

/** Fills the fault. @return SHM_ECORRUPT; SHM_EOUTGROWN if the mapping is too small to tell */
int careful_bad(struct careful *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Whether [pointer, pointer + size) is readable memory of the arena, and aligned. */
bool careful_may_read(struct careful *c, const void *pointer, uint64_t size, uint64_t align);

/** A copy of the fields of a node that a walk needs. */
struct careful_node {
    const struct shm_node *at;
    uint8_t id[SHM_ID_SIZE];
    uint64_t hash, seq, born, died;
    uint32_t check, state;
    const struct cds_list_head *next; /* in creation order */
};
/** Copies a node and checks its checksum. @param from what contains the pointer, for the fault */
int careful_node(struct careful *c, const void *pointer, const char *from,
                 struct careful_node *node);
/** Whether it took the place of an older node of its user: rename.h of the writers. */
static inline bool careful_node_renamed(const struct careful_node *node)
{
    return (node->state & SHM_NODE_RENAMED) != 0;
}
/** Whether the copied node still is the same user, and linked. */
bool careful_node_stands(const struct careful_node *node);

/**
 * Copies a user as a version shows it.
 * @return SHM_OK; SHM_ENOENT: the version does not show the user; SHM_EBUSY: the user changed while
 *   an unprotected reader copied it; SHM_ECORRUPT
 */
int careful_record(struct careful *c, const struct careful_node *node, uint64_t version,
                   struct shm_record *record);
/** As careful_record(), but if the user was deleted before the version, copies the last body and
 * sets *deleted. @return SHM_ENOENT: the user was not born yet; otherwise as careful_record() */
int careful_last_record(struct careful *c, const struct careful_node *node, uint64_t version,
                        struct shm_record *record, bool *deleted);

/** Finds a node at or shortly before seq by the index by sequence. *found is NULL if the walk must
 * begin at the head of the list. */
int careful_locate(struct careful *c, uint64_t seq, const struct shm_node **found);

#endif
