/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_watch.h"

#include <string.h>

#include "service/directory/directory_fields.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"
#include "shm/disk.h"

enum {
    /* Work in ns, which counts against the connection's turn besides the bytes that are sent. */
    WORK_MADE = 600, /* a change was looked up, and its message made */
    WORK_FOUND = 60,
    WORK_STEP = 250000, /* past deleted users of a snapshot, as in users/list_users.c */
};

static const char lost_text[] =
    "the client is too slow: the changes after its resume_token are not known any more, list anew";

static struct directory_watches *watches_of(struct grpc_call *call)
{
    return ((struct user_service *)grpc_call_service_data(call))->watches;
}

static struct listings *listings_for(struct grpc_call *call)
{
    return &((struct user_service *)grpc_call_service_data(call))->listings;
}

/* ---- the end ---- */

static void watch_end(struct grpc_call *call, enum grpc_status status, const char *text)
{
    struct directory_watch_call *state = grpc_call_state(call);
    listing_end(listings_for(call), &state->listing);
    directory_watch_leave(watches_of(call), &state->watch);
    grpc_call_finish(call, status, text);
}

static void end_lost(struct grpc_call *call)
{
    watches_of(call)->counts->watches_lost++;
    watch_end(call, GRPC_OUT_OF_RANGE, lost_text);
}

/* The client does not read. Its call need not wait for that. */
static void watch_on_stalled(struct grpc_call *call)
{
    const struct directory_watch_call *state = grpc_call_state(call);
    if (!parking_is_parked(&state->parking) &&
        directory_changes_lost(&watches_of(call)->changes, &state->place))
        end_lost(call);
}

/* ---- sending ---- */

static void send_message_bytes(struct grpc_call *call, const uint8_t *bytes, size_t len)
{
    struct directory_watch_call *state = grpc_call_state(call);
    uint8_t *to = grpc_call_reserve(call, len);
    if (to == NULL)
        return;
    memcpy(to, bytes, len);
    grpc_call_commit(call);
    directory_watch_sent(&state->watch);
}

/* A message without a user. */
static void send_place(struct grpc_call *call, unsigned type)
{
    const struct directory_watch_call *state = grpc_call_state(call);
    const struct directory_resume resume =
        directory_changes_token(&watches_of(call)->changes, &state->place);
    uint8_t bytes[DIRECTORY_WATCH_MESSAGE_MAX];
    uint8_t *out = directory_watch_put_type(bytes, type);
    out = directory_watch_put_token(out, &resume);
    send_message_bytes(call, bytes, (size_t)(out - bytes));
}

/* ---- changes ---- */

/* Everything is told. The client can write. */
static void watch_pause(struct grpc_call *call, uint64_t published)
{
    struct directory_watches *watches = watches_of(call);
    struct directory_watch_call *state = grpc_call_state(call);
    directory_changes_quiet(&watches->changes, &state->place, published);
    if (directory_watch_is_quiet(&state->watch))
        send_place(call, DIRECTORY_WATCH_TYPE(BOOKMARK));
    if (state->watch.call != NULL)
        directory_watch_rest(watches, &state->watch, published);
}

/* @return whether there may be more to tell */
static bool tell_next(struct grpc_call *call)
{
    struct directory_watches *watches = watches_of(call);
    struct directory_watch_call *state = grpc_call_state(call);
    struct directory_message message = {0};
    uint64_t published = shm_published(watches->changes.store);
    switch (directory_changes_next(&watches->changes, &state->place, &message)) {
    case DIRECTORY_TOLD:
        watches->counts->watch_events++;
        send_message_bytes(call, message.bytes, message.len);
        break;
    case DIRECTORY_PASSED:
        break;
    case DIRECTORY_NONE:
        watch_pause(call, published);
        return false;
    case DIRECTORY_LOST:
        end_lost(call);
        return false;
    case DIRECTORY_NO_MEMORY:
        watch_end(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return false;
    }
    grpc_call_work(call, message.made ? WORK_MADE : WORK_FOUND);
    return true;
}

static void tell_changes(struct grpc_call *call)
{
    while (grpc_call_writable(call))
        if (!tell_next(call))
            return;
    grpc_call_want_write(call);
}

/* ---- the users at the begin ---- */

static void send_listed(struct grpc_call *call, const struct shm_user *user)
{
    const struct directory_watch_call *state = grpc_call_state(call);
    uint8_t bytes[DIRECTORY_WATCH_MESSAGE_MAX];
    uint8_t *out = directory_watch_put_type(bytes, DIRECTORY_WATCH_TYPE(CREATED));
    out = directory_watch_put_user(out, user, state->place.fields);
    send_message_bytes(call, bytes, (size_t)(out - bytes));
}

/* @return the cursor's result; SHM_OK: the call is not writable any more */
static int send_listed_users(struct grpc_call *call)
{
    struct directory_watch_call *state = grpc_call_state(call);
    while (grpc_call_writable(call)) {
        struct shm_user user;
        int result = shm_cursor_next(&state->cursor, &user);
        if (result != SHM_OK)
            return result;
        send_listed(call, &user);
    }
    return SHM_OK;
}

static void listed_wait(struct grpc_call *call, bool progress)
{
    struct directory_watch_call *state = grpc_call_state(call);
    if (listing_wait(listings_for(call), &state->listing, call, progress)) {
        grpc_call_want_write(call);
        return;
    }
    watch_end(call, GRPC_RESOURCE_EXHAUSTED,
              "too many listings of this connection are under way, each of another version of the "
              "table: wait for them first");
}

static void tell_users(struct grpc_call *call)
{
    struct directory_watch_call *state = grpc_call_state(call);
    uint64_t sent = grpc_call_messages_out(call);
    int result = send_listed_users(call);
    if (result == SHM_EREVOKED) {
        watch_end(call, GRPC_ABORTED, listings_for(call)->revoked_text);
    } else if (result == SHM_EMORE) {
        grpc_call_work(call, WORK_STEP);
        listed_wait(call, true);
    } else if (result == SHM_OK) {
        listed_wait(call, grpc_call_messages_out(call) != sent);
    } else {
        listing_end(listings_for(call), &state->listing);
        send_place(call, DIRECTORY_WATCH_TYPE(INITIAL_DONE));
        tell_changes(call);
    }
}

void directory_watch_on_writable(struct grpc_call *call)
{
    const struct directory_watch_call *state = grpc_call_state(call);
    if (state->watch.call == NULL) /* it has ended */
        return;
    if (state->listing.open)
        tell_users(call);
    else
        tell_changes(call);
}

/* ---- the begin ---- */

static void begin_with_users(struct grpc_call *call)
{
    struct directory_watch_call *state = grpc_call_state(call);
    struct listings *listings = listings_for(call);
    if (!listing_start(listings, &state->listing, call, &state->parking, begin_with_users))
        return;
    if (directory_changes_from(&watches_of(call)->changes, &state->place,
                               state->listing.snapshot.version) != SHM_OK) {
        end_lost(call);
        return;
    }
    shm_cursor_first(&state->cursor, listings->actor, &state->listing.snapshot);
    tell_users(call);
}

static void begin_now(struct grpc_call *call)
{
    struct directory_watch_call *state = grpc_call_state(call);
    struct directory_changes *changes = &watches_of(call)->changes;
    if (directory_changes_from(changes, &state->place, shm_published(changes->store)) != SHM_OK) {
        end_lost(call);
        return;
    }
    send_place(call, DIRECTORY_WATCH_TYPE(BOOKMARK));
    tell_changes(call);
}

static void begin_after(struct grpc_call *call, const struct directory_resume *resume)
{
    struct directory_watch_call *state = grpc_call_state(call);
    struct directory_changes *changes = &watches_of(call)->changes;
    if (directory_changes_resume(changes, &state->place, resume) == SHM_OK) {
        tell_changes(call);
        return;
    }
    bool future = resume->version > shm_published(changes->store);
    watch_end(call, GRPC_OUT_OF_RANGE,
              future
                  ? "resume_token is of a later state than the table has, such as before an older "
                    "copy was put back: list anew"
                  : "resume_token is too old: the changes after it are not known any more, list "
                    "anew");
}

/* @return false: the call has ended */
static bool take_token(struct grpc_call *call, const ProtobufCBinaryData *text,
                       struct directory_resume *resume)
{
    const struct directory_changes *changes = &watches_of(call)->changes;
    if (!directory_resume_parse(resume, text))
        user_refuse(call, GRPC_INVALID_ARGUMENT,
                    "resume_token is not a resume_token of this server: list anew");
    else if (memcmp(resume->table, changes->table, sizeof(resume->table)) != 0)
        user_refuse(call, GRPC_INVALID_ARGUMENT, "resume_token is of another table: list anew");
    else
        return true;
    return false;
}

void directory_watch_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct directory_watch_call *state = grpc_call_state(call);
    const Rosterd__Directory__V1__WatchUsersRequest *request =
        (Rosterd__Directory__V1__WatchUsersRequest *)message;
    struct directory_resume resume;
    bool resumes = request->resume_token.len != 0;
    if (!directory_read_mask(call, request->read_mask, &state->place.fields) ||
        (resumes && !take_token(call, &request->resume_token, &resume)) ||
        !directory_watch_enter(watches_of(call), &state->watch, call, watch_on_stalled))
        return;
    grpc_call_compress(call, false); /* it would be done anew for each watch */
    if (resumes)
        begin_after(call, &resume);
    else if (request->send_initial)
        begin_with_users(call);
    else
        begin_now(call);
}

void directory_watch_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct directory_watch_call *state = grpc_call_state(call);
    (void)status;
    parking_leave(&state->parking, call);
    listing_end(listings_for(call), &state->listing);
    directory_watch_leave(watches_of(call), &state->watch);
    directory_changes_end(&state->place);
}
