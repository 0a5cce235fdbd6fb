/* SPDX-License-Identifier: MIT */
#include "service/directory/import_answer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/google/rpc/error_details.pb-c.h"
#include "service/directory/directory_fields.h"
#include "service/directory/directory_user.h"
#include "service/users/user_reply.h"
#include "user/user_record.h"
#include "user/wire.h"

/* Tags of ImportUsersResponse's fields: number << 3 | wire type. */
enum { TAG_INDEX = 0x08, TAG_USER = 0x12 };

/* ---- users ---- */

static void send_user(const struct import_entry *entry, int64_t index, const struct shm_user *user)
{
    uint8_t bytes[DIRECTORY_USER_MAX];
    size_t len = directory_user_encode(bytes, user, DIRECTORY_ALL);
    size_t index_len = index != 0 ? 1 + wire_varint_size((uint64_t)index) : 0;
    uint8_t *to = grpc_call_reserve(entry->call, index_len + wire_bytes_size(len));
    if (to == NULL)
        return;
    if (index != 0) {
        *to++ = TAG_INDEX;
        to = wire_put_varint(to, (uint64_t)index);
    }
    wire_put_bytes(to, TAG_USER, bytes, len);
    grpc_call_commit(entry->call);
}

/* The first answer to the request: the user as it is stored, if it has not changed since; otherwise
 * it is made again, from this request, which says the same, and the time of the first one. */
static void answer_as_before(const struct import_entry *entry, int64_t index)
{
    const struct user_service *service = grpc_call_service_data(entry->call);
    const struct shm_request *first = &entry->request.shm;
    struct shm_user stored;
    struct user_record record;
    struct user_record_room room;
    uint8_t bytes[USER_BODY_MAX + USER_HIDDEN_MAX];
    if (shm_user_find(service->actor, first->user, &stored) == SHM_OK &&
        stored.version == first->version) {
        send_user(entry, index, &stored);
        return;
    }
    /* This worker encoded both parts. */
    (void)user_record_decode(&record, &room, entry->bytes, entry->body_len,
                             entry->bytes + entry->body_len, entry->hidden_len);
    record.fields.created_at = (int64_t)first->time;
    record.update_time = user_create_time(&record.fields);
    struct shm_user user = {.id = entry->id, .body = bytes, .version = entry->version};
    user.body_len = (uint32_t)user_body_encode(bytes, &record.fields);
    user.hidden_len = (uint32_t)user_hidden_encode(bytes + user.body_len, &record);
    send_user(entry, index, &user);
}

static void answer_user(const struct import_entry *entry, int64_t index)
{
    const struct shm_user user = {.id = entry->id,
                                  .body = entry->bytes,
                                  .body_len = entry->body_len,
                                  .hidden_len = entry->hidden_len,
                                  .version = entry->version};
    if (entry->request.repeated)
        answer_as_before(entry, index);
    else
        send_user(entry, index, &user);
}

/* ---- errors ---- */

/* Why there is no user. */
struct refusal {
    enum grpc_status status;
    const char *path, *text;
    char room[USER_TAKEN_SIZE]; /* for the text */
};

static void refusal_of(const struct import_entry *entry, struct refusal *refusal)
{
    const struct shm_new_user user = {.body = entry->bytes, .body_len = entry->body_len};
    char id[UUID_TEXT_SIZE + 1];
    *refusal = (struct refusal){.status = entry->status, .path = entry->path, .text = entry->text};
    if (entry->status != GRPC_OK)
        return;
    switch (entry->result) {
    case SHM_EKEY:
        *refusal = (struct refusal){GRPC_ALREADY_EXISTS, import_of_user, refusal->room, ""};
        user_taken_text(refusal->room, &user, entry->key, user_show_plain);
        return;
    case SHM_EEXIST:
        uuid_to_string(id, entry->id);
        *refusal = (struct refusal){GRPC_ALREADY_EXISTS, import_of_request, refusal->room, ""};
        snprintf(refusal->room, sizeof(refusal->room), "user_id: users/%s exists", id);
        return;
    case SHM_EREPEAT:
        refusal->status = GRPC_INVALID_ARGUMENT;
        refusal->path = import_of_request;
        refusal->text =
            "request_id was the id of a request with other contents, or of another method";
        return;
    default:
        refusal->status =
            user_insert_status(grpc_call_service_data(entry->call), entry->result, &refusal->text);
    }
}

/* Texts are only read. */
static ProtobufCBinaryData refusal_bytes(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

static void answer_refusal(const struct import_entry *entry, int64_t index,
                           const struct refusal *refusal)
{
    Rosterd__Directory__V1__ImportUsersResponse response;
    rosterd__directory__v1__import_users_response__init(&response);
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT, *details[] = {&any};
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *violations[] = {&violation};
    char type[] = "type.googleapis.com/google.rpc.BadRequest", field[64];
    uint8_t packed[sizeof(field) + sizeof(((struct fault *)NULL)->text) + 16];
    response.index = index;
    response.error = &status;
    status.code = (int32_t)refusal->status;
    status.message = refusal_bytes(refusal->text);
    if (refusal->path != NULL) { /* as CreateUser: the text begins with a field (AIP-193) */
        snprintf(field, sizeof(field), "%s%.*s", refusal->path, (int)strcspn(refusal->text, " :,"),
                 refusal->text);
        violation.field = refusal_bytes(field);
        violation.description = status.message;
        bad.n_field_violations = 1;
        bad.field_violations = violations;
        any.type_url = type;
        any.value.len = protobuf_c_message_get_packed_size(&bad.base);
        assert(any.value.len <= sizeof(packed));
        any.value.data = packed;
        protobuf_c_message_pack(&bad.base, packed);
        status.n_details = 1;
        status.details = details;
    }
    grpc_call_send(entry->call, &response.base);
}

void import_answer_send(const struct import_entry *entry, int64_t index)
{
    struct refusal refusal;
    assert(entry->state == IMPORT_SETTLED);
    if (entry->status == GRPC_OK && entry->result == SHM_OK) {
        answer_user(entry, index);
        return;
    }
    refusal_of(entry, &refusal);
    answer_refusal(entry, index, &refusal);
}
