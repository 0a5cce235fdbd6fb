/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_write_answer.h"

#include <stdio.h>
#include <string.h>

#include "service/directory/directory_attempt.h"
#include "service/directory/directory_fields.h"
#include "service/directory/directory_user.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"

/* Refuses the request's user because of the field with which the text begins: in the request it is
 * a field of `user` (AIP-193). */
static void refuse_user_field(struct grpc_call *call, enum grpc_status status, const char *text)
{
    char path[64];
    int len = snprintf(path, sizeof(path), "user.%.*s", (int)strcspn(text, " :,"), text);
    user_refuse_field(call, status, path, (size_t)len, text);
}

/* A SetPassword has no `user`: a user who cannot be has no room for the hash. */
static void refuse_hash(struct grpc_call *call, const struct directory_write_call *write)
{
    const char *field = write->work.call != NULL ? "password" : "password_hash";
    char text[64];
    snprintf(text, sizeof(text), "%s: the user has no room for a hash", field);
    user_refuse(call, GRPC_INVALID_ARGUMENT, text);
}

void directory_write_refuse(struct grpc_call *call, const struct directory_write_call *write)
{
    char text[USER_TAKEN_SIZE], id[UUID_TEXT_SIZE + 1];
    const struct shm_new_user wanted = {.body = write->wrote.body,
                                        .body_len = write->wrote.body_len};
    const char *why;
    uuid_to_string(id, write->id);
    switch (write->result) {
    case SHM_EKEY:
        user_taken_text(text, &wanted, write->key, user_show_plain);
        refuse_user_field(call, GRPC_ALREADY_EXISTS, text);
        return;
    case SHM_EEXIST:
        snprintf(text, sizeof(text), "user_id: users/%s exists", id);
        user_refuse(call, GRPC_ALREADY_EXISTS, text);
        return;
    case SHM_ENOENT:
        grpc_call_finishf(call, GRPC_NOT_FOUND, "User 'users/%s' not found", id);
        return;
    case SHM_EREPEAT:
        user_refuse(call, GRPC_INVALID_ARGUMENT,
                    "request_id was the id of a request with other contents, or of another method");
        return;
    case SHM_ESTALE:
        grpc_call_finish(call, GRPC_ABORTED,
                         "etag: the user has been changed or deleted since: read it again");
        return;
    case SHM_EINVAL:
        if ((write->fields & DIRECTORY_HAS_PASSWORD) != 0) {
            refuse_hash(call, write);
            return;
        }
        snprintf(text, sizeof(text), "%s%s", write->of_roles ? "roles: " : "", write->reason);
        refuse_user_field(call, GRPC_INVALID_ARGUMENT, text);
        return;
    default:
        break;
    }
    /* before the call that has it as an argument: C does not say in which order those are made */
    enum grpc_status status = user_insert_status(grpc_call_service_data(call), write->result, &why);
    grpc_call_finish(call, status, why);
}

void directory_write_finish(struct grpc_call *call)
{
    static const Google__Protobuf__Empty nothing = GOOGLE__PROTOBUF__EMPTY__INIT;
    const struct directory_write_call *write = grpc_call_state(call);
    if (write->result != SHM_OK) {
        directory_write_refuse(call, write);
        return;
    }
    if (write->request.repeated) {
        directory_request_answer(call, &write->request,
                                 write->attempt == directory_attempt_create ? &write->wrote : NULL);
        return;
    }
    if (write->attempt == directory_attempt_delete)
        grpc_call_send(call, &nothing.base);
    else
        directory_user_send(call, &write->wrote, DIRECTORY_ALL);
    grpc_call_finish(call, GRPC_OK, NULL);
}
