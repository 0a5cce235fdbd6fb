/* SPDX-License-Identifier: MIT */
/*
 * Texts are appended at the end of their memory and evicted from its front. Where the end is
 * reached they move to the front. The memory is twice the table's size, so that this happens only
 * once per 4 KiB of new entries.
 */
#include "http2/hpack/hpack_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

enum {
    ENTRIES_MAX = HPACK_TABLE_SIZE / HPACK_ENTRY_OVERHEAD,
    TEXTS_MIN = 512,
    TEXTS_MAX = 2 * HPACK_TABLE_SIZE,
};

struct hpack_entry {
    uint16_t at, name_len, value_len; /* in texts; name_len is 0 where the name is a token */
    uint8_t token;                    /* index of the token + 1; 0: none */
    uint8_t faults;
};

_Static_assert(H2O_MAX_TOKENS < 255, "a token's index + 1 fits into a byte");
_Static_assert(TEXTS_MAX <= UINT16_MAX, "an offset fits into 16 bits");

/* RFC 7541, appendix A. */
static const struct {
    const h2o_token_t *token;
    const char *value;
} static_table[HPACK_STATIC_ENTRIES] = {
    {H2O_TOKEN_AUTHORITY, ""},
    {H2O_TOKEN_METHOD, "GET"},
    {H2O_TOKEN_METHOD, "POST"},
    {H2O_TOKEN_PATH, "/"},
    {H2O_TOKEN_PATH, "/index.html"},
    {H2O_TOKEN_SCHEME, "http"},
    {H2O_TOKEN_SCHEME, "https"},
    {H2O_TOKEN_STATUS, "200"},
    {H2O_TOKEN_STATUS, "204"},
    {H2O_TOKEN_STATUS, "206"},
    {H2O_TOKEN_STATUS, "304"},
    {H2O_TOKEN_STATUS, "400"},
    {H2O_TOKEN_STATUS, "404"},
    {H2O_TOKEN_STATUS, "500"},
    {H2O_TOKEN_ACCEPT_CHARSET, ""},
    {H2O_TOKEN_ACCEPT_ENCODING, "gzip, deflate"},
    {H2O_TOKEN_ACCEPT_LANGUAGE, ""},
    {H2O_TOKEN_ACCEPT_RANGES, ""},
    {H2O_TOKEN_ACCEPT, ""},
    {H2O_TOKEN_ACCESS_CONTROL_ALLOW_ORIGIN, ""},
    {H2O_TOKEN_AGE, ""},
    {H2O_TOKEN_ALLOW, ""},
    {H2O_TOKEN_AUTHORIZATION, ""},
    {H2O_TOKEN_CACHE_CONTROL, ""},
    {H2O_TOKEN_CONTENT_DISPOSITION, ""},
    {H2O_TOKEN_CONTENT_ENCODING, ""},
    {H2O_TOKEN_CONTENT_LANGUAGE, ""},
    {H2O_TOKEN_CONTENT_LENGTH, ""},
    {H2O_TOKEN_CONTENT_LOCATION, ""},
    {H2O_TOKEN_CONTENT_RANGE, ""},
    {H2O_TOKEN_CONTENT_TYPE, ""},
    {H2O_TOKEN_COOKIE, ""},
    {H2O_TOKEN_DATE, ""},
    {H2O_TOKEN_ETAG, ""},
    {H2O_TOKEN_EXPECT, ""},
    {H2O_TOKEN_EXPIRES, ""},
    {H2O_TOKEN_FROM, ""},
    {H2O_TOKEN_HOST, ""},
    {H2O_TOKEN_IF_MATCH, ""},
    {H2O_TOKEN_IF_MODIFIED_SINCE, ""},
    {H2O_TOKEN_IF_NONE_MATCH, ""},
    {H2O_TOKEN_IF_RANGE, ""},
    {H2O_TOKEN_IF_UNMODIFIED_SINCE, ""},
    {H2O_TOKEN_LAST_MODIFIED, ""},
    {H2O_TOKEN_LINK, ""},
    {H2O_TOKEN_LOCATION, ""},
    {H2O_TOKEN_MAX_FORWARDS, ""},
    {H2O_TOKEN_PROXY_AUTHENTICATE, ""},
    {H2O_TOKEN_PROXY_AUTHORIZATION, ""},
    {H2O_TOKEN_RANGE, ""},
    {H2O_TOKEN_REFERER, ""},
    {H2O_TOKEN_REFRESH, ""},
    {H2O_TOKEN_RETRY_AFTER, ""},
    {H2O_TOKEN_SERVER, ""},
    {H2O_TOKEN_SET_COOKIE, ""},
    {H2O_TOKEN_STRICT_TRANSPORT_SECURITY, ""},
    {H2O_TOKEN_TRANSFER_ENCODING, ""},
    {H2O_TOKEN_USER_AGENT, ""},
    {H2O_TOKEN_VARY, ""},
    {H2O_TOKEN_VIA, ""},
    {H2O_TOKEN_WWW_AUTHENTICATE, ""},
};

static struct hpack_entry *entry_at(const struct hpack_table *table, unsigned nth)
{
    return &table->entries[(table->first + nth) % ENTRIES_MAX];
}

bool hpack_table_get(const struct hpack_table *table, size_t index, struct hpack_field *field)
{
    if (index - 1 < HPACK_STATIC_ENTRIES) {
        const char *value = static_table[index - 1].value;
        const h2o_token_t *token = static_table[index - 1].token;
        *field = (struct hpack_field){
            .token = token,
            .name = token->buf,
            .value = {(char *)(uintptr_t)value, strlen(value)},
        };
        return true;
    }
    if (index == 0 || index - 1 - HPACK_STATIC_ENTRIES >= table->count)
        return false;
    const struct hpack_entry *entry =
        entry_at(table, (unsigned)(table->count - (index - HPACK_STATIC_ENTRIES)));
    char *at = table->texts + entry->at;
    field->token = entry->token == 0 ? NULL : &h2o__tokens[entry->token - 1];
    field->name = entry->token == 0 ? h2o_iovec_init(at, entry->name_len) : field->token->buf;
    field->value = h2o_iovec_init(at + entry->name_len, entry->value_len);
    field->faults = entry->faults;
    return true;
}

/* ---- making room ---- */

static void evict_oldest(struct hpack_table *table)
{
    assert(table->count != 0);
    const struct hpack_entry *entry = entry_at(table, 0);
    size_t name_len = entry->token == 0 ? entry->name_len : h2o__tokens[entry->token - 1].buf.len;
    size_t len = (size_t)entry->name_len + entry->value_len;
    explicit_bzero(table->texts + entry->at, len);
    table->texts_begin = (uint16_t)(entry->at + len);
    table->used = (uint16_t)(table->used - (HPACK_ENTRY_OVERHEAD + name_len + entry->value_len));
    table->first = (uint16_t)((table->first + 1) % ENTRIES_MAX);
    if (--table->count == 0)
        table->texts_begin = table->texts_end = 0;
}

/* Evicts entries until the table's size is at most `size`. */
static void evict_beyond(struct hpack_table *table, size_t size)
{
    while (table->used > size)
        evict_oldest(table);
}

/* Moves the texts to the beginning of `to`, which may be their own memory. */
static void move_texts(struct hpack_table *table, char *to)
{
    size_t len = (size_t)(table->texts_end - table->texts_begin);
    memmove(to, table->texts + table->texts_begin, len);
    if (to == table->texts)
        explicit_bzero(to + len, table->texts_begin);
    for (unsigned i = 0; i < table->count; i++)
        entry_at(table, i)->at = (uint16_t)(entry_at(table, i)->at - table->texts_begin);
    table->texts_begin = 0;
    table->texts_end = (uint16_t)len;
}

/* Makes room for `len` bytes of text behind the others, and for an entry.
 * @return false: out of memory */
static bool make_entry_room(struct hpack_table *table, size_t len)
{
    size_t held = (size_t)(table->texts_end - table->texts_begin), size = table->texts_size;
    if (table->entries == NULL &&
        (table->entries = calloc(ENTRIES_MAX, sizeof(*table->entries))) == NULL)
        return false;
    if (table->texts != NULL && table->texts_end + len <= size)
        return true;
    if (table->texts != NULL && (size == TEXTS_MAX || held + len <= size / 2)) {
        move_texts(table, table->texts);
        return true;
    }
    for (size = size == 0 ? TEXTS_MIN : size; size / 2 < held + len && size < TEXTS_MAX; size *= 2)
        ;
    char *grown = secret_alloc(size);
    if (grown == NULL)
        return false;
    if (table->texts != NULL)
        move_texts(table, grown);
    secret_free(table->texts, table->texts_size);
    table->texts = grown;
    table->texts_size = (uint16_t)size;
    return true;
}

/* ---- changes ---- */

static char *append_text(struct hpack_table *table, const char *text, size_t len)
{
    char *to = table->texts + table->texts_end;
    if (len != 0)
        memcpy(to, text, len);
    table->texts_end = (uint16_t)(table->texts_end + len);
    return to;
}

bool hpack_table_add(struct hpack_table *table, struct hpack_field *field)
{
    size_t size = HPACK_ENTRY_OVERHEAD + field->name.len + field->value.len;
    size_t name_len = field->token == NULL ? field->name.len : 0;
    if (size > table->size) {
        evict_beyond(table, 0);
        return true;
    }
    if (!make_entry_room(table, name_len + field->value.len))
        return false;
    if (field->token == NULL)
        field->name.base = append_text(table, field->name.base, name_len);
    field->value.base = append_text(table, field->value.base, field->value.len);
    /* Before the eviction below the ring may hold one entry too many. It has a place for that:
     * since a name is not empty, less than ENTRIES_MAX entries fit into the table. */
    assert(table->count < ENTRIES_MAX);
    *entry_at(table, table->count++) = (struct hpack_entry){
        .at = (uint16_t)(table->texts_end - field->value.len - name_len),
        .name_len = (uint16_t)name_len,
        .value_len = (uint16_t)field->value.len,
        .token = field->token == NULL ? 0 : (uint8_t)(field->token - h2o__tokens + 1),
        .faults = field->faults,
    };
    table->used = (uint16_t)(table->used + size);
    evict_beyond(table, table->size);
    return true;
}

bool hpack_table_resize(struct hpack_table *table, size_t size)
{
    if (size > HPACK_TABLE_SIZE)
        return false;
    table->size = (uint16_t)size;
    evict_beyond(table, size);
    return true;
}

void hpack_table_dispose(struct hpack_table *table)
{
    secret_free(table->texts, table->texts_size);
    free(table->entries);
    *table = (struct hpack_table){.size = HPACK_TABLE_SIZE};
}
