/* SPDX-License-Identifier: MIT */
#include "service/users/user_request.h"

static inline struct user_fields fields_of(const Userservice__CreateUserRequest *request)
{
    static const struct user_text role = {.data = (const uint8_t *)"user", .len = 4};
    return (struct user_fields){
        .username = {.data = request->username.data, .len = request->username.len},
        .email = {.data = request->email.data, .len = request->email.len},
        .roles = &role,
        .num_roles = 1,
    };
}

const char *user_request_check(const Userservice__CreateUserRequest *request)
{
    const struct user_fields fields = fields_of(request);
    const char *reason;
    if (!user_check(&fields, &reason))
        return reason;
    if (request->password.len > USER_PASSWORD_MAX)
        return "password is longer than 1024 bytes";
    return NULL;
}

size_t user_request_encode(uint8_t *out, const Userservice__CreateUserRequest *request,
                           int64_t created_at)
{
    struct user_fields fields = fields_of(request);
    fields.created_at = created_at;
    return user_body_encode(out, &fields);
}
