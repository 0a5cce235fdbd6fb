/* SPDX-License-Identifier: MIT */
/* Single steps through a segment that is not trusted; the walks are careful.c's. */
#ifndef ROSTERD_SHM_CAREFUL_CAREFUL_WALK_H
#define ROSTERD_SHM_CAREFUL_CAREFUL_WALK_H

#include <stdbool.h>

#include "shm/careful.h"
#include "shm/core/layout.h"
#include "shm/error.h"
#include "shm/store.h"

struct careful {
    const struct shm_store *store;
    bool protected; /* by a slot and, in a listing, a pin: what is reached stays what it is */
    uint64_t end;   /* bytes from SHM_BASE on that have memory, when last looked at */
    struct shm_fault *fault;
};

/** Says what is wrong. @return SHM_ECORRUPT; SHM_EOUTGROWN where that may be all */
int careful_bad(struct careful *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Whether [pointer, pointer + size) may be read, and lies as it should. */
bool careful_may_read(struct careful *c, const void *pointer, uint64_t size, uint64_t align);

/** What of a node a walk needs, copied. */
struct careful_node {
    const struct shm_node *at;
    uint8_t id[SHM_ID_SIZE];
    uint64_t hash, seq, born, died;
    uint32_t check, state;
    const struct cds_list_head *next; /* in creation order */
};
/** Copies a node, whose checksum must be right. `from` says whose pointer it is. */
int careful_node(struct careful *c, const void *pointer, const char *from,
                 struct careful_node *node);
/** Whether the node that the copy was taken of is still that user, and linked. */
bool careful_node_stands(const struct careful_node *node);

/**
 * Copies a user as of a version.
 * @return SHM_ENOENT where that version does not show it; SHM_EBUSY where it changed under
 *   the eyes of an unprotected reader
 */
int careful_record(struct careful *c, const struct careful_node *node, uint64_t version,
                   struct shm_record *record);
/** The same, but *deleted says whether the version shows the user: where it does not any more, his
 * last body is copied. @return SHM_ENOENT where he was not born yet */
int careful_last_record(struct careful *c, const struct careful_node *node, uint64_t version,
                        struct shm_record *record, bool *deleted);

/** By the index by sequence: a node at or before seq, from where it is a few steps; NULL: from
 * the head. */
int careful_locate(struct careful *c, uint64_t seq, const struct shm_node **found);

#endif
