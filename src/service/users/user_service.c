/* SPDX-License-Identifier: MIT */
#include "service/users/user_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/google/rpc/error_details.pb-c.h"
#include "service/core/descriptors.h"
#include "service/users/calls.h"
#include "user/wire.h"

int64_t user_clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec;
}

void user_reply(struct grpc_call *call, const uint8_t *id, const uint8_t *body, size_t body_len)
{
    uint8_t *to = grpc_call_reserve(call, USER_ID_FIELD_SIZE + body_len);
    if (to == NULL)
        return;
    user_encode(to, id, body, body_len);
    grpc_call_commit(call);
}

void user_refuse(struct grpc_call *call, enum grpc_status status, const char *text)
{
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *all[] = {&violation};
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    uint8_t *bytes = (uint8_t *)(uintptr_t)text; /* they are only read */
    violation.field = (ProtobufCBinaryData){.len = strcspn(text, " "), .data = bytes};
    violation.description = (ProtobufCBinaryData){.len = strlen(text), .data = bytes};
    bad.n_field_violations = 1;
    bad.field_violations = all;
    grpc_call_finish_detail(call, status, text, &bad.base);
}

enum grpc_status user_insert_status(const struct user_service *service, int error,
                                    const char **text)
{
    switch (error) {
    case SHM_OK:
        *text = NULL;
        return GRPC_OK;
    case SHM_EFULL:
        *text = service->full_text;
        return GRPC_RESOURCE_EXHAUSTED;
    case SHM_ELIMIT:
        *text = "no memory for another user: segment-size is reached";
        return GRPC_RESOURCE_EXHAUSTED;
    case SHM_ESPACE:
        *text = "no memory for another user: /dev/shm is full, or the control group has none left";
        return GRPC_RESOURCE_EXHAUSTED;
    case SHM_EBUSY:
        *text = "the table is busy, try again";
        return GRPC_UNAVAILABLE;
    default:
        *text = shm_strerror(error);
        return GRPC_INTERNAL;
    }
}

char *user_show(char *out, const uint8_t *text, size_t len)
{
    size_t shown = len;
    if (shown > USER_SHOWN_MAX) {
        shown = USER_SHOWN_MAX;
        while (shown > 0 && (text[shown] & 0xc0) == 0x80)
            shown--;
    }
    for (size_t i = 0; i < shown; i++)
        *out++ = text[i] != 0 ? (char)text[i] : '?';
    return shown < len ? mempcpy(out, "...", 3) : out;
}

void user_taken_text(char text[USER_TAKEN_SIZE], const struct shm_new_user *user, unsigned key)
{
    struct user_fields fields = {0};
    struct user_text roles[USER_ROLES_MAX];
    user_body_decode(&fields, roles, user->body, user->body_len); /* we wrote it */
    struct user_text value = key == USER_KEY_EMAIL ? fields.email : fields.username;
    int len = snprintf(text, USER_TAKEN_SIZE, "%s '", user_key_name(key));
    char *p = user_show(text + len, value.data, value.len);
    memcpy(p, "' is taken", sizeof("' is taken"));
}

/* ---- GetUser ---- */

/* An id that is no UUID may hold anything, of any length. */
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

static void chat_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    static const char server[] = "server", echo[] = "Echo: ";
    enum { SERVER_LEN = sizeof(server) - 1, ECHO_LEN = sizeof(echo) - 1 };
    const ProtobufCBinaryData *text = &((Userservice__ChatMessage *)message)->text;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;

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

static const struct grpc_method methods[] = {
    {
        .name = "GetUser",
        .request = &userservice__get_user_request__descriptor,
        .response = &userservice__user__descriptor,
        .on_message = get_on_message,
    },
    {
        .name = "CreateUser",
        .request = &userservice__create_user_request__descriptor,
        .response = &userservice__user__descriptor,
        .state_size = sizeof(struct create_call),
        .flags = GRPC_METHOD_SECRET,
        .on_message = user_create_on_message,
        .on_end = user_create_on_end,
    },
    {
        .name = "ListUsers",
        .request = &userservice__list_users_request__descriptor,
        .response = &userservice__user__descriptor,
        .state_size = sizeof(struct list_call),
        .on_message = user_list_on_message,
        .on_writable = user_list_on_writable,
        .on_end = user_list_on_end,
    },
    {
        .name = "BatchCreateUsers",
        .request = &userservice__create_user_request__descriptor,
        .response = &userservice__batch_result__descriptor,
        .state_size = sizeof(struct batch_call),
        .flags = GRPC_METHOD_SECRET,
        .on_message = user_batch_on_message,
        .on_half_close = user_batch_on_half_close,
        .on_end = user_batch_on_end,
    },
    {
        .name = "Chat",
        .request = &userservice__chat_message__descriptor,
        .response = &userservice__chat_message__descriptor,
        .on_message = chat_on_message,
        .on_half_close = chat_on_half_close,
    },
};

const struct grpc_service user_service_table = {
    .name = "userservice.UserService",
    .methods = methods,
    .num_methods = sizeof(methods) / sizeof(methods[0]),
};

struct user_service *user_service_create(const struct user_service_config *config)
{
    struct user_service *service = calloc(1, sizeof(*service));
    if (service == NULL)
        return NULL;
    service->store = config->store;
    service->actor = config->actor;
    service->note = config->note;
    struct shm_info info;
    shm_store_info(config->store, &info);
    snprintf(service->full_text, sizeof(service->full_text), "the table is full (max-users %llu)",
             (unsigned long long)info.max_users);
    listings_init(&service->listings, config->snapshot_max_age, info.snapshot_max_bytes);
    return service;
}

void user_service_destroy(struct user_service *service)
{
    if (service == NULL)
        return;
    explicit_bzero(&service->ids, sizeof(service->ids));
    free(service);
}

bool user_service_add(struct user_service *service, struct grpc_server *server, struct fault *fault)
{
    size_t len;
    const uint8_t *set = service_descriptors(&len);
    return grpc_server_add_service(server, &user_service_table, set, len, service, fault);
}
