/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_user.h"

#include <endian.h>
#include <string.h>

#include "service/directory/directory_fields.h"
#include "user/etag.h"
#include "user/user_record.h"
#include "user/user_tags.h"
#include "user/wire.h"

/* Tags of User's fields: number << 3 | wire type. */
enum {
    TAG_NAME = 0x0a,
    TAG_ROLES = 0x22,
    TAG_DISABLED = 0x28,
    TAG_LABELS = 0x32,
    TAG_ETAG = 0x3a,
    TAG_HAS_PASSWORD = 0x40,
    TAG_CREATE_TIME = 0x4a,
    TAG_UPDATE_TIME = 0x52,
    TAG_SECONDS = 0x08,
    TAG_NANOS = 0x10,
};

static const char prefix[] = "users/";
enum { PREFIX_LEN = sizeof(prefix) - 1, SECOND = 1000000000 };

/* ---- names ---- */

bool directory_name_parse(const ProtobufCBinaryData *text, uint8_t id[UUID_SIZE])
{
    return text->len == DIRECTORY_NAME_SIZE && memcmp(text->data, prefix, PREFIX_LEN) == 0 &&
           uuid_parse(id, text->data + PREFIX_LEN, text->len - PREFIX_LEN);
}

void directory_name_format(char out[DIRECTORY_NAME_SIZE], const uint8_t id[UUID_SIZE])
{
    memcpy(out, prefix, PREFIX_LEN);
    uuid_format(out + PREFIX_LEN, id);
}

/* ---- a user ---- */

/* A time whose varint has five bytes, which is one of the years 1978 to 3058: its field has eight
 * bytes. @param varint those five, the first one lowest */
static inline uint8_t *put_usual_time(uint8_t *out, uint8_t tag, uint64_t varint)
{
    enum { SIZE = 6 }; /* of the Timestamp */
    uint64_t field = htole64(tag | SIZE << 8 | TAG_SECONDS << 16 | varint << 24);
    memcpy(out, &field, sizeof(field));
    return out + sizeof(field);
}

static __attribute__((noinline)) uint8_t *put_any_time(uint8_t *out, uint8_t tag, int64_t seconds,
                                                       uint32_t nanos)
{
    uint8_t *size = out + 1, *begin = out + 2;
    *out = tag;
    out = begin;
    if (seconds != 0) {
        *out++ = TAG_SECONDS;
        out = wire_put_varint(out, (uint64_t)seconds);
    }
    if (nanos != 0) {
        *out++ = TAG_NANOS;
        out = wire_put_varint(out, nanos);
    }
    *size = (uint8_t)(out - begin);
    return out;
}

static uint8_t *put_nanoseconds(uint8_t *out, uint8_t tag, int64_t time)
{
    int64_t seconds = time / SECOND, nanos = time % SECOND;
    if (nanos < 0) {
        seconds--;
        nanos += SECOND;
    }
    return put_any_time(out, tag, seconds, (uint32_t)nanos);
}

/* Nearly every body has a user name, an e-mail, a time of creation as put_usual_time() takes it,
 * and roles, each shorter than 128 bytes. Such a body is checked and copied without reading its
 * numbers.
 * @param created set to the varint
 * @return NULL: the body is another one; then what was written, and *created, mean nothing */
static inline uint8_t *put_usual_body(uint8_t *out, const struct shm_user *user, uint64_t *created)
{
    const uint8_t *body = user->body, *end = body + user->body_len;
    const uint8_t *email, *time;
    uint32_t low;
    enum { TIME_SIZE = 6 };
    if (user->body_len < 2 || body[0] != USER_TAG_USERNAME || body[1] >= 0x80)
        return NULL;
    email = body + 2 + body[1];
    if (end - email < 2 || email[0] != USER_TAG_EMAIL || email[1] >= 0x80)
        return NULL;
    time = email + 2 + email[1];
    if (end - time < TIME_SIZE || time[0] != USER_TAG_CREATED_AT)
        return NULL;
    memcpy(&low, time + 1, sizeof(low));
    low = le32toh(low);
    if ((low & 0x80808080) != 0x80808080 || time[5] >= 0x80)
        return NULL;
    *created = low | (uint64_t)time[5] << 32;
    /* User name and e-mail have the numbers that they have here. */
    uint8_t *to = wire_copy(out, body, (size_t)(time - body));
    for (const uint8_t *role = time + TIME_SIZE; role != end;) {
        if (end - role < 2 || role[0] != USER_TAG_ROLES)
            return NULL;
        const size_t len = role[1];
        if (len >= 0x80 || (size_t)(end - role - 2) < len)
            return NULL;
        to[0] = TAG_ROLES;
        to[1] = (uint8_t)len;
        to = wire_copy(to + 2, role + 2, len);
        role += 2 + len;
    }
    return to;
}

/* Any body. @param created set to the seconds, if they are there */
static __attribute__((noinline)) uint8_t *put_body(uint8_t *out, const struct shm_user *user,
                                                   unsigned fields, int64_t *created)
{
    struct wire_reader reader = {.at = user->body, .end = user->body + user->body_len};
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.tag == USER_TAG_USERNAME && (fields & DIRECTORY_USERNAME) != 0)
            out = wire_put_bytes(out, USER_TAG_USERNAME, field.bytes, field.value);
        else if (field.tag == USER_TAG_EMAIL && (fields & DIRECTORY_EMAIL) != 0)
            out = wire_put_bytes(out, USER_TAG_EMAIL, field.bytes, field.value);
        else if (field.tag == USER_TAG_CREATED_AT)
            *created = (int64_t)field.value;
        else if (field.tag == USER_TAG_ROLES && (fields & DIRECTORY_ROLES) != 0)
            out = wire_put_bytes(out, TAG_ROLES, field.bytes, field.value);
    }
    return out;
}

/* @param has_password set if the user has a secret
 * @param updated set to the time of the last update, if there was one */
static uint8_t *put_hidden(uint8_t *out, const struct shm_user *user, unsigned fields,
                           bool *has_password, int64_t *updated)
{
    const uint8_t *hidden = shm_user_hidden(user);
    struct wire_reader reader = {.at = hidden, .end = hidden + user->hidden_len};
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.tag == USER_TAG_DISABLED && field.value != 0 &&
            (fields & DIRECTORY_DISABLED) != 0) {
            *out++ = TAG_DISABLED;
            *out++ = 1;
        } else if (field.tag == USER_TAG_LABELS && (fields & DIRECTORY_LABELS) != 0) {
            out = wire_put_bytes(out, TAG_LABELS, field.bytes, field.value);
        } else if (field.tag == USER_TAG_UPDATE_TIME) {
            *updated = (int64_t)wire_get_fixed64(field.bytes);
        } else if (field.tag == USER_TAG_SECRET) {
            *has_password = field.value != 0;
        }
    }
    return out;
}

static inline uint8_t *put_creation(uint8_t *out, uint8_t tag, uint64_t usual, int64_t created)
{
    return usual != 0 ? put_usual_time(out, tag, usual) : put_any_time(out, tag, created, 0);
}

size_t directory_user_encode(uint8_t *out, const struct shm_user *user, unsigned fields)
{
    enum { OF_BODY = DIRECTORY_USERNAME | DIRECTORY_EMAIL | DIRECTORY_ROLES };
    uint8_t *begin = out, *end;
    uint64_t usual = 0; /* the time of creation, if put_usual_time() takes it */
    int64_t created = 0, updated = INT64_MIN;
    bool has_password = false;
    if (directory_user_bound(user) > DIRECTORY_USER_MAX)
        return 0;
    if ((fields & DIRECTORY_NAME) != 0) {
        static const char begin_of_name[8] = {
            TAG_NAME, DIRECTORY_NAME_SIZE, 'u', 's', 'e', 'r', 's', '/'};
        memcpy(out, begin_of_name, sizeof(begin_of_name));
        uuid_format((char *)out + sizeof(begin_of_name), user->id);
        out += 2 + DIRECTORY_NAME_SIZE;
    }
    end = (fields & OF_BODY) == OF_BODY ? put_usual_body(out, user, &usual) : NULL;
    if (end == NULL) {
        usual = 0;
        end = put_body(out, user, fields, &created);
    }
    out = end;
    if (user->hidden_len != 0)
        out = put_hidden(out, user, fields, &has_password, &updated);
    if ((fields & DIRECTORY_ETAG) != 0) {
        size_t len = user_etag_format((char *)out + 2, user->version);
        out[0] = TAG_ETAG;
        out[1] = (uint8_t)len;
        out += 2 + len;
    }
    if (has_password && (fields & DIRECTORY_HAS_PASSWORD) != 0) {
        *out++ = TAG_HAS_PASSWORD;
        *out++ = 1;
    }
    if ((fields & DIRECTORY_CREATE_TIME) != 0)
        out = put_creation(out, TAG_CREATE_TIME, usual, created);
    if ((fields & DIRECTORY_UPDATE_TIME) != 0)
        out = updated != INT64_MIN ? put_nanoseconds(out, TAG_UPDATE_TIME, updated)
                                   : put_creation(out, TAG_UPDATE_TIME, usual, created);
    return (size_t)(out - begin);
}

void directory_user_send(struct grpc_call *call, const struct shm_user *user, unsigned fields)
{
    uint8_t bytes[DIRECTORY_USER_MAX];
    size_t len = directory_user_encode(bytes, user, fields);
    uint8_t *to = grpc_call_reserve(call, len);
    if (to == NULL)
        return;
    memcpy(to, bytes, len);
    grpc_call_commit(call);
}
