/* SPDX-License-Identifier: MIT */
/* The fields of the directory's User, as sets, and the masks that name them (AIP-157, AIP-161). */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_FIELDS_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_FIELDS_H

#include <stdbool.h>

#include "grpc/grpc.h"
#include "proto/rosterd/directory/v1/directory.pb-c.h"

/** A set of fields: bit N is the field with number N. */
enum directory_field {
    DIRECTORY_NAME = 1 << 1,
    DIRECTORY_USERNAME = 1 << 2,
    DIRECTORY_EMAIL = 1 << 3,
    DIRECTORY_ROLES = 1 << 4,
    DIRECTORY_DISABLED = 1 << 5,
    DIRECTORY_LABELS = 1 << 6,
    DIRECTORY_ETAG = 1 << 7,
    DIRECTORY_HAS_PASSWORD = 1 << 8,
    DIRECTORY_CREATE_TIME = 1 << 9,
    DIRECTORY_UPDATE_TIME = 1 << 10,
    DIRECTORY_ALL = (1 << 11) - 2,
    /* what an update may change */
    DIRECTORY_MUTABLE = DIRECTORY_USERNAME | DIRECTORY_EMAIL | DIRECTORY_ROLES |
                        DIRECTORY_DISABLED | DIRECTORY_LABELS,
};

/**
 * Reads a read_mask. No mask, or the path "*": all fields.
 * @return false: the call has ended with INVALID_ARGUMENT, which names the path
 */
bool directory_read_mask(struct grpc_call *call, const Google__Protobuf__FieldMask *mask,
                         unsigned *fields);
/** Reads an update_mask; "*": all fields that can change. @param mask not NULL
 * @return as directory_read_mask(); also if a path names a field that cannot change */
bool directory_update_mask(struct grpc_call *call, const Google__Protobuf__FieldMask *mask,
                           unsigned *fields);

#endif
