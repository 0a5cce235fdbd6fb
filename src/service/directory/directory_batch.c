/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_batch.h"

#include "base/clock.h"
#include "service/directory/directory_fields.h"
#include "service/directory/directory_read.h"
#include "service/directory/directory_user.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"

enum {
    CLOCK_EVERY = 32, /* users: one of 4,000 bytes takes 1 us to copy */
    SLICE_NS = 100 * 1000,
};

/* ---- the end ---- */

static void batch_send(struct grpc_call *call)
{
    struct directory_batch_call *batch = grpc_call_state(call);
    if (directory_users_send(call, &batch->users, NULL, 0))
        grpc_call_finish(call, GRPC_OK, NULL);
}

static void refuse_missing(struct grpc_call *call, const uint8_t id[UUID_SIZE])
{
    char text[DIRECTORY_NAME_SIZE];
    directory_name_format(text, id);
    const ProtobufCBinaryData name = {.data = (uint8_t *)text, .len = DIRECTORY_NAME_SIZE};
    directory_refuse_name(call, "names", &name);
}

/* ---- a slice ---- */

/* @return false: the call has ended */
static bool batch_add(struct grpc_call *call, const uint8_t id[UUID_SIZE])
{
    const struct user_service *service = grpc_call_service_data(call);
    struct directory_batch_call *batch = grpc_call_state(call);
    struct shm_user user;
    if (shm_user_find(service->actor, id, &user) != SHM_OK) {
        if (!batch->allow_missing)
            refuse_missing(call, id);
        return batch->allow_missing;
    }
    if (directory_users_add(call, &batch->users, &user, batch->fields))
        return true;
    grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, directory_no_room);
    return false;
}

/* Whether the slice ends behind this many users. */
static bool is_over(size_t done, uint64_t began)
{
    return done % CLOCK_EVERY == 0 && clock_monotonic_ns() - began > SLICE_NS;
}

void directory_batch_on_writable(struct grpc_call *call)
{
    struct directory_batch_call *batch = grpc_call_state(call);
    uint64_t began = clock_monotonic_ns();
    bool good = true, over = false;
    for (size_t done = 1; good && !over && batch->next != batch->num; done++) {
        good = batch_add(call, batch->ids[batch->next++]);
        over = is_over(done, began);
    }
    grpc_call_work(call, clock_monotonic_ns() - began);
    if (good && batch->next == batch->num)
        batch_send(call);
    else if (good)
        grpc_call_want_write(call);
}

/* ---- the begin ---- */

/* @return false: the call has ended */
static bool parse_name(struct grpc_call *call, const ProtobufCBinaryData *name,
                       uint8_t id[UUID_SIZE])
{
    if (directory_name_parse(name, id))
        return true;
    directory_refuse_name(call, "names", name);
    return false;
}

/* Keeps what the request still asks for. */
static void keep_rest(struct grpc_call *call, const ProtobufCBinaryData *names, size_t num)
{
    struct directory_batch_call *batch = grpc_call_state(call);
    batch->ids = grpc_arena_alloc(grpc_call_arena(call), num * sizeof(*batch->ids));
    if (batch->ids == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, directory_no_room);
        return;
    }
    for (; batch->num != num; batch->num++)
        if (!parse_name(call, &names[batch->num], batch->ids[batch->num]))
            return;
    grpc_call_want_write(call);
}

/* The first slice reads the names in the request. */
static void batch_begin(struct grpc_call *call, const ProtobufCBinaryData *names, size_t num)
{
    uint64_t began = clock_monotonic_ns();
    bool good = true, over = false;
    size_t done = 0;
    while (good && !over && done != num) {
        uint8_t id[UUID_SIZE];
        good = parse_name(call, &names[done], id) && batch_add(call, id);
        over = is_over(++done, began);
    }
    grpc_call_work(call, clock_monotonic_ns() - began);
    if (good && done == num)
        batch_send(call);
    else if (good)
        keep_rest(call, names + done, num - done);
}

void directory_batch_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const Rosterd__Directory__V1__BatchGetUsersRequest *request =
        (Rosterd__Directory__V1__BatchGetUsersRequest *)message;
    struct directory_batch_call *batch = grpc_call_state(call);
    batch->allow_missing = request->allow_missing != 0;
    batch->users.expected = request->n_names;
    if (request->n_names > DIRECTORY_BATCH_MAX)
        user_refuse(call, GRPC_INVALID_ARGUMENT, "names has more than 1000 entries");
    else if (directory_read_mask(call, request->read_mask, &batch->fields))
        batch_begin(call, request->names, request->n_names);
}

void directory_batch_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct directory_batch_call *batch = grpc_call_state(call);
    (void)status;
    directory_users_drop(call, &batch->users);
}
