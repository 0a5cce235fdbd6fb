/* SPDX-License-Identifier: MIT */
#include "grpc/descriptor.h"

#include <assert.h>
#include <string.h>

/** What follows `part` and a dot in `name`; the whole name if `part` is empty or NULL.
 * @return NULL: the name does not begin like this */
static const char *name_after(const char *name, const char *part)
{
    assert(name != NULL);
    size_t len = part != NULL ? strlen(part) : 0;
    if (len == 0)
        return name;
    return strncmp(name, part, len) == 0 && name[len] == '.' ? name + len + 1 : NULL;
}

static const Google__Protobuf__DescriptorProto *
find_message(Google__Protobuf__DescriptorProto *const *messages, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(messages[i]->name, name) == 0)
            return messages[i];
        const char *inner = name_after(name, messages[i]->name);
        const Google__Protobuf__DescriptorProto *found =
            inner == NULL
                ? NULL
                : find_message(messages[i]->nested_type, messages[i]->n_nested_type, inner);
        if (found != NULL)
            return found;
    }
    return NULL;
}

const Google__Protobuf__DescriptorProto *
grpc_descriptor_message(const Google__Protobuf__FileDescriptorSet *set, const char *name)
{
    for (size_t i = 0; i < set->n_file; i++) {
        const Google__Protobuf__FileDescriptorProto *file = set->file[i];
        const char *local = name_after(name, file->package);
        const Google__Protobuf__DescriptorProto *found =
            local == NULL ? NULL : find_message(file->message_type, file->n_message_type, local);
        if (found != NULL)
            return found;
    }
    return NULL;
}

const Google__Protobuf__ServiceDescriptorProto *
grpc_descriptor_service(const Google__Protobuf__FileDescriptorSet *set, const char *name)
{
    for (size_t i = 0; i < set->n_file; i++) {
        const Google__Protobuf__FileDescriptorProto *file = set->file[i];
        const char *local = name_after(name, file->package);
        for (size_t j = 0; local != NULL && j < file->n_service; j++) {
            if (strcmp(file->service[j]->name, local) == 0)
                return file->service[j];
        }
    }
    return NULL;
}
