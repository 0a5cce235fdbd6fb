/* SPDX-License-Identifier: MIT */
/*
 * HPACK's index tables (RFC 7541 2.3): the static table, and the dynamic table of a connection's
 * peer. The text of an evicted entry is overwritten, because it may be a token.
 */
#ifndef ROSTERD_HTTP2_HPACK_HPACK_TABLE_H
#define ROSTERD_HTTP2_HPACK_HPACK_TABLE_H

#include <h2o.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HPACK_TABLE_SIZE = 4096, /* the default of SETTINGS_HEADER_TABLE_SIZE, RFC 7541 4.1 */
    HPACK_STATIC_ENTRIES = 61,
    HPACK_ENTRY_OVERHEAD = 32,
};

/** Faults of a field whose representation is valid: RFC 9113 8.2.1. */
enum {
    HPACK_NAME_MALFORMED = 1,
    HPACK_VALUE_MALFORMED = 2,
};

struct hpack_field {
    const h2o_token_t *token; /* the name is token->buf; NULL: a name that libh2o does not know */
    h2o_iovec_t name, value;
    uint8_t faults; /* bits of HPACK_*_MALFORMED */
};

/** The dynamic table. Zeroed with size = HPACK_TABLE_SIZE it is empty and holds no memory. */
struct hpack_table {
    struct hpack_entry *entries; /* a ring; NULL until the first entry */
    char *texts;           /* names and values of the entries, the oldest first; secret memory */
    uint16_t first, count; /* of the entries in the ring */
    uint16_t texts_begin, texts_end, texts_size;
    uint16_t used; /* size of the entries as in RFC 7541 4.1 */
    uint16_t size; /* the maximum that the peer has set by a size update */
};

/** @param index as in RFC 7541 2.3.3, from 1
 * @param field its texts are valid until the table changes
 * @return false: there is no such entry */
bool hpack_table_get(const struct hpack_table *table, size_t index, struct hpack_field *field);
/** Adds a copy of the field, after evicting entries to make room. A field that is larger than the
 * table only empties it (RFC 7541 4.4).
 * @param field its name must not be empty, and its texts must not lie in this table; where it was
 * added, they are changed to the copies
 * @return false: out of memory */
bool hpack_table_add(struct hpack_table *table, struct hpack_field *field);
/** Applies a dynamic table size update. @return false: it is over HPACK_TABLE_SIZE */
bool hpack_table_resize(struct hpack_table *table, size_t size);
/** Overwrites and frees the table's memory; the table is empty then. */
void hpack_table_dispose(struct hpack_table *table);

#endif
