/* SPDX-License-Identifier: MIT */
/*
 * BatchCreateUsers: users are collected and inserted up to SHM_BATCH_MAX in
 * one commit. What was collected when a call is cancelled, expires or breaks
 * off is inserted too, as if each request had been served when it came.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/users/calls.h"

enum {
    BATCH_ERRORS_MAX = 1000,      /* lines told; then one "and N more" */
    BATCH_BUFFER_MAX = 32 * 1024, /* bytes of a call that wait for their insert */
    BATCH_BUFFER_FIRST = 1024,
    ENTRY_HEAD = 2 * sizeof(uint32_t), /* position, body length */
};

/* What a call keeps is counted, and one that may keep no more says less. */
static void *grow(struct grpc_call *call, void *old, size_t size, size_t wanted)
{
    if (!grpc_call_hold(call, wanted - size))
        return NULL;
    void *grown = realloc(old, wanted);
    if (grown == NULL)
        grpc_call_release(call, wanted - size);
    return grown;
}

static void add_error(struct grpc_call *call, uint32_t position, const char *reason)
{
    struct batch_call *batch = grpc_call_state(call);
    if (batch->num_errors == batch->errors_cap && batch->errors_cap < BATCH_ERRORS_MAX) {
        uint32_t cap = batch->errors_cap == 0 ? 8 : batch->errors_cap * 2;
        cap = cap < BATCH_ERRORS_MAX ? cap : BATCH_ERRORS_MAX;
        struct batch_error *grown =
            grow(call, batch->errors, batch->errors_cap * sizeof(*grown), cap * sizeof(*grown));
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
    batch->more_errors += batch->num_errors; /* the log counts them */
    batch->num_errors = batch->errors_cap = 0;
}

/* ---- the users that wait ---- */

static bool append(struct grpc_call *call, uint32_t position,
                   const Userservice__CreateUserRequest *request)
{
    struct batch_call *batch = grpc_call_state(call);
    if (batch->buffer_cap - batch->buffer_len < ENTRY_HEAD + USER_REQUEST_BODY_MAX) {
        uint32_t cap = batch->buffer_cap == 0 ? BATCH_BUFFER_FIRST : batch->buffer_cap * 2;
        uint8_t *grown = grow(call, batch->buffer, batch->buffer_cap, cap);
        if (grown == NULL)
            return false;
        batch->buffer = grown;
        batch->buffer_cap = cap;
    }
    uint8_t *entry = batch->buffer + batch->buffer_len;
    uint32_t len = (uint32_t)user_request_encode(entry + ENTRY_HEAD, request, user_clock_seconds());
    memcpy(entry, &position, sizeof(position));
    memcpy(entry + sizeof(position), &len, sizeof(len));
    batch->buffer_len += ENTRY_HEAD + len;
    batch->waiting++;
    return true;
}

static bool is_full(const struct batch_call *batch)
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

static void load_users(struct user_service *service, const struct batch_call *batch)
{
    const uint8_t *entry = batch->buffer;
    for (uint32_t i = 0; i < batch->waiting; i++) {
        struct shm_new_user *user = &service->batch[i];
        uuid_random(&service->ids, user->id);
        memcpy(&user->body_len, entry + sizeof(uint32_t), sizeof(user->body_len));
        user->body = entry + ENTRY_HEAD;
        entry += ENTRY_HEAD + user->body_len;
    }
}

/* Forgets the first `done` users; the memory too when none is left. */
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
    if (batch->num_errors < BATCH_ERRORS_MAX) { /* else nobody reads it */
        char text[USER_TAKEN_SIZE];
        user_taken_text(text, user, key);
        size_t size = strlen(text) + 1;
        char *kept = grpc_arena_alloc(grpc_call_arena(call), size);
        if (kept != NULL)
            reason = memcpy(kept, text, size);
    }
    add_error(call, position_of(user), reason);
}

struct inserting {
    uint32_t done;             /* users that are in the table or refused */
    uint32_t count;            /* tried just now */
    uint32_t chunk, chunk_max; /* to try next, at most */
};

/* Takes note of what became of what was tried, and says how many to try next. */
static void settle(struct grpc_call *call, struct inserting *now, int result,
                   const struct shm_conflict *conflict)
{
    struct user_service *service = grpc_call_service_data(call);
    struct batch_call *batch = grpc_call_state(call);
    struct shm_new_user *first = &service->batch[now->done];
    switch (result) {
    case SHM_OK:
        batch->created += now->count;
        now->done += now->count;
        now->chunk = 2 * now->count < now->chunk_max ? 2 * now->count : now->chunk_max;
        return;
    case SHM_EBUSY:
        return;
    case SHM_EEXIST:
        uuid_random(&service->ids, first[conflict->which].id);
        return;
    case SHM_EKEY:
        if (conflict->which != 0) {
            now->chunk = (uint32_t)conflict->which;
            return;
        }
        now->chunk = (now->count + 1) / 2;
        add_taken(call, first, conflict->key);
        now->done++;
        return;
    default:
        if (now->count > 1) {
            now->chunk = now->chunk_max = (now->count + 1) / 2;
            return;
        }
        const char *text;
        user_insert_status(service, result, &text);
        add_error(call, position_of(first), text);
        now->done++;
    }
}

/*
 * Inserts what waits. An insert is all or nothing. Where the table has room for a
 * part only, halves find out which. Where a user's name is taken, those before it
 * go in first, so that of two in one batch the first has the name; then it
 * stands first itself, and is left out. What is tried next is half of what failed
 * and twice what worked, so however many are taken, the work stays in
 * proportion to the users. @return SHM_OK when none waits, or SHM_EBUSY
 */
static int insert_waiting(struct grpc_call *call)
{
    struct user_service *service = grpc_call_service_data(call);
    struct batch_call *batch = grpc_call_state(call);
    struct inserting now = {.chunk = batch->chunk != 0 ? batch->chunk : batch->waiting,
                            .chunk_max = batch->waiting};
    int result = SHM_OK;
    load_users(service, batch);
    while (now.done < batch->waiting && result != SHM_EBUSY) {
        uint32_t left = batch->waiting - now.done;
        struct shm_conflict conflict;
        now.count = now.chunk < left ? now.chunk : left;
        result = shm_users_insert(service->actor, &service->batch[now.done], now.count, &conflict);
        settle(call, &now, result, &conflict);
    }
    batch->chunk = result == SHM_EBUSY ? now.chunk : 0; /* what was learned is kept */
    drop_users(call, service->batch, now.done);
    return result == SHM_EBUSY ? SHM_EBUSY : SHM_OK;
}

/* ---- the reply ---- */

static int by_position(const void *a, const void *b)
{
    const struct batch_error *x = a, *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

static ProtobufCBinaryData format_line(struct grpc_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static ProtobufCBinaryData format_line(struct grpc_arena *arena, const char *format, ...)
{
    char text[USER_TAKEN_SIZE + 32];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t size = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    ProtobufCBinaryData line = {.len = 0, .data = grpc_arena_alloc(arena, size)};
    if (line.data != NULL) {
        memcpy(line.data, text, size);
        line.len = size;
    }
    return line;
}

static void finish(struct grpc_call *call)
{
    struct batch_call *batch = grpc_call_state(call);
    struct grpc_arena *arena = &(struct grpc_arena){0}; /* the packed reply alone waits */
    Userservice__BatchResult result = USERSERVICE__BATCH_RESULT__INIT;
    grpc_arena_init(arena, NULL, 0);
    result.created = batch->created <= INT32_MAX ? (int32_t)batch->created : INT32_MAX;
    size_t lines = batch->num_errors + (batch->more_errors != 0);
    if (lines != 0) {
        result.errors = grpc_arena_alloc(arena, lines * sizeof(*result.errors));
        if (result.errors == NULL) {
            grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory for the errors");
            return;
        }
        qsort(batch->errors, batch->num_errors, sizeof(*batch->errors), by_position);
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

static void retry(struct timer *timer);

static void flush(struct grpc_call *call)
{
    struct batch_call *batch = grpc_call_state(call);
    bool paused = batch->parking.until != 0;
    uint32_t before = batch->waiting;
    if (insert_waiting(call) == SHM_EBUSY) {
        if (batch->waiting < before)
            parking_leave(&batch->parking, call); /* it got on: its wait starts anew */
        if (!parking_enter(&batch->parking, call, retry)) {
            batch->waiting = 0; /* the client is told that these are not there */
            grpc_call_finishf(call, GRPC_UNAVAILABLE, "the table is busy; %u users were created",
                              batch->created);
        } else if (!paused) {
            grpc_call_pause(call);
        }
        return;
    }
    parking_leave(&batch->parking, call);
    if (batch->half_closed)
        finish(call);
    else if (paused)
        grpc_call_resume(call);
}

static void retry(struct timer *timer)
{
    flush(((struct parking *)timer)->call);
}

void user_batch_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct batch_call *batch = grpc_call_state(call);
    Userservice__CreateUserRequest *request = (Userservice__CreateUserRequest *)message;
    const char *fault = user_request_check(request);
    if (request->password.len != 0)
        explicit_bzero(request->password.data, request->password.len);
    uint32_t position = batch->position++;
    if (fault != NULL)
        add_error(call, position, fault);
    else if (!append(call, position, request))
        grpc_call_finishf(call, GRPC_RESOURCE_EXHAUSTED, "out of memory; %u users were created",
                          batch->created);
    else if (is_full(batch))
        flush(call);
}

void user_batch_on_half_close(struct grpc_call *call)
{
    struct batch_call *batch = grpc_call_state(call);
    batch->half_closed = true;
    if (batch->parking.until == 0)
        flush(call);
}

void user_batch_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct user_service *service = grpc_call_service_data(call);
    struct batch_call *batch = grpc_call_state(call);
    parking_leave(&batch->parking, call);
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
