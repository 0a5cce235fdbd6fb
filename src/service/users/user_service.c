/* SPDX-License-Identifier: MIT */
#include "service/users/user_service.h"

#include "base/clock.h"
#include "proto/user_service.pb-c.h"
#include "service/users/batch_create.h"
#include "service/users/create_user.h"
#include "service/users/list_users.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"
#include "user/wire.h"

/* ---- GetUser ---- */

/* The id may be any text of any length: the message quotes its beginning. */
static void finish_not_found(struct grpc_call *call, const ProtobufCBinaryData *id)
{
    char text[USER_SHOWN_SIZE + 32] = "User ";
    char *p = user_show(text + strlen(text), id->data, id->len);
    memcpy(p, " not found", sizeof(" not found"));
    grpc_call_finish(call, GRPC_NOT_FOUND, text);
}

static void get_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const struct user_service *service = grpc_call_service_data(call);
    const ProtobufCBinaryData *text = &((Userservice__GetUserRequest *)message)->id;
    uint8_t id[UUID_SIZE];
    struct shm_user user;
    if (!uuid_parse(id, text->data, text->len) ||
        shm_user_find(service->actor, id, &user) != SHM_OK) {
        finish_not_found(call, text);
        return;
    }
    user_reply(call, user.id, user.body, user.body_len);
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- Chat ---- */

/* Writes the reply, a ChatMessage, in wire format: there is no message to pack. */
static void chat_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    static const char server[] = "server", echo[] = "Echo: ";
    enum { SERVER_LEN = sizeof(server) - 1, ECHO_LEN = sizeof(echo) - 1 };
    const ProtobufCBinaryData *text = &((Userservice__ChatMessage *)message)->text;
    uint64_t ms = clock_real_ms();
    size_t text_len = ECHO_LEN + text->len;
    size_t len =
        2 + SERVER_LEN + 1 + wire_varint_size(text_len) + text_len + 1 + wire_varint_size(ms);
    uint8_t *p = grpc_call_reserve(call, len);
    if (p == NULL)
        return;
    p = wire_put_bytes(p, 0x0a, server, SERVER_LEN);
    *p++ = 0x12;
    p = wire_put_varint(p, text_len);
    memcpy(p, echo, ECHO_LEN);
    p += ECHO_LEN;
    if (text->len != 0)
        memcpy(p, text->data, text->len);
    p += text->len;
    *p++ = 0x18;
    wire_put_varint(p, ms);
    grpc_call_commit(call);
}

static void chat_on_half_close(struct grpc_call *call)
{
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- the service ---- */

static const struct grpc_method user_methods[] = {
    {
        .name = "GetUser",
        .access = SCOPE_READ,
        .request = &userservice__get_user_request__descriptor,
        .response = &userservice__user__descriptor,
        .on_message = get_on_message,
    },
    {
        .name = "CreateUser",
        .access = SCOPE_WRITE,
        .request = &userservice__create_user_request__descriptor,
        .response = &userservice__user__descriptor,
        .state_size = sizeof(struct create_call),
        .flags = GRPC_METHOD_SECRET,
        .on_message = create_user_on_message,
        .on_end = create_user_on_end,
    },
    {
        .name = "ListUsers",
        .access = SCOPE_READ,
        .request = &userservice__list_users_request__descriptor,
        .response = &userservice__user__descriptor,
        .state_size = sizeof(struct list_call),
        .on_message = list_users_on_message,
        .on_writable = list_users_on_writable,
        .on_end = list_users_on_end,
    },
    {
        .name = "BatchCreateUsers",
        .access = SCOPE_WRITE,
        .request = &userservice__create_user_request__descriptor,
        .response = &userservice__batch_result__descriptor,
        .state_size = sizeof(struct batch_call),
        .flags = GRPC_METHOD_SECRET,
        .on_message = batch_create_on_message,
        .on_half_close = batch_create_on_half_close,
        .on_end = batch_create_on_end,
    },
    {
        .name = "Chat",
        .access = SCOPE_CALL, /* it neither reads nor changes a user */
        .request = &userservice__chat_message__descriptor,
        .response = &userservice__chat_message__descriptor,
        .on_message = chat_on_message,
        .on_half_close = chat_on_half_close,
    },
};

const struct grpc_service user_service_table = {
    .name = "userservice.UserService",
    .methods = user_methods,
    .num_methods = sizeof(user_methods) / sizeof(user_methods[0]),
};
