/* SPDX-License-Identifier: MIT */
/*
 * A listing in creation order, without a lock, which may take minutes.
 *
 * Between two calls a cursor stands on a node that its snapshot's version shows: the user returned
 * last, or the next one. Such a node is pinned: it stays linked, and its `next` is maintained until
 * the snapshot ends, so the cursor can continue from it after any time offline. Within a call the
 * cursor may pass nodes that the version does not show; these are protected by the online section
 * only.
 *
 * There may be any number of such nodes: deleted users stay linked while an older snapshot exists.
 * A call therefore passes a bounded number of them and remembers the sequence number that it has
 * reached. The node with that number may be freed as soon as the actor is offline. The next call
 * finds the place in the index by sequence (tower.c), about 64 nodes before it; those nodes do not
 * count. No user is missed, because numbers increase along the list and visible users stay linked.
 * Each call advances by the same number of nodes, whatever is freed in between.
 *
 * `born` never decreases along the list, because both follow the order of commits: the first node
 * born after the snapshot's version ends the listing, whatever is created meanwhile.
 *
 * Each call checks `revoked` after it went online. A section that does not see `revoked` keeps the
 * memory that it reads until the section ends (reclaim.c). An earlier check would be worthless:
 * between the check and the section the pin may be revoked, and all the memory that it kept may be
 * freed and reused.
 */
#include "shm/table/cursor.h"

#include <urcu/pointer.h>
#include <urcu/rculist.h>

#include "base/container_of.h"
#include "shm/core/grace.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/tower.h"

/* Users created in sequence lie in sequence in memory, a node and a body each, so cursor_take()
 * prefetches the user that comes a few users later. A prefetch of unmapped memory has no effect. */
enum { AHEAD = 6, USER_GUESS = sizeof(struct shm_node) + 112 };

/* Nodes passed in one call; with one or two cache misses each this takes 0.1 to 0.5 ms. Tests lower
 * the number. */
#ifndef SHM_TEST_HOOKS
static const
#endif
    unsigned shm_cursor_pass_max = 1024;

#define AT_END UINT64_MAX /* the value of a cursor's `passed` at the end of the listing */

static const struct shm_node *cursor_entry(const struct cds_list_head *at)
{
    return container_of(at, struct shm_node, order);
}

/* The first node with a number greater than seq, or the list's head. */
static const struct cds_list_head *place_after(uint64_t seq)
{
    const struct cds_list_head *end = &shm_control()->order;
    const struct shm_node *node = shm_tower_find(seq);
    const struct cds_list_head *at = node != NULL ? &node->order : rcu_dereference(end->next);
    while (at != end && cursor_entry(at)->seq <= seq)
        at = rcu_dereference(at->next);
    return at;
}

/* Finds the next node that the version shows and stores it in cursor->next.
 * @return as shm_cursor_settle() */
static __attribute__((noinline)) int cursor_search(struct shm_cursor *cursor, uint64_t version)
{
#ifdef SHM_MUTANT_NO_VISIBILITY
    version = SHM_NEVER - 1;
#endif
    const struct cds_list_head *end = &shm_control()->order;
    const struct shm_node *last = cursor->last;
    const struct cds_list_head *at =
        last != NULL ? rcu_dereference(last->order.next) : place_after(cursor->passed);
    for (unsigned left = shm_cursor_pass_max; at != end; at = rcu_dereference(at->next)) {
        const struct shm_node *node = cursor_entry(at);
        if (node->born > version)
            break;
        if (version < __atomic_load_n(&node->died, __ATOMIC_RELAXED)) {
            cursor->next = node;
            return SHM_OK;
        }
        SHM_POINT("passing");
        if (--left == 0) {
            cursor->last = NULL;
            cursor->passed = node->seq;
            return SHM_EMORE;
        }
    }
    cursor->last = NULL;
    cursor->passed = AT_END;
    return SHM_ENOENT;
}

/* The node after this one if the version shows it, which is the common case; otherwise NULL, and
 * cursor_search() must find the next one. */
static inline const struct shm_node *neighbour(const struct shm_node *node, uint64_t version)
{
    const struct cds_list_head *at = rcu_dereference(node->order.next);
    if (at == &shm_control()->order ||
        !shm_visible(cursor_entry(at)->born, &cursor_entry(at)->died, version))
        return NULL;
    return cursor_entry(at);
}

/* Goes online; after that the cursor's pointers may be followed.
 * @return false: the snapshot is revoked */
static inline bool cursor_enter(const struct shm_cursor *cursor)
{
#ifdef SHM_MUTANT_EARLY_LOOK
    bool early = shm_is_revoked(cursor->actor, cursor->snapshot);
    SHM_POINT("going online");
    shm_grace_online(cursor->actor);
    return !early;
#else
    SHM_POINT("going online");
    shm_grace_online(cursor->actor);
    return !shm_is_revoked(cursor->actor, cursor->snapshot);
#endif
}

void shm_cursor_first(struct shm_cursor *cursor, struct shm_actor *actor,
                      const struct shm_snapshot *snapshot)
{
    *cursor = (struct shm_cursor){.actor = actor, .snapshot = snapshot};
}

int shm_cursor_after(struct shm_cursor *cursor, struct shm_actor *actor,
                     const struct shm_snapshot *snapshot, uint64_t seq,
                     const uint8_t id[SHM_ID_SIZE])
{
    struct shm_user user;
    if (seq == 0 || seq > __atomic_load_n(&shm_control()->seq, __ATOMIC_ACQUIRE))
        return SHM_EINVAL;
    *cursor = (struct shm_cursor){.actor = actor, .snapshot = snapshot, .passed = seq};
    if (shm_user_find(actor, id, &user) == SHM_OK && user.seq == seq) {
        const struct shm_node *node = container_of(user.id, struct shm_node, id[0]);
        /* The snapshot pins the node only if its version shows it. */
        if (shm_visible(node->born, &node->died, snapshot->version))
            cursor->last = node;
    }
    return SHM_OK;
}

int shm_cursor_settle(struct shm_cursor *cursor)
{
    if (!cursor_enter(cursor))
        return SHM_EREVOKED;
    if (cursor->next != NULL)
        return SHM_OK;
    return cursor->passed != AT_END ? cursor_search(cursor, cursor->snapshot->version) : SHM_ENOENT;
}

/* Fills *user from cursor->next, and steps to the following user if that needs no search. */
static inline void cursor_take(struct shm_cursor *cursor, struct shm_user *user)
{
    const struct shm_node *node = cursor->next;
    uint64_t version = cursor->snapshot->version;
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
    cursor->last = node;
    cursor->next = neighbour(node, version);
}

static __attribute__((noinline)) int cursor_search_and_take(struct shm_cursor *cursor,
                                                            struct shm_user *user)
{
    int rc = shm_cursor_settle(cursor);
    if (rc == SHM_OK)
        cursor_take(cursor, user);
    return rc;
}

int shm_cursor_next(struct shm_cursor *cursor, struct shm_user *user)
{
    if (!cursor_enter(cursor))
        return SHM_EREVOKED;
    if (cursor->next == NULL)
        return cursor_search_and_take(cursor, user);
    cursor_take(cursor, user);
    return SHM_OK;
}
