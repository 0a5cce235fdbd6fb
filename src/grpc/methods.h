/* SPDX-License-Identifier: MIT */
/* The methods that a server offers: built from services and their descriptors, found by :path. */
#ifndef ROSTERD_GRPC_METHODS_H
#define ROSTERD_GRPC_METHODS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "grpc/codec.h"
#include "grpc/grpc.h"

struct grpc_method_entry {
    const struct grpc_method *method; /* NULL: the entry of all unknown methods */
    const struct grpc_service *service;
    void *data;                     /* of grpc_server_add_service() */
    const struct grpc_codec *codec; /* of the request's type */
    char *path;                     /* "/userservice.UserService/GetUser" */
    size_t path_len;
    size_t index;         /* of grpc_server_method_name() */
    bool single_request;  /* the client sends exactly one message */
    bool streaming_reply; /* the server sends any number of messages */
};

/** Zeroed is an empty list. */
struct grpc_methods {
    struct grpc_method_entry **entries; /* in the order added */
    size_t count;
    struct grpc_method_entry **table; /* by path, open addressing, at most half full */
    size_t table_mask;                /* slots - 1; slots is a power of two */
    struct grpc_codec *codecs;
};

/** Adds a service's methods; see grpc_server_add_service(). */
bool grpc_methods_add(struct grpc_methods *methods, const struct grpc_service *service,
                      const uint8_t *descriptor_set, size_t len, void *data, struct fault *fault);
/** @return NULL if no method has this path */
const struct grpc_method_entry *grpc_methods_find(const struct grpc_methods *methods,
                                                  const char *path, size_t len);
/** Frees everything; the list is empty afterwards. */
void grpc_methods_free(struct grpc_methods *methods);

#endif
