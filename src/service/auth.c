/* SPDX-License-Identifier: MIT */
#include "service/auth.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/core/chain.h"
#include "service/core/scope.h"

struct auth {
    struct token_file file;
};

struct auth *auth_load(const char *path, char warning[AUTH_WARNING_SIZE], struct fault *fault)
{
    warning[0] = '\0';
    struct auth *auth = calloc(1, sizeof(*auth));
    if (auth == NULL) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    if (token_file_read(&auth->file, path, warning, fault))
        return auth;
    auth_free(auth);
    return NULL;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    token_file_free(&auth->file);
    free(auth);
}

size_t auth_count(const struct auth *auth)
{
    return auth->file.table->count;
}

bool auth_has_scope(const struct auth *auth, unsigned scopes)
{
    const struct token_table *table = auth->file.table;
    for (size_t i = 0; i <= table->mask; i++)
        if (table->slots[i].name != NULL && (table->slots[i].scopes & scopes) != 0)
            return true;
    return false;
}

/* ---- checking a token ---- */

/* "Bearer" and a space, with letters of either case: setting bit 5 makes them lower case, and makes
 * those letters of nothing else. */
static bool is_bearer(const char *value, size_t len)
{
    static const char scheme[8] = "bearer ";
    uint64_t given, expected, cases, seven;
    if (len < sizeof(given))
        return false;
    memcpy(&given, value, sizeof(given));
    memcpy(&expected, scheme, sizeof(expected));
    memcpy(&cases, "\x20\x20\x20\x20\x20\x20\0\0", sizeof(cases));
    memcpy(&seven, "\xff\xff\xff\xff\xff\xff\xff\0", sizeof(seven));
    return (((given | cases) ^ expected) & seven) == 0;
}

/* Tries the digest of what the client sent. Not inlined, so that a file without hashed tokens costs
 * nothing. */
static __attribute__((noinline)) const struct token *find_hashed(const struct token_file *file,
                                                                 const char *text, size_t len)
{
    uint8_t digest[TOKEN_DIGEST_SIZE];
    return token_digest_of(file->digest, text, len, digest)
               ? token_table_find_digest(file->table, digest)
               : NULL;
}

struct auth_caller auth_find(const struct auth *auth, const char *value, size_t len)
{
    static const struct auth_caller nobody = {.name = NULL};
    const struct token_file *file = &auth->file;
    size_t at = 7;
    if (!is_bearer(value, len))
        return nobody;
    while (at < len && value[at] == ' ')
        at++;
    if (at == len || len - at > AUTH_TOKEN_MAX)
        return nobody;
    const struct token *token = token_table_find(file->table, value + at, len - at);
    if (token == NULL && file->digest != NULL)
        token = find_hashed(file, value + at, len - at);
    return token == NULL ? nobody : (struct auth_caller){token->name, token->scopes};
}

/* ---- the step in the chain: checks the token of each call ---- */

/* An unknown method is treated as one that touches no user: the token decides who learns that it is
 * unknown. */
static enum grpc_status auth_on_start(struct grpc_call *call, void *data, const char **message)
{
    const struct chain_config *config = data;
    h2o_iovec_t value = grpc_call_metadata(call, "authorization");
    struct auth_caller caller = {.name = NULL};
    if (value.base != NULL)
        caller = auth_find(config->auth, value.base, value.len);
    grpc_call_wipe_metadata(call, "authorization");
    const struct grpc_method *method = grpc_call_method(call);
    unsigned access = method == NULL ? SCOPE_CALL : method->access;
    if (caller.name != NULL)
        grpc_call_set_identity(call, caller.name);
    if (scope_permits(caller.scopes, access))
        return GRPC_OK;
    if (caller.name != NULL) {
        *message = scope_refusal(access);
        return GRPC_PERMISSION_DENIED;
    }
    *message = "Invalid token";
    return GRPC_UNAUTHENTICATED;
}

void auth_step(struct grpc_interceptor *step, const struct chain_config *config)
{
    if (config->auth != NULL)
        *step =
            (struct grpc_interceptor){.start = auth_on_start, .data = (void *)(uintptr_t)config};
}
