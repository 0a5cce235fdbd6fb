/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_read.h"

#include <stdio.h>
#include <string.h>

#include "service/directory/directory_fields.h"
#include "service/directory/directory_user.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"
#include "user/user.h"

void directory_refuse_name(struct grpc_call *call, const char *field,
                           const ProtobufCBinaryData *name)
{
    char text[USER_SHOWN_SIZE + 64];
    uint8_t id[UUID_SIZE];
    bool valid = directory_name_parse(name, id);
    char *p = text + (valid ? sprintf(text, "User '") : sprintf(text, "%s: '", field));
    p = user_show_plain(p, name->data, name->len);
    sprintf(p, "%s", valid ? "' not found" : "' is not users/ and a UUID");
    if (valid)
        grpc_call_finish(call, GRPC_NOT_FOUND, text);
    else
        user_refuse(call, GRPC_INVALID_ARGUMENT, text);
}

/* @return false: the call has ended */
static bool find_named(struct grpc_call *call, const char *field, const ProtobufCBinaryData *name,
                       struct shm_user *user)
{
    const struct user_service *service = grpc_call_service_data(call);
    uint8_t id[UUID_SIZE];
    if (directory_name_parse(name, id) && shm_user_find(service->actor, id, user) == SHM_OK)
        return true;
    directory_refuse_name(call, field, name);
    return false;
}

void directory_get_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const Rosterd__Directory__V1__GetUserRequest *request =
        (Rosterd__Directory__V1__GetUserRequest *)message;
    struct shm_user user;
    unsigned fields;
    if (!directory_read_mask(call, request->read_mask, &fields) ||
        !find_named(call, "name", &request->name, &user))
        return;
    directory_user_send(call, &user, fields);
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- LookupUser ---- */

void directory_refuse_key(struct grpc_call *call, unsigned key)
{
    grpc_call_finishf(call, GRPC_FAILED_PRECONDITION,
                      "the server has no index of %ss: its option unique does not name %s",
                      user_key_name(key), user_key_name(key));
}

static void lookup_refuse(struct grpc_call *call, unsigned key, struct user_text text, int error)
{
    char shown[USER_SHOWN_SIZE + 64];
    if (error == SHM_EINVAL) {
        directory_refuse_key(call, key);
        return;
    }
    char *p = shown + sprintf(shown, "No user has the %s '", user_key_name(key));
    p = user_show_plain(p, text.data, text.len);
    sprintf(p, "'");
    grpc_call_finish(call, GRPC_NOT_FOUND, shown);
}

void directory_lookup_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const struct user_service *service = grpc_call_service_data(call);
    const Rosterd__Directory__V1__LookupUserRequest *request =
        (Rosterd__Directory__V1__LookupUserRequest *)message;
    bool by_name = request->key_case == ROSTERD__DIRECTORY__V1__LOOKUP_USER_REQUEST__KEY_USERNAME;
    const ProtobufCBinaryData *text = by_name ? &request->username : &request->email;
    unsigned fields, key = by_name ? USER_KEY_USERNAME : USER_KEY_EMAIL;
    uint8_t value[USER_KEY_MAX];
    struct shm_user user;
    if (request->key_case == ROSTERD__DIRECTORY__V1__LOOKUP_USER_REQUEST__KEY__NOT_SET) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, "key is not set: username or email");
        return;
    }
    if (!directory_read_mask(call, request->read_mask, &fields))
        return;
    if (text->len == 0) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, by_name ? "username is empty" : "email is empty");
        return;
    }
    struct user_text wanted = {.data = text->data, .len = text->len};
    int error = SHM_ENOENT;
    if (wanted.len <= USER_USERNAME_MAX) /* no user has a longer one */
        error = shm_user_find_key(service->actor, key, value, user_key_of_text(key, wanted, value),
                                  &user);
    if (error != SHM_OK) {
        lookup_refuse(call, key, wanted, error);
        return;
    }
    directory_user_send(call, &user, fields);
    grpc_call_finish(call, GRPC_OK, NULL);
}
