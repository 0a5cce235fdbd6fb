/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_batch.h"

#include <stdio.h>
#include <sys/param.h>

#include "base/clock.h"
#include "service/directory/directory_fields.h"
#include "service/directory/directory_read.h"
#include "service/directory/directory_user.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"

enum {
    GROUP = SHM_FIND_MAX,
    CLOCK_EVERY = 2, /* groups: one user of 4,000 bytes takes 1 us to copy */
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

/* Adds the users of a group. @return false: the call has ended */
static bool batch_add(struct grpc_call *call, const uint8_t (*ids)[UUID_SIZE], size_t count)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct directory_batch_call *batch = grpc_call_state(call);
    struct shm_user users[GROUP];
    shm_users_find(service->actor, ids, count, users);
    for (size_t i = 0; i < count; i++) {
        if (users[i].id == NULL && batch->allow_missing)
            continue;
        if (users[i].id == NULL) {
            refuse_missing(call, ids[i]);
            return false;
        }
        if (!directory_users_add(call, &batch->users, &users[i], batch->fields)) {
            grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, directory_no_room);
            return false;
        }
    }
    return true;
}

/* Whether the slice ends behind this many groups. */
static bool is_over(unsigned groups, uint64_t began)
{
    return groups % CLOCK_EVERY == 0 && clock_monotonic_ns() - began > SLICE_NS;
}

void directory_batch_on_writable(struct grpc_call *call)
{
    struct directory_batch_call *batch = grpc_call_state(call);
    uint64_t began = clock_monotonic_ns();
    bool good = true, over = false;
    for (unsigned groups = 1; good && !over && batch->next != batch->num; groups++) {
        uint32_t count = MIN(batch->num - batch->next, (uint32_t)GROUP);
        good = batch_add(call, (const uint8_t(*)[UUID_SIZE])batch->ids + batch->next, count);
        batch->next += count;
        over = is_over(groups, began);
    }
    grpc_call_work(call, clock_monotonic_ns() - began);
    if (good && batch->next == batch->num)
        batch_send(call);
    else if (good)
        grpc_call_want_write(call);
}

/* ---- the begin ---- */

/* @param index of the name in the request */
static void refuse_name(struct grpc_call *call, size_t index, const ProtobufCBinaryData *name)
{
    char field[32];
    snprintf(field, sizeof(field), "names[%zu]", index);
    directory_refuse_name(call, field, name);
}

/* @return how many of the names are good, up to the first bad one */
static size_t parse_names(const ProtobufCBinaryData *names, size_t num, uint8_t (*ids)[UUID_SIZE])
{
    size_t done = 0;
    while (done != num && directory_name_parse(&names[done], ids[done]))
        done++;
    return done;
}

/* Keeps what the request still asks for, behind its first `done` names. */
static void keep_rest(struct grpc_call *call, const ProtobufCBinaryData *names, size_t num,
                      size_t done)
{
    struct directory_batch_call *batch = grpc_call_state(call);
    batch->ids = grpc_arena_alloc(grpc_call_arena(call), num * sizeof(*batch->ids));
    if (batch->ids == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, directory_no_room);
        return;
    }
    batch->num = (uint32_t)parse_names(names, num, batch->ids);
    if (batch->num != num)
        refuse_name(call, done + batch->num, &names[batch->num]);
    else
        grpc_call_want_write(call);
}

/* Adds the users with these names, the first of which has the index `first`. A bad name is told
 * after what is wrong with those before it.
 * @return false: the call has ended */
static bool batch_add_names(struct grpc_call *call, const ProtobufCBinaryData *names, size_t num,
                            size_t first)
{
    uint8_t ids[GROUP][UUID_SIZE];
    size_t good = parse_names(names, num, ids);
    if (!batch_add(call, (const uint8_t(*)[UUID_SIZE])ids, good))
        return false;
    if (good != num)
        refuse_name(call, first + good, &names[good]);
    return good == num;
}

/* The first slice reads the names in the request. */
static void batch_begin(struct grpc_call *call, const ProtobufCBinaryData *names, size_t num)
{
    uint64_t began = clock_monotonic_ns();
    bool good = true, over = false;
    size_t done = 0;
    for (unsigned groups = 1; good && !over && done != num; groups++) {
        size_t count = MIN(num - done, (size_t)GROUP);
        good = batch_add_names(call, names + done, count, done);
        done += count;
        over = is_over(groups, began);
    }
    grpc_call_work(call, clock_monotonic_ns() - began);
    if (good && done == num)
        batch_send(call);
    else if (good)
        keep_rest(call, names + done, num - done, done);
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
