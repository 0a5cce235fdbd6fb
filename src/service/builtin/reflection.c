/* SPDX-License-Identifier: MIT */
#include "service/builtin/reflection.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/grpc/reflection/v1/reflection.pb-c.h"
#include "proto/grpc/reflection/v1alpha/reflection.pb-c.h"
#include "service/builtin/reflection_index.h"
#include "service/core/descriptors.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;

/* The state of a stream. */
struct reflection_call {
    uint64_t sent; /* bit n: the client has file n */
};

static ProtobufCBinaryData text_bytes(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

/* The functions below take the response by value: each adds parts that live on its own stack. */

static void send_error(struct grpc_call *call, Response response, enum grpc_status status,
                       const char *text)
{
    Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
    error.error_code = (int32_t)status;
    error.error_message = text_bytes(text);
    response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    response.error_response = &error;
    grpc_call_send(call, &response.base);
}

/* @param file REFLECTION_NONE: sends the error text `missing`. What was missing is in the original
 * request, which the response contains. */
static void send_file(struct grpc_call *call, Response response, int file, const char *missing)
{
    struct reflection_call *state = grpc_call_state(call);
    Grpc__Reflection__V1__FileDescriptorResponse files =
        GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    ProtobufCBinaryData protos[REFLECTION_FILES_MAX];
    if (file == REFLECTION_NONE) {
        send_error(call, response, GRPC_NOT_FOUND, missing);
        return;
    }
    files.n_file_descriptor_proto =
        reflection_index_closure(grpc_call_service_data(call), file, &state->sent, protos);
    files.file_descriptor_proto = protos;
    response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    response.file_descriptor_response = &files;
    grpc_call_send(call, &response.base);
}

static void send_extensions(struct grpc_call *call, Response response,
                            const ProtobufCBinaryData *type)
{
    const struct reflection_index *index = grpc_call_service_data(call);
    Grpc__Reflection__V1__ExtensionNumberResponse numbers =
        GRPC__REFLECTION__V1__EXTENSION_NUMBER_RESPONSE__INIT;
    bool known;
    size_t cap = index->num_extensions;
    numbers.extension_number = calloc(cap + 1, sizeof(*numbers.extension_number));
    if (numbers.extension_number == NULL) {
        send_error(call, response, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    numbers.base_type_name = *type;
    numbers.n_extension_number = reflection_index_extensions(
        index, (const char *)type->data, type->len, numbers.extension_number, cap, &known);
    if (known) {
        response.message_response_case =
            GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
        response.all_extension_numbers_response = &numbers;
        grpc_call_send(call, &response.base);
    } else {
        send_error(call, response, GRPC_NOT_FOUND, "there is no such message type");
    }
    free(numbers.extension_number);
}

static void send_services(struct grpc_call *call, Response response)
{
    const struct reflection_index *index = grpc_call_service_data(call);
    typedef Grpc__Reflection__V1__ServiceResponse Service;
    Grpc__Reflection__V1__ListServiceResponse list =
        GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    Service *services = calloc(index->num_names + 1, sizeof(*services));
    list.service = calloc(index->num_names + 1, sizeof(*list.service));
    if (services != NULL && list.service != NULL) {
        for (size_t i = 0; i < index->num_names; i++) {
            grpc__reflection__v1__service_response__init(&services[i]);
            services[i].name = text_bytes(index->names[i]);
            list.service[i] = &services[i];
        }
        list.n_service = index->num_names;
        response.message_response_case =
            GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
        response.list_services_response = &list;
        grpc_call_send(call, &response.base);
    } else {
        send_error(call, response, GRPC_RESOURCE_EXHAUSTED, "out of memory");
    }
    free(services);
    free(list.service);
}

static void reflection_answer(struct grpc_call *call, Request *request)
{
    const struct reflection_index *index = grpc_call_service_data(call);
    Response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    const ProtobufCBinaryData *text =
        &request->file_by_filename; /* a union: all texts are at one place */
    const char *name = (const char *)text->data;
    response.valid_host = request->host;
    response.original_request = request;
    switch (request->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        send_file(call, response, reflection_index_find_file(index, name, text->len),
                  "there is no such file");
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        send_file(call, response, reflection_index_find_symbol(index, name, text->len),
                  "there is no such symbol");
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION: {
        const Grpc__Reflection__V1__ExtensionRequest *wanted = request->file_containing_extension;
        send_file(call, response,
                  reflection_index_find_extension(index, (const char *)wanted->containing_type.data,
                                                  wanted->containing_type.len,
                                                  wanted->extension_number),
                  "there is no such extension");
        return;
    }
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        send_extensions(call, response, &request->all_extension_numbers_of_type);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        send_services(call, response);
        return;
    default:
        send_error(call, response, GRPC_INVALID_ARGUMENT,
                   "message_request is missing, or of a kind that this server does not know");
    }
}

/* ---- the services ---- */

static void v1_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    reflection_answer(call, (Request *)message);
}

/* The wire format is that of v1: the request is decoded as v1, and the reply is one of v1. */
static void alpha_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(len + 1); /* one more, for a length of 0 */
    Request *request = NULL;
    if (bytes != NULL) {
        protobuf_c_message_pack(message, bytes);
        request = grpc__reflection__v1__server_reflection_request__unpack(NULL, len, bytes);
    }
    free(bytes);
    if (request == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    reflection_answer(call, request);
    grpc__reflection__v1__server_reflection_request__free_unpacked(request, NULL);
}

static void reflection_on_half_close(struct grpc_call *call)
{
    grpc_call_finish(call, GRPC_OK, NULL);
}

static const struct grpc_method v1_methods[] = {{
    .name = "ServerReflectionInfo",
    .access = SCOPE_CALL,
    .request = &grpc__reflection__v1__server_reflection_request__descriptor,
    .response = &grpc__reflection__v1__server_reflection_response__descriptor,
    .state_size = sizeof(struct reflection_call),
    .max_request = REFLECTION_REQUEST_MAX,
    .on_message = v1_on_message,
    .on_half_close = reflection_on_half_close,
}};

static const struct grpc_method alpha_methods[] = {{
    .name = "ServerReflectionInfo",
    .access = SCOPE_CALL,
    .request = &grpc__reflection__v1alpha__server_reflection_request__descriptor,
    .response = &grpc__reflection__v1alpha__server_reflection_response__descriptor,
    .state_size = sizeof(struct reflection_call),
    .max_request = REFLECTION_REQUEST_MAX,
    .on_message = alpha_on_message,
    .on_half_close = reflection_on_half_close,
}};

const struct grpc_service reflection_table = {
    .name = "grpc.reflection.v1.ServerReflection", .methods = v1_methods, .num_methods = 1};
const struct grpc_service reflection_v1alpha_table = {
    .name = "grpc.reflection.v1alpha.ServerReflection", .methods = alpha_methods, .num_methods = 1};

static void *reflection_create(const struct service_config *config)
{
    size_t len;
    const uint8_t *set = service_descriptors(&len);
    return reflection_index_create(set, len, config->names, config->num_names);
}

static void reflection_destroy(void *data)
{
    reflection_index_destroy(data);
}

const struct service reflection_service = {
    .grpc = {&reflection_table, &reflection_v1alpha_table},
    .create = reflection_create,
    .destroy = reflection_destroy,
};
