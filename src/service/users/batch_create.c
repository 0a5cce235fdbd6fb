/* SPDX-License-Identifier: MIT */
#include "service/users/batch_create.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#include "base/clock.h"
#include "service/users/insert_many.h"
#include "service/users/user_reply.h"
#include "service/users/user_request.h"
#include "service/users/user_service_state.h"

enum {
    BATCH_ERRORS_MAX = 1000,      /* error lines of a reply; a last one says "and N more" */
    BATCH_BUFFER_MAX = 32 * 1024, /* bytes of encoded users that wait for their insert */
    BATCH_BUFFER_FIRST = 1024,
    ENTRY_HEAD = 2 * sizeof(uint32_t), /* position and body length */
};

/* Like realloc(); what the call keeps is counted in its connection's memory.
 * @return NULL: memory is exhausted, or the connection may not hold more; `old` stays as it was */
static void *batch_realloc(struct grpc_call *call, void *old, size_t size, size_t wanted)
{
    if (!grpc_call_hold(call, wanted - size))
        return NULL;
    void *grown = realloc(old, wanted);
    if (grown == NULL)
        grpc_call_release(call, wanted - size);
    return grown;
}

/* Notes why the request at this position of the stream made no user. Past BATCH_ERRORS_MAX, or
 * without memory, errors are only counted. */
static void batch_add_error(struct grpc_call *call, uint32_t position, const char *reason)
{
    struct batch_call *batch = grpc_call_state(call);
    if (batch->num_errors == batch->errors_cap && batch->errors_cap < BATCH_ERRORS_MAX) {
        uint32_t cap = batch->errors_cap == 0 ? 8 : batch->errors_cap * 2;
        cap = MIN(cap, (uint32_t)BATCH_ERRORS_MAX);
        struct batch_error *grown = batch_realloc(
            call, batch->errors, batch->errors_cap * sizeof(*grown), cap * sizeof(*grown));
        if (grown != NULL) {
            batch->errors = grown;
            batch->errors_cap = cap;
        }
    }
    if (batch->num_errors == batch->errors_cap) {
        batch->more_errors++;
        return;
    }
    batch->errors[batch->num_errors++] =
        (struct batch_error){.reason = reason, .position = position};
}

static void drop_errors(struct grpc_call *call)
{
    struct batch_call *batch = grpc_call_state(call);
    grpc_call_release(call, batch->errors_cap * sizeof(*batch->errors));
    free(batch->errors);
    batch->errors = NULL;
    batch->more_errors += batch->num_errors; /* batch_create_on_end() logs how many there were */
    batch->num_errors = batch->errors_cap = 0;
}

/* ---- users that wait for their insert ---- */

/* Encodes the user into the buffer. @return false: see batch_realloc() */
static bool batch_append(struct grpc_call *call, uint32_t position,
                         const Userservice__CreateUserRequest *request)
{
    struct batch_call *batch = grpc_call_state(call);
    if (batch->buffer_cap - batch->buffer_len < ENTRY_HEAD + USER_REQUEST_BODY_MAX) {
        uint32_t cap = batch->buffer_cap == 0 ? BATCH_BUFFER_FIRST : batch->buffer_cap * 2;
        uint8_t *grown = batch_realloc(call, batch->buffer, batch->buffer_cap, cap);
        if (grown == NULL)
            return false;
        batch->buffer = grown;
        batch->buffer_cap = cap;
    }
    uint8_t *entry = batch->buffer + batch->buffer_len;
    uint32_t len =
        (uint32_t)user_request_encode(entry + ENTRY_HEAD, request, clock_real_coarse_s());
    memcpy(entry, &position, sizeof(position));
    memcpy(entry + sizeof(position), &len, sizeof(len));
    batch->buffer_len += ENTRY_HEAD + len;
    batch->waiting++;
    return true;
}

static bool batch_is_full(const struct batch_call *batch)
{
    return batch->waiting == SHM_BATCH_MAX ||
           batch->buffer_len > BATCH_BUFFER_MAX - (ENTRY_HEAD + USER_REQUEST_BODY_MAX);
}

static uint32_t position_of(const struct shm_new_user *user)
{
    uint32_t position;
    memcpy(&position, user->body - ENTRY_HEAD, sizeof(position));
    return position;
}

/* Lists the buffered users for shm_users_insert(), each with a new id. */
static void load_users(struct user_service *service, const struct batch_call *batch)
{
    const uint8_t *entry = batch->buffer;
    for (uint32_t i = 0; i < batch->waiting; i++) {
        struct shm_new_user *user = &service->batch[i];
        *user = (struct shm_new_user){.body = entry + ENTRY_HEAD}; /* an import has left its own */
        uuid_random(&service->ids, user->id);
        memcpy(&user->body_len, entry + sizeof(uint32_t), sizeof(user->body_len));
        entry += ENTRY_HEAD + user->body_len;
    }
}

/* Removes the first `done` users from the buffer, and frees it when none is left. */
static void drop_users(struct grpc_call *call, const struct shm_new_user *users, uint32_t done)
{
    struct batch_call *batch = grpc_call_state(call);
    batch->waiting -= done;
    if (batch->waiting == 0) {
        grpc_call_release(call, batch->buffer_cap);
        free(batch->buffer);
        batch->buffer = NULL;
        batch->buffer_len = batch->buffer_cap = 0;
    } else if (done != 0) {
        const uint8_t *rest = users[done].body - ENTRY_HEAD;
        uint32_t gone = (uint32_t)(rest - batch->buffer);
        batch->buffer_len -= gone;
        memmove(batch->buffer, rest, batch->buffer_len);
    }
}

static void add_taken(struct grpc_call *call, const struct shm_new_user *user, unsigned key)
{
    struct batch_call *batch = grpc_call_state(call);
    const char *reason = "its username or email is taken";
    if (batch->num_errors < BATCH_ERRORS_MAX) { /* otherwise the text is not sent */
        char text[USER_TAKEN_SIZE];
        user_taken_text(text, user, key, user_show);
        size_t size = strlen(text) + 1;
        char *kept = grpc_arena_alloc(grpc_call_arena(call), size);
        if (kept != NULL)
            reason = memcpy(kept, text, size);
    }
    batch_add_error(call, position_of(user), reason);
}

static void batch_inserted(void *data, uint32_t first, uint32_t count, uint64_t version)
{
    struct batch_call *batch = grpc_call_state(data);
    (void)first;
    batch->version = MAX(batch->version, version);
    batch->created += count;
}

static void batch_refused(void *data, uint32_t which, int result,
                          const struct shm_conflict *conflict)
{
    struct grpc_call *call = data;
    const struct user_service *service = grpc_call_service_data(call);
    struct batch_call *batch = grpc_call_state(call);
    const char *text;
    if (result == SHM_EKEY) {
        batch->version = MAX(batch->version, conflict->version);
        add_taken(call, &service->batch[which], conflict->key);
    } else {
        user_insert_status(service, result, &text);
        batch_add_error(call, position_of(&service->batch[which]), text);
    }
}

/* Inserts the users that wait.
 * @return SHM_OK: no user waits any more; else as insert_many() */
static int insert_waiting(struct grpc_call *call)
{
    struct user_service *service = grpc_call_service_data(call);
    struct batch_call *batch = grpc_call_state(call);
    const struct insert_many_caller caller = {
        .inserted = batch_inserted, .refused = batch_refused, .data = call};
    uint32_t done = 0;
    int result = SHM_OK;
    load_users(service, batch);
    if (batch->waiting != 0)
        result = insert_many(service, batch->waiting, &caller, &batch->chunk, &done);
    drop_users(call, service->batch, done);
    return result;
}

/* ---- the reply ---- */

static int compare_positions(const void *a, const void *b)
{
    const struct batch_error *x = a, *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

/* @return an empty line: out of memory */
static ProtobufCBinaryData format_line(struct grpc_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static ProtobufCBinaryData format_line(struct grpc_arena *arena, const char *format, ...)
{
    char text[USER_TAKEN_SIZE + 32];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t size = MIN((size_t)len, sizeof(text) - 1);
    ProtobufCBinaryData line = {.len = 0, .data = grpc_arena_alloc(arena, size)};
    if (line.data != NULL) {
        memcpy(line.data, text, size);
        line.len = size;
    }
    return line;
}

static void batch_finish(struct grpc_call *call)
{
    struct batch_call *batch = grpc_call_state(call);
    struct grpc_arena *arena =
        &(struct grpc_arena){0}; /* not the call's: the reply is packed at once */
    Userservice__BatchResult result = USERSERVICE__BATCH_RESULT__INIT;
    grpc_arena_init(arena, NULL, 0);
    result.created = (int32_t)MIN(batch->created, (uint32_t)INT32_MAX);
    size_t lines = batch->num_errors + (batch->more_errors != 0);
    if (lines != 0) {
        result.errors = grpc_arena_alloc(arena, lines * sizeof(*result.errors));
        if (result.errors == NULL) {
            grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory for the errors");
            return;
        }
        qsort(batch->errors, batch->num_errors, sizeof(*batch->errors), compare_positions);
        for (size_t i = 0; i < batch->num_errors; i++)
            result.errors[i] =
                format_line(arena, "%u: %s", batch->errors[i].position, batch->errors[i].reason);
        if (batch->more_errors != 0)
            result.errors[lines - 1] =
                format_line(arena, "and %llu more", (unsigned long long)batch->more_errors);
        result.n_errors = lines;
    }
    grpc_call_send(call, &result.base);
    grpc_arena_clear(arena, false);
    drop_errors(call);
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- the call ---- */

/* Ends the call without its reply. What it has created is not certain before it is on disk. */
static void batch_fail(struct grpc_call *call, enum grpc_status status, const char *text)
{
    const struct user_service *service = grpc_call_service_data(call);
    const struct batch_call *batch = grpc_call_state(call);
    const char *created = commit_is_published(&service->commits, batch->version)
                              ? "users were created"
                              : "users may have been created";
    grpc_call_finishf(call, status, "%s; %u %s", text, batch->created, created);
}

static void batch_give_up(struct grpc_call *call, int result)
{
    struct batch_call *batch = grpc_call_state(call);
    const char *text;
    enum grpc_status status = user_insert_status(grpc_call_service_data(call), result, &text);
    batch->waiting = 0; /* the reply does not count these users */
    batch_fail(call, status, text);
}

static void batch_answer(struct grpc_call *call)
{
    struct user_service *service = grpc_call_service_data(call);
    struct batch_call *batch = grpc_call_state(call);
    if (commit_is_published(&service->commits, batch->version))
        batch_finish(call);
    else
        commit_wait_enter(&service->commits, &batch->wait, call, batch->version, batch_finish);
}

/* Inserts the users that wait. A call that finds the writer lock taken, or the journal behind, is
 * parked and reads no further requests meanwhile. */
static void batch_flush(struct grpc_call *call)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct batch_call *batch = grpc_call_state(call);
    bool paused = parking_is_parked(&batch->parking);
    uint32_t before = batch->waiting;
    int result = insert_waiting(call);
    if (result == SHM_EBUSY && batch->waiting < before)
        parking_leave(&batch->parking, call); /* progress: the waiting time restarts */
    if (result == SHM_EBUSY &&
        parking_enter_write(&batch->parking, call, batch_flush, service->store)) {
        if (!paused)
            grpc_call_pause(call);
        return;
    }
    parking_leave(&batch->parking, call);
    if (result != SHM_OK)
        batch_give_up(call, result);
    else if (batch->half_closed)
        batch_answer(call);
    else if (paused)
        grpc_call_resume(call);
}

static bool stores_passwords(struct grpc_call *call)
{
    const struct user_service *service = grpc_call_service_data(call);
    return service->passwords.store;
}

void batch_create_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct batch_call *batch = grpc_call_state(call);
    Userservice__CreateUserRequest *request = (Userservice__CreateUserRequest *)message;
    const char *reason;
    uint32_t position = batch->position++;
    bool unstored = request->password.len != 0 && stores_passwords(call);
    if (!user_request_check(request, &reason))
        batch_add_error(call, position, reason);
    else if (unstored)
        batch_add_error(call, position,
                        "password: a batch stores none (store-passwords is on): leave it empty, or "
                        "call CreateUser");
    else if (!batch_append(call, position, request))
        batch_fail(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
    else if (batch_is_full(batch))
        batch_flush(call);
}

void batch_create_on_half_close(struct grpc_call *call)
{
    struct batch_call *batch = grpc_call_state(call);
    batch->half_closed = true;
    if (!parking_is_parked(&batch->parking))
        batch_flush(call);
}

void batch_create_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct user_service *service = grpc_call_service_data(call);
    struct batch_call *batch = grpc_call_state(call);
    parking_leave(&batch->parking, call);
    if (commit_wait_waits(&batch->wait))
        commit_wait_leave(&service->commits, &batch->wait);
    if (batch->waiting != 0)
        insert_waiting(call);
    if (status != GRPC_OK) {
        char line[160];
        snprintf(line, sizeof(line),
                 "BatchCreateUsers ended %s after %u requests: %u users created, %llu refused, "
                 "%u dropped",
                 grpc_status_name(status), batch->position, batch->created,
                 (unsigned long long)batch->num_errors + batch->more_errors, batch->waiting);
        service->note(line);
    }
    free(batch->buffer);
    free(batch->errors);
}
