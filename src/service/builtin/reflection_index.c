/* SPDX-License-Identifier: MIT */
#include "service/builtin/reflection_index.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Google__Protobuf__FileDescriptorProto File;
typedef Google__Protobuf__DescriptorProto Message;

/* ---- making the index ---- */

struct making {
    struct reflection_index *index;
    uint32_t file; /* whose names are added */
    size_t symbols_cap, extensions_cap;
    bool failed; /* out of memory */
};

/* Makes room for one more element at the end of an array, whose capacity doubles.
 * @return the array; on failure the old one, and making->failed is set */
static void *index_grow(struct making *making, void *array, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return array;
    size_t wanted = *cap == 0 ? 64 : *cap * 2;
    void *grown = reallocarray(array, wanted, size);
    if (grown == NULL) {
        making->failed = true;
        return array;
    }
    *cap = wanted;
    return grown;
}

/* Adds "SCOPE.NAME", or NAME alone if the scope is empty.
 * @return the full name; "" and making->failed on failure */
static const char *add_symbol(struct making *making, const char *scope, const char *name,
                              enum reflection_kind kind)
{
    struct reflection_index *index = making->index;
    char *full = NULL;
    index->symbols = index_grow(making, index->symbols, index->num_symbols, &making->symbols_cap,
                                sizeof(*index->symbols));
    if (making->failed || asprintf(&full, "%s%s%s", scope, *scope != '\0' ? "." : "", name) < 0) {
        making->failed = true;
        return "";
    }
    index->symbols[index->num_symbols++] = (struct reflection_symbol){
        .name = full, .len = strlen(full), .file = making->file, .kind = kind};
    return full;
}

static void add_extension(struct making *making, const char *scope,
                          const Google__Protobuf__FieldDescriptorProto *field)
{
    struct reflection_index *index = making->index;
    add_symbol(making, scope, field->name, REFLECTION_OTHER);
    index->extensions = index_grow(making, index->extensions, index->num_extensions,
                                   &making->extensions_cap, sizeof(*index->extensions));
    if (making->failed)
        return;
    const char *type = field->extendee[0] == '.' ? field->extendee + 1 : field->extendee;
    index->extensions[index->num_extensions++] = (struct reflection_extension){
        .type = type, .len = strlen(type), .number = field->number, .file = making->file};
}

static void add_enum(struct making *making, const char *scope,
                     const Google__Protobuf__EnumDescriptorProto *type)
{
    add_symbol(making, scope, type->name, REFLECTION_OTHER);
    for (size_t i = 0; i < type->n_value; i++) /* an enum's values are in its own scope */
        add_symbol(making, scope, type->value[i]->name, REFLECTION_OTHER);
}

/* The recursion is bounded: protobuf-c bounds the depth of what it decodes. */
static void add_message(struct making *making, const char *scope, const Message *type)
{
    const char *name = add_symbol(making, scope, type->name, REFLECTION_MESSAGE);
    for (size_t i = 0; i < type->n_field && !making->failed; i++)
        add_symbol(making, name, type->field[i]->name, REFLECTION_OTHER);
    for (size_t i = 0; i < type->n_oneof_decl && !making->failed; i++)
        add_symbol(making, name, type->oneof_decl[i]->name, REFLECTION_OTHER);
    for (size_t i = 0; i < type->n_extension && !making->failed; i++)
        add_extension(making, name, type->extension[i]);
    for (size_t i = 0; i < type->n_enum_type && !making->failed; i++)
        add_enum(making, name, type->enum_type[i]);
    for (size_t i = 0; i < type->n_nested_type && !making->failed; i++)
        add_message(making, name, type->nested_type[i]);
}

static void add_service_names(struct making *making, const char *scope,
                              const Google__Protobuf__ServiceDescriptorProto *service)
{
    const char *name = add_symbol(making, scope, service->name, REFLECTION_OTHER);
    for (size_t i = 0; i < service->n_method && !making->failed; i++)
        add_symbol(making, name, service->method[i]->name, REFLECTION_OTHER);
}

static void add_names(struct making *making, const File *file)
{
    const char *package = file->package != NULL ? file->package : "";
    for (size_t i = 0; i < file->n_message_type && !making->failed; i++)
        add_message(making, package, file->message_type[i]);
    for (size_t i = 0; i < file->n_enum_type && !making->failed; i++)
        add_enum(making, package, file->enum_type[i]);
    for (size_t i = 0; i < file->n_extension && !making->failed; i++)
        add_extension(making, package, file->extension[i]);
    for (size_t i = 0; i < file->n_service && !making->failed; i++)
        add_service_names(making, package, file->service[i]);
}

/* Serializes the file as protoc wrote it, with the options that this program does not know, and
 * notes its imports. */
static bool pack_file(struct reflection_index *index, size_t at)
{
    const File *file = index->set->file[at];
    ProtobufCBinaryData *packed = &index->packed[at];
    packed->len = google__protobuf__file_descriptor_proto__get_packed_size(file);
    packed->data = malloc(packed->len);
    if (packed->data == NULL)
        return false;
    google__protobuf__file_descriptor_proto__pack(file, packed->data);
    for (size_t i = 0; i < file->n_dependency; i++) {
        int to =
            reflection_index_find_file(index, file->dependency[i], strlen(file->dependency[i]));
        if (to != REFLECTION_NONE)
            index->imports[at] |= UINT64_C(1) << to;
    }
    return true;
}

static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int by_text = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return by_text != 0 ? by_text : (a_len > b_len) - (a_len < b_len);
}

static int compare_symbols(const void *a, const void *b)
{
    const struct reflection_symbol *x = a, *y = b;
    return compare_names(x->name, x->len, y->name, y->len);
}

static int compare_extensions(const void *a, const void *b)
{
    const struct reflection_extension *x = a, *y = b;
    int by_type = compare_names(x->type, x->len, y->type, y->len);
    return by_type != 0 ? by_type : (x->number > y->number) - (x->number < y->number);
}

static bool make_index(struct reflection_index *index)
{
    struct making making = {.index = index};
    for (uint32_t i = 0; i < index->set->n_file && !making.failed; i++) {
        making.file = i;
        add_names(&making, index->set->file[i]);
        if (!pack_file(index, i))
            return false;
    }
    if (making.failed)
        return false;
    if (index->num_symbols != 0)
        qsort(index->symbols, index->num_symbols, sizeof(*index->symbols), compare_symbols);
    if (index->num_extensions != 0)
        qsort(index->extensions, index->num_extensions, sizeof(*index->extensions),
              compare_extensions);
    return true;
}

struct reflection_index *reflection_index_create(const uint8_t *set, size_t len,
                                                 const char *const *names, size_t count)
{
    struct reflection_index *index = calloc(1, sizeof(*index) + count * sizeof(index->names[0]));
    if (index == NULL)
        return NULL;
    index->set = google__protobuf__file_descriptor_set__unpack(NULL, len, set);
    if (index->set == NULL || index->set->n_file > REFLECTION_FILES_MAX || !make_index(index)) {
        reflection_index_destroy(index);
        return NULL;
    }
    index->num_names = count;
    for (size_t i = 0; i < count; i++)
        index->names[i] = names[i];
    return index;
}

void reflection_index_destroy(struct reflection_index *index)
{
    if (index == NULL)
        return;
    for (size_t i = 0; i < REFLECTION_FILES_MAX; i++)
        free(index->packed[i].data);
    for (size_t i = 0; i < index->num_symbols; i++)
        free(index->symbols[i].name);
    free(index->symbols);
    free(index->extensions);
    if (index->set != NULL)
        google__protobuf__file_descriptor_set__free_unpacked(index->set, NULL);
    free(index);
}

/* ---- lookups ---- */

int reflection_index_find_file(const struct reflection_index *index, const char *name, size_t len)
{
    for (size_t i = 0; i < index->set->n_file; i++) {
        const char *known = index->set->file[i]->name;
        if (known != NULL && strlen(known) == len && memcmp(known, name, len) == 0)
            return (int)i;
    }
    return REFLECTION_NONE;
}

static const struct reflection_symbol *find_symbol(const struct reflection_index *index,
                                                   const char *name, size_t len)
{
    if (len == 0 || index->num_symbols == 0)
        return NULL;
    const struct reflection_symbol key = {.name = (char *)(uintptr_t)name, .len = len};
    return bsearch(&key, index->symbols, index->num_symbols, sizeof(key), compare_symbols);
}

int reflection_index_find_symbol(const struct reflection_index *index, const char *name, size_t len)
{
    const struct reflection_symbol *symbol = find_symbol(index, name, len);
    return symbol == NULL ? REFLECTION_NONE : (int)symbol->file;
}

int reflection_index_find_extension(const struct reflection_index *index, const char *type,
                                    size_t len, int32_t number)
{
    const struct reflection_extension key = {.type = type, .len = len, .number = number};
    if (len == 0 || index->num_extensions == 0)
        return REFLECTION_NONE;
    const struct reflection_extension *found =
        bsearch(&key, index->extensions, index->num_extensions, sizeof(key), compare_extensions);
    return found == NULL ? REFLECTION_NONE : (int)found->file;
}

size_t reflection_index_extensions(const struct reflection_index *index, const char *type,
                                   size_t len, int32_t *numbers, size_t cap, bool *known)
{
    const struct reflection_symbol *symbol = find_symbol(index, type, len);
    size_t count = 0;
    *known = symbol != NULL && symbol->kind == REFLECTION_MESSAGE;
    if (!*known)
        return 0;
    for (size_t i = 0; i < index->num_extensions; i++) {
        const struct reflection_extension *extension = &index->extensions[i];
        if (compare_names(extension->type, extension->len, type, len) != 0)
            continue;
        if (count < cap)
            numbers[count] = extension->number;
        count++;
    }
    return count;
}

size_t reflection_index_closure(const struct reflection_index *index, int file, uint64_t *sent,
                                ProtobufCBinaryData files[REFLECTION_FILES_MAX])
{
    assert(file >= 0 && (size_t)file < index->set->n_file);
    uint64_t wanted = index->imports[file] & ~*sent, done = UINT64_C(1) << file;
    size_t count = 0;
    files[count++] = index->packed[file];
    while ((wanted &= ~done) != 0) {
        int next = __builtin_ctzll(wanted);
        done |= UINT64_C(1) << next;
        files[count++] = index->packed[next];
        wanted |= index->imports[next] & ~*sent;
    }
    *sent |= done;
    return count;
}
