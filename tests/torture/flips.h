/* SPDX-License-Identifier: MIT */
/* Says to which field each byte of a segment belongs. */
#ifndef ROSTERD_TESTS_TORTURE_FLIPS_H
#define ROSTERD_TESTS_TORTURE_FLIPS_H

#include <stdbool.h>

#include "tests/torture/killer.h"

enum { FLIPS_RESERVES = 24 }; /* blocks that a dead process has reserved for a batch */

/** Fills the segment with records in both queues, and in a dead process's hold and reserve lists;
 * nodes and towers are among them, and nodes of users whose keys changed. */
void flips_fill(struct world *w);
/** Flips the bits, and reads all users as a tool does: by a listing, by id and by key. Asserts that
 * it ends, and that each user that it shows has its own body. Leaves the segment changed. */
void flips_read(const struct world *w, struct image *image, uint64_t offset, uint8_t bits);

/** Contents of an intact segment's arena, one array element per granule of 16 bytes. */
struct flips_map {
    const uint8_t *bytes; /* the bytes of the segment */
    uint64_t size;
    uint8_t *kind;    /* enum flips_kind, by granule of the arena */
    uint32_t *record; /* granule at which this granule's record starts */
};
enum flips_kind {
    FLIPS_UNUSED, /* free memory, or the unused rest of a record's block */
    FLIPS_TABLE,
    FLIPS_NODE,
    FLIPS_BODY,
    FLIPS_TOWER,
    FLIPS_GONE_NODE, /* unlinked from all lists, waiting to be freed */
    FLIPS_GONE_BODY,
    FLIPS_GONE_TOWER,
    FLIPS_RESERVED, /* a body's block, reserved for a coming batch */
    FLIPS_FREE_NODE,
    FLIPS_FREE_BLOCK,
};
void flips_map_make(struct flips_map *map, const uint8_t *bytes, uint64_t size);
void flips_map_free(struct flips_map *map);
enum flips_kind flips_kind_at(const struct flips_map *map, uint64_t offset);
/** @return the name of the field that contains this byte, such as "shm_body.token"; "" if the
 * byte is unused. */
const char *flips_name_at(const struct flips_map *map, uint64_t offset);
/** Whether there is a field of this name. */
bool flips_name_known(const char *name);

#endif
