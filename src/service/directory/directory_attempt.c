/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_attempt.h"

#include <string.h>

#include "base/clock.h"
#include "service/directory/directory_fields.h"
#include "service/users/user_service_state.h"
#include "shm/disk.h"

enum { TRIES = 64 }; /* so often may a user change while it is updated */

/* ---- the user as it is written ---- */

bool directory_check_record(struct directory_write_call *write, const struct user_record *record)
{
    write->of_roles = !user_check_roles(&record->fields, &write->reason);
    return !write->of_roles && user_record_check(record, &write->reason);
}

/* Checks the record, and makes what the store takes. @return false: see directory_check_record() */
static bool encode(struct directory_write_call *write, const struct user_record *record,
                   struct shm_new_user *user)
{
    if (!directory_check_record(write, record))
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
    if (write->attempt != directory_attempt_create)
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

int directory_attempt_create(struct grpc_call *call, struct directory_write_call *write,
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
    int result = directory_attempt_create(call, write, conflict);
    if (result != SHM_OK && conflict->version < newest)
        conflict->version = newest;
    return result;
}

int directory_find_repeat(struct grpc_call *call, struct directory_write_call *write,
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
    int repeat = directory_find_repeat(call, write, conflict);
    if (repeat != SHM_ENOENT)
        return repeat;
    int result = update_newest(call, write, conflict);
    if (!write->request.given || result == SHM_OK || result == SHM_EREPEAT || result == SHM_EBUSY)
        return result;
    /* The same request may have been done since that look, and be the reason for the refusal. */
    struct shm_conflict first = {0};
    repeat = directory_find_repeat(call, write, &first);
    if (repeat == SHM_ENOENT)
        return result;
    *conflict = first;
    return repeat;
}

int directory_attempt_delete(struct grpc_call *call, struct directory_write_call *write,
                             struct shm_conflict *conflict)
{
    struct user_service *service = grpc_call_service_data(call);
    int result = shm_user_delete(service->actor, write->id, write->if_version, conflict);
    return result == SHM_ENOENT && write->allow_missing ? SHM_OK : result;
}
