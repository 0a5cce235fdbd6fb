/* SPDX-License-Identifier: MIT */
/*
 * A listing in creation order, without a lock, over minutes.
 *
 * The cursor rests on a node that its snapshot's version shows. Such a node is
 * pinned: it stays linked and its `next` is maintained until the snapshot ends,
 * so the cursor may go on from it after any time offline. Within a step we may
 * pass nodes that the version does not show, under the online section alone.
 *
 * `born` never falls along the list, for both follow the order of commits: the
 * first node born after our version ends the listing, whatever is created.
 */
#include "config.h"

#include <urcu/pointer.h>
#include <urcu/rculist.h>

#include "shm/grace.h"
#include "shm/hash.h"

/* Users created in sequence lie in sequence, a node and a body each: what comes
 * a few users later is asked for now. A prefetch of no memory is nothing. */
enum { AHEAD = 6, USER_GUESS = sizeof(struct shm_node) + 112 };

static const struct shm_node *entry(const struct cds_list_head *at)
{
    return caa_container_of(at, struct shm_node, order);
}

/* The first node from `at` on that the version shows, or NULL. */
static const struct shm_node *settle(const struct cds_list_head *at, uint64_t version)
{
#ifdef SHM_MUTANT_NO_VISIBILITY
    version = SHM_NEVER - 1;
#endif
    const struct cds_list_head *end = &shm_control()->order;
    for (; at != end; at = rcu_dereference(at->next)) {
        const struct shm_node *node = entry(at);
        if (node->born > version)
            return NULL;
        if (version < __atomic_load_n(&node->died, __ATOMIC_RELAXED))
            return node;
    }
    return NULL;
}

void shm_cursor_first(struct shm_cursor *cursor, struct shm_actor *actor,
                      const struct shm_snapshot *snapshot)
{
    shm_grace_online(actor);
    cursor->actor = actor;
    cursor->snapshot = snapshot;
    cursor->at = settle(rcu_dereference(shm_control()->order.next), snapshot->version);
}

int shm_cursor_after(struct shm_cursor *cursor, struct shm_actor *actor,
                     const struct shm_snapshot *snapshot, uint64_t seq,
                     const uint8_t id[SHM_ID_SIZE])
{
    struct shm_user user;
    if (seq == 0 || seq > __atomic_load_n(&shm_control()->seq, __ATOMIC_ACQUIRE))
        return SHM_EINVAL;
    shm_grace_online(actor);
    cursor->actor = actor;
    cursor->snapshot = snapshot;
    const struct cds_list_head *at;
    if (shm_user_find(actor, id, &user) == SHM_OK && user.seq == seq) {
        at = &caa_container_of(user.id, struct shm_node, id[0])->order;
    } else {
        const struct shm_node *node = shm_tower_find(seq);
        at = node != NULL ? &node->order : rcu_dereference(shm_control()->order.next);
    }
    while (at != &shm_control()->order && entry(at)->seq <= seq)
        at = rcu_dereference(at->next);
    cursor->at = settle(at, snapshot->version);
    return SHM_OK;
}

int shm_cursor_next(struct shm_cursor *cursor, struct shm_user *user)
{
    const struct shm_node *node = cursor->at;
    uint64_t version = cursor->snapshot->version;
    shm_grace_online(cursor->actor);
    if (shm_is_revoked(cursor->actor, cursor->snapshot))
        return SHM_EREVOKED;
    if (node == NULL)
        return SHM_ENOENT;
    const struct shm_body *body = rcu_dereference(node->body);
    SHM_POINT("reading");
    while (body->born > version)
        body = rcu_dereference(body->prev);
    for (unsigned at = 0; at < USER_GUESS; at += SHM_LINE)
        __builtin_prefetch((const char *)node + (size_t)AHEAD * USER_GUESS + at);
    user->id = node->id;
    user->body = body->bytes;
    user->body_len = shm_body_length(body);
    user->seq = node->seq;
    user->version = body->born;
    cursor->at = settle(rcu_dereference(node->order.next), version);
    return SHM_OK;
}

bool shm_cursor_more(const struct shm_cursor *cursor)
{
    return cursor->at != NULL;
}
