/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_fields.h"

#include <stdio.h>
#include <string.h>

#include "service/users/user_reply.h"

static const char *const field_names[] = {
    [1] = "name",        [2] = "username",     [3] = "email", [4] = "roles",
    [5] = "disabled",    [6] = "labels",       [7] = "etag",  [8] = "has_password",
    [9] = "create_time", [10] = "update_time",
};

static unsigned field_of(const ProtobufCBinaryData *path)
{
    for (unsigned i = 1; i < sizeof(field_names) / sizeof(field_names[0]); i++)
        if (path->len == strlen(field_names[i]) &&
            memcmp(path->data, field_names[i], path->len) == 0)
            return 1U << i;
    return 0;
}

static void refuse_path(struct grpc_call *call, const char *mask, const ProtobufCBinaryData *path,
                        const char *what)
{
    char text[USER_SHOWN_SIZE + 96];
    char *p = text + sprintf(text, "%s: '", mask);
    p = user_show_plain(p, path->data, path->len);
    sprintf(p, "' %s", what);
    user_refuse(call, GRPC_INVALID_ARGUMENT, text);
}

/* @param all what "*" stands for; the mask may name no others */
static bool read_paths(struct grpc_call *call, const Google__Protobuf__FieldMask *mask,
                       const char *name, unsigned all, unsigned *fields)
{
    *fields = 0;
    for (size_t i = 0; i < mask->n_paths; i++) {
        const ProtobufCBinaryData *path = &mask->paths[i];
        bool star = path->len == 1 && path->data[0] == '*';
        unsigned field = star ? all : field_of(path);
        if (field == 0) {
            refuse_path(call, name, path,
                        "is no field of a user (a mask names whole fields, like update_time)");
            return false;
        }
        if ((field & all) != field) {
            refuse_path(call, name, path, "cannot be changed");
            return false;
        }
        *fields |= field;
    }
    return true;
}

bool directory_read_mask(struct grpc_call *call, const Google__Protobuf__FieldMask *mask,
                         unsigned *fields)
{
    *fields = DIRECTORY_ALL;
    if (mask == NULL || mask->n_paths == 0)
        return true;
    return read_paths(call, mask, "read_mask", DIRECTORY_ALL, fields);
}

bool directory_update_mask(struct grpc_call *call, const Google__Protobuf__FieldMask *mask,
                           unsigned *fields)
{
    return read_paths(call, mask, "update_mask", DIRECTORY_MUTABLE, fields);
}
