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
    RESUME_VALUE = AT_DONE + 2,
};
#define UNSURE_BIT (UINT64_C(1) << 63) /* of known_seq: numbers are at most INT64_MAX */

void directory_resume_format(char text[DIRECTORY_RESUME_SIZE],
                             const struct directory_resume *resume)
{
    uint8_t raw[SEALED_RAW_SIZE];
    memcpy(raw, resume->table, DIRECTORY_TABLE_SIZE);
    sealed_put_number(raw + AT_VERSION, resume->version);
    sealed_put_number(raw + AT_KNOWN, resume->known_seq | (resume->unsure ? UNSURE_BIT : 0));
    raw[AT_DONE] = (uint8_t)(resume->done >> 8);
    raw[AT_DONE + 1] = (uint8_t)resume->done;
    sealed_text_format(text, raw, RESUME_VALUE, SEALED_WATCH_TOKEN);
}

bool directory_resume_parse(struct directory_resume *resume, const ProtobufCBinaryData *text)
{
    uint8_t raw[SEALED_RAW_SIZE];
    if (!sealed_text_parse(raw, RESUME_VALUE, SEALED_WATCH_TOKEN, text->data, text->len))
        return false;
    memcpy(resume->table, raw, DIRECTORY_TABLE_SIZE);
    resume->version = sealed_get_number(raw + AT_VERSION);
    uint64_t known = sealed_get_number(raw + AT_KNOWN);
    resume->known_seq = known & ~UNSURE_BIT;
    resume->unsure = (known & UNSURE_BIT) != 0;
    resume->done = (uint16_t)(raw[AT_DONE] << 8 | raw[AT_DONE + 1]);
    return true;
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
    char text[DIRECTORY_RESUME_SIZE];
    directory_resume_format(text, resume);
    return wire_put_bytes(out, TAG_RESUME, text, sizeof(text));
}
