/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_password.h"

#include "service/directory/directory_attempt.h"
#include "service/directory/directory_credential.h"
#include "service/directory/directory_fields.h"
#include "service/directory/directory_read.h"
#include "service/directory/directory_user.h"
#include "service/directory/directory_write.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"

/* Looks whether the user can be changed, before a password is hashed for nothing.
 * @return as directory_attempt_update(); SHM_OK: it can at the moment */
static int look_before_hashing(struct grpc_call *call, const struct directory_write_call *write,
                               struct shm_conflict *conflict)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct shm_user user;
    uint64_t newest = shm_newest(service->store);
    int result = shm_user_find_at(service->actor, write->id, newest, &user);
    *conflict = (struct shm_conflict){.version = result == SHM_OK ? user.version : newest};
    if (write->if_version != 0 && (result != SHM_OK || user.version != write->if_version))
        return SHM_ESTALE;
    return result;
}

void directory_set_password_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct directory_write_call *write = grpc_call_state(call);
    const Rosterd__Directory__V1__SetPasswordRequest *request =
        (Rosterd__Directory__V1__SetPasswordRequest *)message;
    const struct credential credential = directory_set_credential(request);
    struct shm_conflict conflict;
    if (!directory_name_parse(&request->name, write->id)) {
        directory_refuse_name(call, "name", &request->name);
        return;
    }
    if (credential.kind == CREDENTIAL_NONE) {
        user_refuse(call, GRPC_INVALID_ARGUMENT,
                    "credential is not set: password or password_hash");
        return;
    }
    if (!directory_take_etag(call, "etag", &request->etag) ||
        !directory_check_credential(call, &credential))
        return;
    write->attempt = directory_attempt_update;
    write->fields = DIRECTORY_HAS_PASSWORD;
    write->result = look_before_hashing(call, write, &conflict);
    if (write->result == SHM_OK)
        directory_write_credential(call, &credential);
    else
        directory_write_settle(call, &conflict);
}
