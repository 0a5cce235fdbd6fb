/* SPDX-License-Identifier: MIT */
/* Custom metadata (gRPC PROTOCOL-HTTP2): read from requests, written to responses. */
#ifndef ROSTERD_GRPC_METADATA_H
#define ROSTERD_GRPC_METADATA_H

#include <stdbool.h>
#include <stddef.h>

#include "grpc/arena.h"
#include "http2/http2.h"

struct grpc_call;

/** A value of the request's metadata. The texts end with a NUL that the lengths do not count. */
struct grpc_metadata {
    struct grpc_metadata *next;
    const char *name, *value;
    size_t name_len, value_len;
};

/** A field of the response's metadata. */
struct grpc_response_field {
    struct grpc_response_field *next;
    struct http2_field field;
};

enum grpc_metadata_result {
    GRPC_METADATA_KEPT,
    GRPC_METADATA_BAD_BINARY, /* a -bin value is not base64 */
    GRPC_METADATA_TOO_MANY,   /* more than GRPC_METADATA_SPLIT_MAX */
    GRPC_METADATA_NO_MEMORY,
};
/** How many values the -bin lists of one request may be split into, in addition to one for each
 * field. A list of a thousand values costs the client one byte each time, once HPACK's dynamic
 * table has it. */
enum { GRPC_METADATA_SPLIT_MAX = 128 };

/**
 * Appends a request field. A `-bin` value is decoded; a comma list of them becomes several records.
 * @param tail points to the `next` of the last record, or to the head of the list
 * @param split counts what lists were split into; one counter for all fields of a request
 */
enum grpc_metadata_result grpc_metadata_keep(struct grpc_arena *arena, struct grpc_metadata ***tail,
                                             const h2o_header_t *field, unsigned *split);
/** Appends a field to the response's metadata; a `-bin` value is encoded. The name is not checked.
 * @return false: out of memory */
bool grpc_metadata_respond(struct grpc_call *call, struct grpc_response_field **list,
                           const char *name, const void *value, size_t len);

#endif
