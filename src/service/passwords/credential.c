/* SPDX-License-Identifier: MIT */
#include "service/passwords/credential.h"

#include <string.h>

#include "password/password.h"

bool credential_check_password(size_t len, struct fault *fault)
{
    if (len == 0)
        return fault_set(fault, "password is empty");
    return len <= PASSWORD_MAX ||
           fault_set(fault, "password is longer than %d bytes", PASSWORD_MAX);
}

static bool check_imported_hash(const struct credential *credential, struct fault *fault)
{
    static const struct password_limits limits = PASSWORD_LIMITS_DEFAULT;
    char hash[PASSWORD_HASH_MAX + 1];
    if (credential->len == 0)
        return true;
    if (credential->len > PASSWORD_HASH_MAX)
        return fault_set(fault, "password_hash is longer than %d bytes", PASSWORD_HASH_MAX);
    if (memchr(credential->data, '\0', credential->len) != NULL)
        return fault_set(fault, "password_hash contains U+0000");
    memcpy(hash, credential->data, credential->len);
    hash[credential->len] = '\0';
    bool good = password_check_format(hash, &limits, fault);
    explicit_bzero(hash, sizeof(hash));
    return good || fault_prefix(fault, "password_hash");
}

bool credential_check(const struct credential *credential, struct fault *fault)
{
    switch (credential->kind) {
    case CREDENTIAL_PASSWORD:
        return credential_check_password(credential->len, fault);
    case CREDENTIAL_HASH:
        return check_imported_hash(credential, fault);
    default:
        return true;
    }
}
