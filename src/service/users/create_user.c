/* SPDX-License-Identifier: MIT */
#include "service/users/create_user.h"

#include "base/clock.h"
#include "service/users/user_reply.h"
#include "service/users/user_request.h"
#include "service/users/user_service_state.h"

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
        user_taken_text(taken, user, key);
        user_refuse(call, GRPC_ALREADY_EXISTS, taken);
        return;
    }
    const char *text;
    enum grpc_status status = user_insert_status(grpc_call_service_data(call), result, &text);
    if (status == GRPC_OK)
        user_reply(call, user->id, user->body, user->body_len);
    grpc_call_finish(call, status, text);
}

static void create_retry(struct grpc_call *call)
{
    struct create_call *create = grpc_call_state(call);
    struct shm_conflict conflict;
    int result = insert_one(grpc_call_service_data(call), &create->user, &conflict);
    if (result == SHM_EBUSY && parking_enter(&create->parking, call, create_retry))
        return;
    create_finish(call, &create->user, result, conflict.key);
}

/* The body is on the handler's stack: the parked call needs a copy. */
static void create_park(struct grpc_call *call, const struct shm_new_user *user)
{
    struct create_call *create = grpc_call_state(call);
    uint8_t *body = grpc_arena_alloc(grpc_call_arena(call), user->body_len);
    if (body == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    memcpy(body, user->body, user->body_len);
    create->user = *user;
    create->user.body = body;
    parking_enter(&create->parking, call, create_retry);
}

void create_user_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct user_service *service = grpc_call_service_data(call);
    Userservice__CreateUserRequest *request = (Userservice__CreateUserRequest *)message;
    const char *reason;
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
    if (result == SHM_EBUSY)
        create_park(call, &user);
    else
        create_finish(call, &user, result, conflict.key);
}

void create_user_on_end(struct grpc_call *call, enum grpc_status status)
{
    (void)status;
    struct create_call *create = grpc_call_state(call);
    parking_leave(&create->parking, call);
}
