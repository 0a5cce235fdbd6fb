/* SPDX-License-Identifier: MIT */
/* An index of a descriptor set: which file defines a name, and which files a file imports. Knows
 * nothing of the reflection protocol. Unchanged once it is made. */
#ifndef ROSTERD_SERVICE_BUILTIN_REFLECTION_INDEX_H
#define ROSTERD_SERVICE_BUILTIN_REFLECTION_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/google/protobuf/descriptor.pb-c.h"

enum {
    REFLECTION_NONE = -1,      /* there is no such file */
    REFLECTION_FILES_MAX = 64, /* one bit each */
};

enum reflection_kind { REFLECTION_MESSAGE, REFLECTION_OTHER };

struct reflection_symbol {
    char *name; /* the full name, without a leading dot */
    size_t len;
    uint32_t file; /* its number */
    enum reflection_kind kind;
};

struct reflection_extension {
    const char *type; /* full name of the message that it extends; a string of the set */
    size_t len;
    int32_t number;
    uint32_t file;
};

struct reflection_index {
    Google__Protobuf__FileDescriptorSet *set;
    ProtobufCBinaryData packed[REFLECTION_FILES_MAX]; /* each file, serialized */
    uint64_t imports[REFLECTION_FILES_MAX];           /* bit n: the file imports file n */
    struct reflection_symbol *symbols;                /* sorted by name */
    size_t num_symbols;
    struct reflection_extension *extensions; /* sorted by type, then by number */
    size_t num_extensions;
    size_t num_names;
    const char *names[]; /* of the services that are listed */
};

/**
 * @param set a serialized google.protobuf.FileDescriptorSet; imports come before the files that
 *   import them, as protoc writes it
 * @param names of the services that are listed: static strings; the array is copied
 * @return NULL: memory is exhausted, or the set is broken or has more than REFLECTION_FILES_MAX
 *   files
 */
struct reflection_index *reflection_index_create(const uint8_t *set, size_t len,
                                                 const char *const *names, size_t count);
/** NULL: does nothing. */
void reflection_index_destroy(struct reflection_index *index);

/** All three return the number of a file, or REFLECTION_NONE. Names need no NUL. */
int reflection_index_find_file(const struct reflection_index *index, const char *name, size_t len);
/** The file that defines a message, field, oneof, enum, value, service, method or extension of this
 * full name. */
int reflection_index_find_symbol(const struct reflection_index *index, const char *name,
                                 size_t len);
/** The file that defines the extension of this number of a message type. */
int reflection_index_find_extension(const struct reflection_index *index, const char *type,
                                    size_t len, int32_t number);
/** Writes the numbers of a message type's extensions, at most `cap`.
 * @param known whether there is such a message type
 * @return how many extensions there are */
size_t reflection_index_extensions(const struct reflection_index *index, const char *type,
                                   size_t len, int32_t *numbers, size_t cap, bool *known);
/** Writes the serialized file and, behind it, all files that it imports, directly or not, except
 * those in `sent`. The file itself is written in any case.
 * @param sent bit n: the client has file n; the files written are added
 * @return how many files were written */
size_t reflection_index_closure(const struct reflection_index *index, int file, uint64_t *sent,
                                ProtobufCBinaryData files[REFLECTION_FILES_MAX]);

#endif
