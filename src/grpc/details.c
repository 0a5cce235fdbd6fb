/* SPDX-License-Identifier: MIT */
/* A status with details: google.rpc.Status in grpc-status-details-bin, which client libraries
 * unpack. */
#include <stdio.h>
#include <string.h>

#include "grpc/call.h"
#include "grpc/metadata.h"
#include "proto/google/rpc/status.pb-c.h"

/** @return data NULL: out of memory */
static ProtobufCBinaryData pack_message(struct grpc_arena *arena, const ProtobufCMessage *message)
{
    ProtobufCBinaryData packed = {.len = protobuf_c_message_get_packed_size(message)};
    packed.data = grpc_arena_alloc(arena, packed.len);
    if (packed.data != NULL)
        protobuf_c_message_pack(message, packed.data);
    return packed;
}

void grpc_call_finish_detail(struct grpc_call *call, enum grpc_status status, const char *message,
                             const ProtobufCMessage *detail)
{
    if (call->finished)
        return;
    char type[256];
    snprintf(type, sizeof(type), "type.googleapis.com/%s", detail->descriptor->name);
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = type;
    any.value = pack_message(&call->arena, detail);
    Google__Protobuf__Any *all[] = {&any};
    Google__Rpc__Status told = GOOGLE__RPC__STATUS__INIT;
    told.code = (int32_t)status;
    told.message = (ProtobufCBinaryData){.len = strlen(message), .data = (uint8_t *)message};
    told.n_details = 1;
    told.details = all;
    /* Without memory the status goes out without details. */
    if (any.value.data != NULL) {
        ProtobufCBinaryData packed = pack_message(&call->arena, &told.base);
        if (packed.data != NULL)
            grpc_metadata_respond(call, &call->trailing, "grpc-status-details-bin", packed.data,
                                  packed.len);
    }
    grpc_call_finish(call, status, message);
}
