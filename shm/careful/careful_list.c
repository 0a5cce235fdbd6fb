/* SPDX-License-Identifier: MIT */
#include "shm/careful/careful_list.h"

#include <string.h>

#include "base/container_of.h"
#include "shm/core/grace.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/publication.h"
#include "shm/error.h"

static const void *list_head(void)
{
    return &shm_control()->order;
}

static const void *order_entry(const void *link)
{
    return container_of((const struct cds_list_head *)link, struct shm_node, order);
}

/* Whether the step over this link, just made without protection, was valid. */
static bool list_step_stands(const struct careful *c, const struct careful_node *from,
                             const void *const *word, const void *link)
{
    if (c->protected)
        return true;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return (from->at == NULL || careful_node_stands(from)) &&
           __atomic_load_n(word, __ATOMIC_RELAXED) == link;
}

/* Steps from a node, or from the list's head if from->at is NULL, to the next node. to->at is NULL
 * at the end. */
static int list_step(struct careful *c, const struct careful_node *from, struct careful_node *to)
{
    const void *const *word =
        (const void *const *)(from->at != NULL ? (const void *)&from->at->order.next
                                               : &shm_control()->order.next);
    const void *link = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    to->at = NULL;
    if (link != list_head()) {
        int rc = careful_node(c, order_entry(link), "the list of users", to);
        if (rc != SHM_OK)
            return rc;
        /* Increasing numbers end a walk through a cyclic list. The nodes of one number are all one
         * user's, newest first. */
        if (from->at != NULL &&
            (to->seq < from->seq || (to->seq == from->seq && to->born >= from->born)))
            return careful_bad(c, "user number %llu comes after number %llu",
                               (unsigned long long)to->seq, (unsigned long long)from->seq);
    }
    return list_step_stands(c, from, word, link) ? SHM_OK : SHM_EBUSY;
}

int careful_list_place(struct careful *c, uint64_t seq, struct careful_node *node)
{
    const struct shm_node *found;
    node->at = NULL;
    int rc = careful_locate(c, seq, &found);
    if (rc != SHM_OK || found == NULL)
        return rc;
    rc = careful_node(c, found, "the index by sequence number", node);
    if (rc == SHM_OK && node->seq > seq)
        rc = careful_bad(c, "the index by sequence number leads to number %llu instead of %llu",
                         (unsigned long long)node->seq, (unsigned long long)seq);
    return rc;
}

static bool version_shows(const struct careful_node *node, uint64_t version)
{
    return node->born <= version && version < node->died;
}

int careful_list_settle(struct careful *c, struct careful_node *node, uint64_t after,
                        uint64_t version, uint64_t bound, uint64_t newest, uint64_t most)
{
    do {
        struct careful_node from = *node;
        /* the node that the version shows may be behind a renamed one that is too young for it */
        bool passes = from.at != NULL && from.seq > after;
        bool young = passes && careful_node_renamed(&from) && from.born > version;
        if (passes && !young && most-- == 0)
            return SHM_EMORE;
        int rc = list_step(c, &from, node);
        if (rc != SHM_OK)
            return rc;
        if (young && !c->protected && (node->at == NULL || node->seq != from.seq))
            return SHM_EBUSY; /* the node that the version showed has been freed since */
        if (node->at != NULL &&
            (node->seq > newest || (node->born > bound && !careful_node_renamed(node))))
            node->at = NULL; /* no later node is visible either: `born` never decreases */
    } while (node->at != NULL && (node->seq <= after || !version_shows(node, version)));
    return SHM_OK;
}

int careful_list_find(struct careful *c, const uint8_t id[SHM_ID_SIZE], struct shm_record *record)
{
    uint64_t version = shm_published_version();
    uint64_t newest = __atomic_load_n(&shm_control()->seq, __ATOMIC_ACQUIRE);
    struct careful_node node = {.at = NULL};
    for (;;) {
        int rc = careful_list_settle(c, &node, 0, version, version, newest, UINT64_MAX);
        if (rc == SHM_OK && node.at == NULL)
            return SHM_ENOENT;
        if (rc == SHM_OK && memcmp(node.id, id, SHM_ID_SIZE) == 0)
            rc = careful_record(c, &node, version, record);
        if (rc != SHM_OK)
            return rc;
        if (memcmp(node.id, id, SHM_ID_SIZE) == 0)
            return SHM_OK;
    }
}
