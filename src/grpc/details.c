/* SPDX-License-Identifier: MIT */
/* A status with details: google.rpc.Status in grpc-status-details-bin, as client libraries unpack
 * it. */
#include <stdio.h>

#include "grpc/internal.h"
#include "proto/google/rpc/status.pb-c.h"

static ProtobufCBinaryData pack(struct grpc_arena *arena, const ProtobufCMessage *message)
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
    char type[256];
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__Any *all[] = {&any};
    Google__Rpc__Status told = GOOGLE__RPC__STATUS__INIT;

    if (call->finished)
        return;
    snprintf(type, sizeof(type), "type.googleapis.com/%s", detail->descriptor->name);
    any.type_url = type;
    any.value = pack(&call->arena, detail);
    told.code = (int32_t)status;
    told.message = (ProtobufCBinaryData){.len = strlen(message), .data = (uint8_t *)message};
    told.n_details = 1;
    told.details = all;
    /* without memory the status goes out without them */
    if (any.value.data != NULL) {
        ProtobufCBinaryData packed = pack(&call->arena, &told.base);
        if (packed.data != NULL)
            grpc_metadata_respond(call, &call->trailing, "grpc-status-details-bin", packed.data,
                                  packed.len);
    }
    grpc_call_finish(call, status, message);
}
