/* SPDX-License-Identifier: MIT */
#include "service/users/user_reply.h"

#include <assert.h>
#include <stdio.h>

#include "base/utf8.h"
#include "proto/google/rpc/error_details.pb-c.h"
#include "service/users/disk_patience.h"
#include "user/user.h"

void user_reply(struct grpc_call *call, const uint8_t *id, const uint8_t *body, size_t body_len)
{
    uint8_t *to = grpc_call_reserve(call, USER_ID_FIELD_SIZE + body_len);
    if (to == NULL)
        return;
    user_encode(to, id, body, body_len);
    grpc_call_commit(call);
}

void user_refuse_field(struct grpc_call *call, enum grpc_status status, const char *field,
                       size_t field_len, const char *text)
{
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *all[] = {&violation};
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    /* The bytes are only read. */
    violation.field = (ProtobufCBinaryData){.len = field_len, .data = (uint8_t *)(uintptr_t)field};
    violation.description =
        (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
    bad.n_field_violations = 1;
    bad.field_violations = all;
    grpc_call_finish_detail(call, status, text, &bad.base);
}

void user_refuse(struct grpc_call *call, enum grpc_status status, const char *text)
{
    user_refuse_field(call, status, text, strcspn(text, " :"), text);
}

/* A write has waited for the lock, or for the journal, and gives up. */
static enum grpc_status busy_status(const struct user_service *service, const char **text)
{
    struct shm_disk_info disk;
    shm_disk_info(service->store, &disk);
    *text = "the table is busy, try again";
    if (!disk_is_behind(&disk))
        return GRPC_UNAVAILABLE;
    if (disk.state == SHM_DISK_FULL) {
        *text = "the disk of the data file is full";
        return GRPC_RESOURCE_EXHAUSTED;
    }
    *text = "the disk of the data file is too slow, try again";
    return GRPC_UNAVAILABLE;
}

/* Counts a write for which there is no room: the master tells that to the operator. */
static enum grpc_status refuse_for_room(const struct user_service *service, int error,
                                        const char **text)
{
    struct service_counts *counts = service->counts;
    if (counts != NULL) {
        counts->no_room_users += error == SHM_EFULL;
        counts->no_room_segment += error == SHM_ELIMIT;
        counts->no_room_memory += error == SHM_ESPACE;
    }
    if (error == SHM_EFULL)
        *text = service->full_text;
    else if (error == SHM_ELIMIT)
        *text = "no memory for another user: segment-size is reached";
    else
        *text = "no memory for another user: /dev/shm is full, or the control group has none left";
    return GRPC_RESOURCE_EXHAUSTED;
}

enum grpc_status user_insert_status(const struct user_service *service, int error,
                                    const char **text)
{
    assert(error != SHM_EKEY); /* user_taken_text() names the key */
    switch (error) {
    case SHM_OK:
        *text = NULL;
        return GRPC_OK;
    case SHM_EFULL:
    case SHM_ELIMIT:
    case SHM_ESPACE:
        return refuse_for_room(service, error, text);
    case SHM_EBUSY:
        return busy_status(service, text);
    case SHM_EREADONLY:
        *text = "the data file has failed: the table is read-only, nothing was written";
        return GRPC_UNAVAILABLE;
    default:
        *text = shm_strerror(error);
        return GRPC_INTERNAL;
    }
}

static size_t shown_length(const uint8_t *text, size_t len)
{
    return len <= USER_SHOWN_MAX ? len : utf8_cut((const char *)text, len, USER_SHOWN_MAX);
}

char *user_show(char *out, const uint8_t *text, size_t len)
{
    size_t shown = shown_length(text, len);
    for (size_t i = 0; i < shown; i++)
        *out++ = text[i] != 0 ? (char)text[i] : '?';
    return shown < len ? mempcpy(out, "...", 3) : out;
}

char *user_show_plain(char *out, const uint8_t *text, size_t len)
{
    size_t shown = shown_length(text, len);
    for (size_t i = 0; i < shown; i++) {
        bool c1 = text[i] == 0xc2 && i + 1 < shown && text[i + 1] < 0xa0; /* U+0080 to U+009F */
        *out++ = text[i] < ' ' || text[i] == 0x7f || c1 ? '?' : (char)text[i];
        i += c1;
    }
    return shown < len ? mempcpy(out, "...", 3) : out;
}

void user_taken_text(char text[USER_TAKEN_SIZE], const struct shm_new_user *user, unsigned key,
                     user_shower *show)
{
    struct user_fields fields = {0};
    struct user_text roles[USER_ROLES_MAX];
    user_body_decode(&fields, roles, user->body, user->body_len); /* this worker encoded it */
    struct user_text value = key == USER_KEY_EMAIL ? fields.email : fields.username;
    int len = snprintf(text, USER_TAKEN_SIZE, "%s '", user_key_name(key));
    char *p = show(text + len, value.data, value.len);
    memcpy(p, "' is taken", sizeof("' is taken"));
}
