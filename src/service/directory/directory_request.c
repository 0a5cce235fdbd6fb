/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_request.h"

#include <string.h>
#include <sys/param.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "service/directory/directory_fields.h"
#include "service/directory/directory_user.h"
#include "service/users/user_reply.h"
#include "service/users/user_service_state.h"

/* ---- the fingerprint ---- */

static void hash_number(XXH3_state_t *state, uint64_t number)
{
    XXH3_64bits_update(state, &number, sizeof(number));
}

static void hash_text(XXH3_state_t *state, struct user_text text)
{
    hash_number(state, text.len);
    if (text.len != 0)
        XXH3_64bits_update(state, text.data, text.len);
}

static void hash_roles(XXH3_state_t *state, const struct user_fields *fields)
{
    hash_number(state, fields->num_roles);
    for (size_t i = 0; i < MIN(fields->num_roles, (size_t)USER_ROLES_MAX); i++)
        hash_text(state, fields->roles[i]);
}

/* Labels are a map: a client that repeats a request may send them in another order. */
static uint64_t hash_labels(const struct user_record *record)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < MIN(record->num_labels, (size_t)USER_LABELS_MAX); i++) {
        XXH3_state_t state;
        XXH3_INITSTATE(&state);
        XXH3_64bits_reset(&state);
        hash_text(&state, record->labels[i].key);
        hash_text(&state, record->labels[i].value);
        sum += XXH3_64bits_digest(&state);
    }
    return sum;
}

static uint64_t fingerprint_of(const struct directory_wish *wish, const struct user_record *record)
{
    const struct user_fields *fields = &record->fields;
    /* what the server looks at: a user who is created has all fields */
    unsigned looked = wish->allow_missing ? (unsigned)DIRECTORY_ALL : wish->fields;
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, wish->method, strlen(wish->method) + 1);
    hash_number(&state, wish->id != NULL);
    if (wish->id != NULL)
        XXH3_64bits_update(&state, wish->id, UUID_SIZE);
    hash_number(&state, wish->fields);
    hash_number(&state, wish->if_version);
    hash_number(&state, (uint64_t)wish->with_secret << 2 | (uint64_t)wish->allow_missing << 1 |
                            (record->disabled && (looked & DIRECTORY_DISABLED) != 0));
    if ((looked & DIRECTORY_USERNAME) != 0)
        hash_text(&state, fields->username);
    if ((looked & DIRECTORY_EMAIL) != 0)
        hash_text(&state, fields->email);
    if ((looked & DIRECTORY_ROLES) != 0)
        hash_roles(&state, fields);
    if ((looked & DIRECTORY_LABELS) != 0) {
        hash_number(&state, record->num_labels);
        hash_number(&state, hash_labels(record));
    }
    return XXH3_64bits_digest(&state);
}

/* ---- a call ---- */

bool directory_request_read(struct directory_request *request, const ProtobufCBinaryData *text,
                            const struct directory_wish *wish, const struct user_record *record)
{
    if (text->len == 0)
        return true;
    if (!uuid_parse(request->shm.id, text->data, text->len))
        return false;
    request->given = true;
    request->fingerprint = fingerprint_of(wish, record);
    return true;
}

bool directory_request_take(struct grpc_call *call, struct directory_request *request,
                            const ProtobufCBinaryData *text, const struct directory_wish *wish,
                            const struct user_record *record)
{
    if (directory_request_read(request, text, wish, record))
        return true;
    user_refuse(call, GRPC_INVALID_ARGUMENT, "request_id is not a UUID");
    return false;
}

struct shm_request *directory_request_begin(struct directory_request *request, uint64_t now)
{
    if (!request->given)
        return NULL;
    request->shm.time = now;
    request->shm.fingerprint = request->fingerprint;
    return &request->shm;
}

bool directory_request_repeats(struct directory_request *request)
{
    request->repeated = request->shm.fingerprint == request->fingerprint;
    return request->repeated;
}

void directory_request_answer(struct grpc_call *call, const struct directory_request *request,
                              const struct shm_user *made)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct shm_user user;
    char id[UUID_TEXT_SIZE + 1];
    bool there = shm_user_find(service->actor, request->shm.user, &user) == SHM_OK;
    if (!there && made == NULL) {
        uuid_to_string(id, request->shm.user);
        grpc_call_finishf(call, GRPC_NOT_FOUND, "User 'users/%s' not found", id);
        return;
    }
    bool unchanged = there && user.version == request->shm.version;
    directory_user_send(call, unchanged || made == NULL ? &user : made, DIRECTORY_ALL);
    grpc_call_finish(call, GRPC_OK, NULL);
}
