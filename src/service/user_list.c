/* SPDX-License-Identifier: MIT */
/* ListUsers: a page of one snapshot, sent as fast as the client reads. */
#include "service/calls.h"
#include "service/page_token.h"

enum { PAGE_DEFAULT = 10 };

static void release(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    if (!list->open)
        return;
    list->open = false;
    const struct user_service *service = grpc_call_service_data(call);
    shm_snapshot_end(service->actor, &list->snapshot);
}

static void finish(struct grpc_call *call)
{
    /* before the client has read what is buffered: a pin costs others memory */
    release(call);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void finish_page(struct grpc_call *call, const struct shm_user *last)
{
    const struct list_call *list = grpc_call_state(call);
    if (shm_cursor_more(&list->cursor)) {
        char token[PAGE_TOKEN_SIZE];
        page_token_format(token, last->seq, last->id);
        grpc_call_add_trailing_metadata(call, "next-page-token", token, sizeof(token));
    }
    finish(call);
}

void user_list_on_writable(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    while (grpc_call_writable(call)) {
        struct shm_user user;
        if (shm_cursor_next(&list->cursor, &user) != SHM_OK) {
            finish(call);
            return;
        }
        user_reply(call, user.id, user.body, user.body_len);
        if (--list->left == 0) {
            finish_page(call, &user);
            return;
        }
    }
    grpc_call_want_write(call);
}

/* @return NULL, or what is wrong with the token */
static const char *start_cursor(struct list_call *list, struct shm_actor *actor,
                                const ProtobufCBinaryData *token)
{
    uint64_t seq;
    uint8_t id[UUID_SIZE];
    if (token->len == 0) {
        shm_cursor_first(&list->cursor, actor, &list->snapshot);
        return NULL;
    }
    if (!page_token_parse(token->data, token->len, &seq, id) ||
        shm_cursor_after(&list->cursor, actor, &list->snapshot, seq, id) != SHM_OK)
        return "page_token is not a next-page-token of this server";
    return NULL;
}

void user_list_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct list_call *list = grpc_call_state(call);
    const Userservice__ListUsersRequest *request = (Userservice__ListUsersRequest *)message;
    if (request->page_size < 0) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "page_size is negative");
        return;
    }
    int result = shm_snapshot_begin(service->actor, &list->snapshot);
    if (result != SHM_OK) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
                         result == SHM_EPINS ? "too many listings at once, try again"
                                             : shm_strerror(result));
        return;
    }
    list->open = true;
    list->left = request->page_size == 0 ? PAGE_DEFAULT : (uint32_t)request->page_size;
    const char *fault = start_cursor(list, service->actor, &request->page_token);
    if (fault != NULL) {
        release(call);
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, fault);
        return;
    }
    user_list_on_writable(call);
}

void user_list_on_end(struct grpc_call *call, enum grpc_status status)
{
    (void)status;
    release(call);
}
