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
 * A call therefore passes a bounded number of them. It remembers the node that it has reached,
 * which may be freed as soon as the actor is offline, and the sequence number that it has passed.
 * If the node is still linked, the next call goes on from it. Otherwise it finds the place in the
 * index by sequence (tower.c), about 64 users before it; those users do not count. No user is
 * missed, because numbers increase along the list and visible users stay linked. Each call advances
 * by the same number of nodes, whatever is freed in between.
 *
 * `born` never decreases along the list, because both follow the order of commits: the first node
 * born after the snapshot's version ends the listing. Only a renamed user's new node is younger
 * than its place (rename.h). If the user is one of the snapshot's time, by its number, the node is
 * passed: the node that the snapshot shows is behind it. There may be any number of such nodes,
 * too, while a stopped reader delays reclaim. A call that ends among them has not passed the user's
 * number yet. If the node that it has reached is freed, so are the user's older nodes that no
 * snapshot shows, and the next call begins with the user's newest node again.
 *
 * Whether the reached node is linked (stands_there()): its memory may be free, or another user's
 * node, but it is always a node's. If a section reads that the node has its birth, and is not
 * unlinked, the node was not unlinked before the section began: the commit that unlinks it stores
 * the node's state before `gp`, and the section loads `gp` first. So the node is not freed in this
 * section. A node that was freed and used again has a later birth, which is stored before the state
 * that is no longer "unlinked", with release: build_insert.h.
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

/* Whether the node that the last call reached is still the one that it was. */
static bool stands_there(const struct shm_cursor *cursor)
{
    const struct shm_node *node = cursor->reached;
#ifdef SHM_MUTANT_TRUST_REACHED
    return node != NULL;
#else
    return node != NULL &&
           (__atomic_load_n(&node->state, __ATOMIC_ACQUIRE) & SHM_NODE_UNLINKED) == 0 &&
           __atomic_load_n(&node->born, __ATOMIC_RELAXED) == cursor->reached_born;
#endif
}

/* Where the search begins: behind the last user, behind the node that the last call reached, or
 * where the index by sequence leads to, with some users that have been passed already. */
static const struct cds_list_head *search_from(const struct shm_cursor *cursor)
{
    const struct shm_node *from = cursor->last;
    if (from == NULL && stands_there(cursor))
        from = cursor->reached;
    if (from != NULL)
        return rcu_dereference(from->order.next);
    from = shm_tower_find(cursor->passed);
    return from != NULL ? &from->order : rcu_dereference(shm_control()->order.next);
}

/* Ends a call that has passed enough nodes: the last one was this. @param passed the user's number,
 * unless the snapshot may show a node that follows; then the number before it */
static int search_later(struct shm_cursor *cursor, const struct shm_node *node, uint64_t passed)
{
    cursor->last = NULL;
    if (cursor->passed < passed)
        cursor->passed = passed;
    cursor->reached = node;
    cursor->reached_born = node->born;
    return SHM_EMORE;
}

/* Finds the next node that the version shows and stores it in cursor->next. Nodes count that the
 * version does not show and, of users that have been passed already, those that follow a newer one
 * of their user.
 * @return as shm_cursor_settle() */
static __attribute__((noinline)) int cursor_search(struct shm_cursor *cursor, uint64_t version)
{
#ifdef SHM_MUTANT_NO_VISIBILITY
    version = SHM_NEVER - 1;
#endif
    const struct cds_list_head *end = &shm_control()->order;
    const struct cds_list_head *at = search_from(cursor);
    uint64_t before = cursor->last != NULL ? ((const struct shm_node *)cursor->last)->seq : 0;
    for (unsigned left = shm_cursor_pass_max; at != end; at = rcu_dereference(at->next)) {
        const struct shm_node *node = cursor_entry(at);
        uint64_t passed = node->seq;
        bool again = passed == before;
        before = passed;
        if (passed <= cursor->passed) {
            if (!again)
                continue;
        } else if (node->born > version) {
            if (!shm_node_renamed(node) || passed > cursor->snapshot->seq)
                break;
            passed--;
        } else if (version < __atomic_load_n(&node->died, __ATOMIC_RELAXED)) {
            cursor->next = node;
            return SHM_OK;
        }
        SHM_POINT("passing");
        if (--left == 0)
            return search_later(cursor, node, passed);
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
    user->hidden_len = shm_body_hidden(body);
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
