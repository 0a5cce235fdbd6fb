/* SPDX-License-Identifier: MIT */
#include "service/users/create_user.h"

#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "service/users/user_reply.h"
#include "service/users/user_request.h"
#include "service/users/user_service_state.h"
#include "user/user_record.h"

enum { CREATE_HIDDEN_MAX = 3 + USER_SECRET_MAX };

struct create_password {
    struct password_work work;
    uint8_t *hidden; /* of the user: its hash, CREATE_HIDDEN_MAX bytes of base/secret.h, or NULL */
};

static inline int insert_one(struct user_service *service, struct shm_new_user *user,
                             struct shm_conflict *conflict)
{
    int result;
    while ((result = shm_users_insert(service->actor, user, 1, conflict)) == SHM_EEXIST)
        uuid_random(&service->ids, user->id); /* happens once in 2^61 users or so */
    return result;
}

static void create_finish(struct grpc_call *call, const struct shm_new_user *user, int result,
                          unsigned key)
{
    if (result == SHM_EKEY) {
        char taken[USER_TAKEN_SIZE];
        user_taken_text(taken, user, key, user_show);
        user_refuse(call, GRPC_ALREADY_EXISTS, taken);
        return;
    }
    const char *text;
    enum grpc_status status = user_insert_status(grpc_call_service_data(call), result, &text);
    if (status == GRPC_OK)
        user_reply(call, user->id, user->body, user->body_len);
    grpc_call_finish(call, status, text);
}

/* The body is on the handler's stack: a call that waits needs a copy.
 * @return false: out of memory */
static bool create_keep(struct grpc_call *call, const struct shm_new_user *user)
{
    struct create_call *create = grpc_call_state(call);
    uint8_t *body = grpc_arena_alloc(grpc_call_arena(call), user->body_len);
    if (body == NULL)
        return false;
    memcpy(body, user->body, user->body_len);
    create->user = *user;
    create->user.body = body;
    return true;
}

static void create_published(struct grpc_call *call)
{
    const struct create_call *create = grpc_call_state(call);
    create_finish(call, &create->user, create->result, create->key);
}

/* The user, or the one with the same name, is not on disk yet. */
static void create_wait(struct grpc_call *call, int result, const struct shm_conflict *conflict)
{
    struct user_service *service = grpc_call_service_data(call);
    struct create_call *create = grpc_call_state(call);
    create->result = result;
    create->key = conflict->key;
    commit_wait_enter(&service->commits, &create->wait, call, conflict->version, create_published);
}

static void create_stop_waiting(struct grpc_call *call)
{
    struct user_service *service = grpc_call_service_data(call);
    struct create_call *create = grpc_call_state(call);
    commit_wait_leave(&service->commits, &create->wait);
}

static bool create_must_wait(const struct user_service *service, int result,
                             const struct shm_conflict *conflict)
{
    return (result == SHM_OK || result == SHM_EKEY) &&
           !commit_is_published(&service->commits, conflict->version);
}

static void create_retry(struct grpc_call *call)
{
    struct user_service *service = grpc_call_service_data(call);
    struct create_call *create = grpc_call_state(call);
    struct shm_conflict conflict;
    int result = insert_one(service, &create->user, &conflict);
    if (result == SHM_EBUSY &&
        parking_enter_write(&create->parking, call, create_retry, service->store))
        return;
    parking_leave(&create->parking, call);
    if (create_must_wait(service, result, &conflict))
        create_wait(call, result, &conflict);
    else
        create_finish(call, &create->user, result, conflict.key);
}

/* ---- with a password that is stored ---- */

static void create_when_hashed(struct grpc_call *call, enum pool_outcome outcome, const char *hash)
{
    struct create_call *create = grpc_call_state(call);
    const struct user_record record = {
        .secret = {.data = (const uint8_t *)hash, .len = strlen(hash)}}; /* never updated */
    if (outcome != POOL_HASHED || record.secret.len == 0) {
        password_work_fail(call, outcome);
        return;
    }
    uint8_t *hidden = secret_alloc(CREATE_HIDDEN_MAX);
    create->password->hidden = hidden;
    if (hidden == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    create->user.hidden = hidden;
    create->user.hidden_len = (uint32_t)user_hidden_encode(hidden, &record);
    create_retry(call);
}

static void create_with_password(struct grpc_call *call,
                                 const Userservice__CreateUserRequest *request)
{
    struct user_service *service = grpc_call_service_data(call);
    struct create_call *create = grpc_call_state(call);
    uint8_t body[USER_REQUEST_BODY_MAX];
    struct shm_new_user user = {.body = body};
    struct pool_task task = {.operation = POOL_HASH,
                             .password = (const char *)request->password.data,
                             .password_len = request->password.len};
    const char *reason;
    if (!user_request_check_to_store(request, &reason)) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, reason);
        return;
    }
    if (!password_work_possible(&service->passwords, call))
        return;
    user.body_len = (uint32_t)user_request_encode(body, request, clock_real_coarse_s());
    uuid_random(&service->ids, user.id);
    struct create_password *password = grpc_arena_alloc(grpc_call_arena(call), sizeof(*password));
    if (password == NULL || !create_keep(call, &user)) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    *password = (struct create_password){.hidden = NULL};
    create->password = password;
    password_work_submit(&service->passwords, &password->work, call, &task, create_when_hashed);
}

/* ---- the call ---- */

void create_user_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct user_service *service = grpc_call_service_data(call);
    struct create_call *create = grpc_call_state(call);
    Userservice__CreateUserRequest *request = (Userservice__CreateUserRequest *)message;
    const char *reason;
    if (service->passwords.store && request->password.len != 0) {
        create_with_password(call, request);
        return;
    }
    if (!user_request_check(request, &reason)) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, reason);
        return;
    }
    uint8_t body[USER_REQUEST_BODY_MAX];
    struct shm_new_user user = {.body = body};
    user.body_len = (uint32_t)user_request_encode(body, request, clock_real_coarse_s());
    uuid_random(&service->ids, user.id);
    struct shm_conflict conflict;
    int result = insert_one(service, &user, &conflict);
    bool must_wait = create_must_wait(service, result, &conflict);
    if (!must_wait && result != SHM_EBUSY)
        create_finish(call, &user, result, conflict.key);
    else if (!create_keep(call, &user))
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
                         must_wait ? "out of memory; the user may appear later" : "out of memory");
    else if (must_wait)
        create_wait(call, result, &conflict);
    else
        parking_enter(&create->parking, call, create_retry);
}

void create_user_on_end(struct grpc_call *call, enum grpc_status status)
{
    (void)status;
    struct create_call *create = grpc_call_state(call);
    if (parking_is_parked(&create->parking))
        parking_leave(&create->parking, call);
    else if (commit_wait_waits(&create->wait))
        create_stop_waiting(call);
    if (create->password == NULL)
        return;
    password_work_cancel(&create->password->work);
    secret_free(create->password->hidden, CREATE_HIDDEN_MAX);
}
