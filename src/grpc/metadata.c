/* SPDX-License-Identifier: MIT */
#include "grpc/metadata.h"

#include <string.h>

#include "base/base64.h"
#include "grpc/call.h"

/* ---- request metadata ---- */

/** Whether the name is that of a field with base64 in it. */
static bool is_binary(const char *name, size_t len)
{
    return len >= 4 && memcmp(name + len - 4, "-bin", 4) == 0;
}

/** Allocates a record with room for its texts behind it, and fills in the name.
 * @param other a record of the same field, which shares its copy of the name; NULL: there is none
 */
static struct grpc_metadata *metadata_create(struct grpc_arena *arena, const h2o_iovec_t *name,
                                             size_t value_cap, const struct grpc_metadata *other)
{
    size_t name_size = other != NULL ? 0 : name->len + 1;
    struct grpc_metadata *record =
        grpc_arena_alloc(arena, sizeof(*record) + name_size + value_cap + 1);
    if (record == NULL)
        return NULL;
    char *text = (char *)(record + 1);
    record->next = NULL;
    record->name = other != NULL ? other->name : text;
    record->name_len = name->len;
    record->value = text + name_size;
    if (other != NULL)
        return record;
    memcpy(text, name->base, name->len);
    text[name->len] = '\0';
    return record;
}

static void metadata_append(struct grpc_metadata ***tail, struct grpc_metadata *record,
                            size_t value_len)
{
    ((char *)record->value)[value_len] = '\0';
    record->value_len = value_len;
    **tail = record;
    *tail = &record->next;
}

/** Keeps one base64 value; white space around it does not count. */
static enum grpc_metadata_result keep_binary(struct grpc_arena *arena, struct grpc_metadata ***tail,
                                             const struct grpc_metadata *other,
                                             const h2o_iovec_t *name, const char *text, size_t len)
{
    while (len != 0 && (*text == ' ' || *text == '\t'))
        text++, len--;
    while (len != 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    struct grpc_metadata *record = metadata_create(arena, name, base64_decoded_max(len), other);
    if (record == NULL)
        return GRPC_METADATA_NO_MEMORY;
    size_t value_len;
    if (!base64_decode((uint8_t *)record->value, &value_len, text, len))
        return GRPC_METADATA_BAD_BINARY;
    metadata_append(tail, record, value_len);
    return GRPC_METADATA_KEPT;
}

enum grpc_metadata_result grpc_metadata_keep(struct grpc_arena *arena, struct grpc_metadata ***tail,
                                             const h2o_header_t *field, unsigned *split)
{
    const char *value = field->value.len != 0 ? field->value.base : "";
    const char *end = value + field->value.len;
    if (!is_binary(field->name->base, field->name->len)) {
        struct grpc_metadata *record = metadata_create(arena, field->name, field->value.len, NULL);
        if (record == NULL)
            return GRPC_METADATA_NO_MEMORY;
        memcpy((char *)record->value, value, field->value.len);
        metadata_append(tail, record, field->value.len);
        return GRPC_METADATA_KEPT;
    }
    const struct grpc_metadata *first = NULL;
    struct grpc_metadata **begin = *tail;
    for (;;) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *item_end = comma != NULL ? comma : end;
        enum grpc_metadata_result result =
            keep_binary(arena, tail, first, field->name, value, (size_t)(item_end - value));
        if (result != GRPC_METADATA_KEPT || comma == NULL)
            return result;
        first = *begin;
        if (++*split > GRPC_METADATA_SPLIT_MAX)
            return GRPC_METADATA_TOO_MANY;
        value = comma + 1;
    }
}

static h2o_iovec_t metadata_value(const struct grpc_metadata *record)
{
    return (h2o_iovec_t){.base = (char *)record->value, .len = record->value_len};
}

h2o_iovec_t grpc_call_metadata_of(struct grpc_call *call, const char *name, size_t len)
{
    for (const struct grpc_metadata *m = call->metadata; m != NULL; m = m->next) {
        if (m->name_len == len && memcmp(m->name, name, len) == 0)
            return metadata_value(m);
    }
    return (h2o_iovec_t){.base = NULL};
}

bool grpc_call_metadata_at(struct grpc_call *call, size_t index, h2o_iovec_t *name,
                           h2o_iovec_t *value)
{
    const struct grpc_metadata *m = call->metadata;
    while (m != NULL && index-- != 0)
        m = m->next;
    if (m == NULL)
        return false;
    *name = (h2o_iovec_t){.base = (char *)m->name, .len = m->name_len};
    *value = metadata_value(m);
    return true;
}

void grpc_call_wipe_metadata(struct grpc_call *call, const char *name)
{
    size_t len = strlen(name);
    for (struct grpc_metadata *m = call->metadata; m != NULL; m = m->next) {
        if (m->name_len != len || memcmp(m->name, name, len) != 0)
            continue;
        explicit_bzero((char *)(uintptr_t)m->value, m->value_len);
        m->value_len = 0;
    }
}

/* ---- response metadata ---- */

/** Whether a method may use the name: lower case as HTTP/2 demands, and none of gRPC's own. */
static bool name_allowed(const char *name, size_t len)
{
    if (len == 0 || len > UINT16_MAX || strncmp(name, "grpc-", 5) == 0 ||
        strcmp(name, "content-type") == 0 || strcmp(name, "te") == 0)
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-.") == len;
}

/** Whether the text is printable ASCII, and not changed on its way. */
static bool text_allowed(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    }
    /* Spaces at the ends would not arrive (RFC 9113 8.2.1). */
    return len == 0 || (text[0] != ' ' && text[len - 1] != ' ');
}

bool grpc_metadata_respond(struct grpc_call *call, struct grpc_response_field **list,
                           const char *name, const void *value, size_t len)
{
    size_t name_len = strlen(name);
    bool binary = is_binary(name, name_len);
    size_t value_len = binary ? base64_encoded_length(len) : len;
    struct grpc_response_field *field =
        grpc_arena_alloc(&call->arena, sizeof(*field) + name_len + value_len);
    if (field == NULL)
        return false;
    char *text = (char *)(field + 1);
    memcpy(text, name, name_len);
    if (binary)
        base64_encode(text + name_len, value, len);
    else if (len != 0)
        memcpy(text + name_len, value, len);
    field->next = NULL;
    field->field = (struct http2_field){.name = text,
                                        .name_len = (uint16_t)name_len,
                                        .value = text + name_len,
                                        .value_len = (uint32_t)value_len};
    while (*list != NULL)
        list = &(*list)->next;
    *list = field;
    return true;
}

static bool add_response_field(struct grpc_call *call, struct grpc_response_field **list,
                               const char *name, const void *value, size_t len)
{
    size_t name_len = strlen(name);
    return name_allowed(name, name_len) && len <= UINT32_MAX / 2 &&
           (is_binary(name, name_len) || text_allowed(value, len)) &&
           grpc_metadata_respond(call, list, name, value, len);
}

bool grpc_call_add_initial_metadata(struct grpc_call *call, const char *name, const void *value,
                                    size_t len)
{
    return !call->headers_sent && !call->ended &&
           add_response_field(call, &call->initial, name, value, len);
}

bool grpc_call_add_trailing_metadata(struct grpc_call *call, const char *name, const void *value,
                                     size_t len)
{
    return !call->ended && add_response_field(call, &call->trailing, name, value, len);
}
