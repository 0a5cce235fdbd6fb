/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_verify.h"

#include <string.h>

#include "base/secret.h"
#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "service/directory/directory_fields.h"
#include "service/directory/directory_read.h"
#include "service/directory/directory_user.h"
#include "service/directory/directory_users.h"
#include "service/directory/verify_stand_in.h"
#include "service/passwords/credential.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"
#include "user/user_record.h"

enum {
    ROUNDS = 4, /* so often may a user's hash change while a password is verified */
};

struct verify_secret {
    size_t password_len;
    char password[PASSWORD_MAX];
    char hash[PASSWORD_HASH_MAX + 1]; /* to be verified, maybe for nothing; empty: there is none */
};

typedef Rosterd__Directory__V1__VerifyPasswordRequest verify_request;

/* ---- the user ---- */

/* @return as shm_user_find_key() */
static int verify_find(struct grpc_call *call, struct shm_user *user)
{
    const struct user_service *service = grpc_call_service_data(call);
    const struct directory_verify_call *verify = grpc_call_state(call);
    if (verify->by == VERIFY_BY_NAME)
        return shm_user_find(service->actor, verify->value, user);
    unsigned key = verify->by == VERIFY_BY_USERNAME ? USER_KEY_USERNAME : USER_KEY_EMAIL;
    return shm_user_find_key(service->actor, key, verify->value, verify->value_len, user);
}

/* Whether the user may log in with a password. @param record is the user's */
static bool may_log_in(const struct shm_user *user, struct user_record *record,
                       struct user_record_room *room)
{
    return user_record_decode(record, room, user->body, user->body_len, shm_user_hidden(user),
                              user->hidden_len) &&
           !record->disabled && record->secret.len != 0 && record->secret.len <= PASSWORD_HASH_MAX;
}

/* ---- answers ---- */

static void verify_refuse(struct grpc_call *call)
{
    const struct user_service *service = grpc_call_service_data(call);
    passwords_count(&service->passwords, PASSWORD_REFUSED);
    grpc_call_finish(call, GRPC_UNAUTHENTICATED, "the user or the password is wrong");
}

static void verify_fail(struct grpc_call *call, enum pool_outcome outcome)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct directory_verify_call *verify = grpc_call_state(call);
    verify_tries_give_back(call, &verify->tries);
    passwords_count(&service->passwords, PASSWORD_FAILED);
    password_work_fail(call, outcome);
}

/* Writes the new hash, only if nobody has changed the user since it was read. Otherwise the next
 * login tries again. The update time stays: nobody changed anything that can be seen. */
static void replace_hash(struct user_service *service, const struct shm_user *old,
                         struct user_record *record, const char *hash)
{
    uint8_t body[USER_BODY_MAX], hidden[USER_HIDDEN_MAX];
    const char *reason;
    record->secret = (struct user_text){.data = (const uint8_t *)hash, .len = strlen(hash)};
    if (!user_record_check(record, &reason))
        return; /* it has no room */
    struct shm_new_user user = {.body = body, .hidden = hidden, .if_version = old->version};
    memcpy(user.id, old->id, sizeof(user.id));
    user.body_len = (uint32_t)user_body_encode(body, &record->fields);
    user.hidden_len = (uint32_t)user_hidden_encode(hidden, record);
    if (shm_users_update(service->actor, &user, 1, NULL) == SHM_OK)
        passwords_count(&service->passwords, PASSWORD_REPLACED);
    explicit_bzero(hidden, user.hidden_len);
}

static void verify_submit(struct grpc_call *call);

/* The password is that of the hash. @param hash a new one, or empty */
static void verify_accept(struct grpc_call *call, const char *hash)
{
    struct user_service *service = grpc_call_service_data(call);
    struct directory_verify_call *verify = grpc_call_state(call);
    struct user_record_room room;
    struct user_record record;
    struct shm_user user;
    if (verify_find(call, &user) != SHM_OK || !may_log_in(&user, &record, &room)) {
        verify_refuse(call);
        return;
    }
    const struct user_text verified = {.data = (const uint8_t *)verify->secret->hash,
                                       .len = strlen(verify->secret->hash)};
    if (!user_text_equal(record.secret, verified)) {
        verify_submit(call);
        return;
    }
    verify_tries_give_back(call, &verify->tries);
    passwords_count(&service->passwords, PASSWORD_ACCEPTED);
    directory_user_send(call, &user, DIRECTORY_ALL);
    grpc_call_finish(call, GRPC_OK, NULL);
    if (hash[0] != '\0')
        replace_hash(service, &user, &record, hash);
}

static void on_verified(struct grpc_call *call, enum pool_outcome outcome, const char *hash)
{
    if (outcome == POOL_YES)
        verify_accept(call, hash);
    else if (outcome == POOL_NO)
        verify_refuse(call);
    else
        verify_fail(call, outcome);
}

/* ---- the call ---- */

/* Hands the password to the pool, with the hash that the user has now. */
static void verify_submit(struct grpc_call *call)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct directory_verify_call *verify = grpc_call_state(call);
    struct verify_secret *secret = verify->secret;
    struct user_record_room room;
    struct user_record record;
    struct shm_user user;
    struct pool_task task = {.operation = POOL_PRETEND,
                             .password = secret->password,
                             .password_len = secret->password_len,
                             .hash = secret->hash};
    if (verify->rounds++ == ROUNDS) {
        verify_tries_give_back(call, &verify->tries);
        passwords_count(&service->passwords, PASSWORD_FAILED);
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the user's password is changing, try again");
        return;
    }
    bool exists = verify_find(call, &user) == SHM_OK;
    if (exists && may_log_in(&user, &record, &room))
        task.operation = POOL_VERIFY;
    if (!exists || !verify_hash_of(&user, secret->hash))
        verify_stand_in(service, verify->by, verify->value, verify->value_len, secret->hash);
    if (password_work_submit(&service->passwords, &verify->work, call, &task, on_verified) ==
        POOL_SUBMITTED)
        return;
    verify_tries_give_back(call, &verify->tries);
    passwords_count(&service->passwords, PASSWORD_BUSY);
}

/* Keeps the password for the time of the call, counted in its connection's memory.
 * @return false: the call has ended */
static bool keep_password(struct grpc_call *call, const ProtobufCBinaryData *password)
{
    struct directory_verify_call *verify = grpc_call_state(call);
    struct verify_secret *secret = NULL;
    if (grpc_call_hold(call, sizeof(*secret)))
        secret = secret_alloc(sizeof(*secret));
    if (secret == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, directory_no_room);
        return false;
    }
    secret->hash[0] = '\0';
    secret->password_len = password->len;
    memcpy(secret->password, password->data, password->len);
    verify->secret = secret;
    return true;
}

/* @return the text of the key; NULL: it is not set */
static const ProtobufCBinaryData *verify_key(const verify_request *request,
                                             enum directory_verify_by *by)
{
    switch (request->key_case) {
    case ROSTERD__DIRECTORY__V1__VERIFY_PASSWORD_REQUEST__KEY_NAME:
        *by = VERIFY_BY_NAME;
        return &request->name;
    case ROSTERD__DIRECTORY__V1__VERIFY_PASSWORD_REQUEST__KEY_USERNAME:
        *by = VERIFY_BY_USERNAME;
        return &request->username;
    case ROSTERD__DIRECTORY__V1__VERIFY_PASSWORD_REQUEST__KEY_EMAIL:
        *by = VERIFY_BY_EMAIL;
        return &request->email;
    default:
        return NULL;
    }
}

/* Reads the key as the index has it. A text that no user can have as user name or e-mail is as good
 * as one that nobody has. @return false: the call has ended */
static bool take_verify_key(struct grpc_call *call, const verify_request *request,
                            const ProtobufCBinaryData **text)
{
    struct directory_verify_call *verify = grpc_call_state(call);
    const ProtobufCBinaryData *key = *text = verify_key(request, &verify->by);
    struct shm_user user;
    if (key == NULL) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, "key is not set: name, username or email");
        return false;
    }
    if (verify->by == VERIFY_BY_NAME) {
        verify->value_len = UUID_SIZE;
        if (directory_name_parse(key, verify->value))
            return true;
        directory_refuse_name(call, "name", key);
        return false;
    }
    unsigned which = verify->by == VERIFY_BY_USERNAME ? USER_KEY_USERNAME : USER_KEY_EMAIL;
    if (key->len <= USER_USERNAME_MAX)
        verify->value_len = user_key_of_text(
            which, (struct user_text){.data = key->data, .len = key->len}, verify->value);
    if (verify_find(call, &user) != SHM_EINVAL)
        return true;
    directory_refuse_key(call, which);
    return false;
}

void directory_verify_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct directory_verify_call *verify = grpc_call_state(call);
    const verify_request *request = (verify_request *)message;
    const ProtobufCBinaryData *key;
    struct fault fault;
    if (!take_verify_key(call, request, &key))
        return;
    if (!credential_check_password(request->password.len, &fault)) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, fault.text);
        return;
    }
    if (!password_work_possible(&service->passwords, call) ||
        !keep_password(call, &request->password))
        return;
    if (verify->value_len != 0)
        verify_tries_take(call, &verify->tries, verify->by, verify->value, verify->value_len,
                          verify_submit);
    else
        verify_tries_take(call, &verify->tries, verify->by, key->data, key->len, verify_submit);
}

void directory_verify_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct directory_verify_call *verify = grpc_call_state(call);
    (void)status;
    verify_tries_end(call, &verify->tries);
    password_work_cancel(&verify->work);
    secret_free(verify->secret, sizeof(*verify->secret));
}
