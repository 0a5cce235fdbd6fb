/* SPDX-License-Identifier: MIT */
#include "journal/data_row.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { HEAD = 8 + 8 + DATA_ID_SIZE, SMALL_BODY = 480 };

uint64_t data_row_sum(const struct data_row *row)
{
    uint8_t bytes[HEAD + SMALL_BODY];
    const uint64_t numbers[2] = {htole64(row->seq), htole64(row->version)};
    memcpy(bytes, numbers, sizeof(numbers));
    memcpy(bytes + sizeof(numbers), row->id, DATA_ID_SIZE);
    if (row->body_len <= SMALL_BODY && row->hidden_len <= SMALL_BODY - row->body_len) {
        /* a copy is faster than a hash in pieces */
        if (row->body_len > 0)
            memcpy(bytes + HEAD, row->body, row->body_len);
        if (row->hidden_len > 0)
            memcpy(bytes + HEAD + row->body_len, row->hidden, row->hidden_len);
        return XXH3_64bits_withSeed(bytes, HEAD + row->body_len + row->hidden_len, row->hidden_len);
    }
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_64bits_reset_withSeed(&state, row->hidden_len);
    XXH3_64bits_update(&state, bytes, HEAD);
    XXH3_64bits_update(&state, row->body, row->body_len);
    if (row->hidden_len > 0)
        XXH3_64bits_update(&state, row->hidden, row->hidden_len);
    return XXH3_64bits_digest(&state);
}

int data_row_bind(sqlite3_stmt *statement, int first, const struct data_row *row)
{
    assert(row->seq <= INT64_MAX && row->version <= INT64_MAX);
    /* NULL would be bound as NULL, which no row may hold. */
    const void *body = row->body_len == 0 ? "" : (const void *)row->body;
    int rc = sqlite3_bind_int64(statement, first, (sqlite3_int64)row->seq);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(statement, first + 1, row->id, DATA_ID_SIZE, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(statement, first + 2, (sqlite3_int64)row->version);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(statement, first + 3, (sqlite3_int64)data_row_sum(row));
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob64(statement, first + 4, body, row->body_len, SQLITE_STATIC);
    if (rc == SQLITE_OK && row->hidden_len != 0)
        rc = sqlite3_bind_blob64(statement, first + 5, row->hidden, row->hidden_len, SQLITE_STATIC);
    else if (rc == SQLITE_OK)
        rc = sqlite3_bind_null(statement, first + 5);
    return rc;
}
