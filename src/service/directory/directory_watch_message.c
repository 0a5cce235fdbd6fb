/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_watch_message.h"

#include <string.h>

#include "service/directory/directory_fields.h"
#include "user/wire.h"

/* Tags of WatchUsersResponse's fields: number << 3 | wire type. */
enum { TAG_TYPE = 0x08, TAG_USER = 0x12, TAG_RESUME = 0x1a };

/* ---- tokens ---- */

enum {
    AT_VERSION = DIRECTORY_TABLE_SIZE,
    AT_KNOWN = AT_VERSION + 8,
    AT_DONE = AT_KNOWN + 8,
    RESUME_VALUE = AT_DONE + 2, /* without ranges */
    CHECK = SEALED_RAW_SIZE - RESUME_VALUE,
    CREATES_BIT = 1 << 15, /* of done: a commit has fewer changes */
    AMONG_MAX = 10,        /* a varint */
    RANGE_MAX = 3 * 10,    /* three varints */
};
#define AMONG_BIT (UINT64_C(1) << 63) /* of known_seq: numbers are at most INT64_MAX */

_Static_assert(RESUME_VALUE + AMONG_MAX + DIRECTORY_RESUME_LATE * RANGE_MAX + CHECK <=
                   SEALED_RAW_MAX,
               "room for all ranges");
_Static_assert((int)SHM_BATCH_MAX < (int)CREATES_BIT, "done");

/* First `among`, if AMONG_BIT is set. A range is its first number, which is not 0, how many more
 * there are, and how many commits after the token's its version is. Zeros fill the text up. */
static size_t put_rest(uint8_t raw[SEALED_RAW_MAX], const struct directory_resume *resume)
{
    uint8_t *out = raw + RESUME_VALUE;
    if (resume->among != 0)
        out = wire_put_varint(out, resume->among);
    for (unsigned i = 0; i < resume->late_count; i++) {
        const struct directory_late_range *range = &resume->late[i];
        out = wire_put_varint(out, range->first);
        out = wire_put_varint(out, range->last - range->first);
        out = wire_put_varint(out, range->version - resume->version);
    }
    while ((out - raw + CHECK) % 3 != 0)
        *out++ = 0;
    return (size_t)(out - raw);
}

/* @return where the next one begins; NULL: this is no range */
static const uint8_t *get_range(const uint8_t *at, const uint8_t *end,
                                const struct directory_resume *resume,
                                struct directory_late_range *range)
{
    uint64_t more = 0, later = 0;
    at = wire_get_varint(at, end, &range->first);
    if (at != NULL)
        at = wire_get_varint(at, end, &more);
    if (at != NULL)
        at = wire_get_varint(at, end, &later);
    range->last = range->first + more;
    range->version = resume->version + later;
    return range->last >= range->first && range->version >= resume->version ? at : NULL;
}

static bool get_rest(const uint8_t *at, const uint8_t *end, bool among,
                     struct directory_resume *resume)
{
    resume->late_count = 0;
    resume->among = 0;
    if (among) {
        at = wire_get_varint(at, end, &resume->among);
        if (at == NULL)
            return false;
    }
    while (at != end && *at != 0) {
        if (resume->late_count == DIRECTORY_RESUME_LATE)
            return false;
        at = get_range(at, end, resume, &resume->late[resume->late_count]);
        if (at == NULL)
            return false;
        resume->late_count++;
    }
    return true;
}

size_t directory_resume_format(char text[DIRECTORY_RESUME_MAX],
                               const struct directory_resume *resume)
{
    uint8_t raw[SEALED_RAW_MAX];
    uint16_t done = resume->done | (resume->creates ? CREATES_BIT : 0);
    memcpy(raw, resume->table, DIRECTORY_TABLE_SIZE);
    sealed_put_number(raw + AT_VERSION, resume->version);
    sealed_put_number(raw + AT_KNOWN, resume->known_seq | (resume->among != 0 ? AMONG_BIT : 0));
    raw[AT_DONE] = (uint8_t)(done >> 8);
    raw[AT_DONE + 1] = (uint8_t)done;
    size_t len = put_rest(raw, resume);
    sealed_text_format(text, raw, len + CHECK, len, SEALED_WATCH_TOKEN);
    return (len + CHECK) / 3 * 4;
}

bool directory_resume_parse(struct directory_resume *resume, const ProtobufCBinaryData *text)
{
    uint8_t raw[SEALED_RAW_MAX];
    size_t size = text->len / 4 * 3;
    if (size < SEALED_RAW_SIZE || size > SEALED_RAW_MAX ||
        !sealed_text_parse(raw, size, size - CHECK, SEALED_WATCH_TOKEN, text->data, text->len))
        return false;
    memcpy(resume->table, raw, DIRECTORY_TABLE_SIZE);
    resume->version = sealed_get_number(raw + AT_VERSION);
    uint64_t known = sealed_get_number(raw + AT_KNOWN);
    resume->known_seq = known & ~AMONG_BIT;
    unsigned done = (unsigned)raw[AT_DONE] << 8 | raw[AT_DONE + 1];
    resume->done = (uint16_t)(done & ~(unsigned)CREATES_BIT);
    resume->creates = (done & CREATES_BIT) != 0;
    return get_rest(raw + RESUME_VALUE, raw + size - CHECK, (known & AMONG_BIT) != 0, resume);
}

/* ---- messages ---- */

uint8_t *directory_watch_put_type(uint8_t *out, unsigned type)
{
    *out++ = TAG_TYPE;
    *out++ = (uint8_t)type;
    return out;
}

void directory_watch_set_type(uint8_t *message, unsigned type)
{
    message[1] = (uint8_t)type;
}

uint8_t *directory_watch_put_user(uint8_t *out, const struct shm_user *user, unsigned fields)
{
    uint8_t bytes[DIRECTORY_USER_MAX];
    size_t len = directory_user_encode(bytes, user, fields);
    return wire_put_bytes(out, TAG_USER, bytes, len);
}

uint8_t *directory_watch_put_name(uint8_t *out, const uint8_t id[UUID_SIZE])
{
    const struct shm_user user = {.id = id, .body = id}; /* of no byte */
    return directory_watch_put_user(out, &user, DIRECTORY_NAME);
}

uint8_t *directory_watch_put_token(uint8_t *out, const struct directory_resume *resume)
{
    char text[DIRECTORY_RESUME_MAX];
    size_t len = directory_resume_format(text, resume);
    return wire_put_bytes(out, TAG_RESUME, text, len);
}
