/* SPDX-License-Identifier: MIT */
#include "user/user.h"

#include <assert.h>
#include <string.h>

#include "user/reason.h"
#include "user/user_tags.h"
#include "user/wire.h"

/* ---- checks ---- */

static bool has_nul(struct user_text text)
{
    return text.len != 0 && memchr(text.data, 0, text.len) != NULL;
}

static bool check_email(struct user_text email, const char **reason)
{
    if (email.len == 0)
        return true;
    if (email.len > USER_EMAIL_MAX)
        return give_reason(reason, "email is longer than 254 bytes");
    if (has_nul(email))
        return give_reason(reason, "email contains U+0000");
    const uint8_t *end = email.data + email.len;
    const uint8_t *at = memchr(email.data, '@', email.len);
    if (at == NULL || at == email.data || at + 1 == end ||
        memchr(at + 1, '@', (size_t)(end - at) - 1) != NULL)
        return give_reason(reason, "email must have one @ with text on both sides");
    return true;
}

bool user_check(const struct user_fields *fields, const char **reason)
{
    if (fields->username.len == 0)
        return give_reason(reason, "username is required");
    if (fields->username.len > USER_USERNAME_MAX)
        return give_reason(reason, "username is longer than 255 bytes");
    if (has_nul(fields->username))
        return give_reason(reason, "username contains U+0000");
    return check_email(fields->email, reason);
}

static bool check_role(struct user_text role, const char **reason)
{
    if (role.len == 0)
        return give_reason(reason, "a role is empty");
    if (role.len > USER_ROLE_MAX)
        return give_reason(reason, "a role is longer than 64 bytes");
    for (size_t i = 0; i < role.len; i++)
        if (role.data[i] < 0x20 || role.data[i] == 0x7f || role.data[i] == ',')
            return give_reason(reason, "a role contains a comma or a control character");
    return true;
}

bool user_check_roles(const struct user_fields *fields, const char **reason)
{
    if (fields->num_roles > USER_ROLES_MAX)
        return give_reason(reason, "there are more than 32 roles");
    for (size_t i = 0; i < fields->num_roles; i++) {
        const struct user_text role = fields->roles[i];
        if (!check_role(role, reason))
            return false;
        for (size_t k = 0; k < i; k++)
            if (user_text_equal(role, fields->roles[k]))
                return give_reason(reason, "a role is named twice");
    }
    return true;
}

/* ---- bodies ---- */

size_t user_body_encode(uint8_t *out, const struct user_fields *fields)
{
    uint8_t *p =
        wire_put_bytes(out, USER_TAG_USERNAME, fields->username.data, fields->username.len);
    if (fields->email.len != 0)
        p = wire_put_bytes(p, USER_TAG_EMAIL, fields->email.data, fields->email.len);
    if (fields->created_at != 0) {
        *p++ = USER_TAG_CREATED_AT;
        p = wire_put_varint(p, (uint64_t)fields->created_at);
    }
    for (size_t i = 0; i < fields->num_roles; i++)
        p = wire_put_bytes(p, USER_TAG_ROLES, fields->roles[i].data, fields->roles[i].len);
    return (size_t)(p - out);
}

bool user_body_decode(struct user_fields *fields, struct user_text roles[USER_ROLES_MAX],
                      const uint8_t *body, size_t body_len)
{
    struct wire_reader reader = {.at = body, .end = body + body_len};
    struct wire_field field;
    *fields = (struct user_fields){.roles = roles};
    while (wire_next(&reader, &field)) {
        const struct user_text text = {.data = field.bytes, .len = field.value};
        switch (field.tag) {
        case USER_TAG_USERNAME:
            fields->username = text;
            break;
        case USER_TAG_EMAIL:
            fields->email = text;
            break;
        case USER_TAG_CREATED_AT:
            fields->created_at = (int64_t)field.value;
            break;
        case USER_TAG_ROLES:
            if (fields->num_roles == USER_ROLES_MAX)
                return false;
            roles[fields->num_roles++] = text;
            break;
        default:
            break;
        }
    }
    return reader.at == reader.end;
}

/* ---- keys ---- */

const char *user_key_name(unsigned key)
{
    assert(key < USER_KEYS);
    return key == USER_KEY_USERNAME ? "username" : "email";
}

/** Turns the ASCII letters of an e-mail's domain into lower case. */
static void fold_domain(uint8_t *email, size_t len)
{
    uint8_t *at = memrchr(email, '@', len), *end = email + len;
    if (at == NULL)
        return;
    for (; at < end; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (uint8_t)(*at + ('a' - 'A'));
}

uint32_t user_key_of_text(unsigned key, struct user_text text, uint8_t *out)
{
    if (text.len == 0 || text.len > USER_KEY_MAX)
        return 0;
    memcpy(out, text.data, text.len);
    if (key == USER_KEY_EMAIL)
        fold_domain(out, text.len);
    return (uint32_t)text.len;
}

uint32_t user_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    const uint64_t tag = key == USER_KEY_USERNAME ? USER_TAG_USERNAME : USER_TAG_EMAIL;
    struct wire_reader reader = {.at = body, .end = body + body_len};
    struct wire_field field;
    /* user_body_encode() writes each field once, in ascending order. */
    while (wire_next(&reader, &field) && field.tag <= tag)
        if (field.tag == tag)
            return user_key_of_text(key, (struct user_text){field.bytes, field.value}, out);
    return 0;
}
