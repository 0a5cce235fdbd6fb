/* SPDX-License-Identifier: MIT */
/* Which methods there are: made from services and their descriptors, found by :path. */
#include <stdio.h>
#include <stdlib.h>

#include "grpc/descriptor.h"
#include "grpc/internal.h"

/** Paths of one service differ near their ends. */
static size_t path_hash(const char *path, size_t len)
{
    uint64_t word = 0;

    if (len >= sizeof(word))
        memcpy(&word, path + len - sizeof(word), sizeof(word));
    else
        memcpy(&word, path, len);
    return (size_t)(((word ^ len) * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
}

const struct grpc_method_entry *grpc_methods_find(const struct grpc_methods *methods,
                                                  const char *path, size_t len)
{
    if (methods->table == NULL)
        return NULL;
    for (size_t i = path_hash(path, len);; i++) {
        const struct grpc_method_entry *entry = methods->table[i & methods->table_mask];
        if (entry == NULL)
            return NULL;
        if (entry->path_len == len && memcmp(entry->path, path, len) == 0)
            return entry;
    }
}

/** Makes room for `more` entries in the list and, at most half full, the table. */
static bool grow(struct grpc_methods *methods, size_t more)
{
    size_t count = methods->count + more, slots = 16;

    struct grpc_method_entry **entries =
        realloc(methods->entries, (count + 1) * sizeof(entries[0]));
    if (entries == NULL)
        return false;
    methods->entries = entries;
    while (slots < 2 * count)
        slots *= 2;
    struct grpc_method_entry **table = calloc(slots, sizeof(table[0]));
    if (table == NULL)
        return false;
    free(methods->table);
    methods->table = table;
    methods->table_mask = slots - 1;
    return true;
}

static void fill_table(struct grpc_methods *methods)
{
    for (size_t i = 0; i < methods->count; i++) {
        size_t slot = path_hash(methods->entries[i]->path, methods->entries[i]->path_len);
        while (methods->table[slot & methods->table_mask] != NULL)
            slot++;
        methods->table[slot & methods->table_mask] = methods->entries[i];
    }
}

static const Google__Protobuf__MethodDescriptorProto *
find_method(const Google__Protobuf__ServiceDescriptorProto *proto, const char *name)
{
    for (size_t i = 0; i < proto->n_method; i++) {
        if (strcmp(proto->method[i]->name, name) == 0)
            return proto->method[i];
    }
    return NULL;
}

/** @param type ".userservice.User", as descriptors name types */
static bool is_type(const char *type, const ProtobufCMessageDescriptor *descriptor)
{
    return type != NULL && type[0] == '.' && strcmp(type + 1, descriptor->name) == 0;
}

static const char *fail(struct grpc_methods *methods, const struct grpc_service *service,
                        const char *name, const char *why)
{
    snprintf(methods->error, sizeof(methods->error), "%s%s%s: %s", service->name,
             name != NULL ? "." : "", name != NULL ? name : "", why);
    return methods->error;
}

static void free_entry(struct grpc_method_entry *entry)
{
    free(entry->path);
    free(entry);
}

static const char *add_method(struct grpc_methods *methods, const struct grpc_service *service,
                              const struct grpc_method *method,
                              const Google__Protobuf__FileDescriptorSet *set,
                              const Google__Protobuf__MethodDescriptorProto *proto, void *data)
{
    const char *why = NULL;

    if (!is_type(proto->input_type, method->request))
        return "its request has another type in the .proto";
    if (!is_type(proto->output_type, method->response))
        return "its response has another type in the .proto";
    const struct grpc_codec *codec = grpc_codec_get(&methods->codecs, set, method->request, &why);
    if (codec == NULL)
        return why;
    struct grpc_method_entry *entry = calloc(1, sizeof(*entry));
    int len = entry == NULL ? -1 : asprintf(&entry->path, "/%s/%s", service->name, method->name);
    if (len < 0) {
        free(entry);
        return "out of memory";
    }
    entry->path_len = (size_t)len;
    entry->method = method;
    entry->service = service;
    entry->data = data;
    entry->codec = codec;
    entry->single_request = !proto->client_streaming;
    entry->streaming_reply = proto->server_streaming;
    entry->kind = proto->client_streaming
                      ? (proto->server_streaming ? GRPC_BIDI_STREAMING : GRPC_CLIENT_STREAMING)
                      : (proto->server_streaming ? GRPC_SERVER_STREAMING : GRPC_UNARY);
    entry->index = methods->count;
    methods->entries[methods->count++] = entry;
    return NULL;
}

static const char *add_all(struct grpc_methods *methods, const struct grpc_service *service,
                           const Google__Protobuf__FileDescriptorSet *set, void *data)
{
    const Google__Protobuf__ServiceDescriptorProto *proto =
        grpc_descriptor_service(set, service->name);

    if (proto == NULL)
        return fail(methods, service, NULL, "the descriptor set lacks this service");
    for (size_t i = 0; i < methods->count; i++) {
        if (strcmp(methods->entries[i]->service->name, service->name) == 0)
            return fail(methods, service, NULL, "this service was added before");
    }
    if (!grow(methods, service->num_methods))
        return fail(methods, service, NULL, "out of memory");
    for (size_t i = 0; i < service->num_methods; i++) {
        const struct grpc_method *method = &service->methods[i];
        const Google__Protobuf__MethodDescriptorProto *of = find_method(proto, method->name);
        const char *why = of == NULL ? "the .proto lacks this method"
                                     : add_method(methods, service, method, set, of, data);
        if (why != NULL)
            return fail(methods, service, method->name, why);
    }
    for (size_t i = 0; i < proto->n_method; i++) {
        bool found = false;
        for (size_t j = 0; j < service->num_methods && !found; j++)
            found = strcmp(service->methods[j].name, proto->method[i]->name) == 0;
        if (!found)
            return fail(methods, service, proto->method[i]->name, "it is not implemented");
    }
    return NULL;
}

const char *grpc_methods_add(struct grpc_methods *methods, const struct grpc_service *service,
                             const uint8_t *set_bytes, size_t len, void *data)
{
    size_t before = methods->count;

    Google__Protobuf__FileDescriptorSet *set =
        google__protobuf__file_descriptor_set__unpack(NULL, len, set_bytes);
    if (set == NULL)
        return fail(methods, service, NULL, "its descriptor set does not parse");
    const char *error = add_all(methods, service, set, data);
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    if (error != NULL) {
        while (methods->count != before)
            free_entry(methods->entries[--methods->count]);
    }
    if (methods->table != NULL) {
        memset(methods->table, 0, (methods->table_mask + 1) * sizeof(methods->table[0]));
        fill_table(methods);
    }
    return error;
}

void grpc_methods_free(struct grpc_methods *methods)
{
    for (size_t i = 0; i < methods->count; i++)
        free_entry(methods->entries[i]);
    free(methods->entries);
    free(methods->table);
    grpc_codecs_free(methods->codecs);
    memset(methods, 0, sizeof(*methods));
}
