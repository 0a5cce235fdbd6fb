/* SPDX-License-Identifier: MIT */
/*
 * The tables that HPACK's indexes name (RFC 7541 2.3): the static one, and the
 * dynamic one of a connection's peer. What an entry held is overwritten when it
 * goes: it may be a token.
 */
#ifndef ROSTERD_HTTP2_HPACK_TABLE_H
#define ROSTERD_HTTP2_HPACK_TABLE_H

#include <h2o.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HPACK_TABLE_SIZE = 4096, /* RFC 7541 4.1 bytes: SETTINGS_HEADER_TABLE_SIZE's default */
    HPACK_STATIC_ENTRIES = 61,
    HPACK_ENTRY_OVERHEAD = 32,
};

/** What is wrong with a field whose representation is good: RFC 9113 8.2.1. */
enum {
    HPACK_NAME_MALFORMED = 1,
    HPACK_VALUE_MALFORMED = 2,
};

struct hpack_field {
    const h2o_token_t *token; /* whose buf the name is; NULL: a name that libh2o does not know */
    h2o_iovec_t name, value;
    uint8_t faults; /* HPACK_*_MALFORMED */
};

/** Zeroed with size = HPACK_TABLE_SIZE is an empty one, and holds no memory. */
struct hpack_table {
    struct hpack_entry *entries; /* a ring, NULL until there was one */
    char *texts;                 /* of the entries, the oldest first */
    uint16_t first, count;       /* of the ring */
    uint16_t texts_begin, texts_end, texts_size;
    uint16_t used; /* RFC 7541 4.1 bytes */
    uint16_t size; /* that it may have now */
};

/** @param index from 1; the texts are the table's, until it changes
 * @return false: there is no such entry */
bool hpack_table_get(const struct hpack_table *table, size_t index, struct hpack_field *field);
/** Enters a copy, behind what must be evicted for it; one that is larger than the table empties it.
 * The field's texts must not be of this table, and its name not empty; where it fits, they are the
 * entry's then.
 * @return false: out of memory */
bool hpack_table_add(struct hpack_table *table, struct hpack_field *field);
/** A dynamic table size update. @return false: over HPACK_TABLE_SIZE */
bool hpack_table_resize(struct hpack_table *table, size_t size);
void hpack_table_dispose(struct hpack_table *table);

#endif
