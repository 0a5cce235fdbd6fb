/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_credential.h"

#include "service/users/user_reply.h"

static struct credential credential_of(enum credential_kind kind, const ProtobufCBinaryData *text)
{
    return (struct credential){.kind = kind, .data = text->data, .len = text->len};
}

struct credential
directory_create_credential(const Rosterd__Directory__V1__CreateUserRequest *request)
{
    switch (request->credential_case) {
    case ROSTERD__DIRECTORY__V1__CREATE_USER_REQUEST__CREDENTIAL_PASSWORD:
        return credential_of(CREDENTIAL_PASSWORD, &request->password);
    case ROSTERD__DIRECTORY__V1__CREATE_USER_REQUEST__CREDENTIAL_PASSWORD_HASH:
        return credential_of(CREDENTIAL_HASH, &request->password_hash);
    default:
        return (struct credential){.kind = CREDENTIAL_NONE};
    }
}

struct credential
directory_set_credential(const Rosterd__Directory__V1__SetPasswordRequest *request)
{
    switch (request->credential_case) {
    case ROSTERD__DIRECTORY__V1__SET_PASSWORD_REQUEST__CREDENTIAL_PASSWORD:
        return credential_of(CREDENTIAL_PASSWORD, &request->password);
    case ROSTERD__DIRECTORY__V1__SET_PASSWORD_REQUEST__CREDENTIAL_PASSWORD_HASH:
        return credential_of(CREDENTIAL_HASH, &request->password_hash);
    default:
        return (struct credential){.kind = CREDENTIAL_NONE};
    }
}

bool directory_check_credential(struct grpc_call *call, const struct credential *credential)
{
    struct fault fault;
    if (credential_check(credential, &fault))
        return true;
    user_refuse(call, GRPC_INVALID_ARGUMENT, fault.text);
    return false;
}
