/* SPDX-License-Identifier: MIT */
/* Between reflection.c and its index; nobody else includes this. */
#ifndef ROSTERD_SERVICE_BUILTIN_REFLECTION_INDEX_H
#define ROSTERD_SERVICE_BUILTIN_REFLECTION_INDEX_H

#include "proto/google/protobuf/descriptor.pb-c.h"
#include "service/builtin/reflection.h"

enum { REFLECTION_FILES_MAX = 64 }; /* one bit each */

enum reflection_kind { REFLECTION_MESSAGE, REFLECTION_OTHER };

struct reflection_symbol {
    char *name; /* in full, without a dot in front */
    size_t len;
    uint32_t file;
    enum reflection_kind kind;
};

struct reflection_extension {
    const char *type; /* that is extended; the set's */
    size_t len;
    int32_t number;
    uint32_t file;
};

struct reflection {
    Google__Protobuf__FileDescriptorSet *set;
    ProtobufCBinaryData packed[REFLECTION_FILES_MAX]; /* each file, serialized */
    uint64_t imports[REFLECTION_FILES_MAX];           /* bit n: it imports file n */
    struct reflection_symbol *symbols;                /* by name */
    size_t num_symbols;
    struct reflection_extension *extensions; /* by type, then number */
    size_t num_extensions;
    size_t num_names;
    const char *names[];
};

#endif
