/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "service/directory/directory_fields.h"
#include "service/users/page_token.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"
#include "user/user.h"
#include "user/wire.h"

enum {
    /* The clock is read after so many users: the worst filter takes 16 us for one, and a user of
     * 4,000 bytes 1 us to copy. */
    CLOCK_EVERY_FILTERED = 16,
    CLOCK_EVERY_COPIED = 64,
    SLICE_NS = 100 * 1000,
    TAG_NEXT_PAGE = 0x12, /* of ListUsersResponse: number << 3 | wire type */
    TAG_TOTAL_SIZE = 0x18,
};
_Static_assert(2 + PAGE_TOKEN_SIZE + 1 + 10 <= DIRECTORY_USERS_REST_MAX,
               "next_page_token and total_size fit");

static const char bad_page_token_text[] =
    "page_token is not a next_page_token of this server for this filter: begin anew";

static struct user_service *service_of(struct grpc_call *call)
{
    return grpc_call_service_data(call);
}

/* ---- the end ---- */

static void list_end(struct grpc_call *call, enum grpc_status status, const char *text)
{
    struct directory_list_call *list = grpc_call_state(call);
    listing_end(&service_of(call)->listings, &list->listing);
    grpc_call_finish(call, status, text);
}

/* @param more users may follow those of this page */
static void send_page(struct grpc_call *call, bool more)
{
    struct directory_list_call *list = grpc_call_state(call);
    char token[PAGE_TOKEN_SIZE];
    uint8_t rest[DIRECTORY_USERS_REST_MAX], *end = rest;
    uint64_t total = list->filter == NULL ? shm_users(service_of(call)->store) : 0;
    if (more) {
        page_token_format(token, list->token_filter, list->after_seq, list->after_id);
        end = wire_put_bytes(end, TAG_NEXT_PAGE, token, sizeof(token));
    }
    if (total != 0) {
        *end++ = TAG_TOTAL_SIZE;
        end = wire_put_varint(end, total);
    }
    directory_users_send(call, &list->users, rest, (size_t)(end - rest));
    list_end(call, GRPC_OK, NULL); /* if the call has not ended */
}

/* ---- the scan ---- */

static bool list_matches(const struct directory_list_call *list, const struct shm_user *user)
{
    return list->filter == NULL || filter_match(list->filter, user->body, user->body_len,
                                                shm_user_hidden(user), user->hidden_len);
}

enum slice { SLICE_DONE, SLICE_FULL, SLICE_END, SLICE_REVOKED, SLICE_NO_ROOM };

/* Takes a user into the page. @return SLICE_DONE: there is room for more */
static enum slice take_user(struct grpc_call *call, const struct shm_user *user)
{
    struct directory_list_call *list = grpc_call_state(call);
    if (!directory_users_add(call, &list->users, user, list->fields))
        return directory_users_any(&list->users) ? SLICE_FULL
                                                 : SLICE_NO_ROOM; /* the page ends before */
    list->after_seq = user->seq;
    memcpy(list->after_id, user->id, sizeof(list->after_id));
    list->left--;
    if (list->left != 0 && list->users.len < DIRECTORY_PAGE_BYTES)
        return SLICE_DONE;
    return shm_cursor_settle(&list->cursor) == SHM_ENOENT ? SLICE_END : SLICE_FULL;
}

/* Looks at users until the page has an end, or the slice's time is over. */
static enum slice scan_slice(struct grpc_call *call, uint64_t until)
{
    struct directory_list_call *list = grpc_call_state(call);
    const unsigned every = list->filter != NULL ? CLOCK_EVERY_FILTERED : CLOCK_EVERY_COPIED;
    for (unsigned i = 1;; i++) {
        struct shm_user user;
        int result = shm_cursor_next(&list->cursor, &user);
        if (result == SHM_EMORE)
            return SLICE_DONE;
        if (result != SHM_OK)
            return result == SHM_EREVOKED ? SLICE_REVOKED : SLICE_END;
        enum slice slice = list_matches(list, &user) ? take_user(call, &user) : SLICE_DONE;
        if (slice != SLICE_DONE || (i % every == 0 && clock_monotonic_ns() > until))
            return slice;
    }
}

static void list_pause(struct grpc_call *call)
{
    struct directory_list_call *list = grpc_call_state(call);
    if (listing_wait(&service_of(call)->listings, &list->listing, call, true)) {
        grpc_call_want_write(call);
        return;
    }
    char text[128];
    snprintf(text, sizeof(text),
             "%d listings of this connection are under way, each of another version of the table: "
             "wait for them first",
             PIN_SHARE_MAX);
    list_end(call, GRPC_RESOURCE_EXHAUSTED, text);
}

void directory_list_on_writable(struct grpc_call *call)
{
    uint64_t began = clock_monotonic_ns();
    enum slice slice = scan_slice(call, began + SLICE_NS);
    grpc_call_work(call, clock_monotonic_ns() - began);
    switch (slice) {
    case SLICE_DONE:
        list_pause(call);
        return;
    case SLICE_FULL:
    case SLICE_END:
        send_page(call, slice == SLICE_FULL);
        return;
    case SLICE_REVOKED:
        list_end(call, GRPC_ABORTED, service_of(call)->listings.revoked_text);
        return;
    case SLICE_NO_ROOM:
        list_end(call, GRPC_RESOURCE_EXHAUSTED, directory_no_room);
    }
}

/* ---- the begin ---- */

/* A unique key answers the filter: at most one user matches.
 * @return false: the table has to be scanned */
static bool list_by_key(struct grpc_call *call)
{
    struct directory_list_call *list = grpc_call_state(call);
    enum user_key key;
    struct user_text value;
    struct shm_user user;
    if (list->filter == NULL || !filter_key(list->filter, &key, &value))
        return false;
    int result =
        shm_user_find_key(service_of(call)->actor, key, value.data, (uint32_t)value.len, &user);
    if (result == SHM_EINVAL) /* no index */
        return false;
    if (result == SHM_OK && (!list->continues || user.seq > list->after_seq) &&
        list_matches(list, &user) && !directory_users_add(call, &list->users, &user, list->fields))
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, directory_no_room);
    else
        send_page(call, false);
    return true;
}

static bool place_cursor(struct directory_list_call *list, struct shm_actor *actor)
{
    const struct shm_snapshot *snapshot = &list->listing.snapshot;
    if (list->continues)
        return shm_cursor_after(&list->cursor, actor, snapshot, list->after_seq, list->after_id) ==
               SHM_OK;
    shm_cursor_first(&list->cursor, actor, snapshot);
    return true;
}

static void directory_list_begin(struct grpc_call *call)
{
    struct listings *listings = &service_of(call)->listings;
    struct directory_list_call *list = grpc_call_state(call);
    if (!listing_start(listings, &list->listing, call, &list->parking, directory_list_begin))
        return;
    if (!place_cursor(list, listings->actor)) {
        listing_end(listings, &list->listing);
        user_refuse(call, GRPC_INVALID_ARGUMENT, bad_page_token_text);
    } else {
        directory_list_on_writable(call);
    }
}

/* @return false: the call has ended */
static bool take_filter(struct grpc_call *call, const ProtobufCBinaryData *text)
{
    struct directory_list_call *list = grpc_call_state(call);
    struct fault fault;
    char refusal[sizeof(fault.text) + 16];
    if (text->len == 0)
        return true;
    switch (filter_parse(&list->filter, (const char *)text->data, text->len, &fault)) {
    case FILTER_OK:
        return true;
    case FILTER_WRONG:
        snprintf(refusal, sizeof(refusal), "filter: %s", fault.text);
        user_refuse(call, GRPC_INVALID_ARGUMENT, refusal);
        return false;
    case FILTER_NO_MEMORY:
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
    }
    return false;
}

void directory_list_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct directory_list_call *list = grpc_call_state(call);
    const Rosterd__Directory__V1__ListUsersRequest *request =
        (Rosterd__Directory__V1__ListUsersRequest *)message;
    const ProtobufCBinaryData *token = &request->page_token;
    if (request->page_size < 0) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, "page_size is negative");
        return;
    }
    list->token_filter = page_token_filter(request->filter.data, request->filter.len);
    list->continues = token->len != 0;
    if (list->continues && !page_token_parse(token->data, token->len, list->token_filter,
                                             &list->after_seq, list->after_id)) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, bad_page_token_text);
        return;
    }
    if (!directory_read_mask(call, request->read_mask, &list->fields) ||
        !take_filter(call, &request->filter))
        return;
    uint32_t size = (uint32_t)request->page_size;
    list->left = size == 0                   ? DIRECTORY_PAGE_DEFAULT
                 : size < DIRECTORY_PAGE_MAX ? size
                                             : DIRECTORY_PAGE_MAX;
    list->users.expected = list->filter == NULL ? list->left : 0;
    if (!list_by_key(call))
        directory_list_begin(call);
}

void directory_list_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct directory_list_call *list = grpc_call_state(call);
    (void)status;
    parking_leave(&list->parking, call);
    listing_end(&service_of(call)->listings, &list->listing);
    directory_users_drop(call, &list->users);
    free(list->filter);
    list->filter = NULL;
}
