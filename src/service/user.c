/* SPDX-License-Identifier: MIT */
#include "service/user.h"

#include <stdbool.h>

#include "service/wire.h"

static bool has_nul(const ProtobufCBinaryData *text)
{
    return text->len != 0 && memchr(text->data, 0, text->len) != NULL;
}

static const char *check_email(const ProtobufCBinaryData *email)
{
    if (email->len == 0)
        return NULL;
    if (email->len > USER_EMAIL_MAX)
        return "email is longer than 254 bytes";
    if (has_nul(email))
        return "email contains U+0000";
    const uint8_t *end = email->data + email->len;
    const uint8_t *at = memchr(email->data, '@', email->len);
    if (at == NULL || at == email->data || at + 1 == end ||
        memchr(at + 1, '@', (size_t)(end - at) - 1) != NULL)
        return "email must have one @ with text on both sides";
    return NULL;
}

const char *user_check(const Userservice__CreateUserRequest *request)
{
    if (request->username.len == 0)
        return "username is required";
    if (request->username.len > USER_USERNAME_MAX)
        return "username is longer than 255 bytes";
    if (has_nul(&request->username))
        return "username contains U+0000";
    const char *fault = check_email(&request->email);
    if (fault != NULL)
        return fault;
    if (request->password.len > USER_PASSWORD_MAX)
        return "password is longer than 1024 bytes";
    return NULL;
}

size_t user_body_encode(uint8_t *out, const Userservice__CreateUserRequest *request,
                        int64_t created_at)
{
    uint8_t *p = wire_put_bytes(out, 0x12, request->username.data, request->username.len);
    if (request->email.len != 0)
        p = wire_put_bytes(p, 0x1a, request->email.data, request->email.len);
    if (created_at != 0) {
        *p++ = 0x20;
        p = wire_put_varint(p, (uint64_t)created_at);
    }
    p = wire_put_bytes(p, 0x2a, "user", 4);
    return (size_t)(p - out);
}
