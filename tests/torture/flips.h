/* SPDX-License-Identifier: MIT */
/* What each byte of a segment is: flips_map.c. */
#ifndef ROSTERD_TESTS_TORTURE_FLIPS_H
#define ROSTERD_TESTS_TORTURE_FLIPS_H

#include <stdbool.h>

#include "tests/torture/killer.h"

/** What the arena of a whole segment is made of, a byte a granule of 16. */
struct flips_map {
    const uint8_t *bytes; /* the segment's */
    uint64_t size;
    uint8_t *kind;    /* enum flips_kind, by granule of the arena */
    uint32_t *record; /* granule where that one's record starts */
};
enum flips_kind {
    FLIPS_UNUSED, /* free memory, or what a record leaves of its block */
    FLIPS_TABLE,
    FLIPS_NODE,
    FLIPS_BODY,
    FLIPS_TOWER,
    FLIPS_GONE_NODE, /* out of all lists, waiting to be freed */
    FLIPS_GONE_BODY,
    FLIPS_GONE_TOWER,
    FLIPS_RESERVED, /* a body's block, for a batch that is to come */
    FLIPS_FREE_NODE,
    FLIPS_FREE_BLOCK,
};
void flips_map_make(struct flips_map *map, const uint8_t *bytes, uint64_t size);
void flips_map_free(struct flips_map *map);
enum flips_kind flips_kind_at(const struct flips_map *map, uint64_t offset);
/** The name of the field that has this byte, "shm_body.token"; "" where it is unused. */
const char *flips_name_at(const struct flips_map *map, uint64_t offset);
/** Whether there is a field of this name. */
bool flips_name_known(const char *name);

#endif
