/* SPDX-License-Identifier: MIT */
/* CreateUser, and how a call waits for the writer lock. */
#include "service/users/calls.h"

bool parking_enter(struct parking *parking, struct grpc_call *call,
                   void (*retry)(struct timer *timer))
{
    struct grpc_server *server = grpc_call_server(call);
    uint64_t now = grpc_server_now_ms(server);
    if (parking->until == 0) {
        parking->call = call;
        parking->timer.expired = retry;
        parking->until = now + PARK_TOTAL_MS;
        parking->delay = PARK_FIRST_MS;
    } else if (now >= parking->until) {
        return false;
    } else if (parking->delay < PARK_LONGEST_MS) {
        parking->delay *= 2;
    }
    timer_arm(grpc_server_timers(server), &parking->timer, now + parking->delay);
    return true;
}

void parking_leave(struct parking *parking, struct grpc_call *call)
{
    parking->until = 0;
    timer_disarm(grpc_server_timers(grpc_call_server(call)), &parking->timer);
}

static inline int insert_one(struct user_service *service, struct shm_new_user *user,
                             struct shm_conflict *conflict)
{
    int result;
    while ((result = shm_users_insert(service->actor, user, 1, conflict)) == SHM_EEXIST)
        uuid_random(&service->ids, user->id); /* once in 2^61 users or so */
    return result;
}

static void reply(struct grpc_call *call, const struct shm_new_user *user, int result, unsigned key)
{
    const char *text;
    char taken[USER_TAKEN_SIZE];
    if (result == SHM_EKEY) {
        user_taken_text(taken, user, key);
        user_refuse(call, GRPC_ALREADY_EXISTS, taken);
        return;
    }
    enum grpc_status status = user_insert_status(grpc_call_service_data(call), result, &text);
    if (status == GRPC_OK)
        user_reply(call, user->id, user->body, user->body_len);
    grpc_call_finish(call, status, text);
}

static void retry(struct timer *timer)
{
    struct parking *parking = (struct parking *)timer;
    struct grpc_call *call = parking->call;
    struct create_call *create = grpc_call_state(call);
    struct shm_conflict conflict;
    int result = insert_one(grpc_call_service_data(call), &create->user, &conflict);
    if (result == SHM_EBUSY && parking_enter(parking, call, retry))
        return;
    reply(call, &create->user, result, conflict.key);
}

/* The body is on the handler's stack until here. */
static void park(struct grpc_call *call, const struct shm_new_user *user)
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
    parking_enter(&create->parking, call, retry);
}

void user_create_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct user_service *service = grpc_call_service_data(call);
    Userservice__CreateUserRequest *request = (Userservice__CreateUserRequest *)message;
    const char *fault = user_request_check(request);
    /* nothing here needs it: whether a user may log in is not this service's matter */
    if (request->password.len != 0)
        explicit_bzero(request->password.data, request->password.len);
    if (fault != NULL) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, fault);
        return;
    }
    uint8_t body[USER_REQUEST_BODY_MAX];
    struct shm_new_user user = {.body = body};
    user.body_len = (uint32_t)user_request_encode(body, request, user_clock_seconds());
    uuid_random(&service->ids, user.id);
    struct shm_conflict conflict;
    int result = insert_one(service, &user, &conflict);
    if (result == SHM_EBUSY)
        park(call, &user);
    else
        reply(call, &user, result, conflict.key);
}

void user_create_on_end(struct grpc_call *call, enum grpc_status status)
{
    (void)status;
    struct create_call *create = grpc_call_state(call);
    parking_leave(&create->parking, call);
}
