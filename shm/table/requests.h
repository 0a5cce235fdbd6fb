/* SPDX-License-Identifier: MIT */
/*
 * Requests that were done, so that none is done twice. They are a ring of entries in numerical
 * order, and a hash table: the head of a chain is 1 plus the number of its newest entry, and each
 * entry says how far before it the next one is. A chain ends where the ring has been overwritten,
 * so nothing is ever removed from it. (A head may lead to an overwritten entry, too.)
 *
 * A write fills the entry behind the newest one before its commit point, and logs the chain's head
 * and the count with its other words. So the record is there if and only if the write is. That
 * entry is scratch: a death before the commit leaves garbage in it. Number n is therefore valid
 * while count <= n + SHM_REQUESTS_MAX, one less than there are entries.
 *
 * Writers look for a request under the writer lock, in the hold in which they commit: of two
 * processes that get the same request one finds the other's record, published or not. The journal
 * reads the ring without the lock, as followers read the feed (feed.c).
 */
#ifndef ROSTERD_SHM_TABLE_REQUESTS_H
#define ROSTERD_SHM_TABLE_REQUESTS_H

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/store.h"

/** The heads of the chains, SHM_REQUESTS_SIZE of them, behind the entries. */
static inline uint64_t *shm_requests_heads(struct shm_request_entry *entries)
{
    return (uint64_t *)(void *)(entries + SHM_REQUESTS_SIZE);
}

/** The oldest number that is valid when so many were noted. */
static inline uint64_t shm_requests_first(uint64_t count)
{
    return count > SHM_REQUESTS_MAX ? count - SHM_REQUESTS_MAX : 0;
}

/**
 * Whether a write may do this request. Gives the requests their memory if they have none. Under the
 * writer lock, outside of a transaction.
 * @return SHM_OK; SHM_EREPEAT: *request is the earlier write's, conflict has its commit;
 *   SHM_ESPACE (the arena has to grow)
 */
int shm_requests_admit(struct shm_actor *actor, struct shm_request *request,
                       struct shm_conflict *conflict);
/** Notes in the actor's transaction that commit `version` does the request, to this user. */
void shm_requests_log(struct shm_actor *actor, const struct shm_request *request,
                      const uint8_t user[SHM_ID_SIZE], uint64_t version);

#endif
