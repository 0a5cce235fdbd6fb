/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_write.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "service/directory/directory_attempt.h"
#include "service/directory/directory_credential.h"
#include "service/directory/directory_fields.h"
#include "service/directory/directory_read.h"
#include "service/directory/directory_record.h"
#include "service/directory/directory_user.h"
#include "service/directory/directory_write_answer.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"
#include "user/etag.h"

enum { BYTES = USER_BODY_MAX + USER_HIDDEN_MAX };

/* ---- what a call that waits keeps ---- */

/* Copies a hash to secret memory. Once for each call. @return false: out of memory */
static bool keep_secret(struct directory_write_call *write, struct user_text secret)
{
    assert(write->secret_memory == NULL && secret.len <= USER_SECRET_MAX);
    write->secret_memory = secret_alloc(USER_SECRET_MAX);
    if (write->secret_memory == NULL)
        return false;
    memcpy(write->secret_memory, secret.data, secret.len);
    write->secret = (struct user_text){.data = write->secret_memory, .len = secret.len};
    return true;
}

/* Copies what is the request's. What has passed the checks has room.
 * @return false: out of memory, or a field is too long that has not been checked yet */
static bool write_keep_request(struct grpc_call *call)
{
    struct directory_write_call *write = grpc_call_state(call);
    if (write->record != NULL && !write->kept) {
        write->record = directory_record_keep(grpc_call_arena(call), write->record);
        write->kept = true;
        if (write->record == NULL)
            return false;
    }
    if (write->secret.len == 0 || write->secret_memory != NULL)
        return true;
    return keep_secret(write, write->secret);
}

/* Copies what was written, for the answer of a call that waits. @return false: out of memory */
static bool keep_written(struct grpc_call *call)
{
    struct directory_write_call *write = grpc_call_state(call);
    size_t len = write->wrote.body_len + write->wrote.hidden_len;
    uint8_t *copy = grpc_arena_alloc(grpc_call_arena(call), len);
    if (copy == NULL)
        return false;
    if (len != 0)
        memcpy(copy, write->wrote.body, len);
    write->wrote.body = copy;
    return true;
}

/* ---- waiting for the disk ---- */

/* Whether the answer says something about a commit that a power cut could still undo. */
static bool write_must_wait(const struct user_service *service, int result,
                            const struct shm_conflict *conflict)
{
    bool rests = result == SHM_OK || result == SHM_EKEY || result == SHM_EEXIST ||
                 result == SHM_ENOENT || result == SHM_ESTALE || result == SHM_EINVAL ||
                 result == SHM_EREPEAT;
    return rests && !commit_is_published(&service->commits, conflict->version);
}

/* The answer waits for the commit that it rests on. */
static void write_wait(struct grpc_call *call, uint64_t version)
{
    struct user_service *service = grpc_call_service_data(call);
    struct directory_write_call *write = grpc_call_state(call);
    if (keep_written(call))
        commit_wait_enter(&service->commits, &write->wait, call, version, directory_write_finish);
    else
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
                         "out of memory; the change may be made later");
}

void directory_write_settle(struct grpc_call *call, const struct shm_conflict *conflict)
{
    struct user_service *service = grpc_call_service_data(call);
    struct directory_write_call *write = grpc_call_state(call);
    if (write_must_wait(service, write->result, conflict))
        write_wait(call, conflict->version);
    else
        directory_write_finish(call);
}

/* Checks the user before the table is looked at. @return false: the call has ended */
static bool check_record(struct grpc_call *call, const struct user_record *record)
{
    struct directory_write_call *write = grpc_call_state(call);
    if (directory_check_record(write, record))
        return true;
    write->result = SHM_EINVAL;
    directory_write_refuse(call, write);
    return false;
}

/* Checks the fields that an update gives. Whether the user has a user name without it depends on
 * the table. @return false: the call has ended */
static bool check_given(struct grpc_call *call, const struct user_record *record)
{
    struct user_record given = *record;
    if (given.fields.username.len == 0)
        given.fields.username = (struct user_text){.data = (const uint8_t *)"-", .len = 1};
    return check_record(call, &given);
}

/* Ends a call whose request could not be copied. Where the first step found the store busy, the
 * fields have not been checked yet, and one that is too long cannot be copied. */
static void refuse_to_wait(struct grpc_call *call, const struct user_record *record)
{
    if (record == NULL || check_given(call, record))
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

static void write_try(struct grpc_call *call)
{
    struct user_service *service = grpc_call_service_data(call);
    struct directory_write_call *write = grpc_call_state(call);
    const struct user_record *record = write->record;
    struct shm_conflict conflict = {0};
    uint8_t bytes[BYTES];
    write->bytes = bytes;
    write->wrote = (struct shm_user){.id = write->id, .body = bytes};
    write->result = write->attempt(call, write, &conflict);
    write->key = conflict.key;
    if (write->result == SHM_EBUSY && !write_keep_request(call)) {
        parking_leave(&write->parking, call);
        refuse_to_wait(call, record);
        return;
    }
    if (write->result == SHM_EBUSY &&
        parking_enter_write(&write->parking, call, write_try, service->store))
        return;
    parking_leave(&write->parking, call);
    directory_write_settle(call, &conflict);
}

void directory_write_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct user_service *service = grpc_call_service_data(call);
    struct directory_write_call *write = grpc_call_state(call);
    (void)status;
    if (parking_is_parked(&write->parking))
        parking_leave(&write->parking, call);
    else if (commit_wait_waits(&write->wait))
        commit_wait_leave(&service->commits, &write->wait);
    password_work_cancel(&write->work);
    secret_free(write->secret_memory, USER_SECRET_MAX);
}

/* ---- with a password ---- */

static void write_when_hashed(struct grpc_call *call, enum pool_outcome outcome, const char *hash)
{
    struct directory_write_call *write = grpc_call_state(call);
    const struct user_text secret = {.data = (const uint8_t *)hash, .len = strlen(hash)};
    if (outcome != POOL_HASHED || secret.len == 0)
        password_work_fail(call, outcome);
    else if (!keep_secret(write, secret))
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
    else
        write_try(call);
}

static void hash_and_write(struct grpc_call *call, const struct credential *credential)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct directory_write_call *write = grpc_call_state(call);
    struct pool_task task = {.operation = POOL_HASH,
                             .password = (const char *)credential->data,
                             .password_len = credential->len};
    if (!password_work_possible(&service->passwords, call))
        return;
    if (write_keep_request(call))
        password_work_submit(&service->passwords, &write->work, call, &task, write_when_hashed);
    else
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

void directory_write_credential(struct grpc_call *call, const struct credential *credential)
{
    struct directory_write_call *write = grpc_call_state(call);
    if (credential->kind == CREDENTIAL_PASSWORD) {
        hash_and_write(call, credential);
        return;
    }
    write->secret = (struct user_text){.data = credential->data, .len = credential->len};
    write_try(call);
}

/* Answers a request that was done already, without hashing its password again.
 * @return false: it was not, or that is not certain yet */
static bool answer_repeat(struct grpc_call *call)
{
    struct directory_write_call *write = grpc_call_state(call);
    struct shm_conflict conflict = {0};
    uint8_t bytes[BYTES];
    write->bytes = bytes;
    write->wrote = (struct shm_user){.id = write->id, .body = bytes};
    write->result = directory_find_repeat(call, write, &conflict);
    if (write->result != SHM_OK && write->result != SHM_EREPEAT)
        return false;
    directory_write_settle(call, &conflict);
    return true;
}

/* ---- the calls ---- */

void directory_create_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct user_service *service = grpc_call_service_data(call);
    struct directory_write_call *write = grpc_call_state(call);
    const Rosterd__Directory__V1__CreateUserRequest *request =
        (Rosterd__Directory__V1__CreateUserRequest *)message;
    write->attempt = directory_attempt_create;
    write->drawn = request->user_id.len == 0;
    if (write->drawn) {
        uuid_random(&service->ids, write->id);
    } else if (!uuid_parse(write->id, request->user_id.data, request->user_id.len)) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, "user_id is not a UUID");
        return;
    }
    static const Rosterd__Directory__V1__User nobody = ROSTERD__DIRECTORY__V1__USER__INIT;
    struct user_record_room room;
    const struct user_record record =
        directory_record_of(request->user != NULL ? request->user : &nobody, &room);
    const struct credential credential = directory_create_credential(request);
    const struct directory_wish wish =
        directory_wish_to_create(write->drawn ? NULL : write->id, credential.len != 0);
    write->record = &record;
    write->with_secret = wish.with_secret;
    if (!directory_request_take(call, &write->request, &request->request_id, &wish, &record))
        return;
    if (credential.kind == CREDENTIAL_NONE)
        write_try(call);
    else if (check_record(call, &record) && directory_check_credential(call, &credential) &&
             !answer_repeat(call))
        directory_write_credential(call, &credential);
}

/* The fields of an update without a mask: those that are set (AIP-134). */
static unsigned fields_set(const Rosterd__Directory__V1__User *user)
{
    return (user->username.len != 0 ? DIRECTORY_USERNAME : 0U) |
           (user->email.len != 0 ? DIRECTORY_EMAIL : 0U) |
           (user->n_roles != 0 ? DIRECTORY_ROLES : 0U) |
           (user->disabled ? DIRECTORY_DISABLED : 0U) |
           (user->n_labels != 0 ? DIRECTORY_LABELS : 0U);
}

/* Empties the fields that no update of these fields looks at. They have not been checked, so a call
 * that waits could not keep them. */
static void leave_out_others(struct user_record *record, unsigned fields)
{
    if ((fields & DIRECTORY_USERNAME) == 0)
        record->fields.username = (struct user_text){.len = 0};
    if ((fields & DIRECTORY_EMAIL) == 0)
        record->fields.email = (struct user_text){.len = 0};
    if ((fields & DIRECTORY_ROLES) == 0)
        record->fields.num_roles = 0;
    if ((fields & DIRECTORY_LABELS) == 0)
        record->num_labels = 0;
}

bool directory_take_etag(struct grpc_call *call, const char *field, const ProtobufCBinaryData *etag)
{
    struct directory_write_call *write = grpc_call_state(call);
    char text[96];
    if (etag->len == 0 || user_etag_parse(etag->data, etag->len, &write->if_version))
        return true;
    snprintf(text, sizeof(text),
             "%s is not an etag of this server (its double quotes are a part of it)", field);
    user_refuse(call, GRPC_INVALID_ARGUMENT, text);
    return false;
}

void directory_update_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct directory_write_call *write = grpc_call_state(call);
    const Rosterd__Directory__V1__UpdateUserRequest *request =
        (Rosterd__Directory__V1__UpdateUserRequest *)message;
    const Rosterd__Directory__V1__User *user = request->user;
    if (user == NULL) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, "user is not set");
        return;
    }
    if (!directory_name_parse(&user->name, write->id)) {
        directory_refuse_name(call, "user.name", &user->name);
        return;
    }
    write->attempt = directory_attempt_update;
    write->allow_missing = request->allow_missing;
    write->fields = fields_set(user);
    if (request->update_mask != NULL && request->update_mask->n_paths != 0 &&
        !directory_update_mask(call, request->update_mask, &write->fields))
        return;
    if (!directory_take_etag(call, "user.etag", &user->etag))
        return;
    struct user_record_room room;
    struct user_record record = directory_record_of(user, &room);
    if (!write->allow_missing)
        leave_out_others(&record, write->fields);
    else if (!check_given(call, &record))
        return; /* a user who is created has all fields: the answer does not depend on who exists */
    const struct directory_wish wish = {.method = "UpdateUser",
                                        .id = write->id,
                                        .fields = write->fields,
                                        .if_version = write->if_version,
                                        .allow_missing = write->allow_missing};
    write->record = &record;
    if (directory_request_take(call, &write->request, &request->request_id, &wish, &record))
        write_try(call);
}

void directory_delete_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct directory_write_call *write = grpc_call_state(call);
    const Rosterd__Directory__V1__DeleteUserRequest *request =
        (Rosterd__Directory__V1__DeleteUserRequest *)message;
    if (!directory_name_parse(&request->name, write->id)) {
        directory_refuse_name(call, "name", &request->name);
        return;
    }
    write->attempt = directory_attempt_delete;
    write->allow_missing = request->allow_missing;
    if (directory_take_etag(call, "etag", &request->etag))
        write_try(call);
}
