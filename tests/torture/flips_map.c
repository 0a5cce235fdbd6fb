/* SPDX-License-Identifier: MIT */
/* Says to which field each byte of a segment belongs. The segment must be intact: its pointers
 * are trusted. */
#include "tests/torture/flips.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/core/alloc.h"
#include "shm/core/mapping.h"
#include "shm/table/retire.h"

enum { GRANULE = 16 };

struct field {
    const char *name;
    uint64_t at, size;
};
#define FIELD(type, field)                                                                         \
    {                                                                                              \
#type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field)          \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

/* A field of the control page's struct shm_disk. */
#define DISK(field)                                                                                \
    {                                                                                              \
        "shm_disk." #field, offsetof(struct shm_control, disk.field),                              \
            sizeof(((struct shm_disk *)0)->field)                                                  \
    }

static const struct field header_fields[] = {{"shm_header", 0, sizeof(struct shm_header)}, END};
static const struct field control_fields[] = {
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
    FIELD(shm_control, reserved1),
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
    FIELD(shm_control, feed_rebuilt),
    FIELD(shm_control, requests),
    FIELD(shm_control, index_from),
    DISK(state),
    DISK(error),
    DISK(since),
    DISK(failed),
    DISK(version),
    DISK(feed),
    DISK(users),
    DISK(bell),
    DISK(sleeping),
    DISK(path),
    {"shm_control.reserved", 0, sizeof(struct shm_control)},
    END};
static const struct field log_fields[] = {FIELD(shm_log, state), FIELD(shm_log, count),
                                          FIELD(shm_log, reserved), FIELD(shm_log, entry), END};
static const struct field feed_fields[] = {
    FIELD(shm_feed_entry, version), FIELD(shm_feed_entry, what), FIELD(shm_feed_entry, id), END};
static const struct field slot_fields[] = {FIELD(shm_slot, life),
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
                                           {"shm_slot.reserved", 0, 128},
                                           END};
static const struct field pin_fields[] = {
    FIELD(shm_pin, version),    FIELD(shm_pin, count),   FIELD(shm_pin, started),
    FIELD(shm_pin, held_for),   FIELD(shm_pin, held),    FIELD(shm_pin, held_count),
    FIELD(shm_pin, held_bytes), FIELD(shm_pin, revoked), END};
static const struct field node_fields[] = {
    FIELD(shm_node, by_id), FIELD(shm_node, hash),  FIELD(shm_node, id),     FIELD(shm_node, body),
    FIELD(shm_node, seq),   FIELD(shm_node, check), FIELD(shm_node, state),  FIELD(shm_node, order),
    FIELD(shm_node, born),  FIELD(shm_node, died),  FIELD(shm_node, unique), END};
static const struct field body_fields[] = {
    FIELD(shm_body, link),
    FIELD(shm_body, prev),
    FIELD(shm_body, from),
    FIELD(shm_body, born),
    FIELD(shm_body, died),
    FIELD(shm_body, token),
    FIELD(shm_body, check),
    FIELD(shm_body, length),
    {"shm_body.hidden and state", offsetof(struct shm_body, length) + 2, 2},
    {"shm_body.bytes", offsetof(struct shm_body, bytes), SHM_BODY_MAX},
    END};
static const struct field tower_fields[] = {
    FIELD(shm_tower, link),
    FIELD(shm_tower, node),
    FIELD(shm_tower, seq),
    FIELD(shm_tower, height),
    {"shm_tower.next", offsetof(struct shm_tower, next), 8 * SHM_LEVELS},
    END};
/* Link fields of a record that was unlinked from its lists: they are meaningless now. */
#define GONE(type, field)                                                                          \
    {                                                                                              \
        "links of unlinked records", offsetof(struct type, field),                                 \
            sizeof(((struct type *)0)->field)                                                      \
    }
static const struct field gone_node_fields[] = {
    GONE(shm_node, by_id),
    {"links of unlinked records", offsetof(struct shm_node, order.next), 8},
    GONE(shm_node, unique),
    {"an unlinked shm_node", 0, sizeof(struct shm_node)},
    END};
static const struct field gone_body_fields[] = {GONE(shm_body, prev),
                                                GONE(shm_body, from),
                                                FIELD(shm_body, died),
                                                FIELD(shm_body, token),
                                                {"an unlinked shm_body", 0, 1 << 16},
                                                END};
static const struct field last_body_fields[] = {GONE(shm_body, prev),
                                                FIELD(shm_body, token),
                                                {"a deleted user's last shm_body", 0, 1 << 16},
                                                END};
static const struct field gone_tower_fields[] = {
    {"links of unlinked records", 0, 8},
    {"links of unlinked records", offsetof(struct shm_tower, next), 8 * SHM_LEVELS},
    {"an unlinked shm_tower", 0, sizeof(struct shm_tower)},
    END};
static const struct field reserved_fields[] = {
    {"the link of a reserved block", offsetof(struct shm_body, link), 8},
    {"the state of a reserved block", offsetof(struct shm_body, length) + 3, 1},
    {"a reserved block", 0, 1 << 16},
    END};
/* A live body is in no free list; a tower is in none before it is free. */
static const struct field retired_body_fields[] = {{"the link of a retired body", 0, 8}, END};
static const struct field free_node_fields[] = {
    {"the link of a free node", offsetof(struct shm_node, died), 8}, END};
static const struct field free_block_fields[] = {{"the link of a free block", 0, 8}, END};
static const struct field table_fields[] = {{"a bucket", 0, UINT64_MAX}, END};

static const struct field *const of_kind[] = {[FLIPS_GONE_NODE] = gone_node_fields,
                                              [FLIPS_GONE_BODY] = gone_body_fields,
                                              [FLIPS_GONE_TOWER] = gone_tower_fields,
                                              [FLIPS_RESERVED] = reserved_fields,
                                              [FLIPS_UNUSED] = NULL,
                                              [FLIPS_TABLE] = table_fields,
                                              [FLIPS_NODE] = node_fields,
                                              [FLIPS_BODY] = body_fields,
                                              [FLIPS_TOWER] = tower_fields,
                                              [FLIPS_FREE_NODE] = free_node_fields,
                                              [FLIPS_FREE_BLOCK] = free_block_fields};

/* ---- the arena ---- */

static const void *at(const struct flips_map *map, const void *pointer)
{
    uint64_t offset = (uint64_t)(uintptr_t)pointer - SHM_BASE;
    if (offset < SHM_ARENA_AT || offset >= map->size) {
        fprintf(stderr, "flips: the segment is damaged before any flip\n");
        exit(2);
    }
    return map->bytes + offset;
}

static void claim(struct flips_map *map, const void *pointer, uint64_t size, enum flips_kind kind)
{
    uint64_t first = ((uint64_t)(uintptr_t)pointer - SHM_BASE - SHM_ARENA_AT) / GRANULE;
    (void)at(map, pointer);
    for (uint64_t i = first; i < first + (size + GRANULE - 1) / GRANULE; i++) {
        map->kind[i] = (uint8_t)kind;
        map->record[i] = (uint32_t)first;
    }
}

static const struct shm_body *claim_body(struct flips_map *map, const struct shm_body *pointer,
                                         enum flips_kind kind)
{
    const struct shm_body *body = at(map, pointer);
    claim(map, pointer, shm_body_size(body), kind);
    return body;
}

static void claim_node(struct flips_map *map, const struct shm_node *pointer)
{
    const struct shm_node *node = at(map, pointer);
    claim(map, pointer, sizeof(*node), FLIPS_NODE);
    for (const struct shm_body *body = node->body; body != NULL;)
        body = claim_body(map, body, FLIPS_BODY)->prev;
}

static const struct shm_tower *claim_tower(struct flips_map *map, const struct shm_tower *pointer,
                                           enum flips_kind kind)
{
    const struct shm_tower *tower = at(map, pointer);
    claim(map, pointer, sizeof(*tower) + 8 * tower->height, kind);
    return tower;
}

static const struct shm_control *control_of(const struct flips_map *map)
{
    return (const struct shm_control *)(const void *)(map->bytes + SHM_CONTROL_AT);
}

static void claim_gone(struct flips_map *map, const struct shm_body *pointer)
{
    const struct shm_body *body = claim_body(map, pointer, FLIPS_GONE_BODY);
    if (body->state != SHM_BODY_LAST)
        return;
    const struct shm_node *node = shm_node_of(body);
    const struct shm_tower *tower =
        (const void *)((const struct shm_node *)at(map, node))->order.prev;
    claim(map, node, sizeof(*node), FLIPS_GONE_NODE);
    if (tower != NULL)
        claim_tower(map, tower, FLIPS_GONE_TOWER);
}

static void claim_users(struct flips_map *map)
{
    const struct shm_control *control = control_of(map);
    const struct cds_list_head *end =
        (const void *)(uintptr_t)(SHM_BASE + SHM_CONTROL_AT + offsetof(struct shm_control, order));
    for (const struct cds_list_head *p = control->order.next; p != end;
         p = ((const struct cds_list_head *)at(map, p))->next)
        claim_node(map, caa_container_of(p, struct shm_node, order));
    for (const struct shm_tower *tower = control->index[0]; tower != NULL;)
        tower = claim_tower(map, tower, FLIPS_TOWER)->next[0];
    for (const struct shm_body *p = control->unlinked.head; p != NULL;
         p = ((const struct shm_body *)at(map, p))->link)
        claim_gone(map, p);
}

static void claim_reserves(struct flips_map *map)
{
    const struct shm_slot *slots = (const void *)(map->bytes + SHM_SLOTS_AT);
    for (uint64_t i = 0; i < control_of(map)->slots_ready; i++)
        for (const struct shm_body *body = slots[i].reserve; body != NULL;)
            body = claim_body(map, body, FLIPS_RESERVED)->link;
}

static void claim_table(struct flips_map *map, const struct shm_table *table)
{
    if (table->buckets != NULL)
        claim(map, table->buckets, 8 * table->count, FLIPS_TABLE);
}

static void claim_free(struct flips_map *map)
{
    const struct shm_control *control = control_of(map);
    for (unsigned class = 0; class < SHM_CLASSES; class ++)
        for (const uint64_t *p = (const void *)(uintptr_t)control->alloc[class]; p != NULL;
             p = (const void *)(uintptr_t) * (const uint64_t *)at(map, p))
            claim(map, p, shm_class_size(class), FLIPS_FREE_BLOCK);
    for (const struct shm_node *p = (const void *)(uintptr_t)control->alloc[SHM_ALLOC_NODE_FREE];
         p != NULL; p = (const void *)(uintptr_t)((const struct shm_node *)at(map, p))->died)
        claim(map, p, sizeof(*p), FLIPS_FREE_NODE);
}

void flips_map_make(struct flips_map *map, const uint8_t *bytes, uint64_t size)
{
    map->bytes = bytes;
    map->size = size;
    map->kind = calloc((size - SHM_ARENA_AT) / GRANULE, sizeof(*map->kind));
    map->record = calloc((size - SHM_ARENA_AT) / GRANULE, sizeof(*map->record));
    if (map->kind == NULL || map->record == NULL)
        exit(2);
    claim_users(map);
    claim_table(map, &control_of(map)->ids);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        claim_table(map, &control_of(map)->unique[key]);
    claim_free(map);
    claim_reserves(map);
}

void flips_map_free(struct flips_map *map)
{
    free(map->kind);
    free(map->record);
}

enum flips_kind flips_kind_at(const struct flips_map *map, uint64_t offset)
{
    return (enum flips_kind)map->kind[(offset - SHM_ARENA_AT) / GRANULE];
}

/* ---- names ---- */

static const char *name_in(const struct field *fields, uint64_t offset)
{
    for (; fields != NULL && fields->name != NULL; fields++)
        if (offset - fields->at < fields->size)
            return fields->name;
    return "";
}

static const char *name_in_slot(uint64_t offset)
{
    offset %= sizeof(struct shm_slot);
    if (offset < offsetof(struct shm_slot, pins))
        return name_in(slot_fields, offset);
    return name_in(pin_fields, (offset - offsetof(struct shm_slot, pins)) % sizeof(struct shm_pin));
}

static const char *name_in_arena(const struct flips_map *map, uint64_t offset)
{
    uint64_t granule = (offset - SHM_ARENA_AT) / GRANULE;
    uint64_t within = offset - SHM_ARENA_AT - map->record[granule] * (uint64_t)GRANULE;
    enum flips_kind kind = flips_kind_at(map, offset);
    const struct field *fields = of_kind[kind];
    if (kind == FLIPS_BODY || kind == FLIPS_GONE_BODY) {
        const struct shm_body *body = (const void *)(map->bytes + offset - within);
        if (within >= shm_body_size(body))
            return "";
        if (body->state == SHM_BODY_LAST)
            fields = last_body_fields;
        else if (body->state != SHM_BODY_LIVE && within < sizeof(body->link))
            fields = retired_body_fields;
    }
    if (kind == FLIPS_TOWER || kind == FLIPS_GONE_TOWER) {
        const struct shm_tower *tower = (const void *)(map->bytes + offset - within);
        if (within >= sizeof(*tower) + 8 * tower->height)
            return "";
    }
    return name_in(fields, within);
}

const char *flips_name_at(const struct flips_map *map, uint64_t offset)
{
    if (offset < SHM_CONTROL_AT)
        return name_in(header_fields, offset);
    if (offset < SHM_LOG_AT)
        return name_in(control_fields, offset - SHM_CONTROL_AT);
    if (offset < SHM_FEED_AT)
        return name_in(log_fields, offset - SHM_LOG_AT);
    if (offset < SHM_DIRTY_AT)
        return name_in(feed_fields, (offset - SHM_FEED_AT) % sizeof(struct shm_feed_entry));
    if (offset < SHM_CONTROL_END)
        return "the dirty map";
    if (offset >= SHM_SLOTS_AT && offset < SHM_ARENA_AT)
        return name_in_slot(offset - SHM_SLOTS_AT);
    return offset >= SHM_ARENA_AT ? name_in_arena(map, offset) : "";
}

bool flips_name_known(const char *name)
{
    const struct field *const all[] = {control_fields,   log_fields,     feed_fields, slot_fields,
                                       pin_fields,       node_fields,    body_fields, tower_fields,
                                       gone_node_fields, reserved_fields};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (const struct field *field = all[i]; field->name != NULL; field++)
            if (strcmp(field->name, name) == 0)
                return true;
    return strcmp(name, "the dirty map") == 0;
}
