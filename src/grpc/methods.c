/* SPDX-License-Identifier: MIT */
#include "grpc/methods.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/descriptor.h"

/** Hashes the last eight bytes and the length: paths of one service differ near their ends. */
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

/** Makes room for `more` entries in the list and in the table. */
static bool methods_grow(struct grpc_methods *methods, size_t more)
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

static void methods_fill_table(struct grpc_methods *methods)
{
    assert(2 * methods->count <= methods->table_mask + 1);
    memset(methods->table, 0, (methods->table_mask + 1) * sizeof(methods->table[0]));
    for (size_t i = 0; i < methods->count; i++) {
        size_t slot = path_hash(methods->entries[i]->path, methods->entries[i]->path_len);
        while (methods->table[slot & methods->table_mask] != NULL)
            slot++;
        methods->table[slot & methods->table_mask] = methods->entries[i];
    }
}

static const Google__Protobuf__MethodDescriptorProto *
find_service_method(const Google__Protobuf__ServiceDescriptorProto *proto, const char *name)
{
    for (size_t i = 0; i < proto->n_method; i++) {
        if (strcmp(proto->method[i]->name, name) == 0)
            return proto->method[i];
    }
    return NULL;
}

static bool is_implemented(const struct grpc_service *service, const char *name)
{
    for (size_t i = 0; i < service->num_methods; i++) {
        if (strcmp(service->methods[i].name, name) == 0)
            return true;
    }
    return false;
}

/** @param type ".userservice.User", as descriptors name types */
static bool is_type(const char *type, const ProtobufCMessageDescriptor *descriptor)
{
    return type != NULL && type[0] == '.' && strcmp(type + 1, descriptor->name) == 0;
}

static void free_entry(struct grpc_method_entry *entry)
{
    free(entry->path);
    free(entry);
}

static bool methods_add_one(struct grpc_methods *methods, const struct grpc_service *service,
                            const struct grpc_method *method,
                            const Google__Protobuf__FileDescriptorSet *set,
                            const Google__Protobuf__MethodDescriptorProto *proto, void *data,
                            struct fault *fault)
{
    if (!is_type(proto->input_type, method->request))
        return fault_set(fault, "its request has another type in the .proto");
    if (!is_type(proto->output_type, method->response))
        return fault_set(fault, "its response has another type in the .proto");
    const struct grpc_codec *codec = grpc_codec_get(&methods->codecs, set, method->request, fault);
    if (codec == NULL)
        return false;
    struct grpc_method_entry *entry = calloc(1, sizeof(*entry));
    int len = entry == NULL ? -1 : asprintf(&entry->path, "/%s/%s", service->name, method->name);
    if (len < 0) {
        free(entry);
        return fault_set(fault, "out of memory");
    }
    entry->path_len = (size_t)len;
    entry->method = method;
    entry->service = service;
    entry->data = data;
    entry->codec = codec;
    entry->single_request = !proto->client_streaming;
    entry->streaming_reply = proto->server_streaming;
    entry->index = methods->count;
    methods->entries[methods->count++] = entry;
    return true;
}

static bool methods_add_all(struct grpc_methods *methods, const struct grpc_service *service,
                            const Google__Protobuf__FileDescriptorSet *set,
                            const Google__Protobuf__ServiceDescriptorProto *proto, void *data,
                            struct fault *fault)
{
    for (size_t i = 0; i < service->num_methods; i++) {
        const struct grpc_method *method = &service->methods[i];
        const Google__Protobuf__MethodDescriptorProto *of =
            find_service_method(proto, method->name);
        bool added = of != NULL ? methods_add_one(methods, service, method, set, of, data, fault)
                                : fault_set(fault, "the .proto lacks this method");
        if (!added)
            return fault_prefix(fault, "%s.%s", service->name, method->name);
    }
    for (size_t i = 0; i < proto->n_method; i++) {
        if (!is_implemented(service, proto->method[i]->name))
            return fault_set(fault, "%s.%s: it is not implemented", service->name,
                             proto->method[i]->name);
    }
    return true;
}

static bool methods_add_service(struct grpc_methods *methods, const struct grpc_service *service,
                                const Google__Protobuf__FileDescriptorSet *set, void *data,
                                struct fault *fault)
{
    const Google__Protobuf__ServiceDescriptorProto *proto =
        grpc_descriptor_service(set, service->name);
    if (proto == NULL)
        return fault_set(fault, "%s: the descriptor set lacks this service", service->name);
    for (size_t i = 0; i < methods->count; i++) {
        if (strcmp(methods->entries[i]->service->name, service->name) == 0)
            return fault_set(fault, "%s: this service was added before", service->name);
    }
    if (!methods_grow(methods, service->num_methods))
        return fault_set(fault, "%s: out of memory", service->name);
    size_t before = methods->count;
    bool added = methods_add_all(methods, service, set, proto, data, fault);
    while (!added && methods->count != before)
        free_entry(methods->entries[--methods->count]);
    methods_fill_table(methods);
    return added;
}

bool grpc_methods_add(struct grpc_methods *methods, const struct grpc_service *service,
                      const uint8_t *descriptor_set, size_t len, void *data, struct fault *fault)
{
    Google__Protobuf__FileDescriptorSet *set =
        google__protobuf__file_descriptor_set__unpack(NULL, len, descriptor_set);
    if (set == NULL)
        return fault_set(fault, "%s: its descriptor set does not parse", service->name);
    bool added = methods_add_service(methods, service, set, data, fault);
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    return added;
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
