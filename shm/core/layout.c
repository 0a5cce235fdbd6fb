/* SPDX-License-Identifier: MIT */
/* The fingerprint of layout.h, as this build compiles it. */
#include "shm/core/layout.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define FIELD(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)

/* Increment this when the meaning of a field or an ordering rule changes: sizes and offsets do not
 * show that. */
enum { LAYOUT_REVISION = 5 };

static const uint64_t shape[] = {
    LAYOUT_REVISION,
    SHM_BASE,
    SHM_SIZE_MAX,
    SHM_LOG_MAX,
    SHM_FEED_SIZE,
    SHM_PINS,
    SHM_LEVELS,
    SHM_EXTENT,
    SHM_CLASSES,
    SHM_ALLOC_WORDS,
    SHM_CONTROL_AT,
    SHM_LOG_AT,
    SHM_FEED_AT,
    SHM_SLOTS_AT,
    SHM_DIRTY_AT,
    SHM_ARENA_AT,
    SHM_SLOTS,
    SHM_BODY_MAX,
    sizeof(pthread_mutex_t),
    sizeof(struct cds_list_head),
    sizeof(struct cds_hlist_node),

    sizeof(struct shm_header),
    FIELD(shm_header, magic),
    FIELD(shm_header, layout),
    FIELD(shm_header, base),
    FIELD(shm_header, created_at),
    FIELD(shm_header, store_id),
    FIELD(shm_header, secret),
    FIELD(shm_header, check),

    sizeof(struct shm_body),
    FIELD(shm_body, link),
    FIELD(shm_body, prev),
    FIELD(shm_body, from),
    FIELD(shm_body, born),
    FIELD(shm_body, died),
    FIELD(shm_body, token),
    FIELD(shm_body, check),
    FIELD(shm_body, length),
    FIELD(shm_body, state),
    offsetof(struct shm_body, bytes),

    sizeof(struct shm_node),
    FIELD(shm_node, by_id),
    FIELD(shm_node, hash),
    FIELD(shm_node, id),
    FIELD(shm_node, body),
    FIELD(shm_node, seq),
    FIELD(shm_node, check),
    FIELD(shm_node, state),
    FIELD(shm_node, order),
    FIELD(shm_node, born),
    FIELD(shm_node, died),
    FIELD(shm_node, unique),

    sizeof(struct shm_tower),
    FIELD(shm_tower, link),
    FIELD(shm_tower, node),
    FIELD(shm_tower, seq),
    FIELD(shm_tower, height),
    offsetof(struct shm_tower, next),

    sizeof(struct shm_queue),
    FIELD(shm_queue, head),
    FIELD(shm_queue, tail),
    FIELD(shm_queue, count),
    FIELD(shm_queue, bytes),

    sizeof(struct shm_table),
    FIELD(shm_table, buckets),
    FIELD(shm_table, count),

    sizeof(struct shm_rebuild),
    FIELD(shm_rebuild, to),
    FIELD(shm_rebuild, what),
    FIELD(shm_rebuild, done),

    sizeof(struct shm_control),
    FIELD(shm_control, version),
    FIELD(shm_control, published),
    FIELD(shm_control, published_gp),
    FIELD(shm_control, gp),
    FIELD(shm_control, slots_ready),
    FIELD(shm_control, pid_namespace),
    FIELD(shm_control, tracker),
    FIELD(shm_control, durable),
    FIELD(shm_control, writer),
    FIELD(shm_control, users),
    FIELD(shm_control, seq),
    FIELD(shm_control, feed_head),
    FIELD(shm_control, arena_end),
    FIELD(shm_control, max_users),
    FIELD(shm_control, limit),
    FIELD(shm_control, full_at),
    FIELD(shm_control, order),
    FIELD(shm_control, ids),
    FIELD(shm_control, unique),
    FIELD(shm_control, alloc),
    FIELD(shm_control, index),
    FIELD(shm_control, index_tail),
    FIELD(shm_control, retired),
    FIELD(shm_control, unlinked),
    FIELD(shm_control, held_count),
    FIELD(shm_control, held_bytes),
    FIELD(shm_control, held_max),
    FIELD(shm_control, rebuild),
    FIELD(shm_control, feed_first),
    FIELD(shm_control, feed_from),
    FIELD(shm_control, disk),

    sizeof(struct shm_disk),
    FIELD(shm_disk, state),
    FIELD(shm_disk, error),
    FIELD(shm_disk, since),
    FIELD(shm_disk, version),
    FIELD(shm_disk, feed),
    FIELD(shm_disk, users),
    FIELD(shm_disk, bell),
    FIELD(shm_disk, sleeping),
    FIELD(shm_disk, path),

    sizeof(struct shm_log),
    FIELD(shm_log, state),
    FIELD(shm_log, count),
    FIELD(shm_log, entry),
    sizeof(struct shm_log_entry),
    FIELD(shm_log_entry, offset),
    FIELD(shm_log_entry, value),

    sizeof(struct shm_feed_entry),
    FIELD(shm_feed_entry, version),
    FIELD(shm_feed_entry, what),
    FIELD(shm_feed_entry, id),

    sizeof(struct shm_pin),
    FIELD(shm_pin, version),
    FIELD(shm_pin, count),
    FIELD(shm_pin, started),
    FIELD(shm_pin, held_for),
    FIELD(shm_pin, held),
    FIELD(shm_pin, held_count),
    FIELD(shm_pin, held_bytes),
    FIELD(shm_pin, revoked),

    sizeof(struct shm_slot),
    FIELD(shm_slot, life),
    FIELD(shm_slot, state),
    FIELD(shm_slot, pid),
    FIELD(shm_slot, kind),
    FIELD(shm_slot, number),
    FIELD(shm_slot, ctr),
    FIELD(shm_slot, started_at),
    FIELD(shm_slot, pins_high),
    FIELD(shm_slot, reserve),
    FIELD(shm_slot, reserve_count),
    FIELD(shm_slot, waits),
    FIELD(shm_slot, pins),
};

uint64_t shm_layout_hash(void)
{
    return XXH64(shape, sizeof(shape), 0);
}

uint64_t shm_header_check(const struct shm_header *header)
{
    return XXH64(header, offsetof(struct shm_header, check), 0);
}
