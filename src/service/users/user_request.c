/* SPDX-License-Identifier: MIT */
#include "service/users/user_request.h"

#include <string.h>

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

static inline bool check_fields(const Userservice__CreateUserRequest *request, const char **reason)
{
    const struct user_fields fields = fields_of(request);
    if (!user_check(&fields, reason))
        return false;
    if (request->password.len > USER_PASSWORD_MAX) {
        *reason = "password is longer than 1024 bytes";
        return false;
    }
    return true;
}

bool user_request_check_to_store(const Userservice__CreateUserRequest *request, const char **reason)
{
    return check_fields(request, reason);
}

bool user_request_check(Userservice__CreateUserRequest *request, const char **reason)
{
    bool good = check_fields(request, reason);
    if (request->password.len != 0)
        explicit_bzero(request->password.data, request->password.len);
    return good;
}

size_t user_request_encode(uint8_t *out, const Userservice__CreateUserRequest *request,
                           int64_t created_at)
{
    struct user_fields fields = fields_of(request);
    fields.created_at = created_at;
    return user_body_encode(out, &fields);
}
