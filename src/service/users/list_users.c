/* SPDX-License-Identifier: MIT */
#include "service/users/list_users.h"

#include "proto/user_service.pb-c.h"
#include "service/users/page_token.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"

enum {
    PAGE_DEFAULT = 10,
    /* What a step past deleted users counts as, in ns of the connection's turn; it takes 50 to
     * 500 µs. */
    STEP_NS = 250000,
};

static const char bad_token_text[] = "page_token is not a next-page-token of this server";

static struct listings *listings_of(struct grpc_call *call)
{
    return &((struct user_service *)grpc_call_service_data(call))->listings;
}

/* ---- end ---- */

static void list_finish(struct grpc_call *call, enum grpc_status status, const char *text)
{
    struct list_call *list = grpc_call_state(call);
    /* before the client has read what is buffered: the snapshot costs others memory */
    listing_end(listings_of(call), &list->listing);
    grpc_call_finish(call, status, text);
}

/* @param more users follow those of this page */
static void finish_page(struct grpc_call *call, bool more)
{
    const struct list_call *list = grpc_call_state(call);
    if (more) {
        char token[PAGE_TOKEN_SIZE];
        page_token_format(token, 0, list->after_seq, list->after_id);
        grpc_call_add_trailing_metadata(call, "next-page-token", token, sizeof(token));
    }
    list_finish(call, GRPC_OK, NULL);
}

/* ---- sending ---- */

/* Sends users while the call is writable and the page is not full.
 * @return the cursor's result. After the page's last user: SHM_OK if more users follow, SHM_EMORE
 *   if that is not known yet, another code if none follows. */
static int send_users(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    while (grpc_call_writable(call)) {
        struct shm_user user;
        int result = shm_cursor_next(&list->cursor, &user);
        if (result != SHM_OK)
            return result;
        user_reply(call, user.id, user.body, user.body_len);
        if (--list->left == 0) {
            /* kept for the token: that more users follow may become known only later */
            list->after_seq = user.seq;
            memcpy(list->after_id, user.id, sizeof(list->after_id));
            return shm_cursor_settle(&list->cursor);
        }
    }
    return SHM_OK;
}

/* The listing goes on in list_users_on_writable(): when the client has read, or in the connection's
 * next turn. */
static void list_wait(struct grpc_call *call, bool progress)
{
    struct list_call *list = grpc_call_state(call);
    if (listing_wait(listings_of(call), &list->listing, call, progress)) {
        grpc_call_want_write(call);
        return;
    }
    char text[128];
    snprintf(text, sizeof(text),
             "%d listings of this connection are under way, each of another version of the "
             "table: read or cancel them first",
             PIN_SHARE_MAX);
    list_finish(call, GRPC_RESOURCE_EXHAUSTED, text);
}

void list_users_on_writable(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    uint32_t left = list->left;
    int result = left != 0 ? send_users(call) : shm_cursor_settle(&list->cursor);
    if (result == SHM_EREVOKED) {
        list_finish(call, GRPC_ABORTED, listings_of(call)->revoked_text);
    } else if (result == SHM_EMORE) {
        grpc_call_work(call, STEP_NS);
        list_wait(call, true);
    } else if (result != SHM_OK || list->left == 0) {
        finish_page(call, result == SHM_OK);
    } else {
        list_wait(call, list->left != left);
    }
}

/* ---- begin ---- */

/* @return false: the snapshot does not have the user that the page continues after */
static bool start_cursor(struct list_call *list, struct shm_actor *actor)
{
    const struct shm_snapshot *snapshot = &list->listing.snapshot;
    if (list->continues)
        return shm_cursor_after(&list->cursor, actor, snapshot, list->after_seq, list->after_id) ==
               SHM_OK;
    shm_cursor_first(&list->cursor, actor, snapshot);
    return true;
}

static void list_begin(struct grpc_call *call)
{
    struct listings *listings = listings_of(call);
    struct list_call *list = grpc_call_state(call);
    if (!listing_start(listings, &list->listing, call, &list->parking, list_begin))
        return;
    if (!start_cursor(list, listings->actor)) {
        listing_end(listings, &list->listing);
        user_refuse(call, GRPC_INVALID_ARGUMENT, bad_token_text);
    } else {
        list_users_on_writable(call);
    }
}

void list_users_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct list_call *list = grpc_call_state(call);
    const Userservice__ListUsersRequest *request = (Userservice__ListUsersRequest *)message;
    const ProtobufCBinaryData *token = &request->page_token;
    if (request->page_size < 0) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, "page_size is negative");
        return;
    }
    list->continues = token->len != 0;
    if (list->continues &&
        !page_token_parse(token->data, token->len, 0, &list->after_seq, list->after_id)) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, bad_token_text);
        return;
    }
    list->left = request->page_size == 0 ? PAGE_DEFAULT : (uint32_t)request->page_size;
    list_begin(call);
}

void list_users_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct list_call *list = grpc_call_state(call);
    (void)status;
    parking_leave(&list->parking, call);
    listing_end(listings_of(call), &list->listing);
}
