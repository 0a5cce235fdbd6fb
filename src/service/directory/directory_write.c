/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_write.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "service/directory/directory_credential.h"
#include "service/directory/directory_fields.h"
#include "service/directory/directory_read.h"
#include "service/directory/directory_record.h"
#include "service/directory/directory_user.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"
#include "shm/disk.h"
#include "user/etag.h"

enum {
    BYTES = USER_BODY_MAX + USER_HIDDEN_MAX,
    TRIES = 64,
};

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

/* @return false: write->reason says why the user is refused */
static bool check_record(struct directory_write_call *write, const struct user_record *record)
{
    write->of_roles = !user_check_roles(&record->fields, &write->reason);
    return !write->of_roles && user_record_check(record, &write->reason);
}

/* Checks the record, and makes what the store takes. @return false: see check_record() */
static bool encode(struct directory_write_call *write, const struct user_record *record,
                   struct shm_new_user *user)
{
    if (!check_record(write, record))
        return false;
    size_t body_len = user_body_encode(write->bytes, &record->fields);
    size_t hidden_len = user_hidden_encode(write->bytes + body_len, record);
    *user = (struct shm_new_user){.body = write->bytes,
                                  .body_len = (uint32_t)body_len,
                                  .hidden = write->bytes + body_len,
                                  .hidden_len = (uint32_t)hidden_len};
    memcpy(user->id, write->id, sizeof(user->id));
    return true;
}

/* The store has its copy: nothing after this needs the secret. It ends the hidden part, and the
 * answer says only whether there is one. */
static void forget_secret(struct directory_write_call *write, const struct shm_new_user *user,
                          const struct user_record *record)
{
    size_t len = record->secret.len;
    if (len != 0)
        explicit_bzero(write->bytes + user->body_len + user->hidden_len - len, len);
}

static void note_written(struct directory_write_call *write, const struct shm_new_user *user,
                         uint64_t version)
{
    write->wrote = (struct shm_user){.id = write->id,
                                     .body = user->body,
                                     .body_len = user->body_len,
                                     .hidden_len = user->hidden_len,
                                     .version = version};
}

/* ---- tries ---- */

static int attempt_create(struct grpc_call *call, struct directory_write_call *write,
                          struct shm_conflict *conflict);

/* The request was done already: the answer is the first one's, as if this call had done it. The
 * first answer to a create is made again; directory_request_answer() looks whether it is needed.
 * @return SHM_OK; SHM_EREPEAT: it had other contents */
static int repeat_first(struct directory_write_call *write, struct shm_conflict *conflict)
{
    const struct shm_request *first = &write->request.shm;
    conflict->version = first->version;
    if (!directory_request_repeats(&write->request))
        return SHM_EREPEAT;
    memcpy(write->id, first->user, sizeof(write->id));
    if (write->attempt != attempt_create)
        return SHM_OK;
    struct shm_new_user user;
    struct user_record record = *write->record;
    record.fields.created_at = (int64_t)first->time;
    record.update_time = user_create_time(&record.fields);
    if (write->with_secret) /* the answer says that there is one; the text is not shown */
        record.secret = (struct user_text){.data = (const uint8_t *)"*", .len = 1};
    if (!encode(write, &record, &user))
        return SHM_EINVAL;
    note_written(write, &user, first->version);
    return SHM_OK;
}

static int attempt_create(struct grpc_call *call, struct directory_write_call *write,
                          struct shm_conflict *conflict)
{
    struct user_service *service = grpc_call_service_data(call);
    struct shm_new_user user;
    struct user_record record = *write->record;
    record.fields.created_at = clock_real_coarse_s();
    record.update_time = user_create_time(&record.fields);
    record.secret = write->secret;
    *conflict = (struct shm_conflict){0};
    if (!encode(write, &record, &user))
        return SHM_EINVAL;
    user.request = directory_request_begin(&write->request, (uint64_t)record.fields.created_at);
    int result;
    while ((result = shm_users_insert(service->actor, &user, 1, conflict)) == SHM_EEXIST &&
           write->drawn) {
        uuid_random(&service->ids, write->id);
        memcpy(user.id, write->id, sizeof(user.id));
    }
    forget_secret(write, &user, &record);
    if (result == SHM_EREPEAT)
        return repeat_first(write, conflict);
    note_written(write, &user, conflict->version);
    return result;
}

/* Puts the fields that change into the user that is there. */
static void merge(const struct directory_write_call *write, struct user_record *record)
{
    const struct user_record *given = write->record;
    if ((write->fields & DIRECTORY_USERNAME) != 0)
        record->fields.username = given->fields.username;
    if ((write->fields & DIRECTORY_EMAIL) != 0)
        record->fields.email = given->fields.email;
    if ((write->fields & DIRECTORY_ROLES) != 0) {
        record->fields.roles = given->fields.roles;
        record->fields.num_roles = given->fields.num_roles;
    }
    if ((write->fields & DIRECTORY_DISABLED) != 0)
        record->disabled = given->disabled;
    if ((write->fields & DIRECTORY_LABELS) != 0) {
        record->labels = given->labels;
        record->num_labels = given->num_labels;
    }
    if ((write->fields & DIRECTORY_HAS_PASSWORD) != 0)
        record->secret = write->secret;
    user_record_touch(record, clock_real_ms());
}

/* Changes this version of the user. @return SHM_ESTALE: it is not the newest any more */
static int update_version(struct grpc_call *call, struct directory_write_call *write,
                          const struct shm_user *old, struct shm_conflict *conflict)
{
    struct user_service *service = grpc_call_service_data(call);
    struct user_record record;
    struct user_record_room room;
    struct shm_new_user user;
    *conflict = (struct shm_conflict){.version = old->version};
    if (!user_record_decode(&record, &room, old->body, old->body_len, shm_user_hidden(old),
                            old->hidden_len))
        return SHM_ECORRUPT;
    merge(write, &record);
    if (!encode(write, &record, &user))
        return SHM_EINVAL;
    user.if_version = old->version;
    user.request = directory_request_begin(&write->request, (uint64_t)clock_real_coarse_s());
    int result = shm_users_update(service->actor, &user, 1, conflict);
    forget_secret(write, &user, &record);
    if (result == SHM_EREPEAT)
        return repeat_first(write, conflict);
    note_written(write, &user, conflict->version);
    return result;
}

/* The user does not exist, as of this commit, on which the answer rests, too. */
static int update_missing(struct grpc_call *call, struct directory_write_call *write,
                          uint64_t newest, struct shm_conflict *conflict)
{
    *conflict = (struct shm_conflict){.version = newest};
    if (write->if_version != 0)
        return SHM_ESTALE;
    if (!write->allow_missing)
        return SHM_ENOENT;
    int result = attempt_create(call, write, conflict);
    if (result != SHM_OK && conflict->version < newest)
        conflict->version = newest;
    return result;
}

/* Whether the call's request was done, before anything else is looked at: what it changed may be
 * the reason why it would be refused now. @return SHM_ENOENT: it was not */
static int look_for_repeat(struct grpc_call *call, struct directory_write_call *write,
                           struct shm_conflict *conflict)
{
    struct user_service *service = grpc_call_service_data(call);
    struct shm_request *request =
        directory_request_begin(&write->request, (uint64_t)clock_real_coarse_s());
    if (request == NULL)
        return SHM_ENOENT;
    int result = shm_request_find(service->actor, request);
    return result == SHM_OK ? repeat_first(write, conflict) : result;
}

static int update_newest(struct grpc_call *call, struct directory_write_call *write,
                         struct shm_conflict *conflict)
{
    struct user_service *service = grpc_call_service_data(call);
    for (int i = 0; i < TRIES; i++) {
        struct shm_user old;
        uint64_t newest = shm_newest(service->store);
        int result = shm_user_find_at(service->actor, write->id, newest, &old);
        bool missing = result == SHM_ENOENT;
        if (!missing && write->if_version != 0 && old.version != write->if_version) {
            *conflict = (struct shm_conflict){.version = old.version};
            return SHM_ESTALE;
        }
        result = missing ? update_missing(call, write, newest, conflict)
                         : update_version(call, write, &old, conflict);
        bool again = missing ? result == SHM_EEXIST
                             : result == SHM_ESTALE || result == SHM_ENOENT; /* changed meanwhile */
        if (!again)
            return result;
    }
    return SHM_EBUSY;
}

int directory_attempt_update(struct grpc_call *call, struct directory_write_call *write,
                             struct shm_conflict *conflict)
{
    int repeat = look_for_repeat(call, write, conflict);
    if (repeat != SHM_ENOENT)
        return repeat;
    int result = update_newest(call, write, conflict);
    if (!write->request.given || result == SHM_OK || result == SHM_EREPEAT || result == SHM_EBUSY)
        return result;
    /* The same request may have been done since that look, and be the reason for the refusal. */
    struct shm_conflict first = {0};
    repeat = look_for_repeat(call, write, &first);
    if (repeat == SHM_ENOENT)
        return result;
    *conflict = first;
    return repeat;
}

static int attempt_delete(struct grpc_call *call, struct directory_write_call *write,
                          struct shm_conflict *conflict)
{
    struct user_service *service = grpc_call_service_data(call);
    int result = shm_user_delete(service->actor, write->id, write->if_version, conflict);
    return result == SHM_ENOENT && write->allow_missing ? SHM_OK : result;
}

/* ---- answers ---- */

/* Refuses the request's user because of the field with which the text begins: in the request it is
 * a field of `user` (AIP-193). */
static void refuse_user_field(struct grpc_call *call, enum grpc_status status, const char *text)
{
    char path[64];
    int len = snprintf(path, sizeof(path), "user.%.*s", (int)strcspn(text, " :,"), text);
    user_refuse_field(call, status, path, (size_t)len, text);
}

/* A SetPassword has no `user`: a user who cannot be has no room for the hash. */
static void refuse_hash(struct grpc_call *call, const struct directory_write_call *write)
{
    const char *field = write->work.call != NULL ? "password" : "password_hash";
    char text[64];
    snprintf(text, sizeof(text), "%s: the user has no room for a hash", field);
    user_refuse(call, GRPC_INVALID_ARGUMENT, text);
}

static void refuse_write(struct grpc_call *call, const struct directory_write_call *write)
{
    char text[USER_TAKEN_SIZE], id[UUID_TEXT_SIZE + 1];
    const struct shm_new_user wanted = {.body = write->wrote.body,
                                        .body_len = write->wrote.body_len};
    const char *why;
    uuid_to_string(id, write->id);
    switch (write->result) {
    case SHM_EKEY:
        user_taken_text(text, &wanted, write->key);
        refuse_user_field(call, GRPC_ALREADY_EXISTS, text);
        return;
    case SHM_EEXIST:
        snprintf(text, sizeof(text), "user_id: users/%s exists", id);
        user_refuse(call, GRPC_ALREADY_EXISTS, text);
        return;
    case SHM_ENOENT:
        grpc_call_finishf(call, GRPC_NOT_FOUND, "User 'users/%s' not found", id);
        return;
    case SHM_EREPEAT:
        user_refuse(call, GRPC_INVALID_ARGUMENT,
                    "request_id was the id of a request with other contents");
        return;
    case SHM_ESTALE:
        grpc_call_finish(call, GRPC_ABORTED, "etag: the user has been changed since");
        return;
    case SHM_EINVAL:
        if ((write->fields & DIRECTORY_HAS_PASSWORD) != 0) {
            refuse_hash(call, write);
            return;
        }
        snprintf(text, sizeof(text), "%s%s", write->of_roles ? "roles: " : "", write->reason);
        refuse_user_field(call, GRPC_INVALID_ARGUMENT, text);
        return;
    default:
        break;
    }
    /* before the call that has it as an argument: C does not say in which order those are made */
    enum grpc_status status = user_insert_status(grpc_call_service_data(call), write->result, &why);
    grpc_call_finish(call, status, why);
}

static void write_finish(struct grpc_call *call)
{
    static const Google__Protobuf__Empty nothing = GOOGLE__PROTOBUF__EMPTY__INIT;
    const struct directory_write_call *write = grpc_call_state(call);
    if (write->result != SHM_OK) {
        refuse_write(call, write);
        return;
    }
    if (write->request.repeated) {
        directory_request_answer(call, &write->request,
                                 write->attempt == attempt_create ? &write->wrote : NULL);
        return;
    }
    if (write->attempt == attempt_delete)
        grpc_call_send(call, &nothing.base);
    else
        directory_user_send(call, &write->wrote, DIRECTORY_ALL);
    grpc_call_finish(call, GRPC_OK, NULL);
}

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
        commit_wait_enter(&service->commits, &write->wait, call, version, write_finish);
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
        write_finish(call);
}

static void write_try(struct grpc_call *call)
{
    struct user_service *service = grpc_call_service_data(call);
    struct directory_write_call *write = grpc_call_state(call);
    struct shm_conflict conflict = {0};
    uint8_t bytes[BYTES];
    write->bytes = bytes;
    write->wrote = (struct shm_user){.id = write->id, .body = bytes};
    write->result = write->attempt(call, write, &conflict);
    write->key = conflict.key;
    if (write->result == SHM_EBUSY && !write_keep_request(call)) {
        parking_leave(&write->parking, call);
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
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
    write->result = look_for_repeat(call, write, &conflict);
    if (write->result != SHM_OK && write->result != SHM_EREPEAT)
        return false;
    directory_write_settle(call, &conflict);
    return true;
}

/* ---- the calls ---- */

/* Whether the user can be, before its password is hashed: that takes time, and needs a copy of the
 * user. @return false: the call has ended */
static bool check_create(struct grpc_call *call, const struct user_record *record)
{
    struct directory_write_call *write = grpc_call_state(call);
    if (check_record(write, record))
        return true;
    write->result = SHM_EINVAL;
    refuse_write(call, write);
    return false;
}

void directory_create_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct user_service *service = grpc_call_service_data(call);
    struct directory_write_call *write = grpc_call_state(call);
    const Rosterd__Directory__V1__CreateUserRequest *request =
        (Rosterd__Directory__V1__CreateUserRequest *)message;
    write->attempt = attempt_create;
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
    else if (check_create(call, &record) && directory_check_credential(call, &credential) &&
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
    char text[64];
    if (etag->len == 0 || user_etag_parse(etag->data, etag->len, &write->if_version))
        return true;
    snprintf(text, sizeof(text), "%s is not an etag of this server", field);
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
    if (!write->allow_missing) /* a user who is created has all fields */
        leave_out_others(&record, write->fields);
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
    write->attempt = attempt_delete;
    write->allow_missing = request->allow_missing;
    if (directory_take_etag(call, "etag", &request->etag))
        write_try(call);
}
