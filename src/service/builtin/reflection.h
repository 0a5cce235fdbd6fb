/* SPDX-License-Identifier: MIT */
/*
 * grpc.reflection.v1 and v1alpha: what is served, as FileDescriptorProtos out of the
 * descriptor set that protoc made at build time, so that clients need no .proto. The two
 * versions differ in their package's name only.
 */
#ifndef ROSTERD_SERVICE_BUILTIN_REFLECTION_H
#define ROSTERD_SERVICE_BUILTIN_REFLECTION_H

#include "base/fault.h"
#include "grpc/grpc.h"

struct reflection; /* one per worker; unchanged once made */

/**
 * @param set a serialized google.protobuf.FileDescriptorSet, which must outlive it; imports come
 *   before what imports them, as protoc writes it
 * @param names of the services that are listed; static strings
 * @return NULL when memory is exhausted or the set is none (or of more than 64 files)
 */
struct reflection *reflection_create(const uint8_t *set, size_t len, const char *const *names,
                                     size_t count);
/** After the server's end; NULL is nothing to do. */
void reflection_destroy(struct reflection *reflection);
/** Adds both versions of the service to the server: see grpc_server_add_service(). */
bool reflection_add(struct reflection *reflection, struct grpc_server *server, struct fault *fault);

extern const struct grpc_service reflection_table, reflection_v1alpha_table;

/* ---- the index, which knows no wire format ---- */

enum {
    REFLECTION_NONE = -1,
    REFLECTION_REQUEST_MAX = 8 * 1024, /* bytes of a question, which holds a name or two */
};

/** @return the file's number, or REFLECTION_NONE */
int reflection_file_by_name(const struct reflection *reflection, const char *name, size_t len);
/** Of a message, field, oneof, enum, value, service, method or extension, by its full name. */
int reflection_file_of_symbol(const struct reflection *reflection, const char *name, size_t len);
int reflection_file_of_extension(const struct reflection *reflection, const char *type, size_t len,
                                 int32_t number);
/** Numbers of the type's extensions, at most `cap`; *known tells whether there is such a message.
 * @return how many there are */
size_t reflection_extensions_of(const struct reflection *reflection, const char *type, size_t len,
                                int32_t *numbers, size_t cap, bool *known);
/** The file and all that it imports, itself first, but for those of `sent` (bit n: file n), which
 * it adds them to; the file itself comes in any case. @return how many were written to `files` */
size_t reflection_closure(const struct reflection *reflection, int file, uint64_t *sent,
                          ProtobufCBinaryData files[64]);

#endif
